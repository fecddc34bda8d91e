package store

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"parley/problem"
)

const (
	// stallTimeout is how long a commit may wait for a synchronous standby before the database
	// counts as unable to commit.
	stallTimeout = 3 * time.Second
	// stallSuspicion is how long a call takes before it is looked whether its commit waits for a
	// standby; healthy ones answer within milliseconds.
	stallSuspicion = time.Second
	// stallInterval is the time between two checks whether a stall is over.
	stallInterval = 250 * time.Millisecond
	// maxStalledCommits is from how many abandoned commits on no further connection is made.
	// Each keeps a connection of the server until its standby answers, and the server has 100
	// by default.
	maxStalledCommits = 32
)

// ErrStalled is the error of every statement that writes while Stalled: nothing was tried.
var ErrStalled = problem.New(problem.Unavailable, "The database's standby does not answer, so nothing can be stored right now. Try again in a moment.")

// stallWatch knows whether commits wait for a synchronous standby that does not answer. Such a
// commit is neither done nor undone, and cannot be cancelled (see withoutCancelRequests), so
// every further one only costs another connection until the standby is back.
type stallWatch struct {
	db      *DB
	stalled atomic.Bool

	mu       sync.Mutex
	watching bool
	ctx      context.Context // ends with Close
	stop     context.CancelFunc
	running  sync.WaitGroup
}

func (w *stallWatch) init(db *DB) {
	w.db = db
	w.ctx, w.stop = context.WithCancel(context.Background())
}

func (w *stallWatch) close() {
	w.mu.Lock()
	w.stop()
	w.mu.Unlock()
	w.running.Wait()
}

// note begins to watch if err says that a call ran out of time.
func (w *stallWatch) note(err error) {
	if err != nil && errors.Is(err, context.DeadlineExceeded) {
		w.begin()
	}
}

// suspect begins to watch when a call takes longer than commits do, unless stop is called before.
func (w *stallWatch) suspect() (stop func() bool) {
	return time.AfterFunc(stallSuspicion, w.begin).Stop
}

// begin begins to watch, unless that is under way.
func (w *stallWatch) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watching || w.ctx.Err() != nil {
		return
	}
	w.watching = true
	w.running.Go(func() { w.db.failures.Loop(w.ctx, "watch commits that wait", func(context.Context) { w.watch() }) })
}

// watch checks until no commit is stalled. It has a connection of its own: the pool's may all be
// of commits that wait.
func (w *stallWatch) watch() {
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			closeConn(w.ctx, conn)
		}
	}()
	for {
		n, err := w.count(&conn)
		switch {
		case err == nil && n == 0:
			w.mu.Lock()
			w.watching = false
			w.mu.Unlock()
			if w.stalled.Swap(false) {
				w.db.logger.Info("the synchronous standby answers again: commits end")
			}
			return
		case err == nil && !w.stalled.Swap(true):
			w.db.logger.Warn("commits wait for a synchronous standby that does not answer; nothing can be stored until it does", "commits", n)
		}
		select {
		case <-w.ctx.Done():
			return
		case <-time.After(stallInterval):
		}
	}
}

// count gives how many commits are stalled. It makes the connection where there is none.
func (w *stallWatch) count(conn **pgx.Conn) (n int, err error) {
	ctx, cancel := context.WithTimeout(w.ctx, pingTimeout)
	defer cancel()
	if *conn == nil {
		c, err := w.db.connect(ctx)
		if errors.Is(err, ErrStalled) {
			return maxStalledCommits, nil
		}
		if err != nil {
			return 0, err
		}
		*conn = c
	}
	if err := (*conn).QueryRow(ctx, selectStalledCommits, stallSuspicion.Seconds()).Scan(&n); err != nil {
		closeConn(ctx, *conn)
		*conn = nil
		return 0, err
	}
	return n, nil
}

// Stalled reports whether commits wait for a synchronous standby that does not answer. A
// statement that writes is refused then: its commit could only wait as well.
func (db *DB) Stalled() bool { return db.stall.stalled.Load() }

var writing = regexp.MustCompile(`INSERT INTO|UPDATE|DELETE FROM`)

// writes reports whether a statement writes, locks of rows included. A bus writes beside this,
// by the pool: it has unlogged tables, whose commits wait for no standby.
func writes(sql string) bool { return writing.MatchString(sql) }

// refusal is the result of what was not tried because of ErrStalled.
type refusal struct{}

func (refusal) Scan(...any) error                { return ErrStalled }
func (refusal) Exec() (pgconn.CommandTag, error) { return pgconn.CommandTag{}, ErrStalled }
func (refusal) Query() (pgx.Rows, error)         { return nil, ErrStalled }
func (r refusal) QueryRow() pgx.Row              { return r }
func (refusal) Close() error                     { return ErrStalled }
func (refusal) Tx() pgx.Tx                       { return nil }

// Ready reports within 3 seconds whether statements are answered and commits end. The error
// says what does not.
func (db *DB) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	var n int
	if err := db.pool.QueryRow(ctx, selectStalledCommits, stallTimeout.Seconds()).Scan(&n); err != nil {
		return fmt.Errorf("query the database: %w", err)
	}
	if n > 0 {
		return fmt.Errorf("commits wait for a synchronous standby: %d for over %s", n, stallTimeout)
	}
	return nil
}
