package chat

import (
	"context"

	"github.com/google/uuid"

	"parley/accounts"
	"parley/hub"
)

// Frames registers message.send.
func (s *Service) Frames(m *hub.Mux) { m.Handle("message.send", s.frameSend) }

func (s *Service) frameSend(_ context.Context, r *hub.Request) (any, error) {
	var data struct {
		ConversationID ConversationID `json:"conversation_id"`
		ClientID       uuid.UUID      `json:"client_id"`
		Body           string         `json:"body"`
		ReplyTo        Seq            `json:"reply_to"`
	}
	if err := r.Bind(&data); err != nil {
		return nil, err
	}
	m := Outgoing{
		ConversationID: data.ConversationID, SenderID: accounts.UserID(r.Conn.UserID),
		ClientID: data.ClientID, Body: data.Body, ReplyTo: data.ReplyTo,
	}
	// The reader goes on with the client's next frame while this one is stored.
	s.Submit(m, func(sent Sent, err error) {
		if err != nil {
			r.Fail(err)
			return
		}
		r.Reply(sent)
	})
	return nil, hub.ErrLater
}
