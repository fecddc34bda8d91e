package faults

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// siege is what came of one attack.
type siege struct {
	attack
	rhythm          rhythm
	control         bool // without limits
	counts          map[string]int
	quiet, attacked side
	p95             [][2]time.Duration // of each probe, quiet and attacked
	attackerCPU     time.Duration
	memory          [3]int64 // before, at most, and after
	checks          Report
	messages        int
	failed          bool
}

// side is the quiet periods or those of the attack.
type side struct {
	periods []period
	length  time.Duration
	cpu     usage
}

func (b *book) addSiege(s *siege) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sieges = append(b.sieges, s)
}

const hostileHead = `
## Hostile users

One replica with its built-in PostgreSQL and all limits on, on the same %d processors as everything else. An attacker has a bounded number of clients that keep to a pace,
in a process of its own at the lowest priority (nice 19), so that what it computes is hardly taken from the server; its sockets and requests come from addresses 127.0.x.y. A canary is two users who
exchange ten messages a second (from sending until the other side has it), read pages of 50 messages and the list of their conversations, connect until hello, and sign in and out, from an address of their own. %d quiet periods of %v and as many of the attack
take turns. Times are the 95th percentile of all quiet periods → of all attacks; the goal is that none is longer by more than half (and %v: less says nothing here), that nothing of the canary's is refused, and that all checks hold for its messages. CPU is in
percent of one processor. *Attacker got* is what was accepted, and what it was refused with.

| attack | attacker got | messages | pages | lists | connect | sign-in | CPU of server | CPU of database | CPU of attacker | memory before / peak / after | canary's messages | lost / doubled / reordered / diverged | goal |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
`

// hostileSection is the report's; "" where no attack was run.
func (b *book) hostileSection() string {
	if len(b.sieges) == 0 {
		return ""
	}
	var s strings.Builder
	r := b.sieges[0].rhythm
	fmt.Fprintf(&s, hostileHead, runtime.NumCPU(), r.rounds, r.quiet, slack)
	for _, o := range b.sieges {
		s.WriteString(o.line() + "\n")
	}
	s.WriteString("\n")
	for _, o := range b.sieges {
		if !o.control {
			fmt.Fprintf(&s, "- **%s**: %s.\n", o.row, o.does)
		}
	}
	s.WriteString("- **without limits**: the same with `PARLEY_RATE_LIMITS=off`. At least one of these rows has to miss the goal: else the table could not fail.\n")
	return s.String()
}

func (s *siege) line() string {
	name, goal := s.row, "within 1.5x"
	if s.control {
		name = "without limits: " + name
		goal = "has to fail"
	}
	switch missed := s.missed(); {
	case s.control && missed != "":
		goal = "fails, as it has to: " + missed
	case s.control:
		goal = "held all the same"
	case s.failed:
		goal += " **missed** " + missed
	}
	cells := []string{name, strings.TrimSuffix(fmt.Sprintf("%d accepted; %s", s.counts["ok"], outcomes(s.counts)), "; ")}
	for _, p := range s.p95 {
		ratio := "-"
		if p[0] > 0 {
			ratio = fmt.Sprintf("%.1fx", float64(p[1])/float64(p[0]))
		}
		cells = append(cells, fmt.Sprintf("%s → %s (%s)", fine(p[0]), fine(p[1]), ratio))
	}
	percent := func(cpu, of time.Duration) string { return fmt.Sprintf("%.0f %%", 100*cpu.Seconds()/of.Seconds()) }
	q, a := s.quiet, s.attacked
	o := &outcome{checks: s.checks}
	cells = append(cells,
		percent(q.cpu.server, q.length)+" → "+percent(a.cpu.server, a.length),
		percent(q.cpu.database, q.length)+" → "+percent(a.cpu.database, a.length),
		percent(s.attackerCPU, a.length),
		fmt.Sprintf("%d / %d / %d MB", s.memory[0]>>20, s.memory[1]>>20, s.memory[2]>>20),
		fmt.Sprint(s.messages),
		strings.Join([]string{o.violations("C1", "C10", "C12"), o.violations("C2"), o.violations("C5", "C6", "C7"), o.violations("C3", "C4", "C8", "C9", "C11")}, " / "),
		goal)
	return "| " + strings.Join(cells, " | ") + " |"
}

// fine writes a short duration for people.
func fine(d time.Duration) string {
	if d < 100*time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
	return ms(d)
}

// replaceSection puts a section into a report that there is, in place of the one of its heading or
// at the end.
func replaceSection(path, section string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := string(b)
	heading, _, _ := strings.Cut(strings.TrimPrefix(section, "\n"), "\n")
	if before, after, found := strings.Cut(text, "\n"+heading+"\n"); found {
		rest := ""
		if i := strings.Index(after, "\n## "); i >= 0 {
			rest = after[i:]
		}
		text = before + section + rest
	} else if before, after, found := strings.Cut(text, "\n## Planted faults\n"); found {
		text = before + section + "\n## Planted faults\n" + after
	} else {
		text = strings.TrimRight(text, "\n") + "\n" + section
	}
	return os.WriteFile(path, []byte(text), 0o644)
}
