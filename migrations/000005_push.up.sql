-- What somebody wants to be told of a conversation while they are away. muted_until in the
-- past says when that was last widened or a mute ended: older messages are not told of later.
ALTER TABLE members
    ADD COLUMN notify      text NOT NULL DEFAULT 'all' CHECK (notify IN ('all', 'mentions', 'none')),
    ADD COLUMN muted_until timestamptz;

-- Whether notifications show what was written and by whom.
ALTER TABLE users ADD COLUMN push_content text NOT NULL DEFAULT 'full' CHECK (push_content IN ('full', 'generic'));

-- The key pair by which push services know this server (RFC 8292), made once: every
-- subscription of a browser is bound to it.
CREATE TABLE vapid (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    private_key text NOT NULL,
    public_key  text NOT NULL
);

-- Where somebody can be reached, for as long as the session that said so lasts. It is also
-- the queue: due_at is when there is something to do for it, and null while there is not.
-- Who takes it moves due_at on, so that it comes up again if they crash, and leaves a lease
-- of their own; owed_mark counts what became owed, so that nothing is missed meanwhile.
CREATE TABLE devices (
    created_at      timestamptz NOT NULL DEFAULT now(),
    due_at          timestamptz,
    last_success_at timestamptz,
    last_failure_at timestamptz,
    tested_at       timestamptz,
    owed_mark       bigint NOT NULL DEFAULT 0,
    attempts        integer NOT NULL DEFAULT 0,
    id              uuid PRIMARY KEY,
    user_id         uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    session_id      uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    lease           uuid,
    kind            text NOT NULL CHECK (kind IN ('webpush', 'fcm')),
    platform        text NOT NULL DEFAULT '',
    address         text NOT NULL, -- the endpoint, or the token
    p256dh          text NOT NULL DEFAULT '',
    auth            text NOT NULL DEFAULT '',
    origin          text NOT NULL DEFAULT '', -- where the server was reached when it was registered
    last_failure    text NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX devices_address_key ON devices (kind, address);
CREATE INDEX devices_user ON devices (user_id, created_at);
CREATE INDEX devices_session ON devices (session_id);
CREATE INDEX devices_due ON devices (due_at) WHERE due_at IS NOT NULL;

-- What is owed to a device of a conversation, and what it was told: up to which message.
CREATE TABLE push_jobs (
    owed_seq        bigint NOT NULL,
    sent_seq        bigint NOT NULL DEFAULT 0,
    -- Up to here it is owed also what one of their devices has, because nobody read it.
    unread_seq      bigint NOT NULL DEFAULT 0,
    sent_at         timestamptz,
    device_id       uuid NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    conversation_id uuid NOT NULL,
    user_id         uuid NOT NULL,
    -- The device can be told that it was read, without showing anything for that.
    clears          boolean NOT NULL,
    PRIMARY KEY (device_id, conversation_id)
) WITH (fillfactor = 60);
-- What may have been read since it was shown.
CREATE INDEX push_jobs_shown ON push_jobs (user_id, conversation_id) WHERE clears AND sent_seq > 0;
