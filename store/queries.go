package store

const selectEpoch = `SELECT epoch::text FROM instance`

const selectDatabaseExists = `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`

// busSession: what is told needs no durability, and NOTIFY makes its transaction write to the
// log, so that its commit would wait for the disk.
const busSession = `SET synchronous_commit = off`

const notify = `SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload`

const renewLease = `
WITH gone AS (
    DELETE FROM replicas WHERE until < now() AND id <> $1
), renewed AS (
    INSERT INTO replicas AS r (id, until) VALUES ($1, now() + make_interval(secs => $2))
    ON CONFLICT (id) DO UPDATE SET until = excluded.until
), told AS MATERIALIZED (
    SELECT pg_notify($3, $1::text)
)
SELECT coalesce(array_agg(id) FILTER (WHERE id <> $1 AND until > now()), '{}'), pg_notification_queue_usage()
FROM told LEFT JOIN replicas ON true`

const deleteReplica = `DELETE FROM replicas WHERE id = $1`
