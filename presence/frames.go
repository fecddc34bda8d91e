package presence

import (
	"context"
	"fmt"

	"github.com/google/uuid"

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
	if data.ConversationID != nil {
		if err := chat.Includes(ctx, s.cfg.DB, s.cfg.ByConversation, *data.ConversationID, r.Conn); err != nil {
			return nil, err
		}
	}
	watched := make(map[accounts.UserID]bool) // true: from now on
	for _, user := range s.watchers.Keys(r.Conn) {
		watched[user] = false
	}
	for _, user := range data.UserIDs {
		if _, already := watched[user]; !already {
			watched[user] = true
		}
	}
	if len(watched) > maxWatched {
		return nil, errWatched
	}
	leave, err := s.cfg.Reads.Enter(ctx, accounts.UserID(r.Conn.UserID))
	if err != nil {
		return nil, err
	}
	defer leave()
	defer s.answered(r.Conn)
	for {
		s.answering(r.Conn)
		// Before they are read: what changes from then on is told. Who may not be known of is
		// never told of, and taken off again.
		s.watchers.Join(r.Conn, data.UserIDs...)
		list, err := s.q.states(ctx, accounts.UserID(r.Conn.UserID), data.UserIDs)
		if err != nil {
			for user, isNew := range watched {
				if isNew {
					s.watchers.Leave(r.Conn, user)
				}
			}
			return nil, fmt.Errorf("read presence: %w", err)
		}
		known := make(map[accounts.UserID]bool, len(list))
		for _, state := range list {
			known[state.UserID] = true
		}
		for _, user := range data.UserIDs {
			if !known[user] {
				s.watchers.Leave(r.Conn, user)
			}
		}
		if data.ConversationID != nil {
			s.show(r.Conn, *data.ConversationID)
		}
		if s.replyFirst(r, list) {
			return nil, hub.ErrLater
		}
	}
}

// answering notes that what is read from now on is for a connection.
func (s *Service) answering(c *hub.Conn) {
	s.telling.Lock()
	defer s.telling.Unlock()
	s.overtaken[c] = false
}

func (s *Service) answered(c *hub.Conn) {
	s.telling.Lock()
	defer s.telling.Unlock()
	delete(s.overtaken, c)
}

// replyFirst answers with what was read, unless the connection was told something since: that
// may be newer, and what comes last has to be how it is.
func (s *Service) replyFirst(r *hub.Request, list []State) bool {
	s.telling.Lock()
	defer s.telling.Unlock()
	if s.overtaken[r.Conn] {
		return false
	}
	r.Reply(states{list})
	return true
}

// frameUnwatch watches people no more; with a conversation, the connection shows none, unless
// it shows another one by now.
func (s *Service) frameUnwatch(_ context.Context, r *hub.Request) (any, error) {
	var data watchData
	if err := r.Bind(&data); err != nil {
		return nil, err
	}
	for _, user := range data.UserIDs {
		s.watchers.Leave(r.Conn, user)
	}
	if data.ConversationID != nil && s.shows(r.Conn, *data.ConversationID) {
		s.show(r.Conn, chat.ConversationID{})
	}
	return states{[]State{}}, nil
}

// shown is that a connection shows a conversation, or none (the zero id). The connection is
// part of the key because nobody asks who shows one, only what somebody shows.
type shown struct {
	conn         uuid.UUID
	conversation chat.ConversationID
}

// show notes which conversation a connection shows.
func (s *Service) show(c *hub.Conn, id chat.ConversationID) {
	for _, old := range s.showing.Keys(c) {
		s.showing.Leave(c, old)
	}
	s.showing.Join(c, shown{c.ID, id})
}

// shows says whether a connection may be showing a conversation: it said so, or it never said
// what it shows.
func (s *Service) shows(c *hub.Conn, id chat.ConversationID) bool {
	list := s.showing.Keys(c)
	return len(list) == 0 || list[0].conversation == id
}
