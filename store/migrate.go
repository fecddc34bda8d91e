package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	migratepgx "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"parley/migrations"
)

// migrateTimeout bounds all of a migration, the wait for another replica's included, if
// the context has no deadline.
const migrateTimeout = 5 * time.Minute

// Migrate brings the database's schema up to this binary's. Replicas may start at the
// same time: one migrates, the others wait for it. A migration and its number are one
// transaction, so that one which fails or is cut off leaves nothing behind and is tried
// again at the next start. A schema newer than the binary is refused with an *UnfitError.
// If ctx has no deadline it takes at most 5 minutes. A nil logger is slog.Default().
func Migrate(ctx context.Context, url string, logger *slog.Logger) error {
	return migrateTo(ctx, url, logger, migrations.Files)
}

func migrateTo(ctx context.Context, url string, logger *slog.Logger, files fs.FS) error {
	if logger == nil {
		logger = slog.Default()
	}
	ctx, cancel := bounded(ctx, migrateTimeout)
	defer cancel()
	m, err := newMigrator(ctx, url, files)
	if err != nil {
		return cutOff(ctx, err)
	}
	defer m.close()
	from, to, err := m.up()
	if err != nil {
		return cutOff(ctx, err)
	}
	if from != to {
		logger.InfoContext(ctx, "database schema migrated", "from_version", from, "to_version", to)
	}
	return nil
}

// cutOff names the end of ctx as the cause, where err is only the echo of the connection
// having been closed, and lets the database's own error be found in it, which
// golang-migrate's does not.
func cutOff(ctx context.Context, err error) error {
	if e, ok := errors.AsType[*database.Error](err); ok {
		err = errors.Join(err, e.OrigErr)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("database migration did not finish in time: %w", errors.Join(ctx.Err(), err))
	}
	return err
}

type migrator struct {
	*migrate.Migrate
	newest int // the newest version this binary has
}

// newMigrator connects. golang-migrate takes no context, so its connections are closed
// under it when ctx ends.
func newMigrator(ctx context.Context, url string, files fs.FS) (*migrator, error) {
	src, err := iofs.New(files, ".")
	if err != nil {
		return nil, fmt.Errorf("read embedded migrations: %w", err)
	}
	newest, err := src.First()
	for err == nil {
		var next uint
		if next, err = src.Next(newest); err == nil {
			newest = next
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read embedded migrations: %w", err)
	}
	cc, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", err)
	}
	configureConn(cc)
	dial := cc.DialFunc
	cc.DialFunc = func(dialCtx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(dialCtx, network, addr)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = conn.Close() })
		return conn, nil
	}
	db := stdlib.OpenDB(*cc, stdlib.OptionAfterConnect(prepareMigration),
		stdlib.OptionBeforeConnect(func(_ context.Context, c *pgx.ConnConfig) error {
			withoutCancelRequests(&c.Config)
			return nil
		}))
	driver, err := migratepgx.WithInstance(db, &migratepgx.Config{})
	if err != nil {
		_ = db.Close() // the first error is the one that counts
		if unfit, ok := errors.AsType[*UnfitError](err); ok {
			return nil, unfit
		}
		return nil, fmt.Errorf("connect to the database for migrations: %w", err)
	}
	m, err := migrate.NewWithInstance("iofs", src, "pgx5", &migrationDriver{Driver: driver})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare migrations: %w", err), driver.Close())
	}
	if deadline, ok := ctx.Deadline(); ok {
		m.LockTimeout = time.Until(deadline)
	}
	return &migrator{m, int(newest)}, nil
}

// prepareMigration gives a statement the time of a whole migration: it may take long, and so may
// the wait for another replica's. Waiting for the lock of a table is bounded in Run.
func prepareMigration(ctx context.Context, c *pgx.Conn) error {
	if err := prepareSession(ctx, c); err != nil {
		return err
	}
	// And a migration's own statements see the planner as it is.
	_, err := c.Exec(ctx, `
		SET statement_timeout = '5min';
		SET lock_timeout = 0;
		SET idle_in_transaction_session_timeout = 0;
		RESET enable_seqscan;
		RESET enable_sort;
		RESET plan_cache_mode;
		RESET random_page_cost`)
	return err
}

func (m *migrator) close() {
	_, _ = m.Close() // nothing is pending, and the source is in memory
}

// up migrates to the newest version and says from which.
func (m *migrator) up() (from, to int, err error) {
	version, dirty, err := m.Version()
	if err != nil && !errors.Is(err, migrate.ErrNilVersion) {
		return 0, 0, fmt.Errorf("read the database's schema version: %w", err)
	}
	from = int(version)
	switch {
	case dirty:
		return 0, 0, &UnfitError{fmt.Sprintf("The database's schema_migrations table says that migration %d was begun and not finished. Parley's own migrations cannot end like this, so another tool was used on it. Restore a backup, or finish or undo that migration by hand and set dirty to false.", from)}
	case from > m.newest:
		return 0, 0, &UnfitError{fmt.Sprintf("The database's schema is version %d, and this Parley knows versions up to %d: a newer Parley has upgraded it. Start that version or a later one.", from, m.newest)}
	}
	if err := m.Up(); err != nil && !errors.Is(err, migrate.ErrNoChange) {
		return 0, 0, fmt.Errorf("migrate the database from version %d to %d: %w", from, m.newest, err)
	}
	return from, m.newest, nil
}

// migrationDriver makes a migration and the change of the version number one
// transaction. golang-migrate by itself sets the number and a dirty flag before, and
// clears the flag after, so that a crash in between needs a person to tidy up.
type migrationDriver struct {
	database.Driver
	pending int
}

// SetVersion leaves the announcement of a version to the Run that follows it.
func (d *migrationDriver) SetVersion(version int, dirty bool) error {
	if dirty {
		d.pending = version
		return nil
	}
	return d.Driver.SetVersion(version, false)
}

const (
	// lockWait is how long a migration waits for the lock of a table in use. All who come
	// after it wait behind it, and one who has what it needs next is in a deadlock with it:
	// so it lets them through soon, long before PostgreSQL looks for deadlocks (1 s), and
	// tries again.
	lockWait = 200 * time.Millisecond
	// lockPatience is how long it goes on trying.
	lockPatience = 5 * time.Second
)

// Run executes a migration. Its statements go as one query, which PostgreSQL runs as one
// transaction; one that does not get its locks has changed nothing.
func (d *migrationDriver) Run(migration io.Reader) error {
	body, err := io.ReadAll(migration)
	if err != nil {
		return fmt.Errorf("read migration: %w", err)
	}
	var sql strings.Builder
	fmt.Fprintf(&sql, "SET LOCAL lock_timeout = %d; ", lockWait.Milliseconds())
	sql.Write(body)
	sql.WriteString("\n;DELETE FROM schema_migrations;\n")
	if d.pending != database.NilVersion {
		fmt.Fprintf(&sql, "INSERT INTO schema_migrations (version, dirty) VALUES (%d, false);\n", d.pending)
	}
	for deadline := time.Now().Add(lockPatience); ; {
		err = d.Driver.Run(strings.NewReader(sql.String()))
		e, failed := errors.AsType[database.Error](err)
		if !failed {
			return err
		}
		if !lockedOut(e.OrigErr) || time.Now().After(deadline) {
			return fmt.Errorf("line %d: %w", e.Line, e.OrigErr) // without all of the SQL
		}
		time.Sleep(lockWait/2 + rand.N(lockWait)) // those who waited behind it go first
	}
}

// lockedOut tells whether a transaction failed because others held the locks it wanted.
func lockedOut(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == pgerrcode.LockNotAvailable || pg.Code == pgerrcode.DeadlockDetected)
}
