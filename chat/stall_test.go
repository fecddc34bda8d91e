package chat

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"parley/store"
	"parley/store/storetest"
)

// ownServer gives a database on a PostgreSQL of the test's own, and a connection of its admin.
func ownServer(t *testing.T) (*store.DB, *pgx.Conn) {
	t.Helper()
	dir, err := os.MkdirTemp("", "parley-chat-*") // t.TempDir's is closed to PostgreSQL's user
	if err = errors.Join(err, os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	log := slog.New(slog.DiscardHandler)
	server, err := storetest.Start(t.Context(), filepath.Join(dir, "data"), 100, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	if err := store.Migrate(t.Context(), server.URL(), log); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), store.Config{URL: server.URL(), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	admin, err := pgx.Connect(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.Background()) })
	return db, admin
}

// eventually waits until what must come true is true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for began := time.Now(); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// A commit that waits for a standby for longer than a doubt lasts is delivered when it ends, also
// if its sender does not come back.
func TestLongStallIsFollowed(t *testing.T) {
	t.Parallel()
	db, admin := ownServer(t)
	b := replica(t, db)
	ann, ben, id := b.pair()
	b.send(ann, id, "before")
	phone := b.connect(ben)
	storetest.SetStandbys(t, admin, "ghost")
	if _, err := b.Send(t.Context(), Outgoing{ConversationID: id, SenderID: ann, ClientID: newClientID(), Body: "late"}); !errors.Is(err, ErrUnknown) {
		t.Fatalf("a message that is not replicated gets %v", err)
	}
	eventually(t, "the stall is noticed", db.Stalled)
	b.gates.doubts.Store(0) // half a minute later
	eventually(t, "the gates look again", func() bool { return b.gates.doubts.Load() > 0 })
	storetest.SetStandbys(t, admin, "")
	e := phone.entry()
	for e.Seq < 3 { // what was stored before the phone connected may be delivered after it
		e = phone.entry()
	}
	if e.Seq != 3 || e.Body != "late" {
		t.Errorf("the entry %d is %q", e.Seq, e.Body)
	}
}
