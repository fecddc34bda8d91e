package chat

import (
	"context"

	"parley/accounts"
	"parley/hub"
)

// admitted are those whom an entry makes members.
func (e Entry) admitted() []accounts.UserID {
	switch e.Kind {
	case KindCreated:
		return e.UserIDs
	case KindMemberAdded:
		return []accounts.UserID{e.UserID}
	}
	return nil
}

// greet prepares what the connections of those whom entries of one conversation let in are
// told first: what the conversation looks like to them. One statement for all of them, and
// none if nobody of them is connected here. Connections that are in the conversation by now
// may have been put out before their entry passes: then they need it too. Without its
// greeting, a client that gets an entry of a conversation it does not know asks for it.
func (s *Service) greet(ctx context.Context, entries ...Entry) map[accounts.UserID][]byte {
	var users []accounts.UserID
	for _, e := range entries {
		for _, user := range e.admitted() {
			if s.byUser.Any(user) {
				users = append(users, user)
			}
		}
	}
	if len(users) == 0 {
		return nil
	}
	return s.greeting(ctx, entries[0].ConversationID, users...)
}

// greeting is what the connections of some members are told of a conversation before its
// entries.
func (s *Service) greeting(ctx context.Context, id ConversationID, users ...accounts.UserID) map[accounts.UserID][]byte {
	faces, err := s.q.conversationFor(ctx, id, users)
	if err != nil {
		s.cfg.Logger.Warn("greeting new members", "conversation_id", id, "err", err)
		return nil
	}
	greetings := make(map[accounts.UserID][]byte, len(faces))
	for _, c := range faces {
		greetings[c.user] = hub.EncodeEvent("conversation", c)
	}
	return greetings
}
