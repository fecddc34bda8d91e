package faults

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Result is one check's outcome.
type Result struct {
	Check      string // C1 to C12
	Holds      string // what must be true
	N          int    // cases examined
	Violations int
	Examples   []string // of violations, a few
}

const maxExamples = 5

func (r *Result) violated(format string, args ...any) {
	r.Violations++
	if len(r.Examples) < maxExamples {
		r.Examples = append(r.Examples, fmt.Sprintf(format, args...))
	}
}

// String tells a zero together with how little it may mean: with no violation in n
// cases, the true rate is with 95 % confidence below 3/n.
func (r Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-3s %s: ", r.Check, r.Holds)
	switch {
	case r.N == 0:
		b.WriteString("not exercised")
	case r.Violations == 0:
		fmt.Fprintf(&b, "0 in %d (95 %% bound %.2g)", r.N, math.Min(1, 3/float64(r.N)))
	default:
		fmt.Fprintf(&b, "VIOLATED %d times in %d", r.Violations, r.N)
		for _, e := range r.Examples {
			b.WriteString("\n      " + e)
		}
	}
	return b.String()
}

// Report is the outcome of all checks, in order.
type Report []Result

// Clean says whether nothing was violated.
func (r Report) Clean() bool {
	return !slices.ContainsFunc(r, func(c Result) bool { return c.Violations > 0 })
}

// Of gives one check's result.
func (r Report) Of(check string) Result {
	return r[slices.IndexFunc(r, func(c Result) bool { return c.Check == check })]
}

func (r Report) String() string {
	lines := make([]string, len(r))
	for i, c := range r {
		lines[i] = c.String()
	}
	return strings.Join(lines, "\n")
}

// Check holds a history against what must always be true, in O(n log n).
func Check(h *History) Report {
	c := newChecker(h)
	return Report{
		c.acknowledgedIsStored(),
		c.onceEach(),
		c.nothingInvented(),
		c.sameForAll(),
		c.gapless(),
		c.stepByStep(),
		c.inRealTimeOrder(),
		c.readsSeeAcknowledged(),
		c.membersOnly(),
		c.doubtsResolve(),
		c.marksWereSaid(),
		c.changesHold(),
	}
}

// place is a seq in a conversation, word a client_id, and text a body in one.
type (
	place struct {
		conversation uuid.UUID
		seq          int64
	}
	word struct{ conversation, client uuid.UUID }
	text struct {
		conversation uuid.UUID
		body         Digest
	}
)

type checker struct {
	h        *History
	at       map[place]Entry
	last     map[uuid.UUID]int64
	byClient map[word]*Send
	byBody   map[text]*Send
	copies   map[text]int // entries of the final logs by text
	seen     map[member]sight
}

type member struct{ conversation, user uuid.UUID }

func newChecker(h *History) *checker {
	c := &checker{
		h: h, at: map[place]Entry{}, last: map[uuid.UUID]int64{},
		byClient: map[word]*Send{}, byBody: map[text]*Send{}, copies: map[text]int{}, seen: sights(h.Members),
	}
	for conv, log := range h.Logs {
		for _, e := range log {
			if _, ok := c.at[place{conv, e.Seq}]; !ok {
				c.at[place{conv, e.Seq}] = e
			}
			c.last[conv] = max(c.last[conv], e.Seq)
			if e.Kind == kindMessage {
				c.copies[text{conv, e.Body}]++
			}
		}
	}
	for i := range h.Sends {
		s := &h.Sends[i]
		c.byClient[word{s.Conversation, s.Client}] = s
		c.byBody[text{s.Conversation, s.Body}] = s
	}
	return c
}

const kindMessage = "message"

func (c *checker) acknowledgedIsStored() Result {
	r := Result{Check: "C1", Holds: "an acknowledged send is in the log, at its seq, with its text"}
	for _, s := range c.h.Sends {
		for _, a := range s.Acks {
			r.N++
			e, ok := c.at[place{s.Conversation, a.Seq}]
			switch {
			case !ok:
				r.violated("%v was acknowledged at %d in %v, where there is nothing", s.Client, a.Seq, s.Conversation)
			case !isOf(e, &s):
				r.violated("%v was acknowledged at %d in %v, where there is %v", s.Client, a.Seq, s.Conversation, e)
			}
		}
	}
	return r
}

// isOf says whether an entry is the one that a send made.
func isOf(e Entry, s *Send) bool {
	return e.Kind == kindMessage && e.Body == s.Body && e.Sender == s.Sender && (e.Client == s.Client || e.Client == uuid.Nil)
}

func (c *checker) onceEach() Result {
	r := Result{Check: "C2", Holds: "a client_id has one entry"}
	for conv, log := range c.h.Logs {
		clients, bodies := map[uuid.UUID]int64{}, map[Digest]int64{}
		for _, e := range log {
			if e.Kind != kindMessage {
				continue
			}
			r.N++
			if first, ok := clients[e.Client]; ok && e.Client != uuid.Nil {
				r.violated("%v is at %d and at %d of %v", e.Client, first, e.Seq, conv)
			} else if first, ok := bodies[e.Body]; ok {
				r.violated("the same text is at %d and at %d of %v", first, e.Seq, conv)
			}
			clients[e.Client], bodies[e.Body] = e.Seq, e.Seq
		}
	}
	return r
}

func (c *checker) nothingInvented() Result {
	r := Result{Check: "C3", Holds: "nothing is there that nobody sent"}
	look := func(conv uuid.UUID, e Entry, where string) {
		if e.Kind != kindMessage {
			return
		}
		r.N++
		s := c.byBody[text{conv, e.Body}]
		if e.Client != uuid.Nil {
			s = c.byClient[word{conv, e.Client}]
		}
		if s == nil || !isOf(e, s) {
			r.violated("%v in %v, %s, was never sent so", e, conv, where)
		}
	}
	for conv, log := range c.h.Logs {
		for _, e := range log {
			look(conv, e, "in the log")
		}
	}
	c.observed(func(user, conv uuid.UUID, e Entry) { look(conv, e, "seen by "+user.String()) })
	return r
}

// observed calls see for everything that anybody saw.
func (c *checker) observed(see func(user, conv uuid.UUID, e Entry)) {
	for _, s := range c.h.Sessions {
		for _, e := range s.Entries {
			see(s.User, s.Conversation, e)
		}
	}
	for _, rd := range c.h.Reads {
		for _, e := range rd.Entries {
			see(rd.User, rd.Conversation, e)
		}
	}
}

func (c *checker) sameForAll() Result {
	r := Result{Check: "C4", Holds: "a seq is the same entry for every observer, always"}
	c.observed(func(user, conv uuid.UUID, e Entry) {
		r.N++
		final, ok := c.at[place{conv, e.Seq}]
		switch {
		case !ok:
			r.violated("%v saw %v in %v, which the log does not have", user, e, conv)
		case final.Kind != e.Kind || final.Sender != e.Sender || final.Body != e.Body ||
			final.Client != e.Client && final.Client != uuid.Nil && e.Client != uuid.Nil:
			r.violated("%v saw %v in %v, where the log has %v", user, e, conv, final)
		}
	})
	return r
}

func (c *checker) gapless() Result {
	r := Result{Check: "C5", Holds: "the log's seqs are 1 to N"}
	for conv, log := range c.h.Logs {
		for i, e := range log {
			r.N++
			if e.Seq != int64(i)+1 {
				r.violated("entry %d of %v has seq %d", i+1, conv, e.Seq)
				break // all that follow are off by as much
			}
		}
	}
	return r
}

func (c *checker) stepByStep() Result {
	r := Result{Check: "C6", Holds: "a session sees +1 steps, and all there is if it stays"}
	for _, s := range c.h.Sessions {
		may := c.seen[member{s.Conversation, s.User}]
		at := s.After
		for _, e := range s.Entries {
			if at >= 0 {
				r.N++
				if e.Seq != may.next(at) {
					r.violated("%v saw %v after %d in %v", s.User, e, at, s.Conversation)
				}
			}
			at = e.Seq
		}
		if last := may.upTo(c.last[s.Conversation]); s.Stayed && at != last {
			r.N++
			r.violated("%v stayed and saw up to %d of %v, which has %d for them", s.User, at, s.Conversation, last)
		}
	}
	return r
}

// frontier tells, for times asked in ascending order, the highest seq acknowledged
// before.
type frontier struct {
	acks []Ack
	high int64
}

func (f *frontier) before(t time.Duration) int64 {
	for len(f.acks) > 0 && f.acks[0].At < t {
		f.high = max(f.high, f.acks[0].Seq)
		f.acks = f.acks[1:]
	}
	return f.high
}

func (c *checker) frontiers() map[uuid.UUID]*frontier {
	all := map[uuid.UUID]*frontier{}
	for _, s := range c.h.Sends {
		f := all[s.Conversation]
		if f == nil {
			f = &frontier{}
			all[s.Conversation] = f
		}
		f.acks = append(f.acks, s.Acks...)
	}
	for _, f := range all {
		slices.SortFunc(f.acks, func(a, b Ack) int { return cmp.Compare(a.At, b.At) })
	}
	return all
}

func (c *checker) inRealTimeOrder() Result {
	r := Result{Check: "C7", Holds: "what was acknowledged before another was sent comes before it"}
	frontiers := c.frontiers()
	sends := slices.Clone(c.h.Sends)
	slices.SortFunc(sends, func(a, b Send) int { return cmp.Compare(a.At, b.At) })
	for _, s := range sends {
		high := frontiers[s.Conversation].before(s.At)
		if high == 0 || len(s.Acks) == 0 {
			continue
		}
		r.N++
		if s.Acks[0].Seq <= high {
			r.violated("%v got %d in %v although %d was acknowledged before it was sent", s.Client, s.Acks[0].Seq, s.Conversation, high)
		}
	}
	return r
}

func (c *checker) readsSeeAcknowledged() Result {
	r := Result{Check: "C8", Holds: "a read sees what was acknowledged before it"}
	frontiers := c.frontiers()
	reads := slices.Clone(c.h.Reads)
	slices.SortFunc(reads, func(a, b Read) int { return cmp.Compare(a.Began, b.Began) })
	for _, rd := range reads {
		var high int64
		if f := frontiers[rd.Conversation]; f != nil {
			high = f.before(rd.Began)
		}
		may := c.seen[member{rd.Conversation, rd.User}]
		if high = may.upTo(high); high <= rd.After {
			continue
		}
		r.N++
		at, holes := rd.After, false
		for _, e := range rd.Entries {
			holes = holes || e.Seq != may.next(at)
			at = e.Seq
		}
		switch {
		case holes:
			r.violated("a read of %v after %d has holes", rd.Conversation, rd.After)
		case rd.Whole && at < high, at == rd.After:
			r.violated("a read of %v after %d ended at %d although %d was acknowledged before", rd.Conversation, rd.After, at, high)
		}
	}
	return r
}

func (c *checker) membersOnly() Result {
	r := Result{Check: "C9", Holds: "nobody sees an entry outside their membership"}
	c.observed(func(user, conv uuid.UUID, e Entry) {
		r.N++
		if !c.seen[member{conv, user}].has(e.Seq) {
			r.violated("%v saw %v in %v", user, e, conv)
		}
	})
	return r
}

func (c *checker) doubtsResolve() Result {
	r := Result{Check: "C10", Holds: "an unknown outcome resolves to exactly one entry after retry"}
	for _, s := range c.h.Sends {
		if s.Doubts == 0 && !s.Refused {
			continue
		}
		r.N++
		n := c.copies[text{s.Conversation, s.Body}]
		wasOut := slices.ContainsFunc(c.seen[member{s.Conversation, s.Sender}], func(m Membership) bool { return m.Until != 0 })
		switch {
		case s.Refused && !s.Former && !wasOut:
			r.violated("%v in %v was refused although its sender was never put out", s.Client, s.Conversation)
		case s.Refused && s.Doubts == 0 && n > 0, s.Refused && n > 1:
			r.violated("%v in %v was refused and has %d entries", s.Client, s.Conversation, n)
		case s.Refused || s.Former && n <= 1:
		case n != 1:
			r.violated("%v in %v, in doubt %d times, has %d entries", s.Client, s.Conversation, s.Doubts, n)
		case len(s.Acks) == 0:
			r.violated("%v in %v, in doubt %d times, was never acknowledged", s.Client, s.Conversation, s.Doubts)
		case slices.ContainsFunc(s.Acks, func(a Ack) bool { return a.Seq != s.Acks[0].Seq }):
			r.violated("%v in %v was acknowledged at several places: %v", s.Client, s.Conversation, s.Acks)
		}
	}
	return r
}
