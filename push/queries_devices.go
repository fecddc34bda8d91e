package push

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"parley/accounts"
)

const (
	// One at a time, or together they have too many.
	lockOwner = `SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE`

	// Whoever had the device before has it no more.
	deleteMoved = `DELETE FROM devices WHERE kind = $1 AND address = $2 AND user_id <> $3`

	// What becomes of a turn that began before a device changed is not for the new one, and what
	// the old one had to wait for neither.
	insertDevice = `
WITH made AS (
    INSERT INTO devices AS d (id, user_id, session_id, kind, platform, address, p256dh, auth, origin)
    SELECT $3, $4, $5, $1, $6, $2, $7, $8, $9
    WHERE (SELECT count(*) FROM devices o WHERE o.user_id = $4 AND (o.kind, o.address) <> ($1, $2)) < $10
    ON CONFLICT (kind, address) DO UPDATE
       SET user_id = excluded.user_id, session_id = excluded.session_id, platform = excluded.platform,
           p256dh = excluded.p256dh, auth = excluded.auth, origin = excluded.origin,
           lease = CASE WHEN (d.session_id, d.p256dh, d.auth) = (excluded.session_id, excluded.p256dh, excluded.auth) THEN d.lease END,
           due_at = CASE WHEN (d.session_id, d.p256dh, d.auth) = (excluded.session_id, excluded.p256dh, excluded.auth) THEN d.due_at
                         WHEN d.due_at IS NOT NULL THEN now() END,
           attempts = CASE WHEN (d.session_id, d.p256dh, d.auth) = (excluded.session_id, excluded.p256dh, excluded.auth) THEN d.attempts ELSE 0 END
    RETURNING *
)
SELECT ` + deviceColumns + ` FROM made d JOIN sessions s ON s.id = d.session_id`

	deviceColumns = `d.id, d.kind, d.platform, d.session_id, s.user_agent, d.created_at, d.last_success_at, d.last_failure_at, d.last_failure`
)

// register keeps where the caller's session can be reached, and says false if the caller has
// too many devices.
func (q queries) register(ctx context.Context, who accounts.Identity, t Target, limit int) (d Device, ok bool, err error) {
	b := &pgx.Batch{}
	b.Queue(lockOwner, who.UserID)
	b.Queue(deleteMoved, t.Kind, t.Address, who.UserID)
	b.Queue(insertDevice, t.Kind, t.Address, t.ID, who.UserID, who.SessionID, t.Platform, t.P256dh, t.Auth, t.Origin, limit).Query(func(r pgx.Rows) (err error) {
		list, err := pgx.CollectRows(r, scanDevice)
		if len(list) > 0 {
			d, ok = list[0], true
		}
		return err
	})
	err = q.db.SendBatch(ctx, b).Close()
	return d, ok, err
}

func scanDevice(r pgx.CollectableRow) (d Device, err error) {
	err = r.Scan(&d.ID, &d.Kind, &d.Platform, &d.session, &d.UserAgent, &d.CreatedAt, &d.LastSuccessAt, &d.LastFailureAt, &d.LastFailure)
	return d, err
}

const selectDevices = `
SELECT ` + deviceColumns + `
FROM devices d JOIN sessions s ON s.id = d.session_id AND s.ended_at IS NULL AND s.expires_at > now()
WHERE d.user_id = $1 ORDER BY d.created_at, d.id LIMIT $2`

func (q queries) devices(ctx context.Context, user accounts.UserID, limit int) ([]Device, error) {
	rows, err := q.db.Query(ctx, selectDevices, user, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanDevice)
}

const deleteDevice = `DELETE FROM devices WHERE id = $1 AND user_id = $2`

func (q queries) remove(ctx context.Context, user accounts.UserID, id DeviceID) (bool, error) {
	tag, err := q.db.Exec(ctx, deleteDevice, id, user)
	return tag.RowsAffected() == 1, err
}

// Rows are locked in the order of id, and those of push_jobs after them.
const deleteDevicesOf = `
WITH locked AS MATERIALIZED (SELECT id FROM devices WHERE user_id = $1 ORDER BY id FOR UPDATE)
DELETE FROM devices d USING locked l WHERE d.id = l.id`

func (q queries) removeAll(ctx context.Context, user accounts.UserID) error {
	_, err := q.db.Exec(ctx, deleteDevicesOf, user)
	return err
}

const (
	targetColumns = `d.id, d.kind, d.platform, d.address, d.p256dh, d.auth, d.origin`

	// It is where the statement finds out whether one was tested just now that it is noted.
	useForTest = `
UPDATE devices d SET tested_at = now()
WHERE id = $1 AND user_id = $2 AND NOT EXISTS (
    SELECT FROM devices o WHERE o.user_id = $2 AND o.tested_at > now() - make_interval(secs => $3))
RETURNING ` + targetColumns

	selectOwned = `SELECT EXISTS (SELECT FROM devices WHERE id = $1 AND user_id = $2)`
)

func (t *Target) columns() []any {
	return []any{&t.ID, &t.Kind, &t.Platform, &t.Address, &t.P256dh, &t.Auth, &t.Origin}
}

// useForTest gives the user's device to test, unless that was done just now. errNoDevice.
func (q queries) useForTest(ctx context.Context, user accounts.UserID, id DeviceID, pause time.Duration) (t Target, ok bool, err error) {
	err = q.db.QueryRow(ctx, useForTest, id, user, pause.Seconds()).Scan(t.columns()...)
	if !errors.Is(err, pgx.ErrNoRows) {
		return t, err == nil, err
	}
	var owned bool
	if err := q.db.QueryRow(ctx, selectOwned, id, user).Scan(&owned); err != nil {
		return t, false, err
	}
	if !owned {
		return t, false, errNoDevice
	}
	return t, false, nil
}

const updateTested = `
UPDATE devices SET last_success_at = CASE WHEN $2 = '' THEN now() ELSE last_success_at END,
                   last_failure_at = CASE WHEN $2 = '' THEN last_failure_at ELSE now() END,
                   last_failure = CASE WHEN $2 = '' THEN last_failure ELSE $2 END
WHERE id = $1`

func (q queries) tested(ctx context.Context, id DeviceID, failure string) error {
	_, err := q.db.Exec(ctx, updateTested, id, failure)
	return err
}
