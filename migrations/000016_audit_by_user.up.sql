-- The security events about a user, for an export. By itself: the index can take long, and locks no
-- table that requests need.
CREATE INDEX audit_events_user ON audit_events (user_id, id);
