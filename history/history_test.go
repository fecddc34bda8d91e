package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"parley/accounts"
	"parley/chat"
	"parley/hub"
	"parley/store"
	"parley/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type bundle struct {
	*Service
	t    *testing.T
	chat *chat.Service
	ann  accounts.UserID
}

func setup(t *testing.T) *bundle {
	t.Helper()
	db := storetest.New(t)
	epoch, err := db.Epoch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	h := hub.New(hub.Config{Logger: log, Translate: store.Problem})
	c := chat.New(chat.Config{DB: db, Hub: h, Logger: log})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	b := &bundle{New(Config{DB: db, Chat: c, Epoch: epoch}), t, c, accounts.UserID{}}
	b.ann = b.user("ann")
	return b
}

func (b *bundle) user(name string) accounts.UserID {
	b.t.Helper()
	id := accounts.UserID(uuid.Must(uuid.NewV7()))
	_, err := b.cfg.DB.Exec(b.t.Context(),
		`INSERT INTO users (id, username, display_name, password_hash, role) VALUES ($1, $2, $2, '', 'member')`, id, name)
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// conversation makes one of ann and somebody new, with n messages.
func (b *bundle) conversation(name string, n int) (chat.ConversationID, accounts.UserID) {
	b.t.Helper()
	other := b.user(name)
	c, err := b.chat.OpenDirect(b.t.Context(), b.ann, other)
	if err != nil {
		b.t.Fatal(err)
	}
	b.say(c.ID, n, "")
	return c.ID, other
}

func (b *bundle) say(id chat.ConversationID, n int, suffix string) {
	b.t.Helper()
	const window = 1000 // below the writer's queue
	for at := 0; at < n; at += window {
		m := min(window, n-at)
		errs := make(chan error, m)
		for i := range m {
			b.chat.Submit(chat.Outgoing{ConversationID: id, SenderID: b.ann, ClientID: uuid.Must(uuid.NewV7()), Body: fmt.Sprint(at+i) + suffix},
				func(_ chat.Sent, err error) { errs <- err })
		}
		for range m {
			if err := <-errs; err != nil {
				b.t.Fatal(err)
			}
		}
	}
}

func seqs(page Page) (s []chat.Seq) {
	for _, m := range page.Messages {
		s = append(s, m.Seq)
	}
	return s
}

func TestPage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id, _ := b.conversation("ben", 9) // seqs 1 to 10
	for _, tc := range []struct {
		r             Range
		first, last   chat.Seq // 0, 0: an empty page
		before, after bool
	}{
		{Range{Newest, 0, 3}, 8, 10, true, false},
		{Range{Newest, 0, 50}, 1, 10, false, false},
		{Range{Before, 8, 3}, 5, 7, true, true},
		{Range{Before, 4, 50}, 1, 3, false, true},
		{Range{Before, 1, 50}, 0, 0, false, true},
		{Range{Before, 1000, 2}, 9, 10, true, false},
		{Range{After, 0, 3}, 1, 3, false, true},
		{Range{After, 7, 3}, 8, 10, true, false},
		{Range{After, 10, 3}, 0, 0, true, false},
		{Range{Around, 5, 4}, 3, 6, true, true},
		{Range{Around, 1, 4}, 1, 2, false, true},
		{Range{Around, 10, 4}, 8, 10, true, false},
		{Range{Around, 5, 1}, 5, 5, true, true},
		{Range{Around, 99, 1}, 0, 0, true, false},
	} {
		p, err := b.Page(t.Context(), b.ann, id, tc.r)
		if err != nil {
			t.Fatal(err)
		}
		var want []chat.Seq
		for s := tc.first; s <= tc.last && tc.first > 0; s++ {
			want = append(want, s)
		}
		if !slices.Equal(seqs(p), want) || p.HasBefore != tc.before || p.HasAfter != tc.after {
			t.Errorf("%+v: want %v before=%v after=%v\n got %v before=%v after=%v", tc.r, want, tc.before, tc.after, seqs(p), p.HasBefore, p.HasAfter)
		}
	}
}

// A former member keeps what they could read, and nothing beyond; a late one sees
// nothing from before.
func TestMembershipInterval(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id, ben := b.conversation("ben", 9)
	if _, err := b.cfg.DB.Exec(t.Context(), `UPDATE members SET from_seq = 3, until_seq = 7 WHERE user_id = $1`, ben); err != nil {
		t.Fatal(err)
	}
	p, err := b.Page(t.Context(), ben, id, Range{Newest, 0, 50})
	if err != nil || !slices.Equal(seqs(p), []chat.Seq{3, 4, 5, 6, 7}) || p.HasBefore || p.HasAfter {
		t.Fatalf("%v %+v %v", seqs(p), p, err)
	}
	entries, last, err := b.Entries(t.Context(), ben, id, 0, 100)
	if err != nil || len(entries) != 5 || last != 7 {
		t.Fatalf("%d entries to %d, %v", len(entries), last, err)
	}
	missed, err := b.Sync(t.Context(), ben, Held{Conversations: map[chat.ConversationID]chat.Seq{id: 5}})
	if err != nil || len(missed.Entries) != 2 || missed.Entries[1].Seq != 7 || len(missed.Conversations)+len(missed.More) != 0 {
		t.Fatalf("sync gave a former member %+v %v", missed, err)
	}
	eve := b.user("eve")
	if _, err := b.Page(t.Context(), eve, id, Range{Limit: 50}); !errors.Is(err, chat.ErrNotMember) {
		t.Errorf("a stranger reads a page: %v", err)
	}
	if _, _, err := b.Entries(t.Context(), eve, id, 0, 50); !errors.Is(err, chat.ErrNotMember) {
		t.Errorf("a stranger reads the log: %v", err)
	}
	if missed, err := b.Sync(t.Context(), eve, Held{Conversations: map[chat.ConversationID]chat.Seq{id: 0}}); err != nil || len(missed.Entries)+len(missed.Conversations)+len(missed.More) != 0 {
		t.Errorf("sync gave a stranger %+v %v", missed, err)
	}
}

func TestSync(t *testing.T) {
	t.Parallel()
	b := setup(t)
	same, _ := b.conversation("same", 3)       // held wholly
	behind, _ := b.conversation("behind", 9)   // some held
	unknown, _ := b.conversation("unknown", 2) // not held
	long, _ := b.conversation("long", syncEach+100)
	held := Held{Conversations: map[chat.ConversationID]chat.Seq{same: 4, behind: 6, long: 1}, KnownEpoch: b.cfg.Epoch}
	m, err := b.Sync(t.Context(), b.ann, held)
	if err != nil {
		t.Fatal(err)
	}
	var conversations []chat.ConversationID
	for _, c := range m.Conversations {
		conversations = append(conversations, c.ID)
	}
	if !slices.Equal(conversations, []chat.ConversationID{long, unknown, behind}) {
		t.Errorf("conversations %v", conversations)
	}
	next := map[chat.ConversationID]chat.Seq{behind: 7, long: 2}
	for _, e := range m.Entries {
		if e.Seq != next[e.ConversationID] {
			t.Fatalf("entry %d of %v, want %d", e.Seq, e.ConversationID, next[e.ConversationID])
		}
		next[e.ConversationID]++
	}
	if next[behind] != 11 {
		t.Errorf("behind got entries up to %d", next[behind]-1)
	}
	if !slices.Contains(m.More, long) || !slices.Contains(m.More, unknown) || len(m.More) != 2 {
		t.Errorf("more is %v", m.More)
	}

	held.KnownEpoch = uuid.New()
	if m, err = b.Sync(t.Context(), b.ann, held); err != nil || len(m.Conversations) != 4 || len(m.Entries)+len(m.More) != 0 {
		t.Errorf("another epoch: %d conversations, %d entries, %v", len(m.Conversations), len(m.Entries), err)
	}
}

// The answer is bounded in bytes whatever was missed, and says what it leaves out: who
// asks again with what it got, and pages the rest, ends up with everything.
func TestSyncIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const friends = 12
	held := Held{Conversations: map[chat.ConversationID]chat.Seq{}}
	for i := range friends {
		id, _ := b.conversation(fmt.Sprintf("friend%d", i), 0)
		b.say(id, 10, strings.Repeat("\x01", chat.MaxBody-2)) // six bytes each in JSON
		if i%2 == 1 {
			held.Conversations[id] = 1
		}
	}
	known := map[chat.ConversationID]bool{}
	for range friends {
		m, err := b.Sync(t.Context(), b.ann, held)
		if err != nil {
			t.Fatal(err)
		}
		j, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if limit := syncBytes + 40*len(m.More) + 100; len(j) > limit {
			t.Fatalf("%d bytes with %d conversations and %d entries", len(j), len(m.Conversations), len(m.Entries))
		}
		if len(m.Conversations) == 0 {
			break
		}
		if len(m.Entries) == 0 && len(known) == 0 {
			t.Error("there is no room for an entry")
		}
		for _, c := range m.Conversations {
			if known[c.ID] {
				t.Errorf("conversation %v came again", c.ID)
			}
			if !slices.Contains(m.More, c.ID) {
				t.Errorf("more does not name %v, which is not whole", c.ID)
			}
			known[c.ID], held.Conversations[c.ID] = true, c.LastSeq // as if it had been paged
		}
	}
	if len(known) != friends {
		t.Errorf("%d of %d conversations came", len(known), friends)
	}
}

// However much was missed, and whatever the client says it has, what is read for the
// answer is bounded.
func TestSyncReadsNoMoreThanFits(t *testing.T) { // not parallel: it counts what the process allocates
	b := setup(t)
	id, _ := b.conversation("ben", 0)
	b.say(id, syncEach, strings.Repeat("x", chat.MaxBody-4))
	held := Held{Conversations: map[chat.ConversationID]chat.Seq{id: math.MinInt64}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m, err := b.Sync(t.Context(), b.ann, held)
	runtime.ReadMemStats(&after)
	if err != nil || len(m.Entries) == 0 || m.Entries[0].Seq != 1 || !slices.Contains(m.More, id) {
		t.Fatalf("%d entries, %v", len(m.Entries), err)
	}
	if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; mb > 4 {
		t.Errorf("%d MB were allocated for an answer of 256 KB", mb)
	}
}

// Neither does what a page is asked for besides, with the plan that every execution has, and
// while the tables are too young to have statistics: every range looks short then.
func TestViewReadsOnlyTheIndex(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id, _ := b.conversation("ben", 10_000)
	conn, err := b.cfg.DB.Pool().Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(t.Context(), `PREPARE v AS `+selectView); err != nil {
		t.Fatal(err)
	}
	var out []struct{ Plan plan }
	err = conn.QueryRow(t.Context(), fmt.Sprintf(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE v ('%s', '%s')`, id, b.ann)).Scan(&out)
	if err != nil {
		t.Fatal(err)
	}
	if p := out[0].Plan; p.mostRows() > 1 || p.buffers() > 20 {
		t.Errorf("%g rows pass through the plan, %d pages are read", p.mostRows(), p.buffers())
	}
}

// Any page of a long conversation is a few index reads: nothing scans the log or sorts it.
func TestPagesReadOnlyTheIndex(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n = 10_000
	id, _ := b.conversation("ben", n)
	b.conversation("cleo", 1000)
	if _, err := b.cfg.DB.Exec(t.Context(), `VACUUM ANALYZE`); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, sql string
		seq       chat.Seq
	}{
		{"newest", selectDown, maxSeq}, {"before the middle", selectDown, n / 2}, {"before the start", selectDown, 51},
		{"after the start", selectUp, 0}, {"after the middle", selectUp, n / 2}, {"after the end", selectUp, n - 50},
	} {
		plan := b.explain(tc.sql, id, b.ann, tc.seq, 50)
		if bad := plan.find("Seq Scan", "Bitmap Heap Scan"); bad != "" {
			t.Errorf("%s: the plan has a %s", tc.name, bad)
		}
		if n := plan.mostRows(); n > 50 {
			t.Errorf("%s: %g rows pass through the plan for 50 messages", tc.name, n)
		}
		if plan.buffers() > 20 {
			t.Errorf("%s: %d pages were read for 50 messages", tc.name, plan.buffers())
		}
	}
	missed := b.explain(selectMissed, b.ann, []chat.ConversationID{id}, []chat.Seq{n / 2}, []chat.Seq{n/2 + 50}, syncBytes)
	if bad := missed.find("Seq Scan", "Bitmap Heap Scan"); bad != "" || missed.buffers() > 20 {
		t.Errorf("what was missed: %d pages, and a %q", missed.buffers(), bad)
	}
	// And they are the right pages, from one end to the other.
	var got int
	for r := (Range{Newest, 0, 100}); ; {
		p, err := b.Page(t.Context(), b.ann, id, r)
		if err != nil {
			t.Fatal(err)
		}
		got += len(p.Messages)
		if !p.HasBefore {
			break
		}
		r = Range{Before, p.Messages[0].Seq, 100}
	}
	if got != n+1 {
		t.Errorf("paging back gave %d of %d entries", got, n+1)
	}
}

type plan struct {
	NodeType string  `json:"Node Type"`
	Rows     float64 `json:"Actual Rows"` // the mean of all its loops
	Removed  float64 `json:"Rows Removed by Filter"`
	Hit      int     `json:"Shared Hit Blocks"`
	Read     int     `json:"Shared Read Blocks"`
	Plans    []plan  `json:"Plans"`
}

func (b *bundle) explain(sql string, args ...any) plan {
	b.t.Helper()
	var out []struct{ Plan plan }
	if err := b.cfg.DB.QueryRow(b.t.Context(), `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) `+sql, args...).Scan(&out); err != nil {
		b.t.Fatal(err)
	}
	return out[0].Plan
}

func (p plan) find(types ...string) string {
	if slices.Contains(types, p.NodeType) {
		return p.NodeType
	}
	for _, c := range p.Plans {
		if bad := c.find(types...); bad != "" {
			return bad
		}
	}
	return ""
}

func (p plan) mostRows() float64 {
	n := p.Rows + p.Removed
	for _, c := range p.Plans {
		n = max(n, c.mostRows())
	}
	return n
}

func (p plan) buffers() int { return p.Hit + p.Read }

// Whoever is put out and comes back while their client syncs is told of what they lack all
// the same: the conversation is theirs, or one that was.
func TestSyncWhileComingBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ben := b.user("ben")
	group, err := b.chat.CreateGroup(t.Context(), b.ann, "Climbers", []accounts.UserID{ben})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	moving := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if err := b.chat.RemoveMember(t.Context(), b.ann, group.ID, ben); err != nil {
				moving <- err
				return
			}
			if _, err := b.chat.AddMembers(t.Context(), b.ann, group.ID, []accounts.UserID{ben}); err != nil {
				moving <- err
				return
			}
		}
		moving <- nil
	}()
	held := Held{Conversations: map[chat.ConversationID]chat.Seq{group.ID: 0}, KnownEpoch: b.cfg.Epoch}
	for i := range 400 {
		m, err := b.Sync(t.Context(), ben, held)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Entries) == 0 && len(m.More) == 0 {
			t.Fatalf("sync %d says that there is nothing: %+v", i, m)
		}
	}
	stop()
	if err := <-moving; err != nil {
		t.Fatal(err)
	}
}

// A client that holds an entry which is not in the log, as after a failover that lost it, is to
// start that conversation afresh, and only that one.
func TestSyncOfAnotherLog(t *testing.T) {
	t.Parallel()
	b := setup(t)
	same, _ := b.conversation("same", 3)
	id, ben := b.conversation("ben", 5)
	if _, err := b.cfg.DB.Exec(t.Context(), `UPDATE entries SET created_at = created_at + seq * interval '1 s' WHERE conversation_id = $1`, id); err != nil {
		t.Fatal(err)
	}
	entries, _, err := b.Entries(t.Context(), b.ann, id, 0, 100)
	if err != nil || len(entries) != 6 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	at := entries[3].CreatedAt // of seq 4
	for name, c := range map[string]struct {
		user  accounts.UserID
		have  chat.Seq
		mark  *EntryMark
		reset bool
	}{
		"the entry of the log":             {b.ann, 4, &EntryMark{4, at}, false},
		"an older entry of the log":        {b.ann, 6, &EntryMark{4, at}, false},
		"no entry":                         {b.ann, 4, nil, false},
		"another entry in its place":       {b.ann, 4, &EntryMark{4, at.Add(time.Microsecond)}, true},
		"an entry in another place":        {b.ann, 5, &EntryMark{5, at}, true},
		"an entry beyond the end":          {b.ann, 7, &EntryMark{7, at}, true},
		"a seq beyond the end":             {b.ann, 7, nil, true},
		"an entry that it may not see":     {ben, 6, &EntryMark{4, at}, true},
		"a former member's seq":            {ben, 3, nil, false},
		"a former member's last entry":     {ben, 3, &EntryMark{3, entries[2].CreatedAt}, false},
		"another entry of a former member": {ben, 3, &EntryMark{3, at}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if c.user == ben {
				if _, err := b.cfg.DB.Exec(t.Context(), `UPDATE members SET until_seq = 3 WHERE user_id = $1`, ben); err != nil {
					t.Fatal(err)
				}
			}
			held := Held{Conversations: map[chat.ConversationID]chat.Seq{id: c.have}}
			if c.user == b.ann {
				held.Conversations[same] = 4
			}
			if c.mark != nil {
				held.LastEntries = map[chat.ConversationID]EntryMark{id: *c.mark}
			}
			m, err := b.Sync(t.Context(), c.user, held)
			if err != nil {
				t.Fatal(err)
			}
			if got := slices.Contains(m.Reset, id); got != c.reset || len(m.Reset) > 1 {
				t.Errorf("reset is %v", m.Reset)
			}
			if c.reset && (len(m.Entries) > 0 || !slices.Contains(m.More, id)) {
				t.Errorf("%d entries of it, more %v", len(m.Entries), m.More)
			}
			if held.Conversations[id] != c.have {
				t.Error("the request was changed")
			}
		})
	}
}
