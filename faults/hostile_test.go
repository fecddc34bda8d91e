package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/parleytest"
)

// The quiet periods and those of the attack alternate, so that whatever else the machine does
// falls on both.
type rhythm struct {
	rounds                int
	quiet, attack, settle time.Duration
}

func usualRhythm() rhythm {
	if *long {
		return rhythm{rounds: 4, quiet: 3 * time.Second, attack: 3 * time.Second, settle: 500 * time.Millisecond}
	}
	return rhythm{rounds: 1, attack: 1500 * time.Millisecond}
}

const (
	slower      = 1.5                    // how much longer the canary's p95 may be
	slack       = 10 * time.Millisecond  // differences below say nothing on two busy cores
	maxGrowth   = 256 << 20              // of the server's memory, in bytes
	sampleEvery = 100 * time.Millisecond // of memory
)

// attackers is the process of an attack.
type attackers struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers *json.Decoder
}

// startAttack starts it, and waits until it is prepared.
func startAttack(t *testing.T, a attack, to target) *attackers {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := []string{exe}
	if nice, err := exec.LookPath("nice"); err == nil {
		command = []string{nice, "-n", "19", exe}
	}
	p := &attackers{cmd: exec.CommandContext(t.Context(), command[0], command[1:]...)}
	p.cmd.Env = append(os.Environ(), attackEnv+"="+a.row)
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.answers = json.NewDecoder(bufio.NewReader(out))
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(to)
	if err == nil {
		_, err = p.in.Write(append(b, '\n'))
	}
	counts := map[string]int{}
	if err == nil {
		err = p.answers.Decode(&counts)
	}
	if err != nil {
		t.Fatalf("start the attack: %v", err)
	}
	return p
}

// attack lets it go for a period and adds up what came of it.
func (p *attackers) attack(t *testing.T, length time.Duration, sum map[string]int) {
	t.Helper()
	counts := map[string]int{}
	_, err := fmt.Fprintln(p.in, length)
	if err == nil {
		err = p.answers.Decode(&counts)
	}
	if err != nil {
		t.Fatalf("an attacker ended: %v", err)
	}
	for outcome, n := range counts {
		sum[outcome] += n
	}
}

// end ends the process and gives the CPU time that it used.
func (p *attackers) end(t *testing.T) time.Duration {
	t.Helper()
	_ = p.in.Close() // it ends at the end of its input
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("the attacker: %v", err)
	}
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}

// usage is CPU time.
type usage struct{ server, database time.Duration }

func (w *hostileWorld) usage() usage {
	w.t.Helper()
	server, err := parleytest.FindProcess(w.server.PID())
	if err != nil {
		w.t.Fatalf("the server has ended: %v", err)
	}
	database, err := parleytest.FamilyCPU(w.db.pid())
	w.must(err)
	return usage{server.CPU, database}
}

func (u usage) since(before usage) usage {
	// A backend that ends takes its time out of the family's, until the postmaster has waited for it.
	return usage{u.server - before.server, max(0, u.database-before.database)}
}

func (u usage) plus(v usage) usage { return usage{u.server + v.server, u.database + v.database} }

// watchMemory gives the largest resident size until it is stopped.
func (w *hostileWorld) watchMemory(ctx context.Context) (stop func() int64) {
	ctx, cancel := context.WithCancel(ctx)
	peak := make(chan int64)
	go func() {
		var most int64
		for ctx.Err() == nil {
			if now, _, err := parleytest.Memory(w.server.PID()); err == nil {
				most = max(most, now)
			}
			sleep(ctx, sampleEvery)
		}
		peak <- most
	}()
	return func() int64 { cancel(); return <-peak }
}

// assault does one attack beside a canary and gives what came of it.
func (w *hostileWorld) assault(ctx context.Context, t *testing.T, a attack, r rhythm) *siege {
	t.Helper()
	w.t, w.db.t = t, t
	s := &siege{attack: a, rhythm: r, counts: map[string]int{}}
	one, two := w.signUp(ctx, "canary"), w.signUp(ctx, "canary")
	y := newCanary(t, w.cluster, one, two, w.direct(ctx, one, two))
	w.canary = y
	to := a.arrange(ctx, w)
	to.Addr = w.server.Addr()
	y.begin(ctx)
	logged := len(w.server.Log())
	process := startAttack(t, a, to)
	before, _, err := parleytest.Memory(w.server.PID())
	w.must(err)
	s.memory[0] = before
	peak := w.watchMemory(ctx)
	for range r.rounds {
		if r.quiet > 0 {
			s.quiet.add(y, w, func() { sleep(ctx, r.quiet) })
		}
		s.attacked.add(y, w, func() { process.attack(t, r.attack, s.counts) })
		sleep(ctx, r.settle)
	}
	// Without quiet periods nothing is measured: the attack goes on until it was refused.
	for more := 20; r.quiet == 0 && more > 0 && s.unseen() != ""; more-- {
		process.attack(t, r.attack, s.counts)
	}
	s.attackerCPU = process.end(t)
	s.memory[1] = peak()
	s.checks = y.end(ctx, t)
	s.messages = y.w.acked()
	s.memory[2], _, err = parleytest.Memory(w.server.PID())
	w.must(err)
	for _, kind := range probeKinds {
		s.p95 = append(s.p95, [2]time.Duration{
			Percentile(y.during(kind, s.quiet.periods), 95), Percentile(y.during(kind, s.attacked.periods), 95)})
	}
	if is, err := ready(ctx, w.server); err != nil || !is {
		t.Errorf("afterwards the server is not ready: %v", err)
	}
	if log := w.server.Log()[logged:]; strings.Contains(log, "panic") || strings.Contains(log, "goroutine ") {
		t.Errorf("the server's log has a panic:\n%s", w.server.LogTail())
	}
	return s
}

// add measures one period.
func (s *side) add(y *canary, w *hostileWorld, during func()) {
	from, before := y.w.now(), w.usage()
	during()
	to := y.w.now()
	s.cpu, s.length = s.cpu.plus(w.usage().since(before)), s.length+to-from
	s.periods = append(s.periods, period{from, to})
}

// hostile does every attack to one server, and writes the report's section. The short form says
// that nothing breaks and that attackers are refused; the long one measures.
func hostile(ctx context.Context, t *testing.T, b *book) {
	t.Helper()
	w := newHostileWorld(t, "on")
	owner := w.t
	for _, a := range attacks {
		t.Run(strings.ReplaceAll(a.row, " ", "_"), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
			defer cancel()
			s := w.assault(ctx, t, a, usualRhythm())
			s.judge(t)
			s.failed = t.Failed()
			b.addSiege(s)
		})
	}
	w.t, w.db.t = owner, owner
	if !*long {
		return
	}
	// A table that cannot fail says nothing.
	t.Run("without_limits_the_canary_suffers", func(t *testing.T) {
		w := newHostileWorld(t, "off")
		suffers := false
		for _, row := range []string{"messages and actions", "bytes delivered", "expensive reads", "password hashing"} {
			a, _ := attackNamed(row)
			s := w.assault(ctx, t, a, usualRhythm())
			s.control = true
			for code, n := range s.counts {
				if strings.HasPrefix(code, "closed") {
					t.Errorf("%s: %d connections were %s", row, n, code) // what reads stays open
				}
			}
			suffers = suffers || s.missed() != ""
			b.addSiege(s)
		}
		if !suffers {
			t.Error("without limits no attack made the canary wait: the table cannot fail")
		}
	})
}

// TestHostileUsers is the short form, which says that nothing breaks and that attackers are refused.
// In the long form it is the report's section alone, which replaces the one that there is.
func TestHostileUsers(t *testing.T) {
	t.Parallel()
	b := &book{}
	hostile(t.Context(), t, b)
	if *long && *report != "" {
		if err := replaceSection(*report, b.hostileSection()); err != nil {
			t.Error(err)
		}
	}
}

// judge fails the test if a goal was missed.
func (s *siege) judge(t *testing.T) {
	t.Helper()
	t.Logf("%s: %v; p95 %v; CPU quiet %v of %v, attacked %v of %v, attacker %v; memory %v; %d messages",
		s.row, s.counts, s.p95, s.quiet.cpu, s.quiet.length, s.attacked.cpu, s.attacked.length, s.attackerCPU, s.memory, s.messages)
	if code := s.unseen(); code != "" && !s.control {
		t.Errorf("the attacker was never answered %s: %v", code, s.counts)
	}
	for _, code := range []string{"internal", "no answer", "status 500", "closed 1011", "closed 4000", "closed 1006"} {
		if s.counts[code] > 0 {
			t.Errorf("the attacker saw %s %d times: %v", code, s.counts[code], s.counts)
		}
	}
	if grown := s.memory[1] - s.memory[0]; grown > maxGrowth {
		t.Errorf("the server grew by %d MB", grown>>20)
	}
	if missed := s.missed(); *long && missed != "" {
		t.Error(missed)
	}
}

// unseen is an answer that the attacker should have got and did not yet; "" if there is none.
func (s *siege) unseen() string {
	for _, code := range s.want {
		if s.counts[code] == 0 {
			return code
		}
	}
	return ""
}

// missed says which of the canary's times were too long; "" if none was.
func (s *siege) missed() string {
	var all []string
	for i, kind := range probeKinds {
		quiet, attacked := s.p95[i][0], s.p95[i][1]
		if quiet > 0 && float64(attacked) > slower*float64(quiet) && attacked > quiet+slack {
			all = append(all, fmt.Sprintf("%s: %s instead of %s", kind, fine(attacked), fine(quiet)))
		}
	}
	return strings.Join(all, "; ")
}

// outcomes are counts in order, those of one kind of answer first.
func outcomes(counts map[string]int) string {
	var all []string
	for _, code := range slices.Sorted(maps.Keys(counts)) {
		if code != "ok" {
			all = append(all, fmt.Sprintf("%s %d", code, counts[code]))
		}
	}
	return strings.Join(all, ", ")
}
