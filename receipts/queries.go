package receipts

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"parley/accounts"
	"parley/chat"
	"parley/store"
)

type queries struct {
	db         store.Querier
	acceptance bool // what was read is told only by members who accepted the direct conversation
}

// raiseMarks writes a batch of marks: only of members, no further than the
// conversation reaches, and never back. It returns those that moved ($6: all of them, because
// they may have moved by an attempt whose answer was lost), with whether something was
// delivered, the other side of a direct conversation and whether the two tell each other
// what they have read.
const raiseMarks = `
WITH moved AS (
    INSERT INTO receipts AS r (conversation_id, user_id, delivered_seq, read_seq, delivered_at, read_at)
    SELECT c.id, m.user_id, least(i.delivered, c.last_seq), least(i.read, c.last_seq), statement_timestamp(), statement_timestamp()
    FROM unnest($2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[]) WITH ORDINALITY AS i(conversation_id, user_id, delivered, read, ord)
    JOIN conversations c ON c.id = i.conversation_id
    JOIN members m ON m.conversation_id = c.id AND m.user_id = i.user_id AND m.until_seq IS NULL
    ORDER BY i.ord
    ON CONFLICT (conversation_id, user_id) DO UPDATE
       SET delivered_seq = greatest(r.delivered_seq, excluded.delivered_seq),
           delivered_before = CASE WHEN excluded.delivered_seq > r.delivered_seq THEN r.delivered_seq ELSE r.delivered_before END,
           delivered_at = CASE WHEN excluded.delivered_seq > r.delivered_seq THEN excluded.delivered_at ELSE r.delivered_at END,
           read_seq = greatest(r.read_seq, excluded.read_seq),
           read_before = CASE WHEN excluded.read_seq > r.read_seq THEN r.read_seq ELSE r.read_before END,
           read_at = CASE WHEN excluded.read_seq > r.read_seq THEN excluded.read_at ELSE r.read_at END
     WHERE excluded.delivered_seq > r.delivered_seq OR excluded.read_seq > r.read_seq OR $6
    RETURNING conversation_id, user_id, delivered_seq, read_seq, delivered_at = statement_timestamp() OR $6 AS arrived
)
` + withPeers + `FROM moved v` + peers

// withPeers and peers are what is told of marks v: the other side of a direct conversation, and
// whether the two tell each other what they have read: $1, where members are asked to accept, only
// once this one did. A side that the conversation is hidden from, or that blocks or is blocked, is
// told nothing of it.
const (
	withPeers = `SELECT v.conversation_id, v.user_id, v.delivered_seq, v.read_seq, v.arrived, p.id,
       u.read_receipts AND p.read_receipts AND (s.accepted OR NOT $1)
`
	peers = `
JOIN conversations c ON c.id = v.conversation_id
JOIN users u ON u.id = v.user_id
LEFT JOIN LATERAL (SELECT m.blocked, m.accepted FROM members m
    WHERE c.kind = 'direct' AND m.conversation_id = c.id AND m.user_id = v.user_id AND m.until_seq IS NULL LIMIT 1) s ON true
LEFT JOIN users p ON c.kind = 'direct' AND p.id = CASE
    WHEN s.blocked THEN NULL
    WHEN c.last_seq = 1 AND (
        SELECT bool_or(h.hidden_until_message AND h.user_id <> v.user_id) FROM members h WHERE h.conversation_id = c.id) THEN NULL
    WHEN v.user_id = c.direct_low THEN c.direct_high
    ELSE c.direct_low END`
)

// selectMoved gives the marks in some conversations that moved within so many seconds.
const selectMoved = withPeers + `
FROM (SELECT *, delivered_at > now() - make_interval(secs => $3) AS arrived FROM receipts
    WHERE conversation_id = ANY($2::uuid[]) AND greatest(delivered_at, read_at) > now() - make_interval(secs => $3)) v` + peers

// Event is a receipt as clients get it.
type Event struct {
	ConversationID chat.ConversationID `json:"conversation_id"`
	UserID         accounts.UserID     `json:"user_id,omitzero"` // absent: everybody in the group
	DeliveredSeq   chat.Seq            `json:"delivered_seq"`
	ReadSeq        chat.Seq            `json:"read_seq"`
}

type raised struct {
	Event
	arrived bool             // not only the read mark moved
	peer    *accounts.UserID // the other side; nil in a group
	tells   *bool            // the two let each other know what they have read
}

// lockLowest comes between the two: of replicas that raise marks of one group at once, each
// then sees in raiseLowest what those before it wrote. Only groups have such a row.
const lockLowest = `
SELECT conversation_id FROM delivered_to_all WHERE conversation_id = ANY($1::uuid[]) ORDER BY conversation_id FOR UPDATE`

// raiseLowest looks up to where every member has it, of the groups among some conversations,
// keeps that, and gives those for which it rose ($2: or may have, by an attempt whose answer
// was lost), once for each author of the messages that it rose over who is still a member:
// nobody else has anything to show for it. Who came later counts from their coming on; who
// cannot sign in does not count, or they would hold it back for good. It never goes back: a
// user who is enabled again and is behind keeps it where it is.
//
// It remembers a member who is behind, and looks at that one first: while they are, everybody
// else's marks do not matter. So somebody who is away does not cost a look at all members for
// every message.
const raiseLowest = `
WITH stale AS MATERIALIZED (
    SELECT c.id, CASE WHEN $2 THEN 0 ELSE coalesce(d.seq, 0) END AS before
    FROM unnest($1::uuid[]) AS i(id)
    JOIN conversations c ON c.id = i.id AND c.kind = 'group'
    LEFT JOIN delivered_to_all d ON d.conversation_id = c.id
    WHERE $2 OR NOT EXISTS (
        SELECT FROM members m JOIN users u ON u.id = m.user_id AND u.disabled_at IS NULL
        LEFT JOIN receipts r ON r.conversation_id = m.conversation_id AND r.user_id = m.user_id
        WHERE m.conversation_id = c.id AND m.user_id = d.behind AND m.until_seq IS NULL
          AND greatest(r.delivered_seq, m.joined_seq) <= d.seq)
), raised AS (
    INSERT INTO delivered_to_all AS d (conversation_id, seq, behind)
    SELECT s.id, l.seq, l.user_id
    FROM stale s CROSS JOIN LATERAL (
        SELECT greatest(r.delivered_seq, m.joined_seq) AS seq, m.user_id
        FROM members m JOIN users u ON u.id = m.user_id AND u.disabled_at IS NULL
        LEFT JOIN receipts r ON r.conversation_id = m.conversation_id AND r.user_id = m.user_id
        WHERE m.conversation_id = s.id AND m.until_seq IS NULL
        ORDER BY 1 LIMIT 1) l
    ORDER BY s.id
    ON CONFLICT (conversation_id) DO UPDATE SET seq = greatest(d.seq, excluded.seq), behind = excluded.behind
    RETURNING conversation_id, seq
)
SELECT r.conversation_id, r.seq, a.sender_id
FROM raised r
JOIN stale s ON s.id = r.conversation_id AND s.before < r.seq
CROSS JOIN LATERAL (
    SELECT DISTINCT e.sender_id
    FROM entries e JOIN members x ON x.conversation_id = e.conversation_id AND x.user_id = e.sender_id AND x.until_seq IS NULL
    WHERE e.conversation_id = r.conversation_id AND e.seq > greatest(s.before, r.seq - 1000) AND e.seq <= r.seq AND e.kind = 'message') a`

// selectLowest gives up to where every member has it, as it is kept, once for each author of the
// last messages before.
const selectLowest = `
SELECT r.conversation_id, r.seq, a.sender_id
FROM delivered_to_all r
CROSS JOIN LATERAL (
    SELECT DISTINCT e.sender_id
    FROM entries e JOIN members x ON x.conversation_id = e.conversation_id AND x.user_id = e.sender_id AND x.until_seq IS NULL
    WHERE e.conversation_id = r.conversation_id AND e.seq > r.seq - 1000 AND e.seq <= r.seq AND e.kind = 'message') a
WHERE r.conversation_id = ANY($1::uuid[])`

type lowest struct {
	Event
	author accounts.UserID
}

func scanLowest(row pgx.CollectableRow) (l lowest, err error) {
	err = row.Scan(&l.ConversationID, &l.DeliveredSeq, &l.author)
	return l, err
}

// raise writes marks, of rows in order, and what follows from them: in one round trip and one
// transaction, so that a crash never leaves the one without the other. A row without a user has
// no mark, and only what follows for its conversation.
func (q queries) raise(ctx context.Context, rows []owner, to map[owner]marks, again bool) (moved []raised, risen []lowest, err error) {
	n := len(rows)
	conversations, users := make([]chat.ConversationID, n), make([]accounts.UserID, n)
	delivered, read := make([]int64, n), make([]int64, n)
	for i, o := range rows {
		conversations[i], users[i] = o.conversation, o.user
		delivered[i], read[i] = int64(to[o].delivered), int64(to[o].read)
	}
	each := slices.Compact(slices.Clone(conversations))
	b := &pgx.Batch{}
	b.Queue(raiseMarks, q.acceptance, conversations, users, delivered, read, again).Query(collect(&moved))
	queueLowest(b, each, again, &risen)
	err = q.db.SendBatch(ctx, b).Close()
	return moved, risen, err
}

// collect takes the rows of raised.
func collect(moved *[]raised) func(pgx.Rows) error {
	return func(r pgx.Rows) (err error) {
		*moved, err = pgx.CollectRows(r, func(row pgx.CollectableRow) (v raised, err error) {
			err = row.Scan(&v.ConversationID, &v.UserID, &v.DeliveredSeq, &v.ReadSeq, &v.arrived, &v.peer, &v.tells)
			return v, err
		})
		return err
	}
}

// queueLowest raises the lowest marks of the groups among conversations; again: it gives them
// also where they did not rise.
func queueLowest(b *pgx.Batch, of []chat.ConversationID, again bool, risen *[]lowest) {
	b.Queue(lockLowest, of)
	b.Queue(raiseLowest, of, again).Query(func(r pgx.Rows) (err error) {
		*risen, err = pgx.CollectRows(r, scanLowest)
		return err
	})
}

// movedWithin gives the marks in some conversations that moved within the last while, and what
// everybody has in the groups among them.
func (q queries) movedWithin(ctx context.Context, of []chat.ConversationID, d time.Duration) (moved []raised, risen []lowest, err error) {
	rows, err := q.db.Query(ctx, selectMoved, q.acceptance, of, d.Seconds())
	if err == nil {
		err = collect(&moved)(rows)
	}
	var groups []chat.ConversationID
	for _, r := range moved {
		if r.peer == nil {
			groups = append(groups, r.ConversationID)
		}
	}
	if err != nil || len(groups) == 0 {
		return moved, nil, err
	}
	if rows, err = q.db.Query(ctx, selectLowest, groups); err == nil {
		risen, err = pgx.CollectRows(rows, scanLowest)
	}
	return moved, risen, err
}

// Mark is how far a message has got with one member.
type Mark struct {
	UserID      accounts.UserID `json:"user_id"`
	Delivered   bool            `json:"delivered"`
	Read        bool            `json:"read" doc:"Never true where either of the two does not tell"`
	DeliveredAt *time.Time      `json:"delivered_at,omitempty" doc:"As far as known"`
	ReadAt      *time.Time      `json:"read_at,omitempty" doc:"As far as known"`
}

// selectMarks gives nothing unless the caller is a member who can see the message. It leaves
// out its author, and who was not there when it was sent.
const selectMarks = `
SELECT m.user_id, coalesce(r.delivered_seq >= $3 AND NOT m.blocked, false),
       coalesce(r.read_seq >= $3 AND u.read_receipts AND me.read_receipts AND (m.accepted OR NOT $4) AND NOT m.blocked, false),
       CASE WHEN r.delivered_seq >= $3 AND r.delivered_before < $3 AND NOT m.blocked THEN r.delivered_at END,
       CASE WHEN r.read_seq >= $3 AND r.read_before < $3 AND u.read_receipts AND me.read_receipts
            AND (m.accepted OR NOT $4) AND NOT m.blocked THEN r.read_at END
FROM (SELECT $2::uuid AS user_id) v
JOIN users me ON me.id = v.user_id
JOIN members mine ON mine.conversation_id = $1 AND mine.user_id = v.user_id AND mine.until_seq IS NULL
JOIN entries a ON a.conversation_id = $1 AND a.seq = $3 AND a.kind = 'message' AND ` + chat.Readable + `
JOIN members m ON m.conversation_id = $1 AND m.until_seq IS NULL AND m.user_id <> a.sender_id AND EXISTS (
    SELECT FROM members t WHERE t.conversation_id = $1 AND t.user_id = m.user_id AND $3 BETWEEN t.joined_seq AND coalesce(t.until_seq, $3))
JOIN users u ON u.id = m.user_id
LEFT JOIN receipts r ON r.conversation_id = $1 AND r.user_id = m.user_id
ORDER BY u.username`

func (q queries) marks(ctx context.Context, me accounts.UserID, id chat.ConversationID, seq chat.Seq) ([]Mark, error) {
	rows, err := q.db.Query(ctx, selectMarks, id, me, seq, q.acceptance)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Mark])
}

// selectCanSee says whether somebody is a member who can see a message: it may be that
// nobody else was there to get it.
const selectCanSee = `
SELECT EXISTS (
    SELECT FROM (SELECT $2::uuid AS user_id) v
    JOIN members mine ON mine.conversation_id = $1 AND mine.user_id = v.user_id AND mine.until_seq IS NULL
    JOIN entries a ON a.conversation_id = $1 AND a.seq = $3 AND a.kind = 'message' AND ` + chat.Readable + `)`

func (q queries) canSee(ctx context.Context, me accounts.UserID, id chat.ConversationID, seq chat.Seq) (ok bool, err error) {
	err = q.db.QueryRow(ctx, selectCanSee, id, me, seq).Scan(&ok)
	return ok, err
}
