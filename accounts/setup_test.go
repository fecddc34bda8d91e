package accounts

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"parley/store"
	"parley/store/storetest"
	"parley/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const goodPassword = "correct horse battery"

// bundle is one replica: a Service on a real database behind the real HTTP server.
type bundle struct {
	*Service
	t       *testing.T
	db      *store.DB
	url     string
	sockets *sockets
}

// sockets stands for the hub: it notes whose sockets were to be closed.
type sockets struct {
	mu     sync.Mutex // guards closed
	closed map[SessionID]int
}

func (s *sockets) CloseSession(id uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed[SessionID(id)]++
}

func (s *sockets) wasClosed(id SessionID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed[id] > 0
}

func setup(t *testing.T, change ...func(*Config)) *bundle {
	t.Helper()
	return replica(t, storetest.New(t), change...)
}

func replica(t *testing.T, db *store.DB, change ...func(*Config)) *bundle {
	t.Helper()
	base, err := url.Parse("https://chat.example.org")
	if err != nil {
		t.Fatal(err)
	}
	w, err := web.New(web.Config{
		BaseURL: base, Logger: slog.New(slog.DiscardHandler), Translate: store.Problem,
		// So that a test's client can be at any address.
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	if err != nil {
		t.Fatal(err)
	}
	sockets := &sockets{closed: map[SessionID]int{}}
	cfg := Config{
		DB: db, Logger: slog.New(slog.DiscardHandler), Sessions: sockets,
		PublicURL: w.PublicURL, ClientIP: web.ClientIP, SecureCookies: w.Secure(), RateLimits: true,
	}
	for _, f := range change {
		f(&cfg)
	}
	s := New(cfg)
	s.Protect(w.API())
	s.Routes(w.API())
	srv := httptest.NewServer(w.Handler())
	t.Cleanup(srv.Close)
	t.Cleanup(srv.Client().CloseIdleConnections)
	return &bundle{s, t, db, srv.URL + "/api/v1", sockets}
}

func open(c *Config)       { c.Signup = SignupOpen }
func closed(c *Config)     { c.Signup = SignupClosed }
func noLimits(c *Config)   { c.RateLimits = false }
func membersToo(c *Config) { c.MembersInvite = true }
func (b *bundle) run() (end func()) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = b.Run(ctx) }()
	return func() { stop(); <-done }
}

// answer is an answer to an HTTP request.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   []byte
}

// problemBody is the shape of an error, and of nothing else.
type problemBody struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Errors []struct {
		Location string `json:"location"`
		Message  string `json:"message"`
	} `json:"errors"`
}

// wants fails the test unless the answer has the status, and is a problem if it has to be.
func (a answer) wants(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	if status >= 400 {
		if got := a.header.Get("Content-Type"); got != "application/problem+json" {
			a.t.Errorf("an error has the Content-Type %q", got)
		}
		if p := decode[problemBody](a); p.Status != status || p.Code == "" || p.Detail == "" {
			a.t.Errorf("not a whole problem: %s", a.body)
		}
	}
	return a
}

func decode[T any](a answer) (v T) {
	a.t.Helper()
	if err := json.Unmarshal(a.body, &v); err != nil {
		a.t.Fatalf("%v in %s", err, a.body)
	}
	return v
}

type header func(*http.Request)

func bearer(token string) header {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}
func cookie(name, value string) header {
	return func(r *http.Request) { r.AddCookie(&http.Cookie{Name: name, Value: value}) }
}
func from(address string) header {
	return func(r *http.Request) { r.Header.Set("X-Forwarded-For", address) }
}

type object map[string]any

// call makes a request. A string is sent as it is, nil is no body, all else as JSON.
func (b *bundle) call(method, path string, body any, headers ...header) answer {
	b.t.Helper()
	var r io.Reader
	switch v := body.(type) {
	case nil:
	case string:
		r = bytes.NewBufferString(v)
	default:
		j, err := json.Marshal(v)
		if err != nil {
			b.t.Fatal(err)
		}
		r = bytes.NewReader(j)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, b.url+path, r)
	if err != nil {
		b.t.Fatal(err)
	}
	if r != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		h(req)
	}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{b.t, res.StatusCode, res.Header, got}
}

func form(username string) object {
	return object{"username": username, "display_name": username, "password": goodPassword}
}

// person makes somebody with a session.
func (b *bundle) person(username string, role Role) SignedIn {
	b.t.Helper()
	if _, err := b.CreateUser(b.t.Context(), NewUser{Username: username, Password: goodPassword, Role: role}); err != nil {
		b.t.Fatal(err)
	}
	return b.signIn(username)
}

func (b *bundle) signIn(username string) SignedIn {
	b.t.Helper()
	in, err := b.SignIn(b.t.Context(), username, goodPassword, "test")
	if err != nil {
		b.t.Fatal(err)
	}
	return in
}

// who gives what a token stands for.
func (b *bundle) who(token string) Identity {
	b.t.Helper()
	who, err := b.Authenticate(b.t.Context(), token)
	if err != nil {
		b.t.Fatal(err)
	}
	return who
}

func (b *bundle) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.db.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) count(sql string, args ...any) (n int) {
	b.t.Helper()
	if err := b.db.QueryRow(b.t.Context(), sql, args...).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// eventually polls until the condition holds.
func (b *bundle) eventually(what string, holds func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			b.t.Fatalf("never: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// together runs f for 0 to n-1 at the same time and waits for all.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() { <-start; f(i) })
	}
	close(start)
	wg.Wait()
}
