package chat

import (
	"context"

	"parley/accounts"
	"parley/hub"
)

// ProfileChanged tells everybody who is connected and shares a conversation with a person, and
// that person, what they are called now. It does not block.
func (s *Service) ProfileChanged(user accounts.UserID) {
	s.profiles.Tell(user, struct{}{})
	s.errand(func(ctx context.Context) { s.showProfile(ctx, user) })
}

func (s *Service) showProfile(ctx context.Context, user accounts.UserID) {
	if err := s.tellProfile(ctx, user); err != nil {
		s.cfg.Logger.Warn("telling of a changed profile", "user_id", user, "err", err)
	}
}

func (s *Service) tellProfile(ctx context.Context, user accounts.UserID) error {
	person, err := s.cfg.Person(ctx, user)
	if err != nil {
		return err
	}
	shared, err := s.q.memberships(ctx, user, nil)
	if err != nil {
		return err
	}
	if person.Deleted { // may have left by now; names are shown wherever the user ever was
		if shared, err = s.everShared(ctx, user); err != nil {
			return err
		}
	}
	event := s.event("user", person)
	told := make(map[*hub.Conn]bool)
	tell := func(conns []*hub.Conn) {
		for _, c := range conns {
			if !told[c] {
				told[c] = true
				c.Send(event)
			}
		}
	}
	tell(s.byUser.Conns(user))
	for _, m := range shared {
		tell(s.byConv.Conns(m.id))
	}
	return nil
}

// everShared gives the conversations that a deleted user is or was in.
func (s *Service) everShared(ctx context.Context, user accounts.UserID) (shared []membership, err error) {
	var after ConversationID
	for {
		ids, err := s.q.conversationsEver(ctx, user, after, leavingPage)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			shared = append(shared, membership{id: id})
			after = id
		}
		if len(ids) < leavingPage {
			return shared, nil
		}
	}
}
