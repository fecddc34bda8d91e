package faults

import (
	"context"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"parley/parleytest"
	"parley/store/storetest"
)

// database is a PostgreSQL of the test's own, which replicas reach by DATABASE_URL.
type database struct {
	t       *testing.T
	dataDir string
	srv     *storetest.Server // nil while it is away, and where a Parley runs it
	url     string
}

// newDatabase starts one in a directory; in a new temporary one if dir is empty.
func newDatabase(ctx context.Context, t *testing.T, dir string) *database {
	t.Helper()
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "parley-db-"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.RemoveAll(dir); err != nil {
				t.Error(err)
			}
		})
	}
	// Where the test is root's, the server is an ordinary user's, who has to get in.
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	db := &database{t: t, dataDir: filepath.Join(dir, "data")}
	t.Cleanup(func() {
		if b, err := os.ReadFile(filepath.Join(db.dataDir, "postgres.log")); err == nil && t.Failed() {
			t.Logf("the database's log ends:\n%s", b[max(0, len(b)-4<<10):])
		}
		if db.srv != nil {
			db.signal(syscall.SIGCONT)
			if err := db.srv.Stop(); err != nil {
				t.Error(err)
			}
		}
	})
	db.bringBack(ctx)
	return db
}

// builtinOf is the database that a Parley runs.
func builtinOf(t *testing.T, s *parleytest.Server) *database {
	t.Helper()
	url, err := parleytest.DatabaseURL(s.DataDir())
	if err != nil {
		t.Fatal(err)
	}
	return &database{t: t, dataDir: s.DataDir(), url: url}
}

// socket is the path of the server's Unix socket.
func (db *database) socket() string {
	u, err := url.Parse(db.url)
	if err != nil {
		db.t.Fatal(err)
	}
	return filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432")
}

// takeAway ends the server the hard way: every session is cut.
func (db *database) takeAway() {
	db.t.Helper()
	db.srv.Kill()
	db.srv = nil
	if pid, err := parleytest.PostgresPID(db.dataDir); err == nil {
		db.t.Fatalf("the database still runs as %d", pid)
	}
}

func (db *database) bringBack(ctx context.Context) {
	db.t.Helper()
	var err error
	if db.srv, err = storetest.Start(ctx, db.dataDir, 100, io.Discard); err != nil {
		db.t.Fatal(err)
	}
	db.url = db.srv.URL()
}

// pid is the server's; it waits for one that is just being started.
func (db *database) pid() int {
	db.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		pid, err := parleytest.PostgresPID(db.dataDir)
		if err == nil {
			return pid
		}
		if time.Now().After(deadline) {
			db.t.Fatal(err)
		}
	}
}

// signal reaches the server and all its children.
func (db *database) signal(sig syscall.Signal) {
	db.t.Helper()
	pid := db.pid()
	family, err := parleytest.Family(pid)
	if err != nil {
		db.t.Fatal(err)
	}
	for _, p := range family {
		if err := syscall.Kill(p.PID, sig); err != nil && p.PID == pid {
			db.t.Fatal(err)
		}
	}
}

// connect gives a connection of the test's own, which no fault is done to but those of
// the server. It tries until ctx ends.
func (db *database) connect(ctx context.Context) *pgx.Conn {
	db.t.Helper()
	for {
		conn, err := db.dial(ctx)
		if err == nil {
			return conn
		}
		if ctx.Err() != nil {
			db.t.Fatalf("connect to the database: %v", err)
		}
		sleep(ctx, 20*time.Millisecond)
	}
}

func (db *database) dial(ctx context.Context) (*pgx.Conn, error) {
	if db.srv == nil { // it accepts only the user of the Parley that runs it
		return parleytest.ConnectDatabase(ctx, db.dataDir)
	}
	return pgx.Connect(ctx, db.url)
}

// exec runs a statement and gives the rows' first column, as text.
func (db *database) exec(ctx context.Context, sql string, args ...any) []string {
	db.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	conn := db.connect(ctx)
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		db.t.Fatal(err)
	}
	texts, err := pgx.CollectRows(rows, pgx.RowTo[string]) // none, of what returns no rows
	if err != nil {
		db.t.Fatal(err)
	}
	return texts
}

// copyTree copies a stopped server's data with owners and modes, as a file-level backup.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		dest, stat := filepath.Join(to, rel), info.Sys().(*syscall.Stat_t)
		switch {
		case d.IsDir():
			err = os.MkdirAll(dest, info.Mode().Perm())
		case info.Mode().IsRegular():
			var b []byte
			if b, err = os.ReadFile(path); err == nil {
				err = os.WriteFile(dest, b, info.Mode().Perm())
			}
		default: // sockets are made again
			return nil
		}
		if err != nil {
			return err
		}
		return os.Chown(dest, int(stat.Uid), int(stat.Gid))
	})
}
