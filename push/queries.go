package push

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"parley/chat"
	"parley/store"
)

type queries struct{ db store.Querier }

// What is owed is decided in one place, for the statements that find it and the one that
// sends: of a conversation of the member m that is not muted, each entry e that is a message
// of another user, whom they do not block, which they want to be told of; not from before the device d was there, or
// from before a mute ended, and young enough that it still matters.
const (
	isTold = `m.notify <> 'none' AND (m.muted_until IS NULL OR m.muted_until <= now())`
	isOwed = `e.kind = 'message' AND e.body IS NOT NULL AND e.sender_id <> m.user_id
      AND e.created_at > greatest(d.created_at, m.muted_until, now() - interval '7 days')
      AND (m.notify = 'all' OR e.detail -> 'mentions' ? m.user_id::text)
      AND (SELECT true FROM blocks k WHERE k.user_id = m.user_id AND k.blocked_id = e.sender_id) IS NULL`
)

// marksOf looks up, one by one, how far the member m has the conversation, and what the device
// d is owed of it already: what is owed comes after both.
const marksOf = `
    LEFT JOIN LATERAL (SELECT greatest(r.delivered_seq, r.read_seq) AS seq, r.read_seq FROM receipts r
        WHERE r.conversation_id = m.conversation_id AND r.user_id = m.user_id LIMIT 1) r ON true
    LEFT JOIN LATERAL (SELECT j.owed_seq AS seq, j.sent_seq, j.sent_at FROM push_jobs j
        WHERE j.device_id = d.id AND j.conversation_id = m.conversation_id AND j.user_id = m.user_id LIMIT 1) j ON true`

// foundIsOwed makes what was found owed, and the devices due ($1: in so many seconds). The
// devices are locked first, in the order of id, like everywhere.
const foundIsOwed = `, locked AS MATERIALIZED (
    SELECT id FROM devices WHERE id = ANY(ARRAY(SELECT device_id FROM found)) ORDER BY id FOR UPDATE
), jobs AS (
    INSERT INTO push_jobs AS j (device_id, conversation_id, user_id, owed_seq, unread_seq, clears)
    SELECT f.device_id, f.conversation_id, f.user_id, f.seq, CASE WHEN f.unread THEN f.seq ELSE 0 END, f.clears FROM found f JOIN locked l ON l.id = f.device_id
    ON CONFLICT (device_id, conversation_id) DO UPDATE
       SET owed_seq = excluded.owed_seq, user_id = excluded.user_id,
           unread_seq = CASE WHEN j.user_id = excluded.user_id THEN greatest(j.unread_seq, excluded.unread_seq) ELSE excluded.unread_seq END,
           sent_seq = CASE WHEN j.user_id = excluded.user_id THEN j.sent_seq ELSE 0 END
     WHERE excluded.owed_seq > j.owed_seq OR excluded.user_id <> j.user_id
    RETURNING device_id
)
UPDATE devices SET owed_mark = owed_mark + 1, due_at = coalesce(due_at, now() + make_interval(secs => $1))
WHERE id = ANY(ARRAY(SELECT device_id FROM jobs))`

// raiseNoticed looks at the conversations that something was said in: at the messages from
// one seq to another.
const raiseNoticed = `
WITH found AS MATERIALIZED (
    SELECT d.id AS device_id, m.conversation_id, m.user_id, e.seq, false AS unread, d.clears
    FROM unnest($2::uuid[], $3::bigint[], $4::bigint[]) AS i(conversation_id, first, last)
    CROSS JOIN LATERAL (SELECT * FROM members x WHERE x.conversation_id = i.conversation_id AND x.until_seq IS NULL OFFSET 0) m
    CROSS JOIN LATERAL (SELECT id, created_at, kind = 'fcm' AND platform <> 'web' AS clears FROM devices x WHERE x.user_id = m.user_id OFFSET 0) d` + marksOf + `
    CROSS JOIN LATERAL (
        SELECT e.seq FROM entries e
        WHERE e.conversation_id = i.conversation_id AND e.seq >= i.first AND e.seq <= i.last AND e.seq > greatest(m.joined_seq, r.seq, j.seq)
          AND ` + isOwed + `
        ORDER BY e.seq DESC LIMIT 1) e
    WHERE ` + isTold + `
)` + foundIsOwed

// noticed is what was said in a conversation: the first and the last message of some.
type noticed struct {
	conversation chat.ConversationID
	first, last  chat.Seq
}

// raiseNoticed gives how many devices are owed something new.
func (q queries) raiseNoticed(ctx context.Context, list []noticed, delay time.Duration) (int, error) {
	conversations, first, last := make([]chat.ConversationID, len(list)), make([]int64, len(list)), make([]int64, len(list))
	for i, n := range list {
		conversations[i], first[i], last[i] = n.conversation, int64(n.first), int64(n.last)
	}
	return q.raise(ctx, raiseNoticed, delay.Seconds(), conversations, first, last)
}

// raise makes devices due, and gives how many.
func (q queries) raise(ctx context.Context, sql string, args ...any) (n int, err error) {
	b := &pgx.Batch{}
	b.Queue(sql, args...).Exec(func(tag pgconn.CommandTag) error {
		n = int(tag.RowsAffected())
		return nil
	})
	err = q.within(ctx, raiseTimeout, b)
	return n, err
}

const selectSome = `SELECT id FROM devices WHERE id > $1 ORDER BY id LIMIT $2`

// some gives the next devices in the order of id.
func (q queries) some(ctx context.Context, after DeviceID, limit int) ([]DeviceID, error) {
	rows, err := q.db.Query(ctx, selectSome, after, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[DeviceID])
}

// raiseForgotten looks at the conversations of the owners of some devices in which something
// was said within $4 seconds: at the last thousand messages that they do not have and that are
// older than $3 seconds; or that they have and did not read, older than $5 seconds and of the
// last hour. It leaves those alone who read something else within $5 seconds, for they are
// here, and devices that show something of the conversation which was not read, for a while.
const raiseForgotten = `
WITH raw AS MATERIALIZED (
    SELECT d.id AS device_id, m.conversation_id, m.user_id, e.seq, e.unread, d.clears
    FROM unnest($2::uuid[]) AS i(id)
    CROSS JOIN LATERAL (SELECT id, user_id, created_at, kind = 'fcm' AND platform <> 'web' AS clears FROM devices x WHERE x.id = i.id OFFSET 0) d
    CROSS JOIN LATERAL (SELECT * FROM members x WHERE x.user_id = d.user_id AND x.until_seq IS NULL OFFSET 0) m
    CROSS JOIN LATERAL (SELECT last_seq, last_entry_at FROM conversations x WHERE x.id = m.conversation_id OFFSET 0) c` + marksOf + `
    CROSS JOIN LATERAL (
        SELECT e.seq, e.unread FROM (
            SELECT *, seq <= coalesce(r.seq, 0) AS unread
            FROM entries x WHERE x.conversation_id = m.conversation_id AND x.kind = 'message' AND x.seq > greatest(m.joined_seq, r.read_seq, j.seq)
               AND x.created_at <= now() - make_interval(secs => CASE WHEN x.seq <= coalesce(r.seq, 0) THEN $5::float8 ELSE $3::float8 END)
            ORDER BY x.seq DESC LIMIT 1000) e
        WHERE (NOT e.unread OR e.created_at > now() - interval '1 hour'
                 AND (coalesce(j.sent_seq, 0) <= coalesce(r.read_seq, 0) OR j.sent_at < now() - interval '10 minutes'))
          AND ` + isOwed + `
        ORDER BY e.seq DESC LIMIT 1) e
    WHERE ` + isTold + ` AND c.last_entry_at > now() - make_interval(secs => $4) AND c.last_seq > greatest(m.joined_seq, j.seq,
        CASE WHEN c.last_entry_at > now() - interval '1 hour' THEN r.read_seq ELSE r.seq END)
), here AS MATERIALIZED (
    SELECT u.user_id FROM (SELECT DISTINCT user_id FROM raw WHERE unread) u
    WHERE EXISTS (
        SELECT FROM (SELECT x.conversation_id FROM members x WHERE x.user_id = u.user_id AND x.until_seq IS NULL OFFSET 0) x
        CROSS JOIN LATERAL (SELECT FROM receipts r WHERE r.conversation_id = x.conversation_id AND r.user_id = u.user_id
            AND r.read_at > now() - make_interval(secs => $5) LIMIT 1) y)
), found AS MATERIALIZED (
    SELECT * FROM raw WHERE NOT (unread AND user_id = ANY(ARRAY(SELECT user_id FROM here)))
)` + foundIsOwed

// ages are which messages a sweep looks at.
type ages struct {
	missing time.Duration // those that are older and not delivered
	unread  time.Duration // and those that are older and not read
	since   time.Duration // of conversations in which something was said since
}

// raiseForgotten gives how many of the devices are owed something that nobody has noticed.
func (q queries) raiseForgotten(ctx context.Context, ids []DeviceID, a ages) (int, error) {
	return q.raise(ctx, raiseForgotten, 0.0, ids, a.missing.Seconds(), a.since.Seconds(), a.unread.Seconds())
}

// raiseRead makes devices due that show something which was read elsewhere, and can be told.
// One that is due already, or being told something, comes up again.
const raiseRead = `
WITH read AS MATERIALIZED (
    SELECT DISTINCT j.device_id FROM push_jobs j
    CROSS JOIN LATERAL (SELECT r.read_seq FROM receipts r
        WHERE r.conversation_id = j.conversation_id AND r.user_id = j.user_id LIMIT 1) r
    WHERE j.clears AND j.sent_seq > 0 AND j.owed_seq <= j.sent_seq AND r.read_seq >= j.sent_seq
), locked AS MATERIALIZED (
    SELECT id FROM devices WHERE id = ANY(ARRAY(SELECT device_id FROM read)) AND due_at IS NULL ORDER BY id FOR UPDATE
)
UPDATE devices SET due_at = now() WHERE id = ANY(ARRAY(SELECT id FROM locked))`

func (q queries) raiseRead(ctx context.Context) (int, error) {
	tag, err := q.db.Exec(ctx, raiseRead)
	return int(tag.RowsAffected()), err
}

const (
	// A device ends with its session.
	deleteEnded = `
DELETE FROM devices d WHERE d.id = ANY($1::uuid[]) AND NOT EXISTS (
    SELECT FROM sessions s JOIN users u ON u.id = s.user_id AND u.disabled_at IS NULL
    WHERE s.id = d.session_id AND s.user_id = d.user_id AND s.ended_at IS NULL AND s.expires_at > now())`

	// What a device has, and shows nothing of any more; and what is too old to matter.
	deleteSettled = `
DELETE FROM push_jobs j
WHERE j.device_id = ANY($1::uuid[]) AND j.owed_seq <= j.sent_seq
  AND (j.sent_seq = 0 OR j.sent_at < now() - interval '7 days')
  AND EXISTS (SELECT FROM receipts r WHERE r.conversation_id = j.conversation_id AND r.user_id = j.user_id AND r.delivered_seq >= j.owed_seq)`
)

// tidy removes what is over of some devices.
func (q queries) tidy(ctx context.Context, ids []DeviceID) error {
	b := &pgx.Batch{}
	b.Queue(lockDevices, ids)
	b.Queue(deleteEnded, ids)
	b.Queue(deleteSettled, ids)
	return q.db.SendBatch(ctx, b).Close()
}

const insertKeys = `INSERT INTO vapid (private_key, public_key) VALUES ($1, $2) ON CONFLICT DO NOTHING`

const selectKeys = `SELECT private_key, public_key FROM vapid WHERE only_row`

// keys gives the server's key pair. The given one becomes it if there is none.
func (q queries) keys(ctx context.Context, fresh vapidKeys) (k vapidKeys, err error) {
	if _, err := q.db.Exec(ctx, insertKeys, fresh.private, fresh.public); err != nil {
		return k, err
	}
	err = q.db.QueryRow(ctx, selectKeys).Scan(&k.private, &k.public)
	return k, err
}
