package accounts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"parley/problem"
	"parley/store"
)

// InviteID names an invite.
type InviteID = store.ID[Invite]

// Invite lets somebody sign up.
type Invite struct {
	ID        InviteID  `json:"id" format:"uuid"`
	CreatedBy UserID    `json:"created_by" format:"uuid"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	UsesLeft  int       `json:"uses_left" doc:"How many people can still sign up with it"`
}

// NewInvite is a new invite with its code, which is not kept and shown this once.
type NewInvite struct {
	ID        InviteID  `json:"id" format:"uuid"`
	Code      string    `json:"code" example:"9tYb0m5xQk2vWc7dLr1sZA"`
	URL       string    `json:"url" doc:"For the person invited; the code is in the fragment, which browsers do not send" example:"https://chat.example.org/join#9tYb0m5xQk2vWc7dLr1sZA"`
	ExpiresAt time.Time `json:"expires_at"`
}

const inviteLife = 7 * 24 * time.Hour // unless said otherwise

// invitesPerHour is how many invites a user may make, by this replica.
const invitesPerHour = 50

// Somebody can have a thousand invites open; that many are also what a list shows.
const maxOpenInvites = 1000

var (
	errNoInvite       = problem.New(problem.NotFound, "There is no such invite.")
	errTooManyInvites = problem.Newf(problem.Conflict, "You have %d open invites. Withdraw some, or let them expire.", maxOpenInvites)
)

func (s *Service) mayInvite(r Role) bool { return r == RoleAdmin || s.cfg.MembersInvite }

// signup is who may make an account.
func (s *Service) signup() SignupMode {
	switch m := cmp.Or(s.cfg.Signup, SignupInvite); m {
	case SignupInvite, SignupOpen:
		return m
	}
	return SignupClosed
}

// Invite makes an invite that works for the time given, zero for a week, and for so many
// people, zero for one. Members need MembersInvite.
func (s *Service) Invite(ctx context.Context, who Identity, life time.Duration, uses int) (NewInvite, error) {
	switch {
	case !s.mayInvite(who.Role):
		return NewInvite{}, errNotAdmin
	case s.signup() == SignupClosed:
		return NewInvite{}, errSignupClosed
	}
	if err := s.inviteBudget.Take(who.UserID, 1); err != nil {
		return NewInvite{}, err
	}
	life, uses = cmp.Or(life, inviteLife), cmp.Or(uses, 1)
	code, hash := newSecret(codeBytes)
	i := NewInvite{ID: store.NewID[Invite](), Code: code}
	var ok bool
	var err error
	i.ExpiresAt, ok, err = s.q.insertInvite(ctx, i.ID, hash, who.UserID, s.cfg.MembersInvite, uses, life)
	if err != nil {
		return NewInvite{}, fmt.Errorf("make an invite: %w", err)
	}
	if !ok {
		return NewInvite{}, errTooManyInvites
	}
	if s.cfg.PublicURL != nil {
		i.URL = s.cfg.PublicURL(ctx)
	}
	i.URL += "/join#" + code
	s.record(ctx, event{kind: AuditInviteCreated, user: who.UserID, detail: i.ID.String()})
	return i, nil
}

// InviteWorks tells whether an account can be created with an invite's code now.
func (s *Service) InviteWorks(ctx context.Context, code string) (bool, error) {
	switch s.signup() {
	case SignupOpen:
		return true, nil
	case SignupInvite:
	default:
		return false, nil
	}
	_, err := s.checkCode(ctx, inviteChecks, code, RoleMember, errInvite)
	if errors.Is(err, errInvite) {
		return false, nil
	}
	return err == nil, err
}

// Invites gives the open invites, the newest first: an admin's view is of all, a member's
// of their own.
func (s *Service) Invites(ctx context.Context, who Identity) ([]Invite, error) {
	if !s.mayInvite(who.Role) {
		return nil, errNotAdmin
	}
	list, err := s.q.invites(ctx, who.UserID, who.Role == RoleAdmin, maxOpenInvites)
	if err != nil {
		return nil, fmt.Errorf("list invites: %w", err)
	}
	return list, nil
}

// Withdraw deletes an invite: an admin any, a member their own.
func (s *Service) Withdraw(ctx context.Context, who Identity, id InviteID) error {
	if !s.mayInvite(who.Role) {
		return errNotAdmin
	}
	deleted, err := s.q.deleteInvite(ctx, id, who.UserID, who.Role == RoleAdmin)
	if err != nil {
		return fmt.Errorf("withdraw an invite: %w", err)
	}
	if !deleted {
		return errNoInvite
	}
	s.record(ctx, event{kind: AuditInviteRevoked, user: who.UserID, detail: id.String()})
	return nil
}
