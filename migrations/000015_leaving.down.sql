DROP TABLE erasures;
ALTER TABLE members DROP COLUMN closed;
DROP TABLE retired_usernames;
DROP INDEX users_deletion_due;
DROP INDEX users_deleted;
ALTER TABLE users DROP COLUMN deletion_due_at, DROP COLUMN erase_messages, DROP COLUMN deleted_at;
ALTER TABLE sessions DROP COLUMN confirmed_at;
