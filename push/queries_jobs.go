package push

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"parley/chat"
)

// useDue takes devices that something is to be done for, until the lease runs out: nobody
// else takes them meanwhile, and so one thing at a time is sent to each.
const useDue = `
WITH due AS MATERIALIZED (
    SELECT id FROM devices WHERE due_at <= now() ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
UPDATE devices d SET due_at = now() + make_interval(secs => $2), lease = $3, attempts = d.attempts + 1
FROM due WHERE d.id = due.id
RETURNING d.owed_mark, d.attempts, ` + targetColumns

// turn is a device that was taken, and what is to be sent to it.
type turn struct {
	Target
	lease    uuid.UUID
	taken    time.Time
	mark     int64
	attempts int

	waits func() // is called when a push service has to be waited for

	state   state
	generic bool // its owner does not want notifications to show anything
	unread  int
	read    []chat.ConversationID
	jobs    []job
}

// state is what is known of what is owed to a device.
type state int

const (
	over    state = iota // nothing: its session has ended
	known                // all
	tooMuch              // it takes too long to be found out
	unknown              // it cannot be found out now
)

// job is what one conversation has for a device.
type job struct {
	conversation chat.ConversationID
	owed, sent   chat.Seq
	isRead       bool // what it shows was read
	group        bool
	title        string // of a group
	count        int    // of messages that it would be told of
	seq          chat.Seq
	at           time.Time
	sender, text string // of the last one
}

func (q queries) claim(ctx context.Context, limit int, lease time.Duration) ([]*turn, error) {
	holder, now := uuid.New(), time.Now()
	rows, err := q.db.Query(ctx, useDue, limit, lease.Seconds(), holder)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (*turn, error) {
		t := &turn{lease: holder, taken: now, waits: func() {}}
		return t, r.Scan(append([]any{&t.mark, &t.attempts}, t.columns()...)...)
	})
}

const (
	// selectLive gives, of devices, those whose session lasts, with the unread messages of their
	// owners in all conversations that they want to be told of, a hundred each at most and among
	// the last thousand messages, and the conversations that they show something of which was read.
	selectLive = `
WITH live AS MATERIALIZED (
    SELECT d.id, d.user_id, u.push_content = 'generic' AS generic
    FROM devices d
    JOIN sessions s ON s.id = d.session_id AND s.user_id = d.user_id AND s.ended_at IS NULL AND s.expires_at > now()
    JOIN users u ON u.id = d.user_id AND u.disabled_at IS NULL
    WHERE d.id = ANY($1::uuid[])
), unread AS MATERIALIZED (
    SELECT o.user_id, (
        SELECT coalesce(sum(k.n), 0)::int
        FROM (SELECT * FROM members x WHERE x.user_id = o.user_id AND x.until_seq IS NULL OFFSET 0) m
        CROSS JOIN LATERAL (SELECT last_seq FROM conversations x WHERE x.id = m.conversation_id OFFSET 0) c
        LEFT JOIN LATERAL (SELECT r.read_seq FROM receipts r
            WHERE r.conversation_id = m.conversation_id AND r.user_id = m.user_id LIMIT 1) r ON true
        CROSS JOIN LATERAL (SELECT count(*) AS n FROM (
            SELECT FROM (SELECT * FROM entries x WHERE x.conversation_id = m.conversation_id AND x.kind = 'message' AND x.seq > greatest(m.joined_seq, r.read_seq)
                         ORDER BY x.seq DESC LIMIT 1000) e
            WHERE e.kind = 'message' AND e.body IS NOT NULL AND e.sender_id <> m.user_id LIMIT 100) e) k
        WHERE c.last_seq > greatest(m.joined_seq, r.read_seq) AND ` + isTold + `) AS n
    FROM (SELECT DISTINCT user_id FROM live) o
)
SELECT l.id, l.generic, n.n,
    ARRAY(SELECT j.conversation_id FROM push_jobs j
          WHERE j.device_id = l.id AND j.user_id = l.user_id AND j.sent_seq > 0 AND EXISTS (
              SELECT FROM receipts r WHERE r.conversation_id = j.conversation_id AND r.user_id = j.user_id AND r.read_seq >= j.sent_seq)
          LIMIT 20)
FROM live l JOIN unread n ON n.user_id = l.user_id`

	// selectOwed gives what is to be sent to devices: how many messages, the last of them as it
	// is by now, and who wrote it. No message: nothing is owed any more. Around the one that is
	// known to be owed it looks at a thousand entries either way, and counts a hundred messages.
	selectOwed = `
SELECT j.device_id, j.conversation_id, j.owed_seq, j.sent_seq, coalesce(r.read_seq >= j.sent_seq AND j.sent_seq > 0, false),
       c.kind = 'group', coalesce(c.title, ''), coalesce(n.count, 0), coalesce(n.seq, 0),
       coalesce(l.created_at, now()), coalesce(u.display_name, ''),
       left(coalesce((SELECT a.body FROM entries a
                      WHERE a.conversation_id = j.conversation_id AND a.target_seq = l.seq AND a.kind = 'edit'
                      ORDER BY a.seq DESC LIMIT 1), l.body, ''), 1001)
FROM unnest($1::uuid[]) AS i(id)
CROSS JOIN LATERAL (SELECT * FROM devices x WHERE x.id = i.id OFFSET 0) d
CROSS JOIN LATERAL (SELECT * FROM push_jobs x WHERE x.device_id = d.id AND x.user_id = d.user_id OFFSET 0) j
CROSS JOIN LATERAL (SELECT kind, title FROM conversations x WHERE x.id = j.conversation_id OFFSET 0) c
LEFT JOIN LATERAL (SELECT r.delivered_seq, r.read_seq FROM receipts r
    WHERE r.conversation_id = j.conversation_id AND r.user_id = j.user_id LIMIT 1) r ON true
LEFT JOIN LATERAL (SELECT * FROM members x
    WHERE x.conversation_id = j.conversation_id AND x.user_id = j.user_id AND x.until_seq IS NULL LIMIT 1) m ON true
LEFT JOIN LATERAL (
    SELECT count(*)::int AS count, max(e.seq) AS seq FROM (
        SELECT e.seq FROM entries e
        WHERE e.conversation_id = m.conversation_id
          AND e.seq > greatest(m.joined_seq, r.read_seq, j.owed_seq - 1000) AND e.seq < j.owed_seq + 1000
          AND (e.seq <= j.unread_seq OR e.seq > coalesce(r.delivered_seq, 0)) AND ` + isOwed + `
        ORDER BY e.seq DESC LIMIT 100) e) n ON ` + isTold + ` AND j.owed_seq > j.sent_seq
LEFT JOIN LATERAL (SELECT e.seq, e.created_at, e.body, e.sender_id FROM entries e
    WHERE e.conversation_id = j.conversation_id AND e.seq = n.seq LIMIT 1) l ON true
LEFT JOIN LATERAL (SELECT x.display_name FROM users x WHERE x.id = l.sender_id LIMIT 1) u ON true
WHERE j.owed_seq > j.sent_seq OR j.clears AND j.sent_seq > 0 AND r.read_seq >= j.sent_seq`
)

// look fills in what is to be sent in each turn.
func (q queries) look(ctx context.Context, turns []*turn) error {
	ids := make([]DeviceID, len(turns))
	byID := make(map[DeviceID]*turn, len(turns))
	for i, t := range turns {
		ids[i], byID[t.ID] = t.ID, t
		t.state, t.jobs = over, nil // a look may have failed half-way
	}
	b := &pgx.Batch{}
	b.Queue(selectLive, ids).Query(func(r pgx.Rows) error {
		var (
			id   DeviceID
			live turn
		)
		_, err := pgx.ForEachRow(r, []any{&id, &live.generic, &live.unread, &live.read}, func() error {
			t := byID[id]
			t.state, t.generic, t.unread, t.read = known, live.generic, live.unread, live.read
			live.read = nil
			return nil
		})
		return err
	})
	b.Queue(selectOwed, ids).Query(func(r pgx.Rows) error {
		var (
			id DeviceID
			j  job
		)
		_, err := pgx.ForEachRow(r, []any{&id, &j.conversation, &j.owed, &j.sent, &j.isRead, &j.group, &j.title, &j.count, &j.seq, &j.at, &j.sender, &j.text}, func() error {
			t := byID[id]
			t.jobs = append(t.jobs, j)
			return nil
		})
		return err
	})
	return q.within(ctx, lookTimeout, b)
}

const limitStatements = `SELECT set_config('statement_timeout', $1, true)`

// within sends a batch whose statements may take so long each.
func (q queries) within(ctx context.Context, limit time.Duration, b *pgx.Batch) error {
	first := &pgx.Batch{}
	first.Queue(limitStatements, fmt.Sprintf("%dms", limit.Milliseconds()))
	b.QueuedQueries = append(first.QueuedQueries, b.QueuedQueries...)
	return q.db.SendBatch(ctx, b).Close()
}

const (
	lockDevices = `SELECT id FROM devices WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE`

	// updateTurns ends the turns of devices, as far as they were not lost to somebody else.
	// What became owed meanwhile makes the device due at once. An attempt counts if it was the
	// device's fault ($7: it was not) and nothing was sent.
	updateTurns = `
UPDATE devices d
SET lease = NULL, attempts = CASE WHEN i.sent OR i.wait = 0 THEN 0 WHEN i.idle THEN greatest(d.attempts - 1, 0) ELSE d.attempts END,
    due_at = CASE WHEN i.wait > 0 THEN now() + make_interval(secs => i.wait) WHEN d.owed_mark <> i.mark THEN now() END,
    last_success_at = CASE WHEN i.sent THEN now() ELSE d.last_success_at END,
    last_failure_at = CASE WHEN i.failure <> '' THEN now() ELSE d.last_failure_at END,
    last_failure = CASE WHEN i.failure <> '' THEN i.failure ELSE d.last_failure END
FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::float8[], $5::boolean[], $6::text[], $7::boolean[]) AS i(id, lease, mark, wait, sent, failure, idle)
WHERE d.id = i.id AND d.lease = i.lease`

	// updateJobs notes up to where a device was told; told nothing, nothing is owed of what was.
	// A turn that was lost to somebody else says nothing: the device may be another's by now.
	updateJobs = `
UPDATE push_jobs j
SET sent_seq = greatest(j.sent_seq, i.seq), sent_at = CASE WHEN i.seq > 0 THEN now() ELSE j.sent_at END,
    owed_seq = CASE WHEN j.owed_seq <= i.owed THEN greatest(j.sent_seq, i.seq) ELSE greatest(j.owed_seq, i.seq) END
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[]) AS i(device_id, lease, conversation_id, owed, seq)
JOIN devices d ON d.id = i.device_id AND d.lease = i.lease
WHERE j.device_id = i.device_id AND j.conversation_id = i.conversation_id`

	// deleteRead forgets what a device was told to show no more.
	deleteRead = `
DELETE FROM push_jobs j
USING unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[]) AS i(device_id, lease, conversation_id, seq)
JOIN devices d ON d.id = i.device_id AND d.lease = i.lease
WHERE j.device_id = i.device_id AND j.conversation_id = i.conversation_id AND j.owed_seq <= j.sent_seq AND j.sent_seq <= i.seq`

	// deleteGone removes devices, unless they were registered anew meanwhile.
	deleteGone = `
DELETE FROM devices d
USING unnest($1::uuid[], $2::uuid[]) AS i(id, lease)
WHERE d.id = i.id AND d.lease = i.lease`
)

// record writes what became of turns, in one transaction.
func (q queries) record(ctx context.Context, results []result) error {
	var (
		ids, gone     []DeviceID
		leases, ended []uuid.UUID
		marks         []int64
		waits         []float64
		sent, idle    []bool
		failures      []string
		told, cleared jobColumns
	)
	for _, r := range results {
		if ids = append(ids, r.turn.ID); r.gone {
			gone, ended = append(gone, r.turn.ID), append(ended, r.turn.lease)
		}
		leases, marks = append(leases, r.turn.lease), append(marks, r.turn.mark)
		waits, sent = append(waits, r.wait.Seconds()), append(sent, r.sent)
		failures, idle = append(failures, r.failure), append(idle, r.idle)
		for _, j := range r.told {
			told.add(r.turn, j)
		}
		for _, j := range r.cleared {
			cleared.add(r.turn, j)
		}
	}
	b := &pgx.Batch{}
	b.Queue(lockDevices, ids)
	b.Queue(deleteGone, gone, ended)
	b.Queue(updateJobs, told.devices, told.leases, told.conversations, told.owed, told.seqs)
	b.Queue(deleteRead, cleared.devices, cleared.leases, cleared.conversations, cleared.seqs)
	b.Queue(updateTurns, ids, leases, marks, waits, sent, failures, idle) // last: it ends the leases
	return q.db.SendBatch(ctx, b).Close()
}

type jobColumns struct {
	devices       []DeviceID
	leases        []uuid.UUID
	conversations []chat.ConversationID
	owed, seqs    []int64
}

func (c *jobColumns) add(t *turn, j job) {
	c.devices, c.leases = append(c.devices, t.ID), append(c.leases, t.lease)
	c.conversations = append(c.conversations, j.conversation)
	c.owed, c.seqs = append(c.owed, int64(j.owed)), append(c.seqs, int64(j.seq))
}
