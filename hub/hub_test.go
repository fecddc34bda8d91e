package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"parley/problem"
)

func TestMain(m *testing.M) {
	if os.Getenv(readURL) != "" {
		if err := readForParent(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

var (
	somebody = Identity{uuid.MustParse("01890000-0000-7000-8000-000000000001"), uuid.MustParse("01890000-0000-7000-8000-000000000002")}
	epoch    = uuid.MustParse("01890000-0000-7000-8000-000000000003")
)

// setup starts a hub behind a real HTTP server.
func setup(t testing.TB, change ...func(*Config)) (*Hub, *httptest.Server) {
	t.Helper()
	cfg := Config{
		Logger: slog.New(slog.DiscardHandler),
		Authenticate: func(_ context.Context, token string) (Identity, error) {
			switch token {
			case "good":
				return somebody, nil
			case "down":
				return Identity{}, problem.New(problem.Unavailable, "The database is away.")
			}
			return Identity{}, problem.New(problem.Unauthenticated, "No such session.")
		},
		CookieNames:   []string{"__Host-parley", "parley"},
		OriginAllowed: func(r *http.Request) bool { return r.Header.Get("Origin") == "http://"+r.Host },
		Translate:     func(err error) error { return err },
		Epoch:         epoch,
		Version:       "v1",
	}
	for _, f := range change {
		f(&cfg)
	}
	h := New(cfg)
	h.Mux().Handle("echo", func(_ context.Context, r *Request) (any, error) {
		var data struct {
			Text string `json:"text"`
		}
		if err := r.Bind(&data); err != nil {
			return nil, err
		}
		return data, nil
	})
	h.Mux().Handle("panic", func(context.Context, *Request) (any, error) { panic("a secret detail") })
	h.Mux().Handle("fail", func(context.Context, *Request) (any, error) { return nil, errors.New("a secret detail") })
	srv := httptest.NewServer(h)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = h.Close(ctx)
		srv.Close()
	})
	return h, srv
}

type client struct {
	t  *testing.T
	ws *websocket.Conn
}

func dial(t *testing.T, srv *httptest.Server, header http.Header) (*client, *http.Response, error) {
	t.Helper()
	ws, res, err := websocket.Dial(t.Context(), srv.URL, &websocket.DialOptions{HTTPHeader: header, Subprotocols: []string{Subprotocol}})
	if err != nil {
		return nil, res, err
	}
	ws.SetReadLimit(4 << 20)
	t.Cleanup(func() { _ = ws.CloseNow() })
	return &client{t, ws}, res, nil
}

func connect(t *testing.T, srv *httptest.Server) *client {
	t.Helper()
	c, _, err := dial(t, srv, http.Header{"Authorization": {"Bearer good"}})
	if err != nil {
		t.Fatal(err)
	}
	c.want(`{"type":"hello","data":{"user_id":"` + somebody.UserID.String() + `","session_id":"` + somebody.SessionID.String() +
		`","epoch":"` + epoch.String() + `","heartbeat_s":30,"server_version":"v1"}}`)
	return c
}

func (c *client) send(frame string) {
	c.t.Helper()
	if err := c.ws.Write(c.t.Context(), websocket.MessageText, []byte(frame)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) read() (string, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
	defer cancel()
	_, b, err := c.ws.Read(ctx)
	return string(b), err
}

func (c *client) want(frame string) {
	c.t.Helper()
	got, err := c.read()
	if err != nil {
		c.t.Fatalf("want %s, got %v", frame, err)
	}
	if got != frame {
		c.t.Fatalf("want %s\n got %s", frame, got)
	}
}

func (c *client) wantClosed(code websocket.StatusCode) {
	c.t.Helper()
	for {
		_, err := c.read()
		if err == nil {
			continue // what was under way before the close
		}
		if got := websocket.CloseStatus(err); got != code {
			c.t.Fatalf("want close code %d, got %d (%v)", code, got, err)
		}
		return
	}
}

func TestHandshake(t *testing.T) {
	t.Parallel()
	_, srv := setup(t)
	own := srv.URL
	for _, tc := range []struct {
		name   string
		header http.Header
		status int // of a refused handshake
		hello  bool
		code   websocket.StatusCode
	}{
		{name: "bearer", header: http.Header{"Authorization": {"Bearer good"}}, hello: true},
		{name: "bearer with own origin", header: http.Header{"Authorization": {"bearer good"}, "Origin": {own}}, hello: true},
		{name: "wrong bearer", header: http.Header{"Authorization": {"Bearer bad"}}, code: CloseNotAuthenticated},
		{name: "empty bearer", header: http.Header{"Authorization": {"Bearer "}}, code: CloseNotAuthenticated},
		{name: "cookie with own origin", header: http.Header{"Cookie": {"parley=good"}, "Origin": {own}}, hello: true},
		{name: "cookie for https", header: http.Header{"Cookie": {"parley=bad; __Host-parley=good"}, "Origin": {own}}, hello: true},
		{name: "stale cookie for https", header: http.Header{"Cookie": {"parley=good; __Host-parley=bad"}, "Origin": {own}}, code: CloseNotAuthenticated},
		{name: "stale cookie", header: http.Header{"Cookie": {"parley=bad"}, "Origin": {own}}, code: CloseNotAuthenticated},
		{name: "cookie with a foreign origin", header: http.Header{"Cookie": {"parley=good"}, "Origin": {"https://evil.example"}}, status: http.StatusForbidden},
		{name: "bearer with a foreign origin", header: http.Header{"Authorization": {"Bearer good"}, "Origin": {"null"}}, status: http.StatusForbidden},
		{name: "database away", header: http.Header{"Authorization": {"Bearer down"}}, status: http.StatusServiceUnavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, res, err := dial(t, srv, tc.header)
			if tc.status != 0 {
				if err == nil || res.StatusCode != tc.status || res.Header.Get("Content-Type") != "application/problem+json" {
					t.Fatalf("want a problem with status %d, got %v %v", tc.status, res, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !tc.hello {
				c.wantClosed(tc.code)
				return
			}
			if f, err := c.read(); err != nil || !strings.HasPrefix(f, `{"type":"hello"`) {
				t.Fatalf("want hello, got %s %v", f, err)
			}
		})
	}
}

// A cookie alone, without Origin, is not taken: such a client has to authenticate with
// a frame, like one that sends nothing.
func TestAuthFrame(t *testing.T) {
	t.Parallel()
	_, srv := setup(t)
	for _, header := range []http.Header{nil, {"Cookie": {"parley=good"}}} {
		c, _, err := dial(t, srv, header)
		if err != nil {
			t.Fatal(err)
		}
		c.send(`{"type":"auth","id":"1","data":{"token":"good"}}`)
		c.want(`{"type":"reply","id":"1","data":{}}`)
		if f, err := c.read(); err != nil || !strings.HasPrefix(f, `{"type":"hello"`) {
			t.Fatalf("want hello, got %s %v", f, err)
		}
	}
	for _, frame := range []string{
		`{"type":"auth","id":"1","data":{"token":"bad"}}`,
		`{"type":"auth","data":{"token":"good"}}`,
		`{"type":"echo","id":"1","data":{"text":"x"}}`,
		`not JSON`,
		"", // nothing at all, for five seconds
	} {
		c, _, err := dial(t, srv, nil)
		if err != nil {
			t.Fatal(err)
		}
		if frame != "" {
			c.send(frame)
		}
		c.wantClosed(CloseNotAuthenticated)
	}
}

func TestFrames(t *testing.T) {
	t.Parallel()
	_, srv := setup(t)
	c := connect(t, srv)
	for _, tc := range []struct{ send, want string }{
		{`{"type":"echo","id":"1","data":{"text":"hi"}}`, `{"type":"reply","id":"1","data":{"text":"hi"}}`},
		{`{"type":"echo","id":"2"}`, `{"type":"reply","id":"2","data":{"text":""}}`},
		{`{"type":"presence.heartbeat","id":"b","data":{}}`, `{"type":"reply","id":"b","data":{}}`},
		{`{"type":"nothing","id":"3","data":{}}`, `{"type":"error","id":"3","error":{"code":"invalid","detail":"There is no such frame type."}}`},
		{`{"type":"fail","id":"4"}`, `{"type":"error","id":"4","error":{"code":"internal","detail":"internal error"}}`},
		{`{"type":"panic","id":"4"}`, `{"type":"error","id":"4","error":{"code":"internal","detail":"internal error"}}`},
		{`{"type":"echo","id":"5","data":{"text":1}}`, `{"type":"error","id":"5","error":{"code":"invalid","detail":"A field is not valid.","errors":[{"location":"text","message":"has to be a string"}]}}`},
		{`{"type":"echo","id":"6","data":{"other":1}}`, `{"type":"error","id":"6","error":{"code":"invalid","detail":"A field is not valid.","errors":[{"location":"other","message":"unexpected property"}]}}`},
		{`{"type":"echo","id":"7","data":{}} {}`, `{"type":"error","error":{"code":"invalid","detail":"Malformed frame: more than one JSON value."}}`},
		{`{"type":"echo","data":{}}`, `{"type":"error","error":{"code":"invalid","detail":"A request needs an id of 1 to 64 bytes."}}`},
		{`{"type":"echo","id":"` + strings.Repeat("x", 65) + `"}`, `{"type":"error","error":{"code":"invalid","detail":"A request needs an id of 1 to 64 bytes."}}`},
		{`{`, `{"type":"error","error":{"code":"invalid","detail":"Malformed frame: not valid JSON near byte 1."}}`},
		{`{"type":"echo","id":"8","data":` + strings.Repeat("[", 30000) + strings.Repeat("]", 30000) + `}`, `{"type":"error","id":"8","error":{"code":"invalid","detail":"Nested deeper than 16."}}`},
		{`{"type":"echo","id":"9","data":{"text":"still here"}}`, `{"type":"reply","id":"9","data":{"text":"still here"}}`},
	} {
		c.send(tc.send)
		c.want(tc.want)
	}
}

func TestFramesThatCloseTheConnection(t *testing.T) {
	t.Parallel()
	_, srv := setup(t)
	for name, tc := range map[string]struct {
		kind websocket.MessageType
		data []byte
		code websocket.StatusCode
	}{
		"binary":    {websocket.MessageBinary, []byte("{}"), websocket.StatusUnsupportedData},
		"not UTF-8": {websocket.MessageText, []byte("{\"type\":\"\xff\"}"), websocket.StatusInvalidFramePayloadData},
		"too big":   {websocket.MessageText, bytes.Repeat([]byte(" "), maxFrame+1), websocket.StatusMessageTooBig},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := connect(t, srv)
			if err := c.ws.Write(t.Context(), tc.kind, tc.data); err != nil {
				t.Fatal(err)
			}
			c.wantClosed(tc.code)
		})
	}
}

func TestPublishKeepsOrderForEverybody(t *testing.T) {
	t.Parallel()
	h, srv := setup(t)
	topic := NewTopics[int](h)
	h.OnOpen(func(_ context.Context, c *Conn) error { topic.Join(c, 1, 2); topic.Join(c, 1); return nil })
	const clients, frames = 20, 500
	var cs []*client
	for range clients {
		cs = append(cs, connect(t, srv))
	}
	for i := range frames {
		topic.Publish(1, event("n", i))
	}
	for _, c := range cs {
		for i := range frames {
			c.want(fmt.Sprintf(`{"type":"n","data":%d}`, i))
		}
	}
}

// A closed connection leaves every map by itself, and joins none afterwards.
func TestClosedConnectionsLeave(t *testing.T) {
	t.Parallel()
	h, srv := setup(t)
	topic := NewTopics[string](h)
	var conn *Conn
	h.OnOpen(func(_ context.Context, c *Conn) error { conn = c; topic.Join(c, "a", "b", "c"); return nil })
	c := connect(t, srv)
	topic.Leave(conn, "b")
	if !topic.Has("a", conn) || topic.Has("b", conn) || !topic.Any("c") {
		t.Fatal("Leave took the wrong key")
	}
	if err := c.ws.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return h.Connections() == 0 && !topic.Any("a") && !topic.Any("c") })
	topic.Join(conn, "d")
	if topic.Any("d") || len(topic.keys) != 0 {
		t.Fatal("a closed connection joined")
	}
}

func TestSessionEnd(t *testing.T) {
	t.Parallel()
	h, srv := setup(t)
	c := connect(t, srv)
	h.CloseSession(uuid.New()) // another one
	c.send(`{"type":"echo","id":"1","data":{"text":"still here"}}`)
	c.want(`{"type":"reply","id":"1","data":{"text":"still here"}}`)
	h.CloseSession(somebody.SessionID)
	c.wantClosed(CloseSessionEnded)
}

// What waits in the outbox is written before the close frame.
func TestCloseFlushes(t *testing.T) {
	t.Parallel()
	h, srv := setup(t)
	var conn *Conn
	h.OnOpen(func(_ context.Context, c *Conn) error { conn = c; return nil })
	c := connect(t, srv)
	for i := range 100 {
		conn.Send(event("n", i))
	}
	conn.Close(CloseDraining, "going away")
	conn.Send(event("n", "too late"))
	for i := range 100 {
		c.want(fmt.Sprintf(`{"type":"n","data":%d}`, i))
	}
	c.wantClosed(CloseDraining)
}

func TestWatch(t *testing.T) {
	t.Parallel()
	h, srv := setup(t)
	silent, alive := connect(t, srv), connect(t, srv)
	h.watch(time.Now().Add(60 * time.Second))
	alive.send(`{"type":"echo","id":"1","data":{"text":"x"}}`)
	alive.want(`{"type":"reply","id":"1","data":{"text":"x"}}`)
	h.watch(time.Now().Add(75 * time.Second))
	silent.wantClosed(CloseHeartbeatMissed)
	for _, c := range h.all() {
		// By the monotonic clock: a step of the time of day is nobody's silence.
		if heard := c.Heard(); !strings.Contains(heard.String(), "m=") {
			t.Errorf("heard at %v", heard)
		}
	}
	alive.send(`{"type":"echo","id":"2","data":{"text":"x"}}`)
	alive.want(`{"type":"reply","id":"2","data":{"text":"x"}}`)
}

// However many connections a user opens, all of them together may send so many frames. Each refusal
// says when to go on.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	for _, frame := range []string{`{"type":"echo","id":"1","data":{"text":"x"}}`, `not JSON`} {
		_, srv := setup(t, func(c *Config) { c.RateLimits = true })
		refused := 0
		for range 10 { // each sends less than one alone may
			c := connect(t, srv)
			for range framesBurst / 2 {
				c.send(frame)
				f, err := c.read()
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(f, `"rate_limited"`) && strings.Contains(f, `"retry_after":1`) {
					refused++
				}
			}
		}
		if refused == 0 {
			t.Fatalf("no frame %s was refused", frame)
		}
	}
}

// What is published to a connection that is being opened comes after its hello.
func TestHelloComesFirst(t *testing.T) {
	t.Parallel()
	h, srv := setup(t)
	topic := NewTopics[int](h)
	h.OnOpen(func(_ context.Context, c *Conn) error {
		topic.Join(c, 1)
		topic.Publish(1, event("n", 1))
		return nil
	})
	c, _, err := dial(t, srv, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.send(`{"type":"auth","id":"1","data":{"token":"good"}}`)
	for _, want := range []string{`{"type":"reply","id":"1"`, `{"type":"hello"`, `{"type":"n","data":1}`} {
		if f, err := c.read(); err != nil || !strings.HasPrefix(f, want) {
			t.Fatalf("want %s, got %s %v", want, f, err)
		}
	}
}

func TestRefusedOpen(t *testing.T) {
	t.Parallel()
	h, srv := setup(t)
	h.OnOpen(func(context.Context, *Conn) error { return problem.New(problem.Unavailable, "Not now.") })
	c, _, err := dial(t, srv, http.Header{"Authorization": {"Bearer good"}})
	if err != nil {
		t.Fatal(err)
	}
	c.wantClosed(websocket.StatusTryAgainLater)
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen within 10 s")
		}
		time.Sleep(time.Millisecond)
	}
}

// event encodes an event that can be.
func event(kind string, data any) []byte {
	frame, err := EncodeEvent(kind, data)
	if err != nil {
		panic(err)
	}
	return frame
}
