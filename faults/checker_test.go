package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/parleytest"
)

// imagined makes the history of a run that kept every promise: three conversations of
// two, everybody sending and now and then in doubt, with two sessions that stay, one that
// leaves, one that was watched live only from the middle, and reads all along.
func imagined(seed uint64) *History {
	rnd := rand.New(rand.NewPCG(seed, 1))
	h := &History{Logs: map[uuid.UUID][]Entry{}}
	now := time.Duration(0)
	for range 3 {
		conv := uuid.New()
		users := []uuid.UUID{uuid.New(), uuid.New()}
		log := []Entry{{Seq: 1, Kind: "created", Sender: users[0]}}
		for _, u := range users {
			h.Members = append(h.Members, Membership{Conversation: conv, User: u, From: 1})
			h.Changes = append(h.Changes,
				Change{Conversation: conv, User: u}, Change{Conversation: conv, User: u, In: true},
				Change{Conversation: conv, User: uuid.New(), In: true, Doubt: true})
		}
		for i := range 40 {
			// Two sends at once, which may be stored in any order.
			var both []*Send
			for k := range 2 {
				now += time.Duration(1 + rnd.IntN(50))
				both = append(both, &Send{
					Conversation: conv, Client: uuid.New(), Sender: users[k], At: now,
					Body: DigestOf(fmt.Sprint(seed, conv, i, k)),
				})
			}
			rnd.Shuffle(2, func(a, b int) { both[a], both[b] = both[b], both[a] })
			for _, s := range both {
				e := Entry{Seq: int64(len(log)) + 1, Kind: kindMessage, Sender: s.Sender, Client: s.Client, Body: s.Body}
				log = append(log, e)
				s.Doubts = rnd.IntN(3) / 2
				for range 1 + s.Doubts {
					now += time.Duration(1 + rnd.IntN(50))
					s.Acks = append(s.Acks, Ack{e.Seq, now})
				}
				h.Sends = append(h.Sends, *s)
			}
			now++
			after := rnd.IntN(len(log))
			until := after + rnd.IntN(len(log)-after) + 1
			h.Reads = append(h.Reads, Read{
				User: users[i%2], Conversation: conv, Began: now, After: int64(after),
				Entries: slices.Clone(log[after:until]), Whole: until == len(log),
			})
		}
		for i, u := range users {
			now += 2
			h.Said = append(h.Said, Mark{u, conv, int64(len(log) - i), now - 1})
			h.Told = append(h.Told, Mark{u, conv, int64(len(log) - i - 2), now})
		}
		middle := len(log) / 2
		h.Logs[conv] = log
		h.Sessions = append(h.Sessions,
			Session{User: users[0], Conversation: conv, Entries: slices.Clone(log), Stayed: true},
			Session{User: users[1], Conversation: conv, Entries: anonymous(log), Stayed: true},
			Session{User: users[1], Conversation: conv, Entries: slices.Clone(log[:middle])},
			Session{User: users[0], Conversation: conv, After: -1, Entries: slices.Clone(log[middle:])},
		)
	}
	return h
}

// TestComingBackIsNoGap: who was out of a group for a while sees two stretches.
func TestComingBackIsNoGap(t *testing.T) {
	t.Parallel()
	h := imagined(1)
	m := &h.Members[0]
	h.Members = append(h.Members, *m)
	m.Until, h.Members[len(h.Members)-1].From = 40, 44
	without := func(entries []Entry) []Entry {
		return slices.DeleteFunc(entries, func(e Entry) bool { return e.Seq > 40 && e.Seq < 44 })
	}
	for i := range h.Sessions {
		if s := &h.Sessions[i]; s.User == m.User && s.Conversation == m.Conversation {
			s.Entries = without(s.Entries)
		}
	}
	for i := range h.Reads {
		if r := &h.Reads[i]; r.User == m.User && r.Conversation == m.Conversation {
			r.Entries = without(r.Entries)
		}
	}
	if r := Check(h); !r.Clean() {
		t.Errorf("%v", r)
	}
	for after, want := range map[int64]int64{0: 1, 39: 40, 40: 44, 42: 44, 44: 45} {
		if got := sights(h.Members)[member{m.Conversation, m.User}].next(after); got != want {
			t.Errorf("after %d comes %d, not %d", after, got, want)
		}
	}
	for seq, want := range map[int64]int64{39: 39, 42: 40, 44: 44, 60: 60} {
		if got := sights(h.Members)[member{m.Conversation, m.User}].upTo(seq); got != want {
			t.Errorf("up to %d it is %d, not %d", seq, got, want)
		}
	}
}

// anonymous is a log as somebody sees it who is not shown client_ids.
func anonymous(log []Entry) []Entry {
	log = slices.Clone(log)
	for i := range log {
		log[i].Client = uuid.Nil
	}
	return log
}

func TestCleanHistoryPasses(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		report := Check(imagined(seed))
		if !report.Clean() {
			t.Fatalf("seed %d:\n%v", seed, report)
		}
		for _, r := range report {
			if r.N == 0 {
				t.Fatalf("seed %d does not exercise %s", seed, r.Check)
			}
		}
	}
}

// TestPlantedFaultsAreFound breaks a clean history in every way there is a check for.
func TestPlantedFaultsAreFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault string
		found []string // checks that have to find it
		plant func(*History)
	}{
		{"an acknowledged message is lost from the end", []string{"C1"}, func(h *History) {
			conv := h.Sends[0].Conversation
			h.Logs[conv] = h.Logs[conv][:len(h.Logs[conv])-1]
		}},
		{"an acknowledgement names a neighbour's seq", []string{"C1"}, func(h *History) { h.Sends[5].Acks[0].Seq++ }},
		{"a message is stored with another text", []string{"C1", "C3"}, func(h *History) { stored(h, 5).Body = DigestOf("another") }},
		{"a message is stored as another's", []string{"C1", "C3"}, func(h *History) { stored(h, 5).Sender = uuid.New() }},
		{"a retry is stored again", []string{"C2"}, func(h *History) {
			e := *stored(h, 5)
			e.Seq = int64(len(h.Logs[h.Sends[5].Conversation])) + 1
			h.Logs[h.Sends[5].Conversation] = append(h.Logs[h.Sends[5].Conversation], e)
		}},
		{"a retry is stored again under a new client_id", []string{"C2", "C3"}, func(h *History) {
			e := *stored(h, 5)
			e.Client = uuid.New()
			e.Seq = int64(len(h.Logs[h.Sends[5].Conversation])) + 1
			h.Logs[h.Sends[5].Conversation] = append(h.Logs[h.Sends[5].Conversation], e)
		}},
		{"somebody saw a message that was never sent", []string{"C3", "C4"}, func(h *History) {
			h.Sessions[0].Entries[9].Body = DigestOf("never")
		}},
		{"a rolled back message was delivered", []string{"C4"}, func(h *History) {
			s := &h.Sessions[2]
			e := h.Logs[s.Conversation][len(h.Logs[s.Conversation])-1]
			e.Seq++
			s.Entries = append(slices.Clone(h.Logs[s.Conversation]), e)
		}},
		{"two saw two messages in different order", []string{"C4"}, func(h *History) {
			e := h.Sessions[0].Entries
			e[20], e[21] = e[21], e[20]
			e[20].Seq, e[21].Seq = e[21].Seq, e[20].Seq
		}},
		{"the log has a gap", []string{"C5"}, func(h *History) {
			for conv := range h.Logs {
				for i := range h.Logs[conv][30:] {
					h.Logs[conv][30+i].Seq++
				}
			}
		}},
		{"a seq is there twice", []string{"C5"}, func(h *History) { stored(h, 7).Seq-- }},
		{"a session missed one", []string{"C6"}, func(h *History) {
			h.Sessions[0].Entries = slices.Delete(h.Sessions[0].Entries, 9, 10)
		}},
		{"a session missed the first", []string{"C6"}, func(h *History) { h.Sessions[0].Entries = h.Sessions[0].Entries[1:] }},
		{"a session saw one twice", []string{"C6"}, func(h *History) {
			h.Sessions[0].Entries = slices.Insert(h.Sessions[0].Entries, 9, h.Sessions[0].Entries[9])
		}},
		{"a session saw a later one first", []string{"C6"}, func(h *History) {
			e := h.Sessions[3].Entries
			e[9], e[10] = e[10], e[9]
		}},
		{"a session never got the last one", []string{"C6"}, func(h *History) {
			h.Sessions[1].Entries = h.Sessions[1].Entries[:len(h.Sessions[1].Entries)-1]
		}},
		{"a later send came before an acknowledged one", []string{"C7"}, func(h *History) {
			// As if it had been sent only when everything was acknowledged.
			h.Sends[5].At = h.Sends[len(h.Sends)-1].At
		}},
		{"a read was stale", []string{"C8"}, func(h *History) {
			r := &h.Reads[39]
			r.After, r.Whole = 50, true
			r.Entries = slices.Clone(h.Logs[r.Conversation][50:70])
		}},
		{"a read found nothing where there was something", []string{"C8"}, func(h *History) { h.Reads[39].After, h.Reads[39].Entries = 3, nil }},
		{"a read left one out", []string{"C8"}, func(h *History) {
			r := &h.Reads[39]
			r.After, r.Whole = 0, false
			r.Entries = slices.Delete(slices.Clone(h.Logs[r.Conversation][:9]), 4, 5)
		}},
		{"an outsider saw a message", []string{"C9"}, func(h *History) { h.Sessions[2].User = uuid.New() }},
		{"somebody saw what came after they were removed", []string{"C9"}, func(h *History) { h.Members[0].Until = 40 }},
		{"somebody saw what was before they came", []string{"C9"}, func(h *History) { h.Members[0].From = 2 }},
		{"somebody saw what happened between leaving and coming back", []string{"C9"}, func(h *History) {
			h.Members = append(h.Members, h.Members[0])
			h.Members[0].Until, h.Members[len(h.Members)-1].From = 40, 43
		}},
		{"a session missed what came after coming back", []string{"C6"}, func(h *History) {
			h.Members = append(h.Members, h.Members[0])
			h.Members[0].Until, h.Members[len(h.Members)-1].From = 40, 43
			h.Sessions[0].Entries = slices.Delete(h.Sessions[0].Entries, 40, 43) // 44 is next
		}},
		{"a read missed what came after coming back", []string{"C8"}, func(h *History) {
			h.Members = append(h.Members, h.Members[0])
			h.Members[0].Until, h.Members[len(h.Members)-1].From = 40, 43
			h.Reads = append(h.Reads, Read{User: h.Members[0].User, Conversation: h.Members[0].Conversation,
				Began: time.Hour, After: 30, Entries: slices.Clone(h.Logs[h.Members[0].Conversation][30:40]), Whole: true})
		}},
		{"a refused send was stored", []string{"C10"}, func(h *History) {
			h.Sends[5].Acks, h.Sends[5].Refused, h.Sends[5].Doubts = nil, true, 0
		}},
		{"somebody who was let in is not in", []string{"C12"}, func(h *History) {
			h.Changes = append(h.Changes, Change{Conversation: h.Sends[0].Conversation, User: uuid.New(), In: true})
		}},
		{"somebody who was put out is in", []string{"C12"}, func(h *History) {
			h.Changes = append(h.Changes, Change{Conversation: h.Members[0].Conversation, User: h.Members[0].User})
		}},
		{"a session was never told of a conversation", []string{"C6"}, func(h *History) {
			m := h.Members[0]
			h.Sessions = slices.DeleteFunc(h.Sessions, func(s Session) bool { return s.User == m.User && s.Conversation == m.Conversation })
			NewClient(ClientConfig{Session: parleytest.Session{User: parleytest.User{ID: m.User}}}).AddTo(h, true)
		}},
		{"a member's send was refused", []string{"C10"}, func(h *History) {
			s := h.Sends[0]
			h.Sends = append(h.Sends, Send{Conversation: s.Conversation, Client: uuid.New(), Sender: s.Sender, Refused: true, Body: DigestOf("refused")})
		}},
		{"a mark was told that nobody said", []string{"C11"}, func(h *History) { h.Told[0].Seq = h.Said[0].Seq + 1 }},
		{"a mark was told before it was said", []string{"C11"}, func(h *History) {
			h.Told[0].Seq, h.Told[0].At = h.Said[0].Seq, h.Sends[0].At
		}},
		{"a doubtful send was never stored", []string{"C10"}, func(h *History) {
			h.Sends = append(h.Sends, Send{Conversation: h.Sends[0].Conversation, Client: uuid.New(), Doubts: 1, Body: DigestOf("lost")})
		}},
		{"a doubtful send was never acknowledged", []string{"C10"}, func(h *History) { h.Sends[5].Doubts, h.Sends[5].Acks = 2, nil }},
		{"a retry was acknowledged at another seq", []string{"C1", "C10"}, func(h *History) {
			h.Sends[5].Doubts = 1
			h.Sends[5].Acks = append(h.Sends[5].Acks, Ack{h.Sends[5].Acks[0].Seq + 1, h.Sends[5].Acks[0].At + 1})
		}},
	} {
		t.Run(c.fault, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(10) {
				h := imagined(seed)
				c.plant(h)
				report := Check(h)
				for _, check := range c.found {
					if r := report.Of(check); r.Violations == 0 || len(r.Examples) == 0 || !strings.Contains(r.String(), "VIOLATED") {
						t.Fatalf("seed %d: %s did not find it:\n%v", seed, check, report)
					}
				}
			}
		})
	}
}

// stored is the entry of a history's i-th send.
func stored(h *History, i int) *Entry {
	s := h.Sends[i]
	return &h.Logs[s.Conversation][s.Acks[0].Seq-1]
}

func TestZeroIsReportedWithItsBound(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]Result{
		"C1  a: 0 in 600 (95 % bound 0.005)": {Check: "C1", Holds: "a", N: 600},
		"C10 a: 0 in 2 (95 % bound 1)":       {Check: "C10", Holds: "a", N: 2},
		"C9  a: not exercised":               {Check: "C9", Holds: "a"},
	} {
		if r.String() != want {
			t.Errorf("%q, not %q", r, want)
		}
	}
}
