package faults

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestProxy holds the proxy to what it claims: a commit whose answer it loses happened, one
// that it keeps back did not, and notifications it drops never arrive.
func TestProxy(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	db := newDatabase(ctx, t, "")
	proxy, err := NewProxy(ctx, db.socket(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := proxy.Close(); err != nil {
			t.Error(err)
		}
	}()
	db.exec(ctx, `CREATE TABLE entries (n int)`)
	connect := func() *pgx.Conn {
		conn, err := pgx.Connect(ctx, proxy.URL())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		return conn
	}
	// Each stores n in the way of one of the server's packages.
	ways := map[string]func(conn *pgx.Conn, n int) error{
		"pipeline": func(conn *pgx.Conn, n int) error {
			b := &pgx.Batch{}
			b.Queue(`SELECT n FROM entries WHERE n = $1`, n)
			b.Queue(`INSERT INTO entries VALUES ($1)`, n)
			return conn.SendBatch(ctx, b).Close()
		},
		"transaction": func(conn *pgx.Conn, n int) error {
			return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
				_, err := tx.Exec(ctx, `INSERT INTO entries VALUES ($1)`, n)
				return err
			})
		},
	}
	n := 0
	for name, store := range ways {
		for fate, want := range map[Fate]int{AnswerLost: 1, NeverMade: 0} {
			n++
			conn := connect()
			if err := store(conn, -n); err != nil {
				t.Fatalf("%s, before: %v", name, err)
			}
			proxy.Doom(1, fate)
			if _, err := conn.Exec(ctx, `SELECT 1`); err != nil {
				t.Errorf("%s: what stores nothing met the fate of a commit: %v", name, err)
			}
			if err := store(conn, n); err == nil {
				t.Errorf("%s, fate %d: the commit was answered", name, fate)
			}
			if got := len(db.exec(ctx, `SELECT n::text FROM entries WHERE n = $1`, n)); got != want {
				t.Errorf("%s, fate %d: %d rows, not %d", name, fate, got, want)
			}
			if proxy.Met() != n {
				t.Errorf("%s, fate %d: %d commits met theirs, not %d", name, fate, proxy.Met(), n)
			}
		}
	}

	conn := connect()
	if _, err := conn.Exec(ctx, `LISTEN there`); err != nil {
		t.Fatal(err)
	}
	if pid := proxy.Listener(); pid != int(conn.PgConn().PID()) {
		t.Errorf("the session that listens is %d, not %d", pid, conn.PgConn().PID())
	}
	proxy.DropHints(true)
	db.exec(ctx, `SELECT pg_notify('there', 'dropped')::text`)
	until(ctx, func() bool { return proxy.HintsDropped() == 1 })
	proxy.DropHints(false)
	db.exec(ctx, `SELECT pg_notify('there', 'passed')::text`)
	if got, err := conn.WaitForNotification(ctx); err != nil || got.Payload != "passed" {
		t.Errorf("the notification %v, %v", got, err)
	}

	proxy.Mute(false, true)
	short, stop := context.WithTimeout(ctx, 200*time.Millisecond)
	defer stop()
	if _, err := conn.Exec(short, `SELECT 1`); err == nil {
		t.Error("an answer came through where nothing comes through")
	}
}
