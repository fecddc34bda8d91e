// Package history reads the log: pages for people, the raw entries for catching up, and
// the sync of a client that was away. It writes nothing. Who may read what is decided in
// the statements that read: a member reads the interval of their membership.
package history

import (
	"context"
	"fmt"

	"parley/accounts"
	"parley/budget"
	"parley/chat"
	"parley/store"

	"github.com/google/uuid"
)

// Config is what the Service needs.
type Config struct {
	DB    *store.DB
	Chat  *chat.Service
	Epoch uuid.UUID
	// Reads bounds what each user reads at a time; nil: nothing does.
	Reads *budget.Turns[accounts.UserID]
}

// Service reads the logs.
type Service struct {
	cfg Config
	q   queries
	// conversations reads those of the ids that the user is a member of; a test counts them.
	conversations func(ctx context.Context, me accounts.UserID, ids []chat.ConversationID) ([]chat.Conversation, error)
}

// New makes a Service.
func New(cfg Config) *Service {
	return &Service{cfg: cfg, q: queries{cfg.DB}, conversations: cfg.Chat.Conversations}
}

// Page is a stretch of a conversation, ascending by seq.
type Page struct {
	Messages  []chat.Message `json:"messages"`
	HasBefore bool           `json:"has_before" doc:"There is something before the first message"`
	HasAfter  bool           `json:"has_after" doc:"There is something after the last message"`
	LastSeq   chat.Seq       `json:"last_seq" doc:"What happened up to this seq is in the page, where it reaches the end"`
}

// Bound says how the seq of a Range limits the page.
type Bound int

// The bounds. Before and After do not include the seq, Around does.
const (
	Newest Bound = iota // the seq does not matter
	Before
	After
	Around
)

// Range says which page. Limit is 1 to 100.
type Range struct {
	Bound Bound
	Seq   chat.Seq
	Limit int
}

// Page reads a page by seq: an index range, however long the conversation is. Errors:
// chat.ErrNotMember.
func (s *Service) Page(ctx context.Context, me accounts.UserID, id chat.ConversationID, r Range) (Page, error) {
	var (
		v    view
		list []chat.Message
		err  error
	)
	switch r.Bound {
	case After:
		v, list, err = s.q.pageUp(ctx, me, id, r.Seq, r.Limit)
	case Around:
		v, list, err = s.q.pageAround(ctx, me, id, r.Seq, r.Limit)
	case Before:
		v, list, err = s.q.pageDown(ctx, me, id, r.Seq, r.Limit)
	default:
		v, list, err = s.q.pageDown(ctx, me, id, maxSeq, r.Limit)
	}
	if err != nil {
		return Page{}, fmt.Errorf("read a page: %w", err)
	}
	if !v.member {
		return Page{}, chat.ErrNotMember
	}
	if list == nil {
		list = []chat.Message{} // a list in JSON, not null
	}
	p := Page{Messages: list, LastSeq: v.last}
	if n := len(list); n > 0 {
		p.HasBefore = list[0].Seq > v.first
		p.HasAfter = list[n-1].Seq < v.shown
	} else {
		// Nothing in that direction: all there is lies in the other one.
		p.HasBefore = r.Bound == After || r.Bound == Around
		p.HasAfter = r.Bound == Before
	}
	return p, nil
}

// Entries reads up to limit entries of the log after a seq, and how far it reaches for
// this member. Errors: chat.ErrNotMember.
func (s *Service) Entries(ctx context.Context, me accounts.UserID, id chat.ConversationID, after chat.Seq, limit int) ([]chat.Entry, chat.Seq, error) {
	v, entries, err := s.q.log(ctx, me, id, after, limit)
	if err != nil {
		return nil, 0, fmt.Errorf("read the log: %w", err)
	}
	if !v.member {
		return nil, 0, chat.ErrNotMember
	}
	if entries == nil {
		entries = []chat.Entry{} // a list in JSON, not null
	}
	return entries, v.last, nil
}
