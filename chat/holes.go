package chat

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"parley/store"
)

const (
	sweepEvery = time.Second
	// sweepShare is of how many parts of the time sweeping takes one at most (store.Pace): with
	// very many conversations it comes less often.
	sweepShare = 20
	// sweepsADoubt is how often the sweep looks after a doubt. Once would not do: a commit
	// that was given up here may still happen there, when the disk answers again.
	sweepsADoubt = 30
	// sweepPage is how many conversations, or memberships, one statement asks about.
	sweepPage  = 5000
	pruneEvery = 5 * time.Minute
	// holePage is how many entries one read takes, of all conversations together, and holeShare
	// of one of them.
	holePage  = 1000
	holeShare = 200
)

// behind is a gate that lacks what the log has.
type behind struct {
	id ConversationID
	*gate
}

// fetch has a hole read, if nobody is at it. The gate's lock is held.
func (g *gates) fetch(id ConversationID, gt *gate) {
	if gt.reading {
		return
	}
	gt.reading = true
	g.queue(behind{id, gt})
}

func (g *gates) queue(list ...behind) {
	g.mu.Lock()
	g.behind = append(g.behind, list...)
	g.mu.Unlock()
	nudge(g.read)
}

// readHoles reads holes until ctx ends: those of all gates that are behind by one statement,
// and what falls behind meanwhile by the next.
func (g *gates) readHoles(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.read:
		}
		g.mu.Lock()
		list := g.behind
		g.behind = nil
		g.mu.Unlock()
		g.followAll(ctx, list)
	}
}

// followAll is follow, after which no gate counts as being read by mistake: where it panicked,
// the sweep comes back to them.
func (g *gates) followAll(ctx context.Context, list []behind) {
	if err := g.s.cfg.Failures.Do("read the log for delivery", func() error { g.follow(ctx, list); return nil }); err != nil {
		for _, b := range list {
			g.release(b)
		}
	}
}

// release lets a gate be read again, by the sweep.
func (g *gates) release(b behind) {
	b.mu.Lock()
	b.reading = false
	b.mu.Unlock()
	g.doubt()
}

// follow publishes from the log what gates lack: as much as one read takes, and what is left
// is queued.
func (g *gates) follow(ctx context.Context, list []behind) {
	from := make([]head, len(list))
	for i, b := range list {
		b.mu.Lock()
		from[i] = head{b.id, b.delivered}
		b.mu.Unlock()
	}
	entries, err := g.s.q.entriesBehind(ctx, from, holeShare, holePage)
	if err != nil && len(list) > 1 && !store.Transient(err) && ctx.Err() == nil {
		// An entry that cannot be read keeps up its own conversation alone.
		half := len(list) / 2
		g.follow(ctx, list[:half])
		g.follow(ctx, list[half:])
		return
	}
	if err != nil && ctx.Err() == nil {
		g.s.cfg.Logger.Warn("reading the log for delivery", "conversations", len(list), "err", err)
	}
	of := make(map[ConversationID][]Entry, len(list))
	for _, e := range entries {
		of[e.ConversationID] = append(of[e.ConversationID], e)
	}
	more := len(entries) == holePage
	// Those that nothing was read for are first in the next round.
	for _, some := range []bool{false, true} {
		for i, b := range list {
			if read := of[b.id]; (len(read) > 0) == some {
				err := g.s.cfg.Failures.Do("deliver entries", func() error { g.publish(ctx, b, from[i].last, read, more); return nil })
				if err != nil { // of this conversation alone
					g.release(b)
				}
			}
		}
	}
}

// publish passes what was read after a seq. more says that there may be more than was read.
func (g *gates) publish(ctx context.Context, b behind, after Seq, entries []Entry, more bool) {
	greet, err := g.s.greet(ctx, entries...)
	if err != nil {
		entries = nil // read again: the first message may not pass those it reveals the conversation to
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range entries {
		if e.Seq == b.delivered+1 {
			g.pass(b.gate, e, greet)
		}
	}
	switch {
	case b.delivered >= b.known:
		b.reading = false
	case b.delivered > after || more:
		g.queue(b)
	default: // it could not be read, or is not there yet: the sweep comes back to it
		b.reading = false
		g.doubt()
	}
}

// run follows hints, and sweeps for those that were missed, until ctx ends.
func (g *gates) run(ctx context.Context) {
	var reading sync.WaitGroup
	reading.Go(func() { g.s.cfg.Failures.Loop(ctx, "read the log for delivery", g.readHoles) })
	defer reading.Wait()
	g.s.cfg.Failures.Loop(ctx, "sweep for missed entries", g.sweepAll)
}

// sweepAll sweeps until ctx ends.
func (g *gates) sweepAll(ctx context.Context) {
	prune := time.NewTicker(pruneEvery)
	defer prune.Stop()
	g.doubt() // what a process before this one had sent may yet be committed
	looked := time.Now()
	pace := store.Pace{Share: sweepShare}
	next := time.NewTimer(sweepEvery)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-prune.C:
			g.prune()
			continue
		case <-g.admit:
			if err := g.sweepAdmitted(ctx, 0); err != nil && ctx.Err() == nil {
				g.s.cfg.Logger.Warn("looking for a revealed conversation", "err", err)
				g.doubt()
			}
			continue
		case <-g.look:
		case <-next.C:
		}
		began, took := time.Now(), time.Duration(0)
		if g.s.cfg.DB.Stalled() { // no hint says when the commits under way end
			g.doubt()
		}
		// Alone, what is committed here is what there is to deliver.
		if !g.s.cfg.Bus.Alone() || g.doubts.Load() > 0 {
			if n := g.doubts.Load(); n > 0 {
				g.doubts.CompareAndSwap(n, n-1)
			}
			if g.sweep(ctx, began.Sub(looked)) {
				looked, took = began, time.Since(began)
			}
		} else {
			looked = began
		}
		next.Reset(max(sweepEvery, pace.Rest(took)))
	}
}

// sweep asks the log how far it is, for every conversation with a gate, and who was let into
// others within the time since the last look. It says whether that was answered.
func (g *gates) sweep(ctx context.Context, since time.Duration) bool {
	err := errors.Join(g.sweepGates(ctx), g.sweepAdmitted(ctx, since))
	if err != nil && ctx.Err() == nil {
		g.s.cfg.Logger.Warn("sweeping for missed entries", "err", err)
		g.doubt()
	}
	return err == nil
}

func (g *gates) sweepGates(ctx context.Context) error {
	var ids []ConversationID
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.Lock()
		for id := range s.gates {
			ids = append(ids, id)
		}
		s.mu.Unlock()
	}
	for page := range slices.Chunk(ids, sweepPage) {
		heads, err := g.s.q.lastSeqs(ctx, page)
		if err != nil {
			return err
		}
		for _, h := range heads {
			g.hint(h.id, h.last)
		}
	}
	return nil
}

// prune forgets the gates of conversations that nobody here is in any more.
func (g *gates) prune() {
	for i := range g.shards {
		g.pruneShard(&g.shards[i])
	}
}

func (g *gates) pruneShard(s *gateShard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, gt := range s.gates {
		if g.noteIdle(id, gt) {
			delete(s.gates, id)
		}
	}
}

// noteIdle says whether a gate was unused at the last prune too. Not at once: it may be there
// for a member who is about to be let in.
func (g *gates) noteIdle(id ConversationID, gt *gate) bool {
	gt.mu.Lock()
	defer gt.mu.Unlock()
	wasIdle := gt.idle
	gt.idle = !gt.reading && !g.s.byConv.Any(id) && !g.s.byUser.Any(gt.waiting)
	return wasIdle && gt.idle
}
