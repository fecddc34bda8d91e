package presence

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/accounts"
	"parley/chat"
)

// The others are told who types, and only members, and only where they show the conversation
// or never said what they show.
func TestTyping(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, eve := b.user("ann"), b.user("ben"), b.user("eve")
	names := map[accounts.UserID]string{ann: "ann", ben: "ben", eve: "eve"}
	group, other := b.group(ann, ben, eve), b.group(ben, eve)
	a, laptop, phone, e := b.connect(ann), b.connect(ben), b.connect(ben), b.connect(eve)
	types := func(c *client, in chat.ConversationID) string {
		t.Helper()
		b.mu.Lock()
		clear(b.typing) // what is not the throttle's
		b.mu.Unlock()
		answer, _ := c.ask("typing.start", `{"conversation_id":"`+in.String()+`"}`)
		return answer
	}
	shows := func(c *client, frame string, id chat.ConversationID, want string) {
		t.Helper()
		if answer, _ := c.ask(frame, `{"user_ids":[],"conversation_id":"`+id.String()+`"}`); answer != want {
			t.Fatalf("%s: %s", frame, answer)
		}
	}
	const none = `{"users":[]}`

	types(laptop, group)
	a.wantTold(names, "ben types")
	e.wantTold(names, "ben types")
	phone.wantTold(names) // not oneself, on no device
	laptop.wantTold(names)

	// The id of no conversation: whoever shows none says so with it, also from the start.
	shows(e, "presence.unwatch", chat.ConversationID(uuid.Nil), none)
	types(laptop, group)
	e.wantTold(names)
	a.wantTold(names, "ben types")

	shows(e, "presence.watch", other, none)
	shows(phone, "presence.watch", group, none)
	types(a, group)
	e.wantTold(names)
	laptop.wantTold(names, "ann types")
	phone.wantTold(names, "ann types")
	types(laptop, other)
	e.wantTold(names, "ben types")

	shows(e, "presence.unwatch", group, none) // too late: it shows another one by now
	types(laptop, other)
	e.wantTold(names, "ben types")
	shows(e, "presence.unwatch", other, none)
	types(laptop, other)
	types(laptop, group)
	e.wantTold(names)
	a.wantTold(names, "ben types")

	// What cannot be answered changes nothing either.
	b.db.set(true, false)
	if answer, _ := phone.ask("presence.watch", `{"user_ids":`+ids(eve)+`,"conversation_id":"`+other.String()+`"}`); answer == none {
		t.Fatal("a watch succeeded without a database")
	}
	b.db.set(false, false)
	types(a, group)
	phone.wantTold(names, "ann types")
	laptop.wantTold(names, "ann types")

	// Strangers neither type nor show, and members no more once they have left.
	if answer := types(a, other); answer != "not_found" {
		t.Errorf("a stranger types: %s", answer)
	}
	shows(a, "presence.watch", other, "not_found")
	if err := b.chat.RemoveMember(t.Context(), ann, group, eve); err != nil {
		t.Fatal(err)
	}
	if answer := types(e, group); answer != "not_found" {
		t.Errorf("a former member types: %s", answer)
	}
	shows(e, "presence.watch", group, "not_found")
	types(a, group)
	e.wantTold(names)
}

// Somebody is said to be typing in one conversation every 2.5 seconds at most, whatever their
// devices send; looks forget them.
func TestTypingThrottle(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	names := map[accounts.UserID]string{ann: "ann"}
	one, two, c := b.connect(ann), b.connect(ann), b.connect(ben)
	for range 3 {
		for _, from := range []*client{one, two} {
			if answer, _ := from.ask("typing.start", `{"conversation_id":"`+id.String()+`"}`); answer != "{}" {
				t.Fatal(answer)
			}
		}
	}
	c.wantTold(names, "ann types")

	who, elsewhere := Typing{id, ben}, Typing{chat.ConversationID(ann), ben}
	now := time.Now()
	for _, step := range []struct {
		who  Typing
		in   time.Duration
		want bool
	}{
		{who, 0, true}, {who, time.Second, false}, {elsewhere, time.Second, true}, {who, typingEvery - 1, false}, {who, typingEvery, true}, {who, typingEvery + 1, false},
	} {
		if got := b.mayType(step.who, now.Add(step.in)); got != step.want {
			t.Errorf("%+v: %t", step, got)
		}
	}
	b.look(now.Add(3 * typingEvery))
	if n := len(b.typing); n != 0 {
		t.Errorf("%d are kept in memory", n)
	}
}
