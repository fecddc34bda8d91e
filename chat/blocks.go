package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"parley/accounts"
	"parley/problem"
	"parley/store"
)

// maxBlocks is how many users one user blocks at most.
const maxBlocks = 1000

var (
	errBlocked       = problem.New(problem.Forbidden, "You cannot write to this person.")
	errBlockOneself  = problem.New(problem.Invalid, "You cannot block yourself.")
	errTooManyBlocks = problem.Newf(problem.TooLarge, "You can block %d people at most. Unblock some first.", maxBlocks)
)

// pair is two users, of whom the first did something about the second.
type pair struct {
	User  accounts.UserID `json:"user"`
	Other accounts.UserID `json:"other"`
}

// Block keeps two users apart: no new direct conversation, nothing more in the one there is, and
// the other one adds the user to no group. Blocking twice is blocking once. Errors: ErrNoUser, and
// the codes invalid (oneself), too_large and rate_limited.
func (s *Service) Block(ctx context.Context, me, other accounts.UserID) error {
	return s.changeBlock(ctx, pair{me, other}, func(ctx context.Context, q queries) error {
		isBlocked, err := q.insertBlock(ctx, pair{me, other}, maxBlocks)
		if err == nil && !isBlocked {
			return errTooManyBlocks
		}
		return err
	})
}

// Unblock ends a block, if there is one. The other side's block stays. Errors: as of Block.
func (s *Service) Unblock(ctx context.Context, me, other accounts.UserID) error {
	return s.changeBlock(ctx, pair{me, other}, func(ctx context.Context, q queries) error {
		return q.deleteBlock(ctx, pair{me, other})
	})
}

// changeBlock runs write between the locks that order it among other changes: of the two users,
// then of their conversation. Sending and opening a conversation are decided under one of them;
// adding to a group is not, and an addition under way at that moment comes before the block.
func (s *Service) changeBlock(ctx context.Context, p pair, write func(context.Context, queries) error) error {
	if p.User == p.Other {
		return errBlockOneself
	}
	if err := s.budget.blocks.Take(p.User, 1); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // nothing stops halfway because the client is gone
	err := s.cfg.DB.InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		q := s.q.in(tx)
		found, err := q.lockUsers(ctx, p.User, p.Other)
		if err != nil {
			return fmt.Errorf("lock two users: %w", err)
		}
		if !slices.Contains(found, p.Other) {
			return accounts.ErrNoUser
		}
		if err := write(ctx, q); err != nil {
			return fmt.Errorf("change a block: %w", err)
		}
		if err := q.markBlocked(ctx, p); err != nil {
			return fmt.Errorf("mark a direct conversation: %w", err)
		}
		return nil
	})
	if err != nil && !store.Transient(err) {
		return err
	}
	// Also when only the commit's answer was lost: the views are read from the database.
	s.blocks.Tell(p, struct{}{})
	s.showBlock(ctx, p)
	s.acquaintanceChanged(p.User, p.Other)
	if err != nil {
		return errUncertain.Because(err)
	}
	return nil
}

// blockEvent tells a user's connections whom the user blocks.
type blockEvent struct {
	UserID  accounts.UserID `json:"user_id"`
	Blocked bool            `json:"blocked"`
}

// showBlock shows the user's connections whether the other one is blocked, and both sides their
// direct conversation. The other side gets nothing that names the block.
func (s *Service) showBlock(ctx context.Context, p pair) {
	isBlocked, err := s.q.blocks(ctx, p)
	if err != nil {
		s.cfg.Logger.Warn("showing a block", "err", err)
		return
	}
	if s.byUser.Any(p.User) {
		s.byUser.Publish(p.User, s.event("block", blockEvent{p.Other, isBlocked}))
	}
	d, found, err := s.q.direct(ctx, p.User, p.Other)
	if err == nil && found {
		var views []Conversation
		views, err = s.q.conversationFor(ctx, d.id, []accounts.UserID{p.User, p.Other})
		for _, view := range views {
			s.byUser.Publish(view.user, s.event("conversation", view))
		}
	}
	if err != nil {
		s.cfg.Logger.Warn("showing a direct conversation", "err", err)
	}
}

func (s *Service) acquaintanceChanged(a, b accounts.UserID) {
	if s.cfg.OnAcquaintanceChanged != nil {
		s.cfg.OnAcquaintanceChanged(a, b)
	}
}

// Blocked gives the users whom the user blocks, by username.
func (s *Service) Blocked(ctx context.Context, me accounts.UserID) ([]accounts.User, error) {
	list, err := s.q.blockedUsers(ctx, me, maxBlocks)
	if err != nil {
		return nil, fmt.Errorf("list blocked users: %w", err)
	}
	return list, nil
}

// Accept notes that the user wants the direct conversation that the other side opened. Of a group,
// and a second time, it changes nothing. Errors: ErrNotMember.
func (s *Service) Accept(ctx context.Context, me accounts.UserID, id ConversationID) error {
	isMember, isNew, err := s.q.accept(ctx, id, me)
	if err != nil {
		return fmt.Errorf("accept a conversation: %w", err)
	}
	if !isMember {
		return ErrNotMember
	}
	if isNew {
		s.showAccepted(ctx, mine{me, id})
	}
	return nil
}

// showAccepted shows a user's connections a conversation that the user accepted.
func (s *Service) showAccepted(ctx context.Context, m mine) {
	if !s.cfg.Acceptance {
		return // it looks the same as before
	}
	s.settings.Tell(m, struct{}{})
	view, err := s.Conversation(ctx, m.User, m.Conversation)
	if err != nil {
		if !errors.Is(err, ErrNotMember) {
			s.cfg.Logger.Warn("showing an accepted conversation", "conversation_id", m.Conversation, "err", err)
		}
		return
	}
	s.byUser.Publish(m.User, s.event("conversation", view))
	for _, member := range view.Members {
		if member.UserID != m.User {
			s.showNewlyVisible(ctx, m, member.UserID)
		}
	}
}

// showNewlyVisible shows the other side a direct conversation that the user accepted: its clients
// watch the user's presence again on that event, because their earlier watch was refused.
func (s *Service) showNewlyVisible(ctx context.Context, m mine, other accounts.UserID) {
	s.settings.Tell(mine{other, m.Conversation}, struct{}{})
	s.showSettings(ctx, mine{other, m.Conversation})
	s.acquaintanceChanged(m.User, other)
}

// GroupAdds is who may add a user to a group without that user doing anything.
type GroupAdds string

// The policies. Whatever the policy, a blocked user does not add the user who blocks.
const (
	GroupAddsAnyone   GroupAdds = "anyone"
	GroupAddsContacts GroupAdds = "contacts" // with whom the user shares a direct conversation and accepted it
	GroupAddsAdmins   GroupAdds = "admins"   // the server's
)

// checkAdds refuses to add users to a group whom me may not add. named is the list in the request
// by which the refusal names them.
func (s *Service) checkAdds(ctx context.Context, q queries, me accounts.UserID, field string, named, added []accounts.UserID) error {
	if len(added) == 0 {
		return nil
	}
	refused, err := q.refusedAdds(ctx, me, added, s.cfg.GroupAdds)
	if err != nil {
		return fmt.Errorf("find who may not be added: %w", err)
	}
	if len(refused) == 0 {
		return nil
	}
	p := problem.New(problem.Forbidden, "You can't add some of these people. Remove them from the list, or write to them first.")
	if s.cfg.GroupAdds == GroupAddsAdmins {
		p = problem.New(problem.Forbidden, "On this server, only admins add people to groups.")
	}
	for _, u := range refused {
		p.Fields = append(p.Fields, problem.Field{
			Location: fmt.Sprintf("body.%s[%d]", field, slices.Index(named, u.id)),
			Message:  "You cannot add " + u.name + ".",
		})
	}
	return p
}
