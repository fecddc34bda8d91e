package main

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"parley/parleytest"
)

// groupSenders is how many members send in a busy group.
const groupSenders = 8

// groupScenario: the members of a large group send in turn, at a rate that leaves the
// server mostly idle.
func (w *world) groupScenario(ctx context.Context) (result, error) {
	return w.talk(ctx,
		func(l *load) error { return l.connectGroup(ctx, 0) },
		func(l *load) { l.pace(w.o.groupRate) },
		(*load).countGroup)
}

// busyGroupScenario: a few of them send as fast as they are acknowledged, and something else
// may happen meanwhile.
func (w *world) busyGroupScenario(ctx context.Context, meanwhile func(*load)) (result, error) {
	return w.talk(ctx, func(l *load) error { return l.connectGroup(ctx, w.o.groupFlight) }, meanwhile, (*load).countGroup)
}

// connectGroup makes a group and connects its members, all of them before the first sends.
func (l *load) connectGroup(ctx context.Context, inFlight int) error {
	var people []parleytest.Session
	var ids []uuid.UUID
	for _, pair := range l.w.pairs {
		people = append(people, pair.A, pair.B)
		ids = append(ids, pair.A.User.ID, pair.B.User.ID)
	}
	n := l.w.o.members
	group, err := l.w.server.Client(people[0].Token).CreateGroup(ctx, "bench", ids[1:n])
	if err != nil {
		return fmt.Errorf("make a group of %d: %w", n, err)
	}
	for _, person := range people[:n] {
		p, err := l.connect(ctx, group.ID, person)
		if err != nil {
			return err
		}
		p.measures, p.measuresOwn = true, true
	}
	l.senders = l.peers
	if inFlight > 0 {
		l.senders = l.peers[:min(groupSenders, n)]
	}
	for i, p := range l.peers {
		if i < len(l.senders) {
			l.start(p, inFlight)
		} else {
			l.start(p, 0)
		}
	}
	return nil
}

// countGroup makes the figures of a group, from what was sent in the time measured.
func (l *load) countGroup(r *result, w window) {
	acked, inTime, all := l.acknowledged(w)
	each, last, delivered := l.deliveries(w)
	if len(last) == 0 {
		r.Errors["nothing was delivered to everybody"]++
	}
	r.add("messages a second", float64(inTime)/w.seconds())
	r.add("deliveries a second", float64(delivered)/w.seconds())
	r.latencies("send to the last member", last)
	r.latencies("send to any member", each)
	r.latencies("send to acknowledgement", acked)
	r.perUnit("delivery", w.cost, max(delivered, 1))
	r.add("messages a commit", float64(all)/float64(max(w.wrote.transactions, 1)))
	l.cores(r, w)
	r.add("receipts told a message", float64(l.receipts())/float64(max(all, 1)))
}

// deliveries gives how long each took of what was sent in the time measured, how long each
// message took that everybody got, and how many deliveries there were in that time.
func (l *load) deliveries(w window) (each, last []time.Duration, inTime int) {
	type message struct {
		got  int
		took time.Duration
	}
	messages := map[int64]*message{}
	for _, p := range l.peers {
		for _, s := range p.received {
			if w.has(s.sent + s.took) {
				inTime++
			}
			if !w.has(s.sent) {
				continue
			}
			each = append(each, s.took)
			m := messages[s.seq]
			if m == nil {
				m = &message{}
				messages[s.seq] = m
			}
			m.got++
			m.took = max(m.took, s.took)
		}
	}
	for _, m := range messages {
		if m.got == len(l.peers) {
			last = append(last, m.took)
		}
	}
	return each, last, inTime
}
