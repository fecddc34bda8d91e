package push

import (
	"context"
	"testing"
	"time"

	"parley/chat"
)

// What nobody noticed is found, once.
func TestForgotten(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben := b.person("Ann"), b.person("Ben")
	phone, _ := b.browser(ben)
	id := b.direct(ann, ben)
	seq := b.say(ann, id, "Hello")
	for range 20 {
		b.act(chat.Action{Kind: chat.KindReactionAdded, ConversationID: id, SenderID: ann.UserID, TargetSeq: seq, Emoji: "👍"})
		b.act(chat.Action{Kind: chat.KindReactionRemoved, ConversationID: id, SenderID: ann.UserID, TargetSeq: seq, Emoji: "👍"})
	}
	// However much was done to it since, the message is found.
	b.exec(`INSERT INTO entries (conversation_id, seq, kind, sender_id, created_at, body, target_seq)
		SELECT c.id, c.last_seq + n, 'edit', $2, now(), 'Hello', $3 FROM conversations c, generate_series(1, 2000) n WHERE c.id = $1`, id, ann.UserID, seq)
	b.exec(`UPDATE conversations SET last_seq = last_seq + 2000 WHERE id = $1`, id)
	if _, err := b.sweepSome(t.Context(), DeviceID{}, sweepRows, ages{missing: comeBack, unread: unreadFor, since: life}); err != nil {
		t.Fatal(err)
	}
	if b.due() != 0 {
		t.Error("the sweep took what is still to be noticed")
	}
	for range 3 {
		b.sweeps()
		b.sends()
	}
	if p := phone.Pushes(); len(p) != 1 || p[0].Data.Seq != int64(seq) {
		t.Fatalf("got %+v", p)
	}
}

// A page that nobody looks at has the message: who has not read it after a minute is told of
// it all the same. What was said long ago, and what they read since, stays quiet.
func TestUnread(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, carl := b.person("Ann"), b.person("Ben"), b.person("Carl")
	phone, _ := b.browser(ben)
	b.exec(`UPDATE devices SET created_at = now() - interval '1 day'`)
	id, other := b.direct(ann, ben), b.direct(carl, ben)
	b.say(ann, id, "one")
	seq := b.say(ann, id, "two")
	b.notices(id, seq)
	b.marks(ben, id, seq, 0)
	b.sends()
	b.sweeps()
	if b.due() != 0 || len(phone.Attempts()) != 0 {
		t.Fatal("they were told at once of what they have")
	}
	age := func(id chat.ConversationID, by string) {
		b.exec(`UPDATE entries SET created_at = now() - $2::interval WHERE conversation_id = $1`, id, by)
	}
	age(id, "61 seconds")
	quiet := b.say(carl, other, "long ago")
	b.marks(ben, other, quiet, 0)
	age(other, "2 hours")
	for range 3 {
		b.sweeps()
		b.sends()
	}
	if p := phone.Pushes(); len(p) != 1 || p[0].Data.Count != 2 || p[0].Data.Body != "2 new messages\ntwo" || p[0].Data.Seq != int64(seq) {
		t.Fatalf("got %+v", p)
	}

	// Of what comes while they still have not read that, they are told after a while.
	seq = b.say(ann, id, "more")
	b.marks(ben, id, seq, 0)
	age(id, "61 seconds")
	b.sweeps()
	if b.due() != 0 {
		t.Error("they are told of every message")
	}
	b.exec(`UPDATE push_jobs SET sent_at = now() - interval '10 minutes'`)
	b.sweeps()
	b.sends()
	if p := phone.Pushes(); len(p) != 2 || p[1].Data.Count != 3 {
		t.Fatalf("then %+v", p[1:])
	}
	b.marks(ben, id, seq, seq)

	// Whoever reads something else is here, and is told when they are so no more.
	seq = b.say(ann, id, "three")
	b.marks(ben, id, seq, seq-1)
	age(id, "61 seconds")
	b.exec(`UPDATE receipts SET read_at = now() WHERE conversation_id = $1`, other)
	b.sweeps()
	if b.due() != 0 {
		t.Error("who is here is told of what they did not read yet")
	}
	b.exec(`UPDATE receipts SET read_at = now() - interval '61 seconds' WHERE conversation_id = $1`, other)
	b.sweeps()
	b.sends()
	if p := phone.Pushes(); len(p) != 3 || p[2].Data.Count != 1 {
		t.Fatalf("then %+v", p[2:])
	}
	b.marks(ben, id, seq, seq)

	// Once more; by the time it is sent they read it.
	seq = b.say(ann, id, "four")
	b.marks(ben, id, seq, seq-1)
	age(id, "61 seconds")
	b.sweeps()
	if b.due() != 1 {
		t.Fatal("nothing is owed")
	}
	b.marks(ben, id, seq, seq)
	b.sends()
	b.sweeps()
	if len(phone.Attempts()) != 3 || b.due() != 0 {
		t.Error("they were told of what they read")
	}
}

// A sweep looks where something was said since the last round, and no further.
func TestSince(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben := b.person("Ann"), b.person("Ben")
	b.browser(ben)
	id := b.direct(ann, ben)
	b.say(ann, id, "Hello")
	b.exec(`UPDATE devices SET created_at = now() - interval '1 day'`)
	b.exec(`UPDATE entries SET created_at = now() - interval '10 minutes'`)
	b.exec(`UPDATE conversations SET last_entry_at = now() - interval '10 minutes'`)
	look := func(since time.Duration) int {
		t.Helper()
		if _, err := b.sweepSome(t.Context(), DeviceID{}, sweepRows, ages{unread: unreadFor, since: since}); err != nil {
			t.Fatal(err)
		}
		return b.due()
	}
	if n := look(5 * time.Minute); n != 0 {
		t.Errorf("what is older than the last round was looked at again")
	}
	if n := look(15 * time.Minute); n != 1 {
		t.Errorf("what was said since the last round was not found")
	}
}

// A mention is found however much is said and done after it.
func TestBusyGroup(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben := b.person("Ann"), b.person("Ben")
	phone, _ := b.browser(ben)
	b.exec(`UPDATE devices SET created_at = now() - interval '1 day'`)
	id := b.group("Climbers", ann, ben)
	mentions := chat.NotifyMentions
	if _, err := b.chat.UpdateSettings(t.Context(), ben.UserID, id, chat.Settings{Notify: &mentions}); err != nil {
		t.Fatal(err)
	}
	b.exec(`UPDATE members SET muted_until = NULL`)
	seq := b.say(ann, id, "@ben", ben.UserID)
	b.exec(`UPDATE entries SET created_at = now() - interval '70 seconds'`)
	b.exec(`INSERT INTO entries (conversation_id, seq, kind, sender_id, client_id, body, created_at)
		SELECT $1, $2 + n, 'message', $3, gen_random_uuid(), 'Hello', now() - interval '1 second' FROM generate_series(1, 3000) n`, id, seq, ann.UserID)
	b.exec(`UPDATE conversations SET last_seq = last_seq + 3000`)
	b.marks(ben, id, seq+3000, 0)
	b.sweeps()
	b.sends()
	if p := phone.Pushes(); len(p) != 1 || p[0].Data.Body != "Ann: @ben" {
		t.Errorf("got %+v", p)
	}
}

// A round of the sweep that fails is gone on with, and looks as far back as it would have.
func TestSweepFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben := b.person("Ann"), b.person("Ben")
	for range 3 {
		b.browser(ben)
	}
	id := b.direct(ann, ben)
	b.say(ann, id, "Hello")
	for _, table := range []string{"devices", "entries"} {
		b.exec(`UPDATE ` + table + ` SET created_at = now() - interval '2 days'`)
	}
	b.exec(`UPDATE entries SET created_at = now() - interval '1 day'`)
	b.exec(`UPDATE conversations SET last_entry_at = now() - interval '1 day'`)
	r := round{rows: 2}
	now := time.Now()
	on := func(ctx context.Context) (time.Duration, error) {
		t.Helper()
		pause, err := b.sweepOn(ctx, &r, now)
		now = now.Add(pause)
		return pause, err
	}
	if _, err := on(t.Context()); err != nil || b.due() != 2 {
		t.Fatalf("%d are due: %v", b.due(), err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	for range 3 {
		if _, err := on(ended); err == nil {
			t.Fatal("it does not fail")
		}
	}
	if pause, err := on(t.Context()); err != nil || b.due() != 3 || pause != sweepPause {
		t.Fatalf("%d are due, on in %v: %v", b.due(), pause, err)
	}
	if pause, err := on(t.Context()); err != nil || pause < sweepRound/2 || r.last.IsZero() {
		t.Errorf("the next round begins in %v: %v", pause, err)
	}
	// What the first round has looked at the next one leaves alone.
	b.exec(`DELETE FROM push_jobs`)
	b.exec(`UPDATE devices SET due_at = NULL`)
	if _, err := on(t.Context()); err != nil || b.due() != 0 {
		t.Errorf("%d are due again: %v", b.due(), err)
	}
}
