package push

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"parley/chat"
	"parley/store"
)

// notice asks, a few seconds after each message, who is owed a notification of it.
func (s *Service) notice(ctx context.Context) error {
	every := time.NewTicker(gather)
	defer every.Stop()
	trouble := outage{log: s.cfg.Logger, doing: "finding who is away"}
	var waiting []generation // the oldest first
	for {
		select {
		case <-ctx.Done():
			return s.cfg.Failures.Do("find who is away", func() error { return s.leave(context.WithoutCancel(ctx), waiting) })
		case now := <-every.C:
			if said := s.take(); len(said) > 0 {
				waiting = append(waiting, generation{now, said})
			}
			for len(waiting) > 0 && now.Sub(waiting[0].closed) >= settle-gather/2 { // ticks are not quite regular
				err := s.cfg.Failures.Do("find who is away", func() error { return s.check(ctx, waiting[0].said, 0) })
				trouble.note(ctx, err)
				if err != nil {
					if len(waiting) > 1 { // or an outage piles them up
						maps.Copy(waiting[1].said, merge(waiting[0].said, waiting[1].said))
						waiting = waiting[1:]
					}
					break
				}
				waiting = waiting[1:]
			}
		}
	}
}

// generation is what was said within a while that has ended.
type generation struct {
	closed time.Time
	said   map[chat.ConversationID]span
}

func (s *Service) take() map[chat.ConversationID]span {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.said) == 0 {
		return nil
	}
	said := s.said
	s.said = make(map[chat.ConversationID]span, len(said))
	return said
}

// merge gives what a has, each together with what b has of it.
func merge(a, b map[chat.ConversationID]span) map[chat.ConversationID]span {
	both := make(map[chat.ConversationID]span, len(a))
	for id, w := range a {
		if v, ok := b[id]; ok {
			w = span{min(w.first, v.first), max(w.last, v.last)}
		}
		both[id] = w
	}
	return both
}

// check makes owed what is of what was said, and due after the delay. What it is done with it
// takes out of what was said.
func (s *Service) check(ctx context.Context, said map[chat.ConversationID]span, delay time.Duration) error {
	list := make([]noticed, 0, len(said))
	for id, w := range said {
		list = append(list, noticed{id, w.first, w.last})
	}
	for some := range slices.Chunk(list, noticedRows) {
		if err := s.checkSome(ctx, some, delay); err != nil {
			return err
		}
		for _, n := range some {
			delete(said, n.conversation)
		}
	}
	return nil
}

// checkSome looks at fewer at a time if it takes too long for so many. One for which it does
// by itself is left to the sweep.
func (s *Service) checkSome(ctx context.Context, some []noticed, delay time.Duration) error {
	n, err := s.q.raiseNoticed(ctx, some, delay)
	if n > 0 {
		s.rouse()
	}
	half := len(some) / 2
	switch {
	case err == nil:
		return nil
	case !store.TimedOut(err):
		return fmt.Errorf("find what is owed: %w", err)
	case half == 0:
		s.cfg.Logger.Warn("who is away takes too long to be found out", "conversation", some[0].conversation, "err", err)
		return nil
	}
	if err := s.checkSome(ctx, some[:half], delay); err != nil {
		return err
	}
	return s.checkSome(ctx, some[half:], delay)
}

// leave makes owed what was noticed and not asked about yet, at the end: for whoever does not
// come back soon.
func (s *Service) leave(ctx context.Context, waiting []generation) error {
	all := s.take()
	for _, g := range waiting {
		both := merge(g.said, all)
		maps.Copy(g.said, all)
		maps.Copy(g.said, both)
		all = g.said
	}
	if len(all) == 0 {
		return nil
	}
	return s.check(ctx, all, comeBack)
}

// sweep looks, a few at a time, at all devices, for what a crash forgot and for what nobody
// read; and removes what is over. Beside that it notices what was read elsewhere.
func (s *Service) sweep(ctx context.Context) {
	devices, read := time.NewTimer(sweepRound/6), time.NewTimer(readPause)
	defer devices.Stop()
	defer read.Stop()
	trouble := outage{log: s.cfg.Logger, doing: "looking for forgotten notifications"}
	r := round{rows: sweepRows}
	// Either may take as much; with very much to look at it comes less often.
	devicesPace, readPace := store.Pace{Share: share}, store.Pace{Share: share}
	rest := func(p *store.Pace, began time.Time, err error) time.Duration {
		if err != nil {
			return p.Rest(0)
		}
		return p.Rest(time.Since(began))
	}
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-read.C:
			began := time.Now()
			var n int
			if n, err = s.q.raiseRead(ctx); n > 0 {
				s.rouse()
			}
			read.Reset(max(readPause, rest(&readPace, began, err)))
		case <-devices.C:
			began := time.Now()
			var pause time.Duration
			pause, err = s.sweepOn(ctx, &r, began)
			devices.Reset(max(pause, rest(&devicesPace, began, err)))
		}
		trouble.note(ctx, err)
	}
}

// round is one way through all devices.
type round struct {
	after DeviceID // the last that was looked at; none: the round begins
	rows  int      // how many to look at next
	began time.Time
	last  time.Time // when the one before began that came to its end; zero: there was none
}

// sweepOn looks at the next devices of the round, and says after how long to go on.
func (s *Service) sweepOn(ctx context.Context, r *round, now time.Time) (time.Duration, error) {
	if r.began.IsZero() {
		r.began = now
	}
	old := ages{missing: comeBack, unread: unreadFor, since: life}
	if !r.last.IsZero() { // what was old enough then was looked at then
		old.since = max(time.Hour, now.Sub(r.last)+2*unreadFor) // an hour: raiseForgotten
	}
	next, err := s.sweepSome(ctx, r.after, r.rows, old)
	switch {
	case err == nil:
		r.rows = min(2*r.rows, sweepRows)
	case store.TimedOut(err) && r.rows == 1:
		s.cfg.Logger.Warn("what was forgotten of a device takes too long to be found out", "after", r.after, "err", err)
	default:
		r.rows = max(r.rows/2, 1) // it may have been too many
		return readPause, err
	}
	if r.after = next; !next.IsZero() {
		return sweepPause, err
	}
	wait := max(sweepRound-time.Since(r.began), sweepPause)
	r.last, r.began = r.began, time.Time{}
	return wait, err
}

// sweepSome looks at the next devices and gives the last of them, or nothing at the end.
func (s *Service) sweepSome(ctx context.Context, after DeviceID, rows int, old ages) (next DeviceID, err error) {
	ids, err := s.q.some(ctx, after, rows)
	if err != nil {
		return after, fmt.Errorf("read devices: %w", err)
	}
	if len(ids) == 0 {
		return DeviceID{}, nil
	}
	if len(ids) == rows {
		next = ids[len(ids)-1]
	}
	if err := s.q.tidy(ctx, ids); err != nil {
		return next, fmt.Errorf("remove what is over: %w", err)
	}
	n, err := s.q.raiseForgotten(ctx, ids, old)
	if err != nil {
		return next, fmt.Errorf("find what was forgotten: %w", err)
	}
	if n > 0 {
		s.rouse()
	}
	return next, nil
}
