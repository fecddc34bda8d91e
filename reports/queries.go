package reports

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"parley/accounts"
	"parley/chat"
	"parley/store"
)

type queries struct{ db store.Querier }

// insertReport reports a message that the user can read, with its text as they see it. An earlier
// report of it by the same user is found first; one of the same moment by the unique index.
const insertReport = `
WITH viewer AS MATERIALIZED (
    SELECT $1::uuid AS user_id
), known AS MATERIALIZED (
    SELECT r.id FROM reports r WHERE r.reporter_id = $1 AND r.conversation_id = $2 AND r.seq = $3
), target AS MATERIALIZED (
    SELECT a.sender_id, a.body FROM entries a, viewer v
    WHERE a.conversation_id = $2 AND a.seq = $3 AND a.kind = 'message' AND ` + chat.Readable + `
), revised AS MATERIALIZED (
    SELECT a.body FROM entries a, viewer v
    WHERE a.conversation_id = $2 AND a.target_seq = $3 AND a.kind IN ('edit', 'delete') AND a.kind = 'edit' AND ` + chat.Readable + `
    ORDER BY a.seq DESC LIMIT 1
), decided AS MATERIALIZED (
    SELECT CASE WHEN k.id IS NOT NULL THEN 'known'
                WHEN t.sender_id IS NULL THEN 'not_found'
                WHEN t.body IS NULL THEN 'deleted'
                WHEN t.sender_id = $1 THEN 'own'
                WHEN (SELECT count(*) FROM (
                          SELECT FROM reports o WHERE o.reporter_id = $1 AND o.decided_at IS NULL LIMIT $7) mine) >= $7 THEN 'too_many'
                ELSE 'created' END AS outcome
    FROM viewer LEFT JOIN known k ON true LEFT JOIN target t ON true
), written AS (
    INSERT INTO reports (id, conversation_id, seq, reporter_id, sender_id, reason, comment, body)
    SELECT $4, $2, $3, $1, t.sender_id, $5, $6, coalesce((SELECT body FROM revised), t.body)
    FROM target t WHERE (SELECT outcome FROM decided) = 'created'
    ON CONFLICT (reporter_id, conversation_id, seq) DO UPDATE SET reporter_id = excluded.reporter_id
    RETURNING id
)
SELECT CASE WHEN w.id <> $4 THEN 'known' ELSE d.outcome END, coalesce(w.id, k.id)
FROM decided d LEFT JOIN written w ON true LEFT JOIN known k ON true`

// create gives the outcome, and the id of the report that there is then.
func (q queries) create(ctx context.Context, reporter accounts.UserID, n NewReport) (outcome string, id ID, err error) {
	err = q.db.QueryRow(ctx, insertReport, reporter, n.ConversationID, n.Seq, store.NewID[Report](), n.Reason, n.Comment, maxOpen).Scan(&outcome, &id)
	return outcome, id, err
}

// about is what a decision needs to know of a report.
type about struct {
	conversation chat.ConversationID
	seq          chat.Seq
	sender       accounts.UserID
	decision     *Decision
	decidedBy    accounts.UserID
	isForOthers  bool // the admin wrote the message, and another admin can decide
}

const selectAbout = `
SELECT r.conversation_id, r.seq, r.sender_id, r.decision, r.decided_by,
       r.sender_id = $1 AND EXISTS (SELECT FROM users o WHERE o.role = 'admin' AND o.disabled_at IS NULL AND o.id <> $1)
FROM reports r
WHERE r.id = $2 AND EXISTS (SELECT FROM users a WHERE a.id = $1 AND a.role = 'admin' AND a.disabled_at IS NULL)`

func (q queries) about(ctx context.Context, admin accounts.UserID, id ID) (r about, found bool, err error) {
	err = q.db.QueryRow(ctx, selectAbout, admin, id).Scan(&r.conversation, &r.seq, &r.sender, &r.decision, &r.decidedBy, &r.isForOthers)
	if errors.Is(err, pgx.ErrNoRows) {
		return about{}, false, nil
	}
	return r, err == nil, err
}

// updateDecided decides an open report, but not of the admin's own message while another admin can. With the decision 'removed' it
// decides all open ones of the message, in the order of id: two admins never wait for each other in a circle. The answer is for
// the reporter of the first alone. The copies of the text are erased.
const updateDecided = `
WITH asked AS MATERIALIZED (
    SELECT r.conversation_id, r.seq FROM reports r
    WHERE r.id = $2 AND r.decided_at IS NULL
      AND EXISTS (SELECT FROM users a WHERE a.id = $1 AND a.role = 'admin' AND a.disabled_at IS NULL)
      AND (r.sender_id <> $1 OR NOT EXISTS (SELECT FROM users o WHERE o.role = 'admin' AND o.disabled_at IS NULL AND o.id <> $1))
), found AS MATERIALIZED (
    SELECT r.id FROM reports r
    WHERE r.id = ANY (ARRAY(
        SELECT $2::uuid FROM asked
        UNION
        SELECT o.id FROM asked q JOIN reports o ON o.conversation_id = q.conversation_id AND o.seq = q.seq AND o.decided_at IS NULL
        WHERE $3 = 'removed')) AND r.decided_at IS NULL
    ORDER BY r.id FOR UPDATE
)
UPDATE reports r
SET decision = $3, answer = CASE WHEN r.id = $2 THEN $4 ELSE '' END, decided_by = $1, decided_at = statement_timestamp(), body = NULL
FROM found f
WHERE r.id = f.id AND EXISTS (SELECT FROM found x WHERE x.id = $2)
RETURNING r.id`

// decide gives the reports that it decided: none if the report was not open, if the user is no
// admin who can sign in, or if the report is for other admins to decide.
func (q queries) decide(ctx context.Context, admin accounts.UserID, id ID, c Choice) ([]ID, error) {
	rows, err := q.db.Query(ctx, updateDecided, admin, id, c.Decision, c.Answer)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[ID])
}

// selectNews gives what there is to tell of a report: to its reporter once it is decided, and to
// the admins how many are open.
const selectNews = `
SELECT r.reporter_id, r.decision, r.answer,
       (SELECT count(*) FROM (SELECT FROM reports o WHERE o.decided_at IS NULL LIMIT $2) opened),
       ARRAY(SELECT a.id FROM users a WHERE a.role = 'admin' AND a.disabled_at IS NULL ORDER BY a.id LIMIT 1000)
FROM reports r WHERE r.id = $1`

type news struct {
	reporter accounts.UserID
	decision *Decision
	answer   string
	open     int
	admins   []accounts.UserID
}

func (q queries) news(ctx context.Context, id ID) (n news, found bool, err error) {
	err = q.db.QueryRow(ctx, selectNews, id, countedOpen).Scan(&n.reporter, &n.decision, &n.answer, &n.open, &n.admins)
	if errors.Is(err, pgx.ErrNoRows) {
		return news{}, false, nil
	}
	return n, err == nil, err
}

const countOpen = `
SELECT count(*) FROM (
    SELECT FROM reports o
    WHERE o.decided_at IS NULL AND EXISTS (SELECT FROM users a WHERE a.id = $1 AND a.role = 'admin' AND a.disabled_at IS NULL)
    LIMIT $2) opened`

func (q queries) countOpen(ctx context.Context, admin accounts.UserID) (n int, err error) {
	err = q.db.QueryRow(ctx, countOpen, admin, countedOpen).Scan(&n)
	return n, err
}

const deleteDecided = `
DELETE FROM reports WHERE id = ANY (ARRAY(
    SELECT r.id FROM reports r WHERE r.decided_at IS NOT NULL AND r.decided_at < now() - $1::interval ORDER BY r.decided_at LIMIT $2))`

// deleteDecided deletes a batch of those that were decided so long ago, and says how many.
func (q queries) deleteDecided(ctx context.Context, age time.Duration, batch int) (int, error) {
	tag, err := q.db.Exec(ctx, deleteDecided, age, batch)
	return int(tag.RowsAffected()), err
}
