package accounts

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

const insertAuditEvents = `
INSERT INTO audit_events (minute, at, kind, user_id, actor_id, session_id, address, detail, count)
SELECT date_trunc('minute', e.at, 'UTC'), e.at, e.kind,
       nullif(e.user_id, '00000000-0000-0000-0000-000000000000'),
       nullif(e.actor_id, '00000000-0000-0000-0000-000000000000'),
       nullif(e.session_id, '00000000-0000-0000-0000-000000000000'), e.address, e.detail, e.count
FROM unnest($1::timestamptz[], $2::text[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::integer[])
     AS e (at, kind, user_id, actor_id, session_id, address, detail, count)
ORDER BY e.at
ON CONFLICT (minute, kind, user_id, actor_id, session_id, address, detail)
DO UPDATE SET count = least(audit_events.count::bigint + excluded.count, 2147483647)`

func (q queries) insertAuditEvents(ctx context.Context, events []pendingEvent) error {
	n := len(events)
	at, kinds, addresses, details, counts := make([]time.Time, n), make([]string, n), make([]string, n), make([]string, n), make([]int, n)
	users, actors, sessions := make([]UserID, n), make([]UserID, n), make([]SessionID, n)
	for i, e := range events {
		at[i], kinds[i], addresses[i], details[i], counts[i] = e.at, string(e.kind), e.address, e.detail, e.count
		users[i], actors[i], sessions[i] = e.user, e.actor, e.session
	}
	_, err := q.db.Exec(ctx, insertAuditEvents, at, kinds, users, actors, sessions, addresses, details, counts)
	return err
}

const selectAuditEvents = `
SELECT id, at, kind, user_id, actor_id, session_id, address, detail, count FROM audit_events
WHERE id < $1 ORDER BY id DESC LIMIT $2`

const selectAuditEventsOfKind = `
SELECT id, at, kind, user_id, actor_id, session_id, address, detail, count FROM audit_events
WHERE kind = $3 AND id < $1 ORDER BY id DESC LIMIT $2`

// auditEvents gives events before an id, the newest first; of one kind unless it is empty.
func (q queries) auditEvents(ctx context.Context, before int64, limit int, kind AuditKind) ([]AuditEvent, error) {
	sql, args := selectAuditEvents, []any{before, limit}
	if kind != "" {
		sql, args = selectAuditEventsOfKind, append(args, kind)
	}
	rows, err := q.db.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (e AuditEvent, err error) {
		err = r.Scan(&e.ID, &e.At, &e.Kind, &e.UserID, &e.ActorID, &e.SessionID, &e.Address, &e.Detail, &e.Count)
		return e, err
	})
}

const deleteOldAuditEvents = `
DELETE FROM audit_events
WHERE id = ANY (ARRAY(SELECT e.id FROM audit_events e WHERE e.at < now() - $1::interval ORDER BY e.at LIMIT $2))`

// deleteOldAuditEvents deletes a batch of events that are older than age, and says how many.
func (q queries) deleteOldAuditEvents(ctx context.Context, age time.Duration, batch int) (int, error) {
	tag, err := q.db.Exec(ctx, deleteOldAuditEvents, age, batch)
	return int(tag.RowsAffected()), err
}
