package store

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// A commit that waits for a synchronous standby is not made visible by giving it up.
func TestCommitWithoutItsStandby(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := start(t, filepath.Join(openTempDir(t), "data"))
	admin, err := pgx.Connect(ctx, b.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.Background()) })
	db := open(t, b.URL())
	if _, err := db.Exec(ctx, `CREATE TABLE kept (how text)`); err != nil {
		t.Fatal(err)
	}
	const insert = `INSERT INTO kept VALUES ($1)`
	visible := func() (n int) {
		if err := admin.QueryRow(ctx, `SELECT count(*) FROM kept`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	set(t, admin, "synchronous_standby_names", "ghost")
	eventually(t, 10*time.Second, "commits wait", func() bool { return commitWaits(t, admin) })

	ways := map[string]func(context.Context) error{
		"statement": func(ctx context.Context) error { _, err := db.Exec(ctx, insert, "statement"); return err },
		"returning": func(ctx context.Context) error {
			var how string
			return db.QueryRow(ctx, insert+` RETURNING how`, "returning").Scan(&how)
		},
		"rows": func(ctx context.Context) error {
			rows, err := db.Query(ctx, insert+` RETURNING how`, "rows")
			if err != nil {
				return err
			}
			_, err = pgx.CollectRows(rows, pgx.RowTo[string])
			return err
		},
		"batch": func(ctx context.Context) error {
			var batch pgx.Batch
			batch.Queue(insert, "batch")
			return db.SendBatch(ctx, &batch).Close()
		},
		"transaction": func(ctx context.Context) error {
			return db.InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
				_, err := tx.Exec(ctx, insert, "transaction")
				return err
			})
		},
		"writer": func(ctx context.Context) error {
			_, err := db.Writer().Exec(ctx, insert, "writer")
			return err
		},
	}
	given := make(chan error, len(ways))
	for how, write := range ways {
		go func() {
			ctx, cancel := context.WithTimeout(ctx, 1500*time.Millisecond)
			defer cancel()
			err := write(ctx)
			if !Transient(err) {
				t.Errorf("%s: %v", how, err)
			}
			given <- err
		}()
	}
	for range ways {
		<-given
	}
	eventually(t, 10*time.Second, "the stall is noticed", db.Stalled)
	if !db.Writer().Stalled() {
		t.Error("the writer does not know of the stall")
	}
	eventually(t, 10*time.Second, "the database is not ready", func() bool { return db.Ready(ctx) != nil })
	// A cancel request is answered within milliseconds; by now pgx would have sent them all.
	if n := visible(); n != 0 {
		t.Errorf("%d commits are visible without being replicated", n)
	}
	err = db.InTx(ctx, func(context.Context, pgx.Tx) error { t.Error("a transaction begins while none can end"); return nil })
	if err != ErrStalled {
		t.Errorf("a transaction gets %v", err)
	}
	for how, write := range ways {
		if err := write(ctx); !errors.Is(err, ErrStalled) {
			t.Errorf("%s: %v while stalled", how, err)
		}
	}
	var n int
	if err := db.QueryRow(ctx, `SELECT count(*) FROM kept`).Scan(&n); err != nil || n != 0 {
		t.Errorf("while stalled %d rows are read, %v", n, err)
	}
	// A process after this one finds out by itself.
	next := open(t, b.URL())
	eventually(t, 10*time.Second, "the next process notices the stall", next.Stalled)

	set(t, admin, "synchronous_standby_names", "")
	eventually(t, 10*time.Second, "the stall is over", func() bool { return !db.Stalled() && !next.Stalled() && db.Ready(ctx) == nil })
	if n := visible(); n != len(ways) {
		t.Errorf("%d of %d commits happened once their standby was not needed any more", n, len(ways))
	}
}

// commitWaits makes a commit and gives it up if it takes long; the cancel request ends it. That a
// session shows the new standbys does not tell: the checkpointer makes commits wait.
func commitWaits(t *testing.T, admin *pgx.Conn) bool {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), admin.Config())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err = conn.Exec(ctx, `SELECT pg_logical_emit_message(true, 'probe', '')`)
	return err != nil
}

// The session keeps what would end a COMMIT's wait, or make it not wait, from a standby's way.
func TestSessionWaitsForStandbys(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := start(t, filepath.Join(openTempDir(t), "data"))
	admin, err := pgx.Connect(ctx, b.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.Background()) })
	for name, value := range map[string]string{"synchronous_commit": "local", "client_connection_check_interval": "1000"} {
		if _, err := admin.Exec(ctx, `ALTER ROLE parley SET `+name+` = `+value); err != nil {
			t.Fatal(err)
		}
	}
	db := open(t, b.URL())
	if got := setting(t, db, "synchronous_commit"); got != "on" {
		t.Errorf("synchronous_commit of local becomes %s", got)
	}
	if got := setting(t, db, "client_connection_check_interval"); got != "0" {
		t.Errorf("client_connection_check_interval is %s", got)
	}
	set(t, admin, "synchronous_standby_names", "ghost")
	if _, err := Open(ctx, Config{URL: b.URL()}); err == nil {
		t.Error("synchronous_commit of local is accepted beside synchronous standbys")
	}
}

// Commits that wait for a standby leave connections for reads, however many there are.
func TestReadsDuringAStall(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := start(t, filepath.Join(openTempDir(t), "data"))
	admin, err := pgx.Connect(ctx, b.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.Background()) })
	db := open(t, b.URL())
	if _, err := db.Exec(ctx, `CREATE TABLE kept (how text)`); err != nil {
		t.Fatal(err)
	}
	set(t, admin, "synchronous_standby_names", "ghost")
	eventually(t, 10*time.Second, "commits wait", func() bool { return commitWaits(t, admin) })
	var writing sync.WaitGroup
	for range 4 * int(db.Pool().Config().MaxConns) {
		writing.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			if _, err := db.Exec(ctx, `INSERT INTO kept VALUES ('x')`); err == nil {
				t.Error("a commit ends without its standby")
			}
		})
	}
	eventually(t, 10*time.Second, "all turns wait", func() bool { return len(db.turns) == cap(db.turns) })
	short, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := db.Epoch(short); err == nil || Transient(err) {
		t.Errorf("a read during the stall: %v", err) // there is no such table here, which PostgreSQL says
	}
	writing.Wait()
	set(t, admin, "synchronous_standby_names", "")
	eventually(t, 20*time.Second, "the stall is over", func() bool { return !db.Stalled() })
}
