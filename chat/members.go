package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"parley/accounts"
	"parley/problem"
)

// Member is somebody in a conversation.
type Member struct {
	UserID      accounts.UserID `json:"user_id"`
	Role        MemberRole      `json:"role" enum:"owner,admin,member"`
	Username    string          `json:"username"`
	DisplayName string          `json:"display_name"`
	Deleted     bool            `json:"deleted,omitempty" doc:"True for a deleted account, whose names are gone"`
}

var (
	errNoMember  = problem.New(problem.NotFound, "There is nobody like that in this group.")
	errLastOwner = problem.New(problem.Conflict, "A group needs an owner: make somebody else one first.")

	errDisabledMember = problem.New(problem.Conflict, "This user is disabled and cannot manage the group. Choose another member.")
)

// Members gives a page of a conversation's members by username, and the cursor of the next
// one, empty at the end. limit is 1 to 100. Errors: ErrNotMember.
func (s *Service) Members(ctx context.Context, me accounts.UserID, id ConversationID, after string, limit int) ([]Member, string, error) {
	list, err := s.q.memberPage(ctx, me, id, after, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list members: %w", err)
	}
	if len(list) == 0 { // past the end, or no business of the caller's
		in, err := s.q.memberships(ctx, me, []ConversationID{id})
		if err != nil {
			return nil, "", fmt.Errorf("list members: %w", err)
		}
		if len(in) == 0 {
			return nil, "", ErrNotMember
		}
		return []Member{}, "", nil
	}
	if len(list) <= limit {
		return list, "", nil
	}
	return list[:limit], list[limit-1].Username, nil
}

// AddMembers adds people to a group, all of them or none, and gives those named as they are
// then. Who is in it already stays as they are. For owners and admins. Errors: ErrNotMember,
// ErrNoUser, and the codes forbidden (also where a user may not be added), too_large and
// rate_limited.
func (s *Service) AddMembers(ctx context.Context, me accounts.UserID, id ConversationID, users []accounts.UserID) ([]Member, error) {
	var members []Member
	err := s.change(ctx, id, me, func(ctx context.Context, c *change) error {
		if !c.manages() {
			return errManagersOnly
		}
		present, err := c.membersAmong(ctx, id, users)
		if err != nil {
			return fmt.Errorf("find members: %w", err)
		}
		var added []accounts.UserID
		for _, user := range users {
			isIn := slices.ContainsFunc(present, func(m Member) bool { return m.UserID == user })
			if !isIn && !slices.Contains(added, user) {
				added = append(added, user)
			}
		}
		if len(added) > 0 && c.size+len(added) > s.cfg.MaxMembers {
			return s.errGroupFull()
		}
		if err := s.budget.members.Take(me, len(added)); err != nil {
			return err
		}
		if err := c.areActive(ctx, added...); err != nil {
			return err
		}
		if err := s.checkAdds(ctx, c.queries, me, "user_ids", users, added); err != nil {
			return err
		}
		if err := c.admit(ctx, added); err != nil {
			return err
		}
		members, err = c.membersAmong(ctx, id, users)
		if err != nil {
			return fmt.Errorf("find members: %w", err)
		}
		return nil
	})
	return members, err
}

// admit makes people members: each by an entry of their own, from which on they may read, or
// from the first one where the group shares its history.
func (c *change) admit(ctx context.Context, users []accounts.UserID) error {
	if len(users) == 0 {
		return nil
	}
	from := Seq(0)
	if c.shareHistory {
		from = 1
		// All of it: that includes what they could read when they were here before.
		if err := c.releaseStretches(ctx, c.id, users); err != nil {
			return fmt.Errorf("extend memberships: %w", err)
		}
	}
	roles := slices.Repeat([]MemberRole{RoleMember}, len(users))
	if err := c.insertMembers(ctx, c.id, users, roles, c.next(), from, accounts.UserID{}); err != nil {
		return fmt.Errorf("add members: %w", err)
	}
	for _, user := range users {
		c.add(KindMemberAdded, Detail{UserID: user})
	}
	return nil
}

// SetRole gives a member another role. For owners; the last of them stays one, and a disabled
// user becomes neither owner nor admin. Errors: ErrNotMember, and the codes forbidden,
// not_found and conflict.
func (s *Service) SetRole(ctx context.Context, me accounts.UserID, id ConversationID, user accounts.UserID, role MemberRole) (Member, error) {
	var member Member
	err := s.change(ctx, id, me, func(ctx context.Context, c *change) error {
		if c.role != RoleOwner {
			return errOwnersOnly
		}
		var err error
		if member, err = c.member(ctx, user); err != nil || member.Role == role {
			return err
		}
		if member.Role == RoleOwner {
			if others, err := c.otherOwners(ctx, id, user); err != nil {
				return fmt.Errorf("count owners: %w", err)
			} else if others == 0 {
				return errLastOwner
			}
		}
		if role != RoleMember {
			if err := c.areActive(ctx, user); errors.Is(err, ErrNoUser) {
				return errDisabledMember
			} else if err != nil {
				return err
			}
		}
		member.Role = role
		return c.giveRole(ctx, user, role)
	})
	return member, err
}

func (c *change) member(ctx context.Context, user accounts.UserID) (Member, error) {
	found, err := c.membersAmong(ctx, c.id, []accounts.UserID{user})
	if err != nil {
		return Member{}, fmt.Errorf("find a member: %w", err)
	}
	if len(found) == 0 {
		return Member{}, errNoMember
	}
	return found[0], nil
}

func (c *change) giveRole(ctx context.Context, user accounts.UserID, role MemberRole) error {
	if err := c.updateRole(ctx, c.id, user, role); err != nil {
		return fmt.Errorf("change a role: %w", err)
	}
	c.add(KindRoleChanged, Detail{UserID: user, Role: role})
	return nil
}

// RemoveMember takes somebody out of a group; oneself, which is leaving. Owners remove
// anybody, admins members. When the last owner who can sign in leaves, the group goes to the
// admin who has been in it the longest, or else to the member. The entry that says so is the last one that
// the person gets. Errors: ErrNotMember, and the codes forbidden and not_found.
func (s *Service) RemoveMember(ctx context.Context, me accounts.UserID, id ConversationID, user accounts.UserID) error {
	return s.change(ctx, id, me, func(ctx context.Context, c *change) error {
		member, err := c.member(ctx, user)
		kind := KindMemberRemoved
		switch {
		case err != nil && c.manages():
			return err
		case err != nil: // whether somebody is in it, they can see in the list
			return errManagersOnly
		case user == me:
			kind = KindMemberLeft
			if err := c.handOver(ctx); err != nil {
				return err
			}
		case !c.manages():
			return errManagersOnly
		case c.role == RoleAdmin && member.Role != RoleMember:
			return errOwnersOnly
		}
		if err := c.endMembership(ctx, id, user, c.next()); err != nil {
			return fmt.Errorf("end a membership: %w", err)
		}
		c.add(kind, Detail{UserID: user})
		return nil
	})
}
