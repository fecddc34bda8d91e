package chat

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"parley/accounts"
)

// appendRemoval deletes a message for an admin of the server, who need not be a member. It runs
// after lockConversations in the same transaction. It gives nothing if there is no text to delete,
// or if the user is no admin who can sign in. It erases what a deletion by the author does.
const appendRemoval = `
WITH target AS MATERIALIZED (
    SELECT e.seq FROM entries e
    WHERE e.conversation_id = $1 AND e.seq = $2 AND e.kind = 'message' AND e.body IS NOT NULL
      AND EXISTS (SELECT FROM users a WHERE a.id = $3 AND a.role = 'admin' AND a.disabled_at IS NULL)
), numbered AS (
    UPDATE conversations c SET last_seq = c.last_seq + 1
    WHERE c.id = $1 AND EXISTS (SELECT FROM target)
    RETURNING c.last_seq AS seq
), written AS (
    INSERT INTO entries (conversation_id, seq, kind, sender_id, created_at, target_seq, detail)
    SELECT $1, n.seq, 'delete', $3, statement_timestamp(), $2, '{"by_admin": true}'
    FROM numbered n
    RETURNING conversation_id, seq, kind, sender_id, client_id, created_at, body, reply_to, target_seq, detail
), erased AS (
    UPDATE entries e SET body = NULL, detail = NULL
    WHERE e.conversation_id = $1 AND EXISTS (SELECT FROM numbered)
      AND e.seq = ANY (ARRAY(SELECT $2::bigint UNION ALL
                             SELECT a.seq FROM entries a
                             WHERE a.conversation_id = $1 AND a.target_seq = $2 AND a.kind = 'edit'))
)
SELECT ` + EntryColumns + ` FROM written e`

// appendRemoval gives the entry it added, and whether there was anything to delete.
func (q queries) appendRemoval(ctx context.Context, id ConversationID, seq Seq, admin accounts.UserID) (e Entry, added bool, err error) {
	e, err = ScanEntry(q.db.QueryRow(ctx, appendRemoval, id, seq, admin))
	if errors.Is(err, pgx.ErrNoRows) {
		return Entry{}, false, nil
	}
	return e, err == nil, err
}
