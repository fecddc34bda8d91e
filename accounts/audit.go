package accounts

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"parley/problem"
)

// AuditKind says what kind of security event happened.
type AuditKind string

// The kinds of security events.
const (
	AuditSignIn          AuditKind = "sign_in"
	AuditSignInFailed    AuditKind = "sign_in_failed"
	AuditSignUp          AuditKind = "sign_up"
	AuditSetUp           AuditKind = "set_up"
	AuditUserCreated     AuditKind = "user_created"
	AuditRoleChanged     AuditKind = "role_changed"
	AuditUserDisabled    AuditKind = "user_disabled"
	AuditUserEnabled     AuditKind = "user_enabled"
	AuditInviteCreated   AuditKind = "invite_created"
	AuditInviteUsed      AuditKind = "invite_used"
	AuditInviteRevoked   AuditKind = "invite_revoked"
	AuditSessionEnded    AuditKind = "session_ended"
	AuditPasswordChanged AuditKind = "password_changed"
	AuditPasswordReset   AuditKind = "password_reset"
	AuditPasswordWrong   AuditKind = "password_wrong"
	AuditLimitHit        AuditKind = "limit_hit"

	AuditPasswordConfirmed AuditKind = "password_confirmed"
	AuditDataExported      AuditKind = "data_exported"
	AuditUserDeleted       AuditKind = "user_deleted"
	AuditReportDecided     AuditKind = "report_decided"
)

// AuditEvent is one security event, or several that are equal within a minute.
type AuditEvent struct {
	ID        int64      `json:"id"`
	At        time.Time  `json:"at" doc:"When the first of them happened"`
	Kind      AuditKind  `json:"kind" enum:"sign_in,sign_in_failed,sign_up,set_up,user_created,role_changed,user_disabled,user_enabled,invite_created,invite_used,invite_revoked,session_ended,password_changed,password_reset,password_wrong,limit_hit,password_confirmed,data_exported,user_deleted,report_decided"`
	UserID    *UserID    `json:"user_id,omitempty" format:"uuid" doc:"Whom it is about, if that account exists"`
	ActorID   *UserID    `json:"actor_id,omitempty" format:"uuid" doc:"The user who did it to another user"`
	SessionID *SessionID `json:"session_id,omitempty" format:"uuid"`
	Address   string     `json:"address,omitempty" doc:"The client's address; empty for the command line"`
	Detail    string     `json:"detail,omitempty" doc:"The new role, the invite's id, which limit, or the decision and the id of a report; more for those beyond what is kept of a minute"`
	Count     int        `json:"count" doc:"How many times within the minute"`
}

const (
	defaultAuditAge = 180 * 24 * time.Hour
	auditBatch      = 5000
	auditBatches    = 20     // in one round of pruning
	maxAuditPending = 10_000 // not written yet, as during an outage of the database

	// Distinct rows of a kind that one process keeps of a minute; the rest is one row, counted.
	// Fewer of what needs no session: 20 a minute for 180 days are five million.
	maxAuditRows     = 60
	maxAuditRowsAnon = 20
)

// event is what equal events have in common.
type event struct {
	kind    AuditKind
	user    UserID
	actor   UserID
	session SessionID
	address string
	detail  string
}

type pendingEvent struct {
	event
	at    time.Time
	count int
}

// auditKey is a row.
type auditKey struct {
	event
	minute int64
}

// audit collects events until they are written.
type audit struct {
	mu      sync.Mutex // guards what follows
	minute  int64
	rows    map[event]struct{} // of the minute
	kinds   map[AuditKind]int  // rows of the minute
	pending map[auditKey]*pendingEvent
	dropped int
}

func newAudit() *audit {
	return &audit{rows: map[event]struct{}{}, kinds: map[AuditKind]int{}, pending: map[auditKey]*pendingEvent{}}
}

// add keeps an event, and says as what if it is the first like it within the minute.
func (a *audit) add(e event, now time.Time) (kept event, first bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if m := now.Unix() / 60; m != a.minute {
		a.minute = m
		clear(a.rows)
		clear(a.kinds)
	}
	if _, known := a.rows[e]; !known {
		most := maxAuditRows
		if e.kind == AuditSignInFailed || e.kind == AuditLimitHit {
			most = maxAuditRowsAnon
		}
		if a.kinds[e.kind] >= most {
			e = event{kind: e.kind, detail: "more"}
		} else {
			a.kinds[e.kind]++
		}
	}
	if _, known := a.rows[e]; !known {
		a.rows[e] = struct{}{}
		first = true
	}
	key := auditKey{e, a.minute}
	if p := a.pending[key]; p != nil {
		p.count++
	} else if len(a.pending) < maxAuditPending {
		a.pending[key] = &pendingEvent{e, now, 1}
	} else {
		a.dropped++
	}
	return e, first
}

// take gives what is not written yet.
func (a *audit) take() (events []pendingEvent, dropped int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.pending {
		events = append(events, *p)
	}
	clear(a.pending)
	dropped, a.dropped = a.dropped, 0
	return events, dropped
}

// putBack keeps events whose writing failed for the next try.
func (a *audit) putBack(events []pendingEvent) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range events {
		key := auditKey{e.event, e.at.Unix() / 60}
		if p := a.pending[key]; p != nil {
			p.count += e.count
			p.at = e.at
		} else {
			a.pending[key] = &e
		}
	}
}

// record logs a security event and keeps it for the audit table, with the client's address. The
// log has one line for equal events of a minute, the table their number.
func (s *Service) record(ctx context.Context, e event) {
	e.address = s.addressText(ctx)
	e, first := s.audit.add(e, time.Now())
	if !first {
		return
	}
	args := []any{"event", e.kind}
	if e.user != (UserID{}) {
		args = append(args, "user_id", e.user)
	}
	if e.actor != (UserID{}) {
		args = append(args, "actor_id", e.actor)
	}
	if e.session != (SessionID{}) {
		args = append(args, "session_id", e.session)
	}
	s.log.Info("security event", append(args, "address", e.address, "detail", e.detail)...)
}

// OnLimit records that a limit was hit: its name, and the user where there is one. It does not
// block, and may be called as often as limits are hit.
func (s *Service) OnLimit(ctx context.Context, name string, user UserID) {
	s.record(ctx, event{kind: AuditLimitHit, user: user, detail: name})
}

// ReportDecided records that an admin decided a report about a message of a user's.
func (s *Service) ReportDecided(ctx context.Context, admin Identity, sender UserID, decision, report string) {
	s.record(ctx, event{kind: AuditReportDecided, user: sender, actor: admin.UserID, detail: decision + " " + report})
}

// onLimit records err if it is that of a limit, and gives it back.
func (s *Service) onLimit(ctx context.Context, name string, user UserID, err error) error {
	var p *problem.Error
	if errors.As(err, &p) && p.Code == problem.RateLimited {
		s.OnLimit(ctx, name, user)
	}
	return err
}

// writeAudit writes the events that are not written yet.
func (s *Service) writeAudit(ctx context.Context) error {
	events, dropped := s.audit.take()
	if dropped > 0 {
		s.log.Warn("security events were lost: the database could not be reached for too long", "events", dropped)
	}
	if len(events) == 0 {
		return nil
	}
	if err := s.q.insertAuditEvents(ctx, events); err != nil {
		s.audit.putBack(events)
		return fmt.Errorf("write security events: %w", err)
	}
	return nil
}

// pruneAudit deletes events that are too old, in batches.
func (s *Service) pruneAudit(ctx context.Context) error {
	for range auditBatches {
		n, err := s.q.deleteOldAuditEvents(ctx, s.cfg.AuditAge, auditBatch)
		if err != nil {
			return fmt.Errorf("delete old security events: %w", err)
		}
		if n < auditBatch {
			break
		}
	}
	return nil
}

var errCursor = problem.New(problem.Invalid, "Unknown cursor.")

// Audit gives an admin the security events, the newest first, and the cursor of the next page, ""
// if there is none. An empty kind is every kind.
func (s *Service) Audit(ctx context.Context, who Identity, cursor string, limit int, kind AuditKind) (list []AuditEvent, next string, err error) {
	if who.Role != RoleAdmin {
		return nil, "", errNotAdmin
	}
	before := int64(math.MaxInt64)
	if cursor != "" {
		if before, err = strconv.ParseInt(cursor, 10, 64); err != nil || before <= 0 {
			return nil, "", errCursor
		}
	}
	if list, err = s.q.auditEvents(ctx, before, limit+1, kind); err != nil {
		return nil, "", fmt.Errorf("read security events: %w", err)
	}
	if len(list) > limit {
		list = list[:limit]
		next = strconv.FormatInt(list[limit-1].ID, 10)
	}
	if list == nil {
		list = []AuditEvent{}
	}
	return list, next, nil
}
