package chat

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"parley/accounts"
)

func (s *Service) memberRoutes(api huma.API) {
	tags := []string{"Members"}
	const all, one = "/conversations/{id}/members", "/conversations/{id}/members/{user_id}"
	huma.Register(api, huma.Operation{
		OperationID: "list-members", Method: http.MethodGet, Path: all, Tags: tags, Summary: "Members, by username",
	}, s.httpMembers)
	huma.Register(api, huma.Operation{
		OperationID: "add-members", Method: http.MethodPost, Path: all, Tags: tags, Summary: "Add people to a group",
		Errors:      []int{http.StatusForbidden},
		Description: "For owners and admins. All of them are added or none; who is in it already stays as they are. The answer has those named.",
	}, s.httpAddMembers)
	huma.Register(api, huma.Operation{
		OperationID: "set-role", Method: http.MethodPatch, Path: one, Tags: tags, Summary: "Give a member another role",
		Errors:      []int{http.StatusForbidden, http.StatusConflict},
		Description: "For owners. The last of them stays one: conflict.",
	}, s.httpSetRole)
	huma.Register(api, huma.Operation{
		OperationID: "remove-member", Method: http.MethodDelete, Path: one, Tags: tags, Summary: "Remove somebody from a group, or leave it",
		Errors: []int{http.StatusForbidden},
		Description: "Owners remove anybody, admins members, and everybody themselves. When the last owner leaves, the admin who has been " +
			"in it the longest becomes owner, or else the member.",
	}, s.httpRemoveMember)
}

type membersInput struct {
	ID     ConversationID `path:"id" format:"uuid"`
	Cursor string         `query:"cursor" maxLength:"64" doc:"next_cursor of the page before"`
	Limit  int            `query:"limit" minimum:"1" maximum:"100" default:"100"`
}

type membersOutput struct {
	Body struct {
		Members    []Member `json:"members"`
		NextCursor string   `json:"next_cursor,omitempty" doc:"Absent at the end"`
	}
}

func (s *Service) httpMembers(ctx context.Context, in *membersInput) (*membersOutput, error) {
	out := &membersOutput{}
	var err error
	out.Body.Members, out.Body.NextCursor, err = s.Members(ctx, accounts.Caller(ctx).UserID, in.ID, in.Cursor, in.Limit)
	return out, err
}

type addMembersInput struct {
	ID   ConversationID `path:"id" format:"uuid"`
	Body struct {
		UserIDs []accounts.UserID `json:"user_ids" minItems:"1" maxItems:"500"`
	}
}

func (s *Service) httpAddMembers(ctx context.Context, in *addMembersInput) (*membersOutput, error) {
	out := &membersOutput{}
	var err error
	out.Body.Members, err = s.AddMembers(ctx, accounts.Caller(ctx).UserID, in.ID, in.Body.UserIDs)
	return out, err
}

type setRoleInput struct {
	ID     ConversationID  `path:"id" format:"uuid"`
	UserID accounts.UserID `path:"user_id" format:"uuid"`
	Body   struct {
		Role MemberRole `json:"role" enum:"owner,admin,member"`
	}
}

type memberOutput struct{ Body Member }

func (s *Service) httpSetRole(ctx context.Context, in *setRoleInput) (*memberOutput, error) {
	m, err := s.SetRole(ctx, accounts.Caller(ctx).UserID, in.ID, in.UserID, in.Body.Role)
	return &memberOutput{m}, err
}

type removeMemberInput struct {
	ID     ConversationID  `path:"id" format:"uuid"`
	UserID accounts.UserID `path:"user_id" format:"uuid"`
}

func (s *Service) httpRemoveMember(ctx context.Context, in *removeMemberInput) (*struct{}, error) {
	return nil, s.RemoveMember(ctx, accounts.Caller(ctx).UserID, in.ID, in.UserID)
}
