package chat

import (
	"context"

	"github.com/google/uuid"

	"parley/accounts"
	"parley/hub"
)

// Frames registers the sending of messages and what is done to them.
func (s *Service) Frames(m *hub.Mux) {
	m.Handle("message.send", s.frameSend)
	m.Handle("message.edit", s.frameAct(KindEdit))
	m.Handle("message.delete", s.frameAct(KindDelete))
	m.Handle("message.react", s.frameAct(KindReactionAdded))
}

func (s *Service) frameSend(_ context.Context, r *hub.Request) (any, error) {
	var data struct {
		ConversationID ConversationID    `json:"conversation_id"`
		ClientID       uuid.UUID         `json:"client_id"`
		Body           string            `json:"body"`
		ReplyTo        *Seq              `json:"reply_to"`
		Mentions       []accounts.UserID `json:"mentions"`
	}
	if err := r.Bind(&data); err != nil {
		return nil, err
	}
	m := Outgoing{
		ConversationID: data.ConversationID, SenderID: accounts.UserID(r.Conn.UserID),
		ClientID: data.ClientID, Body: data.Body, Mentions: data.Mentions,
	}
	if data.ReplyTo != nil {
		if m.ReplyTo = *data.ReplyTo; m.ReplyTo < 1 {
			return nil, invalid("reply_to", "is not a seq")
		}
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

// actionData is the data of the frames that act on a message; each takes the fields that it
// has a use for.
type actionData struct {
	ConversationID ConversationID    `json:"conversation_id"`
	ClientID       uuid.UUID         `json:"client_id"`
	Seq            Seq               `json:"seq"`
	Body           string            `json:"body"`
	Mentions       []accounts.UserID `json:"mentions"`
	Emoji          string            `json:"emoji"`
	Remove         bool              `json:"remove"`
}

// action is what the frame of a kind asks for.
func (d actionData) action(kind Kind, sender accounts.UserID) (Action, error) {
	a := Action{Kind: kind, ConversationID: d.ConversationID, SenderID: sender, ClientID: d.ClientID, TargetSeq: d.Seq}
	switch {
	case d.ClientID == uuid.Nil:
		return Action{}, invalid("client_id", "is missing")
	case kind == KindEdit:
		a.Body, a.Mentions = d.Body, d.Mentions
	case kind == KindReactionAdded && d.Remove:
		a.Kind, a.Emoji = KindReactionRemoved, d.Emoji
	case kind == KindReactionAdded:
		a.Emoji = d.Emoji
	}
	return a, nil
}

// frameAct answers when the action is stored: what a client does to a message happens in
// the order in which it was sent.
func (s *Service) frameAct(kind Kind) hub.Handler {
	return func(ctx context.Context, r *hub.Request) (any, error) {
		var data actionData
		if err := r.Bind(&data); err != nil {
			return nil, err
		}
		a, err := data.action(kind, accounts.UserID(r.Conn.UserID))
		if err != nil {
			return nil, err
		}
		return s.Act(ctx, a)
	}
}
