package presence

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"parley/accounts"
	"parley/chat"
)

// Routes registers the look-ups of presence.
func (s *Service) Routes(api huma.API) {
	tags := []string{"Presence"}
	huma.Register(api, huma.Operation{
		OperationID: "get-presence", Method: http.MethodGet, Path: "/users/{id}/presence", Tags: tags,
		Summary: "Whether somebody is here", Description: "Of people with whom one shares a conversation; of others: not_found.",
	}, s.httpUser)
	huma.Register(api, huma.Operation{
		OperationID: "list-presence", Method: http.MethodGet, Path: "/conversations/{id}/presence", Tags: tags,
		Summary: "Who of the members is here",
	}, s.httpMembers)
}

type userInput struct {
	ID accounts.UserID `path:"id" format:"uuid"`
}

type userOutput struct{ Body State }

func (s *Service) httpUser(ctx context.Context, in *userInput) (*userOutput, error) {
	list, err := s.q.states(ctx, accounts.Caller(ctx).UserID, []accounts.UserID{in.ID})
	if err != nil {
		return nil, fmt.Errorf("read presence: %w", err)
	}
	if len(list) == 0 {
		return nil, accounts.ErrNoUser
	}
	return &userOutput{list[0]}, nil
}

type presentInput struct {
	ID chat.ConversationID `path:"id" format:"uuid"`
}

type presentOutput struct {
	Body struct {
		Members []State `json:"members"`
	}
}

func (s *Service) httpMembers(ctx context.Context, in *presentInput) (*presentOutput, error) {
	list, err := s.q.membersStates(ctx, accounts.Caller(ctx).UserID, in.ID)
	if err != nil {
		return nil, fmt.Errorf("read presence: %w", err)
	}
	if len(list) == 0 { // a member would see themselves
		return nil, chat.ErrNotMember
	}
	out := &presentOutput{}
	out.Body.Members = list
	return out, nil
}
