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
	list, next := cut(list, limit)
	return list, next, nil
}

// cut gives the first so many, and the cursor of the next page if there are more.
func cut(list []Conversation, limit int) ([]Conversation, string) {
	if len(list) <= limit {
		return list, ""
	}
	last := list[limit-1]
	return list[:limit], cursor{last.LastEntryAt, last.ID}.String()
}

// A conversation as a member sees it: `page` chooses conversations and who looks at them,
// the rest is looked up for those alone. $2: members are asked to accept conversations. Unread counts the messages of others after the
// read mark and after the viewer became a member, but for deleted ones; whom one mentions is what
// it says by now, itself or in the last of its edits, which come after it and so after the mark.
// Sending implies reading: a message of the viewer's own counts as the mark, because a crash may
// have lost the mark before receipts wrote it. The entry
// at from_seq is there in any case, so that a conversation in which nothing was said is not
// lost.
const (
	pageColumns = `
SELECT m.user_id, m.role, m.from_seq, m.joined_seq, m.notify, m.muted_until, m.blocked, m.accepted, m.archived_seq,
       c.id, c.kind, coalesce(c.title, '') AS title, c.share_history, c.last_seq, c.last_entry_at
FROM members m CROSS JOIN LATERAL (
    SELECT * FROM conversations k WHERE k.id = m.conversation_id OFFSET 0) c -- looked up one by one: a hash join would read everybody's
WHERE m.until_seq IS NULL `

	faceOf = `
SELECT v.user_id, v.id, v.kind, v.title, v.role, v.share_history, v.last_seq, v.last_entry_at,
       greatest(w.delivered_seq, w.read_seq, since.own_seq, 0), greatest(w.read_seq, since.own_seq, 0),
       v.notify, CASE WHEN v.muted_until > now() THEN least(v.muted_until, '9999-12-31 23:59:59+00') END,
       v.blocked, v.accepted OR NOT $2, coalesce(v.archived_seq >= v.last_seq, false),
       coalesce(p.delivered, (SELECT d.seq FROM delivered_to_all d WHERE d.conversation_id = v.id), 0), coalesce(p.read, 0),
       u.messages, u.mentions,
       (SELECT count(*) FROM members a WHERE a.conversation_id = v.id AND a.until_seq IS NULL),
       (SELECT json_agg(json_build_object('user_id', x.user_id, 'role', x.role,
                                          'username', n.username, 'display_name', n.display_name, 'deleted', n.deleted_at IS NOT NULL) ORDER BY x.joined_seq, x.user_id)
          FROM (SELECT * FROM members o
                WHERE o.conversation_id = v.id AND o.until_seq IS NULL
                ORDER BY o.joined_seq, o.user_id LIMIT $1) x JOIN users n ON n.id = x.user_id),
       ` + MessageColumns + `
FROM page v
LEFT JOIN receipts w ON w.conversation_id = v.id AND w.user_id = v.user_id
LEFT JOIN LATERAL (
    SELECT z.delivered_seq AS delivered,
           CASE WHEN them.read_receipts AND me.read_receipts AND (y.accepted OR NOT $2) THEN z.read_seq END AS read
    FROM members y
    JOIN users them ON them.id = y.user_id
    JOIN users me ON me.id = v.user_id
    LEFT JOIN receipts z ON z.conversation_id = y.conversation_id AND z.user_id = y.user_id
    WHERE y.conversation_id = v.id AND y.user_id <> v.user_id LIMIT 1) p ON v.kind = 'direct' AND NOT v.blocked
CROSS JOIN LATERAL (SELECT greatest(w.read_seq, v.joined_seq) AS seq) mark
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE n.sender_id <> v.user_id AND n.body IS NOT NULL) AS messages,
           count(*) FILTER (WHERE CASE WHEN n.sender_id <> v.user_id AND n.detail -> 'mentions' ? v.user_id::text THEN NOT EXISTS (
               SELECT FROM entries a WHERE a.conversation_id = v.id AND a.target_seq = n.seq AND a.kind = 'edit') END) AS mentions,
           max(n.seq) FILTER (WHERE n.sender_id = v.user_id) AS own_seq
    FROM entries n
    WHERE n.conversation_id = v.id AND n.seq > mark.seq AND n.kind = 'message') since
CROSS JOIN LATERAL ( -- of nothing, unless the viewer has sent since their mark
    SELECT count(*) FILTER (WHERE n.body IS NOT NULL) AS messages,
           count(*) FILTER (WHERE CASE WHEN n.detail -> 'mentions' ? v.user_id::text THEN NOT EXISTS (
               SELECT FROM entries a WHERE a.conversation_id = v.id AND a.target_seq = n.seq AND a.kind = 'edit') END) AS mentions
    FROM entries n
    WHERE n.conversation_id = v.id AND n.seq > since.own_seq AND n.kind = 'message' AND n.sender_id <> v.user_id) answered
CROSS JOIN LATERAL ( -- the last revision of each unread message: a step of the index for each, however many came before it
    WITH RECURSIVE revisions AS (
        (SELECT a.target_seq, a.sender_id, a.detail FROM entries a
         WHERE a.conversation_id = v.id AND a.kind IN ('edit', 'delete') AND a.target_seq > greatest(mark.seq, since.own_seq)
         ORDER BY a.target_seq DESC, a.seq DESC LIMIT 1)
      UNION ALL
        SELECT n.* FROM revisions r CROSS JOIN LATERAL (
            SELECT a.target_seq, a.sender_id, a.detail FROM entries a
            WHERE a.conversation_id = v.id AND a.kind IN ('edit', 'delete') AND a.target_seq > greatest(mark.seq, since.own_seq)
              AND a.target_seq < r.target_seq
            ORDER BY a.target_seq DESC, a.seq DESC LIMIT 1) n
    )
    SELECT count(*) AS mentions FROM revisions r
    WHERE r.sender_id <> v.user_id AND r.detail -> 'mentions' ? v.user_id::text) revised
CROSS JOIN LATERAL (
    SELECT CASE WHEN since.own_seq IS NULL THEN since.messages ELSE answered.messages END AS messages,
           CASE WHEN since.own_seq IS NULL THEN since.mentions ELSE answered.mentions END + revised.mentions AS mentions) u
CROSS JOIN LATERAL (
    SELECT * FROM (
        (SELECT * FROM entries o
         WHERE o.conversation_id = v.id AND o.seq >= v.from_seq AND o.kind = 'message'
         ORDER BY o.seq DESC LIMIT 1)
        UNION ALL
        (SELECT * FROM entries o WHERE o.conversation_id = v.id AND o.seq = v.from_seq)) l
    ORDER BY l.seq DESC LIMIT 1) e
CROSS JOIN LATERAL (` + actionsOn + `) f
ORDER BY v.last_entry_at DESC, v.id DESC`

	selectConversationPage = `WITH page AS MATERIALIZED (` + pageColumns + `
  AND NOT (m.hidden_until_message AND c.last_seq = 1)
  AND m.user_id = $3 AND (c.last_entry_at, c.id) < ($4, $5) ORDER BY c.last_entry_at DESC, c.id DESC LIMIT $6)` + faceOf

	// For one person, of several conversations; and of one, for several people.
	selectConversations = `WITH page AS MATERIALIZED (` + pageColumns + `
  AND m.user_id = $3 AND m.conversation_id = ANY($4::uuid[]))` + faceOf
	selectFaces = `WITH page AS MATERIALIZED (` + pageColumns + `
  AND NOT (m.hidden_until_message AND c.last_seq = 1)
  AND m.conversation_id = $3 AND m.user_id = ANY($4::uuid[]))` + faceOf
)

func (q queries) conversationPage(ctx context.Context, me accounts.UserID, after cursor, limit int) ([]Conversation, error) {
	return q.faces(ctx, selectConversationPage, me, after.at, after.id, limit)
}

func (q queries) conversations(ctx context.Context, me accounts.UserID, ids []ConversationID) ([]Conversation, error) {
	return q.faces(ctx, selectConversations, me, ids)
}

func (q queries) conversationFor(ctx context.Context, id ConversationID, users []accounts.UserID) ([]Conversation, error) {
	return q.faces(ctx, selectFaces, id, users)
}

func (q queries) faces(ctx context.Context, sql string, args ...any) ([]Conversation, error) {
	rows, err := q.db.Query(ctx, sql, append([]any{shownMembers, q.acceptance}, args...)...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanConversation)
}

func scanConversation(row pgx.CollectableRow) (Conversation, error) {
	var c Conversation
	last, err := ScanMessage(prefixed{row, []any{&c.user, &c.ID, &c.Kind, &c.Title, &c.Role, &c.ShareHistory, &c.LastSeq, &c.LastEntryAt,
		&c.DeliveredSeq, &c.ReadSeq, &c.Notify, &c.MutedUntil,
		&c.Blocked, &c.Accepted, &c.Archived, &c.OthersDeliveredSeq, &c.OthersReadSeq, &c.Unread, &c.Mentions, &c.MemberCount, &c.Members}})
	if err != nil {
		return Conversation{}, err
	}
	if last.Kind == KindMessage {
		c.LastMessage = &last
	}
	return c, nil
}

// prefixed is a row whose first columns go elsewhere.
type prefixed struct {
	row   pgx.CollectableRow
	first []any
}

func (p prefixed) Scan(rest ...any) error { return p.row.Scan(append(p.first, rest...)...) }
