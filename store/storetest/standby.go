package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// SetStandbys sets synchronous_standby_names on the server of a connection of its admin, and
// returns once commits wait for those standbys, or with no names once they do not. A session
// that shows the new value does not tell: the checkpointer makes commits wait.
func SetStandbys(t testing.TB, admin *pgx.Conn, names string) {
	t.Helper()
	for _, sql := range []string{`ALTER SYSTEM SET synchronous_standby_names = '` + names + `'`, `SELECT pg_reload_conf()`} {
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(20 * time.Second); commitWaits(t, admin.Config()) != (names != ""); {
		if time.Now().After(deadline) {
			t.Fatalf("commits do not follow synchronous_standby_names = '%s'", names)
		}
	}
}

// commitWaits makes a commit and gives it up if it takes long; the cancel request ends it.
func commitWaits(t testing.TB, config *pgx.ConnConfig) bool {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err = conn.Exec(ctx, `SELECT pg_logical_emit_message(true, 'probe', '')`)
	return err != nil
}
