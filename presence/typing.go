package presence

import (
	"context"
	"time"

	"parley/accounts"
	"parley/chat"
	"parley/hub"
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
	if s.mayType(t, time.Now()) {
		s.tellTyping(t)
		s.typists.Tell(t, struct{}{})
	}
	return struct{}{}, nil
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
// conversation, or none.
func (s *Service) tellTyping(t Typing) {
	var frame []byte
	for _, c := range s.cfg.ByConversation.Conns(t.ConversationID) {
		if accounts.UserID(c.UserID) == t.UserID || !s.shows(c, t.ConversationID) {
			continue
		}
		if frame == nil {
			frame = s.event("typing", t)
		}
		c.Send(frame)
	}
}
