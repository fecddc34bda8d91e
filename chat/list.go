package chat

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"parley/accounts"
	"parley/problem"
)

// shownMembers is how many members a conversation in a list names.
const shownMembers = 5

var errCursor = problem.New(problem.Invalid, "The cursor is not one that this server gave out.")

// cursor is where a page of the conversation list ended.
type cursor struct {
	at time.Time
	id ConversationID
}

// firstPage comes before every conversation.
var firstPage = cursor{at: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}

func (c cursor) String() string {
	b := binary.BigEndian.AppendUint64(nil, uint64(c.at.UnixMicro()))
	return base64.RawURLEncoding.EncodeToString(append(b, c.id[:]...))
}

func parseCursor(s string) (cursor, error) {
	if s == "" {
		return firstPage, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != 24 {
		return cursor{}, errCursor
	}
	at := time.UnixMicro(int64(binary.BigEndian.Uint64(b))).UTC()
	// What PostgreSQL's timestamps can express, and more than ever was given out.
	if at.Year() < 1970 || at.Year() > 9999 {
		return cursor{}, errCursor
	}
	return cursor{at, ConversationID(b[8:])}, nil
}

// List gives a page of the user's conversations, most recent first, and the cursor of
// the next page, empty at the end. limit is 1 to 100.
func (s *Service) List(ctx context.Context, me accounts.UserID, after string, limit int) ([]Conversation, string, error) {
	from, err := parseCursor(after)
	if err != nil {
		return nil, "", err
	}
	list, err := s.q.conversationPage(ctx, me, from, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list conversations: %w", err)
	}
	if len(list) <= limit {
		return list, "", nil
	}
	list = list[:limit]
	last := list[limit-1]
	return list, cursor{last.LastEntryAt, last.ID}.String(), nil
}

// A conversation as its member sees it: `page` chooses the conversations, the rest is
// looked up for those alone. Unread counts the messages of others after the read mark.
const (
	pageColumns = `
SELECT c.id, c.kind, coalesce(c.title, '') AS title, c.last_seq, c.last_entry_at, m.from_seq
FROM members m JOIN conversations c ON c.id = m.conversation_id
WHERE m.user_id = $1 AND m.until_seq IS NULL `

	faceOf = `
SELECT p.id, p.kind, p.title, p.last_seq, p.last_entry_at,
       greatest(r.delivered_seq, r.read_seq, 0), coalesce(r.read_seq, 0),
       (SELECT count(*) FROM entries n
         WHERE n.conversation_id = p.id AND n.seq > greatest(r.read_seq, p.from_seq - 1)
           AND n.kind = 'message' AND n.sender_id <> $1),
       (SELECT count(*) FROM members a WHERE a.conversation_id = p.id AND a.until_seq IS NULL),
       (SELECT json_agg(json_build_object('user_id', x.user_id, 'role', x.role,
                                          'username', x.username, 'display_name', x.display_name))
          FROM (SELECT o.user_id, o.role, u.username, u.display_name
                FROM members o JOIN users u ON u.id = o.user_id
                WHERE o.conversation_id = p.id AND o.until_seq IS NULL
                ORDER BY o.from_seq, o.user_id LIMIT $2) x),
       ` + EntryColumns + `
FROM page p
LEFT JOIN receipts r ON r.conversation_id = p.id AND r.user_id = $1
CROSS JOIN LATERAL (
    SELECT * FROM entries l
    WHERE l.conversation_id = p.id AND l.seq >= p.from_seq AND l.kind IN ('message', 'created')
    ORDER BY l.seq DESC LIMIT 1) e
ORDER BY p.last_entry_at DESC, p.id DESC`

	selectConversationPage = `WITH page AS MATERIALIZED (` + pageColumns + `
  AND (c.last_entry_at, c.id) < ($3, $4) ORDER BY c.last_entry_at DESC, c.id DESC LIMIT $5)` + faceOf

	selectConversations = `WITH page AS MATERIALIZED (` + pageColumns + `
  AND m.conversation_id = ANY($3::uuid[]))` + faceOf
)

func (q queries) conversationPage(ctx context.Context, me accounts.UserID, after cursor, limit int) ([]Conversation, error) {
	rows, err := q.db.Query(ctx, selectConversationPage, me, shownMembers, after.at, after.id, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanConversation)
}

func (q queries) conversations(ctx context.Context, me accounts.UserID, ids []ConversationID) ([]Conversation, error) {
	rows, err := q.db.Query(ctx, selectConversations, me, shownMembers, ids)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanConversation)
}

func scanConversation(row pgx.CollectableRow) (Conversation, error) {
	var c Conversation
	last, err := ScanEntry(prefixed{row, []any{&c.ID, &c.Kind, &c.Title, &c.LastSeq, &c.LastEntryAt,
		&c.DeliveredSeq, &c.ReadSeq, &c.Unread, &c.MemberCount, &c.Members}})
	if err != nil {
		return Conversation{}, err
	}
	c.LastEntryAt = c.LastEntryAt.UTC()
	if last.Kind == KindMessage {
		m := last.AsMessage()
		c.LastMessage = &m
	}
	return c, nil
}

// prefixed is a row whose first columns go elsewhere.
type prefixed struct {
	row   pgx.CollectableRow
	first []any
}

func (p prefixed) Scan(rest ...any) error { return p.row.Scan(append(p.first, rest...)...) }
