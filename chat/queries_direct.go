package chat

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"parley/accounts"
)

const selectDirect = `
SELECT c.id, c.last_seq = 1 AND m.hidden_until_message, m.accepted, m.blocked
FROM conversations c JOIN members m ON m.conversation_id = c.id AND m.user_id = $1 AND m.until_seq IS NULL
WHERE c.kind = 'direct' AND c.direct_low = least($1::uuid, $2::uuid) AND c.direct_high = greatest($1::uuid, $2::uuid)`

// direct is the direct conversation of a user with another one.
type direct struct {
	id                        ConversationID
	hidden, accepted, blocked bool // for the user
}

// direct finds the conversation of two users, as it is for the first.
func (q queries) direct(ctx context.Context, me, other accounts.UserID) (d direct, found bool, err error) {
	err = q.db.QueryRow(ctx, selectDirect, me, other).Scan(&d.id, &d.hidden, &d.accepted, &d.blocked)
	if errors.Is(err, pgx.ErrNoRows) {
		return d, false, nil
	}
	return d, err == nil, err
}

const insertDirect = `
INSERT INTO conversations (id, kind, created_by, direct_low, direct_high, last_seq)
VALUES ($1, 'direct', $2, least($2::uuid, $3::uuid), greatest($2::uuid, $3::uuid), 1)
ON CONFLICT (direct_low, direct_high) WHERE kind = 'direct' DO NOTHING`

// insertDirect makes the conversation of two users, unless there is one: then, or as soon as a
// concurrent transaction that made one commits, it gives false.
func (q queries) insertDirect(ctx context.Context, id ConversationID, me, other accounts.UserID) (bool, error) {
	tag, err := q.db.Exec(ctx, insertDirect, id, me, other)
	return tag.RowsAffected() == 1, err
}

// revealMembership moves added_at, so that other replicas find the membership by their sweep.
const revealMembership = `
UPDATE members SET hidden_until_message = false, accepted = true, added_at = now()
WHERE conversation_id = $1 AND user_id = $2 AND until_seq IS NULL AND hidden_until_message AND NOT blocked`

// reveal shows a direct conversation to the member whom it was hidden from, and who thereby
// accepts it.
func (q queries) reveal(ctx context.Context, id ConversationID, user accounts.UserID) error {
	_, err := q.db.Exec(ctx, revealMembership, id, user)
	return err
}
