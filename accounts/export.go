package accounts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"parley/problem"
)

// An export is a stream of lines. Its memory is bounded by a page of each list.
const (
	exportsPerDay = 5
	exportPage    = 500
	// exportCheck is how many lines are written before it is looked whether the session has ended.
	exportCheck = 1000
)

var (
	errExporting    = &problem.Error{Code: problem.RateLimited, Detail: "Your data is being downloaded already. Wait until that has ended.", RetryAfter: 10 * time.Second}
	errSessionEnded = errors.New("the session ended during the export")
)

// ExportWriter writes one line of an export: an object with a type and the fields of v.
type ExportWriter func(lineType string, v any) error

// exports are the users whose export is in progress on this replica.
type exports struct {
	mu    sync.Mutex // guards users
	users map[UserID]struct{}
}

func (e *exports) begin(user UserID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, running := e.users[user]; running {
		return false
	}
	if e.users == nil {
		e.users = map[UserID]struct{}{}
	}
	e.users[user] = struct{}{}
	return true
}

func (e *exports) end(user UserID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.users, user)
}

type exportedProfile struct {
	Profile
	CreatedAt time.Time `json:"created_at"`
}

type exportedSession struct {
	Session
	EndedAt *time.Time `json:"ended_at,omitempty"`
}

// BeginExport refuses an export, or gives what writes it, once. Errors: the codes
// confirmation_required and rate_limited.
func (s *Service) BeginExport(ctx context.Context, who Identity) (write func(context.Context, io.Writer) error, err error) {
	if err := s.requireConfirmation(ctx, who); err != nil {
		return nil, err
	}
	if !s.exporting.begin(who.UserID) {
		return nil, errExporting
	}
	if err := s.exportBudget.Take(who.UserID, 1); err != nil {
		s.exporting.end(who.UserID)
		return nil, s.onLimit(ctx, "export", who.UserID, err)
	}
	s.record(ctx, event{kind: AuditDataExported, user: who.UserID, session: who.SessionID})
	return func(ctx context.Context, w io.Writer) error {
		defer s.exporting.end(who.UserID)
		return s.export(ctx, who, w)
	}, nil
}

func (s *Service) export(ctx context.Context, who Identity, w io.Writer) error {
	lines := 0
	write := func(lineType string, v any) error {
		if lines++; lines%exportCheck == 0 {
			if open, err := s.q.sessionOpen(ctx, who); err != nil {
				return fmt.Errorf("look whether a session ended: %w", err)
			} else if !open {
				return errSessionEnded
			}
		}
		return writeLine(w, lineType, v)
	}
	if err := s.exportAccount(ctx, who, write); err != nil {
		return err
	}
	for _, export := range s.cfg.Exporters {
		if err := export(ctx, who.UserID, write); err != nil {
			return err
		}
	}
	// Without it, the stream was cut off.
	return writeLine(w, "end", struct {
		Lines int `json:"lines"`
	}{lines})
}

// writeLine puts the type before the fields of v, which is an object.
func writeLine(w io.Writer, lineType string, v any) error {
	fields, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode a line of type %s: %w", lineType, err)
	}
	line := append([]byte(`{"type":"`+lineType+`"`), ',')
	if len(fields) == len("{}") {
		line = line[:len(line)-1]
	}
	line = append(append(line, fields[1:]...), '\n')
	_, err = w.Write(line)
	return err
}

// exportAccount writes what this package has of a user.
func (s *Service) exportAccount(ctx context.Context, who Identity, write ExportWriter) error {
	p, err := s.Profile(ctx, who.UserID)
	if err != nil {
		return err
	}
	at, err := s.q.createdAt(ctx, who.UserID)
	if err != nil {
		return fmt.Errorf("read when an account was created: %w", err)
	}
	if err := write("profile", exportedProfile{p, at}); err != nil {
		return err
	}
	var afterSession SessionID
	for {
		list, err := s.q.exportedSessions(ctx, who.UserID, afterSession, exportPage)
		if err != nil {
			return fmt.Errorf("export sessions: %w", err)
		}
		for _, session := range list {
			session.Current = session.ID == who.SessionID
			if err := write("session", session); err != nil {
				return err
			}
			afterSession = session.ID
		}
		if len(list) < exportPage {
			break
		}
	}
	invites, err := s.q.invites(ctx, who.UserID, false, maxOpenInvites)
	if err != nil {
		return fmt.Errorf("export invites: %w", err)
	}
	for _, invite := range invites {
		if err := write("invite", invite); err != nil {
			return err
		}
	}
	var afterEvent int64
	for {
		list, err := s.q.exportedEvents(ctx, who.UserID, afterEvent, exportPage)
		if err != nil {
			return fmt.Errorf("export security events: %w", err)
		}
		for _, e := range list {
			if err := write("audit_event", e); err != nil {
				return err
			}
			afterEvent = e.ID
		}
		if len(list) < exportPage {
			return nil
		}
	}
}
