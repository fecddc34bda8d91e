ALTER TABLE members DROP COLUMN added_at;
DROP TABLE replicas;
