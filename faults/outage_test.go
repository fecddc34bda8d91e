package faults

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"parley/parleytest"
)

// outage takes the database away for so long that senders are told, and then makes it
// silent for as long: stopped, with its connections open. Sends are answered
// `unavailable` meanwhile, soon and not with an error of ours.
func outage(ctx context.Context, t *testing.T, tr *trial) {
	w := newWorld(ctx, t, newCluster(ctx, t, newDatabase(ctx, t, ""), shipped(t), 2), usual())
	d := 15 * time.Second
	if *long {
		d = 20 * time.Second
	}
	w.repeat(ctx, tr, func(ctx context.Context, w *world, _ randomness) time.Duration {
		w.db.takeAway()
		w.duringOutage(ctx, tr, d)
		w.db.bringBack(ctx)
		w.settled(ctx, w.now())
		w.calm(ctx)
		w.db.signal(syscall.SIGSTOP)
		w.duringOutage(ctx, tr, d)
		w.db.signal(syscall.SIGCONT)
		return w.now()
	})
	r := w.finish(ctx)
	tr.judge(t, w, r)
	if r.Of("C10").N == 0 {
		t.Error("no send was ever in doubt")
	}
}

// duringOutage watches what clients are told while there is no database.
func (w *world) duringOutage(ctx context.Context, tr *trial, d time.Duration) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	before := w.refused()
	var looking sync.WaitGroup
	var looked, unready int
	looking.Go(func() {
		for ; ctx.Err() == nil; sleep(ctx, 200*time.Millisecond) {
			if ok, err := ready(ctx, w.front.Pick(nil)); err == nil {
				looked++
				if !ok {
					unready++
				}
			}
		}
	})
	asked, slowest := 0, time.Duration(0)
	for ; ctx.Err() == nil; sleep(ctx, 200*time.Millisecond) {
		began := time.Now()
		_, err := w.front.Pick(nil).Client(w.people[0].Token).OpenDirect(ctx, w.people[1].User.ID)
		if ctx.Err() != nil {
			break
		}
		if p, ok := errors.AsType[*parleytest.Problem](err); !ok || p.Code != "unavailable" || p.Status != http.StatusServiceUnavailable {
			w.t.Errorf("without a database a request was answered: %v", err)
		}
		asked++
		slowest = max(slowest, time.Since(began))
	}
	looking.Wait()
	tr.note("without a database for %v: %d sends answered `unavailable`; %d requests too, the slowest after %s; not ready %d times of %d",
		d, w.refused()-before, asked, ms(slowest), unready, looked)
	if w.refused() == before {
		w.t.Error("no send was answered unavailable")
	}
	if asked == 0 || unready == 0 {
		w.t.Error("the server said that it was ready")
	}
}

// single is Parley as most run it: one binary, PostgreSQL inside. It is killed and finds
// the database running, or the database is killed and Parley starts it again.
func single(ctx context.Context, t *testing.T, tr *trial) {
	server := start(t)
	c := &cluster{t: t, db: builtinOf(t, server), binary: shipped(t), front: &Replicas{}, replicas: []*replica{{Server: server}}}
	c.spread()
	w := newWorld(ctx, t, c, busy())
	w.repeat(ctx, tr, func(ctx context.Context, w *world, rnd randomness) time.Duration {
		if tr.n%3 == 0 {
			return killPostmaster(ctx, w, rnd)
		}
		return killReplica(ctx, w, rnd)
	})
	r := w.finish(ctx)
	tr.judge(t, w, r)
}
