package chat

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"parley/accounts"
	"parley/hub"
	"parley/store"
)

// Conversation is a conversation as one of its members sees it.
type Conversation struct {
	ID           ConversationID `json:"id"`
	Kind         string         `json:"kind" enum:"direct,group"`
	Title        string         `json:"title" doc:"Empty for direct conversations: they are named after the other side"`
	LastSeq      Seq            `json:"last_seq"`
	LastEntryAt  time.Time      `json:"last_entry_at"`
	Members      []Member       `json:"members" doc:"Direct: both; group: the first few"`
	MemberCount  int            `json:"member_count"`
	Unread       int            `json:"unread" doc:"Messages of others after read_seq"`
	DeliveredSeq Seq            `json:"delivered_seq" doc:"The caller's own"`
	ReadSeq      Seq            `json:"read_seq" doc:"The caller's own"`
	LastMessage  *Message       `json:"last_message" doc:"null while nothing was said"`
}

// Member is somebody in a conversation.
type Member struct {
	UserID      accounts.UserID `json:"user_id"`
	Role        string          `json:"role" enum:"owner,admin,member"`
	Username    string          `json:"username"`
	DisplayName string          `json:"display_name"`
}

// OpenDirect gives the direct conversation of two people and makes it if there is none;
// also when both do so at once there is exactly one. Errors: ErrWithOneself, ErrNoUser.
func (s *Service) OpenDirect(ctx context.Context, me, other accounts.UserID) (Conversation, error) {
	if me == other {
		return Conversation{}, ErrWithOneself
	}
	id, found, err := s.q.direct(ctx, me, other)
	if err != nil {
		return Conversation{}, fmt.Errorf("find a direct conversation: %w", err)
	}
	if !found {
		// From here on nothing stops halfway because who asked is gone.
		ctx = context.WithoutCancel(ctx)
		if id, err = s.createDirect(ctx, me, other); err != nil {
			return Conversation{}, err
		}
	}
	c, err := s.Conversation(ctx, me, id)
	if err == nil {
		s.announce(ctx, id, c.LastSeq, me, other)
	}
	return c, err
}

func (s *Service) createDirect(ctx context.Context, me, other accounts.UserID) (ConversationID, error) {
	id := store.NewID[Conversation]()
	err := s.cfg.DB.InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		q := queries{tx}
		if active, err := q.isActiveUser(ctx, other); err != nil {
			return fmt.Errorf("find a person: %w", err)
		} else if !active {
			return ErrNoUser
		}
		made, err := q.insertDirect(ctx, id, me, other)
		if err != nil {
			return fmt.Errorf("create a direct conversation: %w", err)
		}
		if !made {
			if id, _, err = q.direct(ctx, me, other); err != nil {
				return fmt.Errorf("find the direct conversation made meanwhile: %w", err)
			}
			return nil
		}
		// Before anybody can see the conversation: who does starts behind its first entry,
		// which others are still to get.
		s.gates.watch(id, 0)
		pair := []accounts.UserID{me, other}
		if err := q.insertMembers(ctx, id, pair); err != nil {
			return fmt.Errorf("add the members: %w", err)
		}
		if err := q.insertCreated(ctx, id, me, Detail{UserIDs: pair}); err != nil {
			return fmt.Errorf("begin the log: %w", err)
		}
		return nil
	})
	if store.Transient(err) {
		// The commit may have happened and only its answer been lost.
		if known, found, lookup := s.q.direct(ctx, me, other); lookup == nil && found {
			return known, nil
		}
	}
	return id, err
}

// announce subscribes those connections of its members to a conversation that are not,
// tells them of it and delivers its first entry. They are all, if it is new; and if it is
// not, those that were not told because the answer to its commit was lost.
func (s *Service) announce(ctx context.Context, id ConversationID, last Seq, members ...accounts.UserID) {
	ctx = context.WithoutCancel(ctx) // the others are to know in any case
	for _, user := range members {
		conns := slices.DeleteFunc(s.byUser.Conns(user), func(c *hub.Conn) bool { return s.byConv.Has(id, c) })
		if len(conns) == 0 {
			continue
		}
		// Subscribed first: what is committed after the conversation was read arrives live.
		for _, conn := range conns {
			s.byConv.Join(conn, id)
		}
		s.gates.watch(id, last)
		c, err := s.Conversation(ctx, user, id)
		if err != nil {
			s.cfg.Logger.Warn("announcing a conversation", "conversation_id", id, "user_id", user, "err", err)
			continue
		}
		event := hub.EncodeEvent("conversation", c)
		for _, conn := range conns {
			conn.Send(event)
		}
	}
	s.gates.reach(id, last)
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
