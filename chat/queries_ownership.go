package chat

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"parley/accounts"
)

// selectDisabledUsers goes along the index users_disabled.
const selectDisabledUsers = `
SELECT id FROM users WHERE disabled_at IS NOT NULL AND id > $1 ORDER BY id LIMIT $2`

// disabledUsers gives the next page of disabled users in the order of id.
func (q queries) disabledUsers(ctx context.Context, after accounts.UserID, limit int) ([]accounts.UserID, error) {
	rows, err := q.db.Query(ctx, selectDisabledUsers, after, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[accounts.UserID])
}

// selectUnmanagedGroups gives the groups that some disabled users own, if none of their
// owners can sign in and a member can. It goes along the index members_owners.
const selectUnmanagedGroups = `
SELECT DISTINCT g.conversation_id
FROM unnest($1::uuid[]) AS i(user_id)
CROSS JOIN LATERAL (
    SELECT m.conversation_id FROM members m
    WHERE m.user_id = i.user_id AND m.role = 'owner' AND m.until_seq IS NULL OFFSET 0) g
WHERE NOT EXISTS (
    SELECT FROM members owner JOIN users u ON u.id = owner.user_id AND u.disabled_at IS NULL
    WHERE owner.conversation_id = g.conversation_id AND owner.until_seq IS NULL AND owner.role = 'owner')
  AND EXISTS (
    SELECT FROM members m JOIN users u ON u.id = m.user_id AND u.disabled_at IS NULL
    WHERE m.conversation_id = g.conversation_id AND m.until_seq IS NULL)`

func (q queries) unmanagedGroups(ctx context.Context, owners []accounts.UserID) ([]ConversationID, error) {
	rows, err := q.db.Query(ctx, selectUnmanagedGroups, owners)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[ConversationID])
}

// selectSuccession gives nothing for a group that has an owner who can sign in beside $2, or no
// other member at all. It runs after lockConversations in the same transaction. A successor who
// cannot sign in comes only if no other member can.
const selectSuccession = `
SELECT c.last_seq,
       ARRAY(SELECT m.user_id FROM members m
             WHERE m.conversation_id = c.id AND m.until_seq IS NULL AND m.role = 'owner' AND m.user_id <> $2
             ORDER BY m.joined_seq, m.user_id),
       successor.user_id, successor.can_sign_in
FROM conversations c
CROSS JOIN LATERAL (
    SELECT m.user_id, u.disabled_at IS NULL AS can_sign_in FROM members m JOIN users u ON u.id = m.user_id
    WHERE m.conversation_id = c.id AND m.until_seq IS NULL AND m.user_id <> $2
    ORDER BY u.disabled_at IS NOT NULL, m.role = 'admin' DESC, m.joined_seq, m.user_id LIMIT 1) successor
WHERE c.id = $1 AND c.kind = 'group' AND NOT EXISTS (
    SELECT FROM members owner JOIN users u ON u.id = owner.user_id AND u.disabled_at IS NULL
    WHERE owner.conversation_id = c.id AND owner.until_seq IS NULL AND owner.role = 'owner' AND owner.user_id <> $2)`

// succession is what a handover of a group needs.
type succession struct {
	last      Seq
	disabled  []accounts.UserID // the other owners, the longest-serving first: none can sign in
	successor accounts.UserID
	canSignIn bool // the successor
}

// succession finds who owns a group after a user; the zero user: after its disabled owners.
// False: there is nothing to hand over, or no other member.
func (q queries) succession(ctx context.Context, id ConversationID, after accounts.UserID) (s succession, needed bool, err error) {
	err = q.db.QueryRow(ctx, selectSuccession, id, after).Scan(&s.last, &s.disabled, &s.successor, &s.canSignIn)
	if errors.Is(err, pgx.ErrNoRows) {
		return s, false, nil
	}
	return s, err == nil, err
}
