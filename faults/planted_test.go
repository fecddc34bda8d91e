package faults

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/parleytest"
)

// plant is a fault put into a copy of the source: what is shipped knows nothing of it.
type plant struct {
	fault    string
	expected string // the check that has to catch it, or deadlocks
	short    bool   // in the short form too
	patches  []patch
	prepare  string // statement on the database, if any
	provoked string // by what, in words
	times    int
	provoke  injection
	size     func() size // nil: usual
	disk     bool        // on a disk of its own
}

type patch struct{ file, old, new string }

var plants = []plant{
	{
		fault: "acknowledge before commit", expected: "C1", short: true,
		patches:  []patch{{"chat/queries.go", `if e := br.Close(); err == nil && e != nil {`, `if e := br.Close(); false && e != nil {`}},
		provoked: "the connection cut before COMMIT", times: 5, provoke: loseCommits,
	},
	{
		fault: "synchronous_commit off", expected: "C1",
		patches: []patch{
			{"store/session.go", `CASE current_setting('synchronous_commit') WHEN 'local' THEN 'on' ELSE current_setting('synchronous_commit') END`, `'off'`},
			{"store/session.go", `case s.synchronousCommit == "off":`, `case s.synchronousCommit == "never":`},
		},
		provoked: "power cut", times: 10, disk: true, size: busy,
	},
	{
		fault: "no catch-up poll", expected: "C6",
		patches:  []patch{{"chat/holes.go", `if !g.s.cfg.Bus.Alone() || g.doubts.Load() > 0 {`, `if false {`}},
		provoked: "hints dropped", times: 1, provoke: dropAllHints,
	},
	{
		fault: "dedupe in memory only", expected: "C2", short: true,
		patches:  []patch{{"chat/queries.go", `LIMIT 1) k ON true`, `LIMIT 1) k ON false`}},
		prepare:  `DROP INDEX entries_client_key`,
		provoked: "the answer of COMMIT lost", times: 5, provoke: loseAnswers,
	},
	{
		fault: "missing membership check", expected: "C9",
		patches:  []patch{{"chat/gate.go", `g.s.byConv.Leave(c, id)`, `_ = c`}},
		provoked: "people who leave groups", times: 5, provoke: nothing,
	},
	{
		fault: "delivered on write", expected: "C11",
		patches: []patch{{"chat/gate.go", `			g.s.byConv.PublishEntry(e.ConversationID, frame, e.position())
`, `			g.s.byConv.PublishEntry(e.ConversationID, frame, e.position())
			for _, c := range g.s.byConv.Conns(e.ConversationID) {
				g.s.cfg.Sent(e.ConversationID, accounts.UserID(c.UserID), e.Seq)
			}
`}},
		provoked: "load alone", times: 3, provoke: nothing,
	},
	{
		fault: "no epoch", expected: "C4",
		patches:  []patch{{"store/store.go", `	return epoch, nil`, `	return uuid.UUID{15: byte(len(epoch))}, nil`}},
		provoked: "restored from a backup", times: 1, provoke: restoreBackup,
	},
	{
		fault: "unsorted locks", expected: deadlocks,
		patches:  []patch{{"chat/queries.go", `WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE`, `WHERE id = ANY($1::uuid[]) ORDER BY random() FOR UPDATE`}},
		provoked: "batches over many conversations", times: 10, provoke: awhile, size: wide,
	},
}

// deadlocks is no check of the history: PostgreSQL counts them.
const deadlocks = "deadlocks"

// nothing is no fault at all, but for the load.
func nothing(ctx context.Context, w *world, _ randomness) time.Duration {
	w.calm(ctx)
	return w.now()
}

// awhile is a second of load alone.
func awhile(ctx context.Context, w *world, _ randomness) time.Duration {
	sleep(ctx, time.Second)
	return w.now()
}

// patched is the changed content of the files that a plant changes.
func (p *plant) patched() (map[string][]byte, error) {
	root, err := parleytest.ModuleRoot()
	if err != nil {
		return nil, err
	}
	changed := map[string][]byte{}
	for _, c := range p.patches {
		content := changed[c.file]
		if content == nil {
			if content, err = os.ReadFile(filepath.Join(root, c.file)); err != nil {
				return nil, err
			}
		}
		if n := bytes.Count(content, []byte(c.old)); n != 1 {
			return nil, fmt.Errorf("%s has %d times what is to be changed for the planted fault %q: adapt it to the source:\n%s", c.file, n, p.fault, c.old)
		}
		changed[c.file] = bytes.Replace(content, []byte(c.old), []byte(c.new), 1)
	}
	return changed, nil
}

// TestPlantedFaultsFit keeps the planted faults from rotting where they are not run.
func TestPlantedFaultsFit(t *testing.T) {
	t.Parallel()
	for _, p := range plants {
		if _, err := p.patched(); err != nil {
			t.Error(err)
		}
	}
}

// planted shows that the checks find the faults that they are for.
func planted(ctx context.Context, t *testing.T, b *book) {
	t.Helper()
	for _, p := range plants {
		if !*long && !p.short {
			continue
		}
		t.Run(strings.ReplaceAll(p.fault, " ", "_"), func(t *testing.T) {
			beside(t)
			changed, err := p.patched()
			if err != nil {
				t.Fatal(err)
			}
			binary, err := parleytest.BuildAs(ctx, filepath.Join(binDir, strings.ReplaceAll(p.fault, " ", "-")), changed)
			if err != nil {
				t.Fatal(err)
			}
			found, example, skipped := p.search(ctx, t, binary)
			switch {
			case skipped != "":
				b.addPlanted(fmt.Sprintf("| %s | %s | %s | skipped: %s | |", p.fault, p.provoked, p.expected, skipped))
				t.Skip(skipped)
			case found == 0:
				b.addPlanted(fmt.Sprintf("| %s | %s | %s | **nothing** | |", p.fault, p.provoked, p.expected))
				t.Errorf("%s was not found by %s", p.fault, p.expected)
			default:
				b.addPlanted(fmt.Sprintf("| %s | %s | %s | %s, %d times | %s |", p.fault, p.provoked, p.expected, p.expected, found, example))
				t.Logf("%s: found %d times: %s", p.fault, found, example)
			}
		})
	}
}

// search runs a binary and provokes its fault until the load is over or it shows.
func (p *plant) search(ctx context.Context, t *testing.T, binary string) (found int, example, skipped string) {
	tr := &trial{outcome: &outcome{}, times: p.times, deadline: time.Now().Add(time.Minute), rnd: rand.New(rand.NewPCG(*seed, 1))}
	s := usual()
	if p.size != nil {
		s = p.size()
	}
	provoke, dir := p.provoke, ""
	if p.disk {
		d, why := newDisk(ctx, t, 512)
		if d == nil {
			return 0, "", why
		}
		provoke, dir = d.cutPower, d.mount
	}
	w := newWorld(ctx, t, newCluster(ctx, t, newDatabase(ctx, t, dir), binary, 2), s)
	w.tolerant = true
	if p.prepare != "" {
		w.db.exec(ctx, p.prepare)
	}
	w.repeat(ctx, tr, provoke)
	r := w.finish(ctx)
	if p.expected == deadlocks {
		n := w.deadlocks(ctx)
		return n, "counted by pg_stat_database", ""
	}
	of := r.Of(p.expected)
	if of.Violations > 0 {
		example = of.Examples[0]
	}
	return of.Violations, shortened(example), ""
}

// shortened keeps the first part of ids.
func shortened(s string) string {
	words := strings.Fields(s)
	for i, word := range words {
		if len(word) >= 36 && strings.Count(word, "-") == 4 {
			words[i] = word[19:23] + word[30:36] + "…" + word[36:]
		}
	}
	return strings.Join(words, " ")
}
