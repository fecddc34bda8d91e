package presence

import (
	"testing"

	"parley/accounts"
)

func TestBlocksEndPresence(t *testing.T) {
	t.Parallel()
	for _, hint := range []string{"by the hint", "by the sweep"} {
		t.Run(hint, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			ann, ben, _ := b.pair()
			group := b.group(ann, ben)
			names := map[accounts.UserID]string{ann: "ann", ben: "ben"}
			a, c := b.connect(ann), b.connect(ben)
			a.watch(ben)
			c.watch(ann)
			b.step(0)
			a.wantTold(names, "+ben")
			c.wantTold(names, "+ann")
			if err := b.chat.Block(t.Context(), ann, ben); err != nil {
				t.Fatal(err)
			}
			if hint == "by the hint" {
				b.AcquaintanceChanged(ann, ben)
				b.step(0)
			} else if err := b.sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			a.wantTold(names, "-ben")
			c.wantTold(names, "-ann")
			if b.state(ann, ben) != nil || b.state(ben, ann) != nil {
				t.Error("presence is known by asking")
			}
			list, err := b.q.membersStates(t.Context(), ben, group)
			if err != nil || len(list) != 2 {
				t.Fatal(list, err)
			}
			for _, s := range list {
				if s.UserID == ann && (s.Online || s.LastSeen != nil) {
					t.Errorf("the group shows %+v", s)
				}
			}
			if err := b.sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			b.depart()
			a.wantTold(names)
			c.ask("typing.start", `{"conversation_id":"`+group.String()+`"}`)
			a.wantTold(names)
		})
	}
}

func TestBlockedTypingIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	c := b.connect(ben)
	if err := b.chat.Block(t.Context(), ann, ben); err != nil {
		t.Fatal(err)
	}
	if answer, _ := c.ask("typing.start", `{"conversation_id":"`+id.String()+`"}`); answer != "forbidden" {
		t.Error(answer)
	}
}

func TestPresenceWaitsForAcceptance(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.q.acceptance = true
	ann, ben := b.user("ann"), b.user("ben")
	o, err := b.chat.OpenDirect(t.Context(), ann, ben)
	if err != nil {
		t.Fatal(err)
	}
	if list, err := b.q.membersStates(t.Context(), ben, o.ID); err != nil || len(list) != 0 {
		t.Errorf("a hidden conversation shows %v, %v", list, err)
	}
	b.exec(`UPDATE members SET hidden_until_message = false`)
	if b.state(ann, ben) != nil || b.state(ben, ann) == nil {
		t.Error("the wrong side is seen")
	}
	if err := b.chat.Accept(t.Context(), ben, o.ID); err != nil {
		t.Fatal(err)
	}
	if b.state(ann, ben) == nil {
		t.Error("presence is not seen after acceptance")
	}
}
