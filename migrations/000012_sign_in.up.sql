-- The key that signs device cookies: what tells browsers that signed in before from others.
CREATE TABLE account_secrets (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    device_key bytea NOT NULL
);
INSERT INTO account_secrets (device_key) VALUES (sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));

-- Where a session was started and last used from. The previous version writes neither.
ALTER TABLE sessions
    ADD COLUMN address      text NOT NULL DEFAULT '',
    ADD COLUMN last_address text NOT NULL DEFAULT '';

-- Security events, for admins. No foreign keys: events outlive what they are about. Events that
-- are equal within a minute are one row with a count.
CREATE TABLE audit_events (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    minute     timestamptz NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    kind       text NOT NULL,
    user_id    uuid,
    actor_id   uuid,
    session_id uuid,
    address    text NOT NULL DEFAULT '',
    detail     text NOT NULL DEFAULT '',
    count      integer NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX audit_events_key ON audit_events (minute, kind, user_id, actor_id, session_id, address, detail) NULLS NOT DISTINCT;
CREATE INDEX audit_events_kind ON audit_events (kind, id);
CREATE INDEX audit_events_at ON audit_events (at);
