-- However many actions lie between them, the next message and the next event are one step away.
-- Two indexes instead of one: the last message is then as near behind many events.
CREATE INDEX entries_messages ON entries (conversation_id, seq) WHERE kind = 'message';
CREATE INDEX entries_events ON entries (conversation_id, seq) WHERE kind <> 'message' AND target_seq IS NULL;

-- The last revision of a message is one step away from all before it. Reactions are found by
-- person, so that their limits are checked without reading those of others. Messages have no
-- place in either index. entries_target has both, for the previous version.
CREATE INDEX entries_revisions ON entries (conversation_id, target_seq, seq) WHERE kind IN ('edit', 'delete');
CREATE INDEX entries_reactions ON entries (conversation_id, target_seq, sender_id, seq) WHERE kind IN ('reaction_added', 'reaction_removed');
