package receipts

import (
	"context"
	"fmt"
	"slices"
	"time"

	"parley/accounts"
	"parley/chat"
	"parley/hub"
)

// audience is whose marks are told to whom.
type audience struct {
	Conversation chat.ConversationID `json:"c"`
	User         accounts.UserID     `json:"u"` // zero: everybody in the group
	To           accounts.UserID     `json:"t"`
}

// told is how far the marks are.
type told struct {
	Delivered chat.Seq `json:"d"`
	Read      chat.Seq `json:"r"`
}

func (t told) merge(other told) told {
	return told{max(t.Delivered, other.Delivered), max(t.Read, other.Read)}
}

// tell gives publish what each is to know of marks that moved, and of what everybody has.
func (s *Service) tell(moved []raised, risen []lowest, publish func(e Event, to ...accounts.UserID)) {
	for _, r := range moved {
		switch {
		case r.peer == nil: // in a group
			publish(r.Event, r.UserID)
		case *r.tells:
			publish(r.Event, r.UserID, *r.peer)
		default:
			publish(r.Event, r.UserID)
			if r.arrived { // else the moment of reading is what this would tell
				r.ReadSeq = 0
				publish(r.Event, *r.peer)
			}
		}
	}
	for _, l := range risen {
		publish(l.Event, l.author)
	}
}

// publish tells people's connections, here and on the other replicas.
func (s *Service) publish(e Event, to ...accounts.UserID) {
	for _, user := range to {
		s.news.Tell(audience{e.ConversationID, e.UserID, user}, told{e.DeliveredSeq, e.ReadSeq})
	}
	s.show(e, to...)
}

// hear shows what another replica tells.
func (s *Service) hear(a audience, t told) {
	s.show(Event{a.Conversation, a.User, t.Delivered, t.Read}, a.To)
}

// show tells people's connections here, encoding once and only if there are any.
func (s *Service) show(e Event, to ...accounts.UserID) {
	var frame []byte
	for _, user := range to {
		if !s.cfg.ByUser.Any(user) {
			continue
		}
		if frame == nil {
			var err error
			if frame, err = hub.EncodeEvent("receipt", e); err != nil {
				s.cfg.Failures.Report("encode the event receipt", err)
				return
			}
		}
		for _, c := range s.cfg.ByUser.Conns(user) {
			// One that is not in it gets the conversation with its marks when it is let in.
			if s.cfg.ByConversation.Has(e.ConversationID, c) {
				c.Send(frame)
			}
		}
	}
}

// miss notes that what other replicas told since then may not have been heard.
func (s *Service) miss(since time.Time) {
	s.mu.Lock()
	if s.missed.IsZero() || since.Before(s.missed) {
		s.missed = since
	}
	s.mu.Unlock()
	s.rouse()
}

// missedPage is about how many conversations one statement asks for missed marks.
const missedPage = 1000

// findMissed shows the marks that may have been missed: marks only rise, so it is enough to
// say what they are now.
func (s *Service) findMissed(ctx context.Context) error {
	s.mu.Lock()
	since := s.missed
	s.missed = time.Time{}
	s.mu.Unlock()
	if since.IsZero() {
		return nil
	}
	done := false
	defer func() {
		if !done { // failed or panicked
			s.miss(since)
		}
	}()
	for page := range slices.Chunk(s.cfg.ByConversation.AllKeys(), missedPage) {
		moved, risen, err := s.q.movedWithin(ctx, page, time.Since(since))
		if err != nil {
			return fmt.Errorf("look for missed receipts: %w", err)
		}
		s.tell(moved, risen, s.show)
	}
	done = true
	return nil
}
