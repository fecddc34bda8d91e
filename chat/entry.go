package chat

import (
	"time"

	"github.com/google/uuid"

	"parley/accounts"
	"parley/hub"
	"parley/store"
	"parley/text"
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

	// Actions change a message, that at TargetSeq, and are seen only in what it becomes.
	KindEdit            Kind = "edit"
	KindDelete          Kind = "delete"
	KindReactionAdded   Kind = "reaction_added"
	KindReactionRemoved Kind = "reaction_removed"

	// KindMessagesErased says that the texts of a deleted user are gone. It is no row of a page.
	KindMessagesErased Kind = "messages_erased"

	// System entries tell what happened to the conversation.
	KindCreated       Kind = "created"
	KindMemberAdded   Kind = "member_added"
	KindMemberRemoved Kind = "member_removed"
	KindMemberLeft    Kind = "member_left"
	KindRoleChanged   Kind = "role_changed"
	KindTitleChanged  Kind = "title_changed"
)

// Entry is one entry of a conversation's log. It never changes, but for one thing: the
// text of a deleted message, and of its edits, is gone from everywhere.
type Entry struct {
	ConversationID ConversationID  `json:"conversation_id"`
	Seq            Seq             `json:"seq" minimum:"1"`
	Kind           Kind            `json:"kind" enum:"message,edit,delete,reaction_added,reaction_removed,created,member_added,member_removed,member_left,role_changed,title_changed,messages_erased"`
	SenderID       accounts.UserID `json:"sender_id" doc:"Who wrote it or did it"`
	ClientID       uuid.UUID       `json:"client_id,omitzero" doc:"The sender's idempotency key; messages have one"`
	CreatedAt      time.Time       `json:"created_at" doc:"For people; order is only ever seq"`
	Body           string          `json:"body,omitempty" doc:"The text of a message, or the new one of an edit"`
	Deleted        bool            `json:"deleted,omitempty" doc:"Of a message: it was deleted, and its text is gone"`
	ReplyTo        Seq             `json:"reply_to,omitempty" doc:"Of a message: the seq of the one it answers"`
	TargetSeq      Seq             `json:"target_seq,omitempty" doc:"Of an edit, a deletion or a reaction: the seq of the message"`
	Emoji          string          `json:"emoji,omitempty" doc:"Of a reaction, in its canonical form"`
	Detail
}

// position is where a connection that is behind has to be told that the entry is.
func (e *Entry) position() *hub.Position {
	return &hub.Position{Log: uuid.UUID(e.ConversationID), Seq: int64(e.Seq)}
}

// Detail is what only some kinds have. It is stored as it is sent.
type Detail struct {
	Mentions []accounts.UserID `json:"mentions,omitempty" doc:"Of a message or an edit: the members it names"`
	UserIDs  []accounts.UserID `json:"user_ids,omitempty" doc:"Of kind created: the first members"`
	UserID   accounts.UserID   `json:"user_id,omitzero" doc:"Of whom a membership entry speaks"`
	Role     MemberRole        `json:"role,omitempty" enum:"owner,admin,member" doc:"Of role_changed: the new one"`
	Title    string            `json:"title,omitempty" doc:"Of created (groups) and title_changed"`
	ByAdmin  bool              `json:"by_admin,omitempty" doc:"Of a deletion, and of the message it deleted: an admin of the server removed it"`
}

// EntryColumns are the columns ScanEntry takes, of a table or alias e.
const EntryColumns = `e.conversation_id, e.seq, e.kind, e.sender_id, e.client_id, e.created_at, e.body, e.reply_to, e.target_seq, e.detail`

// ScanEntry reads one row of EntryColumns, and what follows them into rest.
func ScanEntry(row interface{ Scan(...any) error }, rest ...any) (Entry, error) {
	var (
		e               Entry
		client          uuid.NullUUID
		body            *string
		replyTo, target *Seq
		detail          *Detail
	)
	err := row.Scan(append([]any{&e.ConversationID, &e.Seq, &e.Kind, &e.SenderID, &client, &e.CreatedAt, &body, &replyTo, &target, &detail}, rest...)...)
	if err != nil {
		return Entry{}, err
	}
	e.ClientID = client.UUID
	switch {
	case body == nil:
		e.Deleted = e.Kind == KindMessage // its body is never empty otherwise
	case e.Kind == KindReactionAdded || e.Kind == KindReactionRemoved:
		e.Emoji = text.CanonicalEmoji(*body) // earlier versions stored any form
	default:
		e.Body = *body
	}
	if replyTo != nil {
		e.ReplyTo = *replyTo
	}
	if target != nil {
		e.TargetSeq = *target
	}
	if detail != nil {
		e.Detail = *detail
	}
	return e, nil
}
