package chat

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"parley/accounts"
	"parley/hub"
	"parley/store"
	"parley/store/storetest"
)

// bundle is one replica: a Service on a real database, with sockets.
type bundle struct {
	*Service
	t   *testing.T
	db  *store.DB
	srv *httptest.Server
}

func setup(t *testing.T, change ...func(*Config)) *bundle {
	t.Helper()
	return withBus(t, storetest.New(t), nil, change...)
}

// replica starts a Service on a database that others may use too, which nobody tells it of. A
// token is the id of its user.
func replica(t *testing.T, db *store.DB) *bundle { return withBus(t, db, nil) }

// linked starts a replica that hears of others like it.
func linked(t *testing.T, db *store.DB) *bundle {
	t.Helper()
	return withBus(t, db, store.NewBus(db))
}

func withBus(t *testing.T, db *store.DB, bus *store.Bus, change ...func(*Config)) *bundle {
	t.Helper()
	h := hub.New(hub.Config{
		Logger: slog.New(slog.DiscardHandler),
		Authenticate: func(_ context.Context, token string) (hub.Identity, error) {
			return hub.Identity{UserID: uuid.MustParse(token), SessionID: uuid.New()}, nil
		},
		Translate: store.Problem,
	})
	cfg := Config{
		DB: db, Bus: bus, Hub: h, Logger: slog.New(slog.DiscardHandler),
		Person: accounts.New(accounts.Config{DB: db, Logger: slog.New(slog.DiscardHandler)}).User,
	}
	for _, f := range change {
		f(&cfg)
	}
	s := New(cfg)
	s.Frames(h.Mux())
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	if bus != nil {
		running.Go(func() { _ = bus.Run(ctx) })
	}
	go func() { defer close(done); running.Wait() }()
	srv := httptest.NewServer(h)
	t.Cleanup(func() {
		_ = h.Close(ctx)
		srv.Close()
		stop()
		<-done
	})
	return &bundle{s, t, db, srv}
}

func (b *bundle) user(name string) accounts.UserID {
	b.t.Helper()
	id := accounts.UserID(uuid.Must(uuid.NewV7()))
	_, err := b.db.Exec(b.t.Context(),
		`INSERT INTO users (id, username, display_name, password_hash, role) VALUES ($1, $2, $2, '', 'member')`, id, name)
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// pair makes two people and their conversation, which both opened.
func (b *bundle) pair() (ann, ben accounts.UserID, id ConversationID) {
	b.t.Helper()
	ann, ben = b.user("ann"), b.user("ben")
	return ann, ben, b.direct(ann, ben)
}

// direct opens the direct conversation of two users, from both sides.
func (b *bundle) direct(ann, ben accounts.UserID) ConversationID {
	b.t.Helper()
	if _, err := b.OpenDirect(b.t.Context(), ann, ben); err != nil {
		b.t.Fatal(err)
	}
	c, err := b.OpenDirect(b.t.Context(), ben, ann)
	if err != nil {
		b.t.Fatal(err)
	}
	return c.ID
}

func (b *bundle) send(from accounts.UserID, to ConversationID, body string) Sent {
	b.t.Helper()
	sent, err := b.Send(b.t.Context(), Outgoing{ConversationID: to, SenderID: from, ClientID: newClientID(), Body: body})
	if err != nil {
		b.t.Fatal(err)
	}
	return sent
}

func newClientID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// log reads a whole log and checks that its seqs are 1..N.
func (b *bundle) log(id ConversationID) []Entry {
	b.t.Helper()
	entries, err := b.q.entriesBehind(b.t.Context(), []head{{id, 0}}, 1_000_000, 1_000_000)
	if err != nil {
		b.t.Fatal(err)
	}
	for i, e := range entries {
		if e.Seq != Seq(i+1) {
			b.t.Fatalf("the entry at place %d has seq %d", i+1, e.Seq)
		}
	}
	return entries
}

// gate gives the gate of a conversation, unlocked; nil if there is none.
func (b *bundle) gate(id ConversationID) *gate {
	gt := b.gates.find(id)
	if gt != nil {
		gt.mu.Unlock()
	}
	return gt
}

type frame struct {
	Type  string          `json:"type"`
	ID    string          `json:"id"`
	Data  json.RawMessage `json:"data"`
	Error *struct {
		Code string `json:"code"`
	} `json:"error"`
}

type client struct {
	t  *testing.T
	ws *websocket.Conn
}

func (b *bundle) connect(user accounts.UserID) *client {
	b.t.Helper()
	ws, _, err := websocket.Dial(b.t.Context(), strings.Replace(b.srv.URL, "http", "ws", 1), &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"Bearer " + user.String()}}, Subprotocols: []string{hub.Subprotocol},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	ws.SetReadLimit(1 << 20)
	b.t.Cleanup(func() { _ = ws.CloseNow() })
	c := &client{b.t, ws}
	if f := c.next(); f.Type != "hello" {
		b.t.Fatalf("the first frame is %s", f.Type)
	}
	return c
}

func (c *client) next() frame {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	_, b, err := c.ws.Read(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	var f frame
	if err := json.Unmarshal(b, &f); err != nil {
		c.t.Fatal(err)
	}
	return f
}

// entry waits for the next entry event.
func (c *client) entry() Entry {
	c.t.Helper()
	for {
		if f := c.next(); f.Type == "entry" {
			return decode[Entry](c.t, f.Data)
		}
	}
}

func decode[T any](t *testing.T, data []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return v
}
