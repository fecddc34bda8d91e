package main

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"parley/parleytest"
)

// load is the peers of one run.
type load struct {
	w        *world
	peers    []*peer
	senders  []*peer
	stopping atomic.Bool
	ending   atomic.Bool // the connections are being closed on purpose
	running  sync.WaitGroup
	lagged   time.Duration // most that a paced send was behind its time

	mu     sync.Mutex // guards errors
	errors map[string]int
}

// drainTimeout is how long the last messages may take. Beyond it they are lost.
const drainTimeout = 15 * time.Second

func (w *world) newLoad() *load { return &load{w: w, errors: map[string]int{}} }

func (l *load) connect(ctx context.Context, conversation uuid.UUID, side parleytest.Session) (*peer, error) {
	wire, err := l.w.dial(ctx, &net.Dialer{}, side.Token)
	if err != nil {
		return nil, err
	}
	peer := newPeer(l.w, wire, conversation, side, &l.stopping)
	l.peers = append(l.peers, peer)
	return peer, nil
}

// close ends every connection and waits for their peers.
func (l *load) close() {
	l.ending.Store(true)
	for _, p := range l.peers {
		_ = p.wire.Close() // the peer's run sees it
	}
	l.running.Wait()
}

func (l *load) start(p *peer, inFlight int) {
	l.running.Go(func() {
		if err := p.run(inFlight); !l.ending.Load() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.errors["connection lost: "+err.Error()]++
		}
	})
}

// pairsScenario: one side of each pair sends, the other measures, and something else may
// happen meanwhile.
func (w *world) pairsScenario(ctx context.Context, inFlight int, meanwhile func(*load)) (result, error) {
	return w.talk(ctx, func(l *load) error { return l.connectPairs(ctx, inFlight) }, meanwhile, (*load).count)
}

// pacedScenario: the same at a fixed rate, whatever the answers do.
func (w *world) pacedScenario(ctx context.Context) (result, error) {
	return w.talk(ctx, func(l *load) error { return l.connectPairs(ctx, 0) }, func(l *load) { l.pace(w.o.rate) }, (*load).count)
}

func (l *load) connectPairs(ctx context.Context, inFlight int) error {
	for _, pair := range l.w.pairs[:l.w.o.pairs] {
		a, err := l.connect(ctx, pair.Conversation, pair.A)
		if err != nil {
			return err
		}
		b, err := l.connect(ctx, pair.Conversation, pair.B)
		if err != nil {
			return err
		}
		b.measures = true
		l.senders = append(l.senders, a)
		l.start(a, inFlight)
		l.start(b, 0)
	}
	return nil
}

// hotScenario: all sockets of both sides of one conversation send, and get everything.
// What comes from the other side is measured.
func (w *world) hotScenario(ctx context.Context) (result, error) {
	return w.talk(ctx, func(l *load) error {
		pair := w.pairs[0]
		for range w.o.sockets {
			for _, side := range []parleytest.Session{pair.A, pair.B} {
				p, err := l.connect(ctx, pair.Conversation, side)
				if err != nil {
					return err
				}
				p.measures = true
				l.senders = append(l.senders, p)
			}
		}
		for _, p := range l.peers {
			l.start(p, w.o.hotInFlight)
		}
		return nil
	}, nil, (*load).count)
}

// pace sends from all senders in turn, so many messages a second, until the load stops.
func (l *load) pace(rate int) {
	began := l.w.now()
	for i := 0; !l.stopping.Load(); i++ {
		due := began + time.Duration(i)*time.Second/time.Duration(rate)
		time.Sleep(due - l.w.now())
		l.lagged = max(l.lagged, l.w.now()-due)
		p := l.senders[i%len(l.senders)]
		p.send()
		_ = p.wire.Flush() // a broken connection shows where it is read
	}
}

// acknowledgeEvery is how often a client tells one conversation's marks at most.
const acknowledgeEvery = 250 * time.Millisecond

// acknowledge lets everybody who measures, in turn, say up to where they have their
// conversation and have read it, until the load stops.
func (l *load) acknowledge() {
	began := l.w.now()
	for i := 0; !l.stopping.Load(); i++ {
		time.Sleep(began + time.Duration(i)*acknowledgeEvery/time.Duration(len(l.peers)) - l.w.now())
		if p := l.peers[i%len(l.peers)]; p.measures {
			p.acknowledge()
			_ = p.wire.Flush() // a broken connection shows where it is read
		}
	}
}

// window is the time measured, and what was used in it; log and transactions are those of
// the whole run.
type window struct {
	from, to time.Duration
	cost     cost
	wrote    written
}

func (w window) has(t time.Duration) bool { return w.from <= t && t < w.to }

func (w window) seconds() float64 { return (w.to - w.from).Seconds() }

// talk runs a load of messages: connect, warm up, measure, drain, and count.
func (w *world) talk(ctx context.Context, connect func(*load) error, meanwhile func(*load), count func(*load, *result, window)) (r result, err error) {
	l := w.newLoad()
	defer l.close()
	wrote, err := w.written(ctx)
	if err != nil {
		return r, err
	}
	if err := connect(l); err != nil {
		return r, err
	}
	var beside sync.WaitGroup
	if meanwhile != nil {
		beside.Go(func() { meanwhile(l) })
	}
	stop := func() { l.stopping.Store(true); beside.Wait() }
	defer stop()

	if err := pause(ctx, w.o.warmUp); err != nil {
		return r, err
	}
	from, before, err := w.mark()
	if err != nil {
		return r, err
	}
	if err := pause(ctx, w.o.duration); err != nil {
		return r, err
	}
	to, after, err := w.mark()
	if err != nil {
		return r, err
	}
	stop()
	lost := l.drain(ctx)
	_, peak, err := parleytest.Memory(w.server.PID())
	if err != nil {
		return r, err
	}
	wroteInAll, err := w.written(ctx)
	if err != nil {
		return r, err
	}
	l.close()

	r.Errors = l.errors
	if lost > 0 {
		r.Errors["acknowledged and not delivered"] += lost
	}
	for _, p := range l.peers {
		for what, n := range p.errors {
			r.Errors[what] += n
		}
	}
	count(l, &r, window{from, to, after.since(before), written{wroteInAll.transactions - wrote.transactions, wroteInAll.log - wrote.log}})
	r.add("server's peak memory, MiB", float64(peak)/(1<<20))
	return r, nil
}

// mark is a moment and the cost up to it.
func (w *world) mark() (time.Duration, cost, error) {
	c, err := w.cost()
	return w.now(), c, err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// drain waits until everything sent is answered and delivered, and gives how many
// messages were acknowledged and have not reached somebody.
func (l *load) drain(ctx context.Context) (lost int) {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	for pause(ctx, 5*time.Millisecond) == nil && (l.unanswered() > 0 || l.undelivered() > 0) {
	}
	if n := l.unanswered(); n > 0 {
		l.mu.Lock()
		l.errors["never answered"] += n
		l.mu.Unlock()
	}
	return l.undelivered()
}

func (l *load) unanswered() (n int) {
	for _, p := range l.senders {
		n += int(p.waiting.Load())
	}
	return n
}

func (l *load) undelivered() (n int) {
	highest := map[string]int64{}
	for _, p := range l.peers {
		highest[p.conversation] = max(highest[p.conversation], p.highest.Load())
	}
	for _, p := range l.peers {
		n += int(max(0, highest[p.conversation]-p.seen.Load()))
	}
	return n
}

// count makes the figures, from what was sent in the time measured.
func (l *load) count(r *result, w window) {
	var received []time.Duration
	delivered := 0
	acked, inTime, all := l.acknowledged(w)
	for _, p := range l.peers {
		for _, s := range p.received {
			if w.has(s.sent) {
				received = append(received, s.took)
			}
			if w.has(s.sent + s.took) {
				delivered++
			}
		}
	}
	if inTime == 0 || delivered == 0 {
		r.Errors["nothing was delivered"]++
	}
	r.add("messages a second", float64(inTime)/w.seconds())
	r.add("measured deliveries a second", float64(delivered)/w.seconds())
	r.latencies("send to receive", received)
	r.latencies("send to acknowledgement", acked)
	r.perUnit("message", w.cost, max(inTime, 1))
	r.add("messages a commit", float64(all)/float64(max(w.wrote.transactions, 1)))
	r.add("log bytes a message", float64(w.wrote.log)/float64(max(all, 1)))
	l.cores(r, w)
	r.add("receipts told a message", float64(l.receipts())/float64(max(all, 1)))
}

// receipts gives how many were told.
func (l *load) receipts() (n int) {
	for _, p := range l.peers {
		n += p.receipts
	}
	return n
}

// acknowledged gives how long the acknowledgement took of what was sent in the time
// measured, how many came in that time, and how many in the whole run.
func (l *load) acknowledged(w window) (took []time.Duration, inTime, all int) {
	for _, p := range l.peers {
		all += len(p.acked)
		for _, s := range p.acked {
			if w.has(s.sent) {
				took = append(took, s.took)
			}
			if w.has(s.sent + s.took) {
				inTime++
			}
		}
	}
	return took, inTime, all
}

func (l *load) cores(r *result, w window) {
	total := (w.cost.server + w.cost.database + w.cost.client).Seconds()
	r.add("cores used, server", w.cost.server.Seconds()/w.seconds())
	r.add("cores used, database", w.cost.database.Seconds()/w.seconds())
	r.add("cores used, all with the generator", total/w.seconds())
	if l.lagged > 0 {
		r.add("generator late at most, ms", milliseconds(l.lagged))
	}
}
