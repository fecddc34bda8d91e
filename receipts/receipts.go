// Package receipts owns the watermarks: up to which entry a member's devices have a
// conversation (delivered), and up to which the member has read it. It promises that a
// mark never goes back. Marks are gathered in memory, the highest wins, and written a
// few times a second in one batch. What a crash forgets, clients say again, and a sweep derives
// the rest from the log and the members: that who sends has read, and what every member has.
package receipts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"parley/accounts"
	"parley/chat"
	"parley/failures"
	"parley/hub"
	"parley/store"
)

// Config is what the Service needs.
type Config struct {
	DB             *store.DB
	Bus            *store.Bus // nil: no other replica serves the database
	Logger         *slog.Logger
	ByConversation *hub.Topics[chat.ConversationID]
	ByUser         *hub.Topics[accounts.UserID]
	// Acceptance tells what a member read in a direct conversation only once that member accepted it.
	Acceptance bool
	// Failures counts panics and events that cannot be encoded.
	Failures *failures.Log
}

// Service keeps the marks.
type Service struct {
	cfg  Config
	q    queries
	news *store.Topic[audience, told] // to and from the other replicas
	wake chan struct{}                // holds one when there is something to write, or to look for

	mu      sync.Mutex // guards what follows
	pending map[owner]marks
	missed  time.Time // since when others' marks may have been missed; zero: none were

	unsure bool // the last write may have been done, and nobody told; flush alone touches it
}

// owner is a member of a conversation; without a user, the conversation as such.
type owner struct {
	conversation chat.ConversationID
	user         accounts.UserID
}

// marks are seqs; read implies delivered.
type marks struct{ delivered, read chat.Seq }

const (
	// flushEvery is the shortest time between two writes. The first mark after a quiet
	// while is written at once.
	flushEvery = 200 * time.Millisecond
	// flushRows is how many marks one statement writes.
	flushRows    = 1000
	flushTimeout = 5 * time.Second
)

// New makes a Service.
func New(cfg Config) *Service {
	s := &Service{cfg: cfg, q: queries{cfg.DB, cfg.Acceptance}, wake: make(chan struct{}, 1), pending: make(map[owner]marks)}
	s.news = store.NewTopic(cfg.Bus, "receipt", told.merge, s.hear)
	cfg.Bus.OnMissed(s.miss)
	return s
}

// Delivered notes that a device of the user has the conversation up to seq.
func (s *Service) Delivered(id chat.ConversationID, user accounts.UserID, seq chat.Seq) {
	s.raise(owner{id, user}, marks{delivered: seq})
}

// Read notes that the user has read the conversation up to seq. A message of one's own
// counts as read.
func (s *Service) Read(id chat.ConversationID, user accounts.UserID, seq chat.Seq) {
	s.raise(owner{id, user}, marks{seq, seq})
}

func (s *Service) raise(o owner, m marks) {
	s.mu.Lock()
	have := s.pending[o]
	s.pending[o] = marks{max(have.delivered, m.delivered), max(have.read, m.read)}
	s.mu.Unlock()
	s.rouse()
}

// MembersChanged notes that a group has a member less: what the others have may be what every
// member has by now. It does not block.
func (s *Service) MembersChanged(id chat.ConversationID) { s.raise(owner{conversation: id}, marks{}) }

// AccessChanged notes the same for the groups that a user holds back who may have been disabled.
func (s *Service) AccessChanged(ctx context.Context, user accounts.UserID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	groups, err := s.q.heldBackBy(ctx, user)
	if err != nil {
		s.cfg.Logger.Warn("finding the groups that a user holds back; the next sweep tries again", "user_id", user, "err", err)
	}
	for _, id := range groups {
		s.MembersChanged(id)
	}
}

// rouse makes Run write soon.
func (s *Service) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run writes marks until ctx ends, and what is left then. Beside that it sweeps for what a
// crash forgot.
func (s *Service) Run(ctx context.Context) error {
	var sweeping sync.WaitGroup
	sweeping.Go(func() { s.cfg.Failures.Loop(ctx, "sweep for lost receipts", s.sweep) })
	defer sweeping.Wait()
	failing := false
	for {
		select {
		case <-ctx.Done():
			// Its own deadline: the caller's context is over.
			return s.cfg.Failures.Do("write receipts", func() error { return s.flush(context.WithoutCancel(ctx)) })
		case <-s.wake:
		}
		err := errors.Join(
			s.cfg.Failures.Do("write receipts", func() error { return s.flush(ctx) }),
			s.cfg.Failures.Do("find missed receipts", func() error { return s.findMissed(ctx) }))
		if failing != (err != nil) && ctx.Err() == nil { // an outage is two lines, not five a second
			if failing = err != nil; failing {
				s.cfg.Logger.Warn("writing receipts fails; trying again", "err", err)
			} else {
				s.cfg.Logger.Info("writing receipts works again")
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(flushEvery):
		}
	}
}

// flush writes what is pending, and tells whom it concerns. What could not be written is
// pending again.
func (s *Service) flush(ctx context.Context) error {
	s.mu.Lock()
	taken := s.pending
	s.pending = make(map[owner]marks)
	s.mu.Unlock()
	// In one order everywhere: replicas that write the same rows do not deadlock.
	owners := make([]owner, 0, len(taken))
	for o := range taken {
		owners = append(owners, o)
	}
	slices.SortFunc(owners, func(a, b owner) int {
		if c := bytes.Compare(a.conversation[:], b.conversation[:]); c != 0 {
			return c
		}
		return bytes.Compare(a.user[:], b.user[:])
	})
	defer func() { // what is not written by now, also if a write panicked
		for _, o := range owners {
			s.unsure = true
			s.raise(o, taken[o])
		}
	}()
	for len(owners) > 0 {
		n := min(flushRows, len(owners))
		if err := s.write(ctx, owners[:n], taken); err != nil {
			return err
		}
		owners = owners[n:]
	}
	s.unsure = false
	return nil
}

func (s *Service) write(ctx context.Context, rows []owner, taken map[owner]marks) error {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	moved, risen, err := s.q.raise(ctx, rows, taken, s.unsure)
	if err != nil {
		return fmt.Errorf("write receipts: %w", err)
	}
	s.tell(moved, risen, s.publish)
	return nil
}
