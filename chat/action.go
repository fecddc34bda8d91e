package chat

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"parley/accounts"
	"parley/text"
)

// Action is something done to a message. It becomes an entry of its own; what it does to
// the message is seen by folding (Message).
type Action struct {
	Kind           Kind // KindEdit, KindDelete, KindReactionAdded or KindReactionRemoved
	ConversationID ConversationID
	SenderID       accounts.UserID
	ClientID       uuid.UUID // the idempotency key, as for a message; may be left out (uuid.Nil)
	TargetSeq      Seq       // the message
	Body           string    // the new text; only of an edit
	Mentions       []accounts.UserID
	Emoji          string // only of a reaction; in any form
}

// What one person may do to one message at most: different emoji at a time; edits; and
// reactions added and taken back in all. Each is an entry, and whoever reads the message
// passes over them.
const (
	maxReactions = 20
	maxEdits     = 100
	maxToggles   = 200
)

func (a Action) check() error {
	switch {
	case a.ConversationID.IsZero():
		return invalid("conversation_id", "is missing")
	case a.TargetSeq < 1:
		return invalid("seq", "is not that of a message")
	case a.Kind == KindEdit:
		return checkText(a.Body, a.Mentions)
	case a.Kind == KindReactionAdded && !text.IsEmoji(a.Emoji), a.Kind == KindReactionRemoved && !text.WasEmoji(a.Emoji):
		return invalid("emoji", "is not an emoji")
	}
	return nil
}

// Act does something to a message and gives the entry it became. All of it can be repeated:
// the same client_id gives the entry of the first time, and what is so already gives the
// entry that made it so (the message itself, for a reaction that never was).
//
// An author edits and deletes their own messages; in a group, owners and admins delete
// anybody's. What is deleted stays so: an edit or a reaction that comes later is refused.
// Errors: ErrNotMember, ErrNoMessage, ErrNotAllowed, ErrDeleted, ErrClientID, ErrUnknown
// (do it again), and the codes invalid, too_large and rate_limited.
func (s *Service) Act(ctx context.Context, a Action) (Sent, error) {
	a.Emoji = text.CanonicalEmoji(a.Emoji)
	if err := a.check(); err != nil {
		return Sent{}, err
	}
	if err := s.budget.takeAction(a); err != nil {
		return Sent{}, err
	}
	r, err := s.act(ctx, a)
	if err != nil {
		return Sent{}, err
	}
	if err := r.outcome.err(); err != nil {
		return Sent{}, err
	}
	if r.outcome == stored {
		e := Entry{
			ConversationID: a.ConversationID, Seq: r.seq, Kind: a.Kind, SenderID: a.SenderID, ClientID: a.ClientID,
			CreatedAt: r.at, TargetSeq: a.TargetSeq, Body: a.Body, Emoji: a.Emoji,
		}
		if r.detail != nil {
			e.Detail = *r.detail
		}
		s.gates.deliver(e, s.gates.encode(e))
	} else {
		// Perhaps stored by an attempt whose answer was lost, and nobody was told.
		s.gates.news.Tell(a.ConversationID, hint{Seq: r.seq})
		s.gates.hint(a.ConversationID, r.seq)
	}
	return Sent{a.ConversationID, r.seq, a.ClientID, r.at, r.outcome == repeated}, nil
}

// act tries until the outcome is known, as long as a message would. It goes around the
// queue of the conversation's writer: an action is rare beside messages, and its one round
// trip holds the row of its conversation no longer than theirs.
func (s *Service) act(ctx context.Context, a Action) (result, error) {
	ctx = context.WithoutCancel(ctx) // what was begun is finished
	since := time.Now()
	w := s.writerOf(a.ConversationID)
	if !w.enter() {
		return result{}, ErrOverloaded
	}
	defer w.exit()
	for ; ; retryPause() {
		one, cancel := context.WithTimeout(ctx, attemptTimeout)
		r, err := s.w.act(one, a)
		cancel()
		if err == nil {
			return r, nil
		}
		if refused(err) {
			return r, fmt.Errorf("store an action: %w", err)
		}
		s.gates.doubt()
		if time.Since(since) >= patience {
			return r, ErrUnknown.Because(err)
		}
	}
}

// enter waits for the turn of an action or a change of a group among those of its writer's
// conversations, no longer than patience. They wait here and not inside PostgreSQL for each
// other's row lock: there every one of them would hold a connection of the pool.
func (w *writer) enter() bool {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case w.acting <- struct{}{}:
		return true
	case <-late.C:
		return false
	}
}

func (w *writer) exit() { <-w.acting }
