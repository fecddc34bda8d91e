package chat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"parley/accounts"
	"parley/store"
)

const (
	// leavingPage is how many conversations of a deleted user one statement gives.
	leavingPage = 100
	// eraseEntries is how many entries of a log one transaction passes, under the lock of the
	// conversation's row: some milliseconds.
	eraseEntries = 2000
	// exportEntries is how many entries of a log one statement of an export passes.
	exportEntries = 2000
)

// RemoveUser takes a deleted user out of all conversations: groups are left, with a successor
// where one is needed, and direct conversations closed. Then it erases their messages, if it
// should. It can be repeated, and continues what a crash or the end of ctx left undone.
func (s *Service) RemoveUser(ctx context.Context, user accounts.UserID, eraseMessages bool) error {
	s.ProfileChanged(user) // the crash may have come before it
	if err := s.leaveAll(ctx, user); err != nil {
		return err
	}
	deleted, err := s.w.deleteBlocksOf(ctx, user)
	if err != nil {
		return fmt.Errorf("delete the blocks of a deleted user: %w", err)
	}
	for _, p := range deleted {
		if p.User != user {
			s.blocks.Tell(p, struct{}{})
			s.showBlock(ctx, p)
		}
	}
	if eraseMessages {
		return s.eraseMessages(ctx, user)
	}
	return nil
}

// leaveAll ends the memberships of a deleted user. Afterwards no message of theirs is stored.
func (s *Service) leaveAll(ctx context.Context, user accounts.UserID) error {
	var after ConversationID
	for {
		list, err := s.q.openMemberships(ctx, user, after, leavingPage)
		if err != nil {
			return fmt.Errorf("read the conversations of a deleted user: %w", err)
		}
		for _, m := range list {
			if err := ctx.Err(); err != nil {
				return err
			}
			after = m.id
			if !m.isGroup {
				err = s.closeDirect(ctx, m.id)
			} else if err = s.RemoveMember(ctx, user, m.id, user); errors.Is(err, ErrNotMember) {
				err = nil // removed by another user, or left by another replica, meanwhile
			}
			if err != nil {
				return fmt.Errorf("take a deleted user out of %v: %w", m.id, err)
			}
		}
		if len(list) < leavingPage {
			return nil
		}
	}
}

// closeDirect ends the writing in a direct conversation, and shows its members that.
func (s *Service) closeDirect(ctx context.Context, id ConversationID) error {
	w := s.writerOf(id)
	if !w.enter() {
		return ErrOverloaded
	}
	defer w.exit()
	err := s.cfg.DB.Writer().InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		q := s.q.in(tx)
		if err := q.lockRow(ctx, id); err != nil {
			return err
		}
		return q.closeDirect(ctx, id)
	})
	if err != nil && !store.Transient(err) {
		return err
	}
	// Also when only the commit's answer was lost: the next attempt finds nothing to do.
	s.faces.Tell(id, struct{}{})
	s.errand(func(ctx context.Context) { s.showAgain(ctx, id) })
	return err
}

// eraseMessages erases the messages of a deleted user everywhere.
func (s *Service) eraseMessages(ctx context.Context, user accounts.UserID) error {
	var after ConversationID
	for {
		list, err := s.q.unerased(ctx, user, after, leavingPage)
		if err != nil {
			return fmt.Errorf("read where to erase messages: %w", err)
		}
		for _, id := range list {
			after = id
			for done := false; !done; {
				if err := ctx.Err(); err != nil {
					return err
				}
				if done, err = s.eraseNext(ctx, id, user); err != nil {
					return fmt.Errorf("erase messages in %v: %w", id, err)
				}
			}
		}
		if len(list) < leavingPage {
			return nil
		}
	}
}

// eraseNext erases a part of a conversation in a transaction of its own; the last one adds the
// entry that says so.
//
// Invariant: what is read at or after that entry's seq has no text of the user's. So clients that
// know the entry never get such a text again, from whatever page.
func (s *Service) eraseNext(ctx context.Context, id ConversationID, user accounts.UserID) (done bool, err error) {
	ctx = context.WithoutCancel(ctx)
	w := s.writerOf(id)
	if !w.enter() {
		return false, ErrOverloaded
	}
	defer w.exit()
	var entry *Entry
	err = s.cfg.DB.Writer().InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		done, entry = false, nil
		q := s.q.in(tx)
		if err := q.lockRow(ctx, id); err != nil {
			return err
		}
		last, found, pending, err := q.eraseBatch(ctx, id, user, eraseEntries)
		if err != nil || !last && pending {
			return err
		}
		if done = true; !pending {
			return nil // another replica did it
		}
		if found {
			e := Entry{ConversationID: id, Kind: KindMessagesErased, SenderID: user, Detail: Detail{UserID: user}}
			if e.Seq, e.CreatedAt, err = q.insertErased(ctx, id, user); err != nil {
				return err
			}
			entry = &e
		}
		return q.finishErasure(ctx, id, user)
	})
	if store.Transient(err) {
		s.gates.doubt() // the commit may have happened and only its answer been lost
	}
	if err != nil {
		return false, err
	}
	if entry != nil {
		s.gates.deliver(*entry, s.gates.encode(*entry))
		s.faces.Tell(id, struct{}{})
		s.errand(func(ctx context.Context) { s.showAgain(ctx, id) })
	}
	return done, nil
}

type exportedConversation struct {
	ID          ConversationID    `json:"id"`
	Kind        string            `json:"kind"`
	Title       string            `json:"title,omitempty"`
	CreatedAt   time.Time         `json:"created_at"`
	UpToSeq     Seq               `json:"up_to_seq"`
	Memberships json.RawMessage   `json:"memberships"`
	MemberIDs   []accounts.UserID `json:"member_ids"`
}

// Export writes the user's conversations, each as of one moment, and what the user wrote in them.
func (s *Service) Export(ctx context.Context, user accounts.UserID, write accounts.ExportWriter) error {
	var after ConversationID
	for {
		list, err := s.q.conversationsEver(ctx, user, after, leavingPage)
		if err != nil {
			return fmt.Errorf("export conversations: %w", err)
		}
		for _, id := range list {
			after = id
			if err := s.exportConversation(ctx, id, user, write); err != nil {
				return fmt.Errorf("export %v: %w", id, err)
			}
		}
		if len(list) < leavingPage {
			return nil
		}
	}
}

func (s *Service) exportConversation(ctx context.Context, id ConversationID, user accounts.UserID, write accounts.ExportWriter) error {
	c, found, err := s.q.exported(ctx, id, user, s.cfg.MaxMembers)
	if err != nil || !found {
		return err
	}
	if err := write("conversation", c); err != nil {
		return err
	}
	for after := Seq(0); after < c.UpToSeq; after += exportEntries {
		entries, err := s.q.ownEntries(ctx, id, user, after, min(after+exportEntries, c.UpToSeq))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := write("message", e); err != nil {
				return err
			}
		}
	}
	return nil
}
