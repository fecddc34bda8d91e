package chat

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"parley/accounts"
	"parley/problem"
	"parley/store"
)

type queries struct {
	db         store.Querier
	acceptance bool // members are asked to accept direct conversations
}

// in gives the same queries in a transaction.
func (q queries) in(tx store.Querier) queries { return queries{tx, q.acceptance} }

// lockConversations takes the row locks of a batch, in the order of id: two writers,
// also of two replicas, then never wait for each other in a circle.
const lockConversations = `
SELECT id FROM conversations WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE`

// appendMessages stores a batch and answers for every message of it, in order. It runs
// after lockConversations in the same transaction and on purpose as a statement of its
// own: in READ COMMITTED it then sees everything that was committed before the locks
// were had, so that numbering and finding known client_ids are safe. Of those mentioned,
// the members are kept. The text of a deleted message is gone and cannot be compared.
// Where a member writes who was only asked, the message accepts the conversation.
//
// The look-ups are scalar subqueries and a LATERAL with LIMIT: the planner can turn
// neither into a join that reads a whole table.
const appendMessages = `
WITH input AS MATERIALIZED (
    SELECT i.*, k.seq AS known_seq, k.created_at AS known_at,
           k.sender_id = i.sender_id AND k.kind = 'message' AND (k.body = i.body OR k.body IS NULL)
               AND k.reply_to IS NOT DISTINCT FROM nullif(i.reply_to, 0) AS same,
           (SELECT CASE WHEN m.closed THEN 'closed' WHEN m.blocked THEN 'blocked' WHEN m.accepted THEN 'accepted' ELSE 'asked' END FROM members m
             WHERE m.conversation_id = i.conversation_id AND m.user_id = i.sender_id AND m.until_seq IS NULL) AS membership
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::text[])
         WITH ORDINALITY AS i(conversation_id, sender_id, client_id, body, reply_to, mentions, ord)
    LEFT JOIN LATERAL (
        SELECT e.seq, e.created_at, e.sender_id, e.kind, e.body, e.reply_to FROM entries e
        WHERE e.client_id = i.client_id AND e.conversation_id = i.conversation_id LIMIT 1) k ON true
), fresh AS MATERIALIZED (
    SELECT i.*, row_number() OVER (PARTITION BY i.conversation_id ORDER BY i.ord) AS n,
           CASE WHEN i.mentions <> '' THEN (
               SELECT jsonb_build_object('mentions', jsonb_agg(x.id ORDER BY x.ord))
               FROM jsonb_array_elements_text(i.mentions::jsonb) WITH ORDINALITY AS x(id, ord)
               WHERE EXISTS (SELECT FROM members m WHERE m.conversation_id = i.conversation_id
                                AND m.user_id = x.id::uuid AND m.until_seq IS NULL)
               HAVING count(*) > 0) END AS detail
    FROM input i
    WHERE i.known_seq IS NULL AND i.membership IN ('accepted', 'asked')
      AND (i.reply_to = 0 OR (SELECT true FROM entries a, (SELECT i.sender_id AS user_id) v
                              WHERE a.conversation_id = i.conversation_id AND a.seq = i.reply_to AND a.kind = 'message'
                                AND ` + Readable + `))
), numbered AS (
    UPDATE conversations c SET last_seq = c.last_seq + f.n, last_entry_at = statement_timestamp()
    FROM (SELECT conversation_id, count(*) AS n FROM fresh GROUP BY conversation_id) f
    WHERE c.id = f.conversation_id
    RETURNING c.id, c.last_seq - f.n AS base
), placed AS MATERIALIZED (
    SELECT f.*, b.base + f.n AS seq FROM fresh f JOIN numbered b ON b.id = f.conversation_id
), written AS (
    INSERT INTO entries (conversation_id, seq, kind, sender_id, client_id, created_at, body, reply_to, detail)
    SELECT conversation_id, seq, 'message', sender_id, client_id, statement_timestamp(), body, nullif(reply_to, 0), detail
    FROM placed
), accepting AS (
    UPDATE members m SET accepted = true
    WHERE m.conversation_id = ANY(ARRAY(SELECT conversation_id FROM placed WHERE membership = 'asked'))
      AND m.user_id = ANY(ARRAY(SELECT sender_id FROM placed WHERE membership = 'asked')) AND m.until_seq IS NULL
      AND EXISTS (SELECT FROM placed p WHERE p.conversation_id = m.conversation_id AND p.sender_id = m.user_id AND p.membership = 'asked')
)
SELECT ord, 0 AS outcome, seq, statement_timestamp(), detail, membership = 'asked' FROM placed
UNION ALL
SELECT i.ord,
       CASE WHEN i.same THEN 1
            WHEN i.membership IS NULL THEN 2
            WHEN i.membership = 'closed' THEN 10
            WHEN i.known_seq IS NOT NULL THEN 3
            WHEN i.membership = 'blocked' THEN 11
            ELSE 4 END,
       coalesce(i.known_seq, 0), coalesce(i.known_at, statement_timestamp()), NULL, false
FROM input i WHERE NOT EXISTS (SELECT 1 FROM placed p WHERE p.ord = i.ord)`

// outcome is what became of a message, as appendMessages says it, or of an action, as
// actOnMessage does.
type outcome int

const (
	stored       outcome = iota
	repeated             // it was in the log already, or so without it
	notMember            // or no such conversation
	clientIDUsed         // by another entry
	noReplied            // reply_to is no message that the sender can see
	noMessage            // the target is none that the sender can see
	notAllowed           // to do this to somebody else's message
	wasDeleted           // the target
	tooMany              // reactions of this person to this message
	tooOften             // this person did something to this message
	isClosed             // the direct conversation: the other side was deleted
	blocked              // one side of the direct conversation blocks the other
)

var outcomes = map[outcome]*problem.Error{
	notMember: ErrNotMember, clientIDUsed: ErrClientID, noReplied: ErrNoReplied,
	noMessage: ErrNoMessage, notAllowed: ErrNotAllowed, wasDeleted: ErrDeleted, tooMany: errTooManyReactions, tooOften: errTooOften, isClosed: errClosed,
	blocked: errBlocked,
}

// err is what the sender is told; nil for what is in the log.
func (o outcome) err() error {
	if o == stored || o == repeated {
		return nil
	}
	if err, ok := outcomes[o]; ok {
		return err
	}
	return fmt.Errorf("the database gives the outcome %d", o)
}

type result struct {
	outcome outcome
	seq     Seq
	at      time.Time
	detail  *Detail // as it was stored; nil for most
	accepts bool    // the sender accepted the conversation by it
}

// append stores a batch in one round trip and one transaction. It returns after the
// commit: only the end of the pipeline says that it happened.
func (q queries) append(ctx context.Context, batch []*pending, results []result) (_ []result, err error) {
	n := len(batch)
	var (
		conversations = make([]ConversationID, n)
		senders       = make([]accounts.UserID, n)
		clients       = make([]uuid.UUID, n)
		bodies        = make([]string, n)
		replies       = make([]int64, n)
		mentions      = make([]string, n)
	)
	for i, p := range batch {
		conversations[i], senders[i], clients[i], bodies[i], replies[i] =
			p.ConversationID, p.SenderID, p.ClientID, p.Body, int64(p.ReplyTo)
		mentions[i] = jsonIDs(p.Mentions)
	}
	b := &pgx.Batch{}
	b.Queue(lockConversations, conversations)
	b.Queue(appendMessages, conversations, senders, clients, bodies, replies, mentions)
	br := q.db.SendBatch(ctx, b)
	defer func() {
		// The pipeline's statements are one implicit transaction, committed at its end.
		if e := br.Close(); err == nil && e != nil {
			err = fmt.Errorf("commit a batch: %w", e)
		}
	}()
	if _, err := br.Exec(); err != nil {
		return results, fmt.Errorf("lock conversations: %w", err)
	}
	rows, err := br.Query()
	if err != nil {
		return results, fmt.Errorf("append messages: %w", err)
	}
	defer rows.Close()
	results = append(results, make([]result, n)...)
	answered := 0
	for rows.Next() {
		var (
			ord int64
			r   result
		)
		if err := rows.Scan(&ord, &r.outcome, &r.seq, &r.at, &r.detail, &r.accepts); err != nil {
			return results, fmt.Errorf("read an appended message: %w", err)
		}
		results[ord-1] = r
		answered++
	}
	if err := rows.Err(); err != nil {
		return results, fmt.Errorf("append messages: %w", err)
	}
	if answered != n {
		return results, fmt.Errorf("append messages: %d answers for %d messages", answered, n)
	}
	return results, nil
}

// jsonIDs is a list of people as a JSON array; empty for nobody.
func jsonIDs(users []accounts.UserID) string {
	if len(users) == 0 {
		return ""
	}
	b := []byte{'['}
	for i, u := range users {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), u.String()...), '"')
	}
	return string(append(b, ']'))
}

const selectMembershipsOf = `
SELECT c.id, m.joined_seq, c.last_seq, m.hidden_until_message AND c.last_seq = 1 FROM members m JOIN conversations c ON c.id = m.conversation_id
WHERE m.user_id = $1 AND m.until_seq IS NULL AND ($2::uuid[] IS NULL OR m.conversation_id = ANY($2))`

// membership is that somebody is in a conversation, since the entry joined, as of when the
// log reached last. A hidden one is not shown to the member before the first message.
type membership struct {
	id           ConversationID
	joined, last Seq
	hidden       bool
}

// memberships gives a user's; of those conversations alone, unless ids is nil.
func (q queries) memberships(ctx context.Context, user accounts.UserID, ids []ConversationID) ([]membership, error) {
	rows, err := q.db.Query(ctx, selectMembershipsOf, user, ids)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (m membership, err error) {
		err = r.Scan(&m.id, &m.joined, &m.last, &m.hidden)
		return m, err
	})
}

// selectEntriesBehind stops after so many entries of each conversation, and of all together.
const selectEntriesBehind = `
SELECT ` + EntryColumns + `
FROM unnest($1::uuid[], $2::bigint[]) AS b(id, after)
CROSS JOIN LATERAL (SELECT * FROM entries l WHERE l.conversation_id = b.id AND l.seq > b.after ORDER BY l.seq LIMIT $3) e
LIMIT $4`

// entriesBehind reads the logs of conversations for delivery, each after a seq: those of one
// conversation in their order. Who gets the entries is the gate's business.
func (q queries) entriesBehind(ctx context.Context, from []head, each, all int) ([]Entry, error) {
	ids, after := make([]ConversationID, len(from)), make([]int64, len(from))
	for i, h := range from {
		ids[i], after[i] = h.id, int64(h.last)
	}
	rows, err := q.db.Query(ctx, selectEntriesBehind, ids, after, each, all)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (Entry, error) { return ScanEntry(r) })
}

// selectAdmitted goes along the index members_added.
const selectAdmitted = `
SELECT m.conversation_id, m.joined_seq, c.last_seq, m.hidden_until_message AND c.last_seq = 1, m.user_id, m.added_at
FROM members m JOIN conversations c ON c.id = m.conversation_id
WHERE m.added_at > '-infinity' AND m.until_seq IS NULL
  AND (m.added_at, m.conversation_id, m.user_id) > (greatest($1::timestamptz, now() - make_interval(secs => $2)), $3::uuid, $4::uuid)
ORDER BY m.added_at, m.conversation_id, m.user_id LIMIT $5`

// admitted gives memberships of the last while, those that follow one: a page of so many.
func (q queries) admitted(ctx context.Context, within time.Duration, after admission, limit int) ([]admission, error) {
	rows, err := q.db.Query(ctx, selectAdmitted, after.at, within.Seconds(), after.id, after.user, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (a admission, err error) {
		err = r.Scan(&a.id, &a.joined, &a.last, &a.hidden, &a.user, &a.at)
		return a, err
	})
}

const selectLastSeqs = `SELECT id, last_seq FROM conversations WHERE id = ANY($1::uuid[])`

// head is how far a log reaches.
type head struct {
	id   ConversationID
	last Seq
}

func (q queries) lastSeqs(ctx context.Context, ids []ConversationID) ([]head, error) {
	rows, err := q.db.Query(ctx, selectLastSeqs, ids)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (head, error) {
		var h head
		err := r.Scan(&h.id, &h.last)
		return h, err
	})
}
