-- Who serves this database: a row for each replica, which it renews every two seconds while it
-- lives. Emptied by a crash of the database, it fills again.
CREATE UNLOGGED TABLE replicas (
    until timestamptz NOT NULL,
    id    uuid PRIMARY KEY
) WITH (fillfactor = 50);

-- When a membership was written: what replicas look for whose members they may not have been
-- told of. Those from before this need no looking for.
ALTER TABLE members ADD COLUMN added_at timestamptz NOT NULL DEFAULT '-infinity';
ALTER TABLE members ALTER COLUMN added_at SET DEFAULT now();
CREATE INDEX members_added ON members (added_at) WHERE added_at > '-infinity';
