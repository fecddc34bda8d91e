package chat

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"parley/accounts"
)

const selectOpenMemberships = `
SELECT m.conversation_id, c.kind = 'group' FROM members m JOIN conversations c ON c.id = m.conversation_id
WHERE m.user_id = $1 AND m.until_seq IS NULL AND NOT m.closed AND m.conversation_id > $2
ORDER BY m.conversation_id LIMIT $3`

type openMembership struct {
	id      ConversationID
	isGroup bool
}

// openMemberships gives the next conversations that a deleted user has to leave, in the order of id.
func (q queries) openMemberships(ctx context.Context, user accounts.UserID, after ConversationID, limit int) ([]openMembership, error) {
	rows, err := q.db.Query(ctx, selectOpenMemberships, user, after, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (m openMembership, err error) {
		err = r.Scan(&m.id, &m.isGroup)
		return m, err
	})
}

// closeDirect runs after lockConversations in the same transaction: no message is stored after it.
const closeDirect = `
UPDATE members SET closed = true, blocked = false
WHERE conversation_id = $1 AND until_seq IS NULL AND EXISTS (SELECT FROM conversations WHERE id = $1 AND kind = 'direct')`

func (q queries) closeDirect(ctx context.Context, id ConversationID) error {
	_, err := q.db.Exec(ctx, closeDirect, id)
	return err
}

// selectConversationsEver gives conversations that a user is or was in, in the order of id.
const selectConversationsEver = `
SELECT DISTINCT m.conversation_id FROM members m WHERE m.user_id = $1 AND m.conversation_id > $2 ORDER BY m.conversation_id LIMIT $3`

func (q queries) conversationsEver(ctx context.Context, user accounts.UserID, after ConversationID, limit int) ([]ConversationID, error) {
	rows, err := q.db.Query(ctx, selectConversationsEver, user, after, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[ConversationID])
}

const selectUnerased = `
SELECT DISTINCT m.conversation_id FROM members m
WHERE m.user_id = $1 AND m.conversation_id > $2
  AND NOT EXISTS (SELECT FROM erasures x WHERE x.conversation_id = m.conversation_id AND x.user_id = $1 AND x.done)
ORDER BY m.conversation_id LIMIT $3`

// unerased gives conversations in which a deleted user's messages may not be erased yet.
func (q queries) unerased(ctx context.Context, user accounts.UserID, after ConversationID, limit int) ([]ConversationID, error) {
	rows, err := q.db.Query(ctx, selectUnerased, user, after, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[ConversationID])
}

// eraseBatch erases the texts of a user in the next part of a log, as a deletion erases one, and
// keeps how far it is. It runs after lockConversations in the same transaction. The user's
// memberships have ended, or are closed, so that the log has no later message of theirs.
const eraseBatch = `
WITH span AS MATERIALIZED (
    SELECT coalesce(x.erased_seq, i.first - 1) AS after, i.last, coalesce(x.done, false) AS done
    FROM (SELECT min(m.joined_seq) AS first, max(coalesce(m.until_seq, c.last_seq)) AS last
          FROM members m JOIN conversations c ON c.id = m.conversation_id
          WHERE m.conversation_id = $1 AND m.user_id = $2) i
    LEFT JOIN erasures x ON x.conversation_id = $1 AND x.user_id = $2
    WHERE i.first IS NOT NULL
), erased AS (
    UPDATE entries e SET body = NULL, detail = NULL
    WHERE e.conversation_id = $1 AND e.seq = ANY (ARRAY(
        SELECT o.seq FROM entries o
        WHERE o.conversation_id = $1 AND o.seq > (SELECT after FROM span) AND o.seq <= (SELECT least(after + $3, last) FROM span)
          AND o.sender_id = $2 AND o.kind IN ('message', 'edit') AND o.body IS NOT NULL))
    RETURNING e.seq
), moved AS (
    INSERT INTO erasures AS x (conversation_id, user_id, erased_seq, found)
    SELECT $1, $2, greatest(s.after, least(s.after + $3, s.last)), EXISTS (SELECT FROM erased) FROM span s WHERE NOT s.done
    ON CONFLICT (conversation_id, user_id) DO UPDATE SET erased_seq = excluded.erased_seq, found = x.found OR excluded.found
    RETURNING x.erased_seq, x.found
)
SELECT m.erased_seq >= s.last, m.found FROM moved m CROSS JOIN span s`

// eraseBatch erases in the next so many entries. It says whether those were the last ones, and
// whether any text was erased; pending is false if that was done before.
func (q queries) eraseBatch(ctx context.Context, id ConversationID, user accounts.UserID, entries int) (last, found, pending bool, err error) {
	err = q.db.QueryRow(ctx, eraseBatch, id, user, entries).Scan(&last, &found)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, false, false, nil
	}
	return last, found, err == nil, err
}

// insertErased writes the entry by which members learn of an erasure, in the transaction that
// ends it. Its target, of which there is none, keeps it out of pages, as those of actions are.
const insertErased = `
WITH numbered AS (
    UPDATE conversations SET last_seq = last_seq + 1 WHERE id = $1 RETURNING last_seq
)
INSERT INTO entries (conversation_id, seq, kind, sender_id, created_at, target_seq, detail)
SELECT $1, last_seq, 'messages_erased', $2, statement_timestamp(), 0, jsonb_build_object('user_id', $2::uuid) FROM numbered
RETURNING seq, created_at`

func (q queries) insertErased(ctx context.Context, id ConversationID, user accounts.UserID) (seq Seq, at time.Time, err error) {
	err = q.db.QueryRow(ctx, insertErased, id, user).Scan(&seq, &at)
	return seq, at, err
}

const finishErasure = `UPDATE erasures SET done = true WHERE conversation_id = $1 AND user_id = $2`

func (q queries) finishErasure(ctx context.Context, id ConversationID, user accounts.UserID) error {
	_, err := q.db.Exec(ctx, finishErasure, id, user)
	return err
}

// selectExported gives a conversation as far as the user may know it, and how far its log reaches
// for them. Of a direct one, and of a group the user is in, it names the members.
const selectExported = `
SELECT c.id, c.kind, coalesce(CASE WHEN i.member THEN c.title ELSE i.until_title END, ''), c.created_at, i.last, i.stretches,
       CASE WHEN i.member THEN ARRAY(SELECT o.user_id FROM members o WHERE o.conversation_id = c.id AND o.until_seq IS NULL
                                     ORDER BY o.joined_seq, o.user_id LIMIT $3) ELSE '{}' END
FROM (SELECT bool_or(m.until_seq IS NULL) AS member, max(coalesce(m.until_seq, c.last_seq)) AS last,
             (array_agg(m.until_title ORDER BY m.until_seq DESC NULLS LAST))[1] AS until_title,
             json_agg(json_build_object('role', m.role, 'joined_seq', m.joined_seq, 'until_seq', m.until_seq) ORDER BY m.joined_seq) AS stretches
      FROM members m JOIN conversations c ON c.id = m.conversation_id
      WHERE m.conversation_id = $1 AND m.user_id = $2 AND NOT (m.hidden_until_message AND c.last_seq = 1)) i
JOIN conversations c ON c.id = $1
WHERE i.last IS NOT NULL`

func (q queries) exported(ctx context.Context, id ConversationID, user accounts.UserID, members int) (c exportedConversation, found bool, err error) {
	err = q.db.QueryRow(ctx, selectExported, id, user, members).Scan(&c.ID, &c.Kind, &c.Title, &c.CreatedAt, &c.UpToSeq, &c.Memberships, &c.MemberIDs)
	if errors.Is(err, pgx.ErrNoRows) {
		return c, false, nil
	}
	return c, err == nil, err
}

// selectOwnEntries reads a part of the log, and gives of it what the user wrote and may read.
const selectOwnEntries = `
SELECT ` + EntryColumns + `
FROM (SELECT a.* FROM entries a, (SELECT $2::uuid AS user_id) v
      WHERE a.conversation_id = $1 AND a.seq > $3 AND a.seq <= $4 AND a.sender_id = $2
        AND a.kind IN ('message', 'edit', 'delete', 'reaction_added', 'reaction_removed') AND ` + Readable + `) e
ORDER BY e.seq`

func (q queries) ownEntries(ctx context.Context, id ConversationID, user accounts.UserID, after, upTo Seq) ([]Entry, error) {
	rows, err := q.db.Query(ctx, selectOwnEntries, id, user, after, upTo)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (Entry, error) { return ScanEntry(r) })
}
