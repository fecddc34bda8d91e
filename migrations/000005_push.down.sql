DROP TABLE push_jobs;
DROP TABLE devices;
DROP TABLE vapid;
ALTER TABLE users DROP COLUMN push_content;
ALTER TABLE members DROP COLUMN muted_until, DROP COLUMN notify;
