package presence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"parley/accounts"
	"parley/chat"
	"parley/hub"
	"parley/store"
	"parley/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// bundle is one replica: a Service on a real database, with sockets. Nobody runs it: the
// tests look and write themselves, at the times they choose.
type bundle struct {
	*Service
	t    *testing.T
	db   *database
	chat *chat.Service
	srv  *httptest.Server
}

func setup(t *testing.T) *bundle { return replica(t, storetest.New(t)) }

// replica starts a Service on a database that others may use too. A token is the id of its
// user.
func replica(t *testing.T, db *store.DB) *bundle {
	t.Helper()
	h := hub.New(hub.Config{
		Logger: slog.New(slog.DiscardHandler),
		Authenticate: func(_ context.Context, token string) (hub.Identity, error) {
			return hub.Identity{UserID: uuid.MustParse(token), SessionID: uuid.New()}, nil
		},
		Translate: store.Problem,
	})
	talk := chat.New(chat.Config{DB: db, Hub: h, Logger: slog.New(slog.DiscardHandler)})
	s := New(Config{
		DB: db, Hub: h, Logger: slog.New(slog.DiscardHandler), ByConversation: talk.ByConversation(), ByUser: talk.ByUser(),
	})
	s.Frames(h.Mux())
	watched := &database{Querier: db}
	s.q.db = watched
	srv := httptest.NewServer(h)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = h.Close(ctx)
		srv.Close()
	})
	return &bundle{s, t, watched, talk, srv}
}

// database counts the statements of a Service, and fails when it is told to.
type database struct {
	store.Querier
	mu         sync.Mutex // guards what follows
	statements int
	refuses    bool   // does nothing
	forgets    bool   // does it, and its answer is lost
	first      func() // happens once, before the next statement
	then       func() // happens once, after the next statement and before its answer is there
}

var errAway = errors.New("the database is away")

func (d *database) begin() (refuses, forgets bool, then func()) {
	d.mu.Lock()
	first, then := d.first, d.then
	d.first, d.then = nil, nil
	d.statements++
	refuses, forgets = d.refuses, d.forgets
	d.mu.Unlock()
	if first != nil {
		first()
	}
	return refuses, forgets, then
}

func (d *database) before(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.first = f
}

func (d *database) afterwards(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.then = f
}

func (d *database) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	refuses, forgets, then := d.begin()
	if refuses {
		return nil, errAway
	}
	rows, err := d.Querier.Query(ctx, sql, args...)
	if err == nil && forgets {
		rows.Close()
		return nil, errors.Join(errAway, rows.Err())
	}
	if then != nil {
		return &overtaken{rows, then}, err
	}
	return rows, err
}

// overtaken are rows that something happens after, before who asked has their end.
type overtaken struct {
	pgx.Rows
	then func()
}

func (o *overtaken) Next() bool {
	if o.Rows.Next() {
		return true
	}
	if then := o.then; then != nil {
		o.then = nil
		then()
	}
	return false
}

func (d *database) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	refuses, forgets, _ := d.begin()
	if refuses {
		return pgconn.CommandTag{}, errAway
	}
	tag, err := d.Querier.Exec(ctx, sql, args...)
	if err == nil && forgets {
		err = errAway
	}
	return tag, err
}

func (d *database) set(refuses, forgets bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refuses, d.forgets = refuses, forgets
}

// count gives how many statements f makes.
func (d *database) count(f func()) int {
	d.mu.Lock()
	before := d.statements
	d.mu.Unlock()
	f()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.statements - before
}

func (b *bundle) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.cfg.DB.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) count(sql string, args ...any) (n int) {
	b.t.Helper()
	if err := b.cfg.DB.QueryRow(b.t.Context(), sql, args...).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

func (b *bundle) user(name string) accounts.UserID {
	b.t.Helper()
	id := accounts.UserID(uuid.Must(uuid.NewV7()))
	b.exec(`INSERT INTO users (id, username, display_name, password_hash, role) VALUES ($1, $2, $2, '', 'member')`, id, name)
	return id
}

// pair makes two people and their conversation.
func (b *bundle) pair() (ann, ben accounts.UserID, id chat.ConversationID) {
	b.t.Helper()
	ann, ben = b.user("ann"), b.user("ben")
	if _, err := b.chat.OpenDirect(b.t.Context(), ben, ann); err != nil {
		b.t.Fatal(err)
	}
	c, err := b.chat.OpenDirect(b.t.Context(), ann, ben) // so that it is hidden from neither
	if err != nil {
		b.t.Fatal(err)
	}
	return ann, ben, c.ID
}

// group makes a group of the first of some people.
func (b *bundle) group(of ...accounts.UserID) chat.ConversationID {
	b.t.Helper()
	c, err := b.chat.CreateGroup(b.t.Context(), of[0], "Group", of[1:])
	if err != nil {
		b.t.Fatal(err)
	}
	return c.ID
}

// step looks and writes, so long from now.
func (b *bundle) step(in time.Duration) {
	b.t.Helper()
	now := time.Now().Add(in)
	b.look(now)
	b.flush(now)
}

// depart looks twice for who is gone, and writes.
func (b *bundle) depart() {
	b.t.Helper()
	b.step(0)
	b.step(lookEvery)
}

func (b *bundle) flush(now time.Time) {
	b.t.Helper()
	if err := b.write(b.t.Context(), now); err != nil {
		b.t.Fatal(err)
	}
}

// state is what somebody gets to know of somebody: nil, or whether they are online.
func (b *bundle) state(me, of accounts.UserID) *State {
	b.t.Helper()
	list, err := b.q.states(b.t.Context(), me, []accounts.UserID{of})
	if err != nil {
		b.t.Fatal(err)
	}
	if len(list) == 0 {
		return nil
	}
	return &list[0]
}

func (b *bundle) wantOnline(me, of accounts.UserID, want bool) {
	b.t.Helper()
	if s := b.state(me, of); s == nil || s.Online != want || s.Online && s.LastSeen != nil {
		b.t.Fatalf("want online: %t, got %+v", want, s)
	}
}

// wantSeen says that somebody was last seen about so long ago.
func (b *bundle) wantSeen(me, of accounts.UserID, ago time.Duration) {
	b.t.Helper()
	s := b.state(me, of)
	if s == nil || s.Online || s.LastSeen == nil {
		b.t.Fatalf("want last seen %v ago, got %+v", ago, s)
	}
	if d := time.Since(*s.LastSeen) - ago; d < -patience || d > patience {
		b.t.Fatalf("last seen %v ago, not %v", time.Since(*s.LastSeen), ago)
	}
}

// ages makes it so long ago that somebody was heard, until they are looked at again.
func (b *bundle) ages(user accounts.UserID, by time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.here[user]
	p.heard, p.marked = p.heard.Add(-by), p.marked.Add(-by)
}

type client struct {
	b    *bundle
	t    *testing.T
	ws   *websocket.Conn
	user accounts.UserID
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
	c := &client{b, b.t, ws, user}
	if kind, _ := c.next(); kind != "hello" {
		b.t.Fatalf("the first frame is %s", kind)
	}
	return c
}

// leave closes the connection and waits until the hub has noticed.
func (c *client) leave() {
	c.t.Helper()
	n := len(c.b.cfg.ByUser.Conns(c.user))
	_ = c.ws.CloseNow()
	deadline := time.Now().Add(patience)
	for len(c.b.cfg.ByUser.Conns(c.user)) >= n {
		if time.Now().After(deadline) {
			c.t.Fatal("the hub does not notice that a connection is gone")
		}
		time.Sleep(time.Millisecond)
	}
}

// conn is the server's side of the only connection of this client's user.
func (c *client) conn() *hub.Conn {
	c.t.Helper()
	conns := c.b.cfg.ByUser.Conns(c.user)
	return conns[len(conns)-1]
}

// next reads a frame: its type, and its data or its error's code.
func (c *client) next() (kind, data string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	_, b, err := c.ws.Read(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	var f struct {
		Type  string          `json:"type"`
		Data  json.RawMessage `json:"data"`
		Error struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	if err := json.Unmarshal(b, &f); err != nil {
		c.t.Fatal(err)
	}
	if f.Type == "error" {
		return f.Type, f.Error.Code
	}
	return f.Type, string(f.Data)
}

func (c *client) say(kind, data string) {
	c.t.Helper()
	if err := c.ws.Write(c.t.Context(), websocket.MessageText, fmt.Appendf(nil, `{"type":%q,"id":"1","data":%s}`, kind, data)); err != nil {
		c.t.Fatal(err)
	}
}

// ask sends a request. It gives the answer's data, or the code of a refusal, and the data of
// the events presence and typing that came before it.
func (c *client) ask(kind, data string) (answer string, events []string) {
	c.t.Helper()
	c.say(kind, data)
	for {
		switch kind, data := c.next(); kind {
		case "reply", "error":
			return data, events
		case "presence", "typing":
			events = append(events, data)
		}
	}
}

// told gives the events that were sent to this connection until now, in short: "+" or "-" and
// whose presence, or who types, by the names given.
func (c *client) told(names map[accounts.UserID]string) (list []string) {
	c.t.Helper()
	_, events := c.ask("presence.heartbeat", "{}")
	for _, event := range events {
		var e struct {
			UserID         accounts.UserID     `json:"user_id"`
			ConversationID chat.ConversationID `json:"conversation_id"`
			Online         bool                `json:"online"`
		}
		if err := json.Unmarshal([]byte(event), &e); err != nil {
			c.t.Fatal(err)
		}
		switch name := names[e.UserID]; {
		case e.ConversationID != chat.ConversationID{}:
			list = append(list, name+" types")
		case e.Online:
			list = append(list, "+"+name)
		default:
			list = append(list, "-"+name)
		}
	}
	return list
}

func (c *client) wantTold(names map[accounts.UserID]string, want ...string) {
	c.t.Helper()
	got := c.told(names)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		c.t.Fatalf("told %v, want %v", got, want)
	}
}

// watch watches people, and gives of how many the answer tells.
func (c *client) watch(users ...accounts.UserID) int {
	c.t.Helper()
	answer, _ := c.ask("presence.watch", `{"user_ids":`+ids(users...)+`}`)
	var list states
	if err := json.Unmarshal([]byte(answer), &list); err != nil {
		c.t.Fatalf("presence.watch: %s", answer)
	}
	return len(list.Users)
}

func ids(users ...accounts.UserID) string {
	b, err := json.Marshal(users)
	if err != nil {
		panic(err) // ids are JSON
	}
	return string(b)
}
