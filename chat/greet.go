package chat

import (
	"context"
	"fmt"

	"parley/accounts"
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

// greetings is what connections get before the first entry of a conversation that is new to
// them.
type greetings struct {
	// hello is the event conversation, by user.
	hello map[accounts.UserID][]byte
	// created is entry 1 of the direct conversation whose first message is to pass, else nil.
	created *Entry
}

// greet prepares what the connections of those whom entries of one conversation let in are
// told first: what the conversation looks like to them. One statement for all of them, and
// none if nobody of them is connected here. Connections that are in the conversation by now
// may have been put out before their entry passes: then they need it too. Without its
// greeting, a client that gets an entry of a conversation it does not know asks for it.
//
// With an error, the first message is among the entries and may not pass yet.
func (s *Service) greet(ctx context.Context, entries ...Entry) (g greetings, err error) {
	var users []accounts.UserID
	add := func(of Entry) {
		for _, user := range of.admitted() {
			if s.byUser.Any(user) {
				users = append(users, user)
			}
		}
	}
	for _, e := range entries {
		add(e)
		if !e.mayReveal() {
			continue
		}
		if g.created, err = s.created(ctx, e.ConversationID); err != nil {
			s.cfg.Logger.Warn("reading the first entry for delivery", "conversation_id", e.ConversationID, "err", err)
			return g, err
		}
		if g.created != nil && e.Seq == entries[0].Seq { // else entry 1 was added already
			add(*g.created)
		}
	}
	if len(users) > 0 {
		g.hello = s.greeting(ctx, entries[0].ConversationID, users...)
	}
	return g, nil
}

// created reads entry 1 of a direct conversation; nil of a group.
func (s *Service) created(ctx context.Context, id ConversationID) (*Entry, error) {
	entries, err := s.q.entriesBehind(ctx, []head{{id, 0}}, 1, 1)
	switch {
	case err != nil:
		return nil, err
	case len(entries) == 0 || entries[0].Kind != KindCreated:
		return nil, fmt.Errorf("the log of %v has no beginning", id)
	case entries[0].Title != "":
		return nil, nil
	}
	return &entries[0], nil
}

// greeting is what the connections of some members are told of a conversation before its
// entries; nothing for those whom it is hidden from.
func (s *Service) greeting(ctx context.Context, id ConversationID, users ...accounts.UserID) map[accounts.UserID][]byte {
	faces, err := s.q.conversationFor(ctx, id, users)
	if err != nil {
		s.cfg.Logger.Warn("greeting new members", "conversation_id", id, "err", err)
		s.gates.doubt()
		return nil
	}
	greetings := make(map[accounts.UserID][]byte, len(faces))
	for _, c := range faces {
		greetings[c.user] = s.event("conversation", c)
	}
	return greetings
}
