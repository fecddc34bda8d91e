package chat

import (
	"fmt"
	"slices"
	"testing"

	"parley/accounts"
)

const (
	manyConversations = 1000
	manyEntries       = 60
	manyMembers       = 40
)

// busy puts somebody into 1,000 groups of 40 people that have 60 entries each, a third of them
// edits and reactions; and makes four times as many, silent ones, of pairs of others.
func (b *bundle) busy(ann accounts.UserID) {
	b.t.Helper()
	const friend = `('00000000-0000-7000-8000-' || lpad((%s)::text, 12, '0'))::uuid`
	b.exec(`INSERT INTO users (id, username, display_name, password_hash, role)
	        SELECT `+fmt.Sprintf(friend, "n")+`, 'friend' || n, 'Friend', '', 'member' FROM generate_series(0, 99) n`,
		fmt.Sprintf(`INSERT INTO conversations (id, kind, title, last_seq, last_entry_at)
	        SELECT gen_random_uuid(), 'group', n::text, %d, timestamptz '2026-01-01' + n * interval '1 minute' FROM generate_series(1, %d) n`, manyEntries, 5*manyConversations),
		`CREATE VIEW hers AS SELECT * FROM conversations WHERE title::int % 5 = 0`,
		`INSERT INTO members (conversation_id, user_id, role, joined_seq, from_seq) SELECT id, '`+ann.String()+`', 'member', 1, 1 FROM hers`,
		`INSERT INTO members (conversation_id, user_id, role, joined_seq, from_seq)
	        SELECT id, `+fmt.Sprintf(friend, "n")+fmt.Sprintf(`, 'member', 1, 1 FROM hers, generate_series(1, %d) n`, manyMembers-1),
		`INSERT INTO members (conversation_id, user_id, role, joined_seq, from_seq)
	        SELECT id, `+fmt.Sprintf(friend, "(title::int / 5 + n * 50) % 100")+`, 'member', 1, 1 FROM conversations, generate_series(0, 1) n WHERE title::int % 5 > 0`,
		`INSERT INTO receipts (conversation_id, user_id, delivered_seq, read_seq) SELECT conversation_id, user_id, 20, 10 FROM members`,
		`INSERT INTO entries (conversation_id, seq, kind, sender_id, created_at, body, target_seq)
	        SELECT id, n, CASE WHEN n = 1 THEN 'created' WHEN n % 3 > 0 THEN 'message' WHEN n % 2 = 0 THEN 'edit' ELSE 'reaction_added' END, `+
			fmt.Sprintf(friend, "1")+fmt.Sprintf(`, now(), CASE WHEN n > 1 THEN 'x' END, CASE WHEN n %% 3 = 0 THEN n - 1 END FROM hers, generate_series(1, %d) n`, manyEntries),
		`VACUUM ANALYZE`)
}

// node is one of a query plan's.
type node struct {
	Type    string  `json:"Node Type"`
	Parent  string  `json:"Subplan Name"`
	Index   string  `json:"Index Name"`
	Keyed   string  `json:"Index Cond"`
	Rows    float64 `json:"Actual Rows"` // the mean of all its loops
	Removed float64 `json:"Rows Removed by Filter"`
	Loops   float64 `json:"Actual Loops"`
	Hit     int     `json:"Shared Hit Blocks"`
	Read    int     `json:"Shared Read Blocks"`
	Plans   []node  `json:"Plans"`
}

// walk visits the nodes of a plan, and says whether they choose the page.
func (n node) walk(inPage bool, visit func(n node, inPage bool)) {
	inPage = inPage || n.Parent == "CTE page"
	visit(n, inPage)
	for _, p := range n.Plans {
		p.walk(inPage, visit)
	}
}

// A page of the list of somebody in 1,000 conversations looks those up by key, and everything
// else for the page's alone: it never reads what belongs to others, nor the names of
// all members to show five of them.
func TestLongList(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann := b.user("ann")
	b.busy(ann)
	const page = 50
	conn, err := b.db.Pool().Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	// With the plan that every execution has: one that does not know its arguments.
	if _, err := conn.Exec(t.Context(), `PREPARE list AS `+selectConversationPage); err != nil {
		t.Fatal(err)
	}
	var plans []struct{ Plan node }
	err = conn.QueryRow(t.Context(), fmt.Sprintf(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE list(%d, false, '%s', '9999-01-01', '%s', %d)`,
		shownMembers, ann, ConversationID{}, page+1)).Scan(&plans)
	if err != nil {
		t.Fatal(err)
	}
	top := plans[0].Plan
	scans := 0
	top.walk(false, func(n node, inPage bool) {
		name := fmt.Sprintf("the %s by %s (in the page: %v)", n.Type, n.Index, inPage)
		switch n.Type {
		case "Seq Scan":
			t.Errorf("there is a %s", n.Type)
		case "Index Scan", "Index Only Scan", "Bitmap Index Scan":
			scans++
			if n.Keyed == "" {
				t.Errorf("%s reads all of it", name)
			}
		}
		most := float64(manyConversations)
		if !inPage {
			// Each conversation's log and members once, its first members' names, and the last edit
			// of each unread message.
			most = (page + 1) * max(manyMembers, manyEntries)
		}
		if rows := (n.Rows + n.Removed) * n.Loops; rows > most {
			t.Errorf("%g rows pass through %s", rows, name)
		}
		// The names of the first members, and a step for each message with an edit, a sixth of them.
		if !inPage && n.Loops > (page+1)*max(shownMembers, manyEntries/6) {
			t.Errorf("%s happens %g times", name, n.Loops)
		}
	})
	if buffers := top.Hit + top.Read; scans < 5 || buffers > 12*manyConversations {
		t.Errorf("%d index scans read %d pages", scans, buffers)
	}

	// And it is the right list, from one end to the other.
	var got []string
	for cursor, more := "", true; more; more = cursor != "" {
		var list []Conversation
		if list, cursor, err = b.List(t.Context(), ann, cursor, page); err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			got = append(got, c.Title)
			if c.Unread != 33 || c.MemberCount != manyMembers || len(c.Members) != shownMembers || c.LastMessage.Seq != manyEntries-1 || c.LastMessage.Body != "x" {
				t.Fatalf("it has %+v", c)
			}
		}
	}
	var want []string
	for n := 5 * manyConversations; n > 0; n -= 5 {
		want = append(want, fmt.Sprint(n))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the list is %v", got)
	}
}
