DROP INDEX entries_messages, entries_events, entries_revisions, entries_reactions;
