package chat

import (
	"fmt"
	"testing"
)

// However many actions and events lie behind the last message, a list reads as much for it as it
// does behind a thousand of them: with statistics and without.
func TestListReadsTheSameBehindAMillionActions(t *testing.T) {
	if testing.Short() {
		t.Skip("stores a million entries")
	}
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	for range 100 {
		b.send(ann, id, "hello")
	}
	last := Seq(101)
	// act adds edits of the last message, reactions to the first one, and events, in equal parts.
	act := func(n int) {
		t.Helper()
		b.exec(`INSERT INTO entries (conversation_id, seq, kind, sender_id, created_at, body, target_seq, detail)
			SELECT c.id, c.last_seq + n, k.kind, '`+ann.String()+`', now(), k.body, k.target,
			       CASE WHEN k.kind = 'edit' THEN '{"mentions": ["`+ben.String()+`"]}'::jsonb END
			FROM conversations c, generate_series(1, `+fmt.Sprint(n)+`) n,
			     LATERAL (SELECT * FROM (VALUES (0, 'edit', 'x', `+fmt.Sprint(last)+`), (1, 'reaction_added', '👍', 2), (2, 'title_changed', NULL, NULL)) x(i, kind, body, target)
			              WHERE x.i = n % 3) k
			WHERE c.id = '`+id.String()+`'`,
			`UPDATE conversations SET last_seq = last_seq + `+fmt.Sprint(n)+` WHERE id = '`+id.String()+`'`)
	}
	// cost gives the rows that pass through the list's busiest step, and the pages it reads.
	cost := func(sql string) (rows float64, pages int) {
		t.Helper()
		conn, err := b.db.Pool().Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Release()
		// With the plan that every execution has: one that does not know its arguments.
		if _, err := conn.Exec(t.Context(), `PREPARE list AS `+sql); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if _, err := conn.Exec(t.Context(), `DEALLOCATE list`); err != nil {
				t.Error(err)
			}
		}()
		args := fmt.Sprintf(`%d, false, '%s', '9999-01-01', '%s', 51`, shownMembers, ben, ConversationID{})
		if sql == selectConversations {
			args = fmt.Sprintf(`%d, false, '%s', ARRAY['%s'::uuid]`, shownMembers, ben, id)
		}
		var plans []struct{ Plan node }
		if err := conn.QueryRow(t.Context(), `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE list(`+args+`)`).Scan(&plans); err != nil {
			t.Fatal(err)
		}
		plans[0].Plan.walk(false, func(n node, _ bool) { rows = max(rows, (n.Rows+n.Removed)*n.Loops) })
		return rows, plans[0].Plan.Hit + plans[0].Plan.Read
	}
	for _, statistics := range []bool{false, true} {
		if statistics {
			b.exec(`VACUUM ANALYZE`)
		} else {
			act(1000)
		}
		for name, sql := range map[string]string{"a page": selectConversationPage, "one conversation": selectConversations} {
			rows, pages := cost(sql)
			if rows > 110 || pages > 120 {
				t.Errorf("%s, statistics %v: %g rows pass through a step, %d pages are read", name, statistics, rows, pages)
			}
		}
		if !statistics {
			for range 9 { // a statement may not take as long as all of them would
				act(111_000)
			}
			for name, sql := range map[string]string{"a page": selectConversationPage, "one conversation": selectConversations} {
				if rows, pages := cost(sql); rows > 110 || pages > 140 {
					t.Errorf("%s of a million: %g rows pass through a step, %d pages are read", name, rows, pages)
				}
			}
		}
	}
	c, err := b.Conversation(t.Context(), ben, id)
	if err != nil || c.Unread != 100 || c.Mentions != 1 || c.LastMessage == nil || c.LastMessage.Seq != last || c.LastMessage.Body != "x" {
		t.Errorf("the conversation is %+v, %v", c, err)
	}
}
