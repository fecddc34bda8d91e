package faults

import (
	"cmp"
	"slices"
	"time"
)

// sight is what somebody may see of a conversation: intervals of seqs, in order.
type sight []Membership

// sights sorts memberships by conversation and person.
func sights(members []Membership) map[member]sight {
	all := map[member]sight{}
	for _, m := range members {
		k := member{m.Conversation, m.User}
		all[k] = append(all[k], m)
	}
	for _, s := range all {
		slices.SortFunc(s, func(a, b Membership) int { return cmp.Compare(a.From, b.From) })
	}
	return all
}

func (s sight) has(seq int64) bool {
	return slices.ContainsFunc(s, func(m Membership) bool { return m.From <= seq && (m.Until == 0 || seq <= m.Until) })
}

// next is the seq that comes after another one; 0 if there will be none.
func (s sight) next(after int64) int64 {
	for _, m := range s {
		if m.Until == 0 || m.Until > after {
			return max(m.From, after+1)
		}
	}
	return 0
}

// upTo is the last seq to see of those up to one; 0 if there is none.
func (s sight) upTo(seq int64) int64 {
	for _, m := range slices.Backward(s) {
		if m.From <= seq {
			if m.Until == 0 {
				return seq
			}
			return min(seq, m.Until)
		}
	}
	return 0
}

// changesHold looks whether people are where the last change that was acknowledged put
// them. Whom a change in doubt was about is left out: it may come about at any time, also
// after a later one that was acknowledged.
func (c *checker) changesHold() Result {
	r := Result{Check: "C12", Holds: "an acknowledged change of members lasts"}
	in, doubtful := map[member]bool{}, map[member]bool{}
	for _, ch := range c.h.Changes {
		k := member{ch.Conversation, ch.User}
		in[k], doubtful[k] = ch.In, doubtful[k] || ch.Doubt
	}
	for k, should := range in {
		if doubtful[k] {
			continue
		}
		r.N++
		if is := slices.ContainsFunc(c.seen[k], func(m Membership) bool { return m.Until == 0 }); is != should {
			r.violated("that %v is a member of %v was acknowledged to be %t, and is %t", k.user, k.conversation, should, is)
		}
	}
	return r
}

// marksWereSaid is no part of the promise about messages, and yet one: nobody is said to
// have what none of their clients said they have. Sending counts as having.
func (c *checker) marksWereSaid() Result {
	r := Result{Check: "C11", Holds: "nobody is said to have what no client of theirs has"}
	type step struct {
		at  time.Duration
		seq int64
	}
	steps := map[member][]step{}
	for _, m := range c.h.Said {
		k := member{m.Conversation, m.User}
		steps[k] = append(steps[k], step{m.At, m.Seq})
	}
	for conv, log := range c.h.Logs {
		for _, e := range log {
			k, at := member{conv, e.Sender}, time.Duration(0)
			if s := c.byClient[word{conv, e.Client}]; s != nil {
				at = s.At
			} else if e.Kind == kindMessage {
				continue
			}
			steps[k] = append(steps[k], step{at, e.Seq})
		}
	}
	for _, all := range steps {
		slices.SortFunc(all, func(a, b step) int { return cmp.Compare(a.at, b.at) })
		for i := 1; i < len(all); i++ {
			all[i].seq = max(all[i].seq, all[i-1].seq)
		}
	}
	for _, m := range c.h.Told {
		if m.Seq <= 1 { // who begins a conversation has its first entry
			continue
		}
		r.N++
		all := steps[member{m.Conversation, m.User}]
		i, _ := slices.BinarySearchFunc(all, m.At, func(s step, at time.Duration) int { return cmp.Compare(s.at, at) })
		var said int64
		if i > 0 {
			said = all[i-1].seq
		}
		if m.Seq > said {
			r.violated("%v was said to have %v up to %d, and had said %d", m.User, m.Conversation, m.Seq, said)
		}
	}
	return r
}
