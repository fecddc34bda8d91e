-- Whoever is added to a group with this sees what was said before.
ALTER TABLE conversations ADD COLUMN share_history boolean NOT NULL DEFAULT false;

-- Somebody who left and came back has two stretches of the log: a membership is a row for
-- each. from_seq is where the stretch begins that its owner may read, joined_seq is the
-- entry that made them a member: later than from_seq where earlier history is shared.
ALTER TABLE members ADD COLUMN joined_seq bigint;
UPDATE members SET joined_seq = from_seq;
-- The version before names no joined_seq when it opens a direct conversation: that is at 1.
ALTER TABLE members ALTER COLUMN joined_seq SET DEFAULT 1, ALTER COLUMN joined_seq SET NOT NULL;
ALTER TABLE members DROP CONSTRAINT members_pkey;
ALTER TABLE members ADD PRIMARY KEY (conversation_id, user_id, joined_seq);
CREATE UNIQUE INDEX members_current ON members (conversation_id, user_id) WHERE until_seq IS NULL;

-- What happened to a message: edits, its deletion, reactions. Messages and system entries
-- have no target and cost nothing here.
CREATE INDEX entries_target ON entries (conversation_id, target_seq, seq) WHERE target_seq IS NOT NULL;
