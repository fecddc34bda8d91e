package chat

import (
	"context"
	"fmt"

	"parley/accounts"
	"parley/hub"
	"parley/store"
)

// A direct conversation is hidden from the member who did not open it until its first message.
// Only what announces it is left out: the list, sync, events. Hidden is derived from the log,
// so that sending costs nothing for it: members.hidden_until_message and a last_seq of 1.

// hiddenFrom says whether the beginning of a conversation may be hidden from a member of it.
func (e Entry) hiddenFrom(user accounts.UserID) bool {
	return e.Kind == KindCreated && e.Title == "" && user != e.SenderID // groups have titles
}

// mayReveal says whether the entry may be the first message of a direct conversation.
func (e Entry) mayReveal() bool { return e.Seq == 2 && e.Kind == KindMessage }

// showAll lets in the connections of both sides of a direct conversation that are not in it,
// before its first message: they get the conversation and its first entry. The gate's lock is held.
func (g *gates) showAll(created Entry, greet greetings) {
	var frame []byte
	for _, user := range created.UserIDs {
		for _, c := range g.s.byUser.Conns(user) {
			if g.s.byConv.Has(created.ConversationID, c) {
				continue
			}
			if frame == nil {
				frame = g.s.event("entry", created)
			}
			if hello := greet.hello[user]; hello != nil {
				c.Send(hello)
			}
			c.SendEntry(frame, created.position())
			g.s.byConv.Join(c, created.ConversationID)
		}
	}
}

// await keeps a gate for a hidden conversation of a connected member: the first message is
// to find it, also if its hint is lost.
func (g *gates) await(a admission) {
	if !g.s.byUser.Any(a.user) {
		return
	}
	gt := g.locked(a.id, a.last)
	defer gt.mu.Unlock()
	if gt.delivered <= a.last {
		gt.waiting = a.user
	}
}

// reveal shows a hidden conversation to the member, who opened it too: the sweep lets in their
// connections.
func (s *Service) reveal(ctx context.Context, m mine) error {
	// The commit's answer may be lost, or a connection be opening: so it looks for a while.
	defer s.gates.doubt()
	if err := s.q.reveal(ctx, m.Conversation, m.User); err != nil {
		return fmt.Errorf("reveal a direct conversation: %w", err)
	}
	s.reveals.Tell(m, struct{}{})
	nudge(s.gates.admit)
	return nil
}

// Includes refuses a connection that may not act in a conversation: ErrNotMember. It may if it is
// in it, or if its user is a member whom the entry that lets them in has yet to reach. A member
// whom the conversation is hidden from may not.
func Includes(ctx context.Context, db store.Querier, in *hub.Topics[ConversationID], id ConversationID, c *hub.Conn) error {
	if in.Has(id, c) {
		return nil
	}
	found, err := queries{db: db}.memberships(ctx, accounts.UserID(c.UserID), []ConversationID{id})
	switch {
	case err != nil:
		return fmt.Errorf("find a membership: %w", err)
	case len(found) == 0, found[0].hidden:
		return ErrNotMember
	}
	return nil
}
