package history

import (
	"context"
	"errors"
	"math"
	"slices"

	"github.com/jackc/pgx/v5"

	"parley/accounts"
	"parley/chat"
	"parley/store"
)

type queries struct{ db store.Querier }

const maxSeq chat.Seq = math.MaxInt64

// view is what a member may see of a conversation: the seqs from first to last.
type view struct {
	member      bool
	first, last chat.Seq
}

const selectView = `
SELECT m.from_seq, least(m.until_seq, c.last_seq)
FROM members m JOIN conversations c ON c.id = m.conversation_id
WHERE m.conversation_id = $1 AND m.user_id = $2`

// visible is the part of a log that a member may see; every read goes through it. As
// scalar subqueries the two ends are looked up once, and the page stays one range of the
// primary key; without a membership they are null, and nothing is seen.
const visible = `
FROM entries e
WHERE e.conversation_id = $1
  AND e.seq >= (SELECT m.from_seq FROM members m WHERE m.conversation_id = $1 AND m.user_id = $2)
  AND e.seq <= (SELECT coalesce(m.until_seq, 9223372036854775807) FROM members m WHERE m.conversation_id = $1 AND m.user_id = $2) `

const (
	selectDown = `SELECT ` + chat.EntryColumns + visible + `AND e.seq < $3 ORDER BY e.seq DESC LIMIT $4`
	selectUp   = `SELECT ` + chat.EntryColumns + visible + `AND e.seq > $3 ORDER BY e.seq LIMIT $4`
)

// pageDown gives the last entries before a seq, ascending.
func (q queries) pageDown(ctx context.Context, me accounts.UserID, id chat.ConversationID, before chat.Seq, limit int) (v view, entries []chat.Entry, err error) {
	b := &pgx.Batch{}
	queueView(b, &v, id, me)
	queueEntries(b, &entries, selectDown, id, me, before, limit)
	err = q.db.SendBatch(ctx, b).Close()
	slices.Reverse(entries)
	return v, entries, err
}

// pageUp gives the first entries after a seq.
func (q queries) pageUp(ctx context.Context, me accounts.UserID, id chat.ConversationID, after chat.Seq, limit int) (v view, entries []chat.Entry, err error) {
	b := &pgx.Batch{}
	queueView(b, &v, id, me)
	queueEntries(b, &entries, selectUp, id, me, after, limit)
	err = q.db.SendBatch(ctx, b).Close()
	return v, entries, err
}

// pageAround gives half a page before a seq, and the seq itself with what follows.
func (q queries) pageAround(ctx context.Context, me accounts.UserID, id chat.ConversationID, seq chat.Seq, limit int) (v view, entries []chat.Entry, err error) {
	var older []chat.Entry
	half := limit / 2
	b := &pgx.Batch{}
	queueView(b, &v, id, me)
	queueEntries(b, &older, selectDown, id, me, seq, half)
	queueEntries(b, &entries, selectUp, id, me, seq-1, limit-half)
	err = q.db.SendBatch(ctx, b).Close()
	slices.Reverse(older)
	return v, append(older, entries...), err
}

func queueView(b *pgx.Batch, v *view, id chat.ConversationID, me accounts.UserID) {
	b.Queue(selectView, id, me).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&v.first, &v.last)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		v.member = err == nil
		return err
	})
}

func queueEntries(b *pgx.Batch, to *[]chat.Entry, sql string, args ...any) {
	b.Queue(sql, args...).Query(func(rows pgx.Rows) (err error) {
		*to, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (chat.Entry, error) { return chat.ScanEntry(r) })
		return err
	})
}

const selectBehind = `
SELECT c.id, m.from_seq, c.last_seq
FROM members m JOIN conversations c ON c.id = m.conversation_id
WHERE m.user_id = $1 AND m.until_seq IS NULL
ORDER BY c.last_entry_at DESC, c.id DESC`

// head is how far one of a user's conversations reaches, and where their view begins.
type head struct {
	id          chat.ConversationID
	first, last chat.Seq
}

// heads gives all of a user's conversations, most recent first.
func (q queries) heads(ctx context.Context, me accounts.UserID) ([]head, error) {
	rows, err := q.db.Query(ctx, selectBehind, me)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (head, error) {
		var h head
		err := r.Scan(&h.id, &h.first, &h.last)
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
      CROSS JOIN LATERAL (
          SELECT * FROM entries o
          WHERE o.conversation_id = h.id AND o.seq > h.after AND o.seq <= h.up_to
            AND o.seq >= (SELECT m.from_seq FROM members m
                          WHERE m.conversation_id = h.id AND m.user_id = $1 AND m.until_seq IS NULL)) l) e
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
