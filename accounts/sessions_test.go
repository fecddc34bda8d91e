package accounts

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/web"
)

func TestEveryOperationNeedsASession(t *testing.T) {
	t.Parallel()
	b := setup(t, noLimits)
	// Its own API, to walk over what Routes registers.
	w, err := web.New(web.Config{})
	if err != nil {
		t.Fatal(err)
	}
	b.Routes(w.API())
	var public []string
	n := 0
	for path, item := range w.API().OpenAPI().Paths {
		for method, op := range map[string]*huma.Operation{
			"GET": item.Get, "POST": item.Post, "PUT": item.Put, "PATCH": item.Patch, "DELETE": item.Delete,
		} {
			if op == nil {
				continue
			}
			n++
			name := method + " " + path
			if op.Metadata[web.MetaPublic] == true {
				public = append(public, name)
				if method == "POST" && path != "/invites/check" && op.Metadata[web.MetaPassword] != true {
					t.Errorf("%s takes a password and is not marked: plain http is not warned of", name)
				}
				continue
			}
			path := strings.ReplaceAll(path, "{id}", "01970000-0000-7000-8000-000000000000")
			for what, h := range map[string]header{
				"nothing":          func(*http.Request) {},
				"an unknown token": bearer(strings.Repeat("A", 43)),
				"a short token":    bearer("x"),
				"no token":         bearer(""),
				"another scheme":   func(r *http.Request) { r.SetBasicAuth("admin", goodPassword) },
				"a bad cookie":     cookie("__Host-parley", "x"),
			} {
				a := b.call(method, path, object{}, h).wants(401)
				if p := decode[problemBody](a); p.Code != "unauthenticated" || a.header.Get("WWW-Authenticate") != "Bearer" {
					t.Errorf("%s with %s: %s", name, what, a.body)
				}
			}
		}
	}
	slices.Sort(public)
	if want := []string{"GET /signup", "POST /invites/check", "POST /sessions", "POST /setup", "POST /users"}; !slices.Equal(public, want) {
		t.Errorf("public are %v, want %v", public, want)
	}
	if n < 15 {
		t.Errorf("only %d operations were found", n)
	}
}

// Without the database nobody is told to sign in again.
func TestUnreachableDatabaseIsNotASignOut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann := b.person("ann", RoleMember)
	b.db.Close()
	for _, a := range []answer{
		b.call("GET", "/me", nil, bearer(ann.Token)),
		b.call("POST", "/sessions", object{"username": "ann", "password": goodPassword}),
		b.call("POST", "/setup", object{"token": "x", "username": "ann", "display_name": "x", "password": goodPassword}),
	} {
		if p := decode[problemBody](a.wants(503)); p.Code != "unavailable" {
			t.Errorf("%s", a.body)
		}
	}
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.CreateUser(t.Context(), NewUser{Username: "Anna.Lind", DisplayName: " Anna Lind ", Password: goodPassword}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"anna.lind", "Anna.Lind", "ANNA.LIND"} {
		a := b.call("POST", "/sessions", object{"username": name, "password": goodPassword}).wants(201)
		in := decode[SignedIn](a)
		if in.User.Username != "anna.lind" || in.User.DisplayName != "Anna Lind" || len(in.Token) != 43 {
			t.Errorf("%s: %s", name, a.body)
		}
		if n := b.count(`SELECT count(*) FROM sessions WHERE encode(token_hash, 'escape') LIKE '%' || $1 || '%'`, in.Token); n != 0 {
			t.Error("the token is stored")
		}
		c, err := http.ParseSetCookie(a.header.Get("Set-Cookie"))
		if err != nil || c.Value != in.Token {
			t.Fatalf("cookie %v, err %v", c, err)
		}
		// Both ways in, and the header before the cookie.
		b.call("GET", "/me", nil, cookie(c.Name, c.Value)).wants(200)
		b.call("GET", "/me", nil, bearer(in.Token)).wants(200)
		b.call("GET", "/me", nil, bearer(in.Token), cookie(c.Name, "x")).wants(200)
		b.call("GET", "/me", nil, bearer("x"), cookie(c.Name, c.Value)).wants(401)
	}
	for name, f := range map[string]object{
		"a wrong password":         {"username": "anna.lind", "password": goodPassword + "x"},
		"another case":             {"username": "anna.lind", "password": strings.ToUpper(goodPassword)},
		"an empty password":        {"username": "anna.lind", "password": ""},
		"an unknown username":      {"username": "anna", "password": goodPassword},
		"no possible username":     {"username": "anna lind", "password": goodPassword},
		"a username with a NUL":    {"username": "anna\u2400", "password": goodPassword},
		"the longest of passwords": {"username": "anna.lind", "password": strings.Repeat("𝄞", 256)},
	} {
		a := b.call("POST", "/sessions", f).wants(401)
		if p := decode[problemBody](a); p.Code != "unauthenticated" || p.Detail != errWrongPassword.Detail || a.header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %s", name, a.body)
		}
	}
}

func TestCookie(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		secure bool
		base   string
		want   string
	}{
		{false, "", "parley=T; Path=/; Max-Age=34560000; HttpOnly; SameSite=Lax"},
		{true, "", "__Host-parley=T; Path=/; Max-Age=34560000; HttpOnly; Secure; SameSite=Lax"},
		{true, "/chat", "__Secure-parley=T; Path=/chat; Max-Age=34560000; HttpOnly; Secure; SameSite=Lax"},
		{false, "/chat", "parley=T; Path=/chat; Max-Age=34560000; HttpOnly; SameSite=Lax"},
	} {
		s := New(Config{SecureCookies: c.secure, BasePath: c.base})
		set, del := s.cookie(t.Context(), "T"), s.expiredCookies(t.Context())
		if got := set.String(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
		// The last of them is of the name that was set.
		if got, want := del[len(del)-1].String(), strings.NewReplacer("=T;", "=;", "34560000", "0").Replace(c.want); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann := b.person("ann", RoleMember)
	eve := b.person("eve", RoleMember)
	agent := func(s string) header { return func(r *http.Request) { r.Header.Set("User-Agent", s) } }
	phone := decode[SignedIn](b.call("POST", "/sessions", object{"username": "ann", "password": goodPassword},
		agent("phone\xff \u202eapp "+strings.Repeat("é", 200))).wants(201))

	list := func(token string) []Session {
		t.Helper()
		return decode[struct{ Sessions []Session }](b.call("GET", "/sessions", nil, bearer(token)).wants(200)).Sessions
	}
	got := list(phone.Token)
	if len(got) != 2 || !got[0].Current || got[1].Current || got[0].ID != b.who(phone.Token).SessionID || got[1].ID != b.who(ann.Token).SessionID {
		t.Fatalf("the sessions are %+v", got)
	}
	if ua := got[0].UserAgent; !strings.HasPrefix(ua, "phone app é") || len(ua) > maxUserAgent || got[1].UserAgent != "test" {
		t.Errorf("user agents %q, %q", ua, got[1].UserAgent)
	}
	if life := got[0].ExpiresAt.Sub(got[0].CreatedAt); life != sessionLife {
		t.Errorf("it lives for %v", life)
	}

	annID, phoneID := b.who(ann.Token).SessionID, b.who(phone.Token).SessionID
	b.call("DELETE", "/sessions/"+annID.String(), nil, bearer(eve.Token)).wants(404)
	b.call("DELETE", "/sessions/nonsense", nil, bearer(eve.Token)).wants(400)
	b.call("GET", "/me", nil, bearer(ann.Token)).wants(200)

	b.call("DELETE", "/sessions/"+annID.String(), nil, bearer(phone.Token)).wants(204)
	b.call("GET", "/me", nil, bearer(ann.Token)).wants(401)
	if !b.sockets.wasClosed(annID) || b.sockets.wasClosed(phoneID) {
		t.Error("not the sockets of that session were closed")
	}

	// Of one whose end had no answer, so that its sockets may be there, the same once more.
	unanswered := b.who(b.signIn("ann").Token).SessionID
	b.exec(`UPDATE sessions SET ended_at = now() - interval '10 minutes' WHERE id = '` + unanswered.String() + `'`)
	b.call("DELETE", "/sessions/"+unanswered.String(), nil, bearer(phone.Token)).wants(204)
	if !b.sockets.wasClosed(unanswered) {
		t.Error("its sockets stay")
	}

	a := b.call("DELETE", "/sessions/current", nil, bearer(phone.Token)).wants(204)
	if c, err := http.ParseSetCookie(a.header.Get("Set-Cookie")); err != nil || c.MaxAge >= 0 || c.Value != "" || c.Name != b.cookieName(true) {
		t.Errorf("signing out sets the cookie %v, err %v", c, err)
	}
	b.call("GET", "/me", nil, bearer(phone.Token)).wants(401)
	if !b.sockets.wasClosed(phoneID) {
		t.Error("the sockets of the session that signed out stay")
	}

	one, two, three := b.signIn("ann"), b.signIn("ann"), b.signIn("ann")
	twoID := b.who(two.Token).SessionID
	b.call("DELETE", "/sessions", nil, bearer(two.Token)).wants(204)
	b.call("GET", "/me", nil, bearer(one.Token)).wants(401)
	b.call("GET", "/me", nil, bearer(three.Token)).wants(401)
	if got := list(two.Token); len(got) != 1 || got[0].ID != twoID || b.sockets.wasClosed(twoID) {
		t.Errorf("left are %+v", got)
	}
	b.call("GET", "/me", nil, bearer(eve.Token)).wants(200)
}

func TestSessionExpiry(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann := b.person("ann", RoleMember)
	id := b.who(ann.Token).SessionID
	age := func() (used, left time.Duration) {
		t.Helper()
		if err := b.db.QueryRow(t.Context(), `SELECT now() - last_used_at, expires_at - now() FROM sessions WHERE id = $1`, id).Scan(&used, &left); err != nil {
			t.Fatal(err)
		}
		return used, left
	}

	// Within the hour nothing is written, and after it by Run, not by the request.
	b.exec(`UPDATE sessions SET last_used_at = now() - interval '59 minutes', expires_at = now() + interval '1 day'`)
	b.who(ann.Token)
	if err := b.writeUsed(t.Context()); err != nil {
		t.Fatal(err)
	}
	if used, _ := age(); used < 59*time.Minute {
		t.Errorf("written within the hour: used %v ago", used)
	}
	b.exec(`UPDATE sessions SET last_used_at = now() - interval '61 minutes'`)
	b.who(ann.Token)
	if used, _ := age(); used < time.Hour {
		t.Error("written while the request waited")
	}
	if err := b.writeUsed(t.Context()); err != nil {
		t.Fatal(err)
	}
	if used, left := age(); used > time.Minute || left < sessionLife-time.Minute {
		t.Errorf("used %v ago, %v left", used, left)
	}

	b.exec(`UPDATE sessions SET expires_at = now() - interval '1 second'`)
	b.call("GET", "/me", nil, bearer(ann.Token)).wants(401)
	defer b.run()()
	b.eventually("the sockets of an expired session are closed", func() bool { return b.sockets.wasClosed(id) })
}

// What another replica or the command line ends has its sockets closed here.
func TestSessionsEndedElsewhere(t *testing.T) {
	t.Parallel()
	here := setup(t)
	there := replica(t, here.db)
	ann, ben, eve := here.person("ann", RoleMember), here.person("ben", RoleAdmin), here.person("eve", RoleAdmin)
	annID, benID, eveID := here.who(ann.Token).SessionID, here.who(ben.Token).SessionID, here.who(eve.Token).SessionID

	// One that a transaction ends that began before Run and commits after.
	tx, err := here.db.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(t.Context(), endSession, benID, ben.User.ID); err != nil {
		t.Fatal(err)
	}
	defer here.run()()
	here.call("DELETE", "/sessions/current", nil, bearer(eve.Token)).wants(204) // here itself
	if !here.sockets.wasClosed(eveID) {
		t.Error("a session that ends here keeps its sockets for a moment")
	}
	there.call("DELETE", "/sessions/"+annID.String(), nil, bearer(ann.Token)).wants(204)
	start := time.Now()
	here.eventually("a session that ended elsewhere is closed here", func() bool { return here.sockets.wasClosed(annID) })
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if here.sockets.wasClosed(benID) {
		t.Fatal("closed before its end was committed")
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	here.eventually("a late commit is seen", func() bool { return here.sockets.wasClosed(benID) })
}

// A replica that stood still for longer than the overlap goes on where it was.
func TestClosingGoesOnAfterAPause(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann := b.person("ann", RoleMember)
	id := b.who(ann.Token).SessionID
	b.exec(`UPDATE sessions SET ended_at = now() - interval '10 minutes'`)
	var seen time.Time
	if err := b.closeEnded(t.Context(), &seen); err != nil || seen.IsZero() {
		t.Fatal(seen, err)
	}
	if b.sockets.wasClosed(id) {
		t.Error("what ended long before the start is read")
	}
	seen = seen.Add(-11 * time.Minute)
	if err := b.closeEnded(t.Context(), &seen); err != nil {
		t.Fatal(err)
	}
	if !b.sockets.wasClosed(id) {
		t.Error("what ended during the pause is missed")
	}
}

func TestPrune(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann := b.person("ann", RoleAdmin)
	b.exec(`INSERT INTO sessions (id, user_id, token_hash, expires_at, ended_at) VALUES
		(gen_random_uuid(), $1, 'old', now(), now() - interval '31 days'), (gen_random_uuid(), $1, 'recent', now(), now() - interval '29 days')`, ann.User.ID)
	b.exec(`INSERT INTO login_failures VALUES ('x', now() - interval '61 minutes'), ('x', now() - interval '59 minutes')`)
	b.exec(`INSERT INTO invites (id, code_hash, uses_left, expires_at) VALUES
		(gen_random_uuid(), 'a', 1, now() - interval '1 second'), (gen_random_uuid(), 'b', 0, now() + interval '1 day'), (gen_random_uuid(), 'c', 1, now() + interval '1 day')`)
	if err := b.prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	for sql, want := range map[string]int{
		`SELECT count(*) FROM sessions`: 2, `SELECT count(*) FROM login_failures`: 1, `SELECT count(*) FROM invites`: 1,
		`SELECT count(*) FROM sessions WHERE ended_at IS NULL`: 1,
	} {
		if n := b.count(sql); n != want {
			t.Errorf("%s gives %d, want %d", sql, n, want)
		}
	}
}

// Run outlives a database that refuses, and says so once.
func TestRunOutlivesAnOutage(t *testing.T) {
	t.Parallel()
	var log lines
	b := setup(t, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	ann := b.person("ann", RoleMember)
	id := b.who(ann.Token).SessionID
	b.exec(`ALTER TABLE sessions RENAME TO away`)
	defer b.run()()
	b.eventually("the outage is logged", func() bool { return log.count("looking after sessions fails") == 1 })
	b.exec(`ALTER TABLE away RENAME TO sessions`)
	b.exec(`UPDATE sessions SET ended_at = now()`)
	b.eventually("it goes on", func() bool {
		return b.sockets.wasClosed(id) && log.count("looking after sessions works again") == 1
	})
	if log.count("looking after sessions fails") != 1 {
		t.Error("the outage is logged more than once")
	}
}

// lines collects a log.
type lines struct {
	mu  sync.Mutex // guards buf
	buf strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), s)
}
