package store

const selectEpoch = `SELECT epoch::text FROM instance`

const selectDatabaseExists = `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`

// notify sends payloads. What is told needs no durability, and NOTIFY makes its transaction
// write to the log: its commit does not wait for the disk. For this transaction alone: a pooler
// may give the session to somebody else afterwards.
const notify = `
SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, payload) FROM unnest($2::text[]) AS payload`

const renewLease = `
WITH gone AS (
    DELETE FROM replicas WHERE id IN (SELECT id FROM replicas WHERE until < now() AND id <> $1 FOR UPDATE SKIP LOCKED)
), renewed AS (
    INSERT INTO replicas AS r (id, until) VALUES ($1, now() + make_interval(secs => $2))
    ON CONFLICT (id) DO UPDATE SET until = excluded.until
)
SELECT coalesce(array_agg(id) FILTER (WHERE id <> $1 AND until > now()), '{}'), pg_notification_queue_usage() FROM replicas`

const deleteReplica = `DELETE FROM replicas WHERE id = $1`

// selectStalledCommits counts Parley's own transactions of this database, of any replica, whose
// commit has waited longer than so many seconds for a synchronous standby.
const selectStalledCommits = `
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND wait_event = 'SyncRep'
  AND clock_timestamp() - query_start > make_interval(secs => $1)`
