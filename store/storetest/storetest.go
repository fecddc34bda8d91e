// Package storetest gives each test a PostgreSQL database of its own: migrated, empty,
// with the durability settings of production, and dropped when the test ends.
//
// The databases live on one built-in server, started by the first test process that
// needs it, shared by all processes of the user, and stopped some seconds after the last
// of them has ended; or on the server that PARLEY_TEST_DATABASE_URL names, with a role
// that may create databases.
package storetest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"parley/migrations"
	"parley/store"
)

// The %s are names of databases made here.
const (
	cloneDatabase        = `CREATE DATABASE %s TEMPLATE %s`
	dropDatabase         = `DROP DATABASE IF EXISTS %s WITH (FORCE)`
	renameDatabase       = `ALTER DATABASE %s RENAME TO %s`
	selectDatabaseExists = `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`
	lockTemplates        = `SELECT pg_advisory_lock(hashtext('parley storetest templates'))`
)

// timeout bounds each step here. The first process of a run unpacks PostgreSQL and makes
// a database cluster in it.
const timeout = 2 * time.Minute

// New gives an open database of the test's own, closed and dropped when the test ends.
func New(t testing.TB) *store.DB {
	t.Helper()
	dbURL := URL(t)
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	// Few connections each: many tests share the server.
	db, err := store.Open(ctx, store.Config{URL: dbURL, MaxConns: 12, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatalf("open test database: %v", err)
	}
	t.Cleanup(db.Close)
	return db
}

// URL gives the URL of a database of the test's own, dropped when the test ends,
// whoever is still connected to it.
func URL(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	admin, template, err := prepared(ctx)
	if err != nil {
		t.Fatalf("prepare test databases: %v", err)
	}
	name := "parley_test_" + randomHex()
	if err := execute(ctx, admin, fmt.Sprintf(cloneDatabase, name, template)); err != nil {
		t.Fatalf("create test database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		if err := execute(ctx, admin, fmt.Sprintf(dropDatabase, name)); err != nil {
			t.Errorf("drop test database: %v", err)
		}
	})
	return withDatabase(admin, name)
}

// prepared gives the server's URL and the name of a migrated template, once a process.
var prepared = func() func(context.Context) (admin, template string, err error) {
	var mu sync.Mutex // guards the three below
	var admin, template string
	return func(ctx context.Context) (string, string, error) {
		mu.Lock()
		defer mu.Unlock()
		if template != "" {
			return admin, template, nil
		}
		var err error
		if admin, err = serverURL(ctx); err != nil {
			return "", "", err
		}
		if template, err = makeTemplate(ctx, admin); err != nil {
			return "", "", fmt.Errorf("make template database: %w", err)
		}
		return admin, template, nil
	}
}()

func serverURL(ctx context.Context) (string, error) {
	if u := os.Getenv("PARLEY_TEST_DATABASE_URL"); u != "" {
		if parsed, err := url.Parse(u); err != nil || parsed.Scheme == "" {
			return "", errors.New("PARLEY_TEST_DATABASE_URL is not a URL")
		}
		return u, nil
	}
	return sharedServer(ctx)
}

// makeTemplate makes the database that is cloned for each test, unless it is there. Its
// name has the digest of the migrations in it, and it gets that name when it is ready.
func makeTemplate(ctx context.Context, admin string) (string, error) {
	digest := sha256.New()
	err := fs.WalkDir(migrations.Files, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := migrations.Files.ReadFile(path)
		_, _ = fmt.Fprintf(digest, "%s %d\n%s", path, len(b), b) // a hash takes everything
		return err
	})
	if err != nil {
		return "", err
	}
	name := "parley_template_" + hex.EncodeToString(digest.Sum(nil))[:16]
	conn, err := pgx.Connect(ctx, admin)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }() // done with; the advisory lock goes with it
	if _, err := conn.Exec(ctx, lockTemplates); err != nil {
		return "", err
	}
	var exists bool
	if err := conn.QueryRow(ctx, selectDatabaseExists, name).Scan(&exists); err != nil || exists {
		return name, err
	}
	building := name + "_new"
	for _, sql := range []string{fmt.Sprintf(dropDatabase, building), fmt.Sprintf(cloneDatabase, building, "template0")} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return "", err
		}
	}
	if err := store.Migrate(ctx, withDatabase(admin, building), slog.New(slog.DiscardHandler)); err != nil {
		return "", err
	}
	_, err = conn.Exec(ctx, fmt.Sprintf(renameDatabase, building, name))
	return name, err
}

func execute(ctx context.Context, url, sql string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}

func withDatabase(admin, name string) string {
	u, err := url.Parse(admin)
	if err != nil {
		panic(err) // checked by serverURL
	}
	u.Path = "/" + name
	return u.String()
}

func randomHex() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
