package chat

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"parley/accounts"
	"parley/store"
)

// Conversation is a conversation as one of its members sees it.
type Conversation struct {
	ID           ConversationID `json:"id"`
	Kind         string         `json:"kind" enum:"direct,group"`
	Title        string         `json:"title" doc:"Empty for direct conversations: they are named after the other side"`
	Role         MemberRole     `json:"role,omitempty" enum:"owner,admin,member" doc:"The caller's own; absent of a former member"`
	Former       bool           `json:"former,omitempty" doc:"The caller left the group or was removed: everything is as of then, and members are not named"`
	ShareHistory bool           `json:"share_history" doc:"Of a group: whoever is added sees what was said before"`
	LastSeq      Seq            `json:"last_seq"`
	LastEntryAt  time.Time      `json:"last_entry_at" doc:"When there last was something new to see: actions on a message do not count"`
	Members      []Member       `json:"members" doc:"Direct: both; group: the first few"`
	MemberCount  int            `json:"member_count"`
	Unread       int            `json:"unread" doc:"Messages of others after read_seq that were not deleted"`
	Mentions     int            `json:"unread_mentions" doc:"Those among them that mention the caller"`
	DeliveredSeq Seq            `json:"delivered_seq" doc:"The caller's own"`
	ReadSeq      Seq            `json:"read_seq" doc:"The caller's own"`
	Notify       Notify         `json:"notify" enum:"all,mentions,none" doc:"Of what the caller is told while away"`
	MutedUntil   *time.Time     `json:"muted_until" doc:"Until when the caller is told of nothing; null: not muted"`
	Blocked      bool           `json:"blocked" doc:"Of a direct conversation: one side blocks the other, and neither can write"`
	Accepted     bool           `json:"accepted" doc:"False for a member of a direct conversation who neither opened it, nor wrote in it, nor accepted it, where the server asks for that"`
	Archived     bool           `json:"archived" doc:"The caller archived it, and no entry came since"`

	OthersDeliveredSeq Seq `json:"others_delivered_seq" doc:"Up to where the other side has it; in a group, everybody"`
	OthersReadSeq      Seq `json:"others_read_seq" doc:"Up to where the other side has read it, as far as both tell; 0 in a group"`

	LastMessage *Message `json:"last_message" doc:"null while nothing was said"`

	user accounts.UserID // who sees it so
}

// OpenDirect gives the direct conversation of two people and makes it if there is none;
// also when both do so at once there is exactly one. From the other side it is hidden until
// its first message, or until that side opens it too. Opening accepts. Where one blocks the other,
// there is no new one. Errors: ErrWithOneself, ErrNoUser, and the codes forbidden and rate_limited.
func (s *Service) OpenDirect(ctx context.Context, me, other accounts.UserID) (Conversation, error) {
	if me == other {
		return Conversation{}, ErrWithOneself
	}
	d, found, err := s.q.direct(ctx, me, other)
	if err != nil {
		return Conversation{}, fmt.Errorf("find a direct conversation: %w", err)
	}
	// From here on nothing stops halfway because who asked is gone.
	ctx = context.WithoutCancel(ctx)
	if !found {
		if err := s.budget.takeConversation(me, 1); err != nil {
			return Conversation{}, err
		}
		if d, err = s.createDirect(ctx, me, other); err != nil {
			return Conversation{}, err
		}
	}
	switch {
	case d.hidden && d.blocked:
		return Conversation{}, errBlocked // for this side it would be a new one
	case d.hidden:
		if err := s.reveal(ctx, mine{me, d.id}); err != nil {
			return Conversation{}, err
		}
		s.showNewlyVisible(ctx, mine{me, d.id}, other)
	case !d.accepted:
		if err := s.Accept(ctx, me, d.id); err != nil {
			return Conversation{}, err
		}
	}
	return s.Conversation(ctx, me, d.id)
}

// createDirect gives the new conversation, or the one that the other side made meanwhile.
func (s *Service) createDirect(ctx context.Context, me, other accounts.UserID) (d direct, err error) {
	id := store.NewID[Conversation]()
	err = s.cfg.DB.InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		q := s.q.in(tx)
		// A block of the two comes before all of this, or after it and finds the conversation.
		if err := q.shareUsers(ctx, me, other); err != nil {
			return fmt.Errorf("lock two users: %w", err)
		}
		if err := q.areActive(ctx, me, other); err != nil {
			return err
		}
		if isBlocked, err := q.eitherBlocks(ctx, me, other); err != nil {
			return fmt.Errorf("find a block: %w", err)
		} else if isBlocked {
			return errBlocked
		}
		made, err := q.insertDirect(ctx, id, me, other)
		if err != nil {
			return fmt.Errorf("create a direct conversation: %w", err)
		}
		if !made {
			if d, _, err = q.direct(ctx, me, other); err != nil {
				return fmt.Errorf("find the direct conversation made meanwhile: %w", err)
			}
			return nil
		}
		d = direct{id: id, accepted: true}
		pair := []accounts.UserID{me, other}
		return begin(ctx, q, &s.gates, id, pair, []MemberRole{RoleMember, RoleMember}, other, Detail{UserIDs: pair})
	})
	if store.Transient(err) {
		// The commit may have happened and only its answer been lost.
		s.gates.doubt()
		if known, found, lookup := s.q.direct(ctx, me, other); lookup == nil && found {
			d, err = known, nil
		}
	}
	if err == nil {
		s.gates.deliverFirst(ctx, d.id) // also the other side's, made meanwhile
	}
	return d, err
}

// begin adds the first members and the first entry, by the first of them, to a new
// conversation. It is hidden from the user hidden, if any, until its first message. Its gate is
// there before the commit: members who are connected then get that entry through it, and with
// it everything after.
func begin(ctx context.Context, q queries, g *gates, id ConversationID, members []accounts.UserID, roles []MemberRole, hidden accounts.UserID, d Detail) error {
	g.watch(id, 0)
	if err := q.insertMembers(ctx, id, members, roles, 1, 0, hidden); err != nil {
		return fmt.Errorf("add the members: %w", err)
	}
	if _, err := q.insertEntries(ctx, id, members[0], 1, []Kind{KindCreated}, []Detail{d}); err != nil {
		return fmt.Errorf("begin the log: %w", err)
	}
	return nil
}

// Conversation gives one conversation as its member sees it. Errors: ErrNotMember.
func (s *Service) Conversation(ctx context.Context, me accounts.UserID, id ConversationID) (Conversation, error) {
	list, err := s.q.conversations(ctx, me, []ConversationID{id})
	if err != nil {
		return Conversation{}, fmt.Errorf("read a conversation: %w", err)
	}
	if len(list) == 0 {
		return Conversation{}, ErrNotMember
	}
	return list[0], nil
}

// Conversations gives those of the ids that the user is a member of.
func (s *Service) Conversations(ctx context.Context, me accounts.UserID, ids []ConversationID) ([]Conversation, error) {
	list, err := s.q.conversations(ctx, me, ids)
	if err != nil {
		return nil, fmt.Errorf("read conversations: %w", err)
	}
	return list, nil
}
