package receipts

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"parley/accounts"
	"parley/chat"
	"parley/hub"
	"parley/store"
	"parley/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type bundle struct {
	*Service
	t        *testing.T
	id       chat.ConversationID
	ann, ben accounts.UserID
}

// setup makes a conversation of two people that reaches seq 10.
func setup(t *testing.T) *bundle {
	t.Helper()
	db := storetest.New(t)
	h := hub.New(hub.Config{Logger: slog.New(slog.DiscardHandler), Translate: store.Problem})
	s := New(Config{
		DB: db, Logger: slog.New(slog.DiscardHandler),
		ByConversation: hub.NewTopics[chat.ConversationID](h), ByUser: hub.NewTopics[accounts.UserID](h),
	})
	b := &bundle{s, t, store.NewID[chat.Conversation](), accounts.UserID(uuid.New()), accounts.UserID(uuid.New())}
	low, high := b.ann, b.ben
	if low.String() > high.String() {
		low, high = high, low
	}
	for _, stmt := range []struct {
		sql  string
		args []any
	}{
		{`INSERT INTO users (id, username, display_name, password_hash, role) VALUES ($1, 'ann', '', '', 'member'), ($2, 'ben', '', '', 'member')`, []any{b.ann, b.ben}},
		{`INSERT INTO conversations (id, kind, direct_low, direct_high, last_seq) VALUES ($1, 'direct', $2, $3, 10)`, []any{b.id, low, high}},
		{`INSERT INTO members (conversation_id, user_id, role, from_seq) VALUES ($1, $2, 'member', 1), ($1, $3, 'member', 1)`, []any{b.id, b.ann, b.ben}},
	} {
		if _, err := db.Exec(t.Context(), stmt.sql, stmt.args...); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func (b *bundle) marks(user accounts.UserID) (m marks) {
	b.t.Helper()
	err := b.cfg.DB.QueryRow(b.t.Context(), `SELECT coalesce(max(delivered_seq), 0), coalesce(max(read_seq), 0) FROM receipts
		WHERE conversation_id = $1 AND user_id = $2`, b.id, user).Scan(&m.delivered, &m.read)
	if err != nil {
		b.t.Fatal(err)
	}
	return m
}

func TestMarksOnlyRise(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, step := range []struct {
		do   func()
		want marks
	}{
		{func() { b.Delivered(b.id, b.ann, 5) }, marks{5, 0}},
		{func() { b.Read(b.id, b.ann, 3) }, marks{5, 3}},
		{func() { b.Delivered(b.id, b.ann, 2); b.Read(b.id, b.ann, 1) }, marks{5, 3}},
		{func() { b.Read(b.id, b.ann, 7); b.Read(b.id, b.ann, 6) }, marks{7, 7}},
		{func() { b.Read(b.id, b.ann, 99) }, marks{10, 10}}, // no further than the log
	} {
		step.do()
		if err := b.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := b.marks(b.ann); got != step.want {
			t.Fatalf("want %+v, got %+v", step.want, got)
		}
	}
	if got := b.marks(b.ben); got != (marks{}) {
		t.Errorf("ben's marks moved: %+v", got)
	}
	eve := accounts.UserID(uuid.New())
	b.Read(b.id, eve, 5)
	if err := b.flush(t.Context()); err != nil || b.marks(eve) != (marks{}) {
		t.Errorf("a stranger has marks: %+v, %v", b.marks(eve), err)
	}
}

// Whatever the order and however the writes fall between, the highest mark wins; what
// is left when the server stops is written.
func TestManyMarks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				b.Delivered(b.id, b.ben, chat.Seq(1+rand.N(9)))
				b.Read(b.id, b.ann, chat.Seq(1+rand.N(8)))
			}
		})
	}
	wg.Wait()
	b.Read(b.id, b.ann, 9)
	b.Delivered(b.id, b.ben, 10)
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if a, z := b.marks(b.ann), b.marks(b.ben); a != (marks{9, 9}) || z != (marks{10, 0}) {
		t.Fatalf("ann %+v, ben %+v", a, z)
	}
}

// What could not be written is not forgotten.
func TestFailedWrite(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Read(b.id, b.ann, 4)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.flush(gone); err == nil {
		t.Fatal("a write with a cancelled context succeeded")
	}
	b.Read(b.id, b.ann, 3)
	if err := b.flush(t.Context()); err != nil || b.marks(b.ann) != (marks{4, 4}) {
		t.Fatalf("%+v, %v", b.marks(b.ann), err)
	}
}
