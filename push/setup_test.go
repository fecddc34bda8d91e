package push

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"parley/accounts"
	"parley/chat"
	"parley/hub"
	"parley/parleytest"
	"parley/store"
	"parley/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// bundle is one replica: a Service on a real database that sends to a fake push service, and
// a chat that tells it what is said. Nobody runs it: the tests notice, sweep and send
// themselves.
type bundle struct {
	*Service
	t    *testing.T
	db   *store.DB
	chat *chat.Service
	web  *parleytest.WebPush
}

func setup(t *testing.T) *bundle { return replica(t, storetest.New(t), nil) }

// replica makes a Service on a database that others may use too.
func replica(t *testing.T, db *store.DB, change func(*Config)) *bundle {
	t.Helper()
	cfg := Config{DB: db, Logger: slog.New(slog.DiscardHandler), AllowPrivate: true}
	if change != nil {
		change(&cfg)
	}
	s, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := hub.New(hub.Config{Logger: slog.New(slog.DiscardHandler)})
	talk := chat.New(chat.Config{DB: db, Hub: h, Logger: slog.New(slog.DiscardHandler), Sent: s.Sent})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = talk.Run(ctx) }()
	web := parleytest.NewWebPush()
	t.Cleanup(func() {
		web.Close()
		if c, ok := s.senders[KindWebPush].(*webPush); ok {
			c.client.CloseIdleConnections()
		}
		_ = h.Close(ctx)
		stop()
		<-done
		if err := web.Faults(); err != nil {
			t.Error(err)
		}
	})
	return &bundle{s, t, db, talk, web}
}

func (b *bundle) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.db.Exec(context.Background(), sql, args...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) count(sql string) (n int) {
	b.t.Helper()
	if err := b.db.QueryRow(context.Background(), sql).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// person makes somebody with a session.
func (b *bundle) person(name string) accounts.Identity {
	b.t.Helper()
	who := accounts.Identity{UserID: accounts.UserID(uuid.Must(uuid.NewV7())), SessionID: accounts.SessionID(uuid.Must(uuid.NewV7()))}
	b.exec(`INSERT INTO users (id, username, display_name, password_hash, role) VALUES ($1, lower($2), $2, '', 'member')`, who.UserID, name)
	return b.session(who.UserID)
}

// session gives somebody another one.
func (b *bundle) session(user accounts.UserID) accounts.Identity {
	b.t.Helper()
	who := accounts.Identity{UserID: user, SessionID: accounts.SessionID(uuid.Must(uuid.NewV7()))}
	b.exec(`INSERT INTO sessions (id, user_id, token_hash, expires_at) VALUES ($1, $2, $3, now() + interval '1 day')`,
		who.SessionID, who.UserID, who.SessionID[:])
	return who
}

// browser registers one for somebody.
func (b *bundle) browser(who accounts.Identity) (*parleytest.Subscriber, Device) {
	b.t.Helper()
	sub := b.web.Subscribe()
	d, err := b.Register(b.t.Context(), who, Target{Kind: KindWebPush, Address: sub.Endpoint, P256dh: sub.P256dh, Auth: sub.Auth})
	if err != nil {
		b.t.Fatal(err)
	}
	return sub, d
}

func (b *bundle) direct(ann, ben accounts.Identity) chat.ConversationID {
	b.t.Helper()
	c, err := b.chat.OpenDirect(b.t.Context(), ann.UserID, ben.UserID)
	if err != nil {
		b.t.Fatal(err)
	}
	return c.ID
}

func (b *bundle) group(title string, owner accounts.Identity, others ...accounts.Identity) chat.ConversationID {
	b.t.Helper()
	var ids []accounts.UserID
	for _, o := range others {
		ids = append(ids, o.UserID)
	}
	c, err := b.chat.CreateGroup(b.t.Context(), owner.UserID, title, ids)
	if err != nil {
		b.t.Fatal(err)
	}
	return c.ID
}

func (b *bundle) say(who accounts.Identity, id chat.ConversationID, text string, mentions ...accounts.UserID) chat.Seq {
	b.t.Helper()
	sent, err := b.chat.Send(b.t.Context(), chat.Outgoing{
		ConversationID: id, SenderID: who.UserID, ClientID: uuid.Must(uuid.NewV7()), Body: text, Mentions: mentions})
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

// marks says how far somebody has a conversation, as receipts writes it.
func (b *bundle) marks(who accounts.Identity, id chat.ConversationID, delivered, read chat.Seq) {
	b.t.Helper()
	b.exec(`INSERT INTO receipts (conversation_id, user_id, delivered_seq, read_seq) VALUES ($1, $2, $3, $4)
		ON CONFLICT (conversation_id, user_id) DO UPDATE SET delivered_seq = excluded.delivered_seq, read_seq = excluded.read_seq`,
		id, who.UserID, delivered, read)
}

// noted waits until a message is: the sender's note comes a moment after the answer to them.
func (b *bundle) noted(id chat.ConversationID, seq chat.Seq) {
	b.t.Helper()
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		b.mu.Lock()
		noted := b.said[id].last >= seq
		b.mu.Unlock()
		if noted {
			return
		}
		if time.Since(begin) > patience {
			b.t.Fatal("a message was not noted")
		}
	}
}

// notices asks at once who is owed what was said since the last time.
func (b *bundle) notices(last chat.ConversationID, seq chat.Seq) {
	b.t.Helper()
	b.noted(last, seq)
	if err := b.check(b.t.Context(), b.take(), 0); err != nil {
		b.t.Fatal(err)
	}
}

// greet lets new people say hello to somebody, one after the other, and asks who is owed that.
func (b *bundle) greet(who accounts.Identity, names ...string) {
	b.t.Helper()
	for _, name := range names {
		other := b.person(name)
		id := b.direct(other, who)
		b.noted(id, b.say(other, id, "Hello"))
	}
	if err := b.check(b.t.Context(), b.take(), 0); err != nil {
		b.t.Fatal(err)
	}
}

// sweeps looks at all devices for what was forgotten, and for what was not read for a minute.
func (b *bundle) sweeps() {
	b.t.Helper()
	var after DeviceID
	for {
		var err error
		if after, err = b.sweepSome(b.t.Context(), after, 100, ages{missing: 0, unread: unreadFor, since: life}); err != nil {
			b.t.Fatal(err)
		}
		if after.IsZero() {
			return
		}
	}
}

// claims takes devices that are due, and finds out what is owed to them.
func (b *bundle) claims() (turns []*turn) {
	b.t.Helper()
	taken, err := b.q.claim(b.t.Context(), 1000, leaseTime)
	if err != nil {
		b.t.Fatal(err)
	}
	if len(taken) > 0 {
		b.look(b.t.Context(), taken, func(t *turn) { turns = append(turns, t) })
	}
	return turns
}

// serves sends what is owed to a device that was taken.
func (b *bundle) serves(ctx context.Context, t *turn) result {
	b.t.Helper()
	r, ok := b.serve(ctx, t)
	if !ok {
		b.t.Fatal("what is owed could not be found out")
	}
	return r
}

// sends takes every device that is due, and gives what became of each turn.
func (b *bundle) sends() []result {
	b.t.Helper()
	var results []result
	for _, t := range b.claims() {
		results = append(results, b.serves(b.t.Context(), t))
	}
	if err := b.q.record(b.t.Context(), results); err != nil {
		b.t.Fatal(err)
	}
	return results
}

func (b *bundle) due() int {
	b.t.Helper()
	return b.count(`SELECT count(*) FROM devices WHERE due_at IS NOT NULL`)
}
