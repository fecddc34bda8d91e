package reports

import (
	"context"
	"time"

	"parley/accounts"
	"parley/hub"
)

// Event is what a connection is told of a report: an admin's, that one was made or decided and how
// many are open; the reporter's, what was decided.
type Event struct {
	ID       ID        `json:"id"`
	State    State     `json:"state"`
	Open     *int      `json:"open,omitempty"`
	Decision *Decision `json:"decision,omitempty"`
	Answer   string    `json:"answer,omitempty"`
}

// tell tells connections of a report, here and on the other replicas.
func (s *Service) tell(id ID) {
	s.news.Tell(id, struct{}{})
	s.tellHere(id)
}

// tellHere has Run tell connections here. What comes beyond the bound is left out: lists show it.
func (s *Service) tellHere(id ID) {
	select {
	case s.untold <- id:
	default:
	}
}

// Run tells connections of reports, and deletes old ones, until ctx ends. It always returns nil.
func (s *Service) Run(ctx context.Context) error {
	s.cfg.Failures.Loop(ctx, "look after reports", s.run)
	return nil
}

func (s *Service) run(ctx context.Context) {
	prune := time.NewTimer(0)
	defer prune.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case id := <-s.untold:
			if err := s.show(ctx, id); err != nil && ctx.Err() == nil {
				s.cfg.Logger.Warn("tell of a report", "report_id", id, "err", err)
			}
		case <-prune.C:
			pause := pruneEvery
			if n, err := s.prune(ctx); err != nil && ctx.Err() == nil {
				s.cfg.Logger.Warn("delete old reports; trying again later", "err", err)
			} else if n == pruneBatch {
				pause = time.Second
			}
			prune.Reset(pause)
		}
	}
}

// show reads how a report is by now, and tells those connections here that it concerns.
func (s *Service) show(ctx context.Context, id ID) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	n, found, err := s.q.news(ctx, id)
	if err != nil || !found {
		return err
	}
	s.publish(Event{ID: id, State: stateOf(n.decision), Open: &n.open}, n.admins...)
	if n.decision != nil {
		s.publish(Event{ID: id, State: Closed, Decision: n.decision, Answer: n.answer}, n.reporter)
	}
	return nil
}

func (s *Service) publish(e Event, to ...accounts.UserID) {
	var frame []byte
	for _, user := range to {
		if !s.cfg.ByUser.Any(user) {
			continue
		}
		if frame == nil {
			var err error
			if frame, err = hub.EncodeEvent("report", e); err != nil {
				s.cfg.Failures.Report("encode the event report", err)
				return
			}
		}
		s.cfg.ByUser.Publish(user, frame)
	}
}

// prune deletes a batch of reports that were decided long ago.
func (s *Service) prune(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	return s.q.deleteDecided(ctx, keepDecided, pruneBatch)
}
