package store_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"parley/store"
	"parley/store/storetest"
)

func count(t *testing.T, db store.Querier) (n int) {
	t.Helper()
	if err := db.QueryRow(t.Context(), `SELECT count(*) FROM login_failures`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

const insertRow = `INSERT INTO login_failures (subject) VALUES ($1)`

func TestInTx(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := storetest.New(t)
	boom := errors.New("boom")
	err := db.InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, insertRow, "a"); err != nil {
			return err
		}
		return boom
	})
	if err != boom || count(t, db) != 0 {
		t.Errorf("after an error: %v, %d rows", err, count(t, db))
	}
	func() {
		defer func() { _ = recover() }()
		_ = db.InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
			_, _ = tx.Exec(ctx, insertRow, "a")
			panic(boom)
		})
	}()
	if n := count(t, db); n != 0 {
		t.Errorf("after a panic: %d rows", n)
	}
	err = db.InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("no deadline")
		}
		var level string
		if err := tx.QueryRow(ctx, `SELECT current_setting('transaction_isolation')`).Scan(&level); err != nil || level != "read committed" {
			t.Errorf("isolation is %s, err %v", level, err)
		}
		_, err := tx.Exec(ctx, insertRow, "a")
		return err
	})
	if err != nil || count(t, db) != 1 {
		t.Errorf("after success: %v, %d rows", err, count(t, db))
	}
	if n := db.Pool().Stat().AcquiredConns(); n != 0 {
		t.Errorf("%d connections are still out", n)
	}
}

// Times are those of UTC whatever the time zone of the process.
func TestTimesAreUTC(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	var at time.Time
	var maybe *time.Time
	if err := db.QueryRow(t.Context(), `SELECT now(), now()`).Scan(&at, &maybe); err != nil {
		t.Fatal(err)
	}
	if at.Location() != time.UTC || maybe.Location() != time.UTC {
		t.Errorf("in %v and %v", at.Location(), maybe.Location())
	}
}

func TestQueryAndBatch(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := storetest.New(t)
	b := &pgx.Batch{}
	b.Queue(insertRow, "a")
	b.Queue(insertRow, "b")
	b.Queue(`SELECT subject FROM login_failures ORDER BY subject`)
	results := db.SendBatch(ctx, b)
	for range 2 {
		if _, err := results.Exec(); err != nil {
			t.Fatal(err)
		}
	}
	r, err := results.Query()
	if err != nil {
		t.Fatal(err)
	}
	fromBatch, err := pgx.CollectRows(r, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if err := results.Close(); err != nil {
		t.Fatal(err)
	}
	r, err = db.Query(ctx, `SELECT subject FROM login_failures ORDER BY subject`)
	if err != nil {
		t.Fatal(err)
	}
	direct, err := pgx.CollectRows(r, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(fromBatch, "") != "ab" || strings.Join(direct, "") != "ab" {
		t.Errorf("batch %v, query %v", fromBatch, direct)
	}
	if _, err := db.Query(ctx, `SELEKT`); err == nil {
		t.Error("a wrong statement gave rows")
	}
	if err := db.QueryRow(ctx, `SELECT 1 WHERE false`).Scan(new(int)); !errors.Is(err, pgx.ErrNoRows) {
		t.Errorf("no row: %v", err)
	}
}

func TestSessionSettings(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	for name, want := range map[string]string{
		"application_name": "parley", "TimeZone": "UTC", "client_encoding": "UTF8", "jit": "off",
		"statement_timeout": "8s", "lock_timeout": "4s", "idle_in_transaction_session_timeout": "5s",
		"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "enable_sort": "off", "synchronous_commit": "on",
		"default_transaction_isolation": "read committed",
	} {
		var got string
		if err := db.QueryRow(t.Context(), `SELECT current_setting($1)`, name).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, not %q; err %v", name, got, want, err)
		}
	}
}

func TestEpochIsStable(t *testing.T) {
	t.Parallel()
	u := storetest.URL(t)
	var epochs [2]string
	for i := range epochs {
		db, err := store.Open(t.Context(), store.Config{URL: u})
		if err != nil {
			t.Fatal(err)
		}
		epoch, err := db.Epoch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		epochs[i] = epoch.String()
		db.Close()
	}
	if epochs[0] != epochs[1] {
		t.Errorf("the epoch changes from %s to %s", epochs[0], epochs[1])
	}
}

// A database or role can switch synchronous_commit off behind the server's back.
func TestSynchronousCommitOffForTheDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	u := storetest.URL(t)
	name := query(t, u, `SELECT current_database()`)
	execute(t, u, `ALTER DATABASE `+name+` SET synchronous_commit = off`)
	for what, err := range map[string]error{
		"Open":    openAndClose(t, u),
		"Migrate": store.Migrate(t.Context(), u, quiet),
	} {
		if _, ok := errors.AsType[*store.UnfitError](err); !ok || !strings.HasPrefix(err.Error(), "synchronous_commit is off") {
			t.Errorf("%s says %v", what, err)
		}
	}
	execute(t, u, `ALTER DATABASE `+name+` SET synchronous_commit = local`)
	if err := openAndClose(t, u); err != nil {
		t.Errorf("local is durable, and refused: %v", err)
	}
}

func openAndClose(t *testing.T, u string) error {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{URL: u})
	if err == nil {
		db.Close()
	}
	return err
}

// relay is a TCP address in front of a database's socket that can fail in two ways.
type relay struct {
	net.Listener
	target string
	mu     sync.Mutex // guards what follows
	conns  []net.Conn
	silent bool // connections stay, and carry nothing
	down   bool // connections are refused
}

func startRelay(t *testing.T, dbURL string) (r *relay, relayed string) {
	t.Helper()
	u, err := url.Parse(dbURL)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r = &relay{Listener: l, target: filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432")}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", r.target)
			r.mu.Lock()
			if err != nil || r.down {
				r.mu.Unlock()
				_ = client.Close()
				continue
			}
			r.conns = append(r.conns, client, server)
			r.mu.Unlock()
			running.Go(func() { r.copy(client, server) })
			running.Go(func() { r.copy(server, client) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		r.set(false, true)
		running.Wait()
	})
	u.Host, u.RawQuery = l.Addr().String(), "sslmode=disable"
	return r, u.String()
}

func (r *relay) copy(to, from net.Conn) {
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if err != nil {
			_ = to.Close()
			return
		}
		for r.isSilent() {
			time.Sleep(10 * time.Millisecond)
		}
		if _, err := to.Write(buf[:n]); err != nil {
			_ = from.Close()
			return
		}
	}
}

func (r *relay) isSilent() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.silent
}

// set makes the relay silent or takes it down, with every connection.
func (r *relay) set(silent, down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.silent, r.down = silent, down
	if down {
		for _, c := range r.conns {
			_ = c.Close()
		}
		r.conns = nil
	}
}

func TestPoolSurvivesAnOutage(t *testing.T) {
	t.Parallel()
	if u := storetest.URL(t); !strings.Contains(u, "host=") {
		t.Skip("the test database is not on a socket that could be relayed")
	}
	for name, c := range map[string]struct{ silent, down bool }{
		"refused": {down: true},
		"silent":  {silent: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, u := startRelay(t, storetest.URL(t))
			db, err := store.Open(t.Context(), store.Config{URL: u, MaxConns: 4})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			use := func() {
				var users sync.WaitGroup
				for range 8 { // twice as many as there are connections
					users.Go(func() {
						began := time.Now()
						_, err := db.Exec(t.Context(), insertRow, "x") // no deadline of its own
						if r.isSilent() && err == nil || err != nil && !store.Transient(err) {
							t.Errorf("during the outage: %v", err)
						}
						if took := time.Since(began); took > 13*time.Second {
							t.Errorf("a call took %v", took)
						}
					})
				}
				users.Wait()
			}
			use()
			r.set(c.silent, c.down)
			if err := db.Ready(t.Context()); !store.Transient(err) {
				t.Errorf("ping in the outage: %v", err)
			}
			use()
			r.set(false, false)
			back := time.Now()
			for deadline := back.Add(10 * time.Second); db.Ready(t.Context()) != nil; time.Sleep(20 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("it does not come back")
				}
			}
			before := count(t, db)
			use()
			if n := count(t, db) - before; n != 8 {
				t.Errorf("after the outage %d of 8 went through", n)
			}
			t.Logf("all is well %v after the outage", time.Since(back).Round(time.Millisecond))
		})
	}
}
