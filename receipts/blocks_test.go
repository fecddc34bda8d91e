package receipts

import (
	"testing"
	"time"

	"parley/accounts"
	"parley/chat"
	"parley/store/storetest"
)

// drain reads what clients were sent before.
func drain(clients ...*client) {
	for _, c := range clients {
		c.told()
	}
}

// wantSeen checks how far the other side of a direct conversation is shown to have it.
func (r *replica) wantSeen(by accounts.UserID, id chat.ConversationID, delivered, read chat.Seq) {
	r.t.Helper()
	if c := r.face(by, id); c.OthersDeliveredSeq != delivered || c.OthersReadSeq != read {
		r.t.Errorf("the other side is at %d delivered, %d read, want %d and %d", c.OthersDeliveredSeq, c.OthersReadSeq, delivered, read)
	}
}

func (r *replica) block(who, other accounts.UserID) {
	r.t.Helper()
	if err := r.chat.Block(r.t.(*testing.T).Context(), who, other); err != nil {
		r.t.Fatal(err)
	}
}

func (r *replica) unblock(who, other accounts.UserID) {
	r.t.Helper()
	if err := r.chat.Unblock(r.t.(*testing.T).Context(), who, other); err != nil {
		r.t.Fatal(err)
	}
}

func TestBlockedPair(t *testing.T) {
	t.Parallel()
	for name, isReader := range map[string]bool{"the reader blocks": true, "the author blocks": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := setup(t)
			ann, ben := r.user("ann"), r.user("ben")
			id := r.direct(ann, ben)
			first, second := r.send(ann, id), r.send(ann, id)
			r.write()
			r.Read(id, ben, first)
			r.write()
			r.wantSeen(ann, id, first, first)
			who, other := ann, ben
			if isReader {
				who, other = ben, ann
			}
			r.block(who, other)
			a, b := r.connect(ann), r.connect(ben)
			drain(a, b)

			r.Delivered(id, ben, second)
			r.write()
			a.wantTold()
			b.wantTold(Event{id, ben, second, first})
			r.Read(id, ben, second)
			r.write()
			a.wantTold()
			b.wantTold(Event{id, ben, second, second})
			r.wantSeen(ann, id, 0, 0)
			r.wantSeen(ben, id, 0, 0)
			if c := r.face(ben, id); c.ReadSeq != second || c.Unread != 0 {
				t.Errorf("the reader's own mark is %d, with %d unread", c.ReadSeq, c.Unread)
			}
			if list := r.details(ann, id, second); len(list) != 1 || list[0] != (Mark{UserID: ben}) {
				t.Errorf("the details are %+v", list)
			}
			// Nor is it told as what another replica's connections may have missed.
			r.miss(time.Now().Add(-time.Minute))
			if err := r.findMissed(t.Context()); err != nil {
				t.Fatal(err)
			}
			a.wantTold(Event{id, ann, second, second})
			drain(b)

			r.unblock(who, other)
			drain(a, b)
			r.wantSeen(ann, id, second, second)
			r.wantSeen(ben, id, second, second)
			if list := r.details(ann, id, second); len(list) != 1 || !list[0].Delivered || !list[0].Read {
				t.Errorf("the details are %+v", list)
			}
			third := r.send(ann, id)
			r.write()
			drain(a, b)
			r.Read(id, ben, third)
			r.write()
			a.wantTold(Event{id, ben, third, third})
		})
	}
	t.Run("has receipts in a common group", func(t *testing.T) {
		t.Parallel()
		r := setup(t)
		ann, ben := r.user("ann"), r.user("ben")
		id := r.group(ann, ben)
		r.block(ben, ann)
		seq := r.send(ann, id)
		r.Read(id, ben, seq)
		r.write()
		if c := r.face(ann, id); c.OthersDeliveredSeq != seq {
			t.Errorf("every member has it up to %d, want %d", c.OthersDeliveredSeq, seq)
		}
	})
}

func TestReadMarkWaitsForAcceptance(t *testing.T) {
	t.Parallel()
	for name, accept := range map[string]func(*replica, accounts.UserID, chat.ConversationID){
		"by accepting": func(r *replica, ben accounts.UserID, id chat.ConversationID) {
			if err := r.chat.Accept(r.t.(*testing.T).Context(), ben, id); err != nil {
				r.t.Fatal(err)
			}
		},
		"by writing": func(r *replica, ben accounts.UserID, id chat.ConversationID) { r.send(ben, id) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReplicaWith(t, storetest.New(t), true)
			t.Cleanup(r.stop)
			ann, ben := r.user("ann"), r.user("ben")
			c, err := r.chat.OpenDirect(t.Context(), ann, ben)
			if err != nil {
				t.Fatal(err)
			}
			id := c.ID
			seq := r.send(ann, id)
			r.write()
			a, b := r.connect(ann), r.connect(ben)
			drain(a, b)
			r.Delivered(id, ben, seq)
			r.write()
			a.wantTold(Event{id, ben, seq, 0})
			drain(b)
			r.Read(id, ben, seq)
			r.write()
			a.wantTold()
			b.wantTold(Event{id, ben, seq, seq})
			r.wantSeen(ann, id, seq, 0)
			r.wantSeen(ben, id, seq, seq) // the side that opened it accepted it
			if list := r.details(ann, id, seq); len(list) != 1 || !list[0].Delivered || list[0].Read || list[0].ReadAt != nil {
				t.Errorf("the details are %+v", list)
			}
			// Delivered and read at once: only the one is told.
			next := r.send(ann, id)
			r.write()
			drain(a)
			r.Read(id, ben, next)
			r.write()
			a.wantTold(Event{id, ben, next, 0})

			accept(r, ben, id)
			r.write()
			drain(a)
			last := r.send(ann, id)
			r.write()
			drain(a)
			r.Read(id, ben, last)
			r.write()
			a.wantTold(Event{id, ben, last, last})
			r.wantSeen(ann, id, last, last)
			if list := r.details(ann, id, seq); len(list) != 1 || !list[0].Read {
				t.Errorf("the details are %+v", list)
			}
		})
	}
}
