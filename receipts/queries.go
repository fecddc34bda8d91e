package receipts

import (
	"context"

	"github.com/jackc/pgx/v5"

	"parley/accounts"
	"parley/chat"
	"parley/store"
)

type queries struct{ db store.Querier }

// raiseMarks writes a batch of marks: only of members, no further than the
// conversation reaches, and never back. It returns those that moved.
const raiseMarks = `
WITH moved AS (
    INSERT INTO receipts AS r (conversation_id, user_id, delivered_seq, read_seq)
    SELECT c.id, m.user_id, least(i.delivered, c.last_seq), least(i.read, c.last_seq)
    FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS i(conversation_id, user_id, delivered, read, ord)
    JOIN conversations c ON c.id = i.conversation_id
    JOIN members m ON m.conversation_id = c.id AND m.user_id = i.user_id AND m.until_seq IS NULL
    ORDER BY i.ord
    ON CONFLICT (conversation_id, user_id) DO UPDATE
       SET delivered_seq = greatest(r.delivered_seq, excluded.delivered_seq),
           read_seq = greatest(r.read_seq, excluded.read_seq)
     WHERE excluded.delivered_seq > r.delivered_seq OR excluded.read_seq > r.read_seq
    RETURNING conversation_id, user_id, delivered_seq, read_seq
)
SELECT v.conversation_id, v.user_id, v.delivered_seq, v.read_seq, c.kind = 'direct'
FROM moved v JOIN conversations c ON c.id = v.conversation_id`

// Event is a receipt as clients get it.
type Event struct {
	ConversationID chat.ConversationID `json:"conversation_id"`
	UserID         accounts.UserID     `json:"user_id"`
	DeliveredSeq   chat.Seq            `json:"delivered_seq"`
	ReadSeq        chat.Seq            `json:"read_seq"`
}

type raised struct {
	Event
	direct bool
}

func (q queries) raise(ctx context.Context, rows []owner, to map[owner]marks) ([]raised, error) {
	n := len(rows)
	conversations, users := make([]chat.ConversationID, n), make([]accounts.UserID, n)
	delivered, read := make([]int64, n), make([]int64, n)
	for i, o := range rows {
		conversations[i], users[i] = o.conversation, o.user
		delivered[i], read[i] = int64(to[o].delivered), int64(to[o].read)
	}
	r, err := q.db.Query(ctx, raiseMarks, conversations, users, delivered, read)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(r, func(row pgx.CollectableRow) (raised, error) {
		var v raised
		err := row.Scan(&v.ConversationID, &v.UserID, &v.DeliveredSeq, &v.ReadSeq, &v.direct)
		return v, err
	})
}
