package accounts

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"parley/store"
)

// queries are the statements of this package, on the pool or in a transaction.
type queries struct{ db store.Querier }

// lockAdmins makes changes of who is an admin follow one another. What is read after it
// needs a statement of its own, to see what the one before committed.
const lockAdmins = `SELECT pg_advisory_xact_lock(8097990123049)`

func (q queries) lockAdmins(ctx context.Context) error {
	_, err := q.db.Exec(ctx, lockAdmins)
	return err
}

const selectAdminExists = `SELECT EXISTS (SELECT FROM users WHERE role = 'admin')`

func (q queries) adminExists(ctx context.Context) (exists bool, err error) {
	err = q.db.QueryRow(ctx, selectAdminExists).Scan(&exists)
	return exists, err
}

const selectEnabledAdminExists = `SELECT EXISTS (SELECT FROM users WHERE role = 'admin' AND disabled_at IS NULL)`

func (q queries) enabledAdminExists(ctx context.Context) (exists bool, err error) {
	err = q.db.QueryRow(ctx, selectEnabledAdminExists).Scan(&exists)
	return exists, err
}

// users ------------------------------------------------------------------------------

const insertUser = `
INSERT INTO users (id, username, display_name, password_hash, role, search_name, search_terms) VALUES ($1, $2, $3, $4, $5, $3, $6)`

func (q queries) insertUser(ctx context.Context, u User, hash passwordHash) error {
	_, err := q.db.Exec(ctx, insertUser, u.ID, u.Username, u.DisplayName, hash.String(), u.Role, searchTerms(u.DisplayName))
	return err
}

func scanUser(r pgx.CollectableRow) (u User, err error) {
	err = r.Scan(&u.ID, &u.Username, &u.DisplayName, &u.Role, &u.Disabled, &u.Deleted)
	return u, err
}

// oneUser gives the row there is, and false if there is none.
func oneUser(rows pgx.Rows, err error) (User, bool, error) {
	if err != nil {
		return User{}, false, err
	}
	u, err := pgx.CollectExactlyOneRow(rows, scanUser)
	if errors.Is(err, pgx.ErrNoRows) {
		return User{}, false, nil
	}
	return u, err == nil, err
}

const selectUser = `SELECT id, username, display_name, role, disabled_at IS NOT NULL, deleted_at IS NOT NULL FROM users WHERE id = $1`

func (q queries) user(ctx context.Context, id UserID) (User, bool, error) {
	return oneUser(q.db.Query(ctx, selectUser, id))
}

const selectUsersByID = `
SELECT id, username, display_name, role, disabled_at IS NOT NULL, deleted_at IS NOT NULL FROM users WHERE id = ANY($1::uuid[]) ORDER BY username`

func (q queries) usersByID(ctx context.Context, ids []UserID) ([]User, error) {
	rows, err := q.db.Query(ctx, selectUsersByID, ids)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanUser)
}

const selectAccounts = `
SELECT id, username, display_name, role, disabled_at IS NOT NULL, deleted_at IS NOT NULL, created_at FROM users ORDER BY username`

func (q queries) accounts(ctx context.Context) ([]Account, error) {
	rows, err := q.db.Query(ctx, selectAccounts)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (a Account, err error) {
		err = r.Scan(&a.ID, &a.Username, &a.DisplayName, &a.Role, &a.Disabled, &a.Deleted, &a.CreatedAt)
		return a, err
	})
}

const selectProfile = `
SELECT id, username, display_name, role, disabled_at IS NOT NULL, read_receipts, show_last_seen, push_content
FROM users WHERE id = $1`

func (q queries) profile(ctx context.Context, id UserID) (Profile, bool, error) {
	return oneProfile(q.db.QueryRow(ctx, selectProfile, id))
}

const updateProfile = `
UPDATE users SET display_name = coalesce($2, display_name), read_receipts = coalesce($3, read_receipts),
                 show_last_seen = coalesce($4, show_last_seen),
                 push_content = coalesce($5, push_content),
                 search_name = coalesce($2, search_name), search_terms = CASE WHEN $2 IS NULL THEN search_terms ELSE $6 END
WHERE id = $1
RETURNING id, username, display_name, role, disabled_at IS NOT NULL, read_receipts, show_last_seen, push_content`

func (q queries) updateProfile(ctx context.Context, id UserID, u ProfileUpdate) (Profile, bool, error) {
	terms := ""
	if u.DisplayName != nil {
		terms = searchTerms(*u.DisplayName)
	}
	return oneProfile(q.db.QueryRow(ctx, updateProfile, id, u.DisplayName, u.ReadReceipts, u.ShowLastSeen, u.PushContent, terms))
}

// oneProfile gives the row there is, and false if there is none.
func oneProfile(row pgx.Row) (p Profile, found bool, err error) {
	err = row.Scan(&p.ID, &p.Username, &p.DisplayName, &p.Role, &p.Disabled, &p.ReadReceipts, &p.ShowLastSeen, &p.PushContent)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, false, nil
	}
	return p, err == nil, err
}

// The admin's own row and session are looked at again: they may have changed since the request began.
const updateUser = `
UPDATE users
SET role = coalesce($3, role),
    disabled_at = CASE WHEN $4::boolean IS NULL THEN disabled_at WHEN $4 THEN coalesce(disabled_at, now()) END
WHERE id = $1 AND deleted_at IS NULL AND EXISTS (
    SELECT FROM users a JOIN sessions s ON s.user_id = a.id
    WHERE a.id = $2 AND a.role = 'admin' AND a.disabled_at IS NULL AND s.id = $5 AND s.ended_at IS NULL)
RETURNING id, username, display_name, role, disabled_at IS NOT NULL, false`

func (q queries) updateUser(ctx context.Context, id UserID, admin Identity, c Change) (User, bool, error) {
	return oneUser(q.db.Query(ctx, updateUser, id, admin.UserID, c.Role, c.Disabled, admin.SessionID))
}

// passwords --------------------------------------------------------------------------

const selectCredentials = `
SELECT id, username, display_name, role, password_hash FROM users WHERE username = $1 AND disabled_at IS NULL`

func (q queries) credentials(ctx context.Context, username string) (User, string, bool, error) {
	return q.oneCredentials(ctx, selectCredentials, username)
}

const selectCredentialsByID = `
SELECT id, username, display_name, role, password_hash FROM users WHERE id = $1 AND disabled_at IS NULL`

func (q queries) credentialsByID(ctx context.Context, id UserID) (User, string, bool, error) {
	return q.oneCredentials(ctx, selectCredentialsByID, id)
}

func (q queries) oneCredentials(ctx context.Context, sql string, key any) (u User, hash string, found bool, err error) {
	err = q.db.QueryRow(ctx, sql, key).Scan(&u.ID, &u.Username, &u.DisplayName, &u.Role, &hash)
	if errors.Is(err, pgx.ErrNoRows) {
		return User{}, "", false, nil
	}
	return u, hash, err == nil, err
}

// A username is also taken if the user who had it was deleted ($2, if any).
const selectUsernameTaken = `
SELECT EXISTS (SELECT FROM users WHERE username = $1) OR EXISTS (SELECT FROM retired_usernames WHERE name_hash = $2)`

func (q queries) usernameTaken(ctx context.Context, username string, retired []byte) (taken bool, err error) {
	err = q.db.QueryRow(ctx, selectUsernameTaken, username, retired).Scan(&taken)
	return taken, err
}

const updatePassword = `UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2`

// updatePassword changes the password if it still is the old one.
func (q queries) updatePassword(ctx context.Context, id UserID, old, hash string) (bool, error) {
	tag, err := q.db.Exec(ctx, updatePassword, id, old, hash)
	return tag.RowsAffected() == 1, err
}

const resetPassword = `UPDATE users SET password_hash = $2 WHERE username = $1 AND deleted_at IS NULL RETURNING id`

func (q queries) resetPassword(ctx context.Context, username, hash string) (id UserID, found bool, err error) {
	err = q.db.QueryRow(ctx, resetPassword, username, hash).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return UserID{}, false, nil
	}
	return id, err == nil, err
}

// invites ----------------------------------------------------------------------------

// An invite of an admin's making, or of anybody's where the server lets them ($5). The
// row's lock makes this wait for a change of the role under way, which withdraws every
// invite it can see.
const insertInvite = `
INSERT INTO invites (id, code_hash, role, created_by, uses_left, expires_at)
SELECT $1, $2, 'member', u.id, $4, now() + $6::interval FROM users u
WHERE u.id = $3 AND u.disabled_at IS NULL AND (u.role = 'admin' OR $5)
  AND (SELECT count(*) FROM invites i WHERE i.created_by = u.id AND i.uses_left > 0 AND i.expires_at > now()) < $7
FOR SHARE OF u
RETURNING expires_at`

func (q queries) insertInvite(ctx context.Context, id InviteID, codeHash []byte, by UserID, anybody bool, uses int, life time.Duration) (expires time.Time, ok bool, err error) {
	err = q.db.QueryRow(ctx, insertInvite, id, codeHash, by, uses, anybody, life, maxOpenInvites).Scan(&expires)
	if errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, false, nil
	}
	return expires, err == nil, err
}

const insertSetupInvite = `
INSERT INTO invites (id, code_hash, role, uses_left, expires_at) VALUES ($1, $2, 'admin', 1, now() + $3::interval)`

func (q queries) insertSetupInvite(ctx context.Context, id InviteID, codeHash []byte) error {
	_, err := q.db.Exec(ctx, insertSetupInvite, id, codeHash, setupLife)
	return err
}

// Only while the user who made the invite may invite: enabled, and an admin or where members
// may ($3). Set-up tokens have no such user.
const selectInviteOpen = `
SELECT EXISTS (
    SELECT FROM invites i LEFT JOIN users u ON u.id = i.created_by
    WHERE i.code_hash = $1 AND i.role = $2 AND i.uses_left > 0 AND i.expires_at > now()
      AND (i.role = 'admin' OR (u.disabled_at IS NULL AND (u.role = 'admin' OR (u.role = 'member' AND $3)))))`

func (q queries) inviteOpen(ctx context.Context, codeHash []byte, role Role, members bool) (open bool, err error) {
	err = q.db.QueryRow(ctx, selectInviteOpen, codeHash, role, members).Scan(&open)
	return open, err
}

const useInvite = `
UPDATE invites i SET uses_left = i.uses_left - 1
WHERE i.code_hash = $1 AND i.role = $2 AND i.uses_left > 0 AND i.expires_at > now()
  AND (i.role = 'admin' OR EXISTS (
      SELECT FROM users u WHERE u.id = i.created_by AND u.disabled_at IS NULL AND (u.role = 'admin' OR $3)))
RETURNING i.id`

// useInvite counts one use, of one that is left.
func (q queries) useInvite(ctx context.Context, codeHash []byte, role Role, members bool) (id InviteID, used bool, err error) {
	err = q.db.QueryRow(ctx, useInvite, codeHash, role, members).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return InviteID{}, false, nil
	}
	return id, err == nil, err
}

const selectInvites = `
SELECT id, created_by, created_at, expires_at, uses_left FROM invites
WHERE role = 'member' AND uses_left > 0 AND expires_at > now() AND ($2 OR created_by = $1)
ORDER BY created_at DESC, id DESC LIMIT $3`

func (q queries) invites(ctx context.Context, by UserID, all bool, limit int) ([]Invite, error) {
	rows, err := q.db.Query(ctx, selectInvites, by, all, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (i Invite, err error) {
		err = r.Scan(&i.ID, &i.CreatedBy, &i.CreatedAt, &i.ExpiresAt, &i.UsesLeft)
		return i, err
	})
}

const deleteInvite = `DELETE FROM invites WHERE id = $1 AND role = 'member' AND ($3 OR created_by = $2)`

func (q queries) deleteInvite(ctx context.Context, id InviteID, by UserID, all bool) (bool, error) {
	tag, err := q.db.Exec(ctx, deleteInvite, id, by, all)
	return tag.RowsAffected() == 1, err
}

const deleteInvitesOf = `DELETE FROM invites WHERE created_by = $1`

func (q queries) deleteInvitesOf(ctx context.Context, by UserID) error {
	_, err := q.db.Exec(ctx, deleteInvitesOf, by)
	return err
}

const deleteSetupInvites = `DELETE FROM invites WHERE role = 'admin'`

func (q queries) deleteSetupInvites(ctx context.Context) error {
	_, err := q.db.Exec(ctx, deleteSetupInvites)
	return err
}

// failures ---------------------------------------------------------------------------

const insertFailures = `INSERT INTO login_failures (subject) SELECT unnest($1::text[])`

func (q queries) insertFailures(ctx context.Context, limits []limit) error {
	subjects := make([]string, len(limits))
	for i, l := range limits {
		subjects[i] = l.subject
	}
	_, err := q.db.Exec(ctx, insertFailures, subjects)
	return err
}

const deleteFailures = `DELETE FROM login_failures WHERE subject = $1`

func (q queries) deleteFailures(ctx context.Context, subject string) error {
	_, err := q.db.Exec(ctx, deleteFailures, subject)
	return err
}

// The failure that fills the window, if there is one, says when there is room again.
const selectWait = `
SELECT coalesce(max(f.failed_at + s.span - now()), '0')
FROM unnest($1::text[], $2::integer[], $3::interval[]) AS s (subject, most, span)
CROSS JOIN LATERAL (
    SELECT l.failed_at FROM login_failures l
    WHERE l.subject = s.subject AND l.failed_at > now() - s.span
    ORDER BY l.failed_at DESC OFFSET s.most - 1 LIMIT 1) f`

// wait gives how long the slowest of the subjects has to wait; zero or less if none has.
func (q queries) wait(ctx context.Context, limits []limit) (d time.Duration, err error) {
	subjects, most, spans := make([]string, len(limits)), make([]int, len(limits)), make([]time.Duration, len(limits))
	for i, l := range limits {
		subjects[i], most[i], spans[i] = l.subject, l.max, l.window
	}
	err = q.db.QueryRow(ctx, selectWait, subjects, most, spans).Scan(&d)
	return d, err
}

const selectDeviceKey = `SELECT device_key FROM account_secrets WHERE only_row`

func (q queries) deviceKey(ctx context.Context) (key []byte, err error) {
	err = q.db.QueryRow(ctx, selectDeviceKey).Scan(&key)
	return key, err
}

// pruning ----------------------------------------------------------------------------

const deleteOldFailures = `DELETE FROM login_failures WHERE failed_at < now() - $1::interval`

const deleteOldInvites = `DELETE FROM invites WHERE expires_at < now() OR uses_left = 0`

// Expired sessions end like others first, so that their sockets are closed.
const endExpiredSessions = `UPDATE sessions SET ended_at = now() WHERE expires_at < now() AND ended_at IS NULL`

const deleteOldSessions = `DELETE FROM sessions WHERE ended_at < now() - $1::interval`

func (q queries) prune(ctx context.Context) error {
	for _, stmt := range []struct {
		sql  string
		args []any
	}{
		{deleteOldFailures, []any{maxCounterWindow}},
		{deleteOldInvites, nil},
		{endExpiredSessions, nil},
		{deleteOldSessions, []any{endedKept}},
		{deleteSessionsOfDeleted, []any{endedKept, endedOverlap}},
	} {
		if _, err := q.db.Exec(ctx, stmt.sql, stmt.args...); err != nil {
			return err
		}
	}
	return nil
}
