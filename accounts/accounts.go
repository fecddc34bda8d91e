// Package accounts owns people and how they prove who they are: users, sessions, invites,
// the first admin, and the failures that slow down guessing. It answers, for every
// request and socket, who is asking.
//
// It promises: passwords and tokens are stored only as hashes; an invite is used as often
// as it says and no more; there is always an enabled admin once there was one; a session
// that ends, here or on another replica, has its sockets closed within about a second.
// What people may do with conversations is none of its business (chat).
package accounts

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"parley/budget"
	"parley/failures"
	"parley/problem"
	"parley/store"
)

// SignupMode says who may make an account.
type SignupMode string

// The sign-up modes. An unknown one counts as SignupClosed.
const (
	SignupInvite SignupMode = "invite" // who has an invite; also the zero value's meaning
	SignupOpen   SignupMode = "open"   // anybody; invites are taken and not counted
	SignupClosed SignupMode = "closed" // nobody; the operator makes the accounts
)

// Config is what a Service needs. Only DB is required.
type Config struct {
	DB     *store.DB
	Bus    *store.Bus   // nil: sessions that end are found by looking alone
	Logger *slog.Logger // nil: slog.Default()
	// Signup says who may make an account; empty is SignupInvite.
	Signup SignupMode
	// MembersInvite lets everybody make invites; else only admins do.
	MembersInvite bool
	// Sessions closes the sockets of sessions that ended; nil where there are none, as on
	// the command line.
	Sessions interface{ CloseSession(uuid.UUID) }
	// Changed, if set, is told of everybody whose name or role was changed. It must not block.
	Changed func(UserID)
	// OnAccessChanged, if set, is called after a user was disabled or enabled, before the admin is
	// answered. What follows from it may still be under way elsewhere, or lost by a crash.
	OnAccessChanged func(context.Context, UserID)
	// OnSignIn, if set, is called after a user signed in, on every replica. It must not block.
	OnSignIn func(UserID, NewSignIn)
	// PublicURL is the address people reach the server at, without a slash at its end.
	PublicURL func(context.Context) string
	// ClientIP is the address a request comes from; an invalid one is not throttled.
	ClientIP func(context.Context) netip.Addr
	// BasePath is the path of the public URL without a slash at its end; "" at the root.
	BasePath string
	// SecureCookies says that the public URL is https: no other cookies are set or read.
	SecureCookies bool
	// SecureRequest says whether a request came by https, where there is no public URL; nil: never.
	SecureRequest func(context.Context) bool
	// SessionLifetime ends sessions so long after they were started, however much they are used;
	// zero: never.
	SessionLifetime time.Duration
	// AccountDeletion is what becomes of the messages of users who delete their account; empty is DeletionChoose.
	AccountDeletion DeletionPolicy
	// OnDelete remove what other packages have of a deleted user. They are called again until none
	// fails, by any replica, so each has to be repeatable.
	OnDelete []func(ctx context.Context, user UserID, eraseMessages bool) error
	// Exporters write what other packages have of a user, in this order.
	Exporters []func(ctx context.Context, user UserID, write ExportWriter) error
	// AuditAge is how long security events are kept; zero is 180 days.
	AuditAge time.Duration
	// RateLimits throttles wrong passwords and codes, and bounds the invites of each user.
	RateLimits bool
	// Failures counts panics.
	Failures *failures.Log
}

// Service is the accounts of this process. It is safe for concurrent use.
type Service struct {
	cfg     Config
	log     *slog.Logger
	q       queries
	ended   *store.Topic[SessionID, struct{}] // to and from the other replicas
	signIns *store.Topic[UserID, NewSignIn]   // to and from the other replicas; the last of several counts
	hashing *hashLimiter
	audit   *audit
	matches func(passwordHash, string) bool // passwordHash.matches; a test counts its calls

	inviteBudget *budget.Rate[UserID] // nil without rate limits
	exportBudget *budget.Rate[UserID] // nil without rate limits
	nameBudget   *budget.Rate[UserID] // nil without rate limits
	exporting    exports
	deletions    chan struct{}          // holds one when an account was deleted here
	deviceKey    atomic.Pointer[[]byte] // signs device cookies; nil until it is read

	mu   sync.Mutex           // guards used
	used map[SessionID]string // in use from an address, and their rows do not say so yet; Run writes them
}

// New makes a Service.
func New(cfg Config) *Service {
	s := &Service{cfg: cfg, log: cfg.Logger, q: queries{cfg.DB}, hashing: newHashLimiter(), audit: newAudit(), matches: passwordHash.matches, used: map[SessionID]string{}, deletions: make(chan struct{}, 1)}
	s.cfg.AccountDeletion = cmp.Or(s.cfg.AccountDeletion, DeletionChoose)
	s.cfg.AuditAge = cmp.Or(s.cfg.AuditAge, defaultAuditAge)
	if s.log == nil {
		s.log = slog.Default()
	}
	if cfg.RateLimits {
		s.inviteBudget = budget.NewRate[UserID](invitesPerHour, time.Hour, invitesPerHour, "You have created too many invites in the last hour. Try again later.").
			OnLimit(func(user UserID) { s.OnLimit(context.Background(), "invites", user) })
		s.nameBudget = budget.NewRate[UserID](namesPerHour, time.Hour, namesPerHour, "You have changed your name too often in the last hour. Try again later.").
			OnLimit(func(user UserID) { s.OnLimit(context.Background(), "names", user) })
		s.exportBudget = budget.NewRate[UserID](exportsPerDay, 24*time.Hour, exportsPerDay, "You have downloaded your data too often today. Try again tomorrow.")
	}
	s.ended = store.NewTopic(cfg.Bus, "session", store.Same, func(id SessionID, _ struct{}) { s.closeHere(id) })
	s.signIns = store.NewTopic(cfg.Bus, "sign_in", func(_, last NewSignIn) NewSignIn { return last }, s.notifySignIn)
	return s
}

// The refusals that more than one file needs.
var (
	// ErrUnauthenticated is the answer to a missing, unknown, ended or expired token.
	ErrUnauthenticated = problem.New(problem.Unauthenticated, "Sign in first: there is no valid session.")
	// ErrNoUser is the answer where a person does not exist.
	ErrNoUser    = problem.New(problem.NotFound, "There is no such person.")
	errNotAdmin  = problem.New(problem.Forbidden, "Only an admin may do this.")
	errLastAdmin = problem.New(problem.Conflict, "This is the last admin; make somebody else an admin first.")
)

const (
	tick       = time.Second
	pruneEvery = 10 * time.Minute
	// foldEvery is how often names are looked for that another version wrote; foldRows of them
	// are made findable at a time.
	foldEvery = 10 * time.Second
	foldRows  = 2000
)

// Run closes the sockets of sessions that ended elsewhere, writes which sessions are in
// use, and removes what is out of date, until ctx ends. It outlives an unreachable
// database. It always returns nil.
func (s *Service) Run(ctx context.Context) error {
	t := time.NewTicker(tick)
	defer t.Stop()
	var (
		seen    time.Time // by the database's clock, up to when ended sessions were read
		pruneAt time.Time
		foldAt  time.Time
		failing bool
	)
	defer s.writeLastAudit(ctx)
	var deleting sync.WaitGroup
	deleting.Go(func() { s.cfg.Failures.Loop(ctx, "delete accounts", s.sweepDeletions) })
	defer deleting.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		err := s.cfg.Failures.Do("look after sessions", func() (err error) {
			err = s.closeEnded(ctx, &seen)
			if err == nil {
				err = s.writeUsed(ctx)
			}
			if err == nil {
				err = s.writeAudit(ctx)
			}
			if now := time.Now(); err == nil && now.After(pruneAt) {
				if err = s.prune(ctx); err == nil {
					pruneAt = now.Add(pruneEvery)
				}
			}
			if now := time.Now(); err == nil && now.After(foldAt) {
				var all bool
				if all, err = s.foldNames(ctx); all {
					foldAt = now.Add(foldEvery)
				}
			}
			return err
		})
		if ctx.Err() != nil {
			return nil
		}
		if failing != (err != nil) { // an outage is two lines, not one a second
			failing = err != nil
			if failing {
				s.log.Warn("looking after sessions fails; trying again each second", "err", err)
			} else {
				s.log.Info("looking after sessions works again")
			}
		}
	}
}

// writeLastAudit writes the events of the last moments before the end.
func (s *Service) writeLastAudit(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tick)
	defer cancel()
	if err := s.writeAudit(ctx); err != nil {
		s.log.Warn("the last security events are not in the audit table", "err", err)
	}
}

// foldNames writes the search terms of some names that another version of the server wrote, and
// says whether those were all of them.
func (s *Service) foldNames(ctx context.Context) (all bool, err error) {
	ids, names, err := s.q.staleNames(ctx, foldRows)
	if err != nil {
		return false, fmt.Errorf("find names without search terms: %w", err)
	}
	if len(ids) == 0 {
		return true, nil
	}
	terms := make([]string, len(names))
	for i, name := range names {
		terms[i] = searchTerms(name)
	}
	if err := s.q.updateSearchTerms(ctx, ids, names, terms); err != nil {
		return false, fmt.Errorf("write search terms: %w", err)
	}
	return len(ids) < foldRows, nil
}

// fieldError refuses one field of a request, in the same form as the validation of the
// request's shape does.
func fieldError(code problem.Code, field, message string) *problem.Error {
	return &problem.Error{Code: code, Detail: message,
		Fields: []problem.Field{{Location: "body." + field, Message: message}}}
}
