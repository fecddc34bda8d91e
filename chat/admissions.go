package chat

import (
	"context"
	"fmt"
	"slices"
	"time"

	"parley/accounts"
	"parley/hub"
)

// admittedOverlap is how long before the last look a membership may have been written and
// yet not have been seen: a transaction lives for some seconds, and for longer if its
// commit waits for the disk.
const admittedOverlap = 5 * time.Minute

// admission is a membership of somebody, and when it was written.
type admission struct {
	membership
	user accounts.UserID
	at   time.Time
}

// sweepAdmitted finds whom other replicas let into conversations within the time since the
// last look, and lets their connections here in: by the entry that admitted them, or after
// it, where the gate passed it without them. For a gate that was made here begins at the end
// of the log: with what somebody read who connected, or a later hint, before the one that
// told of this entry came, if it came at all.
func (g *gates) sweepAdmitted(ctx context.Context, since time.Duration) error {
	var last admission
	for {
		page, err := g.s.q.admitted(ctx, since+admittedOverlap, last, sweepPage)
		if err != nil {
			return err
		}
		for _, a := range page {
			if a.hidden {
				g.await(a)
				continue
			}
			late := g.missing(a)
			if len(late) == 0 {
				continue
			}
			if err := g.letIn(ctx, a, late); err != nil {
				return err
			}
		}
		if len(page) < sweepPage {
			return nil
		}
		last = page[len(page)-1]
	}
}

// missing gives the connections of a new member that should be in the conversation by now.
// If their entry is yet to pass, that will let them in.
func (g *gates) missing(a admission) []*hub.Conn {
	// A connection that is being opened reads for itself what it is in.
	conns := slices.DeleteFunc(g.s.byUser.Conns(a.user), (*hub.Conn).Opening)
	if len(conns) == 0 {
		return nil
	}
	gt := g.locked(a.id, a.joined-1)
	defer gt.mu.Unlock()
	if gt.delivered < a.joined {
		gt.known = max(gt.known, a.joined)
		g.fetch(a.id, gt)
		return nil
	}
	return slices.DeleteFunc(conns, func(c *hub.Conn) bool { return g.s.byConv.Has(a.id, c) })
}

// letIn lets in connections of a member whose entry passed without them: they get that entry
// and what passed after it, in order, and from then on what passes.
func (g *gates) letIn(ctx context.Context, a admission, conns []*hub.Conn) error {
	hello := g.s.greeting(ctx, a.id, a.user)[a.user]
	for after := a.joined - 1; ; {
		entries, err := g.s.q.entriesBehind(ctx, []head{{a.id, after}}, holeShare, holeShare)
		if err != nil {
			return fmt.Errorf("read what a new member missed: %w", err)
		}
		if len(entries) == 0 || g.hand(a, conns, hello, entries) {
			return nil
		}
		hello, after = nil, entries[len(entries)-1].Seq
	}
}

// hand gives connections entries that passed the gate without them, and says whether that is
// the end of it: they are in now, or may not be in any more.
func (g *gates) hand(a admission, conns []*hub.Conn, hello []byte, entries []Entry) bool {
	gt := g.locked(a.id, a.joined-1)
	defer gt.mu.Unlock()
	if gt.gone > a.last || gt.delivered < a.joined {
		return true // the next sweep asks again who is in
	}
	// The first message of a direct conversation may have let them in meanwhile.
	conns = slices.DeleteFunc(slices.Clone(conns), func(c *hub.Conn) bool { return g.s.byConv.Has(a.id, c) })
	for _, e := range entries {
		if e.Seq > gt.delivered {
			break
		}
		frame := g.s.event("entry", e)
		at := e.position()
		for _, c := range conns {
			if hello != nil {
				c.Send(hello)
			}
			c.SendEntry(frame, at)
		}
		hello = nil
	}
	if entries[len(entries)-1].Seq < gt.delivered {
		return false
	}
	for _, c := range conns {
		g.s.byConv.Join(c, a.id)
	}
	return true
}
