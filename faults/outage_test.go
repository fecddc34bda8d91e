package faults

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"parley/parleytest"
	"parley/store"
)

// TestDatabaseOutage takes the database away for 30 seconds, and then makes it silent
// for 15: stopped, with its connections open. Sends are answered `unavailable` meanwhile,
// soon and not with an error of ours; afterwards everything goes on by itself; nothing
// acknowledged is lost and nothing is there twice.
func TestDatabaseOutage(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	db := newDatabase(ctx, t)
	server := start(t, "DATABASE_URL="+db.url())
	w := newWorld(t, server)
	w.connect(ctx, "out", 10, crowd{each: 2, inFlight: 2, pause: 100 * time.Millisecond})
	w.run(ctx)
	load := func() {
		t.Helper()
		before := w.acked()
		w.await(ctx, "load", func() bool { return w.acked() > before+200 })
	}

	load()
	db.takeAway(ctx)
	w.duringOutage(ctx, 30*time.Second)
	db.bringBack(ctx)
	back := time.Now()
	load()
	t.Logf("after 30 s without a database: 200 more acknowledged after %v", time.Since(back).Round(time.Millisecond))

	db.signal(syscall.SIGSTOP)
	w.duringOutage(ctx, 15*time.Second)
	db.signal(syscall.SIGCONT)
	back = time.Now()
	load()
	t.Logf("after 15 s with a silent database: 200 more acknowledged after %v", time.Since(back).Round(time.Millisecond))

	report := w.finish(ctx)
	t.Logf("%d messages\n%v", w.acked(), report)
	if !report.Clean() {
		t.Error("a promise was broken")
	}
	if report.Of("C10").N == 0 {
		t.Error("no send was ever in doubt")
	}
}

// duringOutage watches what clients are told while there is no database.
func (w *world) duringOutage(ctx context.Context, d time.Duration) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	before := w.unavailable()
	var asked, unready int
	var slowest time.Duration
	for ctx.Err() == nil {
		began := time.Now()
		p := w.pairs[0]
		_, err := w.server.Client(p.A.Token).OpenDirect(ctx, p.B.User.ID)
		if ctx.Err() != nil {
			break
		}
		if p, ok := errors.AsType[*parleytest.Problem](err); !ok || p.Code != "unavailable" || p.Status != http.StatusServiceUnavailable {
			w.t.Errorf("without a database a request was answered: %v", err)
		}
		asked++
		slowest = max(slowest, time.Since(began))
		if status := readiness(ctx, w.server); status == http.StatusServiceUnavailable {
			unready++
		}
		sleep(ctx, 200*time.Millisecond)
	}
	w.t.Logf("without a database for %v: %d sends answered unavailable; %d requests too, the slowest after %v; not ready %d times of %d",
		d, w.unavailable()-before, asked, slowest.Round(time.Millisecond), unready, asked)
	if w.unavailable() == before {
		w.t.Error("no send was answered unavailable")
	}
	if asked == 0 || unready == 0 {
		w.t.Error("the server said that it was ready")
	}
}

func (w *world) unavailable() (n int) {
	for _, c := range w.clients {
		n += c.Refusals()["unavailable"]
	}
	return n
}

// database is a PostgreSQL of the test's own, which Parley reaches by DATABASE_URL.
type database struct {
	t   *testing.T
	cfg store.BuiltinConfig
	srv *store.Builtin // nil while it is away
}

func newDatabase(ctx context.Context, t *testing.T) *database {
	t.Helper()
	root, err := os.MkdirTemp("", "parley-db-")
	if err != nil {
		t.Fatal(err)
	}
	// As root the server runs as another user, who has to get in.
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	db := &database{t: t, cfg: store.BuiltinConfig{
		DataDir: filepath.Join(root, "data"), Logger: slog.New(slog.DiscardHandler),
	}}
	t.Cleanup(func() {
		if db.srv != nil {
			db.signal(syscall.SIGCONT)
			if err := db.srv.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		}
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	db.bringBack(ctx)
	return db
}

func (db *database) url() string { return db.srv.URL() }

// takeAway ends the server the hard way: every session is cut.
func (db *database) takeAway(ctx context.Context) {
	db.t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	cancel() // no time for an orderly end
	_ = db.srv.Stop(ctx)
	db.srv = nil
	if pid, err := parleytest.PostgresPID(db.cfg.DataDir); err == nil {
		db.t.Fatalf("the database still runs as %d", pid)
	}
}

func (db *database) bringBack(ctx context.Context) {
	db.t.Helper()
	var err error
	if db.srv, err = store.StartBuiltin(ctx, db.cfg); err != nil {
		db.t.Fatal(err)
	}
}

// signal reaches the server and all its children.
func (db *database) signal(sig syscall.Signal) {
	db.t.Helper()
	pid, err := parleytest.PostgresPID(db.cfg.DataDir)
	if err != nil {
		db.t.Fatal(err)
	}
	family, err := parleytest.Family(pid)
	if err != nil {
		db.t.Fatal(err)
	}
	for _, p := range family {
		if err := syscall.Kill(p.PID, sig); err != nil && p.PID == pid {
			db.t.Fatal(err)
		}
	}
}

func readiness(ctx context.Context, s *parleytest.Server) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/readyz", nil)
	if err != nil {
		return 0
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	_ = res.Body.Close() // only the status counts
	return res.StatusCode
}
