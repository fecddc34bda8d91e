package accounts

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"parley/problem"
	"parley/store"
)

// SessionID names a session.
type SessionID = store.ID[Session]

// Session is one signed-in browser, app or program.
type Session struct {
	ID          SessionID `json:"id" format:"uuid"`
	Current     bool      `json:"current" doc:"Whether it is the one this request was made with"`
	UserAgent   string    `json:"user_agent" doc:"What the client called itself when it signed in; may be empty" example:"Mozilla/5.0 (X11; Linux x86_64)"`
	CreatedAt   time.Time `json:"created_at"`
	Address     string    `json:"address" doc:"Where it was started from; may be empty" example:"203.0.113.7"`
	LastUsedAt  time.Time `json:"last_used_at" doc:"To within an hour"`
	LastAddress string    `json:"last_address" doc:"Where it was last used from; may be empty" example:"203.0.113.7"`
	ExpiresAt   time.Time `json:"expires_at" doc:"Moves on while the session is used"`
}

// Identity is who is asking, and through which session.
type Identity struct {
	UserID    UserID
	SessionID SessionID
	Role      Role

	byCookie bool // the request's token was the cookie
}

const (
	sessionLife = 90 * 24 * time.Hour // without use
	usedEvery   = time.Hour           // how often a session's use is written down
	movedEvery  = time.Minute         // the same where its address is another one
	// endedOverlap is how long before the last look a session may have ended and yet not
	// have been seen: ended_at is when the transaction began, and it lives for some seconds, or
	// for longer if its commit waits for the disk.
	endedOverlap = 5 * time.Minute
	endedKept    = 30 * 24 * time.Hour // ended sessions, for whoever looks into an incident
	maxSessions  = 100                 // in a list
)

var (
	errWrongPassword = problem.New(problem.Unauthenticated, "The username or the password is wrong.")
	errNoSession     = problem.New(problem.NotFound, "You have no such session.")
)

// SignedIn is what a new session gives its owner.
type SignedIn struct {
	Token string `json:"token" doc:"For Authorization: Bearer. Keep it secret; it is shown this once" example:"mLx0yX3m0kS9p1pZq7t0Jt8cJw2rD5h6f4e3b2a1Z0Y"`
	User  User   `json:"user"`

	device string // the value of the device cookie
}

// SignIn starts a session. A wrong username, a wrong password and a disabled account give
// the same answer after the same time. Too many of them are RateLimited.
func (s *Service) SignIn(ctx context.Context, username, password, userAgent string) (SignedIn, error) {
	// What cannot be a username is the name of no user; the same things happen for it.
	name, nameErr := cleanUsername(username)
	if nameErr != nil {
		name = username
	}
	var (
		user   User
		stored string
		found  bool
		err    error
	)
	if nameErr == nil {
		if user, stored, found, err = s.q.credentials(ctx, name); err != nil {
			return SignedIn{}, fmt.Errorf("read a password's hash: %w", err)
		}
	}
	device, err := s.knownDevice(ctx, name, stored)
	if err != nil {
		return SignedIn{}, err
	}
	limits, caller := s.passwordLimits(ctx, name, device)
	if err := s.verifyPassword(ctx, limits, caller, stored, found, password); err != nil {
		if errors.Is(err, errWrongPassword) {
			s.record(ctx, event{kind: AuditSignInFailed, user: user.ID})
		}
		return SignedIn{}, s.onLimit(ctx, "sign_in", user.ID, err)
	}
	session, token, err := s.startSession(ctx, s.q, user.ID, stored, userAgent)
	if err != nil {
		return SignedIn{}, err
	}
	s.record(ctx, event{kind: AuditSignIn, user: user.ID, session: session})
	s.publishSignIn(user.ID, NewSignIn{session, cleanUserAgent(userAgent), s.addressText(ctx), time.Now().UTC()})
	// The address keeps its failures: a success of one account says nothing about others.
	for _, l := range limits {
		if strings.HasPrefix(l.subject, "login:") {
			continue
		}
		if err := s.q.deleteFailures(ctx, l.subject); err != nil {
			// They are forgotten anyway in a quarter of an hour.
			s.log.Warn("cannot clear failed attempts", "user_id", user.ID, "err", err)
		}
	}
	return s.signedIn(ctx, token, user, stored), nil
}

// NewSignIn is what a user's other devices are notified of: the event session.
type NewSignIn struct {
	ID        SessionID `json:"id"`
	UserAgent string    `json:"user_agent"`
	Address   string    `json:"address"`
	CreatedAt time.Time `json:"created_at"`
}

// publishSignIn notifies the user's connections, here and on the other replicas.
func (s *Service) publishSignIn(user UserID, in NewSignIn) {
	s.signIns.Tell(user, in)
	s.notifySignIn(user, in)
}

func (s *Service) notifySignIn(user UserID, in NewSignIn) {
	if s.cfg.OnSignIn != nil {
		s.cfg.OnSignIn(user, in)
	}
}

// signedIn is a session with the device cookie of its browser. Without the cookie the browser
// stays an unknown one.
func (s *Service) signedIn(ctx context.Context, token string, user User, passwordHash string) SignedIn {
	device, err := s.deviceCookie(ctx, user.Username, passwordHash)
	if err != nil {
		s.log.Warn("cannot make a device cookie", "user_id", user.ID, "err", err)
		device = ""
	}
	return SignedIn{token, user, device}
}

// verifyPassword compares a password with the stored hash, or for no user with no password's,
// and gives errWrongPassword. The limits are checked within a slot, so that attempts made at once
// cannot all read the failures before any of them has failed.
func (s *Service) verifyPassword(ctx context.Context, limits []limit, caller hashCaller, stored string, found bool, password string) error {
	h := noPassword
	if found {
		var err error
		if h, err = parseHash(stored); err != nil {
			return fmt.Errorf("read a user's password hash: %w", err)
		}
	}
	return s.hashing.do(ctx, caller, func() error {
		if err := s.allow(ctx, limits); err != nil {
			return err
		}
		if !s.matches(h, password) || !found {
			if err := s.failed(ctx, limits); err != nil {
				return err
			}
			return errWrongPassword
		}
		return nil
	})
}

// startSession makes a session for a user whose password was proved to be that of the
// hash, unless it was changed or the user disabled meanwhile.
func (s *Service) startSession(ctx context.Context, q queries, user UserID, provedHash, userAgent string) (id SessionID, token string, err error) {
	id = store.NewID[Session]()
	token, hash := newSecret(tokenBytes)
	ok, err := q.insertSession(ctx, newSession{id, user, hash, cleanUserAgent(userAgent), s.addressText(ctx), provedHash, s.cfg.SessionLifetime})
	if err != nil {
		return SessionID{}, "", fmt.Errorf("start a session: %w", err)
	}
	if !ok {
		return SessionID{}, "", errWrongPassword
	}
	return id, token, nil
}

// Authenticate gives who a token speaks for: one statement, by index. ErrUnauthenticated
// if nobody; other errors are the database's.
func (s *Service) Authenticate(ctx context.Context, token string) (Identity, error) {
	hash, ok := hashSecret(token, tokenBytes)
	if !ok {
		return Identity{}, ErrUnauthenticated
	}
	who, stale, found, err := s.q.session(ctx, hash, s.addressText(ctx), s.cfg.SessionLifetime)
	if err != nil {
		return Identity{}, fmt.Errorf("read a session: %w", err)
	}
	if !found {
		return Identity{}, ErrUnauthenticated
	}
	if stale {
		s.mu.Lock()
		s.used[who.SessionID] = s.addressText(ctx)
		s.mu.Unlock()
	}
	return who, nil
}

// writeUsed writes down the sessions that were in use.
func (s *Service) writeUsed(ctx context.Context) error {
	s.mu.Lock()
	used := s.used
	s.used = map[SessionID]string{}
	s.mu.Unlock()
	if len(used) == 0 {
		return nil
	}
	// If it fails, the next request of each says so again.
	if err := s.q.updateUsed(ctx, used, s.cfg.SessionLifetime); err != nil {
		return fmt.Errorf("write that sessions are in use: %w", err)
	}
	return nil
}

// Sessions gives the caller's sessions, the last used first, 100 at most.
func (s *Service) Sessions(ctx context.Context, who Identity) ([]Session, error) {
	list, err := s.q.sessions(ctx, who.UserID, maxSessions)
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	for i := range list {
		list[i].Current = list[i].ID == who.SessionID
	}
	return list, nil
}

// EndSession ends one of the user's sessions and closes its sockets. Of one that has ended
// already they are closed again: who asked before may not have had an answer.
func (s *Service) EndSession(ctx context.Context, user UserID, id SessionID) error {
	found, err := s.q.endSession(ctx, user, id)
	if err != nil {
		return fmt.Errorf("end a session: %w", err)
	}
	if !found {
		return errNoSession
	}
	s.record(ctx, event{kind: AuditSessionEnded, user: user, session: id})
	s.closeSockets(id)
	return nil
}

// EndOtherSessions ends all of the caller's sessions but the one that asks.
func (s *Service) EndOtherSessions(ctx context.Context, who Identity) error {
	ids, err := s.q.endOtherSessions(ctx, who.UserID, who.SessionID)
	if err != nil {
		return fmt.Errorf("end the other sessions: %w", err)
	}
	s.recordEnded(ctx, who.UserID, UserID{}, ids)
	s.closeSockets(ids...)
	return nil
}

func (s *Service) recordEnded(ctx context.Context, user, actor UserID, ids []SessionID) {
	for _, id := range ids {
		s.record(ctx, event{kind: AuditSessionEnded, user: user, actor: actor, session: id})
	}
}

// closeSockets is for sessions whose end is committed.
func (s *Service) closeSockets(ids ...SessionID) {
	for _, id := range ids {
		s.ended.Tell(id, struct{}{})
	}
	s.closeHere(ids...)
}

// closeHere closes the sockets that this process has of sessions.
func (s *Service) closeHere(ids ...SessionID) {
	if s.cfg.Sessions == nil {
		return
	}
	for _, id := range ids {
		s.cfg.Sessions.CloseSession(uuid.UUID(id))
	}
}

// closeEnded closes the sockets of all sessions that ended since seen, wherever they were
// ended. For a while it does so again each time, which also gets a socket that was being
// opened while its session ended.
func (s *Service) closeEnded(ctx context.Context, seen *time.Time) error {
	if s.cfg.Sessions == nil {
		return nil
	}
	now, ids, err := s.q.ended(ctx, *seen)
	if err != nil {
		return fmt.Errorf("read ended sessions: %w", err)
	}
	*seen = now
	s.closeHere(ids...)
	return nil
}

func (s *Service) prune(ctx context.Context) error {
	if err := s.q.prune(ctx); err != nil {
		return fmt.Errorf("remove old sessions, invites and failures: %w", err)
	}
	return s.pruneAudit(ctx)
}
