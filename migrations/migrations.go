// Package migrations holds the database schema as numbered SQL files, each one
// transaction, embedded for golang-migrate's iofs source. A migration only expands
// or contracts: the version before it keeps running on the schema after it.
package migrations

import "embed"

// Files holds NNNNNN_name.up.sql and NNNNNN_name.down.sql.
//
//go:embed *.sql
var Files embed.FS
