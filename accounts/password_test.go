package accounts

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"parley/problem"
)

func TestChangePassword(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, other := b.person("ann", RoleMember), b.signIn("ann")
	otherID := b.who(other.Token).SessionID
	const next = "a wholly new pass phrase"

	p := decode[problemBody](b.call("PUT", "/me/password", object{"current": "wrong wrong", "new": next}, bearer(ann.Token)).wants(403))
	if len(p.Errors) != 1 || p.Errors[0].Location != "body.current" {
		t.Errorf("%+v", p)
	}
	for _, bad := range []object{{"current": goodPassword, "new": "short"}, {"current": goodPassword}, {"new": next}, {"current": goodPassword, "new": strings.Repeat("x", 257)}} {
		if p := decode[problemBody](b.call("PUT", "/me/password", bad, bearer(ann.Token)).wants(400)); len(p.Errors) == 0 {
			t.Errorf("%v: %+v", bad, p)
		}
	}
	b.call("GET", "/me", nil, bearer(other.Token)).wants(200)

	b.call("PUT", "/me/password", object{"current": goodPassword, "new": next}, bearer(ann.Token)).wants(204)
	b.call("GET", "/me", nil, bearer(ann.Token)).wants(200)
	b.call("GET", "/me", nil, bearer(other.Token)).wants(401)
	if !b.sockets.wasClosed(otherID) || b.sockets.wasClosed(b.who(ann.Token).SessionID) {
		t.Error("not the other session's sockets were closed")
	}
	b.call("POST", "/sessions", object{"username": "ann", "password": goodPassword}).wants(401)
	b.call("POST", "/sessions", object{"username": "ann", "password": next}).wants(201)
}

func TestOperatorResetsPassword(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann := b.person("ann", RoleMember)
	id := b.who(ann.Token).SessionID
	for range maxFailures {
		b.call("POST", "/sessions", object{"username": "ann", "password": "wrong wrong"})
	}
	cli := New(Config{DB: b.db}) // as the command line makes it
	password, err := cli.ResetPassword(t.Context(), "ANN")
	if err != nil || len(password) != 23 {
		t.Fatalf("%q, %v", password, err)
	}
	b.call("GET", "/me", nil, bearer(ann.Token)).wants(401)
	b.call("POST", "/sessions", object{"username": "ann", "password": password}, from("192.0.2.9")).wants(201)
	for _, name := range []string{"nobody", "", "an' OR true"} {
		if _, err := cli.ResetPassword(t.Context(), name); !errors.Is(err, ErrNoUser) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := cli.SetPassword(t.Context(), "ann", "short"); problem.From(err).Code != problem.Invalid {
		t.Errorf("a short password: %v", err)
	}
	defer b.run()()
	b.eventually("the server closes the sockets", func() bool { return b.sockets.wasClosed(id) })
}

// Who signs in with the old password while it is being changed has no session after it.
func TestNoSessionOutlivesItsPassword(t *testing.T) {
	t.Parallel()
	b := setup(t, noLimits)
	b.person("ann", RoleMember)
	old := goodPassword
	for round := range 5 {
		next := fmt.Sprint("pass phrase number ", round)
		var tokens [6]string
		together(len(tokens), func(i int) {
			if i == 3 {
				if err := b.SetPassword(t.Context(), "ann", next); err != nil {
					t.Error(err)
				}
				return
			}
			if in, err := b.SignIn(t.Context(), "ann", old, ""); err == nil {
				tokens[i] = in.Token
			} else if !errors.Is(err, errWrongPassword) {
				t.Error(err)
			}
		})
		for _, token := range tokens {
			if _, err := b.Authenticate(t.Context(), token); !errors.Is(err, ErrUnauthenticated) {
				t.Fatalf("round %d: a session of the old password lives: %v", round, err)
			}
		}
		old = next
	}
}

// The same with the two held in the order that is hard: signed in, but not committed, when
// the password changes; and changed, but not committed, when somebody signs in.
func TestSessionAndPasswordWaitForEachOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann := b.person("ann", RoleMember).User
	_, proved, _, err := b.q.credentialsByID(t.Context(), ann.ID)
	if err != nil {
		t.Fatal(err)
	}
	waiting := func() bool {
		return b.count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) > 0
	}

	tx, err := b.db.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	_, token, err := b.startSession(t.Context(), queries{tx}, ann.ID, proved, "")
	if err != nil {
		t.Fatal(err)
	}
	changed := make(chan error, 1)
	go func() { changed <- b.SetPassword(context.Background(), "ann", "another password") }()
	b.eventually("the change waits for the session", waiting)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-changed; err != nil {
		t.Fatal(err)
	}
	if _, err := b.Authenticate(t.Context(), token); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("the session lives: %v", err)
	}

	_, proved, _, err = b.q.credentialsByID(t.Context(), ann.ID)
	if err != nil {
		t.Fatal(err)
	}
	tx2, err := b.db.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx2.Rollback(context.Background()) }()
	if _, _, err := (queries{tx2}).resetPassword(t.Context(), "ann", "x"); err != nil {
		t.Fatal(err)
	}
	started := make(chan error, 1)
	go func() {
		_, _, err := b.startSession(context.Background(), b.q, ann.ID, proved, "")
		started <- err
	}()
	b.eventually("the session waits for the change", waiting)
	if err := tx2.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-started; !errors.Is(err, errWrongPassword) {
		t.Errorf("a session starts with the password of before: %v", err)
	}
}
