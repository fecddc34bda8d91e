package chat

import (
	"slices"
	"testing"

	"parley/accounts"
)

// group makes a group of its owner and others.
func (b *bundle) group(owner accounts.UserID, others ...accounts.UserID) ConversationID {
	b.t.Helper()
	c, err := b.CreateGroup(b.t.Context(), owner, "Group", others)
	if err != nil {
		b.t.Fatal(err)
	}
	return c.ID
}

// Somebody is added while nobody of the group is connected, and a message is committed before
// the entry that lets them in has passed the gate: they get it all the same.
func TestMessageRightAfterBeingAdded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := replica(t, b.db) // commits what b delivers, step by step
	ann, ben := b.user("ann"), b.user("ben")
	id := b.group(ann)
	c := b.connect(ben)
	b.gates.watch(id, 1) // as a change does before its commit
	if _, err := other.AddMembers(t.Context(), ann, id, []accounts.UserID{ben}); err != nil {
		t.Fatal(err)
	}
	other.send(ann, id, "welcome")
	if _, err := other.Act(t.Context(), Action{Kind: KindReactionAdded, ConversationID: id, SenderID: ann, TargetSeq: 3, Emoji: "👋"}); err != nil {
		t.Fatal(err)
	}
	log := b.log(id)
	var frames [][]byte
	for _, e := range log {
		frames = append(frames, b.gates.encode(e)) // before ben is let in: nobody would get them
	}
	b.gates.deliverChange(t.Context(), log[1])
	for i, e := range log[2:] {
		b.gates.deliver(e, frames[i+2])
	}
	b.send(ann, id, "and live")
	var got []Seq
	for len(got) == 0 || got[len(got)-1] < 5 {
		got = append(got, c.entry().Seq)
	}
	if !slices.Equal(got, []Seq{2, 3, 4, 5}) {
		t.Errorf("ben got %v", got)
	}
}
