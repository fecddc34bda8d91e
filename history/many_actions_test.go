package history

import (
	"fmt"
	"testing"

	"parley/chat"
)

// However many actions lie between, before and after messages, a page reads as much as it does
// beside a thousand of them: with statistics and without, downwards and upwards.
func TestPagesReadTheSameBesideAMillionActions(t *testing.T) {
	if testing.Short() {
		t.Skip("stores a million entries")
	}
	t.Parallel()
	b := setup(t)
	id, _ := b.conversation("ben", 100)
	last := chat.Seq(101)
	// act adds edits of the last message and reactions to the first one, in equal parts.
	act := func(n int) {
		t.Helper()
		for _, sql := range []string{
			`INSERT INTO entries (conversation_id, seq, kind, sender_id, created_at, body, target_seq)
			 SELECT c.id, c.last_seq + n, k.kind, '` + b.ann.String() + `', now(), k.body, k.target
			 FROM conversations c, generate_series(1, ` + fmt.Sprint(n) + `) n,
			      LATERAL (SELECT * FROM (VALUES (0, 'edit', 'x', ` + fmt.Sprint(last) + `), (1, 'reaction_added', '👍', 2)) x(i, kind, body, target)
			               WHERE x.i = n % 2) k
			 WHERE c.id = '` + id.String() + `'`,
			`UPDATE conversations SET last_seq = last_seq + ` + fmt.Sprint(n) + ` WHERE id = '` + id.String() + `'`,
		} {
			if _, err := b.cfg.DB.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(when string, middle chat.Seq) {
		t.Helper()
		conn, err := b.cfg.DB.Pool().Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Release()
		for _, c := range []struct{ name, sql, args string }{
			{"newest", selectDown, fmt.Sprintf("'%s', '%s', %d, 50", id, b.ann, maxSeq)},
			{"before the middle of the actions", selectDown, fmt.Sprintf("'%s', '%s', %d, 50", id, b.ann, middle)},
			{"after the last message", selectUp, fmt.Sprintf("'%s', '%s', %d, 50", id, b.ann, last)},
			{"after the middle of the actions", selectUp, fmt.Sprintf("'%s', '%s', %d, 50", id, b.ann, middle)},
			{"the end", selectUp, fmt.Sprintf("'%s', '%s', %d, 50", id, b.ann, last-50)},
			{"the view", selectView, fmt.Sprintf("'%s', '%s'", id, b.ann)},
		} {
			// With the plan that every execution has: one that does not know its arguments.
			if _, err := conn.Exec(t.Context(), `PREPARE read AS `+c.sql); err != nil {
				t.Fatal(err)
			}
			var out []struct{ Plan plan }
			if err := conn.QueryRow(t.Context(), `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE read(`+c.args+`)`).Scan(&out); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Exec(t.Context(), `DEALLOCATE read`); err != nil {
				t.Fatal(err)
			}
			if p := out[0].Plan; p.mostRows() > 51 || p.buffers() > 45 {
				t.Errorf("%s, %s: %g rows pass through a step, %d pages are read", when, c.name, p.mostRows(), p.buffers())
			}
		}
	}
	act(1000)
	check("a thousand actions", 600)
	for range 9 { // a statement may not take as long as all of them would
		act(111_000)
	}
	check("a million", 500_000)
	if _, err := b.cfg.DB.Exec(t.Context(), `VACUUM ANALYZE`); err != nil {
		t.Fatal(err)
	}
	check("a million, with statistics", 500_000)

	// And they are the right pages.
	p, err := b.Page(t.Context(), b.ann, id, Range{Newest, 0, 50})
	if err != nil || len(p.Messages) != 50 || p.Messages[49].Seq != last || p.Messages[49].Body != "x" || p.HasAfter || !p.HasBefore || p.LastSeq != last+1_000_000 {
		t.Errorf("the newest page has %d messages up to %d, %v", len(p.Messages), p.LastSeq, err)
	}
	p, err = b.Page(t.Context(), b.ann, id, Range{After, 500_000, 50})
	if err != nil || len(p.Messages) != 0 || p.HasAfter {
		t.Errorf("after the last message there are %d, %v", len(p.Messages), err)
	}
}
