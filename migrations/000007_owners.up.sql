-- The groups that disabled users own: what replicas look for, to hand those groups over.
CREATE INDEX users_disabled ON users (id) WHERE disabled_at IS NOT NULL;
CREATE INDEX members_owners ON members (user_id, conversation_id) WHERE role = 'owner' AND until_seq IS NULL;
