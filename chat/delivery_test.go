package chat

import (
	"fmt"
	"runtime"
	"slices"
	"testing"

	"parley/accounts"
)

// Everybody's connections get every entry once and in order, the sender's too.
func TestLiveDelivery(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	eve := b.connect(b.user("eve"))
	clients := []*client{b.connect(ann), b.connect(ann), b.connect(ben)}
	const n = 300
	for i := range n {
		from := []accounts.UserID{ann, ben}[i%2]
		b.Submit(Outgoing{ConversationID: id, SenderID: from, ClientID: newClientID(), Body: fmt.Sprint(i)}, func(_ Sent, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	for _, c := range clients {
		for i := range n {
			if e := c.entry(); e.Seq != Seq(i+2) || e.Body != fmt.Sprint(i) || e.ConversationID != id {
				t.Fatalf("want message %d at seq %d, got %+v", i, i+2, e)
			}
		}
	}
	// Eve got nothing of it: the first entry she sees is one for her.
	c, err := b.OpenDirect(t.Context(), ben, b.only(eve))
	if err != nil {
		t.Fatal(err)
	}
	b.send(ben, c.ID, "hello")
	if f := eve.next(); f.Type != "conversation" || decode[Conversation](t, f.Data).ID != c.ID {
		t.Fatalf("eve got %s", f.Type)
	}
	if e := eve.entry(); e.ConversationID != c.ID || e.Kind != KindCreated {
		t.Fatalf("eve got %+v", e)
	}
}

// only finds the user of the one connection that is in no conversation.
func (b *bundle) only(*client) accounts.UserID {
	b.t.Helper()
	var id accounts.UserID
	err := b.db.QueryRow(b.t.Context(), `SELECT id FROM users u WHERE NOT EXISTS (SELECT 1 FROM members m WHERE m.user_id = u.id)`).Scan(&id)
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

func TestSendOverTheSocket(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	a, z := b.connect(ann), b.connect(ben)
	const n = 200
	for i := range n { // pipelined: no answer is awaited
		text := fmt.Sprintf(`{"type":"message.send","id":"%d","data":{"conversation_id":"%s","client_id":"%s","body":"%d"}}`, i, id, newClientID(), i)
		if err := a.ws.Write(t.Context(), 1, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	replies, entries := 0, 0
	for replies < n || entries < n {
		switch f := a.next(); f.Type {
		case "reply":
			if sent := decode[Sent](t, f.Data); f.ID != fmt.Sprint(replies) || sent.Seq != Seq(replies+2) || sent.ConversationID != id {
				t.Fatalf("reply %d is %s with %+v", replies, f.ID, sent)
			}
			replies++
		case "entry":
			if e := decode[Entry](t, f.Data); e.Body != fmt.Sprint(entries) {
				t.Fatalf("entry %d is %s", entries, e.Body)
			}
			entries++
		default:
			t.Fatalf("got %+v", f)
		}
	}
	for i := range n {
		if e := z.entry(); e.Body != fmt.Sprint(i) {
			t.Fatalf("entry %d is %s", i, e.Body)
		}
	}
	for _, tc := range []struct{ data, code string }{
		{`{"conversation_id":"` + id.String() + `","client_id":"` + newClientID().String() + `","body":""}`, "invalid"},
		{`{"conversation_id":"` + id.String() + `","client_id":"not one","body":"x"}`, "invalid"},
		{`{"conversation_id":"` + newClientID().String() + `","client_id":"` + newClientID().String() + `","body":"x"}`, "not_found"},
		{`{"conversation_id":"` + id.String() + `","client_id":"` + newClientID().String() + `","body":"a\u0000b"}`, "invalid"},
		{`[]`, "invalid"},
	} {
		if err := a.ws.Write(t.Context(), 1, []byte(`{"type":"message.send","id":"x","data":`+tc.data+`}`)); err != nil {
			t.Fatal(err)
		}
		if f := a.next(); f.Type != "error" || f.ID != "x" || f.Error.Code != tc.code {
			t.Errorf("%s: want %s, got %+v", tc.data, tc.code, f)
		}
	}
}

// A replica that only hears hints, twice, late or with holes, delivers +1 steps.
func TestHints(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b2 := replica(t, b.db)
	ann, ben, id := b.pair()
	c := b2.connect(ben)
	want := []string{}
	say := func(body string) Seq { want = append(want, body); return b.send(ann, id, body).Seq }
	b2.gates.hint(id, say("one"))
	b2.gates.hint(id, 2) // an echo
	say("two")
	say("three")
	last := say("four") // two and three were never hinted at
	b2.gates.hint(id, last)
	b2.gates.hint(id, 3) // an old one
	b2.send(ben, id, "five")
	want = append(want, "five")
	say("six")
	b2.gates.doubt() // six's hint is lost: the sweep finds it
	for i, body := range want {
		if e := c.entry(); e.Seq != Seq(i+2) || e.Body != body {
			t.Fatalf("want %s at %d, got %+v", body, i+2, e)
		}
	}
}

// Entries that the writer hands over before their predecessors wait for them.
func TestGateReadsHoles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b2 := replica(t, b.db)
	ann, ben, id := b.pair()
	c := b2.connect(ben)
	var entries []Entry
	for i := range 5 {
		b.send(ann, id, fmt.Sprint(i))
	}
	entries = b.log(id)
	slices.Reverse(entries)
	for _, e := range entries {
		b2.gates.deliver(e, b2.gates.encode(e))
		b2.gates.deliver(e, b2.gates.encode(e))
	}
	for i := range 5 {
		if e := c.entry(); e.Body != fmt.Sprint(i) {
			t.Fatalf("want %d, got %+v", i, e)
		}
	}
}

func TestPruneForgetsWhatNobodyWatches(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	c := b.connect(ben)
	b.gates.prune()
	if b.gate(id) == nil {
		t.Fatal("the gate of a watched conversation is gone")
	}
	_ = c.ws.CloseNow()
	for b.byConv.Any(id) { // until the server has noticed; the test's deadline bounds it
		runtime.Gosched()
	}
	b.gates.prune()
	b.gates.prune() // nobody was interested for a whole period
	if b.gate(id) != nil {
		t.Fatal("the gate of a conversation that nobody watches is still there")
	}
	b.send(ann, id, "nobody hears it live")
	c = b.connect(ben)
	b.send(ann, id, "and then somebody does")
	if e := c.entry(); e.Seq != 3 {
		t.Fatalf("got %+v", e)
	}
}
