-- A direct conversation is hidden from the member who did not open it until its first message.
-- It is shown from then on, whatever is stored here: the log reaches beyond entry 1.
ALTER TABLE members ADD COLUMN hidden_until_message boolean NOT NULL DEFAULT false;
UPDATE members m SET hidden_until_message = true
  FROM conversations c JOIN entries e ON e.conversation_id = c.id AND e.seq = 1
 WHERE c.id = m.conversation_id AND c.kind = 'direct' AND c.last_seq = 1 AND m.user_id <> e.sender_id;

-- The title that a group had when a membership ended: later titles are not for that member.
-- Null where the previous version ends a membership after this: then the first title counts.
ALTER TABLE members ADD COLUMN until_title text;
UPDATE members m SET until_title = t.title
  FROM (SELECT e.conversation_id, e.seq, e.detail ->> 'title' AS title,
               lead(e.seq) OVER (PARTITION BY e.conversation_id ORDER BY e.seq) AS next_seq
          FROM entries e
         WHERE e.kind IN ('created', 'title_changed')
           AND e.conversation_id IN (SELECT conversation_id FROM members WHERE until_seq IS NOT NULL)) t
 WHERE m.conversation_id = t.conversation_id AND m.until_seq >= t.seq AND (t.next_seq IS NULL OR m.until_seq < t.next_seq);

-- The idempotency key of creating a group, kept forever. The previous version sets neither.
ALTER TABLE conversations
    ADD COLUMN created_by uuid,
    ADD COLUMN client_id  uuid;
CREATE UNIQUE INDEX conversations_client_key ON conversations (created_by, client_id) WHERE client_id IS NOT NULL;
