package accounts

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"

	"parley/problem"
)

// DeletionPolicy says what becomes of the messages of users who delete their account.
type DeletionPolicy string

// The policies.
const (
	DeletionChoose DeletionPolicy = "choose" // what the user says
	DeletionKeep   DeletionPolicy = "keep"   // they stay, as those of a deleted user
	DeletionErase  DeletionPolicy = "erase"  // their texts are erased
	DeletionOff    DeletionPolicy = "off"    // users cannot delete their account
)

const (
	deletedName = "Deleted user" // for programs; interfaces have words of their own

	// deletionInterval is how often replicas look for deletions that a crash left undone,
	// deletionLease how long one replica keeps a deletion, and deletionSlice how long it works on
	// it at a time.
	deletionInterval = 5 * time.Second
	deletionLease    = 30 * time.Second
	deletionSlice    = 20 * time.Second
	// deletionSettle is how long after the request requests of the user may still be under way.
	deletionSettle = 2 * time.Minute
)

// tombstoneName is the form of the usernames of deleted accounts, which no user can choose.
var tombstoneName = regexp.MustCompile(`^deleted-[0-9a-f]{24}$`)

func tombstoneOf(id UserID) string { return "deleted-" + hex.EncodeToString(id[4:]) }

var (
	errDeletionOff   = problem.New(problem.Forbidden, "This server does not let users delete their account. Ask your admin.")
	errOnlyKeep      = fieldError(problem.Forbidden, "messages", "This server keeps the messages of deleted users.")
	errOnlyErase     = fieldError(problem.Forbidden, "messages", "This server erases the messages of deleted users.")
	errDeleteLast    = problem.New(problem.Conflict, "You're the last admin. Make another user an admin first.")
	errDeletedTwice  = problem.New(problem.Conflict, "The password changed just now. Try again.")
	errMessagesUnset = fieldError(problem.Invalid, "messages", "Choose keep or erase.")
)

// erases says whether the messages of a user who chose `messages` are erased.
func (p DeletionPolicy) erases(messages DeletionPolicy) (bool, error) {
	switch {
	case p == DeletionOff:
		return false, errDeletionOff
	case p == DeletionKeep && messages == DeletionErase:
		return false, errOnlyKeep
	case p == DeletionErase && messages == DeletionKeep:
		return false, errOnlyErase
	case p == DeletionChoose && messages == "":
		return false, errMessagesUnset
	case messages == "":
		return p == DeletionErase, nil
	}
	return messages == DeletionErase, nil
}

// DeleteMe deletes the caller's account. All sessions end at once; what other packages have of
// the user goes within moments, whatever crashes. Errors: the codes forbidden, conflict, invalid
// and rate_limited.
func (s *Service) DeleteMe(ctx context.Context, who Identity, password string, messages DeletionPolicy) error {
	erase, err := s.cfg.AccountDeletion.erases(messages)
	if err != nil {
		return err
	}
	me, proved, err := s.provePassword(ctx, who, password, "delete_account")
	if err != nil {
		return err
	}
	return s.deleteAccount(ctx, me, proved, erase)
}

// DeleteUser deletes an account, whatever the policy: for the operator. A running server removes
// the rest, or the next one that starts. Errors: ErrNoUser, and the code conflict.
func (s *Service) DeleteUser(ctx context.Context, username string, eraseMessages bool) error {
	name, err := cleanUsername(username)
	if err != nil {
		return ErrNoUser
	}
	user, hash, found, err := s.q.forDeletion(ctx, name)
	if err != nil {
		return fmt.Errorf("read a user: %w", err)
	}
	if !found {
		return ErrNoUser
	}
	defer s.writeLastAudit(ctx) // Run does not, on the command line
	return s.deleteAccount(ctx, user, hash, eraseMessages)
}

func (s *Service) deleteAccount(ctx context.Context, user User, provedHash string, erase bool) error {
	retired, err := s.retiredHash(ctx, user.Username)
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // nothing stops halfway because the client is gone
	var ended []SessionID
	err = s.cfg.DB.InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		q := queries{tx}
		if err := q.lockAdmins(ctx); err != nil {
			return fmt.Errorf("lock the admins: %w", err)
		}
		if ok, err := q.deleteUser(ctx, user.ID, provedHash, tombstoneOf(user.ID), deletedName, noPassword.String(), erase); err != nil {
			return fmt.Errorf("delete a user: %w", err)
		} else if !ok {
			return errDeletedTwice
		}
		if left, err := q.enabledAdminExists(ctx); err != nil {
			return fmt.Errorf("look for another admin: %w", err)
		} else if !left && user.Role == RoleAdmin {
			return errDeleteLast
		}
		if err := q.insertRetiredUsername(ctx, retired); err != nil {
			return fmt.Errorf("retire a username: %w", err)
		}
		if err := q.deleteInvitesOf(ctx, user.ID); err != nil {
			return fmt.Errorf("withdraw a user's invites: %w", err)
		}
		// After the user's row was locked, see insertSession.
		if ended, err = q.endOtherSessions(ctx, user.ID, SessionID{}); err != nil {
			return fmt.Errorf("end a user's sessions: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.record(ctx, event{kind: AuditUserDeleted, user: user.ID, detail: map[bool]string{false: "keep", true: "erase"}[erase]})
	s.recordEnded(ctx, user.ID, UserID{}, ended)
	s.closeSockets(ended...)
	s.changed(user.ID)
	if s.cfg.OnAccessChanged != nil {
		s.cfg.OnAccessChanged(ctx, user.ID)
	}
	select {
	case s.deletions <- struct{}{}:
	default:
	}
	return nil
}

// retiredHash is how the username of a deleted account is kept: no other user may get it, and the
// table alone does not say which names those were.
func (s *Service) retiredHash(ctx context.Context, username string) ([]byte, error) {
	key, err := s.secretKey(ctx)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte("retired username 1\n" + username)) // never fails
	return mac.Sum(nil), nil
}

// sweepDeletions removes what is left of deleted users until ctx ends. It needs no hint: the
// deletion may be another process's, and that may have crashed.
func (s *Service) sweepDeletions(ctx context.Context) {
	next := time.NewTimer(0) // at once: a process before this one may have left a deletion behind
	defer next.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.deletions:
		case <-next.C:
		}
		err := s.continueDeletions(ctx)
		if failing != (err != nil) && ctx.Err() == nil { // an outage is two lines
			if failing = err != nil; failing {
				s.log.Warn("removing what is left of deleted users fails; trying again", "err", err)
			} else {
				s.log.Info("removing what is left of deleted users works again")
			}
		}
		next.Reset(deletionInterval)
	}
}

// continueDeletions works on every deletion that is due. One that fails does not keep the others.
func (s *Service) continueDeletions(ctx context.Context) error {
	var failures []error
	for ctx.Err() == nil {
		user, erase, found, err := s.q.takeDeletion(ctx, deletionLease)
		if err != nil {
			return errors.Join(append(failures, fmt.Errorf("find deleted users: %w", err))...)
		}
		if !found {
			break
		}
		if err := s.continueDeletion(ctx, user, erase); err != nil {
			failures = append(failures, fmt.Errorf("remove what is left of %v: %w", user, err))
		}
	}
	return errors.Join(failures...)
}

// continueDeletion works on one deletion for a while.
func (s *Service) continueDeletion(ctx context.Context, user UserID, erase bool) error {
	slice, cancel := context.WithTimeout(ctx, deletionSlice)
	defer cancel()
	for _, remove := range s.cfg.OnDelete {
		err := remove(slice, user, erase)
		switch {
		case err == nil:
			continue
		case slice.Err() != nil: // so much for now; this or another replica goes on
			return s.q.postponeDeletion(context.WithoutCancel(ctx), user, 0)
		default:
			return err // the lease is the pause before the next try
		}
	}
	finished, err := s.q.finishDeletion(ctx, user, deletionSettle)
	if err == nil && finished {
		s.log.Info("a deleted user's data is removed", "user_id", user)
	}
	return err
}
