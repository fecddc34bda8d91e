package reports

import (
	"context"

	"parley/accounts"
)

// eraseTexts erases the copies of a user's texts in a page of the open reports. The rows are locked
// in the order of id, as those of a decision are.
const eraseTexts = `
WITH page AS MATERIALIZED (
    SELECT o.id, o.sender_id FROM reports o WHERE o.decided_at IS NULL AND o.id > $2 ORDER BY o.id LIMIT $3
), locked AS MATERIALIZED (
    SELECT r.id FROM reports r
    WHERE r.id = ANY (ARRAY(SELECT p.id FROM page p WHERE p.sender_id = $1)) AND r.body IS NOT NULL
    ORDER BY r.id FOR UPDATE
), erased AS (
    UPDATE reports r SET body = NULL WHERE r.id = ANY (ARRAY(SELECT l.id FROM locked l))
)
SELECT coalesce((SELECT p.id FROM page p ORDER BY p.id DESC LIMIT 1), $2), (SELECT count(*) FROM page)`

// eraseTexts gives the last report of the page, and how many it has.
func (q queries) eraseTexts(ctx context.Context, sender accounts.UserID, after ID, limit int) (last ID, n int, err error) {
	err = q.db.QueryRow(ctx, eraseTexts, sender, after, limit).Scan(&last, &n)
	return last, n, err
}
