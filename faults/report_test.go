package faults

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// outcome is what came of one kind of fault.
type outcome struct {
	fault, goal string
	wanted      int    // how often it should happen; 0: as often as it may be
	n           int    // how often it happened
	unit        string // of n, where it is not the fault itself
	messages    int    // acknowledged meanwhile
	checks      Report
	recovery    []time.Duration
	within      time.Duration // goal for the recovery's 99th percentile; 0: none
	notes       []string
	skipped     string // why
	failed      bool
	took        time.Duration
}

// note adds a sentence to the report.
func (o *outcome) note(format string, args ...any) {
	o.notes = append(o.notes, fmt.Sprintf(format, args...))
}

// judge takes the checks' result and fails the test if a promise was broken.
func (o *outcome) judge(t *testing.T, w *world, r Report) {
	t.Helper()
	if w.size != usual() {
		o.note("%v", w.size)
	}
	o.checks, o.messages = append(o.checks, r...), o.messages+w.acked()
	t.Logf("%d times, %d messages\n%v", o.n, w.acked(), r)
	if !r.Clean() {
		t.Error("a promise was broken")
	}
}

// violations counts those of some checks; "-" if there was nothing for them to look at.
func (o *outcome) violations(checks ...string) string {
	cases, n := 0, 0
	for _, r := range o.checks {
		if slices.Contains(checks, r.Check) {
			cases, n = cases+r.N, n+r.Violations
		}
	}
	if cases == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

// bound is what a zero in n cases says of the true rate, with 95 % confidence.
func bound(n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2g", math.Min(1, 3/float64(n)))
}

// ms writes a duration for people.
func ms(d time.Duration) string {
	if d >= time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

func (o *outcome) row() string {
	cell := []string{o.fault}
	if o.skipped != "" {
		return "| " + o.fault + " | skipped: " + o.skipped + " | | | | | | | | " + o.goal + " |"
	}
	n := fmt.Sprint(o.n)
	if o.unit != "" {
		n += " " + o.unit
	}
	cell = append(cell, n, fmt.Sprint(o.messages), o.violations("C1", "C10", "C12"), o.violations("C2"),
		o.violations("C5", "C6", "C7"), o.violations("C3", "C4", "C8", "C9", "C11"))
	limits := "-"
	if len(o.checks) > 0 {
		limits = bound(o.n) + " a time, " + bound(o.messages) + " a message"
	}
	recovered := "-"
	if len(o.recovery) > 0 {
		recovered = fmt.Sprintf("%s / %s (%d)", ms(Percentile(o.recovery, 50)), ms(Percentile(o.recovery, 99)), len(o.recovery))
	}
	goal := o.goal
	if o.wanted > 0 {
		goal += fmt.Sprintf("; %d of %d within its time", o.n, o.wanted)
	}
	if o.failed {
		goal += " **missed**"
	}
	return "| " + strings.Join(append(cell, limits, recovered, goal), " | ") + " |"
}

// book collects outcomes for the report.
type book struct {
	mu       sync.Mutex // guards what follows
	outcomes []*outcome
	planted  []string // rows
	sieges   []*siege // of hostile users
}

func (b *book) add(o *outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.outcomes = append(b.outcomes, o)
}

func (b *book) addPlanted(row string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.planted = append(b.planted, row)
}

const reportHead = `# Reliability

What was done to Parley under load, and what came of it. This page is written by the command; do not edit it.

    %s

%s. %s.

Real binaries and a real PostgreSQL 18, two replicas, and unless said otherwise %s. Clients do what
docs/PROTOCOL.md asks of a client and write down what they sent, what was acknowledged and what they saw. One checker holds these records
against the final log: acknowledged is stored, at its seq (C1); one entry a client_id (C2); nothing that nobody sent (C3); one order for all (C4); no gaps (C5),
in no session either (C6); acknowledged first comes first (C7); a read sees what was acknowledged (C8); nobody sees beyond their membership (C9);
every doubt ends in exactly one entry (C10); nobody is said to have what they do not have (C11); an acknowledged change of members lasts (C12). *Lost* are C1, C10 and C12, *doubled* C2, *reordered* C5 to C7,
*diverged* C3, C4, C8, C9 and C11. A zero in n cases means, with 95 %% confidence, a rate below 3/n: the *bound*; where nothing
could be seen stands "-". *Recovery* is, of the clients that were hit, how long until
they were connected and caught up and had everything acknowledged that was under way, from the end of the fault or the kill on, unless said otherwise.

| fault | n | messages | lost | doubled | reordered | diverged | bound | recovery p50 / p99 (of) | goal |
|---|---|---|---|---|---|---|---|---|---|
`

func (b *book) write(path, size string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var s strings.Builder
	command := fmt.Sprintf("make faults SEED=%d", *seed)
	if *scale != 1 {
		command += fmt.Sprintf(" SCALE=%g", *scale)
	}
	var took time.Duration
	for _, o := range b.outcomes {
		took += o.took
	}
	version, _ := exec.Command("git", "describe", "--tags", "--always", "--dirty").Output()
	fmt.Fprintf(&s, reportHead, command, machine(),
		fmt.Sprintf("Version %s, %s, %d minutes", strings.TrimSpace(string(version)), time.Now().UTC().Format(time.DateOnly), int(math.Ceil(took.Minutes()))), size)
	for _, o := range b.outcomes {
		s.WriteString(o.row() + "\n")
	}
	s.WriteString("\n")
	for _, o := range b.outcomes {
		if len(o.notes) > 0 {
			fmt.Fprintf(&s, "- **%s**: %s.\n", o.fault, strings.Join(o.notes, "; "))
		}
	}
	s.WriteString(b.hostileSection())
	if len(b.planted) > 0 {
		s.WriteString("\n## Planted faults\n\nA checker is worth what it catches. Each of these binaries was built with one fault in its source (`go build -overlay`; the shipped source knows nothing of it), and run the same way.\n\n| planted | brought out by | expected | caught by | examples |\n|---|---|---|---|---|\n")
		s.WriteString(strings.Join(b.planted, "\n") + "\n")
	}
	return os.WriteFile(path, []byte(s.String()), 0o644)
}

// machine says where the figures are from.
func machine() string {
	model := runtime.GOARCH
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	memory := ""
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kib int
		if _, err := fmt.Sscanf(string(b), "MemTotal: %d kB", &kib); err == nil {
			memory = fmt.Sprintf(", %d GB", (kib+1<<19)>>20)
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%d CPUs (%s)%s, %s %s, %s", runtime.NumCPU(), model, memory, runtime.GOOS,
		cmp.Or(strings.SplitN(strings.TrimSpace(string(kernel)), "-", 2)[0], "?"), runtime.Version())
}

// TestRowsTellOnlyWhatWasSeen: a check without a case is no zero.
func TestRowsTellOnlyWhatWasSeen(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]*outcome{
		"| a | 30 | 60 | - | 2 | 0 | - | 0.1 a time, 0.05 a message | - | g |": {n: 30, messages: 60, checks: Report{
			{Check: "C1"}, {Check: "C2", N: 9, Violations: 2}, {Check: "C5", N: 9}, {Check: "C7"}}},
		"| a | 3 | 0 | - | - | - | - | - | 1.0 s / 1.0 s (1) | g; 3 of 100 within its time **missed** |": {
			n: 3, wanted: 100, recovery: []time.Duration{time.Second}, failed: true},
	} {
		o.fault, o.goal = "a", "g"
		if got := o.row(); got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
}
