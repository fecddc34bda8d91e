package presence

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"parley/accounts"
)

// maxUnseen is how many users are told nothing of a user's typing; beyond, no user is told.
const maxUnseen = 100

// selectTyping reads what the members may see of the typing of the user $2. Blocks of the user
// are bounded, those of others by $3: a user with more of them types unseen.
const selectTyping = `
SELECT m.blocked, m.accepted OR NOT $4, ARRAY(
    (SELECT k.blocked_id FROM blocks k WHERE k.user_id = $2 LIMIT $3 + 1)
    UNION ALL
    (SELECT k.user_id FROM blocks k WHERE k.blocked_id = $2 LIMIT $3 + 1))
FROM members m
WHERE m.conversation_id = $1 AND m.user_id = $2 AND m.until_seq IS NULL`

// typist is what a member's typing may be told.
type typist struct {
	blocked bool              // in a direct conversation: the member may not type
	shown   bool              // the member accepted the conversation
	unseen  []accounts.UserID // users who are not told, members or not
}

// typing gives false for a user who is no member.
func (q queries) typing(ctx context.Context, t Typing) (p typist, found bool, err error) {
	err = q.db.QueryRow(ctx, selectTyping, t.ConversationID, t.UserID, maxUnseen, q.acceptance).Scan(&p.blocked, &p.shown, &p.unseen)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, false, nil
	}
	return p, err == nil, err
}

// selectRecentBlocks goes along the index blocks_created.
const selectRecentBlocks = `
SELECT user_id, blocked_id FROM blocks WHERE created_at > now() - make_interval(secs => $1) ORDER BY created_at DESC LIMIT $2`

// recentBlocks gives pairs of which one blocked the other within the last while.
func (q queries) recentBlocks(ctx context.Context, limit int) ([]watch, error) {
	rows, err := q.db.Query(ctx, selectRecentBlocks, blockOverlap.Seconds(), limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (w watch, err error) {
		err = r.Scan(&w.watcher, &w.watched)
		return w, err
	})
}
