package chat

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/accounts"
	"parley/problem"
	"parley/store"
	"parley/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSend(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	eve := b.user("eve")
	first := Outgoing{ConversationID: id, SenderID: ann, ClientID: newClientID(), Body: "one"}
	sent, err := b.Send(t.Context(), first)
	if err != nil || sent.Seq != 2 || sent.Repeat || sent.CreatedAt.IsZero() {
		t.Fatalf("got %+v, %v", sent, err)
	}
	with := func(change func(*Outgoing)) Outgoing {
		m := first
		m.ClientID = newClientID()
		change(&m)
		return m
	}
	for _, tc := range []struct {
		name string
		m    Outgoing
		want error
	}{
		{"the same client_id with another body", with(func(m *Outgoing) { m.ClientID, m.Body = first.ClientID, "two" }), ErrClientID},
		{"the same client_id, another reply", with(func(m *Outgoing) { m.ClientID, m.ReplyTo = first.ClientID, 2 }), ErrClientID},
		{"the same client_id by somebody else", with(func(m *Outgoing) { m.ClientID, m.SenderID = first.ClientID, ben }), ErrClientID},
		{"the same client_id by a stranger", with(func(m *Outgoing) { m.ClientID, m.SenderID = first.ClientID, eve }), ErrNotMember},
		{"a stranger", with(func(m *Outgoing) { m.SenderID = eve }), ErrNotMember},
		{"no such conversation", with(func(m *Outgoing) { m.ConversationID = store.NewID[Conversation]() }), ErrNotMember},
		{"a reply to nothing", with(func(m *Outgoing) { m.ReplyTo = 99 }), ErrNoReplied},
		{"a reply to what is no message", with(func(m *Outgoing) { m.ReplyTo = 1 }), ErrNoReplied},
	} {
		if _, err := b.Send(t.Context(), tc.m); !errors.Is(err, tc.want) {
			t.Errorf("%s: want %v, got %v", tc.name, tc.want, err)
		}
	}
	for _, tc := range []struct {
		name string
		m    Outgoing
		want problem.Code
	}{
		{"no body", with(func(m *Outgoing) { m.Body = "" }), problem.Invalid},
		{"one byte too many", with(func(m *Outgoing) { m.Body = strings.Repeat("x", MaxBody+1) }), problem.TooLarge},
		{"NUL", with(func(m *Outgoing) { m.Body = "a\x00b" }), problem.Invalid},
		{"not UTF-8", with(func(m *Outgoing) { m.Body = "\xff" }), problem.Invalid},
		{"no client_id", with(func(m *Outgoing) { m.ClientID = [16]byte{} }), problem.Invalid},
	} {
		if _, err := b.Send(t.Context(), tc.m); problem.From(err).Code != tc.want {
			t.Errorf("%s: want %s, got %v", tc.name, tc.want, err)
		}
	}
	again, err := b.Send(t.Context(), first)
	if err != nil || !again.Repeat || again.Seq != 2 || !again.CreatedAt.Equal(sent.CreatedAt) {
		t.Fatalf("the repeat gave %+v, %v", again, err)
	}
	// The same client_id in another conversation is another message.
	other, err := b.OpenDirect(t.Context(), ann, eve)
	if err != nil {
		t.Fatal(err)
	}
	if sent, err := b.Send(t.Context(), with(func(m *Outgoing) { m.ClientID, m.ConversationID = first.ClientID, other.ID })); err != nil || sent.Repeat {
		t.Fatalf("in another conversation: %+v, %v", sent, err)
	}
	reply, err := b.Send(t.Context(), with(func(m *Outgoing) {
		m.SenderID, m.ReplyTo, m.Body = ben, 2, strings.Repeat("ü", MaxBody/2)
	}))
	if err != nil || reply.Seq != 3 {
		t.Fatalf("the reply: %+v, %v", reply, err)
	}
	log := b.log(id)
	if len(log) != 3 || log[0].Kind != KindCreated || !slices.Equal(log[0].UserIDs, []accounts.UserID{ann, ben}) ||
		log[1].Body != "one" || log[1].ClientID != first.ClientID || log[2].ReplyTo != 2 {
		t.Fatalf("the log is %+v", log)
	}
}

// Every acknowledged message is in the log once, at the acknowledged place; what one
// sender sent one after the other is in that order.
func TestManySenders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	other, err := b.OpenDirect(t.Context(), ann, b.user("cleo"))
	if err != nil {
		t.Fatal(err)
	}
	const senders, each = 20, 100
	acked := make([]map[Seq]string, senders)
	var wg sync.WaitGroup
	for i := range senders {
		acked[i] = make(map[Seq]string)
		wg.Go(func() {
			from := []accounts.UserID{ann, ben}[i%2]
			last := Seq(0)
			for n := range each {
				body := fmt.Sprintf("%d/%d", i, n)
				sent, err := b.Send(t.Context(), Outgoing{ConversationID: id, SenderID: from, ClientID: newClientID(), Body: body})
				if err != nil {
					t.Error(err)
					return
				}
				if sent.Seq <= last {
					t.Errorf("sender %d: seq %d after %d", i, sent.Seq, last)
				}
				last = sent.Seq
				acked[i][sent.Seq] = body
				if n%10 == 0 { // batches over several conversations
					if _, err := b.Send(t.Context(), Outgoing{ConversationID: other.ID, SenderID: ann, ClientID: newClientID(), Body: body}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	log := b.log(id)
	if len(log) != 1+senders*each {
		t.Fatalf("%d entries", len(log))
	}
	for i := range acked {
		for seq, body := range acked[i] {
			if log[seq-1].Body != body {
				t.Fatalf("seq %d was acknowledged for %s and is %s", seq, body, log[seq-1].Body)
			}
		}
	}
	if n := len(b.log(other.ID)); n != 1+senders*each/10 {
		t.Fatalf("%d entries in the other conversation", n)
	}
}

// The same message from eight places at once, through two replicas, is one entry.
func TestSameClientIDAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b2 := replica(t, b.db)
	ann, _, id := b.pair()
	const messages, copies = 100, 8
	for range messages {
		m := Outgoing{ConversationID: id, SenderID: ann, ClientID: newClientID(), Body: "x"}
		seqs := make([]Seq, copies)
		var wg sync.WaitGroup
		for i := range copies {
			wg.Go(func() {
				sent, err := []*bundle{b, b2}[i%2].Send(t.Context(), m)
				if err != nil {
					t.Error(err)
				}
				seqs[i] = sent.Seq
			})
		}
		wg.Wait()
		if slices.Min(seqs) != slices.Max(seqs) {
			t.Fatalf("one message has the seqs %v", seqs)
		}
	}
	if n := len(b.log(id)); n != 1+messages {
		t.Fatalf("%d entries for %d messages", n, messages)
	}
}

// Connections to the database die all the time; whatever is acknowledged is there once.
func TestConnectionsKilled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	killer := storetest.New(t)
	name := b.db.Pool().Config().ConnConfig.Database
	stop := make(chan struct{})
	var kills sync.WaitGroup
	kills.Go(func() {
		tick := time.NewTicker(30 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				if _, err := killer.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1`, name); err != nil {
					t.Error(err)
				}
			}
		}
	})
	const senders, each = 10, 100
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			for n := range each {
				m := Outgoing{ConversationID: id, SenderID: []accounts.UserID{ann, ben}[i%2], ClientID: newClientID(), Body: fmt.Sprintf("%d/%d", i, n)}
				for {
					_, err := b.Send(t.Context(), m)
					if err == nil {
						break
					}
					if problem.From(store.Problem(err)).Code != problem.Unavailable {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	kills.Wait()
	b.db.Pool().Reset() // the last kill may have left dead connections, and the log is read once
	seen := make(map[string]int)
	for _, e := range b.log(id)[1:] {
		seen[e.Body]++
	}
	if len(seen) != senders*each {
		t.Fatalf("%d of %d messages are in the log", len(seen), senders*each)
	}
	for body, n := range seen {
		if n != 1 {
			t.Errorf("message %s is in the log %d times", body, n)
		}
	}
}

// A message that the database refuses does not take the others of its batch with it.
func TestPoisonedBatch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, _, id := b.pair()
	if _, err := b.db.Exec(t.Context(), `ALTER TABLE entries ADD CHECK (body <> 'poison')`); err != nil {
		t.Fatal(err)
	}
	const n = 50
	errs := make(chan error, n)
	for i := range n {
		body := "fine"
		if i == 25 {
			body = "poison"
		}
		b.Submit(Outgoing{ConversationID: id, SenderID: ann, ClientID: newClientID(), Body: body},
			func(_ Sent, err error) { errs <- err })
	}
	failed := 0
	for range n {
		if err := <-errs; err != nil {
			failed++
		}
	}
	if failed != 1 || len(b.log(id)) != n {
		t.Fatalf("%d failed, %d entries", failed, len(b.log(id)))
	}
}

// More than fits is refused at once, and what was taken is stored.
func TestOverload(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, _, id := b.pair()
	const n = 4 * queueLength
	errs := make(chan error, n)
	for range n {
		b.Submit(Outgoing{ConversationID: id, SenderID: ann, ClientID: newClientID(), Body: "x"},
			func(_ Sent, err error) { errs <- err })
	}
	stored := 0
	for range n {
		switch err := <-errs; {
		case err == nil:
			stored++
		case !errors.Is(err, ErrOverloaded):
			t.Fatal(err)
		}
	}
	if stored < queueLength || stored == n {
		t.Errorf("%d of %d were stored", stored, n)
	}
	if got := len(b.log(id)); got != 1+stored {
		t.Fatalf("%d entries for %d acknowledged messages", got, stored)
	}
}
