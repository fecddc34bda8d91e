package store

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// A server that may lose what it acknowledged is refused, wherever that was set.
func TestServerThatIsNotDurableIsRefused(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := start(t, filepath.Join(openTempDir(t), "data"))
	srv, url := b.srv, b.URL()
	stop(t, b)

	// Once more without the settings that Parley insists on.
	cmd := srv.bin.command(srv.dir.data(), "postgres", "-D", srv.dir.data(),
		"-c", "listen_addresses=", "-c", "unix_socket_directories="+srv.socketDir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	proc := childProcess(cmd)
	t.Cleanup(func() {
		if err := proc.shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := srv.waitReady(ctx, proc); err != nil {
		t.Fatal(err)
	}
	admin, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.Background()) })

	db := open(t, url) // as it is, it will do
	for _, name := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		set(t, admin, name, "off")
		_, err := Open(ctx, Config{URL: url})
		if _, ok := errors.AsType[*UnfitError](err); !ok || !strings.HasPrefix(err.Error(), name+" is off on the database server") {
			t.Errorf("%s off: %v", name, err)
		}
		if name == "synchronous_commit" {
			if got := setting(t, db, name); got != "on" {
				t.Errorf("a session from before has synchronous_commit %s", got)
			}
		}
		set(t, admin, name, "on")
	}
	if _, err := admin.Exec(ctx, `ALTER ROLE parley SET synchronous_commit = off`); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ctx, Config{URL: url}); err == nil || !strings.Contains(err.Error(), "for Parley's role") {
		t.Errorf("off for the role: %v", err)
	}
}

// set changes a setting of the whole server and waits until it holds.
func set(t *testing.T, admin *pgx.Conn, name, value string) {
	t.Helper()
	for _, sql := range []string{`ALTER SYSTEM SET ` + name + ` = '` + value + `'`, `SELECT pg_reload_conf()`} {
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 5*time.Second, name+" is "+value, func() bool {
		var got string
		return admin.QueryRow(t.Context(), `SELECT current_setting($1)`, name).Scan(&got) == nil && got == value
	})
}

func TestUnfitServers(t *testing.T) {
	t.Parallel()
	good := serverState{
		versionNum: "150004", version: "15.4", encoding: "UTF8", fsync: "on", fullPageWrites: "on", synchronousCommit: "local",
	}
	if reason := good.unfit(); reason != "" {
		t.Errorf("a good one: %s", reason)
	}
	for want, change := range map[string]func(*serverState){
		"needs version 15":                     func(s *serverState) { s.versionNum, s.version = "140010", "14.10" },
		"ENCODING 'UTF8'":                      func(s *serverState) { s.encoding = "SQL_ASCII" },
		"point Parley at the primary":          func(s *serverState) { s.standby = true },
		"fsync is off":                         func(s *serverState) { s.fsync = "off" },
		"full_page_writes is off":              func(s *serverState) { s.fullPageWrites = "off" },
		"synchronous_commit is off on the da":  func(s *serverState) { s.synchronousCommit = "off" },
		"synchronous_commit is local although": func(s *serverState) { s.synchronousStandbys = "standby1" },
	} {
		s := good
		change(&s)
		if reason := s.unfit(); !strings.Contains(reason, want) {
			t.Errorf("says %q, not %q", reason, want)
		}
	}
}
