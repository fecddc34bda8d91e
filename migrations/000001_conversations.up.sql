-- The database's identity. A restore from a backup writes a new epoch, which tells
-- clients that what they hold may never have happened here.
CREATE TABLE instance (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch    uuid NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO instance DEFAULT VALUES;

-- accounts ---------------------------------------------------------------------------

CREATE TABLE users (
    id            uuid PRIMARY KEY,
    username      text NOT NULL CHECK (username ~ '^[a-z0-9._-]{2,32}$'),
    display_name  text NOT NULL,
    password_hash text NOT NULL,
    role          text NOT NULL CHECK (role IN ('admin', 'member')),
    created_at    timestamptz NOT NULL DEFAULT now(),
    disabled_at   timestamptz
);
-- Usernames are stored in lower case (the CHECK), so this is case-insensitive.
CREATE UNIQUE INDEX users_username_key ON users (username);
-- Person search: word prefixes of both names, without an extension.
CREATE INDEX users_search ON users USING gin
    (to_tsvector('simple', translate(username || ' ' || display_name, '._-+@/:&<>', '          ')));
-- Finding out whether set-up is still open must not read every user.
CREATE INDEX users_admins ON users (id) WHERE role = 'admin';

CREATE TABLE sessions (
    id           uuid PRIMARY KEY,
    user_id      uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token_hash   bytea NOT NULL,
    user_agent   text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    ended_at     timestamptz
);
CREATE UNIQUE INDEX sessions_token_hash_key ON sessions (token_hash);
CREATE INDEX sessions_user ON sessions (user_id);
-- Every replica asks each second which sessions ended, to close their sockets.
CREATE INDEX sessions_ended ON sessions (ended_at) WHERE ended_at IS NOT NULL;

-- An invite lets somebody sign up. One for role 'admin' is the set-up link, which
-- works only while there is no admin.
CREATE TABLE invites (
    id         uuid PRIMARY KEY,
    code_hash  bytea NOT NULL,
    role       text NOT NULL DEFAULT 'member' CHECK (role IN ('admin', 'member')),
    created_by uuid REFERENCES users (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    uses_left  integer NOT NULL CHECK (uses_left >= 0)
);
CREATE UNIQUE INDEX invites_code_hash_key ON invites (code_hash);

-- Wrong passwords of the last quarter of an hour, by account and by address.
CREATE TABLE login_failures (
    subject   text NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX login_failures_subject ON login_failures (subject, failed_at);
CREATE INDEX login_failures_age ON login_failures (failed_at);

-- chat -------------------------------------------------------------------------------

-- last_seq and last_entry_at change with every message: neither is indexed and the
-- pages keep room, so that those updates stay heap-only.
CREATE TABLE conversations (
    last_seq      bigint NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL DEFAULT now(),
    last_entry_at timestamptz NOT NULL DEFAULT now(),
    id            uuid PRIMARY KEY,
    kind          text NOT NULL CHECK (kind IN ('direct', 'group')),
    title         text,
    -- The pair of a direct conversation, in order: one conversation per pair.
    direct_low    uuid,
    direct_high   uuid,
    CHECK ((kind = 'direct') = (direct_low IS NOT NULL AND direct_high IS NOT NULL)),
    CHECK (direct_low < direct_high)
) WITH (fillfactor = 60);
CREATE UNIQUE INDEX conversations_direct_key ON conversations (direct_low, direct_high) WHERE kind = 'direct';

-- A membership is the interval of seqs its owner may read: from_seq to until_seq, both
-- included; until_seq is null while the membership lasts.
CREATE TABLE members (
    from_seq        bigint NOT NULL,
    until_seq       bigint,
    conversation_id uuid NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    user_id         uuid NOT NULL REFERENCES users (id),
    role            text NOT NULL CHECK (role IN ('owner', 'admin', 'member')),
    PRIMARY KEY (conversation_id, user_id)
);
CREATE INDEX members_user ON members (user_id, conversation_id);

-- The log. No foreign keys: the one writer inserts only under the lock of the
-- conversation's row and for a sender it found among the members, and a reference
-- check a row would cost more than the insert.
CREATE TABLE entries (
    seq             bigint NOT NULL,
    created_at      timestamptz NOT NULL,
    reply_to        bigint,
    target_seq      bigint,
    conversation_id uuid NOT NULL,
    sender_id       uuid NOT NULL,
    client_id       uuid,
    kind            text NOT NULL,
    body            text,
    -- Fields of the other kinds: user_ids, user_id, role, title, emoji.
    detail          jsonb,
    PRIMARY KEY (conversation_id, seq)
);
-- Idempotency, for ever. client_id leads because clients make UUIDv7s: the index then
-- grows at its right edge.
CREATE UNIQUE INDEX entries_client_key ON entries (client_id, conversation_id) WHERE client_id IS NOT NULL;

-- receipts ---------------------------------------------------------------------------

-- Watermarks, only ever raised.
CREATE TABLE receipts (
    delivered_seq   bigint NOT NULL DEFAULT 0,
    read_seq        bigint NOT NULL DEFAULT 0,
    conversation_id uuid NOT NULL,
    user_id         uuid NOT NULL,
    PRIMARY KEY (conversation_id, user_id)
) WITH (fillfactor = 60);
