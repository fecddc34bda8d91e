package accounts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/problem"
)

// confirmedFor is how long a session may make sensitive changes after its password was checked.
// Signing in, signing up, set-up and a change of the password check it.
const confirmedFor = time.Hour

var (
	errConfirm = problem.New(problem.ConfirmationRequired, "Enter your password to continue.")
	errDeleted = problem.New(problem.Conflict, "This account was deleted and cannot be changed any more.")
)

// requireConfirmation refuses a sensitive change if the password was not checked lately in the
// session: a stolen token alone does not make it.
func (s *Service) requireConfirmation(ctx context.Context, who Identity) error {
	confirmed, err := s.q.sessionConfirmed(ctx, who, confirmedFor)
	if err != nil {
		return fmt.Errorf("read when a password was checked: %w", err)
	}
	if !confirmed {
		return errConfirm
	}
	return nil
}

// Confirm checks the caller's password again, for the sensitive changes of the next hour. Errors:
// the codes forbidden and rate_limited.
func (s *Service) Confirm(ctx context.Context, who Identity, password string) error {
	_, proved, err := s.provePassword(ctx, who, password, "confirm")
	if err != nil {
		return err
	}
	if ok, err := s.q.confirmSession(ctx, who, proved); err != nil {
		return fmt.Errorf("note that a password was checked: %w", err)
	} else if !ok { // ended, or the password changed, at this moment
		return ErrUnauthenticated
	}
	s.record(ctx, event{kind: AuditPasswordConfirmed, user: who.UserID, session: who.SessionID})
	return nil
}

// provePassword checks the caller's password, and gives the caller and the hash that it matches.
func (s *Service) provePassword(ctx context.Context, who Identity, password, limitName string) (User, string, error) {
	me, stored, found, err := s.q.credentialsByID(ctx, who.UserID)
	if err != nil {
		return User{}, "", fmt.Errorf("read a password's hash: %w", err)
	}
	return me, stored, s.verifyOwn(ctx, who, stored, found, password, "password", limitName)
}

// verifyOwn checks a password of the caller's against the stored hash. Wrong ones are counted by
// session: a stolen one has few guesses, and failed sign-ins elsewhere do not get in the way.
func (s *Service) verifyOwn(ctx context.Context, who Identity, stored string, found bool, password, field, limitName string) error {
	limits, caller := s.sessionLimits(who.SessionID)
	err := s.verifyPassword(ctx, limits, caller, stored, found, password)
	if errors.Is(err, errWrongPassword) {
		s.record(ctx, event{kind: AuditPasswordWrong, user: who.UserID, session: who.SessionID})
		// Not unauthenticated: the session is good.
		return fieldError(problem.Forbidden, field, "That's not your current password.")
	}
	return s.onLimit(ctx, limitName, who.UserID, err)
}
