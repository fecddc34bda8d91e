package chat

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/accounts"
	"parley/problem"
	"parley/store"
)

const (
	// ownershipInterval is how often groups without a usable owner are looked for. Whatever
	// disabled a user, in this process or another, leads to a handover after it at the latest.
	ownershipInterval = 5 * time.Second
	// ownershipShare is of how many parts of the time the search takes one at most (store.Pace).
	ownershipShare = 20
	// ownershipPage is how many disabled users one statement looks at.
	ownershipPage = 1000
	// handoverTimeout bounds how long an admin waits for handovers after disabling a user. The
	// sweep does what is left.
	handoverTimeout = 5 * time.Second
)

// Invariant: a group with a member who can sign in has an owner who can, within
// ownershipInterval of what ended that. The handover is in the log like any change of roles.

// AccessChanged hands over the groups that lost their last usable owner, because users were
// disabled. So it does with those that have a usable member again, because a user was enabled.
func (s *Service) AccessChanged(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), handoverTimeout)
	defer cancel()
	if err := s.transferOwnerships(ctx); err != nil {
		s.cfg.Logger.Warn("handing over groups; the next sweep tries again", "err", err)
	}
}

// sweepOwnerships hands groups over until ctx ends. It needs no hint: disabling may have
// happened in a process that crashed before the handover, or on the command line.
func (s *Service) sweepOwnerships(ctx context.Context) {
	pace := store.Pace{Share: ownershipShare}
	next := time.NewTimer(0) // at once: a process before this one may have left a group behind
	defer next.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		began, took := time.Now(), time.Duration(0)
		err := s.transferOwnerships(ctx)
		if err == nil {
			took = time.Since(began)
		}
		if failing != (err != nil) && ctx.Err() == nil { // an outage is two lines
			if failing = err != nil; failing {
				s.cfg.Logger.Warn("looking for groups to hand over fails; trying again", "err", err)
			} else {
				s.cfg.Logger.Info("looking for groups to hand over works again")
			}
		}
		next.Reset(max(ownershipInterval, pace.Rest(took)))
	}
}

// transferOwnerships hands over every group whose owners are all disabled. A group that fails
// does not keep the others.
func (s *Service) transferOwnerships(ctx context.Context) error {
	var (
		failures []error
		after    accounts.UserID
	)
	for {
		users, err := s.q.disabledUsers(ctx, after, ownershipPage)
		if err != nil {
			return fmt.Errorf("read disabled users: %w", err)
		}
		if len(users) == 0 {
			return errors.Join(failures...)
		}
		groups, err := s.q.unmanagedGroups(ctx, users)
		if err != nil {
			return fmt.Errorf("find groups to hand over: %w", err)
		}
		for _, id := range groups {
			if err := s.transferOwnership(ctx, id); err != nil {
				failures = append(failures, fmt.Errorf("hand over %s: %w", id, err))
				if problem.From(err).Code == problem.Unavailable || ctx.Err() != nil {
					return errors.Join(failures...) // the database is away, also for the others
				}
			}
		}
		if len(users) < ownershipPage {
			return errors.Join(failures...)
		}
		after = users[len(users)-1]
	}
}

// transferOwnership hands over a group whose owners are all disabled. It does nothing if that
// is not so any more, or if no member can sign in.
func (s *Service) transferOwnership(ctx context.Context, id ConversationID) error {
	return s.addEntries(ctx, id, func(ctx context.Context, c *change) error {
		if err := c.lockRow(ctx, id); err != nil {
			return fmt.Errorf("lock a group: %w", err)
		}
		group, needed, err := c.succession(ctx, id, accounts.UserID{})
		if err != nil {
			return fmt.Errorf("find a successor: %w", err)
		}
		if !needed || !group.canSignIn || len(group.disabled) == 0 {
			return nil
		}
		c.last, c.by = group.last, group.disabled[0]
		return c.succeed(ctx, group)
	})
}

// handOver finds an owner for a group whose last usable one is leaving.
func (c *change) handOver(ctx context.Context) error {
	if c.role != RoleOwner {
		return nil
	}
	group, needed, err := c.succession(ctx, c.id, c.by)
	if err != nil {
		return fmt.Errorf("find a successor: %w", err)
	}
	if !needed || !group.canSignIn && len(group.disabled) > 0 { // the first who is enabled succeeds
		return nil
	}
	return c.succeed(ctx, group)
}

// succeed makes the successor the owner of the group, and takes the role from its disabled
// owners: enabling them does not give it back.
func (c *change) succeed(ctx context.Context, group succession) error {
	if err := c.giveRole(ctx, group.successor, RoleOwner); err != nil {
		return err
	}
	for _, owner := range group.disabled {
		if err := c.giveRole(ctx, owner, RoleMember); err != nil {
			return err
		}
	}
	return nil
}
