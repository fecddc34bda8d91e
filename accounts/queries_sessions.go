package accounts

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// Only while the password is the one that was proved: the row's lock makes this wait for
// a change of it under way, which then ends every session it can see, or leaves none.
const insertSession = `
INSERT INTO sessions (id, user_id, token_hash, user_agent, address, last_address, expires_at)
SELECT $1, u.id, $3, $4, $5, $5, now() + least($6::interval, nullif($7::interval, '0')) FROM users u
WHERE u.id = $2 AND u.password_hash = $8 AND u.disabled_at IS NULL
FOR SHARE`

type newSession struct {
	id         SessionID
	user       UserID
	tokenHash  []byte
	userAgent  string
	address    string
	provedHash string
	lifetime   time.Duration // zero: without end
}

func (q queries) insertSession(ctx context.Context, s newSession) (bool, error) {
	tag, err := q.db.Exec(ctx, insertSession, s.id, s.user, s.tokenHash, s.userAgent, s.address, sessionLife, s.lifetime, s.provedHash)
	return tag.RowsAffected() == 1, err
}

const selectSession = `
SELECT s.id, s.user_id, u.role,
       s.last_used_at < now() - $2::interval OR (s.last_address <> $3 AND s.last_used_at < now() - $4::interval)
FROM sessions s JOIN users u ON u.id = s.user_id
WHERE s.token_hash = $1 AND s.ended_at IS NULL AND s.expires_at > now() AND u.disabled_at IS NULL
  AND ($5::interval = '0' OR s.created_at > now() - $5::interval)`

// session gives who a token speaks for, and whether it is time to write that it is in use.
func (q queries) session(ctx context.Context, tokenHash []byte, address string, lifetime time.Duration) (who Identity, stale, found bool, err error) {
	err = q.db.QueryRow(ctx, selectSession, tokenHash, usedEvery, address, movedEvery, lifetime).Scan(&who.SessionID, &who.UserID, &who.Role, &stale)
	if errors.Is(err, pgx.ErrNoRows) {
		return Identity{}, false, false, nil
	}
	return who, stale, err == nil, err
}

const selectSessions = `
SELECT id, user_agent, created_at, address, last_used_at, last_address, expires_at FROM sessions
WHERE user_id = $1 AND ended_at IS NULL AND expires_at > now()
ORDER BY last_used_at DESC, id DESC LIMIT $2`

func (q queries) sessions(ctx context.Context, user UserID, limit int) ([]Session, error) {
	rows, err := q.db.Query(ctx, selectSessions, user, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (s Session, err error) {
		err = r.Scan(&s.ID, &s.UserAgent, &s.CreatedAt, &s.Address, &s.LastUsedAt, &s.LastAddress, &s.ExpiresAt)
		return s, err
	})
}

const endSession = `UPDATE sessions SET ended_at = coalesce(ended_at, now()) WHERE id = $1 AND user_id = $2`

// endSession ends a user's session, which may have ended already, and says whether there is
// one.
func (q queries) endSession(ctx context.Context, user UserID, id SessionID) (bool, error) {
	tag, err := q.db.Exec(ctx, endSession, id, user)
	return tag.RowsAffected() == 1, err
}

const endOtherSessions = `
UPDATE sessions SET ended_at = now() WHERE user_id = $1 AND id <> $2 AND ended_at IS NULL RETURNING id`

// endOtherSessions ends a user's sessions but one; all with the zero id.
func (q queries) endOtherSessions(ctx context.Context, user UserID, keep SessionID) ([]SessionID, error) {
	rows, err := q.db.Query(ctx, endOtherSessions, user, keep)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[SessionID])
}

const updateToken = `UPDATE sessions SET token_hash = $3 WHERE id = $1 AND user_id = $2 AND ended_at IS NULL`

func (q queries) updateToken(ctx context.Context, id SessionID, user UserID, tokenHash []byte) (bool, error) {
	tag, err := q.db.Exec(ctx, updateToken, id, user, tokenHash)
	return tag.RowsAffected() == 1, err
}

const selectEnded = `
SELECT now(), coalesce(array_agg(id), '{}') FROM sessions
WHERE ended_at > coalesce($1, now()) - $2::interval`

// ended gives the database's time and the sessions that ended since some of it, or just
// before; without a time only those just before now.
func (q queries) ended(ctx context.Context, since time.Time) (now time.Time, ids []SessionID, err error) {
	from := &since
	if since.IsZero() {
		from = nil
	}
	err = q.db.QueryRow(ctx, selectEnded, from, endedOverlap).Scan(&now, &ids)
	return now, ids, err
}

const updateUsed = `
UPDATE sessions s
SET last_used_at = now(), last_address = u.address,
    expires_at = least(now() + $3::interval, s.created_at + nullif($4::interval, '0'))
FROM unnest($1::uuid[], $2::text[]) AS u (id, address)
WHERE s.id = u.id AND s.ended_at IS NULL
  AND (s.last_used_at < now() - $5::interval OR (s.last_address <> u.address AND s.last_used_at < now() - $6::interval))`

// updateUsed writes which sessions are in use, and from which address.
func (q queries) updateUsed(ctx context.Context, used map[SessionID]string, lifetime time.Duration) error {
	ids, addresses := make([]SessionID, 0, len(used)), make([]string, 0, len(used))
	for id, address := range used {
		ids, addresses = append(ids, id), append(addresses, address)
	}
	_, err := q.db.Exec(ctx, updateUsed, ids, addresses, sessionLife, lifetime, usedEvery, movedEvery)
	return err
}
