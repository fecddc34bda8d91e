package presence

import (
	"context"
	"fmt"
	"time"

	"parley/accounts"
	"parley/hub"
)

const (
	// blockOverlap is how long a block is looked for whose hint may have been lost.
	blockOverlap = 5 * time.Minute
	// maxRecentBlocks is how many of them one sweep looks at.
	maxRecentBlocks = 5000
)

// AcquaintanceChanged notes that two users may see each other's presence no more, or from now on.
// The watchers among them are notified here and on the other replicas. It does not block.
func (s *Service) AcquaintanceChanged(a, b accounts.UserID) {
	s.pairs.Tell(pair{a, b}, struct{}{})
	s.recheck(pair{a, b})
}

// pair is two users.
type pair struct {
	A accounts.UserID `json:"a"`
	B accounts.UserID `json:"b"`
}

// recheck looks again at what two users may know of each other, here. What one was last said to
// type is forgotten, so that the next typing.start is decided anew.
func (s *Service) recheck(p pair) {
	s.mu.Lock()
	s.doubted[watch{p.A, p.B}], s.doubted[watch{p.B, p.A}] = struct{}{}, struct{}{}
	for t := range s.typing {
		if t.UserID == p.A || t.UserID == p.B {
			delete(s.typing, t)
		}
	}
	s.mu.Unlock()
	s.rouse()
}

// sweepBlocks rechecks the pairs of recent blocks whose users are watched here: their hint may have
// been lost. A connection that was told already watches no more, so that it is told once.
func (s *Service) sweepBlocks(ctx context.Context) error {
	recent, err := s.q.recentBlocks(ctx, maxRecentBlocks)
	if err != nil {
		return fmt.Errorf("look for recent blocks: %w", err)
	}
	s.mu.Lock()
	before := len(s.doubted)
	for _, w := range recent {
		if s.watchers.Any(w.watcher) || s.watchers.Any(w.watched) {
			s.doubted[watch{w.watcher, w.watched}], s.doubted[watch{w.watched, w.watcher}] = struct{}{}, struct{}{}
		}
	}
	added := len(s.doubted) > before
	s.mu.Unlock()
	if added {
		s.rouse()
	}
	return nil
}

// withdraw tells the connections of a doubted watch, where it may not be seen, that the user is
// away, and ends the watch: later changes would tell when they happen. telling is held.
func (s *Service) withdraw(w watch, conns []*hub.Conn) {
	var frame []byte
	for _, c := range conns {
		if frame == nil {
			frame = s.event("presence", State{UserID: w.watched})
		}
		s.watchers.Leave(c, w.watched)
		c.Send(frame)
		if _, waits := s.overtaken[c]; waits {
			s.overtaken[c] = true
		}
	}
}
