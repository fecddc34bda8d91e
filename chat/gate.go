package chat

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"parley/accounts"
	"parley/hub"
	"parley/store"
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
	news   *store.Topic[ConversationID, hint] // to and from the other replicas

	// doubts is how many more sweeps there are to be, because a hint may have been missed.
	doubts atomic.Int32
	look   chan struct{} // holds one when the next sweep should be at once
	admit  chan struct{} // holds one when somebody was let in without an entry

	mu     sync.Mutex    // guards behind
	behind []behind      // whose holes are to be read
	read   chan struct{} // holds one when there are some
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
	reading   bool       // a hole is being read, or will be
	idle      bool       // nobody was interested when prune last came by

	// waiting is the member whom a direct conversation is hidden from before its first message.
	waiting accounts.UserID
}

// hint says that the log of a conversation reaches Seq.
type hint struct {
	Seq Seq `json:"s"`
	// Admits is the seq before the first entry that lets somebody in, who may be connected to
	// a replica where nobody is in the conversation; nil if there is none.
	Admits *Seq `json:"a,omitempty"`
}

func (h hint) merge(other hint) hint {
	h.Seq = max(h.Seq, other.Seq)
	if h.Admits == nil || other.Admits != nil && *other.Admits < *h.Admits {
		h.Admits = other.Admits
	}
	return h
}

// hintOf is what there is to tell of new entries of one conversation.
func hintOf(entries []Entry) hint {
	h := hint{Seq: entries[len(entries)-1].Seq}
	for _, e := range entries {
		if len(e.admitted()) > 0 {
			before := e.Seq - 1
			h.Admits = &before
			break
		}
	}
	return h
}

func (g *gates) init(s *Service) {
	g.s = s
	g.look, g.admit, g.read = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1)
	for i := range g.shards {
		g.shards[i].gates = make(map[ConversationID]*gate)
	}
	g.news = store.NewTopic(s.cfg.Bus, "entry", hint.merge, g.hear)
	s.cfg.Bus.OnMissed(func(time.Time) {
		g.doubt()
		nudge(g.look)
	})
}

// nudge puts one into a channel that holds one.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
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
// A hidden one is left to the first message.
func (g *gates) join(c *hub.Conn, m membership) bool {
	gt := g.locked(m.id, m.last)
	defer gt.mu.Unlock()
	if gt.gone > m.last {
		return false
	}
	if m.hidden {
		gt.waiting = accounts.UserID(c.UserID)
		return gt.delivered <= m.last // else the first message has passed since
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

// encode makes the frame of an entry, or none if no connection here would get it, or if JSON
// cannot express it: then clients find a gap in the seqs, and read the entry over HTTP.
func (g *gates) encode(e Entry) []byte {
	if !g.s.byConv.Any(e.ConversationID) {
		return nil
	}
	return g.s.event("entry", e)
}

// deliver publishes an entry that this replica committed, with its frame, and tells the others.
func (g *gates) deliver(e Entry, frame []byte) {
	g.news.Tell(e.ConversationID, hint{Seq: e.Seq})
	gt := g.find(e.ConversationID)
	if gt == nil {
		return
	}
	defer gt.mu.Unlock()
	gt.known = max(gt.known, e.Seq)
	switch {
	case e.Seq == gt.delivered+1 && !e.mayReveal():
		if frame == nil { // an entry before this one may have let somebody in since
			frame = g.encode(e)
		}
		if frame != nil {
			g.s.byConv.PublishEntry(e.ConversationID, frame, e.position())
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
	g.news.Tell(id, hintOf(entries))
	greet, err := g.s.greet(ctx, entries...)
	if err != nil {
		g.hint(id, entries[len(entries)-1].Seq)
		return
	}
	gt := g.find(id)
	if gt == nil {
		return
	}
	defer gt.mu.Unlock()
	for _, e := range entries {
		gt.known = max(gt.known, e.Seq)
		switch {
		case e.Seq == gt.delivered+1:
			g.pass(gt, e, greet)
		case e.Seq > gt.delivered:
			g.fetch(id, gt)
		}
	}
}

// deliverFirst delivers the beginning of a conversation that this replica made. It has been
// delivered on return, unless another hint was followed already.
func (g *gates) deliverFirst(ctx context.Context, id ConversationID) {
	g.news.Tell(id, hint{Seq: 1, Admits: new(Seq)})
	gt := g.find(id)
	if gt == nil {
		return
	}
	gt.known = max(gt.known, 1)
	follow := gt.known > gt.delivered && !gt.reading
	gt.reading = gt.reading || follow
	gt.mu.Unlock()
	if follow {
		g.followAll(ctx, []behind{{id, gt}})
	}
}

// pass publishes the next entry. Whoever it lets in gets it too, as the first one, and
// whoever it puts out as the last one. The gate's lock is held.
func (g *gates) pass(gt *gate, e Entry, greet greetings) {
	id := e.ConversationID
	for _, user := range e.admitted() {
		if e.hiddenFrom(user) && greet.hello[user] == nil {
			gt.waiting = user
			continue
		}
		for _, c := range g.s.byUser.Conns(user) {
			if hello := greet.hello[user]; hello != nil && !g.s.byConv.Has(id, c) {
				c.Send(hello)
			}
			g.s.byConv.Join(c, id)
		}
	}
	if e.mayReveal() && greet.created != nil {
		g.showAll(*greet.created, greet)
		gt.waiting = accounts.UserID{}
	}
	frame, at := g.encode(e), e.position()
	if e.Kind == KindMemberRemoved || e.Kind == KindMemberLeft {
		// Before they hear of it: who has heard can do nothing more in it, not even type.
		for _, c := range g.s.byUser.Conns(e.UserID) {
			was := g.s.byConv.Has(id, c)
			g.s.byConv.Leave(c, id)
			if was && frame != nil {
				c.SendEntry(frame, at)
			}
		}
		gt.gone = e.Seq
	}
	if frame != nil {
		g.s.byConv.PublishEntry(id, frame, at)
	}
	gt.delivered = e.Seq
}

// hear follows what another replica tells.
func (g *gates) hear(id ConversationID, h hint) {
	if h.Admits != nil {
		g.watch(id, *h.Admits)
	}
	g.hint(id, h.Seq)
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

// doubt makes the next sweeps look.
func (g *gates) doubt() { g.doubts.Store(sweepsADoubt) }
