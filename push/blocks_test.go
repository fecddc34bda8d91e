package push

import "testing"

func TestBlockedSender(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, carl := b.person("Ann"), b.person("Ben"), b.person("Carl")
	bens, _ := b.browser(ben)
	anns, _ := b.browser(ann)
	id := b.group("Climbers", ann, ben, carl)
	if err := b.chat.Block(b.t.Context(), ben.UserID, ann.UserID); err != nil {
		t.Fatal(err)
	}
	t.Run("causes no notification, also by a mention", func(t *testing.T) {
		b.notices(id, b.say(ann, id, "Hello, @ben", ben.UserID))
		b.sends()
		b.sweeps()
		b.sends()
		if n := len(bens.Attempts()); n != 0 || b.due() != 0 {
			t.Errorf("%d pushes, %d devices due", n, b.due())
		}
	})
	t.Run("gets notifications of the blocker's messages", func(t *testing.T) {
		b.notices(id, b.say(ben, id, "Hello, all"))
		b.sends()
		if p := anns.Pushes(); len(p) != 1 || p[0].Data.Body != "Ben: Hello, all" {
			t.Errorf("got %+v", p)
		}
	})
	t.Run("is left out of the notification of another member's message", func(t *testing.T) {
		b.say(ann, id, "before")
		seq := b.say(carl, id, "Hello from Carl")
		b.notices(id, b.say(ann, id, "after"))
		b.sends()
		p := bens.Pushes()
		if len(p) != 1 || p[0].Data.Count != 1 || p[0].Data.Seq != int64(seq) || p[0].Data.Body != "Carl: Hello from Carl" {
			t.Errorf("got %+v", p)
		}
	})
	t.Run("causes notifications after the block", func(t *testing.T) {
		if err := b.chat.Unblock(b.t.Context(), ben.UserID, ann.UserID); err != nil {
			t.Fatal(err)
		}
		seq := b.say(ann, id, "Hello again")
		b.notices(id, seq)
		b.sends()
		if p := bens.Pushes(); len(p) != 2 || p[1].Data.Seq != int64(seq) {
			t.Errorf("got %+v", p)
		}
	})
}
