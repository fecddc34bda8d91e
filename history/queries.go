package history

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"parley/accounts"
	"parley/chat"
	"parley/store"
)

type queries struct{ db store.Querier }

const maxSeq chat.Seq = math.MaxInt64

// view is what somebody may see of a conversation: between the seqs first and last, but for
// stretches in which they were no member. shown is the last entry that is a row of its own
// for people.
type view struct {
	member             bool // now or once
	first, last, shown chat.Seq
}

const selectView = `
SELECT i.first, i.last, greatest(
       (SELECT e.seq FROM entries e WHERE e.conversation_id = $1 AND e.seq <= i.last AND e.kind = 'message'
        ORDER BY e.seq DESC LIMIT 1),
       (SELECT e.seq FROM entries e WHERE e.conversation_id = $1 AND e.seq <= i.last AND e.kind <> 'message' AND e.target_seq IS NULL
        ORDER BY e.seq DESC LIMIT 1))
FROM (SELECT min(m.from_seq) AS first, max(coalesce(m.until_seq, c.last_seq)) AS last
      FROM members m JOIN conversations c ON c.id = m.conversation_id
      WHERE m.conversation_id = $1 AND m.user_id = $2) i
WHERE i.first IS NOT NULL`

// A page is a range of each of two indexes, of messages and of events, in each of the stretches
// that its reader may see, mostly one: however many actions lie between, they are not passed.
const (
	selectDown = `
WITH RECURSIVE page AS MATERIALIZED (
    SELECT l.* FROM members m CROSS JOIN LATERAL (
        SELECT * FROM (
            (SELECT * FROM entries o
             WHERE o.conversation_id = $1 AND o.seq >= m.from_seq AND o.seq <= coalesce(m.until_seq, 9223372036854775807)
               AND o.kind = 'message' AND o.seq < $3
             ORDER BY o.seq DESC LIMIT $4)
            UNION ALL
            (SELECT * FROM entries o
             WHERE o.conversation_id = $1 AND o.seq >= m.from_seq AND o.seq <= coalesce(m.until_seq, 9223372036854775807)
               AND o.kind <> 'message' AND o.target_seq IS NULL AND o.seq < $3
             ORDER BY o.seq DESC LIMIT $4)) o
        ORDER BY o.seq DESC LIMIT $4) l
    WHERE m.conversation_id = $1 AND m.user_id = $2 ORDER BY l.seq DESC LIMIT $4` + folded

	selectUp = `
WITH RECURSIVE page AS MATERIALIZED (
    SELECT l.* FROM members m CROSS JOIN LATERAL (
        SELECT * FROM (
            (SELECT * FROM entries o
             WHERE o.conversation_id = $1 AND o.seq >= m.from_seq AND o.seq <= coalesce(m.until_seq, 9223372036854775807)
               AND o.kind = 'message' AND o.seq > $3
             ORDER BY o.seq LIMIT $4)
            UNION ALL
            (SELECT * FROM entries o
             WHERE o.conversation_id = $1 AND o.seq >= m.from_seq AND o.seq <= coalesce(m.until_seq, 9223372036854775807)
               AND o.kind <> 'message' AND o.target_seq IS NULL AND o.seq > $3
             ORDER BY o.seq LIMIT $4)) o
        ORDER BY o.seq LIMIT $4) l
    WHERE m.conversation_id = $1 AND m.user_id = $2 ORDER BY l.seq LIMIT $4` + folded

	// folded gives the rows of page as messages. What happened to them is one more range of an
	// index of reactions, and the last revision of each revised message: a step of an index for
	// each, however many came before it.
	folded = `), viewer AS (
    SELECT $2::uuid AS user_id
), bounds AS MATERIALIZED (
    SELECT min(seq) AS first, max(seq) AS last FROM page
), revisions AS (
    (SELECT ` + chat.ActionColumns + ` FROM entries a, viewer v
     WHERE a.conversation_id = $1 AND a.kind IN ('edit', 'delete')
       AND a.target_seq >= (SELECT first FROM bounds) AND a.target_seq <= (SELECT last FROM bounds) AND ` + chat.Readable + `
     ORDER BY a.target_seq DESC, a.seq DESC LIMIT 1)
  UNION ALL
    SELECT n.* FROM revisions r CROSS JOIN LATERAL (
        SELECT ` + chat.ActionColumns + ` FROM entries a, viewer v
        WHERE a.conversation_id = $1 AND a.kind IN ('edit', 'delete')
          AND a.target_seq >= (SELECT first FROM bounds) AND a.target_seq < r.target_seq AND ` + chat.Readable + `
        ORDER BY a.target_seq DESC, a.seq DESC LIMIT 1) n
), found AS (
    SELECT a.target_seq, ` + chat.Actions + ` AS actions
    FROM (SELECT * FROM revisions
          UNION ALL
          SELECT ` + chat.ActionColumns + ` FROM entries a, viewer v
          WHERE a.conversation_id = $1 AND a.kind IN ('reaction_added', 'reaction_removed')
            AND a.target_seq >= (SELECT first FROM bounds) AND a.target_seq <= (SELECT last FROM bounds) AND ` + chat.Readable + `) a
    GROUP BY a.target_seq
)
SELECT ` + chat.MessageColumns + `
FROM page e CROSS JOIN viewer v LEFT JOIN found f ON f.target_seq = e.seq
ORDER BY e.seq`

	// selectLog is a range of the primary key in each stretch.
	selectLog = `
SELECT ` + chat.EntryColumns + ` FROM (
    SELECT l.* FROM members m CROSS JOIN LATERAL (
        SELECT * FROM entries o
        WHERE o.conversation_id = $1 AND o.seq >= m.from_seq AND o.seq <= coalesce(m.until_seq, 9223372036854775807) AND o.seq > $3
        ORDER BY o.seq LIMIT $4) l
    WHERE m.conversation_id = $1 AND m.user_id = $2 ORDER BY l.seq LIMIT $4) e
ORDER BY e.seq`
)

// pageDown gives the last messages before a seq, ascending.
func (q queries) pageDown(ctx context.Context, me accounts.UserID, id chat.ConversationID, before chat.Seq, limit int) (v view, list []chat.Message, err error) {
	b := &pgx.Batch{}
	queueView(b, &v, id, me)
	queueMessages(b, &list, selectDown, id, me, before, limit)
	err = q.db.SendBatch(ctx, b).Close()
	return v, list, err
}

// pageUp gives the first messages after a seq.
func (q queries) pageUp(ctx context.Context, me accounts.UserID, id chat.ConversationID, after chat.Seq, limit int) (v view, list []chat.Message, err error) {
	b := &pgx.Batch{}
	queueView(b, &v, id, me)
	queueMessages(b, &list, selectUp, id, me, after, limit)
	err = q.db.SendBatch(ctx, b).Close()
	return v, list, err
}

// pageAround gives half a page before a seq, and the seq itself with what follows.
func (q queries) pageAround(ctx context.Context, me accounts.UserID, id chat.ConversationID, seq chat.Seq, limit int) (v view, list []chat.Message, err error) {
	var older []chat.Message
	half := limit / 2
	b := &pgx.Batch{}
	queueView(b, &v, id, me)
	queueMessages(b, &older, selectDown, id, me, seq, half)
	queueMessages(b, &list, selectUp, id, me, seq-1, limit-half)
	err = q.db.SendBatch(ctx, b).Close()
	return v, append(older, list...), err
}

// log gives the first entries after a seq.
func (q queries) log(ctx context.Context, me accounts.UserID, id chat.ConversationID, after chat.Seq, limit int) (v view, entries []chat.Entry, err error) {
	b := &pgx.Batch{}
	queueView(b, &v, id, me)
	b.Queue(selectLog, id, me, after, limit).Query(func(rows pgx.Rows) (err error) {
		entries, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (chat.Entry, error) { return chat.ScanEntry(r) })
		return err
	})
	err = q.db.SendBatch(ctx, b).Close()
	return v, entries, err
}

func queueView(b *pgx.Batch, v *view, id chat.ConversationID, me accounts.UserID) {
	b.Queue(selectView, id, me).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&v.first, &v.last, &v.shown)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		v.member = err == nil
		return err
	})
}

func queueMessages(b *pgx.Batch, to *[]chat.Message, sql string, args ...any) {
	b.Queue(sql, args...).Query(func(rows pgx.Rows) (err error) {
		*to, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (chat.Message, error) { return chat.ScanMessage(r) })
		return err
	})
}

// head is how far one of a user's conversations reaches for them.
type head struct {
	id       chat.ConversationID
	last     chat.Seq
	former   bool // it is that of what they could read when they were a member
	diverged bool // the entry that the client holds is not in what they can read
}

// selectHeads gives both kinds by one snapshot: a user who is added again meanwhile is in one of
// them. Of the conversations that a client names, $2, it compares the entry that the client
// holds, of the seq $3 and the time $4, with the log; NULL where it names none.
const selectHeads = `
SELECT h.id, h.last, h.former,
       held.created_at IS NOT NULL AND NOT EXISTS (
           SELECT FROM members m JOIN entries e ON e.conversation_id = m.conversation_id
           WHERE m.conversation_id = h.id AND m.user_id = $1
             AND e.seq = held.seq AND e.created_at = held.created_at
             AND e.seq >= m.from_seq AND e.seq <= coalesce(m.until_seq, 9223372036854775807)) AS diverged
FROM (
    SELECT c.id, c.last_seq AS last, false AS former, c.last_entry_at
    FROM members m JOIN conversations c ON c.id = m.conversation_id
    WHERE m.user_id = $1 AND m.until_seq IS NULL AND NOT (m.hidden_until_message AND c.last_seq = 1)
  UNION ALL
    SELECT m.conversation_id, max(m.until_seq), true, NULL
    FROM members m WHERE m.user_id = $1 AND m.conversation_id = ANY($2::uuid[])
    GROUP BY m.conversation_id HAVING count(*) FILTER (WHERE m.until_seq IS NULL) = 0
) h
LEFT JOIN unnest($2::uuid[], $3::bigint[], $4::timestamptz[]) AS held(id, seq, created_at) ON held.id = h.id
ORDER BY h.former, h.last_entry_at DESC, h.id DESC`

// heads gives all of a user's conversations, most recent first, then those named that the user
// is no member of any more.
func (q queries) heads(ctx context.Context, me accounts.UserID, held Held) ([]head, error) {
	n := len(held.Conversations)
	ids, seqs, times := make([]chat.ConversationID, 0, n), make([]chat.Seq, 0, n), make([]*time.Time, 0, n)
	for id := range held.Conversations {
		var at *time.Time
		mark, named := held.LastEntries[id]
		if named {
			at = &mark.CreatedAt
		}
		ids, seqs, times = append(ids, id), append(seqs, mark.Seq), append(times, at)
	}
	rows, err := q.db.Query(ctx, selectHeads, me, ids, seqs, times)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (head, error) {
		var h head
		err := r.Scan(&h.id, &h.last, &h.former, &h.diverged)
		return h, err
	})
}

// gap is what a client lacks of a conversation: from the seq after one to another.
type gap struct {
	id          chat.ConversationID
	after, upTo chat.Seq
}

// selectMissed reads several gaps in one round trip, up to so many bytes of bodies.
const selectMissed = `
SELECT ` + chat.EntryColumns + `
FROM (SELECT l.*, h.ord, coalesce(sum(octet_length(l.body)) OVER (ORDER BY h.ord, l.seq), 0) AS size
      FROM unnest($2::uuid[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS h(id, after, up_to, ord)
      JOIN members m ON m.conversation_id = h.id AND m.user_id = $1
      CROSS JOIN LATERAL (
          SELECT * FROM entries o
          WHERE o.conversation_id = h.id AND o.seq > h.after AND o.seq <= h.up_to
            AND o.seq >= m.from_seq AND o.seq <= coalesce(m.until_seq, 9223372036854775807)
          OFFSET 0) l) e -- not to be mixed with the join: a range for each stretch
WHERE e.size <= $5
ORDER BY e.ord, e.seq`

// missed gives what is in the gaps, one after the other, until take has enough or the
// bodies are so many bytes.
func (q queries) missed(ctx context.Context, me accounts.UserID, gaps []gap, bytes int, take func(chat.Entry) (bool, error)) error {
	ids, after, upTo := make([]chat.ConversationID, len(gaps)), make([]chat.Seq, len(gaps)), make([]chat.Seq, len(gaps))
	for i, g := range gaps {
		ids[i], after[i], upTo[i] = g.id, g.after, g.upTo
	}
	rows, err := q.db.Query(ctx, selectMissed, me, ids, after, upTo, bytes)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		e, err := chat.ScanEntry(rows)
		if err != nil {
			return err
		}
		if more, err := take(e); err != nil || !more {
			return err
		}
	}
	return rows.Err()
}
