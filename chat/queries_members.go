package chat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"parley/accounts"
)

// The locks are those that new members take anyway. With them, a deletion of such a user waits for
// this transaction, and then finds the memberships that it makes.
const countActiveUsers = `
SELECT count(*) FROM (SELECT FROM users WHERE id = ANY($1::uuid[]) AND disabled_at IS NULL FOR KEY SHARE) active`

// areActive makes sure that people exist and can sign in: ErrNoUser. No id may be twice.
func (q queries) areActive(ctx context.Context, users ...accounts.UserID) error {
	var n int
	if err := q.db.QueryRow(ctx, countActiveUsers, users).Scan(&n); err != nil {
		return fmt.Errorf("find people: %w", err)
	}
	if n != len(users) {
		return ErrNoUser
	}
	return nil
}

const insertGroup = `
INSERT INTO conversations (id, kind, created_by, client_id, title) VALUES ($1, 'group', $2, $3, $4)
ON CONFLICT (created_by, client_id) WHERE client_id IS NOT NULL DO NOTHING`

// insertGroup makes a group, unless its creator made one with the same key: then, or as soon as
// a concurrent transaction that made one commits, it gives false. uuid.Nil is no key.
func (q queries) insertGroup(ctx context.Context, id ConversationID, me accounts.UserID, key uuid.UUID, title string) (bool, error) {
	tag, err := q.db.Exec(ctx, insertGroup, id, me, uuid.NullUUID{UUID: key, Valid: key != uuid.Nil}, title)
	return tag.RowsAffected() == 1, err
}

const selectGroupByKey = `
SELECT ` + EntryColumns + `
FROM conversations c JOIN entries e ON e.conversation_id = c.id AND e.seq = 1
WHERE c.created_by = $1 AND c.client_id = $2`

// groupByKey gives entry 1 of the group that a user created with a key; nil if there is none.
func (q queries) groupByKey(ctx context.Context, me accounts.UserID, key uuid.UUID) (*Entry, error) {
	if key == uuid.Nil {
		return nil, nil
	}
	e, err := ScanEntry(q.db.QueryRow(ctx, selectGroupByKey, me, key))
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &e, err
}

const updateGroup = `UPDATE conversations SET title = $2, share_history = $3 WHERE id = $1`

func (q queries) updateGroup(ctx context.Context, id ConversationID, title string, shareHistory bool) error {
	_, err := q.db.Exec(ctx, updateGroup, id, title, shareHistory)
	return err
}

// selectStanding runs after lockConversations in the same transaction, and as a statement
// of its own sees what was committed before the lock was had.
const selectStanding = `
SELECT c.kind, coalesce(c.title, ''), c.share_history, c.last_seq, m.role,
       (SELECT count(*) FROM members n WHERE n.conversation_id = $1 AND n.until_seq IS NULL)
FROM conversations c JOIN members m ON m.conversation_id = c.id AND m.user_id = $2 AND m.until_seq IS NULL
WHERE c.id = $1`

func (q queries) lockRow(ctx context.Context, id ConversationID) error {
	_, err := q.db.Exec(ctx, lockConversations, []ConversationID{id})
	return err
}

// lock takes the row lock of a conversation and says what there is. ErrNotMember.
func (q queries) lock(ctx context.Context, id ConversationID, user accounts.UserID) (s standing, err error) {
	if err := q.lockRow(ctx, id); err != nil {
		return s, fmt.Errorf("lock a conversation: %w", err)
	}
	err = q.db.QueryRow(ctx, selectStanding, id, user).Scan(&s.kind, &s.title, &s.shareHistory, &s.last, &s.role, &s.size)
	if errors.Is(err, pgx.ErrNoRows) {
		return s, ErrNotMember
	}
	if err != nil {
		return s, fmt.Errorf("read a conversation: %w", err)
	}
	return s, nil
}

const insertMembers = `
INSERT INTO members (conversation_id, user_id, role, joined_seq, from_seq, hidden_until_message, accepted)
SELECT $1, i.user_id, i.role, $4 + i.step, coalesce(nullif($5::bigint, 0), $4 + i.step), i.user_id = $6, i.user_id <> $6
FROM (SELECT u.user_id, u.role, CASE WHEN $4 = 1 THEN 0 ELSE u.ord - 1 END AS step
      FROM unnest($2::uuid[], $3::text[]) WITH ORDINALITY AS u(user_id, role, ord)) i`

// insertMembers adds people: the first ones of a conversation all by the entry 1, and those
// of a group, whose entries begin at joined, by one each. They may read from the seq from on,
// or with 0 from their own entry. From the user hidden, if any, the conversation is hidden until
// its first message; that user has yet to accept it.
func (q queries) insertMembers(ctx context.Context, id ConversationID, users []accounts.UserID, roles []MemberRole, joined, from Seq, hidden accounts.UserID) error {
	_, err := q.db.Exec(ctx, insertMembers, id, users, roles, joined, from, hidden)
	return err
}

const insertEntries = `
WITH added AS (
    INSERT INTO entries (conversation_id, seq, kind, sender_id, created_at, detail)
    SELECT $1, $3 + i.ord - 1, i.kind, $2, statement_timestamp(), i.detail::jsonb
    FROM unnest($4::text[], $5::text[]) WITH ORDINALITY AS i(kind, detail, ord)
    RETURNING seq
)
UPDATE conversations SET last_seq = (SELECT max(seq) FROM added), last_entry_at = statement_timestamp()
WHERE id = $1 RETURNING last_entry_at`

// insertEntries writes system entries, the first of them at a seq, under the lock of their
// conversation's row or before anybody else can see it.
func (q queries) insertEntries(ctx context.Context, id ConversationID, by accounts.UserID, first Seq, kinds []Kind, details []Detail) ([]Entry, error) {
	texts := make([]string, len(details))
	for i, d := range details {
		b, err := json.Marshal(d)
		if err != nil {
			return nil, err
		}
		texts[i] = string(b)
	}
	var at time.Time
	if err := q.db.QueryRow(ctx, insertEntries, id, by, first, kinds, texts).Scan(&at); err != nil {
		return nil, err
	}
	entries := make([]Entry, len(kinds))
	for i, kind := range kinds {
		entries[i] = Entry{ConversationID: id, Seq: first + Seq(i), Kind: kind, SenderID: by, CreatedAt: at, Detail: details[i]}
	}
	return entries, nil
}

const memberColumns = `SELECT m.user_id, m.role, u.username, u.display_name, u.deleted_at IS NOT NULL FROM members m JOIN users u ON u.id = m.user_id `

const selectMemberPage = memberColumns + `
WHERE m.conversation_id = $1 AND m.until_seq IS NULL AND u.username > $3
  AND EXISTS (SELECT FROM members me WHERE me.conversation_id = $1 AND me.user_id = $2 AND me.until_seq IS NULL)
ORDER BY u.username LIMIT $4`

func (q queries) memberPage(ctx context.Context, me accounts.UserID, id ConversationID, after string, limit int) ([]Member, error) {
	return q.members(ctx, selectMemberPage, id, me, after, limit)
}

const selectMembersAmong = memberColumns + `
WHERE m.conversation_id = $1 AND m.until_seq IS NULL AND m.user_id = ANY($2::uuid[]) ORDER BY u.username`

// membersAmong gives those of some people who are members.
func (q queries) membersAmong(ctx context.Context, id ConversationID, users []accounts.UserID) ([]Member, error) {
	return q.members(ctx, selectMembersAmong, id, users)
}

func (q queries) members(ctx context.Context, sql string, args ...any) ([]Member, error) {
	rows, err := q.db.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Member])
}

const updateRole = `UPDATE members SET role = $3 WHERE conversation_id = $1 AND user_id = $2 AND until_seq IS NULL`

func (q queries) updateRole(ctx context.Context, id ConversationID, user accounts.UserID, role MemberRole) error {
	_, err := q.db.Exec(ctx, updateRole, id, user, role)
	return err
}

const endMembership = `
UPDATE members SET until_seq = $3, until_title = (SELECT title FROM conversations WHERE id = $1)
WHERE conversation_id = $1 AND user_id = $2 AND until_seq IS NULL`

func (q queries) endMembership(ctx context.Context, id ConversationID, user accounts.UserID, until Seq) error {
	_, err := q.db.Exec(ctx, endMembership, id, user, until)
	return err
}

// releaseStretches leaves a stretch nothing to read, while it goes on to say when its owner was
// a member: receipts of that time are theirs.
const releaseStretches = `
UPDATE members SET from_seq = until_seq + 1
WHERE conversation_id = $1 AND user_id = ANY($2::uuid[]) AND until_seq IS NOT NULL`

// releaseStretches makes room for a membership that reads the whole log: of the entries in the
// earlier stretches of these users, too, each is then read once.
func (q queries) releaseStretches(ctx context.Context, id ConversationID, users []accounts.UserID) error {
	_, err := q.db.Exec(ctx, releaseStretches, id, users)
	return err
}

const countOtherOwners = `
SELECT count(*) FROM members m JOIN users u ON u.id = m.user_id
WHERE m.conversation_id = $1 AND m.user_id <> $2 AND m.until_seq IS NULL AND m.role = 'owner' AND u.disabled_at IS NULL`

// otherOwners counts those who can sign in.
func (q queries) otherOwners(ctx context.Context, id ConversationID, than accounts.UserID) (n int, err error) {
	err = q.db.QueryRow(ctx, countOtherOwners, id, than).Scan(&n)
	return n, err
}

// Where something is told of again that was not before, it is from now on: muted_until keeps
// that moment. A duration ($6) begins now, by the clock that also ends the mute.
const updateSettings = `
UPDATE members m
SET notify = coalesce($3, notify),
    muted_until = CASE WHEN $6::interval > '0' THEN now() + $6
                       WHEN $5::timestamptz > now() THEN $5
                       WHEN NOT $4 AND m.muted_until > now() THEN m.muted_until
                       WHEN m.muted_until > now() OR $3 <> 'none' AND m.notify <> 'all' AND m.notify <> $3 THEN now()
                       ELSE m.muted_until END,
    archived_seq = CASE WHEN $7::boolean THEN (SELECT c.last_seq FROM conversations c WHERE c.id = $1)
                        WHEN $7 IS NULL THEN m.archived_seq END
WHERE conversation_id = $1 AND user_id = $2 AND until_seq IS NULL`

// updateSettings says whether the user is a member.
func (q queries) updateSettings(ctx context.Context, user accounts.UserID, id ConversationID, s Settings) (bool, error) {
	var until *time.Time
	if s.Mute != nil && !s.Mute.Until.IsZero() {
		until = &s.Mute.Until
	}
	var length time.Duration
	if s.Mute != nil {
		length = s.Mute.For
	}
	tag, err := q.db.Exec(ctx, updateSettings, id, user, s.Notify, s.Mute != nil, until, length, s.Archived)
	return tag.RowsAffected() == 1, err
}
