package faults

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"parley/parleytest"
)

// scaled adds two replicas to one and takes two of them away again, one after the other,
// by SIGTERM: the one that everybody is on, and then one of those that they went to.
func scaled(ctx context.Context, t *testing.T, tr *trial) {
	w := newWorld(ctx, t, newCluster(ctx, t, newDatabase(ctx, t, ""), shipped(t), 1), usual())
	var drains, recovery []time.Duration
	least := len(w.clients)
	w.add(ctx)
	w.add(ctx)
	w.repeat(ctx, tr, func(ctx context.Context, w *world, _ randomness) time.Duration {
		w.calm(ctx)
		var stopped []*replica
		for len(w.replicas) > 1 {
			r := w.replicas[0]
			w.replicas = w.replicas[1:]
			w.spread() // a load balancer sends nobody to a replica that is not ready
			least = min(least, w.on(r.Server))
			began, told := w.now(), time.Now()
			w.must(r.Stop())
			drains = append(drains, time.Since(told))
			w.settled(ctx, w.now())
			recovery = append(recovery, w.recoveries(window{began, w.now()})...)
			stopped = append(stopped, r)
		}
		for _, r := range stopped {
			w.must(r.Run(ctx))
		}
		w.replicas = append(w.replicas, stopped...)
		w.spread()
		return w.now()
	})
	tr.recovery = recovery // from each SIGTERM on
	r := w.finish(ctx)
	tr.note("%d drains, of %d clients or more each, took %s / %s (p50 / p99); recovery is from SIGTERM on, here", len(drains), least, ms(Percentile(drains, 50)), ms(Percentile(drains, 99)))
	if least == 0 {
		t.Error("a replica was taken away that nobody was on")
	}
	if slowest := slices.Max(drains); *long && slowest > 5*time.Second {
		t.Errorf("a drain took %v", slowest)
	}
	tr.judge(t, w, r)
}

// upgraded replaces one replica after the other by the next version, whose first one
// migrates the schema under load; a next version is this one with one migration more.
func upgraded(ctx context.Context, t *testing.T, tr *trial) {
	s := busy()
	w := newWorld(ctx, t, newCluster(ctx, t, newDatabase(ctx, t, ""), shipped(t), 2), s)
	var stalls []time.Duration
	w.repeat(ctx, tr, func(ctx context.Context, w *world, _ randomness) time.Duration {
		next, err := nextVersion(ctx, tr.n)
		w.must(err)
		began := w.now()
		for _, r := range w.replicas {
			w.must(r.Stop())
			r.SetBinary(next)
			w.must(r.Run(ctx))
			w.calm(ctx) // both versions side by side
		}
		stalls = append(stalls, w.longestStall(began, w.now()))
		return began
	})
	r := w.finish(ctx)
	if got := w.db.exec(ctx, `SELECT version::text FROM schema_migrations`)[0]; got != fmt.Sprint(firstNext+tr.n) {
		t.Errorf("after %d upgrades the schema is version %s", tr.n, got)
	}
	tr.recovery = nil // of clients of the second replica it would count from the first one's end
	tr.note("the longest time without any acknowledgement was %s", ms(slices.Max(stalls)))
	if *long && slices.Max(stalls) > time.Second {
		t.Errorf("nothing was acknowledged for %v", slices.Max(stalls))
	}
	tr.judge(t, w, r)
}

const firstNext = 900000

// nextVersion builds the binary with a migration more than the one before it: it adds a
// column, a table and an index, as an expanding migration does.
func nextVersion(ctx context.Context, n int) (string, error) {
	changed := map[string][]byte{}
	for i := 1; i <= n; i++ {
		name := fmt.Sprintf("migrations/%06d_next", firstNext+i)
		changed[name+".up.sql"] = fmt.Appendf(nil, `
ALTER TABLE conversations ADD COLUMN next_%[1]d bigint NOT NULL DEFAULT 7;
ALTER TABLE entries ADD COLUMN next_%[1]d text;
CREATE TABLE next_%[1]d (conversation_id uuid PRIMARY KEY);
CREATE INDEX next_%[1]d_by_kind ON conversations (kind) WHERE next_%[1]d <> 7;
`, i)
		changed[name+".down.sql"] = fmt.Appendf(nil, `
DROP TABLE next_%[1]d;
ALTER TABLE entries DROP COLUMN next_%[1]d;
ALTER TABLE conversations DROP COLUMN next_%[1]d;
`, i)
	}
	return parleytest.BuildAs(ctx, filepath.Join(binDir, fmt.Sprint("next-", n)), changed)
}

// longestStall is the longest time in which nobody was acknowledged anything.
func (w *world) longestStall(from, to time.Duration) time.Duration {
	times := []time.Duration{from, to}
	for _, c := range w.clients {
		times = append(times, c.ackedBetween(from, to)...)
	}
	slices.Sort(times)
	var longest time.Duration
	for i := 1; i < len(times); i++ {
		longest = max(longest, times[i]-times[i-1])
	}
	return longest
}

func (c *Client) ackedBetween(from, to time.Duration) (times []time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sends {
		for _, a := range s.Acks {
			if from <= a.At && a.At <= to {
				times = append(times, a.At)
			}
		}
	}
	return times
}

// ip runs the ip command.
func ip(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %v: %w: %s", args, err, out)
	}
	return nil
}
