package presence

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"parley/accounts"
	"parley/chat"
	"parley/store"
)

type queries struct {
	db      store.Querier
	replica uuid.UUID // of this process

	acceptance bool // a direct conversation shows the presence of members alone who accepted it
}

// State is somebody's presence as others may know it.
type State struct {
	UserID   accounts.UserID `json:"user_id"`
	Online   bool            `json:"online"`
	LastSeen *time.Time      `json:"last_seen" doc:"null while online, where it is hidden, and for who was never here"`
}

// unblocked says that of the users v.user_id and u.id neither blocks the other: two look-ups.
const unblocked = `(SELECT true FROM blocks k WHERE k.user_id = v.user_id AND k.blocked_id = u.id) IS NULL
  AND (SELECT true FROM blocks k WHERE k.user_id = u.id AND k.blocked_id = v.user_id) IS NULL`

// acquainted says that v.user_id may see the presence of u.id: they share a conversation that is
// not hidden from the first, so that it does not reveal who opened it, and that the second
// accepted ($4: where that is asked for); and neither blocks the other.
const acquainted = unblocked + ` AND EXISTS (
    SELECT FROM members a JOIN members b ON b.conversation_id = a.conversation_id AND b.user_id = u.id AND b.until_seq IS NULL AND (b.accepted OR NOT $4)
    WHERE a.user_id = v.user_id AND a.until_seq IS NULL
      AND NOT (a.hidden_until_message AND (SELECT c.last_seq = 1 FROM conversations c WHERE c.id = a.conversation_id)))`

// stateColumns are a State of the person u, for v.user_id. A mark that ran out, because its
// replica crashed, still says when they were last here.
const stateColumns = `u.id, o.online, CASE WHEN NOT o.online AND (u.show_last_seen OR u.id = v.user_id) THEN greatest(p.last_seen, o.seen) END`

const stateOf = `
LEFT JOIN presence p ON p.user_id = u.id
CROSS JOIN LATERAL (
    SELECT coalesce(bool_or(m.until > now()), false) AS online, max(m.until) - make_interval(secs => $1) AS seen
    FROM online m WHERE m.user_id = u.id) o `

const selectStates = `
SELECT ` + stateColumns + `
FROM (SELECT $2::uuid AS user_id) v
JOIN users u ON u.id = ANY($3::uuid[])` + stateOf + `
WHERE ` + acquainted + ` OR u.id = v.user_id`

// states gives those of some people whom the user may know of.
func (q queries) states(ctx context.Context, me accounts.UserID, users []accounts.UserID) ([]State, error) {
	rows, err := q.db.Query(ctx, selectStates, lease.Seconds(), me, users, q.acceptance)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[State])
}

// selectMembersStates gives a member whose presence the user may not see as if that member were
// away and hid when they were last seen.
const selectMembersStates = `
SELECT u.id, o.online AND x.shown,
       CASE WHEN x.shown AND NOT o.online AND (u.show_last_seen OR u.id = v.user_id) THEN greatest(p.last_seen, o.seen) END
FROM (SELECT $2::uuid AS user_id) v
JOIN members mine ON mine.conversation_id = $3 AND mine.user_id = v.user_id AND mine.until_seq IS NULL
 AND NOT (mine.hidden_until_message AND (SELECT c.last_seq = 1 FROM conversations c WHERE c.id = $3))
JOIN members t ON t.conversation_id = $3 AND t.until_seq IS NULL
JOIN users u ON u.id = t.user_id` + stateOf + `
CROSS JOIN LATERAL (SELECT u.id = v.user_id OR (t.accepted OR NOT $4) AND ` + unblocked + ` AS shown) x
ORDER BY u.username`

// membersStates gives all members of a conversation; none to a user who is not one of them, or
// whom it is hidden from.
func (q queries) membersStates(ctx context.Context, me accounts.UserID, id chat.ConversationID) ([]State, error) {
	rows, err := q.db.Query(ctx, selectMembersStates, lease.Seconds(), me, id, q.acceptance)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[State])
}

const selectSeenBy = `
SELECT ` + stateColumns + `, v.user_id
FROM unnest($2::uuid[], $3::uuid[]) AS v(user_id, watched)
JOIN users u ON u.id = v.watched` + stateOf + `
WHERE ` + acquainted + ` OR u.id = v.user_id`

// watch is that somebody watches somebody.
type watch struct{ watcher, watched accounts.UserID }

// sight is somebody's presence for one who watches them.
type sight struct {
	State
	watcher accounts.UserID
}

// seenBy gives what watchers see of whom they watch, of those of whom they may still know.
func (q queries) seenBy(ctx context.Context, list []watch) ([]sight, error) {
	watchers, watched := make([]accounts.UserID, len(list)), make([]accounts.UserID, len(list))
	for i, w := range list {
		watchers[i], watched[i] = w.watcher, w.watched
	}
	rows, err := q.db.Query(ctx, selectSeenBy, lease.Seconds(), watchers, watched, q.acceptance)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (s sight, err error) {
		err = r.Scan(&s.UserID, &s.Online, &s.LastSeen, &s.watcher)
		return s, err
	})
}

const updateOnline = `
WITH before AS MATERIALIZED (
    SELECT DISTINCT user_id FROM online WHERE user_id = ANY($2::uuid[]) AND until > now()
), marked AS (
    INSERT INTO online AS o (user_id, replica, until)
    SELECT i.user_id, $1, now() + make_interval(secs => $4 - i.ago)
    FROM unnest($2::uuid[], $3::float8[]) AS i(user_id, ago) ORDER BY i.user_id
    ON CONFLICT (user_id, replica) DO UPDATE SET until = excluded.until
)
SELECT u FROM unnest($2::uuid[]) AS u WHERE NOT EXISTS (SELECT FROM before b WHERE b.user_id = u)`

// goOnline marks people as here, and gives those who were not here before, on any replica.
func (q queries) goOnline(ctx context.Context, l sightings, now time.Time) ([]accounts.UserID, error) {
	rows, err := q.db.Query(ctx, updateOnline, q.replica, l.users, l.ago(now), lease.Seconds())
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[accounts.UserID])
}

// ago is how many seconds ago each was heard.
func (l sightings) ago(now time.Time) []float64 {
	ago := make([]float64, len(l.heard))
	for i, at := range l.heard {
		ago[i] = max(0, now.Sub(at).Seconds())
	}
	return ago
}

// keepSeen ends an INSERT INTO presence AS p: when somebody was last here only moves on.
const keepSeen = `
    ON CONFLICT (user_id) DO UPDATE SET last_seen = greatest(p.last_seen, excluded.last_seen)`

// lockedAndSeen notes when people were last here, by how many seconds ago that was. It locks
// this replica's marks of them before, all of them, as the sweep of another replica does: or
// the two might wait for each other.
const lockedAndSeen = `
WITH locked AS MATERIALIZED (
    SELECT user_id FROM online WHERE user_id = ANY($1::uuid[]) AND replica = $3 ORDER BY user_id FOR UPDATE
), seen AS (
    INSERT INTO presence AS p (user_id, last_seen)
    SELECT i.user_id, now() - make_interval(secs => i.ago)
    FROM unnest($1::uuid[], $2::float8[]) AS i(user_id, ago), (SELECT count(*) FROM locked) AS after
    ORDER BY i.user_id` + keepSeen + `
)`

const deleteOnline = lockedAndSeen + `, gone AS (
    DELETE FROM online o USING locked l WHERE o.user_id = l.user_id AND o.replica = $3
)
SELECT u FROM unnest($1::uuid[]) AS u
WHERE NOT EXISTS (SELECT FROM online o WHERE o.user_id = u AND o.replica <> $3 AND o.until > now())`

// goOffline unmarks people and notes when they were last here. It gives those who are not
// here on another replica either.
func (q queries) goOffline(ctx context.Context, l sightings, now time.Time) ([]accounts.UserID, error) {
	rows, err := q.db.Query(ctx, deleteOnline, l.users, l.ago(now), q.replica)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[accounts.UserID])
}

const updateLeaving = lockedAndSeen + `
UPDATE online o SET until = least(until, now() + make_interval(secs => $4)) FROM locked l WHERE o.user_id = l.user_id AND o.replica = $3`

// leave notes when people were last here, and lets the marks of this replica run out soon.
func (q queries) leave(ctx context.Context, l sightings, now time.Time, in time.Duration) error {
	_, err := q.db.Exec(ctx, updateLeaving, l.users, l.ago(now), q.replica, in.Seconds())
	return err
}

const deleteSeen = `DELETE FROM presence WHERE user_id = $1`

// forget removes when a user was last here.
func (q queries) forget(ctx context.Context, user accounts.UserID) error {
	_, err := q.db.Exec(ctx, deleteSeen, user)
	return err
}

const selectExpired = `
SELECT count(*) FILTER (WHERE replica = $1), coalesce(array_agg(DISTINCT user_id) FILTER (WHERE until < now()), '{}') FROM online`

// expired gives how many marks this replica has, and who has one that ran out. The table
// holds no more than those who are here, so this may look through it.
func (q queries) expired(ctx context.Context) (own int, users []accounts.UserID, err error) {
	err = q.db.QueryRow(ctx, selectExpired, q.replica).Scan(&own, &users)
	return own, users, err
}

// deleteExpired leaves the marks alone that another replica is at: it has the same to say, or
// better.
const deleteExpired = `
WITH expired AS MATERIALIZED (
    SELECT user_id, replica FROM online WHERE user_id = ANY($2::uuid[]) AND until < now() ORDER BY user_id, replica FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM online o USING expired e WHERE o.user_id = e.user_id AND o.replica = e.replica
    RETURNING o.user_id, o.until
)
INSERT INTO presence AS p (user_id, last_seen)
SELECT user_id, max(until) - make_interval(secs => $1) FROM gone GROUP BY user_id ORDER BY user_id` + keepSeen

// sweep clears the marks of people that ran out, and notes when those were last here.
func (q queries) sweep(ctx context.Context, users []accounts.UserID) error {
	_, err := q.db.Exec(ctx, deleteExpired, lease.Seconds(), users)
	return err
}
