package presence

import (
	"context"
	"fmt"
	"slices"

	"parley/accounts"
	"parley/chat"
	"parley/hub"
	"parley/problem"
)

// maxWatched is how many people one connection watches at most: two groups' worth.
const maxWatched = 1000

var errWatched = problem.Newf(problem.TooLarge, "A connection watches %d people at most.", maxWatched)

// Frames registers presence.watch, presence.unwatch and typing.start. presence.heartbeat is
// the hub's: any frame is a sign of life.
func (s *Service) Frames(m *hub.Mux) {
	m.Handle("presence.watch", s.frameWatch)
	m.Handle("presence.unwatch", s.frameUnwatch)
	m.Handle("typing.start", s.frameTyping)
}

type watchData struct {
	UserIDs        []accounts.UserID    `json:"user_ids"`
	ConversationID *chat.ConversationID `json:"conversation_id"`
}

type states struct {
	Users []State `json:"users"`
}

// frameWatch watches people, and answers with what they are now: those alone with whom the
// user shares a conversation. With a conversation it says what the connection shows from
// now on.
func (s *Service) frameWatch(ctx context.Context, r *hub.Request) (any, error) {
	var data watchData
	if err := r.Bind(&data); err != nil {
		return nil, err
	}
	if len(s.watchers.Keys(r.Conn))+len(data.UserIDs) > maxWatched {
		return nil, errWatched
	}
	if data.ConversationID != nil {
		if !s.cfg.ByConversation.Has(*data.ConversationID, r.Conn) {
			return nil, chat.ErrNotMember
		}
		s.show(r.Conn, *data.ConversationID)
	}
	// Before they are read: what changes from then on is told. Who may not be known of is
	// never told of, and taken off again.
	s.watchers.Join(r.Conn, data.UserIDs...)
	list, err := s.q.states(ctx, accounts.UserID(r.Conn.UserID), data.UserIDs)
	if err != nil {
		return nil, fmt.Errorf("read presence: %w", err)
	}
	for _, user := range data.UserIDs {
		if !slices.ContainsFunc(list, func(state State) bool { return state.UserID == user }) {
			s.watchers.Leave(r.Conn, user)
		}
	}
	return states{list}, nil
}

// frameUnwatch watches people no more; with a conversation, the connection shows none.
func (s *Service) frameUnwatch(_ context.Context, r *hub.Request) (any, error) {
	var data watchData
	if err := r.Bind(&data); err != nil {
		return nil, err
	}
	for _, user := range data.UserIDs {
		s.watchers.Leave(r.Conn, user)
	}
	if data.ConversationID != nil {
		s.show(r.Conn, chat.ConversationID{})
	}
	return states{[]State{}}, nil
}

// show notes which conversation a connection shows; the zero id is none.
func (s *Service) show(c *hub.Conn, id chat.ConversationID) {
	for _, old := range s.showing.Keys(c) {
		s.showing.Leave(c, old)
	}
	s.showing.Join(c, id)
}
