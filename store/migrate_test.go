package store_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"parley/migrations"
	"parley/store"
	"parley/store/storetest"
)

var quiet = slog.New(slog.DiscardHandler)

// schema describes all tables, columns, indexes and constraints.
const schema = `
SELECT string_agg(line, E'\n' ORDER BY line) FROM (
    SELECT format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default)
      FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
      WHERE connamespace = 'public'::regnamespace
) AS s (line)`

func query(t *testing.T, url, sql string) (s string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }() // done with
	if err := conn.QueryRow(t.Context(), sql).Scan(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func execute(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }() // done with
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func TestMigrationsUpDownUp(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	before := query(t, url, schema)
	if err := store.MigrateDown(t.Context(), url, migrations.Files); err != nil {
		t.Fatal(err)
	}
	if left := query(t, url, `SELECT count(*)::text FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_migrations'`); left != "0" {
		t.Errorf("%s tables are left", left)
	}
	if err := store.Migrate(t.Context(), url, quiet); err != nil {
		t.Fatal(err)
	}
	if after := query(t, url, schema); after != before {
		t.Errorf("up, down, up gives another schema:\n%s\nnot\n%s", after, before)
	}
	if err := store.Migrate(t.Context(), url, quiet); err != nil {
		t.Errorf("with nothing to do: %v", err)
	}
}

func TestReplicasMigrateAtTheSameTime(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	if err := store.MigrateDown(t.Context(), url, migrations.Files); err != nil {
		t.Fatal(err)
	}
	execute(t, url, `DROP TABLE schema_migrations`)
	var replicas errgroup.Group
	for range 6 {
		replicas.Go(func() error { return store.Migrate(t.Context(), url, quiet) })
	}
	if err := replicas.Wait(); err != nil {
		t.Error(err)
	}
	if n := query(t, url, `SELECT count(*)::text FROM instance`); n != "1" {
		t.Errorf("instance has %s rows", n)
	}
}

func TestSchemaThatIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ prepare, want string }{
		"newer":      {`UPDATE schema_migrations SET version = 999999`, "a newer Parley has upgraded it"},
		"unfinished": {`UPDATE schema_migrations SET dirty = true`, "was begun and not finished"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := storetest.URL(t)
			execute(t, url, c.prepare)
			err := store.Migrate(t.Context(), url, quiet)
			if _, ok := errors.AsType[*store.UnfitError](err); !ok || !strings.Contains(err.Error(), c.want) {
				t.Errorf("it says %v", err)
			}
		})
	}
}

// with gives the real migrations and one more.
func with(t *testing.T, up string) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	names, err := fs.Glob(migrations.Files, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := migrations.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: b}
	}
	files["900000_next.up.sql"] = &fstest.MapFile{Data: []byte(up)}
	files["900000_next.down.sql"] = &fstest.MapFile{Data: []byte(`DROP TABLE a, b`)}
	return files
}

func TestMigrationThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	before := query(t, url, schema)
	version := query(t, url, `SELECT version || ' ' || dirty FROM schema_migrations`)

	bad := with(t, "CREATE TABLE a (n int);\nINSERT INTO a VALUES (1);\nCREATE TABLE b (n nonsense)")
	err := store.MigrateTo(t.Context(), url, quiet, bad)
	if err == nil || !strings.Contains(err.Error(), `type "nonsense" does not exist`) {
		t.Errorf("it says %v", err)
	}
	if after := query(t, url, schema); after != before {
		t.Error("half of it is there")
	}
	if after := query(t, url, `SELECT version || ' ' || dirty FROM schema_migrations`); after != version {
		t.Errorf("the version is %s, not %s", after, version)
	}

	good := with(t, "CREATE TABLE a (n int);\nCREATE TABLE b (n int) -- without a semicolon")
	if err := store.MigrateTo(t.Context(), url, quiet, good); err != nil {
		t.Fatalf("the mended one: %v", err)
	}
	if after := query(t, url, `SELECT version || ' ' || dirty FROM schema_migrations`); after != "900000 false" {
		t.Errorf("the version is %s", after)
	}
	// An older binary meets the newer schema.
	if err := store.Migrate(t.Context(), url, quiet); err == nil {
		t.Error("the older binary did not notice")
	}
}

// A table in use holds a migration up for seconds only, and the deadline holds everywhere.
func TestMigrationThatHasToWait(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }() // done with
	if _, err := conn.Exec(t.Context(), `BEGIN; SELECT FROM users`); err != nil {
		t.Fatal(err)
	}
	files := with(t, `ALTER TABLE users ADD COLUMN n int`)
	began := time.Now()
	err = store.MigrateTo(t.Context(), url, quiet, files)
	if !store.Transient(err) || time.Since(began) > 8*time.Second {
		t.Errorf("waiting for a table: after %v, %v", time.Since(began), err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	began = time.Now()
	err = store.MigrateTo(ctx, url, quiet, files)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 3*time.Second {
		t.Errorf("with a deadline of a second: after %v, %v", time.Since(began), err)
	}

	if _, err := conn.Exec(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	if err := store.MigrateTo(t.Context(), url, quiet, files); err != nil {
		t.Errorf("when the table is free: %v", err)
	}
}

// A migration of several tables meets a transaction that holds one of them and wants
// another: it makes way, and nobody's transaction fails.
func TestMigrationMakesWay(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }() // done with
	// Of two in a deadlock this one would be the first to notice, and fail.
	if _, err := conn.Exec(t.Context(), `SET deadlock_timeout = '700ms'; BEGIN; SELECT FROM entries`); err != nil {
		t.Fatal(err)
	}
	migrated := make(chan error, 1)
	go func() {
		migrated <- store.MigrateTo(t.Context(), url, quiet, with(t, `ALTER TABLE users ADD COLUMN n int; ALTER TABLE entries ADD COLUMN n int`))
	}()
	const waits = `SELECT count(*)::text FROM pg_locks WHERE NOT granted AND relation = 'entries'::regclass`
	for query(t, url, waits) == "0" {
		select {
		case err := <-migrated:
			t.Fatalf("the migration did not wait: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	if _, err := conn.Exec(t.Context(), `SELECT FROM users; COMMIT`); err != nil {
		t.Errorf("a transaction that the migration met: %v", err)
	}
	if err := <-migrated; err != nil {
		t.Errorf("the migration: %v", err)
	}
}

func TestMigrateWithoutADatabase(t *testing.T) {
	t.Parallel()
	err := store.Migrate(t.Context(), fmt.Sprintf("postgres:///x?host=%s", t.TempDir()), quiet)
	if !store.Transient(err) {
		t.Errorf("it says %v", err)
	}
}
