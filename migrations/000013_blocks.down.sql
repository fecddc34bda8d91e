ALTER TABLE members DROP COLUMN blocked, DROP COLUMN accepted, DROP COLUMN archived_seq;
DROP TABLE blocks;
