package receipts

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/uuid"

	"parley/accounts"
	"parley/chat"
)

type bundle struct {
	*replica
	id       chat.ConversationID
	ann, ben accounts.UserID
}

// pair makes a conversation of two people that reaches seq 10.
func pair(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{replica: setup(t)}
	b.ann, b.ben = b.user("ann"), b.user("ben")
	b.id = b.direct(b.ann, b.ben)
	b.exec(`UPDATE conversations SET last_seq = 10`)
	return b
}

func (b *bundle) marks(user accounts.UserID) (m marks) {
	b.t.Helper()
	err := b.cfg.DB.QueryRow(context.Background(), `SELECT coalesce(max(delivered_seq), 0), coalesce(max(read_seq), 0) FROM receipts
		WHERE conversation_id = $1 AND user_id = $2`, b.id, user).Scan(&m.delivered, &m.read)
	if err != nil {
		b.t.Fatal(err)
	}
	return m
}

func TestMarksOnlyRise(t *testing.T) {
	t.Parallel()
	b := pair(t)
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
	b := pair(t)
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
	b := pair(t)
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

// What the side that opened a direct conversation has read is not told to one that it is hidden from.
func TestHiddenConversationTellsNoReceipts(t *testing.T) {
	t.Parallel()
	r := setup(t)
	ann, ben := r.user("ann"), r.user("ben")
	c, err := r.chat.OpenDirect(t.Context(), ann, ben)
	if err != nil {
		t.Fatal(err)
	}
	a, b := r.connect(ann), r.connect(ben)
	claim(t, a, "receipt.read", c.ID, 1)
	r.write()
	a.wantTold(Event{c.ID, ann, 1, 1})
	b.wantTold()
	seq := r.send(ann, c.ID)
	for last := chat.Seq(0); last < seq; { // the conversation comes first
		if f := b.next(); f.Type == "entry" {
			var e chat.Entry
			if err := json.Unmarshal(f.Data, &e); err != nil {
				t.Fatal(err)
			}
			last = e.Seq
		}
	}
	r.write()
	b.wantTold(Event{c.ID, ann, seq, seq})
}
