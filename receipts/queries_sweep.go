package receipts

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"parley/accounts"
	"parley/chat"
)

const selectConversationIDs = `SELECT id FROM conversations WHERE id > $1 ORDER BY id LIMIT $2`

// conversationIDs gives the next page of all conversations in the order of id.
func (q queries) conversationIDs(ctx context.Context, after chat.ConversationID, limit int) ([]chat.ConversationID, error) {
	return q.conversations(ctx, selectConversationIDs, after, limit)
}

func (q queries) conversations(ctx context.Context, sql string, args ...any) ([]chat.ConversationID, error) {
	rows, err := q.db.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[chat.ConversationID])
}

// selectUnmarkedSenders looks at the last 200 entries of those conversations in which something
// was said within $2 seconds: for members whose read mark is before a message of their own.
const selectUnmarkedSenders = `
SELECT c.id, s.sender_id, s.seq
FROM unnest($1::uuid[]) AS i(id)
CROSS JOIN LATERAL (
    SELECT id, last_seq FROM conversations x
    WHERE x.id = i.id AND x.last_entry_at > now() - make_interval(secs => $2) OFFSET 0) c
CROSS JOIN LATERAL (
    SELECT e.sender_id, max(e.seq) AS seq FROM entries e
    WHERE e.conversation_id = c.id AND e.seq > c.last_seq - 200 AND e.kind = 'message'
    GROUP BY e.sender_id) s
LEFT JOIN LATERAL (
    SELECT r.read_seq FROM receipts r
    WHERE r.conversation_id = c.id AND r.user_id = s.sender_id LIMIT 1) r ON true
WHERE s.seq > coalesce(r.read_seq, 0) AND EXISTS (
    SELECT FROM members m
    WHERE m.conversation_id = c.id AND m.user_id = s.sender_id AND m.until_seq IS NULL)`

// sentMark is how far a member has read by having sent.
type sentMark struct {
	owner
	seq chat.Seq
}

func (q queries) unmarkedSenders(ctx context.Context, of []chat.ConversationID, within time.Duration) ([]sentMark, error) {
	rows, err := q.db.Query(ctx, selectUnmarkedSenders, of, within.Seconds())
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (m sentMark, err error) {
		err = r.Scan(&m.conversation, &m.user, &m.seq)
		return m, err
	})
}

// selectStaleGroups gives those of some groups whose kept minimum is held back by a user who is
// no member any more, is disabled, or has more by now.
const selectStaleGroups = `
SELECT d.conversation_id
FROM unnest($1::uuid[]) AS i(id)
CROSS JOIN LATERAL (SELECT * FROM delivered_to_all x WHERE x.conversation_id = i.id OFFSET 0) d
WHERE NOT EXISTS (
    SELECT FROM members m JOIN users u ON u.id = m.user_id AND u.disabled_at IS NULL
    LEFT JOIN receipts r ON r.conversation_id = m.conversation_id AND r.user_id = m.user_id
    WHERE m.conversation_id = d.conversation_id AND m.user_id = d.behind AND m.until_seq IS NULL
      AND greatest(r.delivered_seq, m.joined_seq) <= d.seq)
  AND EXISTS (
    SELECT FROM members m JOIN users u ON u.id = m.user_id AND u.disabled_at IS NULL
    WHERE m.conversation_id = d.conversation_id AND m.until_seq IS NULL)`

func (q queries) staleGroups(ctx context.Context, of []chat.ConversationID) ([]chat.ConversationID, error) {
	return q.conversations(ctx, selectStaleGroups, of)
}

const selectHeldBack = `
SELECT d.conversation_id
FROM members m
CROSS JOIN LATERAL (SELECT * FROM delivered_to_all x WHERE x.conversation_id = m.conversation_id OFFSET 0) d
WHERE m.user_id = $1 AND m.until_seq IS NULL AND d.behind = m.user_id`

// heldBackBy gives the groups whose kept minimum is the mark of a user.
func (q queries) heldBackBy(ctx context.Context, user accounts.UserID) ([]chat.ConversationID, error) {
	return q.conversations(ctx, selectHeldBack, user)
}
