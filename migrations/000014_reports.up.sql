-- Messages that users report to the admins. body is the text as of the report, because its author
-- may edit or delete it; it is erased with the decision. state is derived: decided_at is null
-- while a report is open.
CREATE TABLE reports (
    id              uuid PRIMARY KEY,
    conversation_id uuid NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    seq             bigint NOT NULL,
    reporter_id     uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    sender_id       uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    reason          text NOT NULL CHECK (reason IN ('spam', 'harassment', 'illegal', 'other')),
    comment         text NOT NULL DEFAULT '',
    body            text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    decision        text CHECK (decision IN ('removed', 'disabled', 'dismissed')),
    answer          text NOT NULL DEFAULT '',
    decided_by      uuid REFERENCES users (id) ON DELETE SET NULL,
    decided_at      timestamptz,
    CHECK ((decision IS NULL) = (decided_at IS NULL)),
    CHECK (decided_at IS NULL OR body IS NULL)
);
-- A user reports a message once. The index also leads to what a user has reported.
CREATE UNIQUE INDEX reports_message_key ON reports (reporter_id, conversation_id, seq);
CREATE INDEX reports_reporter ON reports (reporter_id, id);
-- The queue, and the other open reports of a message.
CREATE INDEX reports_open ON reports (id) WHERE decided_at IS NULL;
CREATE INDEX reports_open_message ON reports (conversation_id, seq) WHERE decided_at IS NULL;
-- The decided ones, the latest first, and those to be deleted.
CREATE INDEX reports_decided ON reports (decided_at, id) WHERE decided_at IS NOT NULL;
