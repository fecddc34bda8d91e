package faults

import (
	"cmp"
	"slices"
	"time"

	"parley/parleytest"
)

// hitBy is how long a send may take without counting as one that a fault held up.
const hitBy = 100 * time.Millisecond

// Recovery is how long after a fault the client was served again: how long from since on it
// had no connection on which it was caught up, or waited for the acknowledgement of a send,
// whichever was longer, up to until. The second result is false for a client that the
// fault did not touch, or that was away by its own choice.
func (c *Client) Recovery(since, until time.Duration) (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var longest time.Duration
	down := since // if it was not connected then
	for _, s := range c.spans {
		if s.up > until {
			break
		}
		if s.left && s.down > since-hitBy && s.down < until {
			return 0, false
		}
		if s.down > 0 && s.down <= since {
			if s.left {
				down = until // by its own choice
			}
			continue
		}
		if s.up > down {
			longest = max(longest, s.up-since)
		}
		if down = s.down; down == 0 {
			down = until
		}
	}
	if down < until {
		longest = until - since
	}
	first, _ := slices.BinarySearchFunc(c.sends, since-time.Minute, func(s *Send, at time.Duration) int { return cmp.Compare(s.At, at) })
	for _, s := range c.sends[first:] {
		if s.At > until {
			break
		}
		acked := until
		if len(s.Acks) > 0 {
			acked = min(s.Acks[0].At, until)
		}
		if waited := acked - max(s.At, since); !s.Refused && !s.Former && waited > hitBy {
			longest = max(longest, waited)
		}
	}
	return longest, longest > 0
}

// Settled says whether the client is connected and waits for nothing that it sent before
// a moment. One that is away by its own choice is not waited for.
func (c *Client) Settled(since time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.spans); c.current == nil {
		return n > 0 && c.spans[n-1].left
	}
	for _, o := range c.waiting {
		if o.send.At <= since {
			return false
		}
	}
	return true
}

// DeliveryGaps are, of the entries acknowledged between two moments, how long after that
// each client of another replica got them live, if it was connected all that time.
func DeliveryGaps(clients []*Client, since, until time.Duration) []time.Duration {
	type origin struct {
		at time.Duration
		by *parleytest.Server
	}
	acked := map[place]origin{}
	for _, c := range clients {
		c.mu.Lock()
		for _, s := range c.sends {
			if len(s.Acks) > 0 && s.Acks[0].At >= since && s.Acks[0].At < until {
				if v, ok := c.connectedAt(s.Acks[0].At); ok {
					acked[place{s.Conversation, s.Acks[0].Seq}] = origin{s.Acks[0].At, v.server}
				}
			}
		}
		c.mu.Unlock()
	}
	var gaps []time.Duration
	for _, c := range clients {
		c.mu.Lock()
		for _, s := range c.seen {
			o, ok := acked[place{s.conversation, s.seq}]
			if !ok {
				continue
			}
			if v, ok := c.connectedAt(o.at); ok && v.server != o.by && (v.down == 0 || v.down >= s.at) {
				gaps = append(gaps, max(0, s.at-o.at))
			}
		}
		c.mu.Unlock()
	}
	return gaps
}

// connectedAt finds the connection that the client had at a moment. c.mu is held.
func (c *Client) connectedAt(at time.Duration) (span, bool) {
	i := slices.IndexFunc(c.spans, func(v span) bool { return v.up <= at && (v.down == 0 || v.down >= at) })
	if i < 0 {
		return span{}, false
	}
	return c.spans[i], true
}

// Percentile of durations; 0 if there are none.
func Percentile(d []time.Duration, p float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	d = slices.Clone(d)
	slices.Sort(d)
	return d[min(len(d)-1, int(p/100*float64(len(d))))]
}
