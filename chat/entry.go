package chat

import (
	"time"

	"github.com/google/uuid"

	"parley/accounts"
	"parley/store"
)

// ConversationID names a conversation.
type ConversationID = store.ID[Conversation]

// Seq is an entry's place in its conversation: 1, 2, 3, … without a gap.
type Seq int64

// Kind is what an entry says.
type Kind string

// The kinds of entries.
const (
	KindMessage Kind = "message"
	KindCreated Kind = "created"
)

// Entry is one entry of a conversation's log.
type Entry struct {
	ConversationID ConversationID  `json:"conversation_id"`
	Seq            Seq             `json:"seq" minimum:"1"`
	Kind           Kind            `json:"kind" enum:"message,created"`
	SenderID       accounts.UserID `json:"sender_id"`
	ClientID       uuid.UUID       `json:"client_id,omitzero" doc:"The sender's idempotency key; messages have one"`
	CreatedAt      time.Time       `json:"created_at" doc:"For people; order is only ever seq"`
	Body           string          `json:"body,omitempty"`
	ReplyTo        Seq             `json:"reply_to,omitempty" doc:"The seq of the message this one answers"`
	Detail
}

// Detail is what only some kinds have. It is stored as it is sent.
type Detail struct {
	UserIDs []accounts.UserID `json:"user_ids,omitempty" doc:"Of kind created: the first members"`
}

// Message is an entry as people see it, with what later entries did to it.
type Message struct {
	Entry
	Deleted   bool       `json:"deleted"`
	Reactions []Reaction `json:"reactions"`
}

// Reaction is an emoji and who chose it.
type Reaction struct {
	Emoji   string            `json:"emoji"`
	UserIDs []accounts.UserID `json:"user_ids"`
}

// AsMessage gives an entry as people see it.
func (e Entry) AsMessage() Message { return Message{Entry: e, Reactions: []Reaction{}} }

// EntryColumns are the columns ScanEntry takes, of a table or alias e.
const EntryColumns = `e.conversation_id, e.seq, e.kind, e.sender_id, e.client_id, e.created_at, e.body, e.reply_to, e.detail`

// ScanEntry reads one row of EntryColumns.
func ScanEntry(row interface{ Scan(...any) error }) (Entry, error) {
	var (
		e       Entry
		client  uuid.NullUUID
		body    *string
		replyTo *Seq
		detail  *Detail
	)
	err := row.Scan(&e.ConversationID, &e.Seq, &e.Kind, &e.SenderID, &client, &e.CreatedAt, &body, &replyTo, &detail)
	if err != nil {
		return Entry{}, err
	}
	e.ClientID = client.UUID
	e.CreatedAt = e.CreatedAt.UTC()
	if body != nil {
		e.Body = *body
	}
	if replyTo != nil {
		e.ReplyTo = *replyTo
	}
	if detail != nil {
		e.Detail = *detail
	}
	return e, nil
}
