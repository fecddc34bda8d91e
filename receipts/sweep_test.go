package receipts

import (
	"testing"

	"parley/accounts"
	"parley/chat"
)

// trio is a group of three, in which ann wrote and eve alone has not got it.
type trio struct {
	*replica
	id            chat.ConversationID
	ann, ben, eve accounts.UserID
	author        *client
	seq           chat.Seq
}

func newTrio(t *testing.T) *trio {
	t.Helper()
	g := &trio{replica: setup(t)}
	g.ann, g.ben, g.eve = g.user("ann"), g.user("ben"), g.user("eve")
	g.id = g.group(g.ann, g.ben, g.eve)
	g.author = g.connect(g.ann)
	g.seq = g.send(g.ann, g.id)
	g.Delivered(g.id, g.ben, g.seq)
	g.write()
	g.author.wantTold(Event{g.id, g.ann, g.seq, g.seq})
	return g
}

// wantsAll says that ann was told that every member has her message, and sees it.
func (g *trio) wantsAll() {
	g.t.Helper()
	g.author.wantTold(Event{ConversationID: g.id, DeliveredSeq: g.seq})
	if c := g.face(g.ann, g.id); c.OthersDeliveredSeq != g.seq {
		g.t.Errorf("ann sees %d, not %d", c.OthersDeliveredSeq, g.seq)
	}
	g.mend() // and that was that
	g.author.wantTold()
}

// When the only member who lacks a message stops counting, its author is told.
func TestGroupMinimum(t *testing.T) {
	t.Parallel()
	disable := func(g *trio) { g.exec(`UPDATE users SET disabled_at = now() WHERE id = $1`, g.eve) }
	for name, ends := range map[string]func(*trio){
		"is removed": func(g *trio) { g.remove(g.ann, g.id, g.eve) },
		"leaves":     func(g *trio) { g.remove(g.eve, g.id, g.eve) },
		"is disabled": func(g *trio) {
			disable(g)
			g.AccessChanged(g.t.(*testing.T).Context(), g.eve)
		},
	} {
		t.Run("rises when the member who lacks a message "+name, func(t *testing.T) {
			t.Parallel()
			g := newTrio(t)
			ends(g)
			g.write()
			g.wantsAll()
		})
		t.Run("rises by itself when a member "+name+" and the server is killed", func(t *testing.T) {
			t.Parallel()
			g := newTrio(t)
			ends(g)
			g.forget()
			g.write()
			g.author.wantTold()
			g.mend()
			g.wantsAll()
		})
	}
	t.Run("stays where another member lacks it, too", func(t *testing.T) {
		t.Parallel()
		g := newTrio(t)
		dan := g.user("dan")
		g.add(g.ann, g.id, dan)
		next := g.send(g.ben, g.id)
		g.Delivered(g.id, g.ann, next)
		g.write()
		g.author.told()
		g.remove(g.ann, g.id, g.eve)
		g.write()
		g.seq = next - 1 // and no further: dan lacks what came after he was added
		g.wantsAll()
	})
	t.Run("never goes back, and costs one look, when a member is enabled again", func(t *testing.T) {
		t.Parallel()
		g := newTrio(t)
		disable(g)
		g.mend()
		g.wantsAll()
		g.exec(`UPDATE users SET disabled_at = NULL WHERE id = $1`, g.eve)
		next := g.send(g.ann, g.id)
		g.Delivered(g.id, g.ben, next)
		g.write()
		g.author.wantTold(Event{g.id, g.ann, next, next})
		if c := g.face(g.ann, g.id); c.OthersDeliveredSeq != g.seq {
			t.Errorf("ann sees %d, not %d", c.OthersDeliveredSeq, g.seq)
		}
		if stale, err := g.q.staleGroups(t.Context(), []chat.ConversationID{g.id}); err != nil || len(stale) > 0 || g.behind(g.id) != g.eve {
			t.Errorf("the group is looked at again, held back by %v: %v", g.behind(g.id), err)
		}
	})
	t.Run("is not looked for in a group without a member who can sign in", func(t *testing.T) {
		t.Parallel()
		g := newTrio(t)
		g.exec(`UPDATE users SET disabled_at = now()`)
		if stale, err := g.q.staleGroups(t.Context(), []chat.ConversationID{g.id}); err != nil || len(stale) > 0 {
			t.Errorf("%v, %v", stale, err)
		}
	})
	t.Run("leaves the other side of a direct conversation as it is", func(t *testing.T) {
		t.Parallel()
		g := newTrio(t)
		direct := g.direct(g.ann, g.ben)
		seq := g.send(g.ann, direct)
		g.exec(`UPDATE users SET disabled_at = now() WHERE id = $1`, g.ben)
		g.AccessChanged(t.Context(), g.ben)
		g.mend()
		if c := g.face(g.ann, direct); c.OthersDeliveredSeq != 0 || c.ReadSeq != seq {
			t.Errorf("ann sees %d, and has read %d", c.OthersDeliveredSeq, c.ReadSeq)
		}
	})
}

// A member who comes back has the receipts of the time they were there, whatever the group
// shares with those who are added.
func TestReturnedMember(t *testing.T) {
	t.Parallel()
	for name, share := range map[string]bool{"with shared history": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newTrio(t)
			if err := g.chat.UpdateGroup(t.Context(), g.ann, g.id, chat.GroupUpdate{ShareHistory: &share}); err != nil {
				t.Fatal(err)
			}
			g.Read(g.id, g.eve, g.seq)
			g.write()
			var while []chat.Seq
			for range 2 { // twice, so that there is more than one earlier stretch
				g.remove(g.ann, g.id, g.eve)
				while = append(while, g.send(g.ann, g.id))
				g.add(g.ann, g.id, g.eve)
			}
			back := g.send(g.ann, g.id)
			g.Read(g.id, g.eve, back)
			g.write()
			wants := func(seq chat.Seq, want bool) {
				t.Helper()
				for _, m := range g.details(g.ann, g.id, seq) {
					if m.UserID == g.eve && want && m.Read && m.Delivered {
						return
					}
					if m.UserID == g.eve {
						t.Errorf("of %d: %+v", seq, m)
					}
				}
				if want {
					t.Errorf("of %d eve is missing", seq)
				}
			}
			wants(g.seq, true)
			wants(while[0], false)
			wants(while[1], false)
			wants(back, true)
			if c := g.face(g.eve, g.id); c.Unread != 0 || c.ReadSeq != back {
				t.Errorf("eve has %d unread, and has read %d", c.Unread, c.ReadSeq)
			}
		})
	}
}

// Sending implies reading, also when the server is killed right after it acknowledged: for the
// sender at once, and for the others as soon as there is a server again.
func TestSenderMark(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"direct", "group"} {
		t.Run("survives a kill in a "+kind, func(t *testing.T) {
			t.Parallel()
			r := setup(t)
			ann, ben := r.user("ann"), r.user("ben")
			id := r.direct(ann, ben)
			if kind == "group" {
				id = r.group(ann, ben)
			}
			r.send(ann, id)
			r.send(ann, id)
			r.write()
			answer := r.send(ben, id)
			after := r.send(ann, id)
			r.forget()
			a := r.connect(ann)
			c := r.face(ben, id)
			if c.Unread != 1 || c.ReadSeq != answer || c.DeliveredSeq != answer {
				t.Errorf("ben has %d unread, and has read %d", c.Unread, c.ReadSeq)
			}
			r.mend()
			want := []Event{{id, ann, after, after}, {id, ben, answer, answer}}
			if kind == "group" {
				want = []Event{{id, ann, after, after}, {ConversationID: id, DeliveredSeq: answer}}
			}
			a.wantTold(want...)
			if c := r.face(ann, id); c.OthersDeliveredSeq != answer {
				t.Errorf("ann sees %d", c.OthersDeliveredSeq)
			}
			r.mend()
			a.wantTold() // once
		})
	}
	t.Run("of a former member is left alone", func(t *testing.T) {
		t.Parallel()
		g := newTrio(t)
		g.send(g.eve, g.id)
		g.forget()
		g.remove(g.ann, g.id, g.eve)
		senders, err := g.q.unmarkedSenders(t.Context(), []chat.ConversationID{g.id}, firstSweepReach)
		if err != nil || len(senders) > 0 {
			t.Errorf("%v, %v", senders, err)
		}
	})
	t.Run("of before a user came back says nothing of what came since", func(t *testing.T) {
		t.Parallel()
		g := newTrio(t)
		g.send(g.eve, g.id)
		g.forget()
		g.remove(g.ann, g.id, g.eve)
		g.add(g.ann, g.id, g.eve)
		g.send(g.ann, g.id)
		if c := g.face(g.eve, g.id); c.Unread != 1 || c.ReadSeq != 0 {
			t.Errorf("eve has %d unread, and has read %d", c.Unread, c.ReadSeq)
		}
	})
}

// A deleted message is not unread, whichever way it is counted.
func TestDeletedIsNotUnread(t *testing.T) {
	t.Parallel()
	r := setup(t)
	ann, ben := r.user("ann"), r.user("ben")
	id := r.group(ann, ben)
	var said []chat.Seq
	for range 3 {
		sent, err := r.chat.Send(t.Context(), chat.Outgoing{ConversationID: id, SenderID: ann, ClientID: newClientID(), Body: "@ben", Mentions: []accounts.UserID{ben}})
		if err != nil {
			t.Fatal(err)
		}
		<-r.sent
		said = append(said, sent.Seq)
	}
	for i, seq := range said {
		if c := r.face(ben, id); c.Unread != 3-i || c.Mentions != 3-i {
			t.Errorf("with %d deleted, %d are unread and %d mention him", i, c.Unread, c.Mentions)
		}
		r.erase(ann, id, seq)
	}
	if c := r.face(ben, id); c.Unread != 0 || c.Mentions != 0 {
		t.Errorf("of tombstones %d are unread and %d mention him", c.Unread, c.Mentions)
	}
}
