package chat

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"parley/accounts"
	"parley/hub"
)

// gates is the delivery of the log to this replica's connections: a gate for every
// conversation that somebody connected here is in. A gate knows how far it has
// delivered. The next entry passes; one that passed already is dropped; a hole is read
// from the log. So hints may come twice, late, in any order, or from anywhere, and the
// connections still see +1 steps. A hint that never comes costs latency only: the sweep
// asks the log.
type gates struct {
	s      *Service
	shards [64]gateShard
	// doubts is how many more sweeps there are to be, because a hint may have been missed.
	doubts  atomic.Int32
	base    context.Context // of the reads of holes; ends with run
	stop    context.CancelFunc
	reading sync.WaitGroup
}

type gateShard struct {
	mu    sync.Mutex // guards gates
	gates map[ConversationID]*gate
}

// gate holds its lock while it publishes: that is what keeps the order. Lock order:
// map of gates, then gate, then hub shard, then outbox.
type gate struct {
	mu        sync.Mutex // guards what follows
	delivered Seq        // every entry up to here was published
	known     Seq        // the highest seq heard of
	gone      Seq        // who was a member before this entry may not be one any more
	reading   bool       // a hole is being read
	idle      bool       // nobody was interested when prune last came by
}

const (
	sweepEvery = 2 * time.Second
	// sweepsADoubt is how often the sweep looks after a doubt. Once would not do: a commit
	// that was given up here may still happen there, when the disk answers again.
	sweepsADoubt = 15
	pruneEvery   = 5 * time.Minute
	// holePage is how many entries one read of a hole takes.
	holePage = 500
)

func (g *gates) init(s *Service) {
	g.s = s
	g.base, g.stop = context.WithCancel(context.Background())
	for i := range g.shards {
		g.shards[i].gates = make(map[ConversationID]*gate)
	}
}

func (g *gates) shard(id ConversationID) *gateShard { return &g.shards[id[15]%64] }

// watch makes sure that there is a gate, which starts after last if it is new. That is for
// a conversation whose next entry lets somebody in.
func (g *gates) watch(id ConversationID, last Seq) { g.locked(id, last).mu.Unlock() }

// locked gives the gate with its lock held. A new one starts after last: what was committed
// since had no gate to pass, and the next entry finds the hole.
func (g *gates) locked(id ConversationID, last Seq) *gate {
	s := g.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	gt := s.gates[id]
	if gt == nil {
		gt = &gate{delivered: last, known: last, gone: last}
		s.gates[id] = gt
	}
	gt.mu.Lock()
	gt.idle = false
	return gt
}

// join makes a connection interested in a conversation, for a membership that was read from
// the database after the connection was in the map of its user's. False: somebody's
// membership has ended since, so that it has to be read again.
//
// A membership may be ahead of the gate: then the connection would get entries from before
// it, and is left to the entry that began it, which lets in all of the user's connections.
func (g *gates) join(c *hub.Conn, m membership) bool {
	gt := g.locked(m.id, m.last)
	defer gt.mu.Unlock()
	if gt.gone > m.last {
		return false
	}
	if m.joined <= gt.delivered+1 {
		g.s.byConv.Join(c, m.id)
	}
	return true
}

// find gives a gate with its lock held; nil if nobody here is in the conversation.
func (g *gates) find(id ConversationID) *gate {
	s := g.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	gt := s.gates[id]
	if gt != nil {
		gt.mu.Lock() // before prune can take it away
	}
	return gt
}

// encode makes the frame of an entry, or none if nobody here would get it.
func (g *gates) encode(e Entry) []byte {
	if !g.s.byConv.Any(e.ConversationID) {
		return nil
	}
	return hub.EncodeEvent("entry", e)
}

// deliver publishes an entry that this replica committed, with its frame.
func (g *gates) deliver(e Entry, frame []byte) {
	gt := g.find(e.ConversationID)
	if gt == nil {
		return
	}
	defer gt.mu.Unlock()
	gt.known = max(gt.known, e.Seq)
	switch {
	case e.Seq == gt.delivered+1:
		if frame == nil { // an entry before this one may have let somebody in since
			frame = g.encode(e)
		}
		if frame != nil {
			g.s.byConv.Publish(e.ConversationID, frame)
		}
		gt.delivered = e.Seq
	case e.Seq > gt.delivered:
		g.fetch(e.ConversationID, gt)
	}
}

// deliverChanges is deliver for entries of one conversation that may let people in or out.
func (g *gates) deliverChanges(ctx context.Context, entries []Entry) {
	if len(entries) == 0 {
		return
	}
	id := entries[0].ConversationID
	greetings := g.s.greet(ctx, entries...)
	gt := g.find(id)
	if gt == nil {
		return
	}
	defer gt.mu.Unlock()
	for _, e := range entries {
		gt.known = max(gt.known, e.Seq)
		switch {
		case e.Seq == gt.delivered+1:
			g.pass(gt, e, greetings)
		case e.Seq > gt.delivered:
			g.fetch(id, gt)
		}
	}
}

// pass publishes the next entry. Whoever it lets in gets it too, as the first one, and
// whoever it puts out as the last one. The gate's lock is held.
func (g *gates) pass(gt *gate, e Entry, greetings map[accounts.UserID][]byte) {
	id := e.ConversationID
	for _, user := range e.admitted() {
		for _, c := range g.s.byUser.Conns(user) {
			if hello := greetings[user]; hello != nil && !g.s.byConv.Has(id, c) {
				c.Send(hello)
			}
			g.s.byConv.Join(c, id)
		}
	}
	if frame := g.encode(e); frame != nil {
		g.s.byConv.Publish(id, frame)
	}
	gt.delivered = e.Seq
	if e.Kind == KindMemberRemoved || e.Kind == KindMemberLeft {
		for _, c := range g.s.byUser.Conns(e.UserID) {
			g.s.byConv.Leave(c, id)
		}
		gt.gone = e.Seq
	}
}

// hint says that the conversation's log reaches seq.
func (g *gates) hint(id ConversationID, seq Seq) {
	gt := g.find(id)
	if gt == nil {
		return
	}
	defer gt.mu.Unlock()
	gt.known = max(gt.known, seq)
	if gt.known > gt.delivered {
		g.fetch(id, gt)
	}
}

// reach is a hint that has been followed on return, unless somebody was at it already.
func (g *gates) reach(id ConversationID, seq Seq) {
	gt := g.find(id)
	if gt == nil {
		return
	}
	gt.known = max(gt.known, seq)
	follow := gt.known > gt.delivered && !gt.reading
	gt.reading = gt.reading || follow
	gt.mu.Unlock()
	if follow {
		g.read(id, gt)
	}
}

// fetch starts reading a hole, if nobody does. The gate's lock is held.
func (g *gates) fetch(id ConversationID, gt *gate) {
	if gt.reading {
		return
	}
	gt.reading = true
	g.reading.Add(1)
	go func() {
		defer g.reading.Done()
		g.read(id, gt)
	}()
}

// read publishes from the log until the gate is where the last hint said it should be.
func (g *gates) read(id ConversationID, gt *gate) {
	for {
		gt.mu.Lock()
		from := gt.delivered
		if from >= gt.known || g.base.Err() != nil {
			gt.reading = false
			gt.mu.Unlock()
			return
		}
		gt.mu.Unlock()

		entries, err := g.s.q.entriesAfter(g.base, id, from, holePage)
		greetings := g.s.greet(g.base, entries...)

		gt.mu.Lock()
		for _, e := range entries {
			if e.Seq == gt.delivered+1 {
				g.pass(gt, e, greetings)
			}
		}
		if err != nil || gt.delivered == from {
			// The sweep will come back to it.
			gt.reading = false
			g.doubt()
			gt.mu.Unlock()
			if err != nil && g.base.Err() == nil {
				g.s.cfg.Logger.Warn("reading the log for delivery", "conversation_id", id, "err", err)
			}
			return
		}
		gt.mu.Unlock()
	}
}

// doubt makes the next sweeps look.
func (g *gates) doubt() { g.doubts.Store(sweepsADoubt) }

// run sweeps until ctx ends, then waits for the reads under way.
func (g *gates) run(ctx context.Context) {
	sweep := time.NewTicker(sweepEvery)
	prune := time.NewTicker(pruneEvery)
	defer sweep.Stop()
	defer prune.Stop()
	defer g.reading.Wait()
	defer g.stop()
	g.doubt() // what a process before this one had sent may yet be committed
	for {
		select {
		case <-ctx.Done():
			return
		case <-prune.C:
			g.prune()
		case <-sweep.C:
			if g.doubts.Load() > 0 {
				g.doubts.Add(-1)
				g.sweep(ctx)
			}
		}
	}
}

// sweep asks the log how far it is, for every conversation with a gate.
func (g *gates) sweep(ctx context.Context) {
	var ids []ConversationID
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.Lock()
		for id := range s.gates {
			ids = append(ids, id)
		}
		s.mu.Unlock()
	}
	const page = 5000
	for len(ids) > 0 {
		n := min(page, len(ids))
		heads, err := g.s.q.lastSeqs(ctx, ids[:n])
		if err != nil {
			if ctx.Err() == nil {
				g.s.cfg.Logger.Warn("sweeping for missed entries", "err", err)
			}
			g.doubt()
			return
		}
		for _, h := range heads {
			g.hint(h.id, h.last)
		}
		ids = ids[n:]
	}
}

// prune forgets the gates of conversations that nobody here is in any more.
func (g *gates) prune() {
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.Lock()
		for id, gt := range s.gates {
			gt.mu.Lock()
			// Not at once: a gate may be there for somebody who is about to be let in.
			unused := !gt.reading && !g.s.byConv.Any(id)
			if unused && gt.idle {
				delete(s.gates, id)
			}
			gt.idle = unused
			gt.mu.Unlock()
		}
		s.mu.Unlock()
	}
}
