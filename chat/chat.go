// Package chat owns conversations, their members and their log, and delivers the log's
// entries live.
//
// It promises: an acknowledged message is stored durably, exactly once, at one place in
// its conversation; every member's connections get every entry once, in the order of
// seq. It does not read history for people (history), nor keep track of who has read
// what (receipts).
package chat

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"parley/accounts"
	"parley/failures"
	"parley/hub"
	"parley/problem"
	"parley/store"
)

// The refusals of this package.
var (
	// ErrNotMember is also the answer for a conversation that does not exist: who is
	// not in it learns nothing about it.
	ErrNotMember        = problem.New(problem.NotFound, "There is no such conversation, or you are not in it.")
	ErrClientID         = problem.New(problem.Conflict, "This client_id already names another message in this conversation.")
	ErrNoMessage        = problem.New(problem.NotFound, "There is no such message.")
	ErrNotAllowed       = problem.New(problem.Forbidden, "This is somebody else's message.")
	ErrDeleted          = problem.New(problem.Conflict, "The message was deleted.")
	ErrNoReplied        = problem.New(problem.Invalid, "The message replied to does not exist in this conversation.")
	errTooOften         = problem.New(problem.TooLarge, "You have changed this message too often; write another one.")
	errTooManyReactions = problem.Newf(problem.TooLarge, "One person puts %d different emoji to a message at most.", maxReactions)
	errClosed           = problem.New(problem.Forbidden, "This account was deleted. You can't send messages here any more.")
	ErrNoUser           = problem.New(problem.NotFound, "There is no such person.")
	ErrWithOneself      = problem.New(problem.Invalid, "A direct conversation needs somebody else.")
	ErrOverloaded       = &problem.Error{Code: problem.Unavailable, Detail: "The server has more to store than it can; nothing was stored. Try again.", RetryAfter: time.Second}
	ErrUnknown          = &problem.Error{Code: problem.Unavailable, Detail: "The message could not be stored for certain. Try again with the same client_id: it will be stored once.", RetryAfter: time.Second}
	errStopped          = &problem.Error{Code: problem.Unavailable, Detail: "The server is going away; try again in a moment.", RetryAfter: time.Second}
)

// The limits of a message: of its text in bytes, and of how many people it mentions.
const (
	MaxBody     = 16 << 10
	MaxMentions = 50
)

// Config is what the Service needs.
type Config struct {
	DB     *store.DB
	Bus    *store.Bus // nil: no other replica serves the database
	Hub    *hub.Hub
	Logger *slog.Logger
	// MaxMembers is how many members a group may have; 0: 500.
	MaxMembers int
	// RateLimits bounds what each user sends, changes, begins and whom they add.
	RateLimits bool
	// Person gives what others see of somebody.
	Person func(context.Context, accounts.UserID) (accounts.User, error)
	// Sent, if set, is told of every message after its commit: sending counts as
	// having read, and who does not get it is owed a notification. Of a repeat it is told
	// again. It must not block.
	Sent func(ConversationID, accounts.UserID, Seq)
	// OnMemberLeft, if set, is called after a membership of a group ended: what waited for that
	// member waits no longer. It must not block.
	OnMemberLeft func(ConversationID)
	// OnLimit, if set, is called for each refusal by a budget, with its name. It must not block.
	OnLimit func(name string, user accounts.UserID)
	// Acceptance asks a member to accept a direct conversation that the other side opened.
	Acceptance bool
	// GroupAdds is who may add a user to a group; empty: GroupAddsAnyone.
	GroupAdds GroupAdds
	// OnAcquaintanceChanged, if set, is called when one of two users blocked the other or ended
	// that, or accepted their conversation. It must not block.
	OnAcquaintanceChanged func(a, b accounts.UserID)
	// Failures counts panics and entries that cannot be encoded.
	Failures *failures.Log
}

// Service is the chat of this process.
type Service struct {
	cfg    Config
	q      queries
	budget budgets
	w      queries // by the connections that are for what is stored
	byUser *hub.Topics[accounts.UserID]
	byConv *hub.Topics[ConversationID]
	gates  gates
	faces  *store.Topic[ConversationID, struct{}] // whose looks changed without an entry
	// settings are the views of conversations that their owners changed for themselves.
	settings *store.Topic[mine, struct{}]
	// reveals are hidden direct conversations that their other side opened.
	reveals *store.Topic[mine, struct{}]
	// blocks are the pairs of which the first blocked the second, or ended that.
	blocks *store.Topic[pair, struct{}]
	// profiles are the people whose names or roles changed.
	profiles *store.Topic[accounts.UserID, struct{}]
	writers  []*writer
	errands  chan func(context.Context)
}

// maxErrands is how much of what replicas tell waits to be told to clients, where that needs
// the database. What comes beyond is left out.
const maxErrands = 1000

// errand has something done outside the order of the log. It does not block.
func (s *Service) errand(do func(context.Context)) {
	select {
	case s.errands <- do:
	default:
	}
}

// runErrands does errands until ctx ends.
func (s *Service) runErrands(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case do := <-s.errands:
			_ = s.cfg.Failures.Do("background task", func() error { do(ctx); return nil }) // counted
		}
	}
}

// writerCount is how many batches are committed at a time; docs/ARCHITECTURE.md says why.
const writerCount = 2

// New makes a Service. It must be made before the hub serves.
func New(cfg Config) *Service {
	if cfg.MaxMembers == 0 {
		cfg.MaxMembers = defaultMaxMembers
	}
	s := &Service{
		cfg:     cfg,
		q:       queries{cfg.DB, cfg.Acceptance},
		w:       queries{cfg.DB.Writer(), cfg.Acceptance},
		byUser:  hub.NewTopics[accounts.UserID](cfg.Hub),
		byConv:  hub.NewTopics[ConversationID](cfg.Hub),
		errands: make(chan func(context.Context), maxErrands),
	}
	if cfg.RateLimits {
		s.budget = newBudgets(cfg.OnLimit)
	}
	s.gates.init(s)
	s.profiles = store.NewTopic(cfg.Bus, "profile", store.Same, func(user accounts.UserID, _ struct{}) {
		s.errand(func(ctx context.Context) { s.showProfile(ctx, user) })
	})
	s.faces = store.NewTopic(cfg.Bus, "face", store.Same, func(id ConversationID, _ struct{}) {
		s.errand(func(ctx context.Context) { s.showAgain(ctx, id) })
	})
	s.settings = store.NewTopic(cfg.Bus, "settings", store.Same, func(m mine, _ struct{}) {
		if s.byUser.Any(m.User) {
			s.errand(func(ctx context.Context) { s.showSettings(ctx, m) })
		}
	})
	s.blocks = store.NewTopic(cfg.Bus, "block", store.Same, func(p pair, _ struct{}) {
		if s.byUser.Any(p.User) || s.byUser.Any(p.Other) {
			s.errand(func(ctx context.Context) { s.showBlock(ctx, p) })
		}
	})
	s.reveals = store.NewTopic(cfg.Bus, "reveal", store.Same, func(m mine, _ struct{}) {
		if s.byUser.Any(m.User) {
			nudge(s.gates.admit)
		}
	})
	for range writerCount {
		s.writers = append(s.writers, newWriter(s))
	}
	cfg.Hub.OnOpen(s.subscribe)
	return s
}

// Run commits what is sent and mends what delivery missed. When ctx ends it refuses new
// messages, commits those already taken, and returns.
func (s *Service) Run(ctx context.Context) error {
	var writers sync.WaitGroup
	for _, w := range s.writers {
		writers.Go(func() { w.run(ctx) })
	}
	// The gates go last: the writers deliver what they commit at the end.
	delivering, stop := context.WithCancel(context.WithoutCancel(ctx))
	go func() { writers.Wait(); stop() }()
	var errands sync.WaitGroup
	errands.Go(func() { s.runErrands(delivering) })
	errands.Go(func() { s.cfg.Failures.Loop(ctx, "hand over groups", s.sweepOwnerships) })
	s.gates.run(delivering)
	errands.Wait()
	return nil
}

// event encodes an event; nil, of which nothing is sent, if JSON cannot express it.
func (s *Service) event(eventType string, data any) []byte {
	frame, err := hub.EncodeEvent(eventType, data)
	if err != nil {
		s.cfg.Failures.Report("encode the event "+eventType, err)
	}
	return frame
}

// ByConversation is the map of connections interested in a conversation, for packages
// that publish to its members.
func (s *Service) ByConversation() *hub.Topics[ConversationID] { return s.byConv }

// ByUser is the map of a user's connections.
func (s *Service) ByUser() *hub.Topics[accounts.UserID] { return s.byUser }

// subscribe makes a new connection interested in its user's conversations. The user
// comes first: a conversation that the user gets into while the memberships are read is
// then not missed, because its entry lets in all connections of the user.
func (s *Service) subscribe(ctx context.Context, c *hub.Conn) error {
	user := accounts.UserID(c.UserID)
	s.byUser.Join(c, user)
	var again []ConversationID // nil: all of them
	for {
		memberships, err := s.q.memberships(ctx, user, again)
		if err != nil {
			return fmt.Errorf("subscribe a connection: %w", err)
		}
		again = nil
		for _, m := range memberships {
			if !s.gates.join(c, m) {
				again = append(again, m.id)
			}
		}
		if again == nil {
			return nil
		}
	}
}
