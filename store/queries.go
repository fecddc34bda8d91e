package store

const selectEpoch = `SELECT epoch::text FROM instance`

const selectDatabaseExists = `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`
