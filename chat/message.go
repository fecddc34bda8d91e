package chat

import (
	"encoding/json"
	"slices"
	"time"

	"parley/accounts"
	"parley/store"
	"parley/text"
)

// Message is a message as people see it, with what later entries did to it; or a system
// entry, to which nothing is ever done.
type Message struct {
	Entry
	EditedAt  time.Time  `json:"edited_at,omitzero"`
	Deleted   bool       `json:"deleted"`
	Reactions []Reaction `json:"reactions" doc:"In the order in which the emoji were first used"`
	Quote     *Quote     `json:"quote,omitempty" doc:"What it answers; absent if the caller cannot see that"`
}

// Reaction is an emoji and who chose it, the first first.
type Reaction struct {
	Emoji   string            `json:"emoji"`
	UserIDs []accounts.UserID `json:"user_ids"`
}

// Quote is the message that another one answers, in short.
type Quote struct {
	Seq      Seq             `json:"seq" minimum:"1"`
	SenderID accounts.UserID `json:"sender_id"`
	Body     string          `json:"body" doc:"The first 200 characters; an emoji is not cut in the middle"`
	Deleted  bool            `json:"deleted"`
	// Mentions are those of the message, by which clients show names in it.
	Mentions []accounts.UserID `json:"mentions,omitempty" doc:"Of the message: the members it mentions"`
}

// Readable says that the entry of the alias a lies in a stretch of its conversation's log
// that the user v.user_id may read.
const Readable = `EXISTS (
    SELECT FROM members r WHERE r.conversation_id = a.conversation_id AND r.user_id = v.user_id
       AND a.seq >= r.from_seq AND (r.until_seq IS NULL OR a.seq <= r.until_seq))`

// Actions is what happened to messages, one value for each: of rows of ActionColumns under the
// alias a. Of revisions only the last of each message belongs there: the text of the others,
// however many there are, is not even read.
const Actions = `json_agg(json_build_object('seq', a.seq, 'kind', a.kind, 'sender_id', a.sender_id,
        'created_at', a.created_at, 'body', a.body, 'detail', a.detail) ORDER BY a.seq)`

// ActionColumns are the columns of entries, under the alias a, that Actions takes.
const ActionColumns = `a.target_seq, a.seq, a.kind, a.sender_id, a.created_at, a.body, a.detail`

// actionsOn reads the Actions on the message e.seq of the conversation v.id.
const actionsOn = `
    SELECT ` + Actions + ` AS actions FROM (
        (SELECT ` + ActionColumns + ` FROM entries a
         WHERE a.conversation_id = v.id AND a.target_seq = e.seq AND a.kind IN ('edit', 'delete') AND ` + Readable + `
         ORDER BY a.seq DESC LIMIT 1)
        UNION ALL
        (SELECT ` + ActionColumns + ` FROM entries a
         WHERE a.conversation_id = v.id AND a.target_seq = e.seq AND a.kind IN ('reaction_added', 'reaction_removed') AND ` + Readable + `)) a`

// maxQuote is how many characters of a message a quote shows. The statement reads one more,
// which tells whether the last one is whole.
const maxQuote = 200

// MessageColumns are the columns ScanMessage takes: EntryColumns of e, the Actions that were
// found as f.actions, and what the user v.user_id may know of the message that it answers.
const MessageColumns = EntryColumns + `, f.actions,
    CASE WHEN e.reply_to IS NOT NULL THEN (
        SELECT json_build_object('seq', q.seq, 'sender_id', q.sender_id, 'deleted', q.body IS NULL,
                   'body', left(coalesce(edited.body, q.body, ''), 201),
                   'mentions', CASE WHEN q.body IS NOT NULL THEN
                       CASE WHEN edited.body IS NOT NULL THEN edited.detail ELSE q.detail END -> 'mentions' END)
        FROM (SELECT * FROM entries a
              WHERE a.conversation_id = e.conversation_id AND a.seq = e.reply_to AND ` + Readable + `) q
        LEFT JOIN LATERAL (
            SELECT a.body, a.detail FROM entries a
            WHERE q.body IS NOT NULL AND a.conversation_id = q.conversation_id AND a.target_seq = q.seq AND a.kind = 'edit' AND ` + Readable + `
            ORDER BY a.seq DESC LIMIT 1) edited ON true) END`

// action is an entry that changed a message.
type action struct {
	Seq       Seq             `json:"seq"`
	Kind      Kind            `json:"kind"`
	SenderID  accounts.UserID `json:"sender_id"`
	CreatedAt store.JSONTime  `json:"created_at"`
	Body      string          `json:"body"` // the new text, or the emoji
	Detail    *Detail         `json:"detail"`
}

// ScanMessage reads one row of MessageColumns, and what follows them into rest.
func ScanMessage(row interface{ Scan(...any) error }, rest ...any) (Message, error) {
	var (
		m             Message
		actions, said []byte
		err           error
	)
	if m.Entry, err = ScanEntry(row, append([]any{&actions, &said}, rest...)...); err != nil {
		return Message{}, err
	}
	var done []action
	if actions != nil {
		if err := json.Unmarshal(actions, &done); err != nil {
			return Message{}, err
		}
	}
	if said != nil {
		if err := json.Unmarshal(said, &m.Quote); err != nil {
			return Message{}, err
		}
		m.Quote.Body = text.Cut(m.Quote.Body, maxQuote)
	}
	m.fold(done)
	return m, nil
}

// fold applies actions, in the order of seq.
func (m *Message) fold(actions []action) {
	m.Deleted, m.Entry.Deleted = m.Entry.Deleted, false
	m.Reactions = []Reaction{}
	if m.Deleted {
		for _, a := range actions { // whatever else happened to it
			if a.Kind == KindDelete && a.Detail != nil {
				m.ByAdmin = a.Detail.ByAdmin
			}
		}
		return
	}
	for _, a := range actions {
		switch a.Kind {
		case KindEdit:
			m.Body, m.EditedAt, m.Mentions = a.Body, time.Time(a.CreatedAt), nil
			if a.Detail != nil {
				m.Mentions = a.Detail.Mentions
			}
		case KindReactionAdded:
			m.react(text.CanonicalEmoji(a.Body), a.SenderID)
		case KindReactionRemoved:
			m.unreact(text.CanonicalEmoji(a.Body), a.SenderID)
		}
	}
}

func (m *Message) react(emoji string, user accounts.UserID) {
	i := slices.IndexFunc(m.Reactions, func(r Reaction) bool { return r.Emoji == emoji })
	if i < 0 {
		m.Reactions = append(m.Reactions, Reaction{emoji, []accounts.UserID{user}})
	} else if r := &m.Reactions[i]; !slices.Contains(r.UserIDs, user) {
		r.UserIDs = append(r.UserIDs, user)
	}
}

func (m *Message) unreact(emoji string, user accounts.UserID) {
	m.Reactions = slices.DeleteFunc(m.Reactions, func(r Reaction) bool { return r.Emoji == emoji && slices.Equal(r.UserIDs, []accounts.UserID{user}) })
	for i, r := range m.Reactions {
		if r.Emoji == emoji {
			m.Reactions[i].UserIDs = slices.DeleteFunc(r.UserIDs, func(u accounts.UserID) bool { return u == user })
		}
	}
}
