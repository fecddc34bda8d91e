package chat

import (
	"context"

	"github.com/jackc/pgx/v5"

	"parley/accounts"
)

// selectFormerPage gives conversations that a user was a member of and is no more, as they were
// when the last membership ended. Everything is bounded by that membership: the title of then,
// the last message of then with what happened to it until then, and nothing about the members.
// $2: of these conversations alone, unless it is null.
const selectFormerPage = `
WITH page AS MATERIALIZED (
    SELECT m.user_id, m.conversation_id AS id, m.from_seq, m.until_seq, m.until_title, m.notify, l.created_at AS ended_at
    FROM members m
    CROSS JOIN LATERAL (
        SELECT x.created_at FROM entries x WHERE x.conversation_id = m.conversation_id AND x.seq = m.until_seq OFFSET 0) l
    WHERE m.user_id = $1 AND ($2::uuid[] IS NULL OR m.conversation_id = ANY($2)) AND m.until_seq IS NOT NULL
      AND NOT EXISTS (
          SELECT FROM members n
          WHERE n.conversation_id = m.conversation_id AND n.user_id = m.user_id AND (n.until_seq IS NULL OR n.until_seq > m.until_seq))
      AND (l.created_at, m.conversation_id) < ($3, $4)
    ORDER BY l.created_at DESC, m.conversation_id DESC LIMIT $5
)
SELECT v.user_id, v.id, 'group',
       coalesce(v.until_title, (SELECT b.detail ->> 'title' FROM entries b WHERE b.conversation_id = v.id AND b.seq = 1), ''),
       '', false, v.until_seq, v.ended_at,
       least(greatest(w.delivered_seq, w.read_seq, 0), v.until_seq), least(coalesce(w.read_seq, 0), v.until_seq),
       v.notify, NULL::timestamptz, false, true, false, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, '[]'::json,
       ` + MessageColumns + `
FROM page v
LEFT JOIN receipts w ON w.conversation_id = v.id AND w.user_id = v.user_id
CROSS JOIN LATERAL (
    SELECT * FROM (
        (SELECT * FROM entries o
         WHERE o.conversation_id = v.id AND o.seq >= v.from_seq AND o.seq <= v.until_seq AND o.kind = 'message'
         ORDER BY o.seq DESC LIMIT 1)
        UNION ALL
        (SELECT * FROM entries o WHERE o.conversation_id = v.id AND o.seq = v.from_seq AND o.seq <= v.until_seq)) l
    ORDER BY l.seq DESC LIMIT 1) e
CROSS JOIN LATERAL (` + actionsOn + `) f
ORDER BY v.ended_at DESC, v.id DESC`

// formerPage gives a user's former conversations; of those alone, unless ids is nil.
func (q queries) formerPage(ctx context.Context, me accounts.UserID, ids []ConversationID, after cursor, limit int) ([]Conversation, error) {
	rows, err := q.db.Query(ctx, selectFormerPage, me, ids, after.at, after.id, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Conversation, error) {
		c, err := scanConversation(row)
		c.Former = true
		return c, err
	})
}
