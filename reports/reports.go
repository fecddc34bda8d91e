// Package reports owns what users report to the admins: a message, why, and what became of it. It
// promises: a report is written only by a user who can read the message; admins see the text as of
// the report and a few messages around it that the reporter can read, and nothing after the
// decision; each report is decided once. The removal of a message and the disabling of its sender
// are done by others, in one transaction with the decision.
package reports

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"parley/accounts"
	"parley/budget"
	"parley/chat"
	"parley/failures"
	"parley/hub"
	"parley/problem"
	"parley/store"
)

// ID names a report.
type ID = store.ID[Report]

// Reason is why a message is reported.
type Reason string

// Decision is what an admin did about a report.
type Decision string

// The decisions.
const (
	Removed   Decision = "removed"   // the message was deleted
	Disabled  Decision = "disabled"  // its sender was disabled
	Dismissed Decision = "dismissed" // nothing
)

// State says whether a report is decided.
type State string

// The states.
const (
	Open   State = "open"
	Closed State = "closed"
)

// Limits; docs/PROTOCOL.md has them.
const (
	perHour     = 20   // reports of a user, on a replica
	maxOpen     = 100  // open reports of a user
	maxText     = 1000 // characters of a comment or an answer
	aroundEach  = 5    // messages shown before and after a reported one
	countedOpen = 100  // stands for as many or more open reports

	keepDecided  = 90 * 24 * time.Hour
	pruneEvery   = 10 * time.Minute
	pruneBatch   = 1000
	maxUntold    = 1000 // decided or new reports that wait to be told of
	queryTimeout = 5 * time.Second
)

var (
	errNotAdmin  = problem.New(problem.Forbidden, "Only an admin may do this.")
	errNoReport  = problem.New(problem.NotFound, "There is no such report.")
	errOwn       = problem.New(problem.Invalid, "This is your own message. Delete it instead.")
	errTooMany   = problem.Newf(problem.TooLarge, "You have %d open reports. Wait until an admin has decided some.", maxOpen)
	errDisableMe = problem.New(problem.Conflict, "You cannot disable your own account.")
	errMyMessage = problem.New(problem.Forbidden, "This is about your own message. Another admin has to decide.")
	errCursor    = problem.New(problem.Invalid, "Unknown cursor.")
)

// Removal deletes messages for an admin; chat.Service does.
type Removal interface {
	Remove(ctx context.Context, admin accounts.UserID, id chat.ConversationID, seq chat.Seq, allow func(context.Context, pgx.Tx) error) error
}

// Users disables users; accounts.Service does.
type Users interface {
	ChangeUser(ctx context.Context, admin accounts.Identity, id accounts.UserID, c accounts.Change) (accounts.User, error)
}

// Config is what a Service needs.
type Config struct {
	DB       *store.DB
	Bus      *store.Bus // nil: no other replica serves the database
	Logger   *slog.Logger
	ByUser   *hub.Topics[accounts.UserID]
	Messages Removal
	Users    Users
	// OnDecided, if set, is called once after each decision.
	OnDecided func(ctx context.Context, admin accounts.Identity, sender accounts.UserID, decision, report string)
	// OnLimit, if set, is called when a user is beyond their budget.
	OnLimit    func(ctx context.Context, name string, user accounts.UserID)
	RateLimits bool
	// Failures counts panics and events that cannot be encoded.
	Failures *failures.Log
}

// Service keeps the reports.
type Service struct {
	cfg    Config
	q      queries
	budget *budget.Rate[accounts.UserID] // nil without rate limits
	news   *store.Topic[ID, struct{}]    // to and from the other replicas
	untold chan ID                       // whose state is to be told to connections here
}

// New makes a Service.
func New(cfg Config) *Service {
	s := &Service{cfg: cfg, q: queries{cfg.DB}, untold: make(chan ID, maxUntold)}
	if cfg.RateLimits {
		s.budget = budget.NewRate[accounts.UserID](perHour, time.Hour, perHour, "You have reported too many messages in the last hour. Try again later.")
	}
	s.news = store.NewTopic(cfg.Bus, "report", store.Same, func(id ID, _ struct{}) { s.tellHere(id) })
	return s
}

// NewReport is what a user reports.
type NewReport struct {
	ConversationID chat.ConversationID
	Seq            chat.Seq
	Reason         Reason
	Comment        string
}

// Create reports a message, and gives the id of the report: of the first one, if the user reported
// it before. Errors: chat.ErrNoMessage, also for a message that the user cannot read;
// chat.ErrDeleted; and the codes invalid, too_large and rate_limited.
func (s *Service) Create(ctx context.Context, reporter accounts.UserID, n NewReport) (ID, error) {
	if err := s.budget.Take(reporter, 1); err != nil {
		if s.cfg.OnLimit != nil {
			s.cfg.OnLimit(ctx, "report", reporter)
		}
		return ID{}, err
	}
	n.Comment = strings.TrimSpace(n.Comment)
	outcome, id, err := s.q.create(ctx, reporter, n)
	if err != nil {
		return ID{}, fmt.Errorf("report a message: %w", err)
	}
	switch outcome {
	case "created":
		s.tell(id)
		return id, nil
	case "known":
		return id, nil
	case "deleted":
		return ID{}, chat.ErrDeleted
	case "own":
		return ID{}, errOwn
	case "too_many":
		return ID{}, errTooMany
	}
	return ID{}, chat.ErrNoMessage
}

// Choice is what an admin decides.
type Choice struct {
	Decision Decision
	Answer   string // to the reporter; may be empty
}

// Decide closes a report, and does what the decision says in the same transaction. Of two admins
// the first one decides; the other gets a conflict. The same decision by the same admin again is no
// error. A removal decides every open report of the message: there is nothing left to decide. A
// report about a message of the admin's own is for other admins, where there are any.
// Errors: errNoReport, errMyMessage, the conflict, what Config.Users refuses, and the code unavailable: try again.
func (s *Service) Decide(ctx context.Context, admin accounts.Identity, id ID, c Choice) error {
	if admin.Role != accounts.RoleAdmin {
		return errNotAdmin
	}
	c.Answer = strings.TrimSpace(c.Answer)
	r, found, err := s.q.about(ctx, admin.UserID, id)
	if err != nil {
		return fmt.Errorf("read a report: %w", err)
	}
	if !found {
		return errNoReport
	}
	if c.Decision == Disabled && r.sender == admin.UserID {
		return errDisableMe
	}
	var decided []ID
	decide := func(ctx context.Context, tx pgx.Tx) (err error) {
		decided, err = s.decideIn(ctx, tx, admin.UserID, id, c)
		return err
	}
	switch c.Decision {
	case Removed:
		err = s.cfg.Messages.Remove(ctx, admin.UserID, r.conversation, r.seq, decide)
	case Disabled:
		yes := true
		_, err = s.cfg.Users.ChangeUser(ctx, admin, r.sender, accounts.Change{Disabled: &yes, Also: decide})
	case Dismissed:
		err = s.cfg.DB.InTx(ctx, decide)
	}
	if errors.Is(err, errDone) {
		s.tell(id) // an earlier attempt may have ended before it
		return nil
	}
	if err != nil {
		// The commit may have happened and only its answer been lost: a retry would find nothing to do.
		now, found, readErr := s.q.about(ctx, admin.UserID, id)
		if readErr != nil || !found || len(decided) == 0 || now.decision == nil || *now.decision != c.Decision || now.decidedBy != admin.UserID {
			return err
		}
	}
	for _, id := range decided {
		if s.cfg.OnDecided != nil {
			s.cfg.OnDecided(ctx, admin, r.sender, string(c.Decision), id.String())
		}
		s.tell(id)
	}
	return nil
}

// errDone ends a transaction that an earlier attempt of the same admin has done.
var errDone = errors.New("the report has this decision already")

// decideIn writes the decision if the report is still open.
func (s *Service) decideIn(ctx context.Context, tx pgx.Tx, admin accounts.UserID, id ID, c Choice) ([]ID, error) {
	q := queries{tx}
	decided, err := q.decide(ctx, admin, id, c)
	if err != nil {
		return nil, fmt.Errorf("decide a report: %w", err)
	}
	if len(decided) > 0 {
		return decided, nil
	}
	r, found, err := q.about(ctx, admin, id)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read a decided report: %w", err)
	case !found:
		return nil, errNoReport
	case r.decision == nil && r.isForOthers:
		return nil, errMyMessage
	case r.decision == nil: // it was open, and the admin is no longer one
		return nil, errNotAdmin
	case *r.decision == c.Decision && r.decidedBy == admin:
		return nil, errDone
	}
	return nil, &problem.Error{
		Code: problem.Conflict, Detail: "Another admin decided this report: " + string(*r.decision) + ".",
		Fields: []problem.Field{{Location: "body.decision", Message: string(*r.decision)}},
	}
}
