package chat

import (
	"context"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"parley/accounts"
)

func (s *Service) actionRoutes(api huma.API) {
	tags := []string{"Messages"}
	const message, reaction = "/conversations/{id}/messages/{seq}", "/conversations/{id}/messages/{seq}/reactions/{emoji}"
	const answer = " The answer is the entry that did it; for what was so already, the one that made it so."
	huma.Register(api, huma.Operation{
		OperationID: "edit-message", Method: http.MethodPatch, Path: message, Tags: tags, Summary: "Edit a message of mine",
		Errors:      []int{http.StatusForbidden, http.StatusConflict, http.StatusRequestEntityTooLarge},
		Description: "With a client_id it can be repeated as a send can." + answer,
	}, s.httpEdit)
	huma.Register(api, huma.Operation{
		OperationID: "delete-message", Method: http.MethodDelete, Path: message, Tags: tags, Summary: "Delete a message",
		Errors:      []int{http.StatusForbidden, http.StatusConflict},
		Description: "One's own; in a group, owners and admins delete anybody's. The text is gone for good, its place stays." + answer,
	}, s.httpDelete)
	huma.Register(api, huma.Operation{
		OperationID: "add-reaction", Method: http.MethodPut, Path: reaction, Tags: tags, Summary: "React to a message",
		Errors:      []int{http.StatusConflict, http.StatusRequestEntityTooLarge},
		Description: "Each person once with each emoji." + answer,
	}, s.httpReaction(KindReactionAdded))
	huma.Register(api, huma.Operation{
		OperationID: "remove-reaction", Method: http.MethodDelete, Path: reaction, Tags: tags, Summary: "Take a reaction back",
		Errors:      []int{http.StatusConflict, http.StatusRequestEntityTooLarge},
		Description: "One's own." + answer,
	}, s.httpReaction(KindReactionRemoved))
}

type actionOutput struct{ Body Sent }

func (s *Service) httpAct(ctx context.Context, a Action) (*actionOutput, error) {
	a.SenderID = accounts.Caller(ctx).UserID
	sent, err := s.Act(ctx, a)
	return &actionOutput{sent}, err
}

type editInput struct {
	ID   ConversationID `path:"id" format:"uuid"`
	Seq  Seq            `path:"seq" minimum:"1"`
	Body struct {
		ClientID uuid.UUID         `json:"client_id,omitzero" format:"uuid"`
		Body     string            `json:"body" doc:"1 byte to 16 KiB of UTF-8"`
		Mentions []accounts.UserID `json:"mentions,omitempty" doc:"As when sending"`
	}
}

func (s *Service) httpEdit(ctx context.Context, in *editInput) (*actionOutput, error) {
	return s.httpAct(ctx, Action{
		Kind: KindEdit, ConversationID: in.ID, TargetSeq: in.Seq,
		ClientID: in.Body.ClientID, Body: in.Body.Body, Mentions: in.Body.Mentions,
	})
}

type deleteInput struct {
	ID  ConversationID `path:"id" format:"uuid"`
	Seq Seq            `path:"seq" minimum:"1"`
}

func (s *Service) httpDelete(ctx context.Context, in *deleteInput) (*actionOutput, error) {
	return s.httpAct(ctx, Action{Kind: KindDelete, ConversationID: in.ID, TargetSeq: in.Seq})
}

type reactionInput struct {
	ID    ConversationID `path:"id" format:"uuid"`
	Seq   Seq            `path:"seq" minimum:"1"`
	Emoji string         `path:"emoji" maxLength:"192" doc:"Percent-encoded UTF-8"`
}

func (s *Service) httpReaction(kind Kind) func(context.Context, *reactionInput) (*actionOutput, error) {
	return func(ctx context.Context, in *reactionInput) (*actionOutput, error) {
		emoji, err := url.PathUnescape(in.Emoji) // chi gives it as it was sent
		if err != nil {
			emoji = in.Emoji
		}
		return s.httpAct(ctx, Action{Kind: kind, ConversationID: in.ID, TargetSeq: in.Seq, Emoji: emoji})
	}
}
