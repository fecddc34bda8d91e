// Package store is Parley's PostgreSQL: the connection pool, transactions, migrations,
// the translation of database errors, the bus between replicas, and the built-in server. It
// knows no tables but instance and replicas, and owns no statement of the packages above it.
//
// It promises that no connection it hands out would acknowledge a commit that a power
// cut can undo, that no call waits for ever, and that after an outage everything goes
// on by itself.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"parley/failures"
)

const (
	// callTimeout bounds a call whose context has no deadline, waiting for a free
	// connection included. It is a little above statement_timeout (see session.go), so
	// that a slow statement ends with an error and keeps its connection, and only a
	// server that has gone silent costs the connection.
	callTimeout    = 10 * time.Second
	connectTimeout = 5 * time.Second
	pingTimeout    = 3 * time.Second
	// userTimeout is TCP_USER_TIMEOUT: for so long may data sent to the server stay
	// unacknowledged by its kernel before the connection is given up.
	userTimeout = 8 * time.Second
)

// Querier runs statements: a *DB, a pgx.Tx or a *pgxpool.Pool.
type Querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// Config says which database to use.
type Config struct {
	URL      string       // a URL or a key=value string, as libpq takes them
	Logger   *slog.Logger // nil: slog.Default()
	MaxConns int32        // most connections at once, the writer's included; 0: 4 a CPU, but 12 to 64
	// Failures counts panics of what runs in the background; nil: one of its own.
	Failures *failures.Log
}

// DB is a pool of connections to one database. Its own Exec, Query, QueryRow, SendBatch
// and InTx give a context without a deadline one of 10 seconds; from Query and SendBatch
// that covers the reading of the result too.
type DB struct {
	pool   *pgxpool.Pool
	logger *slog.Logger
	stall  *stallWatch // shared with writer
	writer *DB         // nil: this one
	// turns bounds the calls of Exec and InTx at a time, so that those that wait for a standby
	// leave connections for reads; nil: nothing does.
	turns chan struct{}

	failures *failures.Log
}

// writerConns is how many connections are kept for Writer, of half of all at most.
const writerConns = 4

// Open connects and makes sure that the database can keep Parley's promise: PostgreSQL 15
// or later, a primary, UTF-8, and durable (fsync, full_page_writes and synchronous_commit
// not off). An *UnfitError says in a sentence what is wrong; every later connection
// is held to the same. Migrate is a step of its own.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	pc, err := poolConfig(cfg)
	if err != nil {
		return nil, err
	}
	logger := cfg.Logger
	if logger == nil {
		logger = slog.Default()
	}
	db := &DB{logger: logger, stall: &stallWatch{}, failures: cfg.Failures}
	if db.failures == nil {
		db.failures = failures.New(logger)
	}
	db.stall.init(db)
	if n := min(writerConns, pc.MaxConns/2); n > 0 {
		wc := pc.Copy()
		wc.MaxConns = n
		pc.MaxConns -= n
		db.writer = &DB{logger: logger, stall: db.stall}
		if db.writer.pool, err = pgxpool.NewWithConfig(ctx, wc); err != nil {
			return nil, fmt.Errorf("make the writers' connection pool: %w", err)
		}
	}
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		if db.writer != nil {
			db.writer.pool.Close()
		}
		return nil, fmt.Errorf("make connection pool: %w", err)
	}
	db.pool = pool
	db.turns = make(chan struct{}, max(1, pc.MaxConns/2))
	ctx, cancel := bounded(ctx, callTimeout)
	defer cancel()
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		db.Writer().pool.Close()
		if unfit, ok := errors.AsType[*UnfitError](err); ok {
			return nil, unfit // a sentence for the operator, without the pool's wrapping
		}
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	db.stall.begin() // commits of a process before this one may still wait
	return db, nil
}

func poolConfig(cfg Config) (*pgxpool.Config, error) {
	pc, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", err) // pgx leaves the password out
	}
	if cfg.MaxConns > 0 {
		pc.MaxConns = cfg.MaxConns
	} else {
		// More than a few a CPU only queue up inside the server, which takes 100 by default.
		pc.MaxConns = int32(min(max(12, 4*runtime.GOMAXPROCS(0)), 64))
	}
	// A connection that has idled for a second is pinged before use (pgx's default), so
	// that those which died with the server are replaced unnoticed; this bounds the ping
	// where the server is there but silent.
	pc.PingTimeout = pingTimeout
	pc.MaxConnIdleTime = 5 * time.Minute
	pc.MaxConnLifetimeJitter = 10 * time.Minute
	pc.HealthCheckPeriod = 10 * time.Second
	pc.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		withoutCancelRequests(&c.Config)
		return nil
	}
	pc.AfterConnect = prepareSession
	configureConn(pc.ConnConfig)
	return pc, nil
}

// configureConn bounds connecting, and detects a peer that is gone.
func configureConn(c *pgx.ConnConfig) {
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	d := &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3},
		Control:         setUserTimeout,
	}
	c.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return dialSocket(ctx, d, network, addr)
	}
}

// connect makes a connection of its own, beside the pool. Calls on it get no deadline from here.
func (db *DB) connect(ctx context.Context) (*pgx.Conn, error) {
	cc := db.pool.Config().ConnConfig // a copy
	withoutCancelRequests(&cc.Config)
	conn, err := pgx.ConnectConfig(ctx, cc)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	if err := prepareSession(ctx, conn); err != nil {
		closeConn(ctx, conn)
		return nil, err
	}
	return conn, nil
}

// closeConn says goodbye, if the server still listens.
func closeConn(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pingTimeout)
	defer cancel()
	_ = conn.Close(ctx) // it is gone either way
}

// bounded gives ctx a deadline if it has none.
func bounded(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d)
}

// Failures counts the panics of this process's background work.
func (db *DB) Failures() *failures.Log { return db.failures }

// Pool gives the pool itself, for a connection of one's own or for its statistics.
// Calls on it get no deadline from here.
func (db *DB) Pool() *pgxpool.Pool { return db.pool }

// Writer is the same database by connections of its own, which are for storing messages and what
// is done to them: reads, however many, do not delay that. What is stalled is known to both.
func (db *DB) Writer() *DB {
	if db.writer == nil {
		return db
	}
	return db.writer
}

// Close waits until every connection is given back and closes them, the writer's too.
func (db *DB) Close() {
	db.stall.close()
	db.Writer().pool.Close()
	db.pool.Close()
}

// Epoch is the database's identity. It changes when a backup is restored: what clients
// hold may then never have happened here.
func (db *DB) Epoch(ctx context.Context) (uuid.UUID, error) {
	var s string
	if err := db.QueryRow(ctx, selectEpoch).Scan(&s); err != nil {
		return uuid.Nil, fmt.Errorf("read the database's epoch: %w", err)
	}
	epoch, err := uuid.Parse(s)
	if err != nil {
		return uuid.Nil, fmt.Errorf("read the database's epoch: %w", err)
	}
	return epoch, nil
}

// Exec runs a statement that returns no rows. A statement that writes is refused while Stalled,
// here and in the methods that follow.
func (db *DB) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if db.Stalled() && writes(sql) {
		return pgconn.CommandTag{}, ErrStalled
	}
	ctx, cancel := bounded(ctx, callTimeout)
	defer cancel()
	defer db.stall.suspect()()
	leave, err := db.enter(ctx)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	defer leave()
	return db.pool.Exec(ctx, sql, args...)
}

// enter waits for one of the turns of what writes. They are fewer than connections: what waits
// for a standby leaves some for reads.
func (db *DB) enter(ctx context.Context) (leave func(), err error) {
	if db.turns == nil {
		return func() {}, nil
	}
	select {
	case db.turns <- struct{}{}:
		return func() { <-db.turns }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a turn to write: %w", ctx.Err())
	}
}

// Query runs a statement that returns rows. Close them, or read them to the end.
func (db *DB) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if db.Stalled() && writes(sql) {
		return nil, ErrStalled
	}
	ctx, cancel := bounded(ctx, callTimeout)
	r, err := db.pool.Query(ctx, sql, args...)
	if err != nil {
		db.stall.note(err)
		cancel()
	}
	return &rows{r, db, cancel}, err
}

// QueryRow runs a statement that returns one row. Its error comes from Scan.
func (db *DB) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if db.Stalled() && writes(sql) {
		return refusal{}
	}
	ctx, cancel := bounded(ctx, callTimeout)
	return row{db.pool.QueryRow(ctx, sql, args...), db, cancel}
}

// SendBatch runs several statements in one round trip. Close the results.
func (db *DB) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if db.Stalled() && slices.ContainsFunc(b.QueuedQueries, func(q *pgx.QueuedQuery) bool { return writes(q.SQL) }) {
		return refusal{}
	}
	ctx, cancel := bounded(ctx, callTimeout)
	stop := db.stall.suspect()
	return batch{db.pool.SendBatch(ctx, b), func() { stop(); cancel() }}
}

// InTx runs fn in a READ COMMITTED transaction: committed if fn returns nil, rolled back
// if it returns an error or panics. fn must use the context it is given, which has a
// deadline. An error for which Transient is true may come from the commit itself, and
// then the outcome is unknown. While Stalled it fails at once.
func (db *DB) InTx(ctx context.Context, fn func(ctx context.Context, tx pgx.Tx) error) error {
	if db.Stalled() {
		return ErrStalled
	}
	ctx, cancel := bounded(ctx, callTimeout)
	defer cancel()
	defer db.stall.suspect()()
	leave, err := db.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	tx, err := db.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	// After a commit this does nothing. The context is a fresh one, because a rollback
	// that cannot be sent costs the connection.
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pingTimeout)
		defer cancel()
		_ = tx.Rollback(ctx) // the pool drops a connection still in a transaction
	}()
	if err := fn(ctx, tx); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit transaction: %w", err)
	}
	return nil
}

// rows, row and batch end the deadline's timer together with the reading.

type rows struct {
	pgx.Rows
	db     *DB
	cancel context.CancelFunc
}

func (r *rows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close() // pgx has closed them by itself
	return false
}

func (r *rows) Close() {
	r.Rows.Close()
	r.db.stall.note(r.Err())
	r.cancel()
}

type row struct {
	pgx.Row
	db     *DB
	cancel context.CancelFunc
}

func (r row) Scan(dest ...any) error {
	defer r.cancel()
	err := r.Row.Scan(dest...)
	r.db.stall.note(err)
	return err
}

type batch struct {
	pgx.BatchResults
	cancel context.CancelFunc
}

func (b batch) Close() error {
	defer b.cancel()
	return b.BatchResults.Close()
}
