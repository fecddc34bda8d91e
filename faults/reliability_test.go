package faults

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"testing"
	"time"
)

// scenario is one kind of fault, and how it is brought about.
type scenario struct {
	fault, goal string
	short       int           // how often in the short form; 0: not at all
	long        int           // how often in the long form
	budget      time.Duration // of the long form; it may end before n is reached
	within      time.Duration // goal for the recovery's 99th percentile
	counted     bool          // long is part of the goal
	grazes      bool          // it may be over before any client feels it
	run         func(ctx context.Context, t *testing.T, tr *trial)
}

// trial is one run of a scenario.
type trial struct {
	*outcome
	times    int // how often, at most
	deadline time.Time
	rnd      randomness
}

// more says whether to do it once more, and counts it.
func (tr *trial) more() bool {
	if tr.n >= tr.times || tr.n > 0 && time.Now().After(tr.deadline) {
		return false
	}
	tr.n++
	return true
}

// TestReliability does to the cluster what the world does, one kind of fault after the
// other, or some at the same time in the short form.
func TestReliability(t *testing.T) {
	t.Parallel()
	b := &book{}
	t.Cleanup(func() {
		if *report == "" {
			return
		}
		if err := b.write(*report, usual().String()); err != nil {
			t.Error(err)
		}
	})
	t.Logf("seed %d", *seed)
	for _, s := range scenarios {
		times := s.short
		budget := 40 * time.Second
		if *long {
			times, budget = max(1, int(float64(s.long)**scale)), time.Duration(float64(s.budget)**scale)
		}
		if times == 0 {
			continue
		}
		t.Run(s.fault, func(t *testing.T) {
			beside(t)
			ctx, cancel := context.WithTimeout(t.Context(), budget+5*time.Minute)
			defer cancel()
			h := fnv.New64a()
			_, _ = h.Write([]byte(s.fault))
			began := time.Now()
			tr := &trial{
				outcome: &outcome{fault: s.fault, goal: s.goal, within: s.within}, times: times,
				deadline: began.Add(budget), rnd: rand.New(rand.NewPCG(*seed, h.Sum64())),
			}
			if s.counted {
				tr.wanted = s.long
			}
			b.add(tr.outcome)
			defer func() { tr.took, tr.failed = time.Since(began), t.Failed() }()
			s.run(ctx, t, tr)
			if tr.skipped != "" {
				t.Skip(tr.skipped)
			}
			p99 := Percentile(tr.recovery, 99)
			t.Logf("%s: %d times in %v; recovery p50 %v, p99 %v of %d; %v", s.fault, tr.n, time.Since(began).Round(time.Second),
				Percentile(tr.recovery, 50), p99, len(tr.recovery), tr.notes)
			// With the race detector and other tests beside it, times say nothing.
			switch {
			case !*long || tr.within == 0:
			case len(tr.recovery) == 0 && !s.grazes:
				t.Error("no client was hit")
			case p99 > tr.within:
				t.Errorf("recovery took %v, and should take %v", p99, tr.within)
			}
		})
	}
	if *long {
		t.Run("hostile users", func(t *testing.T) { hostile(t.Context(), t, b) })
	}
	t.Run("planted faults are found", func(t *testing.T) { planted(t.Context(), t, b) })
}

// beside lets a test run beside others in the short form; the long one measures.
func beside(t *testing.T) {
	if !*long {
		t.Parallel()
	}
}

var scenarios = []scenario{
	{fault: "kill -9 of a replica", goal: "clients served again p99 < 3 s", long: 1000, counted: true, budget: 80 * time.Second, within: 3 * time.Second, run: repeated(killReplica)},
	{fault: "kill -9 of the postmaster", goal: "back p99 < 10 s", long: 200, counted: true, budget: 45 * time.Second, within: 10 * time.Second, run: repeated(killPostmaster)},
	{fault: "kill -9 of a backend", goal: "back p99 < 10 s", long: 500, counted: true, budget: 45 * time.Second, within: 10 * time.Second, grazes: true, run: repeated(killBackend)},
	{fault: "one binary with its built-in PostgreSQL: kill -9 of either", goal: "clean", short: 3, long: 40, budget: 20 * time.Second, within: 10 * time.Second, run: single},
	{fault: "power cut", goal: "clean", short: 2, long: 100, counted: true, budget: 45 * time.Second, within: 10 * time.Second, run: powerCut},
	{fault: "the answer of COMMIT lost", goal: "one entry per client_id", long: 1000, counted: true, budget: 45 * time.Second, run: doomed(loseAnswers)},
	{fault: "cut before COMMIT", goal: "one entry per client_id", long: 1000, budget: 30 * time.Second, run: doomed(loseCommits)},
	{fault: "SIGSTOP of a replica", goal: "resumes < 3 s", long: 60, budget: 45 * time.Second, within: 3 * time.Second, run: repeated(stopReplica)},
	{fault: "SIGSTOP of PostgreSQL", goal: "resumes < 3 s", long: 60, budget: 45 * time.Second, within: 3 * time.Second, run: repeated(stopPostgres)},
	{fault: "SIGSTOP of the LISTEN backend", goal: "delivery gap p99 < 2 s", long: 60, budget: 35 * time.Second, within: 2 * time.Second, run: delivered(stopListener)},
	{fault: "LISTEN backend terminated", goal: "delivery gap p99 < 2 s", long: 200, budget: 30 * time.Second, within: 2 * time.Second, run: delivered(terminateListener)},
	{fault: "hints dropped", goal: "delivery gap p99 < 2 s", long: 20, budget: 35 * time.Second, within: 2 * time.Second, run: delivered(dropHints)},
	{fault: "connections to PostgreSQL cut or reset", goal: "clean", long: 200, budget: 30 * time.Second, within: 10 * time.Second, grazes: true, run: repeated(cut)},
	{fault: "connections to PostgreSQL silent, one way or both", goal: "detected < 10 s; not ready", long: 20, budget: 45 * time.Second, within: 10 * time.Second, run: silenced},
	{fault: "PostgreSQL away or stopped for long", goal: "sends answered `unavailable`; back by itself", short: 1, long: 2, budget: 30 * time.Second, within: 10 * time.Second, run: outage},
	{fault: "half-open: a replica vanishes from the network", goal: "reaped < 75 s; nothing lost on resume", long: 1, budget: 10 * time.Second, run: partitioned},
	{fault: "one client_id on 8 sockets of 2 replicas", goal: "one entry, same seq, after a restart too", short: 100, long: 10000, counted: true, budget: 40 * time.Second, run: sameIDs},
	{fault: "hot conversations, batches over many", goal: "no deadlock reaches a user", long: 1000, budget: 20 * time.Second, run: crowded},
	{fault: "disk full", goal: "a clear \"not sent\"; serves again < 10 s after space returns", long: 5, budget: 40 * time.Second, within: 10 * time.Second, run: fullDisk},
	{fault: "500 stalled readers beside 500 healthy ones", goal: "bounded memory each; healthy p99 within 1.2x; stalled ones catch up", long: 1, budget: 10 * time.Second, run: stalledReaders},
	{fault: "restart with 8,000 sockets", goal: "95 % back < 15 s, pool never exceeded", long: 2, budget: 20 * time.Second, run: storm},
	{fault: "replicas 1 -> 3 -> 1, SIGTERM", goal: "drain < 5 s, no failed send after retry", long: 50, budget: 30 * time.Second, within: 5 * time.Second, run: scaled},
	{fault: "upgrade with a migration under load", goal: "stall < 1 s, old client works", long: 3, budget: 25 * time.Second, run: upgraded},
	{fault: "restored from a backup", goal: "epoch changes; no mixed history", short: 1, long: 20, budget: 60 * time.Second, run: restored},
	{fault: "away for a second, an hour, 30 days", goal: "gapless, one round trip and pages", short: 1, long: 3, budget: 10 * time.Second, run: away},
	{fault: "a mix, by the seed", goal: "clean", short: 30, long: 200, budget: 80 * time.Second, run: repeated(mixed)},
}

// randomness decides what is left to chance, by the seed.
type randomness = *rand.Rand
