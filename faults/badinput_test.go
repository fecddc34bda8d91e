package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"parley/parleytest"
)

// secret is in every text sent here; it must not turn up in the server's log.
const secret = "SECRET-TEXT"

// badInput is a server with a pair of people and a third who is in no conversation.
type badInput struct {
	server *parleytest.Server
	pair   parleytest.Pair
	third  parleytest.Session
	known  uuid.UUID // client_id of a message stored before
}

// TestBadInput sends what no good client sends, over real connections. Everything is
// refused in the documented form, nothing of it is stored, what can go on goes on, and
// the server says nothing of it in its log that is not for the log.
func TestBadInput(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	b := &badInput{server: start(t), known: uuid.Must(uuid.NewV7())}
	pairs, err := b.server.Pairs(ctx, "bad", 1)
	if err != nil {
		t.Fatal(err)
	}
	third, err := b.server.SignUp(ctx, "third", 1)
	if err != nil {
		t.Fatal(err)
	}
	b.pair, b.third = pairs[0], third[0]
	api := b.server.Client(b.pair.A.Token)
	first, err := api.Send(ctx, b.pair.Conversation, b.known, secret)
	if err != nil {
		t.Fatal(err)
	}

	t.Run("frames", func(t *testing.T) { b.frames(ctx, t) })
	t.Run("closes", func(t *testing.T) { b.closes(ctx, t) })
	t.Run("requests", func(t *testing.T) { b.requests(ctx, t) })

	if _, last, err := api.Entries(ctx, b.pair.Conversation, 0, 100); err != nil || last != first.Seq {
		t.Errorf("the log ends at %d instead of %d: %v", last, first.Seq, err)
	}
	log := b.server.Log()
	for _, bad := range []string{secret, "panic", "goroutine ", `"level":"ERROR"`, "level=ERROR", b.pair.A.Token} {
		if strings.Contains(log, bad) {
			t.Errorf("the server's log has %q:\n%s", bad, b.server.LogTail())
		}
	}
}

func (b *badInput) dial(ctx context.Context, t *testing.T, token string) *websocket.Conn {
	t.Helper()
	ws, _, err := websocket.Dial(ctx, b.server.URL()+"/api/v1/socket", &websocket.DialOptions{
		HTTPHeader:   http.Header{"Authorization": {"Bearer " + token}},
		Subprotocols: []string{"parley.v1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	ws.SetReadLimit(readLimit)
	return ws
}

// awaitFrame reads frames up to the first that fits.
func awaitFrame(ctx context.Context, t *testing.T, ws *websocket.Conn, fits func(frame) bool) frame {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		_, b, err := ws.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var f frame
		if err := json.Unmarshal(b, &f); err != nil {
			t.Fatalf("a frame %q: %v", b, err)
		}
		if fits(f) {
			return f
		}
	}
}

// isAnswer passes over events: what was sent before may have some to tell at any time.
func isAnswer(f frame) bool { return f.Type == "reply" || f.Type == "error" }

// sendFrame is a message.send frame with the id "x".
func sendFrame(conversation, client any, body string, more ...any) string {
	data := map[string]any{"conversation_id": conversation, "client_id": client, "body": body}
	for i := 0; i < len(more); i += 2 {
		data[more[i].(string)] = more[i+1]
	}
	f, err := json.Marshal(map[string]any{"type": "message.send", "id": "x", "data": data})
	if err != nil {
		panic(err)
	}
	return string(f)
}

func (b *badInput) frames(ctx context.Context, t *testing.T) {
	conv, id := b.pair.Conversation, uuid.Must(uuid.NewV7())
	for _, c := range []struct {
		name, text string
		id         string   // of the error
		codes      []string // any of them
	}{
		{"not JSON", `hello`, "", []string{"invalid"}},
		{"nothing", ``, "", []string{"invalid"}},
		{"half a frame", `{"type":"message.send","id":"x"`, "", []string{"invalid"}},
		{"two frames", `{"type":"sync","id":"x"}{"type":"sync","id":"y"}`, "", []string{"invalid"}},
		{"null", `null`, "", []string{"invalid"}},
		{"a list", `[{"type":"sync","id":"x"}]`, "", []string{"invalid"}},
		{"a number for a type", `{"type":1,"id":"x"}`, "x", []string{"invalid"}},
		{"deeply nested", `{"type":"sync","id":"x","data":` + strings.Repeat("[", 60_000) + `}`, "x", []string{"invalid"}},
		{"deeply nested, well formed", `{"type":"sync","id":"x","data":` + strings.Repeat(`[`, 30_000) + strings.Repeat(`]`, 30_000) + `}`, "x", []string{"invalid"}},
		{"nested as deep as JSON may", `{"type":"sync","id":"x","data":{"conversations":` + strings.Repeat(`[`, 9_000) + strings.Repeat(`]`, 9_000) + `}}`, "x", []string{"invalid"}},
		{"no id", `{"type":"sync"}`, "", []string{"invalid"}},
		{"an id of 65 bytes", `{"type":"sync","id":"` + strings.Repeat("x", 65) + `"}`, "", []string{"invalid"}},
		{"a number for an id", `{"type":"sync","id":7}`, "", []string{"invalid"}},
		{"an unknown type", `{"type":"no.such","id":"x"}`, "x", []string{"invalid"}},
		{"an event's type", `{"type":"entry","id":"x","data":{}}`, "x", []string{"invalid"}},
		{"a second auth", `{"type":"auth","id":"x","data":{"token":"t"}}`, "x", []string{"invalid"}},
		{"no data", `{"type":"message.send","id":"x"}`, "x", []string{"invalid", "not_found"}},
		{"a text for data", `{"type":"message.send","id":"x","data":"` + secret + `"}`, "x", []string{"invalid"}},
		{"a conversation that is no UUID", sendFrame("general", id, secret), "x", []string{"invalid"}},
		{"a client_id that is no UUID", sendFrame(conv, "1", secret), "x", []string{"invalid"}},
		{"no client_id", sendFrame(conv, nil, secret), "x", []string{"invalid"}},
		{"a client_id of zeros", sendFrame(conv, uuid.Nil, secret), "x", []string{"invalid"}},
		{"a body of 0 bytes", sendFrame(conv, id, ""), "x", []string{"invalid"}},
		{"a body of 16,385 bytes", sendFrame(conv, id, strings.Repeat("x", 16_385)), "x", []string{"too_large", "invalid"}},
		{"a body of 16,385 bytes in 5,462 runes", sendFrame(conv, id, strings.Repeat("€", 5_461)+"xx"), "x", []string{"too_large", "invalid"}},
		{"a body with a zero in it", sendFrame(conv, id, secret+"\x00"), "x", []string{"invalid"}},
		{"a reply to nothing", sendFrame(conv, id, secret, "reply_to", 1<<40), "x", []string{"invalid", "not_found"}},
		{"a negative reply_to", sendFrame(conv, id, secret, "reply_to", -1), "x", []string{"invalid", "not_found"}},
		{"a reply_to beyond 64 bits", sendFrame(conv, id, secret, "reply_to", 1e30), "x", []string{"invalid"}},
		{"a conversation that is not there", sendFrame(uuid.Must(uuid.NewV7()), id, secret), "x", []string{"not_found", "forbidden"}},
		{"the same client_id with another body", sendFrame(conv, b.known, secret+" 2"), "x", []string{"conflict"}},
		{"a sync of a conversation that is no UUID", `{"type":"sync","id":"x","data":{"conversations":{"general":1}}}`, "x", []string{"invalid"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ws := b.dial(ctx, t, b.pair.A.Token)
			b.refused(ctx, t, ws, c.text, c.id, c.codes)
			b.goesOn(ctx, t, ws)
		})
	}
	t.Run("a conversation one is not in", func(t *testing.T) {
		ws := b.dial(ctx, t, b.third.Token)
		b.refused(ctx, t, ws, sendFrame(conv, id, secret), "x", []string{"not_found", "forbidden"})
		b.refused(ctx, t, ws, sendFrame(conv, b.known, secret), "x", []string{"not_found", "forbidden"})
	})
	t.Run("another's client_id", func(t *testing.T) {
		ws := b.dial(ctx, t, b.pair.B.Token)
		b.refused(ctx, t, ws, sendFrame(conv, b.known, secret), "x", []string{"conflict"})
	})
}

// refused sends a frame and expects an error.
func (b *badInput) refused(ctx context.Context, t *testing.T, ws *websocket.Conn, text, id string, codes []string) {
	t.Helper()
	if err := ws.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
	f := awaitFrame(ctx, t, ws, isAnswer)
	if f.Type != "error" || f.ID != id || !slices.Contains(codes, f.Error.Code) || f.Error.Detail == "" {
		t.Errorf("answered %+v, data %s; not an error %v for %q", f, f.Data, codes, id)
	}
}

// goesOn sends what was sent before: the connection still works, and a repeat is one.
func (b *badInput) goesOn(ctx context.Context, t *testing.T, ws *websocket.Conn) {
	t.Helper()
	if err := ws.Write(ctx, websocket.MessageText, []byte(sendFrame(b.pair.Conversation, b.known, secret))); err != nil {
		t.Fatal(err)
	}
	if f := awaitFrame(ctx, t, ws, isAnswer); f.Type != "reply" || f.ID != "x" {
		t.Errorf("afterwards a good frame was answered %+v", f)
	}
}

func (b *badInput) closes(ctx context.Context, t *testing.T) {
	for _, c := range []struct {
		name string
		kind websocket.MessageType
		text string
		code websocket.StatusCode
	}{
		{"binary", websocket.MessageBinary, sendFrame(b.pair.Conversation, uuid.New(), secret), websocket.StatusUnsupportedData},
		{"not UTF-8", websocket.MessageText, "{\"type\":\"sync\",\"id\":\"\xff\xfe\"}", websocket.StatusInvalidFramePayloadData},
		{"a surrogate in UTF-8", websocket.MessageText, "{\"type\":\"sync\",\"id\":\"\xed\xa0\x80\"}", websocket.StatusInvalidFramePayloadData},
		{"a frame above 64 KB", websocket.MessageText, sendFrame(b.pair.Conversation, uuid.New(), strings.Repeat("x", 64<<10)), websocket.StatusMessageTooBig},
	} {
		t.Run(c.name, func(t *testing.T) {
			ws := b.dial(ctx, t, b.pair.A.Token)
			awaitFrame(ctx, t, ws, func(f frame) bool { return f.Type == "hello" })
			// The server may close before it has read all of it.
			_ = ws.Write(ctx, c.kind, []byte(c.text))
			if code := closeCode(ctx, ws); code != c.code {
				t.Errorf("closed with %d, not %d", code, c.code)
			}
		})
	}
	for _, c := range []struct{ name, token, first string }{
		{"a wrong token", "nonsense", ""},
		{"no auth at first", "", `{"type":"sync","id":"x"}`},
		{"auth with a wrong token", "", `{"type":"auth","id":"x","data":{"token":"nonsense"}}`},
		{"auth that is malformed", "", `{"type":"auth"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			header := http.Header{}
			if c.token != "" {
				header.Set("Authorization", "Bearer "+c.token)
			}
			ws, _, err := websocket.Dial(ctx, b.server.URL()+"/api/v1/socket", &websocket.DialOptions{
				HTTPHeader: header, Subprotocols: []string{"parley.v1"}})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = ws.CloseNow() }()
			if c.first != "" {
				if err := ws.Write(ctx, websocket.MessageText, []byte(c.first)); err != nil {
					t.Fatal(err)
				}
			}
			if code := closeCode(ctx, ws); code != 4500 {
				t.Errorf("closed with %d, not 4500", code)
			}
		})
	}
}

// closeCode reads until the server closes.
func closeCode(ctx context.Context, ws *websocket.Conn) websocket.StatusCode {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		if _, _, err := ws.Read(ctx); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

func (b *badInput) requests(ctx context.Context, t *testing.T) {
	conv := "/conversations/" + b.pair.Conversation.String()
	message := func(client any, body string) string {
		m, err := json.Marshal(map[string]any{"client_id": client, "body": body})
		if err != nil {
			panic(err)
		}
		return string(m)
	}
	id := uuid.Must(uuid.NewV7())
	for _, c := range []struct {
		name, token, method, path, body string
		codes                           []string
	}{
		{"not JSON", b.pair.A.Token, "POST", conv + "/messages", `hello`, []string{"invalid"}},
		{"no body", b.pair.A.Token, "POST", conv + "/messages", ``, []string{"invalid"}},
		{"half a body", b.pair.A.Token, "POST", conv + "/messages", `{"client_id":`, []string{"invalid"}},
		{"a list", b.pair.A.Token, "POST", conv + "/messages", `[]`, []string{"invalid"}},
		{"deeply nested", b.pair.A.Token, "POST", conv + "/messages", strings.Repeat("[", 60_000), []string{"invalid"}},
		{"deeply nested in a field", b.pair.A.Token, "POST", conv + "/messages", `{"client_id":` + strings.Repeat(`{"a":`, 10_000), []string{"invalid"}},
		{"not UTF-8", b.pair.A.Token, "POST", conv + "/messages", `{"client_id":"` + id.String() + "\",\"body\":\"" + secret + "\xff\"}", []string{"invalid"}},
		{"a text of 0 bytes", b.pair.A.Token, "POST", conv + "/messages", message(id, ""), []string{"invalid"}},
		{"a text of 16,385 bytes", b.pair.A.Token, "POST", conv + "/messages", message(id, strings.Repeat("x", 16_385)), []string{"too_large", "invalid"}},
		{"a text with a zero in it", b.pair.A.Token, "POST", conv + "/messages", message(id, secret+"\x00"), []string{"invalid"}},
		{"8 MB", b.pair.A.Token, "POST", conv + "/messages", message(id, strings.Repeat("x", 8<<20)), []string{"too_large"}},
		{"no client_id", b.pair.A.Token, "POST", conv + "/messages", `{"body":"` + secret + `"}`, []string{"invalid"}},
		{"a client_id of zeros", b.pair.A.Token, "POST", conv + "/messages", message(uuid.Nil, secret), []string{"invalid"}},
		{"a conversation that is no UUID", b.pair.A.Token, "POST", "/conversations/general/messages", message(id, secret), []string{"invalid", "not_found"}},
		{"a conversation that is not there", b.pair.A.Token, "POST", "/conversations/" + uuid.NewString() + "/messages", message(id, secret), []string{"not_found", "forbidden"}},
		{"a conversation one is not in: send", b.third.Token, "POST", conv + "/messages", message(id, secret), []string{"not_found", "forbidden"}},
		{"a conversation one is not in: repeat", b.third.Token, "POST", conv + "/messages", message(b.known, secret), []string{"not_found", "forbidden"}},
		{"a conversation one is not in: see", b.third.Token, "GET", conv, "", []string{"not_found", "forbidden"}},
		{"a conversation one is not in: page", b.third.Token, "GET", conv + "/messages", "", []string{"not_found", "forbidden"}},
		{"a conversation one is not in: log", b.third.Token, "GET", conv + "/entries", "", []string{"not_found", "forbidden"}},
		{"another body", b.pair.A.Token, "POST", conv + "/messages", message(b.known, secret+" 2"), []string{"conflict"}},
		{"another's client_id", b.pair.B.Token, "POST", conv + "/messages", message(b.known, secret), []string{"conflict"}},
		{"no token", "", "POST", conv + "/messages", message(id, secret), []string{"unauthenticated"}},
		{"a wrong token", "nonsense", "GET", conv + "/messages", "", []string{"unauthenticated"}},
		{"a limit of -1", b.pair.A.Token, "GET", conv + "/messages?limit=-1", "", []string{"invalid"}},
		{"a limit that is no number", b.pair.A.Token, "GET", conv + "/messages?limit=many", "", []string{"invalid"}},
		{"a seq that is no number", b.pair.A.Token, "GET", conv + "/messages?before=now", "", []string{"invalid"}},
		{"a seq beyond 64 bits", b.pair.A.Token, "GET", conv + "/entries?after=99999999999999999999", "", []string{"invalid"}},
		{"two bounds", b.pair.A.Token, "GET", conv + "/messages?before=9&around=5", "", []string{"invalid"}},
		{"a conversation with oneself", b.pair.A.Token, "POST", "/conversations", `{"kind":"direct","user_id":"` + b.pair.A.User.ID.String() + `"}`, []string{"invalid"}},
		{"a conversation with nobody", b.pair.A.Token, "POST", "/conversations", `{"kind":"direct","user_id":"` + uuid.NewString() + `"}`, []string{"not_found"}},
		{"an unknown kind", b.pair.A.Token, "POST", "/conversations", `{"kind":"party"}`, []string{"invalid"}},
		{"no such route", b.pair.A.Token, "GET", "/no/such/route", "", []string{"not_found"}},
		{"no such method", b.pair.A.Token, "DELETE", "/conversations", "", []string{"invalid", "not_found"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := b.server.Client(c.token)
			var body io.Reader
			if c.method == "POST" {
				body = strings.NewReader(c.body)
			}
			res, err := client.Raw(ctx, c.method, c.path, body)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			if err := problemOf(res, c.codes); err != nil {
				t.Error(err)
			}
		})
	}
}

// problemOf holds an answer against the documented form of a problem.
func problemOf(res *http.Response, codes []string) error {
	var p struct {
		Type, Title, Detail, Code string
		Status                    int
	}
	if err := json.NewDecoder(res.Body).Decode(&p); err != nil {
		return fmt.Errorf("answered %s, which is no problem document: %w", res.Status, err)
	}
	switch ct := res.Header.Get("Content-Type"); {
	case ct != "application/problem+json":
		return fmt.Errorf("answered %s as %s", res.Status, ct)
	case !slices.Contains(codes, p.Code):
		return fmt.Errorf("answered %s %s (%s), not %v", res.Status, p.Code, p.Detail, codes)
	case p.Status != res.StatusCode || res.StatusCode/100 != 4:
		return fmt.Errorf("answered %s with status %d in the document", res.Status, p.Status)
	case p.Type == "" || p.Title == "" || p.Detail == "":
		return errors.New("answered with a problem that says too little")
	}
	return nil
}
