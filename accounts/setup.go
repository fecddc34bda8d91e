package accounts

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"parley/problem"
	"parley/store"
)

// setupLife is how long a set-up link works; each start of the server prints another.
const setupLife = 7 * 24 * time.Hour

var (
	errIsSetUp    = problem.New(problem.Conflict, "This server is set up already. Sign in instead.")
	errSetupToken = &problem.Error{Code: problem.Forbidden, Detail: "This set-up link is not one of this server, or too old. Restart the server for a new one.",
		Fields: []problem.Field{{Location: "body.token", Message: "not an open set-up token"}}}
)

// SetupLink gives a fresh token for Setup while there is no admin: for the line that is
// printed at each start. Earlier tokens keep working for their seven days.
func (s *Service) SetupLink(ctx context.Context) (token string, needed bool, err error) {
	exists, err := s.q.adminExists(ctx)
	if err != nil {
		return "", false, fmt.Errorf("look for an admin: %w", err)
	}
	if exists {
		return "", false, nil
	}
	token, hash := newSecret(codeBytes)
	if err := s.q.insertSetupInvite(ctx, store.NewID[Invite](), hash); err != nil {
		return "", false, fmt.Errorf("make a set-up token: %w", err)
	}
	return token, true, nil
}

// Setup makes the first admin and starts a session. Of several at once, one succeeds.
func (s *Service) Setup(ctx context.Context, token string, n NewUser, userAgent string) (SignedIn, error) {
	if exists, err := s.q.adminExists(ctx); err != nil {
		return SignedIn{}, fmt.Errorf("look for an admin: %w", err)
	} else if exists {
		return SignedIn{}, errIsSetUp
	}
	codeHash, err := s.checkCode(ctx, codeAttempts, token, RoleAdmin, errSetupToken)
	if err != nil {
		return SignedIn{}, err
	}
	n.Role = RoleAdmin
	user, hash, err := s.prepare(ctx, n, nil)
	if err != nil {
		return SignedIn{}, err
	}
	var (
		session SessionID
		secret  string
	)
	err = s.cfg.DB.InTx(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		q := queries{tx}
		err = addAdmin(ctx, q, user, hash, func(q queries) error {
			if exists, err := q.adminExists(ctx); err != nil {
				return fmt.Errorf("look for an admin: %w", err)
			} else if exists {
				return errIsSetUp
			}
			if _, used, err := q.useInvite(ctx, codeHash, RoleAdmin, false); err != nil {
				return fmt.Errorf("use a set-up token: %w", err)
			} else if !used {
				return errSetupToken
			}
			return nil
		})
		if err != nil {
			return err
		}
		session, secret, err = s.startSession(ctx, q, user.ID, hash.String(), userAgent)
		return err
	})
	if err != nil {
		return SignedIn{}, err
	}
	s.log.Info("the first admin was made; set-up is closed", "user_id", user.ID)
	s.record(ctx, event{kind: AuditSetUp, user: user.ID, session: session})
	return s.signedIn(ctx, secret, user, hash.String()), nil
}

// addAdmin adds an admin, alone at it, if first allows, and withdraws all set-up links.
func addAdmin(ctx context.Context, q queries, u User, hash passwordHash, first func(queries) error) error {
	if err := q.lockAdmins(ctx); err != nil {
		return fmt.Errorf("lock the admins: %w", err)
	}
	if err := first(q); err != nil {
		return err
	}
	if err := addUser(ctx, q, u, hash); err != nil {
		return err
	}
	if err := q.deleteSetupInvites(ctx); err != nil {
		return fmt.Errorf("withdraw set-up tokens: %w", err)
	}
	return nil
}

// checkCode finds out, before a password is hashed for it, whether a code is an open
// invite for the role; if not it gives refusal and counts it against the address. Only
// using the code, in the transaction, decides.
func (s *Service) checkCode(ctx context.Context, kind, code string, role Role, refusal error) (codeHash []byte, err error) {
	limits := s.addressLimits(ctx, kind)
	if err := s.allow(ctx, limits); err != nil {
		return nil, s.onLimit(ctx, "code", UserID{}, err)
	}
	hash, ok := hashSecret(code, codeBytes)
	if ok {
		if ok, err = s.q.inviteOpen(ctx, hash, role, s.cfg.MembersInvite); err != nil {
			return nil, fmt.Errorf("read an invite: %w", err)
		}
	}
	if !ok {
		if err := s.failed(ctx, limits); err != nil {
			return nil, err
		}
		return nil, refusal
	}
	return hash, nil
}
