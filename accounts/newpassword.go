package accounts

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"parley/problem"
)

// ChangePassword sets the caller's password and ends their other sessions. Wrong current
// passwords are counted by session: failed sign-ins elsewhere do not get in the way.
// A session by cookie gets a new token; one by header keeps its own, for programs that do not
// expect another.
func (s *Service) ChangePassword(ctx context.Context, who Identity, current, password string) (SignedIn, error) {
	me, proved, found, err := s.q.credentialsByID(ctx, who.UserID)
	if err != nil {
		return SignedIn{}, fmt.Errorf("read a password's hash: %w", err)
	}
	if err := checkPassword("new", password, me.Username, me.DisplayName); err != nil {
		return SignedIn{}, err
	}
	_, caller := s.sessionLimits(who.SessionID)
	if err := s.verifyOwn(ctx, who, proved, found, current, "current", "change_password"); err != nil {
		return SignedIn{}, err
	}
	hash, err := s.hash(ctx, caller, password, nil)
	if err != nil {
		return SignedIn{}, err
	}
	var (
		ended     []SessionID
		token     string
		tokenHash []byte
	)
	if who.byCookie {
		token, tokenHash = newSecret(tokenBytes)
	}
	err = s.cfg.DB.InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		q := queries{tx}
		if ok, err := q.updatePassword(ctx, who.UserID, proved, hash.String()); err != nil {
			return fmt.Errorf("change a password: %w", err)
		} else if !ok {
			return fieldError(problem.Forbidden, "current", "The password was changed on another device just now. Enter the new one.")
		}
		if tokenHash != nil {
			if ok, err := q.updateToken(ctx, who.SessionID, who.UserID, tokenHash); err != nil {
				return fmt.Errorf("change a session's token: %w", err)
			} else if !ok {
				return ErrUnauthenticated // ended at this moment
			}
		}
		if _, err := q.confirmSession(ctx, who, hash.String()); err != nil {
			return fmt.Errorf("note that the password was checked: %w", err)
		}
		if ended, err = q.endOtherSessions(ctx, who.UserID, who.SessionID); err != nil {
			return fmt.Errorf("end the other sessions: %w", err)
		}
		return nil
	})
	if err != nil {
		return SignedIn{}, err
	}
	s.record(ctx, event{kind: AuditPasswordChanged, user: who.UserID, session: who.SessionID})
	s.recordEnded(ctx, who.UserID, UserID{}, ended)
	s.closeSockets(ended...)
	return s.signedIn(ctx, token, me, hash.String()), nil
}

// SetPassword sets somebody's password and ends all of their sessions: for the operator.
// ErrNoUser if there is nobody of that name.
func (s *Service) SetPassword(ctx context.Context, username, password string) error {
	name, err := cleanUsername(username)
	if err != nil {
		return ErrNoUser
	}
	user, _, _, err := s.q.credentials(ctx, name)
	if err != nil {
		return fmt.Errorf("read a user: %w", err)
	}
	if err := checkPassword("password", password, name, user.DisplayName); err != nil {
		return err
	}
	hash, err := s.hash(ctx, s.hashCaller(ctx), password, nil)
	if err != nil {
		return err
	}
	var (
		id    UserID
		ended []SessionID
	)
	err = s.cfg.DB.InTx(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		q := queries{tx}
		var found bool
		if id, found, err = q.resetPassword(ctx, name, hash.String()); err != nil {
			return fmt.Errorf("set a password: %w", err)
		}
		if !found {
			return ErrNoUser
		}
		if ended, err = q.endOtherSessions(ctx, id, SessionID{}); err != nil {
			return fmt.Errorf("end a user's sessions: %w", err)
		}
		return q.deleteFailures(ctx, accountSubject(name))
	})
	if err != nil {
		return err
	}
	s.record(ctx, event{kind: AuditPasswordReset, user: id})
	s.recordEnded(ctx, id, UserID{}, ended)
	s.closeSockets(ended...)
	s.writeLastAudit(ctx) // Run does not, on the command line
	return nil
}

// ResetPassword is SetPassword with a new random password, which it gives.
func (s *Service) ResetPassword(ctx context.Context, username string) (password string, err error) {
	password = NewPassword()
	return password, s.SetPassword(ctx, username, password)
}
