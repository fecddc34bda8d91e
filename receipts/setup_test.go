package receipts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"parley/accounts"
	"parley/chat"
	"parley/hub"
	"parley/store"
	"parley/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// testingT is a test, or one run of a property.
type testingT interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// replica is a Service on a real database with sockets, and a chat that tells it of what is
// sent. Nobody runs it: tests flush themselves.
type replica struct {
	*Service
	t    testingT
	db   *database
	chat *chat.Service
	srv  *httptest.Server
	sent chan struct{} // one for each message whose sender's mark is pending
	stop func()

	clients []*client
}

// newReplica starts one on a database that others may use too. A token is the id of its user.
func newReplica(t testingT, db *store.DB) *replica { return newReplicaWith(t, db, false) }

// newReplicaWith may ask members to accept direct conversations.
func newReplicaWith(t testingT, db *store.DB, acceptance bool) *replica {
	h := hub.New(hub.Config{
		Logger: slog.New(slog.DiscardHandler),
		Authenticate: func(_ context.Context, token string) (hub.Identity, error) {
			return hub.Identity{UserID: uuid.MustParse(token), SessionID: uuid.New()}, nil
		},
		Translate: store.Problem,
	})
	r := &replica{t: t, db: &database{Querier: db}, sent: make(chan struct{}, 1)}
	r.chat = chat.New(chat.Config{DB: db, Hub: h, Acceptance: acceptance, Logger: slog.New(slog.DiscardHandler),
		Sent: func(id chat.ConversationID, user accounts.UserID, seq chat.Seq) {
			r.Read(id, user, seq)
			r.sent <- struct{}{}
		},
		OnMemberLeft: func(id chat.ConversationID) { r.MembersChanged(id) },
	})
	r.Service = New(Config{DB: db, Acceptance: acceptance, Logger: slog.New(slog.DiscardHandler), ByConversation: r.chat.ByConversation(), ByUser: r.chat.ByUser()})
	r.q.db = r.db
	r.Frames(h.Mux())
	r.srv = httptest.NewServer(h)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.chat.Run(ctx) }()
	r.stop = func() {
		cancel()
		<-done
		for _, c := range r.clients {
			_ = c.ws.CloseNow() // or the hub would wait for them to say goodbye
		}
		closing, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = h.Close(closing)
		r.srv.Close()
	}
	return r
}

func setup(t *testing.T) *replica {
	t.Helper()
	r := newReplica(t, storetest.New(t))
	t.Cleanup(r.stop)
	return r
}

// database fails when it is told to.
type database struct {
	store.Querier
	refuses bool // does nothing
	forgets bool // does it, and the answer is lost
}

var errAway = errors.New("the database is away")

func (d *database) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if d.refuses {
		return away{}
	}
	results := d.Querier.SendBatch(ctx, b)
	if d.forgets {
		if err := results.Close(); err != nil {
			panic(err) // that is not what was to be tested
		}
		return away{}
	}
	return results
}

type away struct{ pgx.BatchResults }

func (away) Close() error { return errAway }

func (r *replica) exec(sql string, args ...any) {
	r.t.Helper()
	if _, err := r.cfg.DB.Exec(context.Background(), sql, args...); err != nil {
		r.t.Fatal(err)
	}
}

func (r *replica) user(name string) accounts.UserID {
	r.t.Helper()
	id := accounts.UserID(uuid.Must(uuid.NewV7()))
	r.exec(`INSERT INTO users (id, username, display_name, password_hash, role) VALUES ($1, $2, $2, '', 'member')`, id, name)
	return id
}

func (r *replica) direct(a, b accounts.UserID) chat.ConversationID {
	r.t.Helper()
	if _, err := r.chat.OpenDirect(context.Background(), b, a); err != nil {
		r.t.Fatal(err)
	}
	c, err := r.chat.OpenDirect(context.Background(), a, b) // so that it is hidden from neither
	if err != nil {
		r.t.Fatal(err)
	}
	return c.ID
}

func (r *replica) group(of ...accounts.UserID) chat.ConversationID {
	r.t.Helper()
	c, err := r.chat.CreateGroup(context.Background(), of[0], "Group", of[1:])
	if err != nil {
		r.t.Fatal(err)
	}
	return c.ID
}

func newClientID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

func (r *replica) send(from accounts.UserID, to chat.ConversationID) chat.Seq {
	r.t.Helper()
	sent, err := r.chat.Send(context.Background(), chat.Outgoing{ConversationID: to, SenderID: from, ClientID: newClientID(), Body: "x"})
	if err != nil {
		r.t.Fatal(err)
	}
	<-r.sent
	return sent.Seq
}

// forget is the end of a process by kill -9: what is pending was never written.
func (r *replica) forget() {
	r.mu.Lock()
	clear(r.pending)
	r.mu.Unlock()
}

// mend sweeps through everything, as a start does, and writes what that finds.
func (r *replica) mend() {
	r.t.Helper()
	if _, err := r.sweepSome(context.Background(), &sweepRound{}, time.Now()); err != nil {
		r.t.Fatal(err)
	}
	r.write()
}

func (r *replica) add(by accounts.UserID, id chat.ConversationID, users ...accounts.UserID) {
	r.t.Helper()
	if _, err := r.chat.AddMembers(context.Background(), by, id, users); err != nil {
		r.t.Fatal(err)
	}
}

func (r *replica) remove(by accounts.UserID, id chat.ConversationID, user accounts.UserID) {
	r.t.Helper()
	if err := r.chat.RemoveMember(context.Background(), by, id, user); err != nil {
		r.t.Fatal(err)
	}
}

// erase deletes a message of the user's own.
func (r *replica) erase(user accounts.UserID, id chat.ConversationID, seq chat.Seq) {
	r.t.Helper()
	if _, err := r.chat.Act(context.Background(), chat.Action{Kind: chat.KindDelete, ConversationID: id, SenderID: user, TargetSeq: seq}); err != nil {
		r.t.Fatal(err)
	}
}

// write flushes what is pending.
func (r *replica) write() {
	r.t.Helper()
	if err := r.flush(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

// face is a conversation as somebody sees it.
func (r *replica) face(me accounts.UserID, id chat.ConversationID) chat.Conversation {
	r.t.Helper()
	c, err := r.chat.Conversation(context.Background(), me, id)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

type client struct {
	t  testingT
	ws *websocket.Conn
}

func (r *replica) connect(user accounts.UserID) *client {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, strings.Replace(r.srv.URL, "http", "ws", 1), &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"Bearer " + user.String()}}, Subprotocols: []string{hub.Subprotocol},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	c := &client{r.t, ws}
	r.clients = append(r.clients, c)
	if f := c.next(); f.Type != "hello" {
		r.t.Fatalf("the first frame is %s", f.Type)
	}
	return c
}

type frame struct {
	Type  string          `json:"type"`
	Data  json.RawMessage `json:"data"`
	Error struct {
		Code string `json:"code"`
	} `json:"error"`
}

func (c *client) next() (f frame) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, b, err := c.ws.Read(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := json.Unmarshal(b, &f); err != nil {
		c.t.Fatal(err)
	}
	return f
}

// ask sends a request. It gives the answer's data, or the code of a refusal, and the receipts
// that came before it.
func (c *client) ask(kind, data string) (answer string, told []Event) {
	c.t.Helper()
	if err := c.ws.Write(context.Background(), websocket.MessageText, fmt.Appendf(nil, `{"type":%q,"id":"1","data":%s}`, kind, data)); err != nil {
		c.t.Fatal(err)
	}
	for {
		switch f := c.next(); f.Type {
		case "reply":
			return string(f.Data), told
		case "error":
			return f.Error.Code, told
		case "receipt":
			var e Event
			if err := json.Unmarshal(f.Data, &e); err != nil {
				c.t.Fatal(err)
			}
			told = append(told, e)
		}
	}
}

// told gives the receipts that were sent to this connection until now.
func (c *client) told() []Event {
	c.t.Helper()
	_, told := c.ask("presence.heartbeat", "{}")
	return told
}

// wantTold is told, and that they are these, in any order.
func (c *client) wantTold(want ...Event) {
	c.t.Helper()
	got := c.told()
	have := make(map[Event]int)
	for _, e := range got {
		have[e]++
	}
	for _, e := range want {
		have[e]--
	}
	for _, n := range have {
		if n != 0 {
			c.t.Fatalf("told %+v, want %+v", got, want)
		}
	}
}

func frameData(id chat.ConversationID, seq chat.Seq) string {
	return fmt.Sprintf(`{"conversation_id":%q,"seq":%d}`, id, seq)
}
