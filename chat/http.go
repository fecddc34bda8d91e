package chat

import (
	"context"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"parley/accounts"
	"parley/problem"
)

// Routes registers the conversations and the sending of messages.
func (s *Service) Routes(api huma.API) {
	tags := []string{"Conversations"}
	huma.Register(api, huma.Operation{
		OperationID: "list-conversations", Method: http.MethodGet, Path: "/conversations", Tags: tags,
		Summary: "My conversations, most recent first",
		Description: "With former, the groups that I left or was removed from instead, the latest first: as they were then, " +
			"without their members. What I may read of their log is read as before.",
	}, s.httpList)
	huma.Register(api, huma.Operation{
		OperationID: "open-conversation", Method: http.MethodPost, Path: "/conversations", Tags: tags,
		Errors:  []int{http.StatusForbidden, http.StatusNotFound},
		Summary: "Open a direct conversation, or make a group",
		Description: "direct: gives the one conversation with user_id; it is made if there is none. " +
			"group: makes one with a title and members; the caller is its owner. A repeat with the same client_id, title and " +
			"members gives the group that the first request made.",
	}, s.httpOpen)
	huma.Register(api, huma.Operation{
		OperationID: "get-conversation", Method: http.MethodGet, Path: "/conversations/{id}", Tags: tags,
		Summary:     "One conversation",
		Description: "With former, a group that I left or was removed from, as it was then.",
	}, s.httpGet)
	huma.Register(api, huma.Operation{
		OperationID: "update-conversation", Method: http.MethodPatch, Path: "/conversations/{id}", Tags: tags,
		Errors:      []int{http.StatusForbidden},
		Summary:     "Rename a group, or decide whether it shares its history",
		Description: "title is for owners and admins, share_history for owners: it is for those who are added from then on.",
	}, s.httpUpdate)
	sent := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Sent](), true, "")
	huma.Register(api, huma.Operation{
		OperationID: "send-message", Method: http.MethodPost, Path: "/conversations/{id}/messages", Tags: []string{"Messages"},
		Errors:  []int{http.StatusForbidden, http.StatusConflict},
		Summary: "Send a message",
		Description: "client_id is the idempotency key, kept for ever: after any doubt send the same again. A new message is " +
			"answered with 201, a repeat with 200 and the first one's seq; the same client_id with another body is a conflict.",
		DefaultStatus: http.StatusCreated,
		Responses:     map[string]*huma.Response{"200": {Description: "It was stored before", Content: map[string]*huma.MediaType{"application/json": {Schema: sent}}}},
	}, s.httpSend)
	huma.Register(api, huma.Operation{
		OperationID: "update-settings", Method: http.MethodPatch, Path: "/conversations/{id}/settings", Tags: tags,
		Summary:     "Decide what I am told of a conversation while away, or archive it",
		Description: "For oneself alone. What is left out stays; muted_until null ends a mute; mute_for_s begins one, by the server's clock. What was said while muted is not told of later. An archived conversation stays in lists with archived true, until its next entry.",
	}, s.httpSettings)
	s.memberRoutes(api)
	s.actionRoutes(api)
	s.blockRoutes(api)
}

type listInput struct {
	Cursor string `query:"cursor" maxLength:"64" doc:"next_cursor of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"50"`
	Former bool   `query:"former" doc:"The groups that the caller left or was removed from"`
}

type listOutput struct {
	Body struct {
		Conversations []Conversation `json:"conversations"`
		NextCursor    string         `json:"next_cursor,omitempty" doc:"Absent at the end"`
	}
}

func (s *Service) httpList(ctx context.Context, in *listInput) (*listOutput, error) {
	out := &listOutput{}
	list := s.List
	if in.Former {
		list = s.ListFormer
	}
	var err error
	out.Body.Conversations, out.Body.NextCursor, err = list(ctx, accounts.Caller(ctx).UserID, in.Cursor, in.Limit)
	return out, err
}

type openInput struct {
	Body struct {
		Kind      string            `json:"kind" enum:"direct,group"`
		UserID    accounts.UserID   `json:"user_id,omitzero" format:"uuid" doc:"direct: the person to talk to"`
		Title     string            `json:"title,omitempty" doc:"group: 1 to 200 characters"`
		MemberIDs []accounts.UserID `json:"member_ids,omitempty" doc:"group: the others"`
		ClientID  uuid.UUID         `json:"client_id,omitzero" format:"uuid" doc:"group: the idempotency key of its creation, any UUID made by the client, kept forever"`
	}
}

// checkFields refuses the fields of the other kind, which would have no effect.
func (in *openInput) checkFields() error {
	other := ""
	switch b := in.Body; {
	case b.Kind == "group" && b.UserID != accounts.UserID{}:
		other = "user_id"
	case b.Kind == "group":
	case b.Title != "":
		other = "title"
	case len(b.MemberIDs) > 0:
		other = "member_ids"
	case b.ClientID != uuid.Nil:
		other = "client_id"
	}
	if other == "" {
		return nil
	}
	p := problem.Newf(problem.Invalid, "A %s conversation takes no %s. Leave it out.", in.Body.Kind, other)
	p.Fields = []problem.Field{{Location: "body." + other, Message: "is not for this kind"}}
	return p
}

type conversationOutput struct{ Body Conversation }

// TransformSchema says that last_message may be null, for which huma has no tag.
func (Conversation) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	last := s.Properties["last_message"]
	s.Properties["last_message"] = &huma.Schema{
		AnyOf: []*huma.Schema{{Ref: last.Ref}, {Type: "null"}}, Description: last.Description,
	}
	return s
}

func (s *Service) httpOpen(ctx context.Context, in *openInput) (*conversationOutput, error) {
	me := accounts.Caller(ctx).UserID
	if err := in.checkFields(); err != nil {
		return nil, err
	}
	if in.Body.Kind == "group" {
		c, err := s.CreateGroupOnce(ctx, me, in.Body.ClientID, in.Body.Title, in.Body.MemberIDs)
		return &conversationOutput{c}, err
	}
	c, err := s.OpenDirect(ctx, me, in.Body.UserID)
	return &conversationOutput{c}, err
}

type updateInput struct {
	ID   ConversationID `path:"id" format:"uuid"`
	Body struct {
		Title        *string `json:"title,omitempty" doc:"1 to 200 characters"`
		ShareHistory *bool   `json:"share_history,omitempty"`
	}
}

func (s *Service) httpUpdate(ctx context.Context, in *updateInput) (*conversationOutput, error) {
	me := accounts.Caller(ctx).UserID
	if err := s.UpdateGroup(ctx, me, in.ID, GroupUpdate{in.Body.Title, in.Body.ShareHistory}); err != nil {
		return nil, err
	}
	c, err := s.Conversation(ctx, me, in.ID)
	return &conversationOutput{c}, err
}

type getInput struct {
	ID     ConversationID `path:"id" format:"uuid"`
	Former bool           `query:"former" doc:"One that the caller left or was removed from"`
}

func (s *Service) httpGet(ctx context.Context, in *getInput) (*conversationOutput, error) {
	get := s.Conversation
	if in.Former {
		get = s.Former
	}
	c, err := get(ctx, accounts.Caller(ctx).UserID, in.ID)
	return &conversationOutput{c}, err
}

type sendInput struct {
	ID   ConversationID `path:"id" format:"uuid"`
	Body struct {
		ClientID uuid.UUID         `json:"client_id" format:"uuid" doc:"Any UUID made by the client; version 7 recommended"`
		Body     string            `json:"body" doc:"1 byte to 16 KiB of UTF-8"`
		ReplyTo  Seq               `json:"reply_to,omitempty" minimum:"1" doc:"The seq of the message this one answers"`
		Mentions []accounts.UserID `json:"mentions,omitempty" doc:"Members whom the text names; at most 50. Who is no member is left out of what is stored."`
	}
}

type sendOutput struct {
	Status int
	Body   Sent
}

func (s *Service) httpSend(ctx context.Context, in *sendInput) (*sendOutput, error) {
	sent, err := s.Send(ctx, Outgoing{
		ConversationID: in.ID, SenderID: accounts.Caller(ctx).UserID,
		ClientID: in.Body.ClientID, Body: in.Body.Body, ReplyTo: in.Body.ReplyTo, Mentions: in.Body.Mentions,
	})
	if err != nil {
		return nil, err
	}
	out := &sendOutput{Status: http.StatusCreated, Body: sent}
	if sent.Repeat {
		out.Status = http.StatusOK
	}
	return out, nil
}
