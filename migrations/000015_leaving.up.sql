-- When the password was last checked in a session; null: when the session was started.
ALTER TABLE sessions ADD COLUMN confirmed_at timestamptz;

-- A deleted account keeps its row, without names and password: entries refer to it. While
-- something of it is left to remove, deletion_due_at is when a replica takes that up next.
ALTER TABLE users
    ADD COLUMN deleted_at      timestamptz,
    ADD COLUMN erase_messages  boolean NOT NULL DEFAULT false,
    ADD COLUMN deletion_due_at timestamptz;
CREATE INDEX users_deleted ON users (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX users_deletion_due ON users (deletion_due_at) WHERE deletion_due_at IS NOT NULL;

-- Usernames of deleted accounts, hashed with the key of account_secrets: no other user gets them.
CREATE TABLE retired_usernames (
    name_hash bytea PRIMARY KEY
);

-- No message can be sent: a direct conversation whose other side was deleted.
ALTER TABLE members ADD COLUMN closed boolean NOT NULL DEFAULT false;

-- How far the messages of a deleted user are erased in a conversation. done: members know of it
-- by an entry, if there was any message.
CREATE TABLE erasures (
    erased_seq      bigint NOT NULL,
    conversation_id uuid NOT NULL,
    user_id         uuid NOT NULL,
    found           boolean NOT NULL DEFAULT false,
    done            boolean NOT NULL DEFAULT false,
    PRIMARY KEY (conversation_id, user_id)
);
