package receipts

import (
	"context"

	"parley/accounts"
	"parley/chat"
	"parley/hub"
	"parley/problem"
)

var errSeq = problem.New(problem.Invalid, "A receipt needs a seq of 1 or more.")

// Frames registers receipt.delivered and receipt.read.
func (s *Service) Frames(m *hub.Mux) {
	m.Handle("receipt.delivered", s.frame(s.Delivered))
	m.Handle("receipt.read", s.frame(s.Read))
}

// frame answers at once; the mark is written with the next batch. Only a member's
// connection may raise a mark in a conversation; the statement that
// writes checks the membership again.
func (s *Service) frame(raise func(chat.ConversationID, accounts.UserID, chat.Seq)) hub.Handler {
	return func(ctx context.Context, r *hub.Request) (any, error) {
		var data struct {
			ConversationID chat.ConversationID `json:"conversation_id"`
			Seq            chat.Seq            `json:"seq"`
		}
		if err := r.Bind(&data); err != nil {
			return nil, err
		}
		if data.Seq < 1 {
			return nil, errSeq
		}
		if err := chat.Includes(ctx, s.cfg.DB, s.cfg.ByConversation, data.ConversationID, r.Conn); err != nil {
			return nil, err
		}
		raise(data.ConversationID, accounts.UserID(r.Conn.UserID), data.Seq)
		return struct{}{}, nil
	}
}
