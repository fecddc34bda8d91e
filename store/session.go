package store

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// minVersion is the oldest PostgreSQL that will do, as server_version_num.
const minVersion = 150000

// sessionSQL prepares a connection. The settings go in a statement and not as startup
// parameters, because a pooler in between refuses to start a session with parameters it
// does not know. One round trip of the simple protocol, once a connection.
//
//   - Timeouts end what hangs on the server's side; see callTimeout for ours. A transaction
//     that waits for its next statement holds locks that others wait for, and its replica may
//     have vanished from the network: nothing says so before TCP gives up.
//   - READ COMMITTED is what the writer's two statements rely on, whatever the default of
//     the role or database.
//   - Every statement is keyed and prepared. The tables grow from empty before anything
//     has analysed them, so plans made from statistics would begin as sequential scans
//     and stay so; planning anew for each call costs more than executing. Hence generic
//     plans, and those by index. What wants the last of many rows takes them in the order
//     of an index: a sort is for where there is none, because to a table without
//     statistics every range looks short. jit never pays for statements of a millisecond.
//   - synchronous_commit is pinned at the value it has, so that a reload of the server's
//     configuration cannot switch it off under a session that was checked. local is pinned as
//     on, which is the same until synchronous standbys are configured.
//   - client_connection_check_interval would end the wait of an abandoned COMMIT for its
//     synchronous standby, and so make it visible without having replicated it.
//
// stalled counts commits that wait for a synchronous standby; see stallWatch.
const sessionSQL = `
SELECT current_setting('server_version_num'),
       current_setting('server_version'),
       current_setting('server_encoding'),
       pg_is_in_recovery(),
       current_setting('fsync'),
       current_setting('full_page_writes'),
       current_setting('synchronous_commit'),
       current_setting('synchronous_standby_names'),
       (SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND usename = current_user AND wait_event = 'SyncRep'
          AND clock_timestamp() - query_start > interval '2 s') AS stalled,
       set_config('synchronous_commit',
                  CASE current_setting('synchronous_commit') WHEN 'local' THEN 'on' ELSE current_setting('synchronous_commit') END, false),
       set_config('client_connection_check_interval', '0', false),
       set_config('application_name', 'parley', false),
       set_config('client_encoding', 'UTF8', false),
       set_config('timezone', 'UTC', false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('statement_timeout', '8s', false),
       set_config('lock_timeout', '4s', false),
       set_config('idle_in_transaction_session_timeout', '5s', false),
       set_config('jit', 'off', false),
       set_config('plan_cache_mode', 'force_generic_plan', false),
       set_config('enable_seqscan', 'off', false),
       set_config('enable_sort', 'off', false),
       set_config('random_page_cost', '1.1', false)`

// UnfitError says why a database cannot be used, as a sentence for the operator.
type UnfitError struct{ Reason string }

func (e *UnfitError) Error() string { return e.Reason }

// prepareSession sets up a new connection and refuses one to an unfit server.
func prepareSession(ctx context.Context, c *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var s serverState
	settings := make([]string, 14)
	dest := []any{&s.versionNum, &s.version, &s.encoding, &s.standby, &s.fsync, &s.fullPageWrites,
		&s.synchronousCommit, &s.synchronousStandbys, &s.stalled}
	for i := range settings {
		dest = append(dest, &settings[i])
	}
	if err := c.QueryRow(ctx, sessionSQL, pgx.QueryExecModeSimpleProtocol).Scan(dest...); err != nil {
		return fmt.Errorf("set up database session: %w", err)
	}
	if reason := s.unfit(); reason != "" {
		return &UnfitError{reason}
	}
	if s.stalled >= maxStalledCommits {
		return ErrStalled
	}
	// Times arrive as numbers, whatever the session's time zone, and pgx would show them in
	// the process's: what leaves the server is in UTC, and within what JSON can express.
	c.TypeMap().RegisterType(&pgtype.Type{
		Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: timestamptz{&pgtype.TimestamptzCodec{ScanLocation: time.UTC}},
	})
	return nil
}

type serverState struct {
	versionNum, version, encoding            string
	standby                                  bool
	fsync, fullPageWrites, synchronousCommit string
	synchronousStandbys                      string // synchronous_standby_names
	stalled                                  int
}

// unfit says what makes the server unusable; empty if nothing does.
func (s serverState) unfit() string {
	if n, err := strconv.Atoi(s.versionNum); err != nil || n < minVersion {
		return fmt.Sprintf("The database server is PostgreSQL %s; Parley needs version 15 or later.", s.version)
	}
	if s.encoding != "UTF8" {
		return fmt.Sprintf("The database's encoding is %s; Parley needs a database created with ENCODING 'UTF8'.", s.encoding)
	}
	if s.standby {
		return "The database server is a standby, which can only be read; point Parley at the primary."
	}
	const advice = " is off on the database server, so a crash could lose messages that were acknowledged. Parley does not run like this; set it to on"
	switch {
	case s.fsync == "off":
		return "fsync" + advice + " in the server's configuration."
	case s.fullPageWrites == "off":
		return "full_page_writes" + advice + " in the server's configuration."
	case s.synchronousCommit == "off":
		return "synchronous_commit" + advice + " in the server's configuration, or for Parley's role or database if it is set there."
	case s.synchronousCommit == "local" && s.synchronousStandbys != "":
		return "synchronous_commit is local although synchronous standbys are configured, so a failover could lose messages that were acknowledged. Parley does not run like this; set synchronous_commit to on, in the server's configuration or for Parley's role or database if it is set there."
	}
	return ""
}
