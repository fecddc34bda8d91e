package chat

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// actOnMessage does something to a message and says what became of that, in one row. Like
// appendMessages it runs after lockConversations, in the same transaction and as a statement
// of its own. `last` is what was done in the same respect before: the edit that gave the
// message its text, or what this person did with this emoji. A deletion erases the text, and
// that of every edit; the rows go when PostgreSQL vacuums them away. Where one side blocks the
// other, both still delete messages of their own and take reactions back.
//
// Emoji are compared without style characters (U+FE0E, U+FE0F): $6 is canonical, but earlier
// versions stored any form, and entries never change.
const actOnMessage = `
WITH viewer AS MATERIALIZED (
    SELECT $2::uuid AS user_id
), me AS MATERIALIZED (
    SELECT m.role, m.closed, m.blocked, c.kind FROM members m JOIN conversations c ON c.id = m.conversation_id
    WHERE m.conversation_id = $1 AND m.user_id = $2 AND m.until_seq IS NULL
), target AS MATERIALIZED (
    SELECT a.seq, a.sender_id, a.body, a.detail, a.created_at FROM entries a, viewer v
    WHERE a.conversation_id = $1 AND a.seq = $5 AND a.kind = 'message' AND ` + Readable + `
), known AS MATERIALIZED (
    SELECT e.seq, e.created_at,
           e.sender_id = $2 AND e.kind = $4 AND e.target_seq = $5
               AND (e.body IS NOT DISTINCT FROM nullif($6, '') OR e.kind = 'edit' AND e.body IS NULL
                    OR e.kind IN ('reaction_added', 'reaction_removed') AND translate(e.body, E'\uFE0E\uFE0F', '') = translate($6, E'\uFE0E\uFE0F', '')) AS same
    FROM entries e WHERE e.client_id = $3 AND e.conversation_id = $1
), last AS MATERIALIZED (
    (SELECT a.seq, a.kind, a.body, a.detail, a.created_at FROM entries a
     WHERE $4 IN ('edit', 'delete') AND a.conversation_id = $1 AND a.target_seq = $5 AND a.kind IN ('edit', 'delete') AND a.kind = $4
     ORDER BY a.seq DESC LIMIT 1)
    UNION ALL
    (SELECT a.seq, a.kind, a.body, a.detail, a.created_at FROM entries a
     WHERE $4 IN ('reaction_added', 'reaction_removed') AND a.conversation_id = $1 AND a.target_seq = $5 AND a.sender_id = $2
       AND a.kind IN ('reaction_added', 'reaction_removed')
       AND translate(a.body, E'\uFE0E\uFE0F', '') = translate($6, E'\uFE0E\uFE0F', '')
     ORDER BY a.seq DESC LIMIT 1)
), named AS MATERIALIZED (
    SELECT CASE WHEN $7 <> '' THEN (
        SELECT jsonb_build_object('mentions', jsonb_agg(x.id ORDER BY x.ord))
        FROM jsonb_array_elements_text($7::jsonb) WITH ORDINALITY AS x(id, ord)
        WHERE EXISTS (SELECT FROM members m WHERE m.conversation_id = $1 AND m.user_id = x.id::uuid AND m.until_seq IS NULL)
        HAVING count(*) > 0) END AS detail
), decided AS MATERIALIZED (
    SELECT CASE
               WHEN k.same THEN 1
               WHEN me.role IS NULL THEN 2
               WHEN k.seq IS NOT NULL THEN 3
               WHEN me.blocked AND $4 IN ('edit', 'reaction_added') THEN 11
               WHEN t.seq IS NULL THEN 5
               WHEN t.sender_id <> $2 AND ($4 = 'edit'
                    OR $4 = 'delete' AND NOT (me.kind = 'group' AND me.role IN ('owner', 'admin'))) THEN 6
               WHEN me.closed AND $4 <> 'delete' THEN 10
               WHEN $4 = 'delete' AND t.body IS NULL THEN 1
               WHEN $4 = 'reaction_removed' AND (t.body IS NULL OR l.kind IS DISTINCT FROM 'reaction_added') THEN 1
               WHEN t.body IS NULL THEN 7
               WHEN $4 = 'edit' AND coalesce(l.body, t.body) = $6
                    AND (SELECT detail FROM named) IS NOT DISTINCT FROM CASE WHEN l.seq IS NULL THEN t.detail ELSE l.detail END THEN 1
               WHEN $4 = 'reaction_added' AND l.kind = 'reaction_added' THEN 1
               WHEN $4 = 'reaction_added' AND (
                   SELECT count(*) FROM (
                       SELECT DISTINCT ON (translate(a.body, E'\uFE0E\uFE0F', '')) a.kind FROM entries a
                       WHERE a.conversation_id = $1 AND a.target_seq = $5 AND a.sender_id = $2
                         AND a.kind IN ('reaction_added', 'reaction_removed')
                       ORDER BY translate(a.body, E'\uFE0E\uFE0F', ''), a.seq DESC) mine
                   WHERE mine.kind = 'reaction_added') >= $8 THEN 8
               WHEN $4 = 'edit' AND (
                   SELECT count(*) FROM (
                       SELECT FROM entries a
                       WHERE a.conversation_id = $1 AND a.target_seq = $5 AND a.kind = 'edit' LIMIT $9) mine) >= $9 THEN 9
               WHEN $4 IN ('reaction_added', 'reaction_removed') AND (
                   SELECT count(*) FROM entries a
                   WHERE a.conversation_id = $1 AND a.target_seq = $5 AND a.sender_id = $2
                     AND a.kind IN ('reaction_added', 'reaction_removed')) >= $10 THEN 9
               ELSE 0 END AS outcome,
           coalesce(k.seq, l.seq, t.seq, 0) AS seq,
           coalesce(k.created_at, l.created_at, t.created_at, statement_timestamp()) AS at
    FROM viewer
    LEFT JOIN me ON true LEFT JOIN target t ON true LEFT JOIN known k ON true LEFT JOIN last l ON true
), numbered AS (
    UPDATE conversations c SET last_seq = c.last_seq + 1
    WHERE c.id = $1 AND (SELECT outcome FROM decided) = 0
    RETURNING c.last_seq AS seq
), written AS (
    INSERT INTO entries (conversation_id, seq, kind, sender_id, client_id, created_at, body, target_seq, detail)
    SELECT $1, n.seq, $4, $2, $3, statement_timestamp(), nullif($6, ''), $5, (SELECT detail FROM named)
    FROM numbered n
    RETURNING detail
), erased AS (
    UPDATE entries e SET body = NULL, detail = NULL
    WHERE $4 = 'delete' AND e.conversation_id = $1 AND EXISTS (SELECT FROM numbered)
      AND e.seq = ANY (ARRAY(SELECT $5::bigint UNION ALL
                             SELECT a.seq FROM entries a
                             WHERE a.conversation_id = $1 AND a.target_seq = $5 AND a.kind = 'edit'))
)
SELECT d.outcome, coalesce(n.seq, d.seq), CASE WHEN n.seq IS NULL THEN d.at ELSE statement_timestamp() END,
       (SELECT detail FROM written)
FROM decided d LEFT JOIN numbered n ON true`

// act stores an action in one round trip and one transaction. It returns after the commit.
func (q queries) act(ctx context.Context, a Action) (r result, err error) {
	b := &pgx.Batch{}
	b.Queue(lockConversations, []ConversationID{a.ConversationID})
	b.Queue(actOnMessage, a.ConversationID, a.SenderID, uuid.NullUUID{UUID: a.ClientID, Valid: a.ClientID != uuid.Nil},
		a.Kind, a.TargetSeq, a.Body+a.Emoji, jsonIDs(a.Mentions), maxReactions, maxEdits, maxToggles).
		QueryRow(func(row pgx.Row) error { return row.Scan(&r.outcome, &r.seq, &r.at, &r.detail) })
	// The pipeline's statements are one implicit transaction, committed at its end.
	if err := q.db.SendBatch(ctx, b).Close(); err != nil {
		return r, fmt.Errorf("act on a message: %w", err)
	}
	return r, nil
}
