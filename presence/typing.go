package presence

import (
	"context"
	"fmt"
	"slices"
	"time"

	"parley/accounts"
	"parley/chat"
	"parley/hub"
	"parley/problem"
)

// typingEvery is how often somebody is said to be typing in one conversation at most. Those
// who are told stop showing it after 5 seconds, or when the message comes.
const typingEvery = 2500 * time.Millisecond

// Typing is the event: somebody is typing.
type Typing struct {
	ConversationID chat.ConversationID `json:"conversation_id"`
	UserID         accounts.UserID     `json:"user_id"`
}

func (s *Service) frameTyping(ctx context.Context, r *hub.Request) (any, error) {
	var data struct {
		ConversationID chat.ConversationID `json:"conversation_id"`
	}
	if err := r.Bind(&data); err != nil {
		return nil, err
	}
	if err := chat.Includes(ctx, s.cfg.DB, s.cfg.ByConversation, data.ConversationID, r.Conn); err != nil {
		return nil, err
	}
	t := Typing{data.ConversationID, accounts.UserID(r.Conn.UserID)}
	if !s.mayType(t, time.Now()) {
		return struct{}{}, nil
	}
	who, found, err := s.q.typing(ctx, t)
	switch {
	case err != nil:
		s.forgetTyping(t)
		return nil, fmt.Errorf("find who may see typing: %w", err)
	case !found:
		s.forgetTyping(t)
		return nil, chat.ErrNotMember
	case who.blocked:
		s.forgetTyping(t)
		return nil, errBlocked
	case who.shown && len(who.unseen) <= maxUnseen:
		s.tellTyping(t, unseen{who.unseen})
		s.typists.Tell(t, unseen{who.unseen})
	}
	return struct{}{}, nil
}

var errBlocked = problem.New(problem.Forbidden, "You cannot write to this person.")

// unseen are users to whom a user's typing is not published.
type unseen struct {
	Users []accounts.UserID `json:"x,omitempty"`
}

// forgetTyping lets what was refused be decided anew the next time.
func (s *Service) forgetTyping(t Typing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.typing, t)
}

func (s *Service) mayType(t Typing, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.typing[t]) < typingEvery {
		return false
	}
	s.typing[t] = now
	return true
}

// tellTyping tells the others' connections, but for those that said that they show another
// conversation, or none, and of users between whom and the typist is a block.
func (s *Service) tellTyping(t Typing, not unseen) {
	var frame []byte
	for _, c := range s.cfg.ByConversation.Conns(t.ConversationID) {
		user := accounts.UserID(c.UserID)
		if user == t.UserID || !s.shows(c, t.ConversationID) || slices.Contains(not.Users, user) {
			continue
		}
		if frame == nil {
			frame = s.event("typing", t)
		}
		c.Send(frame)
	}
}
