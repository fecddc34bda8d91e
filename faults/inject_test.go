package faults

import (
	"context"
	"strconv"
	"syscall"
	"testing"
	"time"

	"parley/parleytest"
)

// injection does one fault to a world under load and undoes it. It gives the moment from
// which recovery counts: of the kill, or of the end of what was temporary.
type injection func(ctx context.Context, w *world, rnd randomness) time.Duration

// repeated does an injection again and again to one world, each time after a window
// without a fault, waits until everybody is served again, and checks everything.
func repeated(inject injection) func(context.Context, *testing.T, *trial) {
	return func(ctx context.Context, t *testing.T, tr *trial) {
		w := newWorld(ctx, t, newCluster(ctx, t, newDatabase(ctx, t, ""), shipped(t), 2), usual())
		w.repeat(ctx, tr, inject)
		r := w.finish(ctx)
		tr.judge(t, w, r)
	}
}

// delivered is repeated with another measure: how long deliveries to clients of the other
// replica took, of what was acknowledged from the beginning of the fault on.
func delivered(inject injection) func(context.Context, *testing.T, *trial) {
	return func(ctx context.Context, t *testing.T, tr *trial) {
		w := newWorld(ctx, t, newCluster(ctx, t, newDatabase(ctx, t, ""), shipped(t), 2), usual())
		windows := w.repeat(ctx, tr, inject)
		// In the end no hint makes good what was not looked for.
		dropAllHints(ctx, w, tr.rnd)
		r := w.finish(ctx)
		tr.recovery = nil
		for _, v := range windows {
			tr.recovery = append(tr.recovery, DeliveryGaps(w.clients, v.from, v.to)...)
		}
		if len(tr.recovery) == 0 {
			t.Error("nothing was delivered from one replica to the other")
		}
		tr.note("the time is from an acknowledgement by one replica to the delivery by the other")
		tr.judge(t, w, r)
	}
}

type window struct{ from, to time.Duration }

func (w *world) repeat(ctx context.Context, tr *trial, inject injection) (windows []window) {
	w.t.Helper()
	for tr.more() {
		windows = append(windows, w.once(ctx, tr, inject))
	}
	return windows
}

// once does an injection after a window without a fault and waits until everybody is
// served again.
func (w *world) once(ctx context.Context, tr *trial, inject injection) window {
	w.t.Helper()
	w.calm(ctx)
	since := inject(ctx, w, tr.rnd)
	// Until it can be felt: a server that dies takes a moment to take its children along.
	sleep(ctx, 300*time.Millisecond)
	w.settled(ctx, w.now())
	v := window{since, w.now()}
	tr.recovery = append(tr.recovery, w.recoveries(v)...)
	return v
}

// recoveries are those of the clients that were hit.
func (w *world) recoveries(v window) (all []time.Duration) {
	for _, c := range w.clients {
		if d, hit := c.Recovery(v.from, v.to); hit {
			all = append(all, d)
		}
	}
	return all
}

// settled waits until every client is served again.
func (w *world) settled(ctx context.Context, since time.Duration) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var unserved *Client
	if !until(ctx, func() bool {
		for _, c := range w.clients {
			if !c.Settled(since) {
				unserved = c
				return false
			}
		}
		return true
	}) {
		w.t.Fatalf("somebody is not served again: %+v, %v, %v", unserved.State(), unserved.Refusals(), unserved.Strange())
	}
}

func (w *world) oneOf(rnd randomness) *replica { return w.replicas[rnd.IntN(len(w.replicas))] }

func killReplica(ctx context.Context, w *world, rnd randomness) time.Duration {
	r := w.oneOf(rnd)
	killed := w.now()
	if err := w.restart(ctx, r); err != nil {
		w.t.Fatal(err)
	}
	return killed
}

func killPostmaster(ctx context.Context, w *world, _ randomness) time.Duration {
	pid := w.db.pid()
	killed := w.now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		w.t.Fatal(err)
	}
	w.await(ctx, "another postmaster", func() bool { return w.db.pid() != pid })
	return killed
}

// killBackend kills the process of one of Parley's sessions; PostgreSQL then ends all of
// them and recovers as from a crash.
func killBackend(ctx context.Context, w *world, rnd randomness) time.Duration {
	pids := w.db.exec(ctx, `SELECT pid::text FROM pg_stat_activity WHERE application_name = 'parley'`)
	for _, i := range rnd.Perm(len(pids)) {
		pid, err := strconv.Atoi(pids[i])
		w.must(err)
		killed := w.now()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != syscall.ESRCH { // a session that just ended
			w.must(err)
			return killed
		}
	}
	w.t.Fatal("no session of a replica")
	return 0
}

func loseAnswers(ctx context.Context, w *world, rnd randomness) time.Duration {
	return doom(ctx, w, rnd, AnswerLost)
}

func loseCommits(ctx context.Context, w *world, rnd randomness) time.Duration {
	return doom(ctx, w, rnd, NeverMade)
}

// doom gives one to thirty commits of a replica a fate.
func doom(ctx context.Context, w *world, rnd randomness, fate Fate) time.Duration {
	proxy := w.oneOf(rnd).proxy
	n := 1 + rnd.IntN(30)
	before := proxy.Met()
	began := w.now()
	proxy.Doom(n, fate)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	w.await(ctx, "a commit to do something to", func() bool { return proxy.Met() >= before+n })
	return began
}

// doomed counts, unlike repeated, the commits that met their fate.
func doomed(inject injection) func(context.Context, *testing.T, *trial) {
	return func(ctx context.Context, t *testing.T, tr *trial) {
		w := newWorld(ctx, t, newCluster(ctx, t, newDatabase(ctx, t, ""), shipped(t), 2), busy())
		w.repeat(ctx, tr, inject)
		r := w.finish(ctx)
		tr.n, tr.unit = 0, "commits"
		for _, r := range w.replicas {
			tr.n += r.proxy.Met()
		}
		tr.judge(t, w, r)
	}
}

// stopReplica stops a replica with all its connections open.
func stopReplica(ctx context.Context, w *world, rnd randomness) time.Duration {
	r := w.oneOf(rnd)
	w.pause(ctx, r.PID(), stopFor(rnd))
	return w.now()
}

func stopFor(rnd randomness) time.Duration {
	longest := 4 * time.Second
	if *long {
		longest = 15 * time.Second
	}
	return time.Second + time.Duration(rnd.Int64N(int64(longest)))
}

func (w *world) pause(ctx context.Context, pid int, d time.Duration) {
	w.t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		w.t.Fatal(err)
	}
	sleep(ctx, d)
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil && err != syscall.ESRCH {
		w.t.Fatal(err)
	}
}

func stopPostgres(ctx context.Context, w *world, rnd randomness) time.Duration {
	pid := w.db.pid()
	family, err := parleytest.Family(pid)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range family {
		_ = syscall.Kill(p.PID, syscall.SIGSTOP) // one may have ended
	}
	sleep(ctx, stopFor(rnd))
	// Those that were started meanwhile are children of one that was stopped: none.
	for _, p := range family {
		_ = syscall.Kill(p.PID, syscall.SIGCONT)
	}
	return w.now()
}

// terminateListener ends the session on which a replica listens for the others.
func terminateListener(ctx context.Context, w *world, rnd randomness) time.Duration {
	began := w.now()
	// False of one that has just ended by itself.
	w.await(ctx, "a session to end", func() bool {
		return w.db.exec(ctx, `SELECT pg_terminate_backend($1)::text`, w.listener(ctx, rnd))[0] == "true"
	})
	return began
}

// stopListener stops its process in the database.
func stopListener(ctx context.Context, w *world, rnd randomness) time.Duration {
	pid := w.listener(ctx, rnd)
	began := w.now()
	w.pause(ctx, pid, stopFor(rnd))
	return began
}

// listener finds that session's process; the replica may be connecting just now.
func (w *world) listener(ctx context.Context, rnd randomness) (pid int) {
	w.t.Helper()
	proxy := w.oneOf(rnd).proxy
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	w.await(ctx, "a session that listens", func() bool { pid = proxy.Listener(); return pid != 0 })
	return pid
}

// dropHints keeps notifications from all replicas for a while.
func dropHints(ctx context.Context, w *world, rnd randomness) time.Duration {
	began, before := w.now(), 0
	for _, r := range w.replicas {
		before += r.proxy.HintsDropped()
		r.proxy.DropHints(true)
	}
	sleep(ctx, stopFor(rnd))
	for _, r := range w.replicas {
		before -= r.proxy.HintsDropped()
		r.proxy.DropHints(false)
	}
	if before == 0 {
		w.t.Error("there was no hint to drop")
	}
	return began
}

// dropAllHints keeps notifications away for the rest of the run.
func dropAllHints(ctx context.Context, w *world, _ randomness) time.Duration {
	for _, r := range w.replicas {
		r.proxy.DropHints(true)
	}
	w.calm(ctx)
	return w.now()
}

// cut ends all connections of a replica to the database, in order or by a reset.
func cut(_ context.Context, w *world, rnd randomness) time.Duration {
	began := w.now()
	w.oneOf(rnd).proxy.Cut(rnd.IntN(2) == 0)
	return began
}

// mute lets nothing through from or to the database, or both, for a while.
func mute(ctx context.Context, w *world, rnd randomness) time.Duration {
	p := w.oneOf(rnd).proxy
	which := rnd.IntN(3)
	p.Mute(which != 0, which != 1)
	sleep(ctx, stopFor(rnd))
	p.Mute(false, false)
	return w.now()
}

// silenced is mute for so long that the replica has to notice: it says that it is not
// ready, within ten seconds.
func silenced(ctx context.Context, t *testing.T, tr *trial) {
	w := newWorld(ctx, t, newCluster(ctx, t, newDatabase(ctx, t, ""), shipped(t), 2), usual())
	var noticed []time.Duration
	w.repeat(ctx, tr, func(ctx context.Context, w *world, rnd randomness) time.Duration {
		r := w.oneOf(rnd)
		which := tr.n % 3
		began := w.now()
		r.proxy.Mute(which != 0, which != 1)
		wait, cancel := context.WithTimeout(ctx, 15*time.Second)
		defer cancel()
		w.await(wait, "a replica that knows that it is not ready", func() bool { ok, err := ready(wait, r.Server); return err == nil && !ok })
		noticed = append(noticed, w.now()-began)
		sleep(ctx, stopFor(rnd))
		r.proxy.Mute(false, false)
		return w.now()
	})
	report := w.finish(ctx)
	tr.note("not ready after %s at the latest", ms(Percentile(noticed, 100)))
	if *long && Percentile(noticed, 100) > 10*time.Second {
		t.Errorf("it was noticed after %v", noticed)
	}
	tr.judge(t, w, report)
}

// mixed does any of those that can be done to any world.
func mixed(ctx context.Context, w *world, rnd randomness) time.Duration {
	return anything[rnd.IntN(len(anything))](ctx, w, rnd)
}

var anything = []injection{
	killReplica, killPostmaster, killBackend, loseAnswers, loseCommits,
	stopReplica, stopPostgres, cut, mute, terminateListener, stopListener, dropHints,
}
