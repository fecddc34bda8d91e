package receipts

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"parley/accounts"
	"parley/chat"
)

// Routes registers the details of a message's receipts.
func (s *Service) Routes(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "list-receipts", Method: http.MethodGet, Path: "/conversations/{id}/messages/{seq}/receipts", Tags: []string{"Messages"},
		Summary: "Who has a message, and who has read it",
		Description: "The members who were there when it was sent, without its author. What somebody has read is told only between " +
			"people who both tell it (read_receipts).",
	}, s.httpMarks)
}

type marksInput struct {
	ID  chat.ConversationID `path:"id" format:"uuid"`
	Seq chat.Seq            `path:"seq" minimum:"1"`
}

type marksOutput struct {
	Body struct {
		Members []Mark `json:"members"`
	}
}

func (s *Service) httpMarks(ctx context.Context, in *marksInput) (*marksOutput, error) {
	out := &marksOutput{}
	var err error
	out.Body.Members, err = s.Of(ctx, accounts.Caller(ctx).UserID, in.ID, in.Seq)
	return out, err
}

// Of gives how far a message has got with each of the members who were there when it was
// sent, without its author. Errors: chat.ErrNoMessage.
func (s *Service) Of(ctx context.Context, me accounts.UserID, id chat.ConversationID, seq chat.Seq) ([]Mark, error) {
	marks, err := s.q.marks(ctx, me, id, seq)
	if err == nil && len(marks) == 0 {
		marks = []Mark{} // a list in JSON, not null
		var ok bool
		if ok, err = s.q.canSee(ctx, me, id, seq); err == nil && !ok {
			return nil, chat.ErrNoMessage
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read receipts: %w", err)
	}
	return marks, nil
}
