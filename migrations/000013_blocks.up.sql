-- The users that a user blocks.
CREATE TABLE blocks (
    created_at timestamptz NOT NULL DEFAULT now(),
    user_id    uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    blocked_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (user_id, blocked_id),
    CHECK (user_id <> blocked_id)
);
CREATE INDEX blocks_blocked ON blocks (blocked_id, user_id);
-- Replicas look for recent blocks whose hint they may have missed.
CREATE INDEX blocks_created ON blocks (created_at);

-- blocked: in a direct conversation, either side blocks the other. It is written with the block,
-- under the lock of the conversation's row, so that sending reads it without another look-up.
-- accepted: the member opened the conversation, wrote in it or accepted it.
-- archived_seq: the member archived the conversation when its log reached this seq.
-- The previous version writes none of them: what it opens counts as accepted.
ALTER TABLE members
    ADD COLUMN blocked      boolean NOT NULL DEFAULT false,
    ADD COLUMN accepted     boolean NOT NULL DEFAULT true,
    ADD COLUMN archived_seq bigint;
