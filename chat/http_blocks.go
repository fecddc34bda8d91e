package chat

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"parley/accounts"
)

func (s *Service) blockRoutes(api huma.API) {
	const block = "/users/{id}/block"
	tags := []string{"Blocks"}
	huma.Register(api, huma.Operation{
		OperationID: "list-blocks", Method: http.MethodGet, Path: "/blocks", Tags: tags, Summary: "Users I block, by username",
	}, s.httpBlocks)
	huma.Register(api, huma.Operation{
		OperationID: "block-user", Method: http.MethodPut, Path: block, Tags: tags, Summary: "Block a user",
		Errors: []int{http.StatusNotFound, http.StatusRequestEntityTooLarge},
		Description: "Between the two there is no new direct conversation, nothing but deletions of one's own in the one there is, and no presence or typing, " +
			"in groups either. The blocked user cannot add the caller to a group, and causes the caller no notifications. The blocked user is not told.",
	}, s.httpBlock)
	huma.Register(api, huma.Operation{
		OperationID: "unblock-user", Method: http.MethodDelete, Path: block, Tags: tags, Summary: "Stop blocking a user",
		Errors: []int{http.StatusNotFound},
	}, s.httpUnblock)
	huma.Register(api, huma.Operation{
		OperationID: "accept-conversation", Method: http.MethodPut, Path: "/conversations/{id}/acceptance", Tags: []string{"Conversations"},
		Summary:     "Accept a direct conversation that the other side opened",
		Description: "From then on the other side sees the caller's presence, typing and read receipts in it. Writing accepts, too.",
	}, s.httpAccept)
}

type blocksOutput struct {
	Body struct {
		Users []accounts.User `json:"users"`
	}
}

func (s *Service) httpBlocks(ctx context.Context, _ *struct{}) (*blocksOutput, error) {
	out := &blocksOutput{}
	var err error
	out.Body.Users, err = s.Blocked(ctx, accounts.Caller(ctx).UserID)
	return out, err
}

type blockInput struct {
	ID accounts.UserID `path:"id" format:"uuid"`
}

func (s *Service) httpBlock(ctx context.Context, in *blockInput) (*struct{}, error) {
	return nil, s.Block(ctx, accounts.Caller(ctx).UserID, in.ID)
}

func (s *Service) httpUnblock(ctx context.Context, in *blockInput) (*struct{}, error) {
	return nil, s.Unblock(ctx, accounts.Caller(ctx).UserID, in.ID)
}

type acceptInput struct {
	ID ConversationID `path:"id" format:"uuid"`
}

func (s *Service) httpAccept(ctx context.Context, in *acceptInput) (*struct{}, error) {
	return nil, s.Accept(ctx, accounts.Caller(ctx).UserID, in.ID)
}
