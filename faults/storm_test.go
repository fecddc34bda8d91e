package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"parley/parleytest"
)

// storm restarts a replica that has 8,000 sockets. Each of them comes back when the server
// said, and then with full jitter.
func storm(ctx context.Context, t *testing.T, tr *trial) {
	const sockets, people = 8000, 100
	if have := descriptors(); have < sockets+500 {
		tr.skipped = fmt.Sprintf("needs %d open files, and may have %d", sockets+500, have)
		return
	}
	c := newCluster(ctx, t, newDatabase(ctx, t, ""), shipped(t), 1)
	server := c.replicas[0].Server
	sessions, err := server.SignUp(ctx, "storm", people)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	var connected atomic.Int64
	var began time.Time
	var mu sync.Mutex // guards back
	var back []time.Duration
	for i := range sockets {
		running.Go(func() {
			for attempt := 0; ctx.Err() == nil; attempt++ {
				dial, cancel := context.WithTimeout(ctx, 10*time.Second)
				wire, err := parleytest.DialWire(dial, &net.Dialer{}, server.Addr(), sessions[i%people].Token)
				cancel()
				if err == nil {
					// Only reading: the end of the context has to end it too.
					unhook := context.AfterFunc(ctx, func() { _ = wire.Close() })
					if err = wire.AwaitHello(); err == nil {
						attempt = 0
						connected.Add(1)
						mu.Lock()
						back = append(back, time.Since(began))
						mu.Unlock()
						for err == nil {
							_, err = wire.Read()
						}
						connected.Add(-1)
					}
					unhook()
					_ = wire.Close()
				}
				// Full jitter up to a bound that doubles, or what the server says.
				pause := rand.N(min(500*time.Millisecond<<min(attempt, 5), 8*time.Second))
				if e, ok := err.(*parleytest.CloseError); ok {
					var n int
					if _, err := fmt.Sscanf(e.Reason, "server is going away; retry in %d ms", &n); err == nil {
						pause = time.Duration(n) * time.Millisecond
					}
				}
				sleep(ctx, pause)
			}
		})
		if i%100 == 99 { // the first time is not what is measured
			for deadline := time.Now().Add(30 * time.Second); connected.Load() < int64(i+1) && time.Now().Before(deadline); {
				sleep(ctx, time.Millisecond)
			}
		}
	}
	all := func() bool { return connected.Load() == sockets }
	if !until(ctx, all) {
		t.Fatalf("%d of %d sockets", connected.Load(), sockets)
	}
	pool := watchPool(ctx, c.db)
	for tr.more() {
		mu.Lock()
		back = nil
		began = time.Now()
		mu.Unlock()
		if err := server.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := server.Run(ctx); err != nil {
			t.Fatal(err)
		}
		restarted := time.Since(began)
		wait, cancel := context.WithTimeout(ctx, time.Minute)
		if !until(wait, all) {
			t.Errorf("%d of %d sockets are back after a minute", connected.Load(), sockets)
		}
		cancel()
		mu.Lock()
		slices.Sort(back)
		tr.recovery = append(tr.recovery, back...)
		p95 := Percentile(back, 95)
		mu.Unlock()
		tr.note("restarted in %s, 95 %% of %d sockets back after %s", ms(restarted), sockets, ms(p95))
		if p95 > 15*time.Second {
			t.Errorf("95 %% were back after %v", p95)
		}
	}
	// The pool's, and two of the bus.
	limit := min(max(8, 4*runtime.GOMAXPROCS(0)), 64) + 2
	most := pool()
	tr.note("at most %d connections to the database, of %d (the pool, and two of the bus)", most, limit)
	if most > limit || most == 0 {
		t.Errorf("%d connections to the database, of %d", most, limit)
	}
	tr.note("recovery is from SIGTERM on, here")
}

// descriptors is how many files this process may have open; it takes what it is allowed.
func descriptors() int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	l.Cur = l.Max
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l) // Go has done so by itself
	return int(min(l.Cur, 1<<20))
}

// watchPool counts the replicas' sessions all the time; the function gives the most.
func watchPool(ctx context.Context, db *database) func() int {
	ctx, cancel := context.WithCancel(ctx)
	most, done := 0, make(chan struct{})
	conn := db.connect(ctx)
	go func() {
		defer close(done)
		defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
		for ctx.Err() == nil {
			var n string
			row := conn.QueryRow(ctx, `SELECT count(*)::text FROM pg_stat_activity WHERE application_name = 'parley'`, pgx.QueryExecModeSimpleProtocol)
			if err := row.Scan(&n); err != nil {
				if ctx.Err() == nil {
					db.t.Errorf("count the replicas' sessions: %v", err)
				}
				return
			}
			k, _ := strconv.Atoi(n) // it is a number
			most = max(most, k)
			sleep(ctx, 20*time.Millisecond)
		}
	}()
	return func() int {
		cancel()
		<-done
		return most
	}
}
