package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"parley/problem"
	"parley/store"
	"parley/store/storetest"
)

func TestProblemOfStates(t *testing.T) {
	t.Parallel()
	const other = problem.Code("")
	for _, c := range []struct {
		state     string
		want      problem.Code
		transient bool
	}{
		{"23505", problem.Conflict, false},
		{"23503", problem.Conflict, false},
		{"23514", problem.Invalid, false},
		{"22001", problem.Invalid, false},
		{"22021", problem.Invalid, false},
		{"22P05", problem.Invalid, false},
		{"54000", problem.TooLarge, false},
		{"08006", problem.Unavailable, true},
		{"57P01", problem.Unavailable, true}, // admin shutdown
		{"57P02", problem.Unavailable, true}, // crash shutdown
		{"57P03", problem.Unavailable, true}, // starting up
		{"57014", problem.Unavailable, true}, // statement timeout
		{"40001", problem.Unavailable, true},
		{"40P01", problem.Unavailable, true},
		{"55P03", problem.Unavailable, true},
		{"53100", problem.Unavailable, true}, // disk full
		{"53300", problem.Unavailable, true}, // too many connections
		{"25006", problem.Unavailable, true}, // has become a standby
		{"58030", problem.Unavailable, true}, // I/O error
		{"28P01", problem.Unavailable, true},
		{"42601", other, false}, // our statement is wrong
		{"42P01", other, false},
		{"0A000", other, false},
	} {
		err := fmt.Errorf("do something: %w", &pgconn.PgError{Code: c.state})
		p, ok := store.Problem(err).(*problem.Error)
		switch {
		case !ok && c.want != other, ok && p.Code != c.want:
			t.Errorf("%s is %v, not %q", c.state, store.Problem(err), c.want)
		case ok && !errors.Is(p, err):
			t.Errorf("%s: the cause is lost", c.state)
		}
		if got := store.Transient(err); got != c.transient {
			t.Errorf("%s: transient %v", c.state, got)
		}
	}
}

func TestProblemLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	own := problem.New(problem.Forbidden, "No.").Because(context.Canceled)
	for _, err := range []error{nil, pgx.ErrNoRows, errors.New("x"), own, fmt.Errorf("wrap: %w", own)} {
		if got := store.Problem(err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
	for _, err := range []error{context.Canceled, context.DeadlineExceeded, io.ErrUnexpectedEOF} {
		p, ok := store.Problem(fmt.Errorf("wrap: %w", err)).(*problem.Error)
		if !ok || p.Code != problem.Unavailable || !store.Transient(err) {
			t.Errorf("%v became %v", err, p)
		}
	}
}

// The same from a real server, by whatever way pgx reports them.
func TestProblemOfRealErrors(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := storetest.New(t)
	id := uuid.New()
	const insert = `INSERT INTO users (id, username, display_name, password_hash, role) VALUES ($1, $2, $3, '', 'member')`
	if _, err := db.Exec(ctx, insert, id, "ann", "Ann"); err != nil {
		t.Fatal(err)
	}
	check := func(what string, err error, want problem.Code, transient bool) {
		t.Helper()
		if err == nil {
			t.Errorf("%s: no error", what)
			return
		}
		if got := problem.From(store.Problem(err)).Code; got != want || store.Transient(err) != transient {
			t.Errorf("%s: %s, transient %v: %v", what, got, store.Transient(err), err)
		}
	}
	_, err := db.Exec(ctx, insert, uuid.New(), "ann", "Ann")
	check("taken name", err, problem.Conflict, false)
	if !store.IsUniqueViolation(err, "users_username_key") || !store.IsUniqueViolation(err, "") || store.IsUniqueViolation(err, "users_pkey") {
		t.Errorf("taken name: %v", err)
	}
	_, err = db.Exec(ctx, insert, uuid.New(), "A", "A")
	check("bad name", err, problem.Invalid, false)
	_, err = db.Exec(ctx, insert, uuid.New(), "bob", "zero\x00byte")
	check("zero byte", err, problem.Invalid, false)
	_, err = db.Exec(ctx, insert, uuid.New(), "bob", "not UTF-8 \xff")
	check("not UTF-8", err, problem.Invalid, false)
	_, err = db.Exec(ctx, `SELEKT 1`)
	check("our mistake", err, problem.Internal, false)

	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err = db.Exec(short, `SELECT pg_sleep(5)`)
	check("deadline in a call", err, problem.Unavailable, true)
	_, err = db.Exec(short, `SELECT 1`)
	check("deadline before a call", err, problem.Unavailable, true)

	err = db.InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SELECT pg_terminate_backend(pg_backend_pid())`)
		return err
	})
	check("terminated", err, problem.Unavailable, true)

	err = db.InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT FROM users WHERE id = $1 FOR UPDATE`, id); err != nil {
			return err
		}
		return db.InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '50ms'`); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `SELECT FROM users WHERE id = $1 FOR UPDATE`, id)
			return err
		})
	})
	check("lock timeout", err, problem.Unavailable, true)

	_, err = store.Open(ctx, store.Config{URL: "postgres://127.0.0.1:1/x"})
	check("nobody there", err, problem.Unavailable, true)
	_, err = store.Open(ctx, store.Config{URL: "postgres://user:secret@[/x"})
	check("no URL", err, problem.Internal, false)
	db.Close()
	_, err = db.Exec(ctx, `SELECT 1`)
	check("closed pool", err, problem.Unavailable, true)
}
