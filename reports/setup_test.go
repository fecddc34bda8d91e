package reports

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
	"go.uber.org/goleak"

	"parley/accounts"
	"parley/chat"
	"parley/hub"
	"parley/store"
	"parley/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// bundle is one replica: reports, chat and accounts on a real database, with sockets.
type bundle struct {
	*Service
	t     *testing.T
	db    *store.DB
	chat  *chat.Service
	users *accounts.Service
	srv   *httptest.Server

	mu      sync.Mutex // guards decided
	decided []string   // what was told to OnDecided
}

func setup(t *testing.T) *bundle {
	t.Helper()
	return replica(t, storetest.New(t))
}

// replica starts one on a database that others may use too. A token is the id of its user.
func replica(t *testing.T, db *store.DB) *bundle {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	bus := store.NewBus(db)
	h := hub.New(hub.Config{
		Logger: log,
		Authenticate: func(_ context.Context, token string) (hub.Identity, error) {
			return hub.Identity{UserID: uuid.MustParse(token), SessionID: uuid.New()}, nil
		},
		Translate: store.Problem,
	})
	b := &bundle{t: t, db: db, users: accounts.New(accounts.Config{DB: db, Bus: bus, Logger: log})}
	b.chat = chat.New(chat.Config{DB: db, Bus: bus, Hub: h, Logger: log, Person: b.users.User})
	b.Service = New(Config{DB: db, Bus: bus, Logger: log, ByUser: b.chat.ByUser(), Messages: b.chat, Users: b.users, RateLimits: true,
		OnDecided: func(_ context.Context, _ accounts.Identity, _ accounts.UserID, decision, report string) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.decided = append(b.decided, decision+" "+report)
		}})
	b.budget = nil // TestBudget has one
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = b.chat.Run(ctx) })
	running.Go(func() { _ = bus.Run(ctx) })
	running.Go(func() { _ = b.Run(ctx) })
	b.srv = httptest.NewServer(h)
	t.Cleanup(func() {
		_ = h.Close(ctx)
		b.srv.Close()
		stop()
		running.Wait()
	})
	return b
}

func (b *bundle) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.db.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) user(name, role string) accounts.UserID {
	b.t.Helper()
	id := accounts.UserID(uuid.Must(uuid.NewV7()))
	b.exec(`INSERT INTO users (id, username, display_name, password_hash, role) VALUES ($1, $2, $2, '', $3)`, id, name, role)
	return id
}

func (b *bundle) admin(name string) accounts.Identity {
	b.t.Helper()
	who := accounts.Identity{UserID: b.user(name, "admin"), SessionID: accounts.SessionID(uuid.New()), Role: accounts.RoleAdmin}
	b.exec(`INSERT INTO sessions (id, user_id, token_hash, expires_at) VALUES ($1, $2, $3, now() + interval '1 day')`, who.SessionID, who.UserID, who.SessionID[:])
	return who
}

func (b *bundle) group(of ...accounts.UserID) chat.ConversationID {
	b.t.Helper()
	c, err := b.chat.CreateGroup(b.t.Context(), of[0], "Group", of[1:])
	if err != nil {
		b.t.Fatal(err)
	}
	return c.ID
}

func (b *bundle) send(from accounts.UserID, to chat.ConversationID, body string) chat.Seq {
	b.t.Helper()
	sent, err := b.chat.Send(b.t.Context(), chat.Outgoing{ConversationID: to, SenderID: from, ClientID: uuid.New(), Body: body})
	if err != nil {
		b.t.Fatal(err)
	}
	return sent.Seq
}

func (b *bundle) act(a chat.Action) {
	b.t.Helper()
	if _, err := b.chat.Act(b.t.Context(), a); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) report(by accounts.UserID, id chat.ConversationID, seq chat.Seq) ID {
	b.t.Helper()
	r, err := b.Create(b.t.Context(), by, NewReport{id, seq, "spam", ""})
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b *bundle) list(admin accounts.Identity, state State) []Report {
	b.t.Helper()
	list, _, _, err := b.List(b.t.Context(), admin, state, "", 50)
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

func (b *bundle) decide(admin accounts.Identity, id ID, d Decision) {
	b.t.Helper()
	if err := b.Decide(b.t.Context(), admin, id, Choice{d, "Thanks."}); err != nil {
		b.t.Fatal(err)
	}
}

// count gives the number that a statement selects.
func (b *bundle) count(sql string, args ...any) (n int) {
	b.t.Helper()
	if err := b.db.QueryRow(b.t.Context(), sql, args...).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
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
	b.t.Cleanup(func() { _ = ws.CloseNow() })
	c := &client{b.t, ws}
	c.await("hello", nil)
	return c
}

// await reads frames until one of a type comes, and its data into what v points to.
func (c *client) await(kind string, v any) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	for {
		_, text, err := c.ws.Read(ctx)
		if err != nil {
			c.t.Fatalf("waiting for %s: %v", kind, err)
		}
		var f struct {
			Type string
			Data json.RawMessage
		}
		if err := json.Unmarshal(text, &f); err != nil {
			c.t.Fatal(err)
		}
		if f.Type != kind {
			continue
		}
		if v != nil {
			if err := json.Unmarshal(f.Data, v); err != nil {
				c.t.Fatal(err)
			}
		}
		return
	}
}
