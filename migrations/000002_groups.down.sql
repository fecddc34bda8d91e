DROP INDEX entries_target;

-- One stretch for each member, the latest.
DELETE FROM members m USING members later
 WHERE later.conversation_id = m.conversation_id AND later.user_id = m.user_id AND later.joined_seq > m.joined_seq;
DROP INDEX members_current;
ALTER TABLE members DROP CONSTRAINT members_pkey;
ALTER TABLE members ADD PRIMARY KEY (conversation_id, user_id);
ALTER TABLE members DROP COLUMN joined_seq;

ALTER TABLE conversations DROP COLUMN share_history;
