package push

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"parley/chat"
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
			return s.leave(context.WithoutCancel(ctx), waiting)
		case now := <-every.C:
			if said := s.take(); len(said) > 0 {
				waiting = append(waiting, generation{now, said})
			}
			for len(waiting) > 0 && now.Sub(waiting[0].closed) >= settle-gather/2 { // ticks are not quite regular
				err := s.check(ctx, waiting[0].said, 0)
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

// check makes owed what is of what was said, and due after the delay.
func (s *Service) check(ctx context.Context, said map[chat.ConversationID]span, delay time.Duration) error {
	list := make([]noticed, 0, len(said))
	for id, w := range said {
		list = append(list, noticed{id, w.first, w.last})
	}
	for some := range slices.Chunk(list, noticedRows) {
		n, err := s.q.raiseNoticed(ctx, some, delay)
		if err != nil {
			return fmt.Errorf("find what is owed: %w", err)
		}
		if n > 0 {
			s.rouse()
		}
	}
	return nil
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
	some := time.NewTicker(sweepPause)
	read := time.NewTicker(readPause)
	defer some.Stop()
	defer read.Stop()
	trouble := outage{log: s.cfg.Logger, doing: "looking for forgotten notifications"}
	var (
		after     DeviceID
		began     time.Time // the round that goes on, or the last one
		old       = ages{missing: comeBack, unread: unreadFor, since: life}
		rows      = sweepRows
		notBefore time.Time // raiseRead
	)
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case now := <-read.C:
			if now.Before(notBefore) {
				continue
			}
			var n int
			if n, err = s.q.raiseRead(ctx); n > 0 {
				s.rouse()
			}
			// It looks at all that is shown: with very much of that it comes less often.
			ended := time.Now()
			notBefore = ended.Add(readShare * ended.Sub(now))
		case now := <-some.C:
			if after.IsZero() {
				if now.Sub(began) < sweepRound {
					continue
				}
				// What was old enough in the last round was looked at then.
				if !began.IsZero() {
					old.since = max(time.Hour, now.Sub(began)+2*unreadFor) // an hour: raiseForgotten
				}
				began = now
			}
			var next DeviceID
			if next, err = s.sweepSome(ctx, after, rows, old); err == nil {
				after, rows = next, min(2*rows, sweepRows)
			} else {
				rows = max(rows/2, 1) // it may have been too many
			}
		}
		trouble.note(ctx, err)
	}
}

// sweepSome looks at the next devices and gives the last of them, or nothing at the end.
func (s *Service) sweepSome(ctx context.Context, after DeviceID, rows int, old ages) (DeviceID, error) {
	ids, err := s.q.some(ctx, after, rows)
	if err != nil {
		return after, fmt.Errorf("read devices: %w", err)
	}
	if len(ids) == 0 {
		return DeviceID{}, nil
	}
	if err := s.q.tidy(ctx, ids); err != nil {
		return after, fmt.Errorf("remove what is over: %w", err)
	}
	n, err := s.q.raiseForgotten(ctx, ids, old)
	if err != nil {
		return after, fmt.Errorf("find what was forgotten: %w", err)
	}
	if n > 0 {
		s.rouse()
	}
	if len(ids) < rows {
		return DeviceID{}, nil
	}
	return ids[len(ids)-1], nil
}
