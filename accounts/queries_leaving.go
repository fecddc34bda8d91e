package accounts

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// Signing in checks the password, and leaves confirmed_at empty.
const selectSessionConfirmed = `
SELECT EXISTS (SELECT FROM sessions s WHERE s.id = $1 AND s.user_id = $2 AND s.ended_at IS NULL
                  AND coalesce(s.confirmed_at, s.created_at) > now() - $3::interval)`

func (q queries) sessionConfirmed(ctx context.Context, who Identity, within time.Duration) (confirmed bool, err error) {
	err = q.db.QueryRow(ctx, selectSessionConfirmed, who.SessionID, who.UserID, within).Scan(&confirmed)
	return confirmed, err
}

const confirmSession = `
UPDATE sessions s SET confirmed_at = now() FROM users u
WHERE s.id = $1 AND s.user_id = $2 AND s.ended_at IS NULL AND u.id = s.user_id AND u.password_hash = $3 AND u.disabled_at IS NULL`

// confirmSession notes that a password was checked, if it still is the user's.
func (q queries) confirmSession(ctx context.Context, who Identity, provedHash string) (bool, error) {
	tag, err := q.db.Exec(ctx, confirmSession, who.SessionID, who.UserID, provedHash)
	return tag.RowsAffected() == 1, err
}

const selectSessionOpen = `
SELECT EXISTS (SELECT FROM sessions s JOIN users u ON u.id = s.user_id
               WHERE s.id = $1 AND s.user_id = $2 AND s.ended_at IS NULL AND u.disabled_at IS NULL)`

func (q queries) sessionOpen(ctx context.Context, who Identity) (open bool, err error) {
	err = q.db.QueryRow(ctx, selectSessionOpen, who.SessionID, who.UserID).Scan(&open)
	return open, err
}

// deletion ------------------------------------------------------------------------------

// deleteUser leaves a row that says nothing of the user. It waits for transactions that found the
// user able to sign in, as their locks conflict with a change of the username, which is a key.
const deleteUser = `
UPDATE users
SET username = $3, display_name = $4, search_name = $4, search_terms = '', password_hash = $5, role = 'member',
    show_last_seen = false, disabled_at = coalesce(disabled_at, now()), deleted_at = now(),
    erase_messages = $6, deletion_due_at = now()
WHERE id = $1 AND password_hash = $2 AND deleted_at IS NULL`

func (q queries) deleteUser(ctx context.Context, id UserID, provedHash, username, displayName, noHash string, erase bool) (bool, error) {
	tag, err := q.db.Exec(ctx, deleteUser, id, provedHash, username, displayName, noHash, erase)
	return tag.RowsAffected() == 1, err
}

// selectForDeletion also gives users who are disabled.
const selectForDeletion = `
SELECT id, username, display_name, role, password_hash FROM users WHERE username = $1 AND deleted_at IS NULL`

func (q queries) forDeletion(ctx context.Context, username string) (User, string, bool, error) {
	return q.oneCredentials(ctx, selectForDeletion, username)
}

const insertRetiredUsername = `INSERT INTO retired_usernames (name_hash) VALUES ($1) ON CONFLICT DO NOTHING`

func (q queries) insertRetiredUsername(ctx context.Context, hash []byte) error {
	_, err := q.db.Exec(ctx, insertRetiredUsername, hash)
	return err
}

// takeDeletion is a lease: a replica that crashes gives the deletion back by doing nothing.
const takeDeletion = `
UPDATE users u SET deletion_due_at = now() + $1::interval
WHERE u.id = (SELECT d.id FROM users d WHERE d.deletion_due_at <= now()
              ORDER BY d.deletion_due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING u.id, u.erase_messages`

func (q queries) takeDeletion(ctx context.Context, lease time.Duration) (id UserID, erase, found bool, err error) {
	err = q.db.QueryRow(ctx, takeDeletion, lease).Scan(&id, &erase)
	if errors.Is(err, pgx.ErrNoRows) {
		return id, false, false, nil
	}
	return id, erase, err == nil, err
}

const postponeDeletion = `UPDATE users SET deletion_due_at = now() + $2::interval WHERE id = $1 AND deletion_due_at IS NOT NULL`

func (q queries) postponeDeletion(ctx context.Context, id UserID, by time.Duration) error {
	_, err := q.db.Exec(ctx, postponeDeletion, id, by)
	return err
}

// What was under way at the request may leave something behind: hence a last round after $2.
const finishDeletion = `
UPDATE users SET deletion_due_at = CASE WHEN deleted_at < now() - $2::interval THEN NULL ELSE deleted_at + $2::interval + interval '1 second' END
WHERE id = $1 RETURNING deletion_due_at IS NULL`

func (q queries) finishDeletion(ctx context.Context, id UserID, settle time.Duration) (finished bool, err error) {
	err = q.db.QueryRow(ctx, finishDeletion, id, settle).Scan(&finished)
	return finished, err
}

// Once every replica has closed their sockets.
const deleteSessionsOfDeleted = `
DELETE FROM sessions s USING users u
WHERE u.deleted_at > now() - 2 * $1::interval AND s.user_id = u.id AND s.ended_at < now() - 2 * $2::interval`

// export --------------------------------------------------------------------------------

const selectExportedSessions = `
SELECT id, user_agent, created_at, address, last_used_at, last_address, expires_at, ended_at FROM sessions
WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3`

func (q queries) exportedSessions(ctx context.Context, user UserID, after SessionID, limit int) ([]exportedSession, error) {
	rows, err := q.db.Query(ctx, selectExportedSessions, user, after, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (s exportedSession, err error) {
		err = r.Scan(&s.ID, &s.UserAgent, &s.CreatedAt, &s.Address, &s.LastUsedAt, &s.LastAddress, &s.ExpiresAt, &s.EndedAt)
		return s, err
	})
}

// selectExportedEvents leaves out what is about others: which admin acted and from where, and that
// the user's messages were reported.
const selectExportedEvents = `
SELECT id, at, kind, user_id, CASE WHEN actor_id = $1 THEN actor_id END, session_id,
       CASE WHEN actor_id IS NULL OR actor_id = $1 THEN address ELSE '' END, detail, count FROM audit_events
WHERE user_id = $1 AND id > $2 AND kind <> 'report_decided' ORDER BY id LIMIT $3`

func (q queries) exportedEvents(ctx context.Context, user UserID, after int64, limit int) ([]AuditEvent, error) {
	rows, err := q.db.Query(ctx, selectExportedEvents, user, after, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (e AuditEvent, err error) {
		err = r.Scan(&e.ID, &e.At, &e.Kind, &e.UserID, &e.ActorID, &e.SessionID, &e.Address, &e.Detail, &e.Count)
		return e, err
	})
}

const selectCreatedAt = `SELECT created_at FROM users WHERE id = $1`

func (q queries) createdAt(ctx context.Context, user UserID) (at time.Time, err error) {
	err = q.db.QueryRow(ctx, selectCreatedAt, user).Scan(&at)
	return at, err
}
