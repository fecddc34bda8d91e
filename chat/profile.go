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
