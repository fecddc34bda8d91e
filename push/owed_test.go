package push

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/accounts"
	"parley/chat"
)

// Somebody who is away is told who wrote what, by a service that can only do so with the
// subscription's keys.
func TestNotification(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben := b.person("Ann"), b.person("Ben")
	phone, _ := b.browser(ben)
	id := b.direct(ann, ben)
	seq := b.say(ann, id, "Are you there?")
	b.notices(id, seq)
	b.sends()
	pushes := phone.Pushes()
	if len(pushes) != 1 {
		t.Fatalf("%d pushes", len(pushes))
	}
	p := pushes[0]
	d := p.Data
	if d.Type != "message" || d.ConversationID != id.String() || d.Seq != int64(seq) || d.Title != "Ann" || d.Body != "Are you there?" ||
		d.Count != 1 || d.Unread != 1 || d.Tag != id.String() || time.Since(d.At) > time.Minute {
		t.Errorf("the payload is %s", p.Payload)
	}
	if p.Key != b.keys.public || p.TTL != "604800" || p.Urgency != "high" || p.Size != 2048 || strings.Contains(p.Topic, id.String()) {
		t.Errorf("the push is %+v", p)
	}

	// The next one of the conversation replaces it; also when a device is asked about anew.
	seq = b.say(ann, id, "Hello?")
	b.notices(id, seq)
	b.sends()
	b.sweeps()
	if again := b.sends(); len(again) != 0 || b.due() != 0 {
		t.Errorf("there is more to send: %+v", again)
	}
	pushes = phone.Pushes()
	if len(pushes) != 2 || pushes[1].Topic != p.Topic || pushes[1].Data.Count != 2 || pushes[1].Data.Unread != 2 || pushes[1].Data.Body != "2 new messages\nHello?" {
		t.Errorf("then: %+v", pushes[1:])
	}
}

// A burst is one notification that says so; of a group it says who wrote.
func TestBurst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, carl := b.person("Ann"), b.person("Ben"), b.person("Carl")
	phone, _ := b.browser(ben)
	desk, _ := b.browser(ben)
	id := b.group("Climbers", ann, ben, carl)
	for i := range 49 {
		b.say(ann, id, fmt.Sprint("message ", i))
	}
	b.notices(id, b.say(carl, id, strings.Repeat("é", 3000)))
	b.sends()
	p := phone.Pushes()
	if len(p) != 1 || len(desk.Pushes()) != 1 {
		t.Fatalf("%d and %d pushes", len(p), len(desk.Pushes()))
	}
	if d := p[0].Data; d.Count != 50 || d.Title != "Climbers" || !strings.HasPrefix(d.Body, "50 new messages\nCarl: ééé") || len(d.Body) > 1300 {
		t.Errorf("the payload is %s", p[0].Payload)
	}
	if p[0].Topic == desk.Pushes()[0].Topic {
		t.Error("a push service could tell that two devices share a conversation")
	}
}

// Who is told nothing, and why. What is noticed and what is found by sweeping is the same, and
// so is what is sent if that became so after it was found.
func TestNotOwed(t *testing.T) {
	t.Parallel()
	type scene struct {
		*bundle
		ann, ben accounts.Identity
		id       chat.ConversationID
		seq      chat.Seq
	}
	settings := func(n chat.Notify, until time.Time) func(*scene) {
		return func(s *scene) {
			if _, err := s.chat.UpdateSettings(s.t.Context(), s.ben.UserID, s.id, chat.Settings{Notify: &n, Mute: &chat.Mute{Until: until}}); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	for name, make := range map[string]func(*scene){
		"they have it":    func(s *scene) { s.marks(s.ben, s.id, s.seq, 0) },
		"they read it":    func(s *scene) { s.marks(s.ben, s.id, s.seq, s.seq) },
		"muted":           settings(chat.NotifyAll, time.Now().Add(time.Hour)),
		"nothing wanted":  settings(chat.NotifyNone, time.Time{}),
		"not mentioned":   settings(chat.NotifyMentions, time.Time{}),
		"signed out":      func(s *scene) { s.exec(`UPDATE sessions SET ended_at = now() WHERE id = $1`, s.ben.SessionID) },
		"session expired": func(s *scene) { s.exec(`UPDATE sessions SET expires_at = now() WHERE id = $1`, s.ben.SessionID) },
		"disabled":        func(s *scene) { s.exec(`UPDATE users SET disabled_at = now() WHERE id = $1`, s.ben.UserID) },
		"removed": func(s *scene) {
			if err := s.chat.RemoveMember(s.t.Context(), s.ann.UserID, s.id, s.ben.UserID); err != nil {
				s.t.Fatal(err)
			}
		},
		"deleted": func(s *scene) {
			s.act(chat.Action{Kind: chat.KindDelete, ConversationID: s.id, SenderID: s.ann.UserID, TargetSeq: s.seq})
		},
		"too old": func(s *scene) { s.exec(`UPDATE entries SET created_at = now() - interval '8 days'`) },
		"before the device": func(s *scene) {
			s.exec(`UPDATE entries SET created_at = (SELECT min(created_at) - interval '1 second' FROM devices)`)
		},
		"before they came": func(s *scene) { s.exec(`UPDATE members SET joined_seq = $1 WHERE user_id = $2`, s.seq, s.ben.UserID) },
		"sender blocked": func(s *scene) {
			if err := s.chat.Block(s.t.Context(), s.ben.UserID, s.ann.UserID); err != nil {
				s.t.Fatal(err)
			}
		},
		"their own":  func(s *scene) { s.exec(`UPDATE entries SET sender_id = $1`, s.ben.UserID) },
		"no message": func(s *scene) { s.exec(`UPDATE entries SET kind = 'title_changed'`) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begin := func() *scene {
				s := &scene{bundle: setup(t)}
				s.ann, s.ben = s.person("Ann"), s.person("Ben")
				s.id = s.group("Climbers", s.ann, s.ben)
				return s
			}
			s := begin()
			phone, _ := s.browser(s.ben)
			s.seq = s.say(s.ann, s.id, "Hello")
			make(s)
			s.notices(s.id, s.seq)
			s.sends()
			s.sweeps()
			s.sends()
			if n := len(phone.Attempts()); n != 0 {
				t.Errorf("%d pushes", n)
			}

			s = begin()
			phone, _ = s.browser(s.ben)
			s.seq = s.say(s.ann, s.id, "Hello")
			s.notices(s.id, s.seq)
			if s.due() != 1 {
				t.Fatal("nothing was owed, whatever happened")
			}
			make(s)
			s.sends()
			s.sweeps()
			s.sends()
			if n := len(phone.Attempts()); n != 0 || s.due() != 0 {
				t.Errorf("after it was owed: %d pushes, %d devices due", n, s.due())
			}
		})
	}
}

// Whoever wants to be told of mentions is.
func TestMentions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben := b.person("Ann"), b.person("Ben")
	phone, _ := b.browser(ben)
	id := b.group("Climbers", ann, ben)
	mentions := chat.NotifyMentions
	if _, err := b.chat.UpdateSettings(t.Context(), ben.UserID, id, chat.Settings{Notify: &mentions}); err != nil {
		t.Fatal(err)
	}
	b.say(ann, id, "one")
	b.say(ann, id, "@ben two", ben.UserID)
	seq := b.say(ann, id, "three")
	b.notices(id, seq)
	b.sends()
	if p := phone.Pushes(); len(p) != 1 || p[0].Data.Body != "Ann: @ben two" || p[0].Data.Count != 1 || p[0].Data.Seq != int64(seq)-1 {
		t.Fatalf("got %+v", p)
	}
	b.sweeps()
	if b.due() != 0 {
		t.Error("the sweep finds more than was noticed")
	}
	// What was said before is not told of later.
	all := chat.NotifyAll
	if _, err := b.chat.UpdateSettings(t.Context(), ben.UserID, id, chat.Settings{Notify: &all}); err != nil {
		t.Fatal(err)
	}
	b.sweeps()
	if b.due() != 0 {
		t.Error("what was said before they wanted to know is owed")
	}
	b.notices(id, b.say(ann, id, "four"))
	b.sends()
	if p := phone.Pushes(); len(p) != 2 || p[1].Data.Body != "Ann: four" || p[1].Data.Count != 1 {
		t.Fatalf("then %+v", p[1:])
	}
}

// When a mute ends, by itself or not, what was said meanwhile stays quiet.
func TestMuteEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben := b.person("Ann"), b.person("Ben")
	phone, _ := b.browser(ben)
	id := b.direct(ann, ben)
	mute := func(until time.Time) {
		t.Helper()
		c, err := b.chat.UpdateSettings(t.Context(), ben.UserID, id, chat.Settings{Mute: &chat.Mute{Until: until}})
		if err != nil {
			t.Fatal(err)
		}
		if (c.MutedUntil == nil) != until.IsZero() || c.MutedUntil != nil && !c.MutedUntil.Equal(until) {
			t.Errorf("muted until %v, want %v", c.MutedUntil, until)
		}
	}
	mute(time.Now().Add(time.Hour).Truncate(time.Microsecond))
	b.notices(id, b.say(ann, id, "while muted"))
	mute(time.Time{})
	b.sweeps()
	if b.due() != 0 {
		t.Error("owed after the mute was ended")
	}
	b.notices(id, b.say(ann, id, "after"))
	b.sends()
	mute(time.Now().Add(time.Hour).Truncate(time.Microsecond))
	b.notices(id, b.say(ann, id, "while muted again"))
	b.exec(`UPDATE members SET muted_until = now() WHERE user_id = $1`, ben.UserID) // its time comes
	b.sweeps()
	b.sends()
	if p := phone.Pushes(); len(p) != 1 || p[0].Data.Body != "after" || p[0].Data.Count != 1 {
		t.Fatalf("got %+v", p)
	}
}

// An edit shows in what is sent; who wants no details, or whose server does not, gets none.
func TestContent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben := b.person("Ann"), b.person("Ben")
	phone, _ := b.browser(ben)
	id := b.group("Secret", ann, ben)
	seq := b.say(ann, id, "typo")
	b.act(chat.Action{Kind: chat.KindEdit, ConversationID: id, SenderID: ann.UserID, TargetSeq: seq, Body: "mended"})
	b.notices(id, seq)
	b.sends()
	b.exec(`UPDATE users SET push_content = 'generic' WHERE id = $1`, ben.UserID)
	b.notices(id, b.say(ann, id, "hidden"))
	b.sends()
	b.marks(ben, id, seq+1, 0) // all but the last one
	b.exec(`UPDATE users SET push_content = 'full'`)
	b.cfg.Generic = true
	b.notices(id, b.say(ann, id, "hidden too"))
	b.sends()
	p := phone.Pushes()
	if len(p) != 3 || p[0].Data.Body != "Ann: mended" {
		t.Fatalf("got %+v", p)
	}
	for i, want := range []string{"2 new messages", "2 new messages"} {
		d := p[i+1].Data
		if text := string(p[i+1].Payload); d.Title != "Parley" || d.Body != want || strings.Contains(text, "Ann") || strings.Contains(text, "hidden") || strings.Contains(text, "Secret") {
			t.Errorf("got %s", text)
		}
	}
}

// The next notification says which conversations were read since they were shown.
func TestReadElsewhere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, carl := b.person("Ann"), b.person("Ben"), b.person("Carl")
	phone, _ := b.browser(ben)
	first, second := b.direct(ann, ben), b.direct(carl, ben)
	seq := b.say(ann, first, "one")
	b.notices(first, seq)
	b.sends()
	b.marks(ben, first, seq, seq)
	for range 2 {
		b.notices(second, b.say(carl, second, "two"))
		b.sends()
	}
	p := phone.Pushes()
	if len(p) != 3 || len(p[1].Data.Read) != 1 || p[1].Data.Read[0] != first.String() || len(p[2].Data.Read) != 0 || p[1].Data.Unread != 1 {
		t.Fatalf("got %+v", p)
	}
}

// What becomes owed while a device is being told something is not missed.
func TestOwedMeanwhile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben := b.person("Ann"), b.person("Ben")
	phone, _ := b.browser(ben)
	id := b.direct(ann, ben)
	b.notices(id, b.say(ann, id, "one"))
	turns := b.claims()
	if len(turns) != 1 {
		t.Fatalf("%d turns", len(turns))
	}
	b.notices(id, b.say(ann, id, "two"))
	if len(b.claims()) != 0 {
		t.Fatal("the device is sent to twice at a time")
	}
	if err := b.q.record(t.Context(), []result{b.serves(t.Context(), turns[0])}); err != nil {
		t.Fatal(err)
	}
	b.sends()
	if p := phone.Pushes(); len(p) != 2 || p[0].Data.Count != 1 || p[1].Data.Count != 2 {
		t.Fatalf("got %+v", p)
	}
}

// More messages than anybody counts are more than anybody counts.
func TestMany(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben := b.person("Ann"), b.person("Ben")
	phone, _ := b.browser(ben)
	id := b.direct(ann, ben)
	for range countCap + 10 {
		b.say(ann, id, "Hello")
	}
	gone := b.say(ann, id, "a slip")
	b.act(chat.Action{Kind: chat.KindDelete, ConversationID: id, SenderID: ann.UserID, TargetSeq: gone})
	b.notices(id, b.say(ann, id, "the last"))
	b.sends()
	if p := phone.Pushes(); len(p) != 1 || p[0].Data.Count != countCap || p[0].Data.Unread != countCap || p[0].Data.Body != "99+ new messages\nthe last" {
		t.Fatalf("got %+v", p)
	}
	b.marks(ben, id, gone-2, gone-2)
	b.notices(id, b.say(ann, id, "one more"))
	b.sends()
	if p := phone.Pushes(); len(p) != 2 || p[1].Data.Count != 3 || p[1].Data.Unread != 3 {
		t.Fatalf("then %+v", p[1:])
	}
}

// The badge counts as the list of conversations does: a deleted message is not unread.
func TestBadgeCountsNoDeleted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben := b.person("Ann"), b.person("Ben")
	phone, _ := b.browser(ben)
	id, other := b.direct(ann, ben), b.group("Climbers", ann, ben)
	for _, in := range []chat.ConversationID{id, other} {
		gone := b.say(ann, in, "never mind")
		b.act(chat.Action{Kind: chat.KindDelete, ConversationID: in, SenderID: ann.UserID, TargetSeq: gone})
	}
	b.notices(id, b.say(ann, id, "Are you there?"))
	b.sends()
	p := phone.Pushes()
	if len(p) != 1 {
		t.Fatalf("%d pushes", len(p))
	}
	list, _, err := b.chat.List(t.Context(), ben.UserID, "", 10)
	if err != nil || len(list) != 2 || list[0].Unread+list[1].Unread != 1 || p[0].Data.Unread != 1 || p[0].Data.Count != 1 {
		t.Errorf("the badge is %d, the list has %+v, %v", p[0].Data.Unread, list, err)
	}
}
