package faults

import (
	"context"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"parley/parleytest"
)

// TestKill kills the server five times, and its database once, in the middle of
// everything: 20 connections sending into one conversation, 200 pairs talking. Everybody
// retries by client_id, reconnects and catches up. In the end every acknowledged message
// is there once, and all saw the same.
func TestKill(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	server := start(t)
	if _, err := server.Admin(ctx); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, server)
	w.connect(ctx, "hot", 1, crowd{each: 10, inFlight: 2, pause: 20 * time.Millisecond})
	w.connect(ctx, "pair", 200, crowd{each: 1, inFlight: 1, pause: 200 * time.Millisecond})
	w.run(ctx)

	// busy waits until the load is back, then for a moment that is never the same.
	busy := func() {
		before := w.acked()
		w.await(ctx, "load", func() bool { return w.acked() > before+500 })
		sleep(ctx, rand.N(300*time.Millisecond))
	}
	for range 5 {
		busy()
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		killed := time.Now()
		if err := server.Run(ctx); err != nil {
			t.Fatal(err)
		}
		ready, before := time.Since(killed), w.acked()
		w.await(ctx, "the first acknowledgement after a crash", func() bool { return w.acked() > before })
		t.Logf("after kill -9 of the server: ready after %v, acknowledging after %v",
			ready.Round(time.Millisecond), time.Since(killed).Round(time.Millisecond))
	}
	busy()
	postgres, err := parleytest.PostgresPID(server.DataDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(postgres, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	killed, before := time.Now(), w.acked()
	w.await(ctx, "another database process", func() bool {
		pid, err := parleytest.PostgresPID(server.DataDir())
		return err == nil && pid != postgres
	})
	w.await(ctx, "load after a crash of the database", func() bool { return w.acked() > before+500 })
	t.Logf("after kill -9 of the database: 500 more acknowledged after %v", time.Since(killed).Round(time.Millisecond))

	report := w.finish(ctx)
	t.Logf("%d messages\n%v", w.acked(), report)
	if !report.Clean() {
		t.Error("a promise was broken")
	}
	for _, r := range report {
		if r.N == 0 {
			t.Errorf("%s was not exercised", r.Check)
		}
	}
}
