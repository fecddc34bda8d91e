package push

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"parley/chat"
	"parley/store"
)

const (
	// slots is how many devices are sent to at a time, beside those whose turn takes long. Most
	// of the time of a turn is spent waiting for a push service.
	slots = 256
	// lookRows is of how many devices one statement finds out what is owed, and lookTimeout how
	// long it may take for that before it is found out for fewer.
	lookRows    = 64
	lookTimeout = time.Second
	// turnTimeout bounds a turn, from when the device was taken to the last that is sent to it;
	// leaseTime is a little longer, and how long a crash delays what it cut off.
	turnTimeout = 20 * time.Second
	leaseTime   = 30 * time.Second
	// poll is how often devices are looked for that are due: again, or by another replica.
	poll = 500 * time.Millisecond
	// collect is how long what became of turns waits for others, to be written together, and
	// collectRows for how many.
	collect     = 20 * time.Millisecond
	collectRows = 200
	// farewell is how long the end waits for what is being sent.
	farewell = 3 * time.Second
	// firstWait and longestWait bound the time between attempts, which doubles each time.
	firstWait   = 2 * time.Second
	longestWait = 15 * time.Minute
)

// result is what became of a turn.
type result struct {
	turn    *turn
	gone    bool
	sent    bool          // something was accepted
	wait    time.Duration // until the next attempt; 0: there is nothing more to do
	idle    bool          // it waits, and that is not the device's fault
	failure string
	told    []job // with the seq up to which; 0: there was nothing to tell
	cleared []job // told that they were read
}

// deliver takes devices that are due, sends to them, and writes what became of it, until ctx
// ends.
func (s *Service) deliver(ctx context.Context) {
	sending, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	results := make(chan result, slots)
	written := make(chan struct{})
	go func() {
		defer close(written)
		s.record(context.WithoutCancel(ctx), results)
	}()
	free := make(chan struct{}, slots)
	var turns sync.WaitGroup
	// Who has to wait for a push service leaves their place to another.
	begin := func(t *turn) {
		leave := sync.OnceFunc(func() { <-free })
		t.waits = leave
		defer leave()
		defer s.hosts.leave(hostOf(t.Target))
		if r, ok := s.tryServe(sending, t); ok {
			results <- r
		}
	}
	s.dispatch(ctx, free, func(some []*turn) {
		turns.Go(func() {
			entered := some[:0]
			for _, t := range some {
				if wait, ok := s.hosts.enter(hostOf(t.Target)); ok {
					entered = append(entered, t)
				} else {
					results <- result{turn: t, wait: wait, idle: true}
					<-free
				}
			}
			if len(entered) > 0 {
				s.tryLook(sending, entered, func(t *turn) { turns.Go(func() { begin(t) }) })
			}
		})
	})
	ended := time.AfterFunc(farewell, cut)
	turns.Wait()
	ended.Stop()
	close(results)
	<-written
}

// dispatch starts turns as long as there is room in the channel.
func (s *Service) dispatch(ctx context.Context, room chan struct{}, start func([]*turn)) {
	trouble := outage{log: s.cfg.Logger, doing: "looking for devices that are due"}
	again := time.NewTicker(poll)
	defer again.Stop()
	for ctx.Err() == nil {
		more := false
		if n := min(slots-len(room), lookRows); n > 0 {
			var turns []*turn
			err := s.cfg.Failures.Do("look for devices that are due", func() (err error) {
				turns, err = s.q.claim(ctx, n, leaseTime)
				return err
			})
			trouble.note(ctx, err)
			if len(turns) > 0 {
				for range turns {
					room <- struct{}{}
				}
				start(turns)
			}
			more = len(turns) == n
		}
		if more && len(room) < slots {
			continue
		}
		var soon <-chan time.Time
		if more { // there may be more, and room for them before long
			soon = time.After(collect)
		}
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-again.C:
		case <-soon:
		}
	}
}

// look finds out what is to be sent in each turn, and starts it. If that takes too long for so
// many, it looks at fewer at a time; one for which it does by itself waits. What cannot be found
// out comes up again when the lease ends.
func (s *Service) look(ctx context.Context, turns []*turn, start func(*turn)) {
	err := s.q.look(ctx, turns)
	switch {
	case err == nil:
		for _, t := range turns {
			start(t)
		}
	case store.TimedOut(err) && len(turns) == 1:
		s.cfg.Logger.Warn("what is owed to a device takes too long to be found out", "device", turns[0].ID, "err", err)
		turns[0].state = tooMuch
		start(turns[0])
	case store.TimedOut(err) && time.Since(turns[0].taken) < turnTimeout/2:
		half := len(turns) / 2
		s.look(ctx, turns[:half], start)
		s.look(ctx, turns[half:], start)
	default:
		s.cfg.Logger.Warn("what is owed cannot be found out: trying again", "devices", len(turns), "err", err)
		for _, t := range turns {
			t.state = unknown
			start(t)
		}
	}
}

// tryLook is look, after which every turn has started, also if it panics: a turn holds a place
// until its end.
func (s *Service) tryLook(ctx context.Context, turns []*turn, start func(*turn)) {
	started := make(map[*turn]bool, len(turns))
	once := func(t *turn) {
		if !started[t] {
			started[t] = true
			start(t)
		}
	}
	if err := s.cfg.Failures.Do("find what is owed", func() error { s.look(ctx, turns, once); return nil }); err != nil {
		for _, t := range turns {
			if !started[t] {
				t.state = unknown
				once(t)
			}
		}
	}
}

// tryServe is serve. A device for which it panics is tried again later and later.
func (s *Service) tryServe(ctx context.Context, t *turn) (r result, ok bool) {
	if err := s.cfg.Failures.Do("send a notification", func() error { r, ok = s.serve(ctx, t); return nil }); err != nil {
		return result{turn: t, wait: backoff(t.attempts), failure: "internal error"}, true
	}
	return r, ok
}

// serve sends a device what is owed to it, one after the other, until something fails. False:
// that is not known, and nothing is to be written.
func (s *Service) serve(ctx context.Context, t *turn) (r result, ok bool) {
	r.turn = t
	switch t.state {
	case unknown:
		return r, false
	case tooMuch:
		r.wait = backoff(t.attempts)
		return r, true
	case over:
		r.gone = true
		return r, true
	}
	ctx, cancel := context.WithDeadline(ctx, t.taken.Add(turnTimeout))
	defer cancel()
	// What was said last matters most, if it cannot all be told; what was read matters least.
	slices.SortStableFunc(t.jobs, func(a, b job) int {
		return cmp.Or(cmp.Compare(min(b.count, 1), min(a.count, 1)), b.at.Compare(a.at))
	})
	told := make(map[chat.ConversationID]bool, len(t.jobs))
	for _, j := range t.jobs {
		var n Notification
		switch {
		case j.count > 0 && j.seq > j.sent:
			n = t.message(j, t.generic || s.cfg.Generic)
		case j.isRead && t.silently():
			n = Notification{Type: "read", ConversationID: j.conversation, Seq: j.sent, Unread: t.unread, Tag: j.conversation.String(), At: time.Now().UTC()}
		default: // they have it, are no members any more, or do not want to be told
			j.seq = 0
			r.told = append(r.told, j)
			continue
		}
		a := s.send(ctx, t.Target, n, t.waits)
		if n.Type == "message" && a.Outcome == Refused {
			short := t.message(j, true)
			short.Read = nil
			a = s.send(ctx, t.Target, short, t.waits)
		}
		if a.Outcome == Later && ctx.Err() != nil { // the server stops, or the turn has had its time
			r.wait, r.idle = time.Second, r.failure == ""
			return r, true
		}
		r.failure = cmp.Or(a.Reason, r.failure)
		switch a.Outcome {
		case Accepted:
			r.sent = true
		case Refused: // even without text: it will not have this one
		case Gone:
			r.gone = true
			return r, true
		case Later:
			r.wait = max(backoff(t.attempts), a.RetryAfter)
			return r, true
		}
		if n.Type == "read" {
			j.seq = j.sent
			r.cleared = append(r.cleared, j)
			continue
		}
		r.told = append(r.told, j)
		told[j.conversation] = true
		r.cleared = slices.DeleteFunc(r.cleared, func(c job) bool { return c.conversation == j.conversation })
		for _, id := range n.Read {
			if !told[id] {
				told[id] = true
				r.cleared = append(r.cleared, job{conversation: id, seq: math.MaxInt64})
			}
		}
	}
	return r, true
}

// send hands a notification to the sender of the device's kind. It notes, and calls waits, if
// there is no prompt answer.
func (s *Service) send(ctx context.Context, to Target, n Notification, waits func()) Answer {
	if ctx.Err() != nil {
		return Answer{}
	}
	sender := s.senders[to.Kind]
	if sender == nil {
		return Answer{Reason: errNoFCM.Detail}
	}
	if to.Kind == KindWebPush && !s.cfg.allowed(to.Address) {
		a := Answer{Outcome: Refused, Reason: reasonNotAllowed}
		s.logFailure(to, a)
		return a
	}
	service := hostOf(to)
	long := time.AfterFunc(prompt, func() {
		s.hosts.wasSlow(service)
		waits()
	})
	a := sender.Send(ctx, to, n)
	if long.Stop() {
		s.hosts.wasPrompt(service)
	}
	s.logFailure(to, a)
	return a
}

// backoff is how long to wait after so many attempts in vain: twice as long each time, and
// never the same for those that failed together.
func backoff(attempts int) time.Duration {
	wait := longestWait
	if attempts < 10 {
		wait = min(wait, firstWait<<max(attempts-1, 0))
	}
	return wait/2 + rand.N(wait/2)
}

// record writes what became of turns, many at a time, until there are no more. What cannot be
// written is tried again: until it is, or the leases end, nobody sends it again.
func (s *Service) record(ctx context.Context, results <-chan result) {
	trouble := outage{log: s.cfg.Logger, doing: "writing what was sent"}
	var pending []result
	for open := true; open; {
		r, ok := <-results
		if !ok {
			return
		}
		pending = append(pending[:0], r)
		full := time.NewTimer(collect)
		for waiting := true; waiting && len(pending) < collectRows; {
			select {
			case r, ok := <-results:
				if !ok {
					open, waiting = false, false
					break
				}
				pending = append(pending, r)
			case <-full.C:
				waiting = false
			}
		}
		full.Stop()
		err := s.cfg.Failures.Do("write what was sent", func() error { return s.write(ctx, pending) })
		trouble.note(ctx, err)
	}
}

func (s *Service) write(ctx context.Context, results []result) error {
	began := time.Now()
	for {
		err := s.q.record(ctx, results)
		if err == nil {
			s.rouse() // for what became owed meanwhile
			return nil
		}
		if time.Since(began) > leaseTime {
			return fmt.Errorf("write what was sent: %w", err)
		}
		time.Sleep(firstWait / 4)
	}
}
