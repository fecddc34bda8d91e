package chat

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"parley/accounts"
	"parley/hub"
	"parley/problem"
	"parley/store"
)

const (
	defaultMaxMembers = 500
	// maxTitle is how many characters a group's title has at most.
	maxTitle = 200
)

var (
	errManagersOnly = problem.New(problem.Forbidden, "Only the owners and admins of the group may do this.")
	errOwnersOnly   = problem.New(problem.Forbidden, "Only the owners of the group may do this.")
	errGroupKey     = problem.New(problem.Conflict, "This client_id already names a group of yours with another title or other members.")
)

// CreateGroup makes a group of the user, who becomes its owner, and of others. Errors:
// ErrNoUser, and the codes invalid (the title), forbidden (a user may not be added), too_large and
// rate_limited.
func (s *Service) CreateGroup(ctx context.Context, me accounts.UserID, title string, others []accounts.UserID) (Conversation, error) {
	return s.CreateGroupOnce(ctx, me, uuid.Nil, title, others)
}

// CreateGroupOnce is CreateGroup with an idempotency key, kept forever: a repeat gives the group
// that the first request made, as it is by then. Errors: also conflict, for a key that the user
// created another group with.
func (s *Service) CreateGroupOnce(ctx context.Context, me accounts.UserID, key uuid.UUID, title string, others []accounts.UserID) (Conversation, error) {
	title, err := accounts.CleanLine("title", title, maxTitle)
	if err != nil {
		return Conversation{}, err
	}
	members := []accounts.UserID{me}
	roles := []MemberRole{RoleOwner}
	for _, user := range others {
		if !slices.Contains(members, user) {
			members, roles = append(members, user), append(roles, RoleMember)
		}
	}
	if made, err := s.q.groupByKey(ctx, me, key); err != nil {
		return Conversation{}, fmt.Errorf("find a group by its client_id: %w", err)
	} else if made != nil {
		return s.repeatGroup(ctx, me, *made, title, members)
	}
	if len(members) > s.cfg.MaxMembers {
		return Conversation{}, s.errGroupFull()
	}
	if err := s.budget.takeConversation(me, len(members)-1); err != nil {
		return Conversation{}, err
	}
	ctx = context.WithoutCancel(ctx) // from here on nothing stops halfway because who asked is gone
	id := store.NewID[Conversation]()
	var made *Entry // by a request with the same key
	err = s.cfg.DB.InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		q := s.q.in(tx)
		if err := q.areActive(ctx, members...); err != nil {
			return err
		}
		if err := s.checkAdds(ctx, q, me, "member_ids", others, members[1:]); err != nil {
			return err
		}
		if isNew, err := q.insertGroup(ctx, id, me, key, title); err != nil {
			return fmt.Errorf("create a group: %w", err)
		} else if !isNew {
			if made, err = q.groupByKey(ctx, me, key); err != nil {
				return fmt.Errorf("find the group created meanwhile: %w", err)
			}
			return nil
		}
		return begin(ctx, q, &s.gates, id, members, roles, accounts.UserID{}, Detail{UserIDs: members, Title: title})
	})
	if store.Transient(err) {
		s.gates.doubt() // the commit may have happened and only its answer been lost
		if c, lookup := s.Conversation(ctx, me, id); lookup == nil {
			return c, nil
		}
		return Conversation{}, errUncertain.Because(err)
	}
	if err != nil {
		return Conversation{}, err
	}
	if made != nil {
		return s.repeatGroup(ctx, me, *made, title, members)
	}
	s.gates.deliverFirst(ctx, id)
	return s.Conversation(ctx, me, id)
}

// repeatGroup gives the group whose entry 1 was found by its key, if its content is the same.
// A creator who has left it gets it as a former member.
func (s *Service) repeatGroup(ctx context.Context, me accounts.UserID, created Entry, title string, members []accounts.UserID) (Conversation, error) {
	isSame := created.Title == title && len(created.UserIDs) == len(members)
	for _, user := range members {
		isSame = isSame && slices.Contains(created.UserIDs, user)
	}
	if !isSame {
		return Conversation{}, errGroupKey
	}
	c, err := s.Conversation(ctx, me, created.ConversationID)
	if errors.Is(err, ErrNotMember) {
		return s.Former(ctx, me, created.ConversationID)
	}
	return c, err
}

func (s *Service) errGroupFull() error {
	return problem.Newf(problem.TooLarge, "A group has %d members at most.", s.cfg.MaxMembers)
}

// GroupUpdate is what to change of a group; nil leaves it.
type GroupUpdate struct {
	Title        *string
	ShareHistory *bool
}

// UpdateGroup renames a group (owners and admins) or decides whether those who are added
// from now on see earlier history (owners). Errors: ErrNotMember, and the codes forbidden
// and invalid.
func (s *Service) UpdateGroup(ctx context.Context, me accounts.UserID, id ConversationID, u GroupUpdate) error {
	if u.Title != nil {
		title, err := accounts.CleanLine("title", *u.Title, maxTitle)
		if err != nil {
			return err
		}
		u.Title = &title
	}
	changed := false
	err := s.change(ctx, id, me, func(ctx context.Context, c *change) error {
		switch {
		case !c.manages():
			return errManagersOnly
		case u.ShareHistory != nil && c.role != RoleOwner:
			return errOwnersOnly
		}
		if u.Title != nil && *u.Title != c.title {
			c.title = *u.Title
			c.add(KindTitleChanged, Detail{Title: c.title})
		}
		if u.ShareHistory != nil {
			changed = *u.ShareHistory != c.shareHistory
			c.shareHistory = *u.ShareHistory
		}
		if err := c.updateGroup(ctx, id, c.title, c.shareHistory); err != nil {
			return fmt.Errorf("update a group: %w", err)
		}
		return nil
	})
	if err == nil && changed {
		s.showAgain(context.WithoutCancel(ctx), id)
		s.faces.Tell(id, struct{}{})
	}
	return err
}

// showAgain tells the members who are connected what a conversation looks like now, where
// no entry says what changed.
func (s *Service) showAgain(ctx context.Context, id ConversationID) {
	conns := make(map[accounts.UserID][]*hub.Conn)
	for _, c := range s.byConv.Conns(id) {
		user := accounts.UserID(c.UserID)
		conns[user] = append(conns[user], c)
	}
	faces, err := s.q.conversationFor(ctx, id, slices.Collect(maps.Keys(conns)))
	if err != nil {
		s.cfg.Logger.Warn("showing a conversation again", "conversation_id", id, "err", err)
		return
	}
	for _, face := range faces {
		event := s.event("conversation", face)
		for _, c := range conns[face.user] {
			c.Send(event)
		}
	}
}
