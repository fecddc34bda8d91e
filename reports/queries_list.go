package reports

import (
	"context"

	"github.com/jackc/pgx/v5"

	"parley/accounts"
	"parley/chat"
)

// The queue, the oldest first, and what was decided, the latest first; for admins.
const (
	selectOpen = `
SELECT r.id, r.conversation_id, r.seq, r.reason, r.comment, r.created_at, coalesce(r.body, ''), r.body IS NULL, r.decision, r.answer, r.decided_at,
       f.id, f.username, f.display_name, f.role, f.disabled_at IS NOT NULL, f.deleted_at IS NOT NULL,
       s.id, s.username, s.display_name, s.role, s.disabled_at IS NOT NULL, s.deleted_at IS NOT NULL, NULL::uuid, NULL::text, NULL::text, NULL::text, NULL::boolean, NULL::boolean
FROM reports r JOIN users f ON f.id = r.reporter_id JOIN users s ON s.id = r.sender_id
WHERE r.decided_at IS NULL AND r.id > $2
  AND EXISTS (SELECT FROM users a WHERE a.id = $1 AND a.role = 'admin' AND a.disabled_at IS NULL)
ORDER BY r.id LIMIT $3`

	selectClosed = `
SELECT r.id, r.conversation_id, r.seq, r.reason, r.comment, r.created_at, '', false, r.decision, r.answer, r.decided_at,
       f.id, f.username, f.display_name, f.role, f.disabled_at IS NOT NULL, f.deleted_at IS NOT NULL,
       s.id, s.username, s.display_name, s.role, s.disabled_at IS NOT NULL, s.deleted_at IS NOT NULL,
       d.id, d.username, d.display_name, d.role, d.disabled_at IS NOT NULL, d.deleted_at IS NOT NULL
FROM reports r JOIN users f ON f.id = r.reporter_id JOIN users s ON s.id = r.sender_id LEFT JOIN users d ON d.id = r.decided_by
WHERE r.decided_at IS NOT NULL AND (r.decided_at, r.id) < ($4, $2)
  AND EXISTS (SELECT FROM users a WHERE a.id = $1 AND a.role = 'admin' AND a.disabled_at IS NULL)
ORDER BY r.decided_at DESC, r.id DESC LIMIT $3`

	// selectMine are a user's own reports, the latest first.
	selectMine = `
SELECT r.id, r.conversation_id, r.seq, r.reason, r.comment, r.created_at, r.decision, r.answer, r.decided_at
FROM reports r WHERE r.reporter_id = $1 AND r.id < $2 ORDER BY r.id DESC LIMIT $3`

	// selectContext gives the messages around those of open reports, as far as they lie in the
	// membership by which the reporter reads the reported one. Reactions are left out.
	selectContext = `
SELECT r.id, ` + chat.MessageColumns + `
FROM reports r
CROSS JOIN LATERAL (SELECT r.reporter_id AS user_id) v
CROSS JOIN LATERAL (
    SELECT m.from_seq, coalesce(m.until_seq, 9223372036854775807) AS until_seq FROM members m
    WHERE m.conversation_id = r.conversation_id AND m.user_id = r.reporter_id
      AND r.seq >= m.from_seq AND (m.until_seq IS NULL OR r.seq <= m.until_seq) LIMIT 1) i
CROSS JOIN LATERAL (
    (SELECT * FROM entries o
     WHERE o.conversation_id = r.conversation_id AND o.kind = 'message' AND o.seq >= i.from_seq AND o.seq < r.seq
     ORDER BY o.seq DESC LIMIT $3)
    UNION ALL
    (SELECT * FROM entries o
     WHERE o.conversation_id = r.conversation_id AND o.kind = 'message' AND o.seq > r.seq AND o.seq <= i.until_seq
     ORDER BY o.seq LIMIT $3)) e
CROSS JOIN LATERAL (
    SELECT ` + chat.Actions + ` AS actions FROM (
        SELECT ` + chat.ActionColumns + ` FROM entries a
        WHERE a.conversation_id = e.conversation_id AND a.target_seq = e.seq AND a.kind IN ('edit', 'delete') AND ` + chat.Readable + `
        ORDER BY a.seq DESC LIMIT 1) a) f
WHERE r.id = ANY($2::uuid[]) AND r.decided_at IS NULL
  AND EXISTS (SELECT FROM users a WHERE a.id = $1 AND a.role = 'admin' AND a.disabled_at IS NULL)
ORDER BY r.id, e.seq`
)

// list gives reports of a state after one, and the context of the open ones.
func (q queries) list(ctx context.Context, admin accounts.UserID, state State, after cursor, limit int) ([]Report, error) {
	sql, args := selectOpen, []any{admin, after.id, limit}
	if state == Closed {
		sql, args = selectClosed, append(args, after.at)
	}
	rows, err := q.db.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r Report, err error) {
		var by nullUser
		err = row.Scan(&r.ID, &r.ConversationID, &r.Seq, &r.Reason, &r.Comment, &r.CreatedAt, &r.Body, &r.Erased, &r.Decision, &r.Answer, &r.DecidedAt,
			&r.Reporter.ID, &r.Reporter.Username, &r.Reporter.DisplayName, &r.Reporter.Role, &r.Reporter.Disabled, &r.Reporter.Deleted,
			&r.Sender.ID, &r.Sender.Username, &r.Sender.DisplayName, &r.Sender.Role, &r.Sender.Disabled, &r.Sender.Deleted,
			&by.id, &by.username, &by.name, &by.role, &by.disabled, &by.deleted)
		r.DecidedBy, r.State, r.Context = by.user(), state, []chat.Message{}
		return r, err
	})
	if err != nil || state == Closed || len(list) == 0 {
		return list, err
	}
	return list, q.addContext(ctx, admin, list)
}

func (q queries) addContext(ctx context.Context, admin accounts.UserID, list []Report) error {
	ids, at := make([]ID, len(list)), make(map[ID]int, len(list))
	for i, r := range list {
		ids[i], at[r.ID] = r.ID, i
	}
	rows, err := q.db.Query(ctx, selectContext, admin, ids, aroundEach)
	if err != nil {
		return err
	}
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
		var id ID
		m, err := chat.ScanMessage(after{row, &id})
		if err == nil {
			list[at[id]].Context = append(list[at[id]].Context, m)
		}
		return struct{}{}, err
	})
	return err
}

// after is a row whose first column goes elsewhere.
type after struct {
	row   pgx.CollectableRow
	first any
}

func (a after) Scan(rest ...any) error { return a.row.Scan(append([]any{a.first}, rest...)...) }

// nullUser is a user or none.
type nullUser struct {
	id             *accounts.UserID
	username, name *string
	role           *accounts.Role
	disabled       *bool
	deleted        *bool
}

func (n nullUser) user() *accounts.User {
	if n.id == nil {
		return nil
	}
	return &accounts.User{ID: *n.id, Username: *n.username, DisplayName: *n.name, Role: *n.role, Disabled: *n.disabled, Deleted: *n.deleted}
}

func (q queries) mine(ctx context.Context, me accounts.UserID, after cursor, limit int) ([]Mine, error) {
	rows, err := q.db.Query(ctx, selectMine, me, after.id, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (m Mine, err error) {
		err = row.Scan(&m.ID, &m.ConversationID, &m.Seq, &m.Reason, &m.Comment, &m.CreatedAt, &m.Decision, &m.Answer, &m.DecidedAt)
		m.State = stateOf(m.Decision)
		return m, err
	})
}

func stateOf(d *Decision) State {
	if d == nil {
		return Open
	}
	return Closed
}
