-- What somebody lets others know: that they read something (and then they see it of others,
-- too), and when they were last here.
ALTER TABLE users
    ADD COLUMN read_receipts  boolean NOT NULL DEFAULT true,
    ADD COLUMN show_last_seen boolean NOT NULL DEFAULT true;

-- When a mark was last raised, and from where: that is the moment known for the entries in
-- between, and for no others.
ALTER TABLE receipts
    ADD COLUMN delivered_before bigint NOT NULL DEFAULT 0,
    ADD COLUMN delivered_at     timestamptz,
    ADD COLUMN read_before      bigint NOT NULL DEFAULT 0,
    ADD COLUMN read_at          timestamptz;

-- Up to where every member of a group has it: the lowest of their marks, which a message's
-- author is told instead of everybody's; and somebody whose mark that is.
CREATE TABLE delivered_to_all (
    seq             bigint NOT NULL,
    conversation_id uuid PRIMARY KEY,
    behind          uuid NOT NULL
) WITH (fillfactor = 60);

-- When somebody was last here, kept for ever; and who is here, by the replica that has their
-- connections: refreshed in batches, and rebuilt by itself when a crash has emptied it.
CREATE TABLE presence (
    last_seen timestamptz NOT NULL,
    user_id   uuid PRIMARY KEY
) WITH (fillfactor = 60);
CREATE UNLOGGED TABLE online (
    until   timestamptz NOT NULL,
    user_id uuid,
    replica uuid,
    PRIMARY KEY (user_id, replica)
) WITH (fillfactor = 60);
