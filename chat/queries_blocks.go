package chat

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"parley/accounts"
)

// lockUsers makes changes of one user's blocks, and of the blocks between two users, follow one
// another. It keeps neither sign-ins nor new members waiting: their foreign keys lock the key.
const lockUsers = `
SELECT id FROM users WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE`

// lockUsers gives those of some users who exist.
func (q queries) lockUsers(ctx context.Context, users ...accounts.UserID) ([]accounts.UserID, error) {
	rows, err := q.db.Query(ctx, lockUsers, users)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[accounts.UserID])
}

const shareUsers = `
SELECT id FROM users WHERE id = ANY($1::uuid[]) ORDER BY id FOR SHARE`

// shareUsers keeps blocks between users from changing until the transaction ends.
func (q queries) shareUsers(ctx context.Context, users ...accounts.UserID) error {
	_, err := q.db.Exec(ctx, shareUsers, users)
	return err
}

// insertBlock runs after lockUsers in the same transaction, so that the count holds.
const insertBlock = `
WITH known AS MATERIALIZED (
    SELECT count(*) AS n, coalesce(bool_or(blocked_id = $2), false) AS found FROM blocks WHERE user_id = $1
), added AS (
    INSERT INTO blocks (user_id, blocked_id) SELECT $1, $2 FROM known WHERE NOT found AND n < $3
)
SELECT found OR n < $3 FROM known`

// insertBlock says whether the user blocks the other one by now: not with so many blocks.
func (q queries) insertBlock(ctx context.Context, p pair, limit int) (blocked bool, err error) {
	err = q.db.QueryRow(ctx, insertBlock, p.User, p.Other, limit).Scan(&blocked)
	return blocked, err
}

const deleteBlock = `DELETE FROM blocks WHERE user_id = $1 AND blocked_id = $2`

func (q queries) deleteBlock(ctx context.Context, p pair) error {
	_, err := q.db.Exec(ctx, deleteBlock, p.User, p.Other)
	return err
}

const deleteBlocksOf = `DELETE FROM blocks WHERE user_id = $1 OR blocked_id = $1 RETURNING user_id, blocked_id`

// deleteBlocksOf deletes the blocks by a user and those against them, and gives them.
func (q queries) deleteBlocksOf(ctx context.Context, user accounts.UserID) ([]pair, error) {
	rows, err := q.db.Query(ctx, deleteBlocksOf, user)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (p pair, err error) {
		err = r.Scan(&p.User, &p.Other)
		return p, err
	})
}

const lockDirect = `
SELECT id FROM conversations
WHERE kind = 'direct' AND direct_low = least($1::uuid, $2::uuid) AND direct_high = greatest($1::uuid, $2::uuid)
FOR UPDATE`

// updateBlocked runs after lockDirect in the same transaction and as a statement of its own: what
// is sent before it got its seq first, and what is sent after it sees the block.
const updateBlocked = `
UPDATE members m SET blocked = b.blocked
FROM (SELECT EXISTS (SELECT FROM blocks k WHERE k.user_id = $2 AND k.blocked_id = $3)
          OR EXISTS (SELECT FROM blocks k WHERE k.user_id = $3 AND k.blocked_id = $2) AS blocked) b
WHERE m.conversation_id = $1 AND m.until_seq IS NULL AND m.blocked <> b.blocked`

// markBlocked writes into the direct conversation of two users, if there is one, whether either
// blocks the other.
func (q queries) markBlocked(ctx context.Context, p pair) error {
	var id ConversationID
	err := q.db.QueryRow(ctx, lockDirect, p.User, p.Other).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err == nil {
		_, err = q.db.Exec(ctx, updateBlocked, id, p.User, p.Other)
	}
	return err
}

const selectBlock = `SELECT EXISTS (SELECT FROM blocks WHERE user_id = $1 AND blocked_id = $2)`

// blocks says whether the first user blocks the second.
func (q queries) blocks(ctx context.Context, p pair) (blocked bool, err error) {
	err = q.db.QueryRow(ctx, selectBlock, p.User, p.Other).Scan(&blocked)
	return blocked, err
}

const selectEitherBlock = `
SELECT EXISTS (SELECT FROM blocks WHERE user_id = $1 AND blocked_id = $2)
    OR EXISTS (SELECT FROM blocks WHERE user_id = $2 AND blocked_id = $1)`

func (q queries) eitherBlocks(ctx context.Context, a, b accounts.UserID) (blocked bool, err error) {
	err = q.db.QueryRow(ctx, selectEitherBlock, a, b).Scan(&blocked)
	return blocked, err
}

const selectBlockedUsers = `
SELECT u.id, u.username, u.display_name, u.role, u.disabled_at IS NOT NULL, u.deleted_at IS NOT NULL
FROM (SELECT blocked_id FROM blocks WHERE user_id = $1 LIMIT $2) k
CROSS JOIN LATERAL (SELECT * FROM users x WHERE x.id = k.blocked_id OFFSET 0) u
ORDER BY u.username`

func (q queries) blockedUsers(ctx context.Context, me accounts.UserID, limit int) ([]accounts.User, error) {
	rows, err := q.db.Query(ctx, selectBlockedUsers, me, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[accounts.User])
}

// selectRefusedAdds gives those of some users whom $1 may not add to a group: who block $1, and
// by the policy $3 those who share no direct conversation with $1 that they accepted.
const selectRefusedAdds = `
SELECT u.id, u.display_name
FROM unnest($2::uuid[]) WITH ORDINALITY AS i(user_id, ord)
CROSS JOIN LATERAL (SELECT x.id, x.display_name FROM users x WHERE x.id = i.user_id OFFSET 0) u
WHERE EXISTS (SELECT FROM blocks k WHERE k.user_id = u.id AND k.blocked_id = $1)
   OR $3 = 'admins' AND (SELECT a.role <> 'admin' FROM users a WHERE a.id = $1)
   OR $3 = 'contacts' AND (
       SELECT m.accepted FROM conversations c JOIN members m ON m.conversation_id = c.id AND m.user_id = u.id AND m.until_seq IS NULL
       WHERE c.kind = 'direct' AND c.direct_low = least($1::uuid, u.id) AND c.direct_high = greatest($1::uuid, u.id)) IS NOT TRUE
ORDER BY i.ord`

// refusedAdd is a user who may not be added to a group.
type refusedAdd struct {
	id   accounts.UserID
	name string
}

func (q queries) refusedAdds(ctx context.Context, me accounts.UserID, users []accounts.UserID, policy GroupAdds) ([]refusedAdd, error) {
	rows, err := q.db.Query(ctx, selectRefusedAdds, me, users, policy)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (a refusedAdd, err error) {
		err = r.Scan(&a.id, &a.name)
		return a, err
	})
}

const acceptConversation = `
WITH me AS MATERIALIZED (
    SELECT m.accepted FROM members m JOIN conversations c ON c.id = m.conversation_id
    WHERE m.conversation_id = $1 AND m.user_id = $2 AND m.until_seq IS NULL AND NOT (m.hidden_until_message AND c.last_seq = 1)
), accepting AS (
    UPDATE members SET accepted = true
    WHERE conversation_id = $1 AND user_id = $2 AND until_seq IS NULL AND (SELECT NOT accepted FROM me)
)
SELECT NOT accepted FROM me`

// accept says whether the user is a member, and whether the conversation was not accepted before.
func (q queries) accept(ctx context.Context, id ConversationID, me accounts.UserID) (isMember, isNew bool, err error) {
	err = q.db.QueryRow(ctx, acceptConversation, id, me).Scan(&isNew)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, false, nil
	}
	return err == nil, isNew, err
}
