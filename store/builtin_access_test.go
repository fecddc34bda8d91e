package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"parley/privilege"
)

func TestWhoCanConnect(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openTempDir(t), "data")
	const trust = "local all all trust\n"
	hba, ident := filepath.Join(dir, "postgres", "pg_hba.conf"), filepath.Join(dir, "postgres", "pg_ident.conf")
	reload := func(t *testing.T, b *Builtin, change func() error) {
		t.Helper()
		db := open(t, b.URL())
		loaded := func() (at time.Time) {
			if err := db.QueryRow(t.Context(), `SELECT pg_conf_load_time()`).Scan(&at); err != nil {
				t.Fatal(err)
			}
			return at
		}
		before := loaded()
		pf, err := readPIDFile(filepath.Join(dir, "postgres"))
		if err := errors.Join(err, change(), syscall.Kill(pf.pid, syscall.SIGHUP)); err != nil {
			t.Fatal(err)
		}
		// A new session might be refused by then; an old one reads the files like the server.
		eventually(t, 20*time.Second, "the server has read its files", func() bool { return loaded().After(before) })
	}

	b := start(t, dir)
	t.Run("no_system_user_but_the_servers", func(t *testing.T) {
		before, err := os.ReadFile(ident)
		if err != nil {
			t.Fatal(err)
		}
		reload(t, b, func() error {
			other := strings.ReplaceAll(string(before), `"`+privilege.Current().Name+`"`, `"another"`)
			if other == string(before) {
				return errors.New("the map does not name this user")
			}
			return os.WriteFile(ident, []byte(other), 0o600)
		})
		conn, err := connectURL(t.Context(), b.URL())
		if err == nil {
			_ = conn.Close(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), "Peer authentication failed") {
			t.Errorf("the database says: %v", err)
		}
	})
	stop(t, b)

	t.Run("rules_of_an_earlier_version_are_replaced", func(t *testing.T) {
		if err := errors.Join(os.WriteFile(hba, []byte(trust), 0o600), os.WriteFile(ident, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		settings := filepath.Join(dir, "postgres", "postgresql.conf")
		f, err := os.OpenFile(settings, os.O_WRONLY|os.O_APPEND, 0)
		if err == nil {
			_, err = f.WriteString("work_mem = '5MB'\n")
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		b := start(t, dir)
		db := open(t, b.URL())
		var rules string
		if err := db.QueryRow(t.Context(), `SELECT string_agg(DISTINCT auth_method, ' ') FROM pg_hba_file_rules WHERE error IS NULL`).Scan(&rules); err != nil || rules != "peer" {
			t.Errorf("the server lets in by %s, %v", rules, err)
		}
		if got := setting(t, db, "work_mem"); got != "5MB" {
			t.Errorf("a person's setting has become %s", got)
		}
		db.Close()
		stop(t, b)
	})

	t.Run("a_server_taken_over_reads_the_new_rules", func(t *testing.T) {
		h := startHelper(t, dir, nil)
		if !strings.HasPrefix(h.said, "ready ") {
			t.Fatalf("helper says %s", h.said)
		}
		if err := h.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = h.Wait() // "signal: killed"
		conn, err := connectURL(t.Context(), strings.TrimPrefix(h.said, "ready "))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		var before, now time.Time
		if err := conn.QueryRow(t.Context(), `SELECT pg_conf_load_time()`).Scan(&before); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(hba, []byte(trust), 0o600); err != nil {
			t.Fatal(err)
		}
		start(t, dir)
		eventually(t, 20*time.Second, "the server has read its files", func() bool {
			return conn.QueryRow(t.Context(), `SELECT pg_conf_load_time()`).Scan(&now) == nil && now.After(before)
		})
		if b, err := os.ReadFile(hba); err != nil || string(b) != accessRules {
			t.Errorf("the rules are %q, %v", b, err)
		}
	})
}
