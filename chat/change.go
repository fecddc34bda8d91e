package chat

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"parley/accounts"
	"parley/problem"
	"parley/store"
)

// MemberRole is what somebody may do in a conversation.
type MemberRole string

// The roles. In a direct conversation both are members, and there is nothing to decide.
const (
	RoleOwner  MemberRole = "owner"  // gives and takes roles, shares history, removes anybody
	RoleAdmin  MemberRole = "admin"  // adds people, removes members, renames, deletes messages
	RoleMember MemberRole = "member" // talks
)

var (
	errDirect    = problem.New(problem.Invalid, "A direct conversation is always that of the two.")
	errUncertain = problem.New(problem.Unavailable, "This could not be done for certain. Look whether it is so, and try again.")
)

// change is a transaction that changes a group under the lock of its row: what it finds, and
// the entries it adds.
type change struct {
	queries
	id ConversationID
	by accounts.UserID
	standing
	kinds   []Kind
	details []Detail
}

// standing is what there is to change, and who is asking.
type standing struct {
	kind         string
	title        string
	shareHistory bool
	last         Seq
	role         MemberRole // of who asks
	size         int        // members, who asks included
}

// next is the seq of the entry that is added next.
func (c *change) next() Seq { return c.last + Seq(len(c.kinds)) + 1 }

func (c *change) add(kind Kind, d Detail) {
	c.kinds, c.details = append(c.kinds, kind), append(c.details, d)
}

// manages says whether who asks may add people and rename.
func (c *change) manages() bool { return c.role == RoleOwner || c.role == RoleAdmin }

// change runs f on a group that the user is a member of, and delivers the entries it adds
// once they are stored. Errors beside f's: ErrNotMember, and invalid for a direct conversation.
func (s *Service) change(ctx context.Context, id ConversationID, by accounts.UserID, f func(context.Context, *change) error) error {
	ctx = context.WithoutCancel(ctx) // nothing stops halfway because who asked is gone
	return s.addEntries(ctx, id, func(ctx context.Context, c *change) (err error) {
		if c.standing, err = c.lock(ctx, id, by); err != nil {
			return err
		}
		if c.kind != "group" {
			return errDirect
		}
		c.by = by
		return f(ctx, c)
	})
}

// addEntries runs f, which takes the lock of a group's row, in a transaction of its own, and
// delivers the entries it adds once they are stored.
func (s *Service) addEntries(ctx context.Context, id ConversationID, f func(context.Context, *change) error) error {
	w := s.writerOf(id)
	if !w.enter() {
		return ErrOverloaded
	}
	defer w.exit()
	var entries []Entry
	err := s.cfg.DB.Writer().InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		c := &change{queries: s.q.in(tx), id: id}
		err := f(ctx, c)
		if err != nil || len(c.kinds) == 0 {
			return err
		}
		// Before anybody can see them: whoever they let in gets them through the gate.
		s.gates.watch(id, c.last)
		entries, err = c.insertEntries(ctx, id, c.by, c.last+1, c.kinds, c.details)
		if err != nil {
			return fmt.Errorf("write system entries: %w", err)
		}
		return nil
	})
	if store.Transient(err) {
		s.gates.doubt() // the commit may have happened and only its answer been lost
		return errUncertain.Because(err)
	}
	if err != nil {
		return err
	}
	s.gates.deliverChanges(ctx, entries)
	if s.cfg.OnMemberLeft != nil && slices.ContainsFunc(entries, Entry.endsMembership) {
		s.cfg.OnMemberLeft(id)
	}
	return nil
}

// endsMembership says whether the entry is the last one that a member gets.
func (e Entry) endsMembership() bool {
	return e.Kind == KindMemberRemoved || e.Kind == KindMemberLeft
}
