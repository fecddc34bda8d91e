package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/parleytest"
)

// partitioned lets a replica vanish from the network, for its clients and for the
// database: nothing arrives, and nothing says so. The replica runs in a network namespace
// of its own, whose cable is pulled. What it has then are half-open connections.
func partitioned(ctx context.Context, t *testing.T, tr *trial) {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		tr.skipped = "needs root on Linux, for a network namespace"
		return
	}
	name := fmt.Sprint("parley", os.Getpid())
	subnet := fmt.Sprintf("10.%d.%d.", 200+rand.IntN(50), rand.IntN(250))
	cable, other := "pv"+strconv.Itoa(os.Getpid()), "pw"+strconv.Itoa(os.Getpid())
	t.Cleanup(func() { _ = ip(context.Background(), "netns", "del", name) }) // and with it the cable
	for _, args := range []string{
		"netns add " + name,
		"link add " + cable + " type veth peer name " + other + " netns " + name,
		"addr add " + subnet + "1/30 dev " + cable,
		"link set " + cable + " up",
		"-n " + name + " addr add " + subnet + "2/30 dev " + other,
		"-n " + name + " link set " + other + " up",
		"-n " + name + " link set lo up",
	} {
		if err := ip(ctx, strings.Fields(args)...); err != nil {
			tr.skipped = "cannot make a network namespace: " + err.Error()
			return
		}
	}
	c := newCluster(ctx, t, newDatabase(ctx, t, ""), shipped(t), 1)
	const port = 18080
	proxy, err := NewProxy(ctx, c.db.socket(), subnet+"1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	far := &replica{startServer(t, parleytest.Config{
		Binary: c.binary, Env: []string{"DATABASE_URL=" + proxy.URL()},
		Addr: fmt.Sprintf("%s2:%d", subnet, port), Within: []string{"ip", "netns", "exec", name},
	}), proxy}
	c.replicas = append(c.replicas, far)
	c.spread()
	w := newWorld(ctx, t, c, usual())

	var served []time.Duration
	w.repeat(ctx, tr, func(ctx context.Context, w *world, _ randomness) time.Duration {
		before, log := w.on(far.Server), len(far.Log())
		pulled := w.now()
		// At the far end: here the route has to stay, lest packets leave by another one.
		w.must(ip(ctx, "-n", name, "link", "set", other, "down"))
		sleep(ctx, silence+time.Second)
		w.settled(ctx, w.now())
		served = append(served, w.now()-pulled)
		// Those half-open are let go, without anything that says that they are.
		reaped, cancel := context.WithTimeout(ctx, 100*time.Second)
		defer cancel()
		gone := func() int { return strings.Count(far.Log()[log:], `"reason":"heartbeat missed"`) }
		if !until(reaped, func() bool { sleep(reaped, 100*time.Millisecond); return gone() >= before }) {
			w.t.Errorf("of %d half-open connections %d were let go in %v", before, gone(), w.now()-pulled)
		}
		after := w.now() - pulled
		tr.note("%d half-open connections were let go within %s", before, ms(after))
		if after > 75*time.Second {
			w.t.Errorf("half-open connections were let go after %v", after)
		}
		w.must(ip(ctx, "-n", name, "link", "set", other, "up"))
		plugged := w.now()
		w.await(ctx, "a replica that is ready again", func() bool { ok, err := ready(ctx, far.Server); return ok && err == nil })
		tr.note("ready %s after the cable was back", ms(w.now()-plugged))
		return plugged
	})
	r := w.finish(ctx)
	tr.note("everybody was served by the other replica within %s; clients give a silent connection up after %v", ms(Percentile(served, 100)), silence)
	tr.judge(t, w, r)
}

// on counts the clients connected to a server.
func (w *world) on(s *parleytest.Server) (n int) {
	for _, c := range w.clients {
		c.mu.Lock()
		if c.current != nil && c.current.server == s {
			n++
		}
		c.mu.Unlock()
	}
	return n
}
