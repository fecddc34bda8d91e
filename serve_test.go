package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"parley/accounts"
	"parley/hub"
	"parley/parleytest"
	"parley/problem"
	"parley/store"
	"parley/store/storetest"
)

func TestMain(m *testing.M) {
	var err error
	if sharedDir, err = os.MkdirTemp("", "parley-main-"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		_ = os.RemoveAll(sharedDir)
		os.Exit(status)
	}))
}

// sharedDir holds what tests make once for all of them.
var sharedDir string

var buildOnce = sync.OnceValues(func() (string, error) { return parleytest.Build(context.Background(), sharedDir) })

// build gives the path of the real binary.
func build(t *testing.T) string {
	t.Helper()
	bin, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

const patience = 20 * time.Second

// testServer is a whole Parley on a database of the test's own.
type testServer struct {
	*server
	t     *testing.T
	cfg   *config
	url   string
	end   context.CancelFunc
	done  func() error // waits for the end
	fails bool         // it ends with an error, and the test looks at it
}

// stop shuts down.
func (s *testServer) stop() error {
	s.end()
	return s.done()
}

// asWeAre lets a server in the test's own process keep the rights of the test.
func asWeAre() error { return nil }

// startTest starts a server as serve does.
func startTest(t *testing.T, change func(*config)) *testServer {
	t.Helper()
	cfg := &config{Listen: "127.0.0.1:0", DatabaseURL: storetest.URL(t), Signup: "invite", RateLimits: "off", PushServices: []string{"push.invalid"}}
	if change != nil {
		change(cfg)
	}
	if err := cfg.check(); err != nil {
		t.Fatal(err)
	}
	s, err := startServer(t.Context(), cfg, slog.New(slog.DiscardHandler), asWeAre)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	ts := &testServer{server: s, t: t, cfg: cfg, url: "http://" + s.listener.Addr().String(),
		end: cancel, done: sync.OnceValue(func() error { return <-ended })}
	t.Cleanup(func() {
		if err := ts.stop(); err != nil && !ts.fails {
			t.Errorf("shutdown: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return ts
}

// person is somebody who is signed in, or with no token somebody who is not.
type person struct {
	name, token string
	id          accounts.UserID
}

const testPassword = "correct horse battery"

// person makes an account and a session.
func (s *testServer) person(name string, role accounts.Role) person {
	s.t.Helper()
	u, err := s.accounts.CreateUser(s.t.Context(), accounts.NewUser{Username: name, Password: testPassword, Role: role})
	if err != nil {
		s.t.Fatal(err)
	}
	return person{name, s.signIn(name), u.ID}
}

func (s *testServer) signIn(name string) string {
	s.t.Helper()
	in, err := s.accounts.SignIn(s.t.Context(), name, testPassword, "test")
	if err != nil {
		s.t.Fatal(err)
	}
	return in.Token
}

// call makes a request and gives "ok" or the code of the problem, and the body.
func (s *testServer) call(who person, method, path, body string) (outcome, answer string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if who.token != "" {
		req.Header.Set("Authorization", "Bearer "+who.token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if res.StatusCode < 300 {
		return "ok", string(b)
	}
	var p problem.Document
	if err := json.Unmarshal(b, &p); err != nil || p.Code == "" {
		return fmt.Sprint(res.StatusCode), string(b)
	}
	return string(p.Code), string(b)
}

// must is call for what has to succeed; it decodes the answer.
func (s *testServer) must(who person, method, path, body string, to any) {
	s.t.Helper()
	outcome, answer := s.call(who, method, path, body)
	if outcome != "ok" {
		s.t.Fatalf("%s %s: %s", method, path, answer)
	}
	if err := json.Unmarshal([]byte(answer), to); err != nil {
		s.t.Fatal(err)
	}
}

// conversation opens the direct conversation of two people.
func (s *testServer) conversation(a, b person) string {
	s.t.Helper()
	var c struct{ ID string }
	s.must(a, "POST", "/conversations", fmt.Sprintf(`{"kind":"direct","user_id":%q}`, b.id), &c)
	return c.ID
}

// send sends a message and gives its seq.
func (s *testServer) send(who person, conversation, text string) int64 {
	s.t.Helper()
	var sent struct{ Seq int64 }
	s.must(who, "POST", "/conversations/"+conversation+"/messages", fmt.Sprintf(`{"client_id":%q,"body":%q}`, uuid.Must(uuid.NewV7()), text), &sent)
	return sent.Seq
}

// frame is what a socket sends or receives.
type frame struct {
	Type  string          `json:"type"`
	ID    string          `json:"id,omitempty"`
	Data  json.RawMessage `json:"data,omitempty"`
	Error *problem.Frame  `json:"error,omitempty"`
}

type socket struct {
	*websocket.Conn
	t *testing.T
}

// dial opens a socket; somebody without a token does not authenticate.
func (s *testServer) dial(who person) *socket {
	s.t.Helper()
	h := http.Header{}
	if who.token != "" {
		h.Set("Authorization", "Bearer "+who.token)
	}
	ws, _, err := websocket.Dial(s.t.Context(), s.url+"/api/v1/socket", &websocket.DialOptions{HTTPHeader: h, Subprotocols: []string{hub.Subprotocol}})
	if err != nil {
		s.t.Fatal(err)
	}
	ws.SetReadLimit(1 << 20)
	s.t.Cleanup(func() { _ = ws.CloseNow() })
	return &socket{ws, s.t}
}

// next reads a frame, or the code the socket was closed with.
func (c *socket) next() (frame, websocket.StatusCode) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, b, err := c.Read(ctx)
	if err != nil {
		code := websocket.CloseStatus(err)
		if code < 0 {
			c.t.Fatal(err)
		}
		return frame{}, code
	}
	var f frame
	if err := json.Unmarshal(b, &f); err != nil {
		c.t.Fatal(err)
	}
	return f, 0
}

// ask sends a request and gives "ok", the code of the error or the code of the close, and
// everything that was received until then.
func (c *socket) ask(kind, data string) (outcome, received string) {
	c.t.Helper()
	b, err := json.Marshal(frame{Type: kind, ID: "1", Data: json.RawMessage(data)})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.Write(c.t.Context(), websocket.MessageText, b); err != nil {
		c.t.Fatal(err)
	}
	for {
		f, code := c.next()
		received += string(f.Data)
		switch {
		case code != 0:
			return fmt.Sprint(int(code)), received
		case f.ID == "1" && f.Type == "reply":
			return "ok", received
		case f.ID == "1" && f.Type == "error":
			return string(f.Error.Code), received
		}
	}
}

// What was accepted before the shutdown is stored and answered in it, and everything ends.
func TestShutdownLosesNothing(t *testing.T) {
	t.Parallel()
	s := startTest(t, nil)
	ann, ben := s.person("ann", accounts.RoleAdmin), s.person("ben", accounts.RoleMember)
	conversation := s.conversation(ann, ben)
	ws := s.dial(ben)
	if f, _ := ws.next(); f.Type != "hello" {
		t.Fatalf("the first frame is %s", f.Type)
	}
	seq := s.send(ann, conversation, "hello")
	for { // a first message comes from the log, with the entry before it
		f, code := ws.next()
		if code != 0 {
			t.Fatalf("closed with %d", code)
		}
		if f.Type == "entry" && strings.Contains(string(f.Data), `"body":"hello"`) {
			break
		}
	}
	if outcome, got := ws.ask("receipt.read", fmt.Sprintf(`{"conversation_id":%q,"seq":%d}`, conversation, seq)); outcome != "ok" {
		t.Fatal(outcome, got)
	}

	// A request whose body is still on its way keeps the HTTP server from ending.
	conn, err := net.Dial("tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := fmt.Sprintf(`{"client_id":%q,"body":"last words"}`, uuid.Must(uuid.NewV7()))
	if _, err := fmt.Fprintf(conn, "POST /api/v1/conversations/%s/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n",
		conversation, ann.token, len(body)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	if n, err := conn.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 100") {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	eventually(t, "the server takes no more connections", func() bool {
		c, err := net.Dial("tcp", s.listener.Addr().String())
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	if _, err := io.WriteString(conn, body); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 201") {
		t.Fatalf("%s, %v", answer, err)
	}

	// The socket was open until then: it gets the message before it is told to go.
	var got []string
	for {
		f, code := ws.next()
		if code != 0 {
			if code != hub.CloseDraining {
				t.Errorf("closed with %d", code)
			}
			break
		}
		got = append(got, string(f.Data))
	}
	if !strings.Contains(strings.Join(got, " "), "last words") {
		t.Errorf("the socket did not get the last message: %s", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}

	// What was promised is in the database: the message, who has read what, and who was here.
	db, err := store.Open(t.Context(), store.Config{URL: s.cfg.DatabaseURL})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var last, annRead, benRead int64
	var seen bool
	err = db.QueryRow(t.Context(), `
		SELECT (SELECT max(seq) FROM entries WHERE conversation_id = $1 AND body = 'last words'),
		       (SELECT read_seq FROM receipts WHERE conversation_id = $1 AND user_id = $2),
		       (SELECT read_seq FROM receipts WHERE conversation_id = $1 AND user_id = $3),
		       EXISTS (SELECT FROM presence WHERE user_id = $3)`, conversation, ann.id, ben.id).
		Scan(&last, &annRead, &benRead, &seen)
	if err != nil || last != seq+1 || annRead != seq+1 || benRead != seq || !seen {
		t.Errorf("last message %d, read by its sender up to %d and by the other, seen %t, up to %d: %v", last, annRead, seen, benRead, err)
	}
}

// A part that ends although nobody asked it to ends the server, in order and with a word.
func TestFailureEndsTheServer(t *testing.T) {
	t.Parallel()
	s := startTest(t, nil)
	s.ready()
	s.fails = true
	if err := s.listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.done(); err == nil || !strings.Contains(err.Error(), "http ended by itself") {
		t.Errorf("it ended with %v", err)
	}
}

// A start that fails leaves nothing behind; TestMain would see it.
func TestStartFails(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct {
		change func(*config)
		want   string
	}{
		"port in use":         {func(c *config) { c.Listen = taken.Addr().String() }, "address already in use"},
		"no such database":    {func(c *config) { c.DatabaseURL = "postgres://127.0.0.1:1/none?sslmode=disable" }, "open the database"},
		"base URL with query": {func(c *config) { c.baseURL = &url.URL{Scheme: "https", Host: "chat.example", RawQuery: "x"} }, "base URL"},
	} {
		cfg := &config{Listen: "127.0.0.1:0", DatabaseURL: storetest.URL(t)}
		c.change(cfg)
		if err := cfg.check(); err != nil {
			t.Fatal(err)
		}
		if _, err := startServer(t.Context(), cfg, slog.New(slog.DiscardHandler), asWeAre); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What the operator reads at the start leads to the first admin, until there is one.
func TestAnnounce(t *testing.T) {
	t.Parallel()
	s := startTest(t, func(c *config) { c.BaseURL = "https://chat.example/team" })
	s.url += "/team"
	var out strings.Builder
	if err := s.announce(t.Context(), &out, s.cfg); err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^Set up: +https://chat\.example/team/setup#(\S+)`).FindStringSubmatch(out.String())
	if m == nil {
		t.Fatalf("no set-up link:\n%s", out.String())
	}
	setup := fmt.Sprintf(`{"token":%q,"username":"ada","display_name":"Ada","password":%q}`, m[1], testPassword)
	if outcome, answer := s.call(person{}, "POST", "/setup", setup); outcome != "ok" {
		t.Fatal(answer)
	}
	out.Reset()
	if err := s.announce(t.Context(), &out, s.cfg); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "setup") || !strings.Contains(out.String(), "https://chat.example/team\n") {
		t.Errorf("with an admin it says:\n%s", out.String())
	}

	// Without a base URL it is an address that works on this machine.
	s = startTest(t, nil)
	out.Reset()
	if err := s.announce(t.Context(), &out, s.cfg); err != nil || !strings.Contains(out.String(), s.url+"/setup#") {
		t.Errorf("%v:\n%s", err, out.String())
	}
}

// ready waits until the server answers.
func (s *testServer) ready() {
	s.t.Helper()
	eventually(s.t, "the server is ready", func() bool {
		res, err := http.Get(s.url + "/readyz")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
