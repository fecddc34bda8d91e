package chat

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"parley/accounts"
	"parley/store"
	"parley/store/storetest"
)

// event waits for the next event of a kind.
func (c *client) event(kind string) frame {
	c.t.Helper()
	for {
		if f := c.next(); f.Type == kind {
			return f
		}
	}
}

// Whoever is connected to another replica gets what happens here, from the first moment on:
// conversations that are made, messages, people who come and go, and what no entry says.
func TestAcrossReplicas(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	one, two := linked(t, db), linked(t, db)
	ann, ben, eve := one.user("ann"), one.user("ben"), one.user("eve")
	b, e := two.connect(ben), two.connect(eve)
	c, err := one.OpenDirect(t.Context(), ann, ben)
	if err != nil {
		t.Fatal(err)
	}
	one.send(ann, c.ID, "hello")
	if f := b.next(); f.Type != "conversation" || decode[Conversation](t, f.Data).ID != c.ID {
		t.Fatalf("ben gets %s %s", f.Type, f.Data)
	}
	for want := Seq(1); want <= 2; want++ {
		if got := b.entry(); got.ConversationID != c.ID || got.Seq != want {
			t.Fatalf("ben gets %+v, not entry %d", got, want)
		}
	}

	id := one.group(ann)
	if _, err := one.AddMembers(t.Context(), ann, id, []accounts.UserID{ben, eve}); err != nil {
		t.Fatal(err)
	}
	a := one.connect(ann)
	two.send(ben, id, "from there")
	if got := a.entry(); got.Body != "from there" {
		t.Fatalf("ann gets %+v", got)
	}
	if _, err := two.Act(t.Context(), Action{Kind: KindReactionAdded, ConversationID: id, SenderID: ben, TargetSeq: 4, Emoji: "👋"}); err != nil {
		t.Fatal(err)
	}
	if got := a.entry(); got.Kind != KindReactionAdded {
		t.Fatalf("ann gets %+v", got)
	}
	share := true
	if err := one.UpdateGroup(t.Context(), ann, id, GroupUpdate{ShareHistory: &share}); err != nil {
		t.Fatal(err)
	}
	for face := (Conversation{}); !face.ShareHistory; {
		face = decode[Conversation](t, e.event("conversation").Data)
	}
	// What somebody decided for themselves is shown to their connections.
	none := NotifyNone
	if _, err := one.UpdateSettings(t.Context(), eve, id, Settings{Notify: &none}); err != nil {
		t.Fatal(err)
	}
	if face := decode[Conversation](t, e.event("conversation").Data); face.ID != id || face.Notify != NotifyNone {
		t.Fatalf("eve is shown %+v", face)
	}
	if err := one.RemoveMember(t.Context(), ann, id, eve); err != nil {
		t.Fatal(err)
	}
	for got := (Entry{}); got.Kind != KindMemberRemoved; {
		got = e.entry()
	}
	one.send(ann, id, "eve is gone")
	for got := (Entry{}); got.Body != "eve is gone"; {
		got = b.entry()
	}
	two.byUser.Publish(eve, []byte(`{"type":"end"}`))
	if f := e.next(); f.Type != "end" {
		t.Errorf("eve gets %s %s after her removal", f.Type, f.Data)
	}

	one.exec(`UPDATE users SET display_name = 'Annabel' WHERE username = 'ann'`)
	one.ProfileChanged(ann)
	for _, c := range []*client{a, b} {
		if got := decode[accounts.User](t, c.event("user").Data); got.DisplayName != "Annabel" || got.ID != ann {
			t.Errorf("they hear of %+v", got)
		}
	}
	two.byUser.Publish(eve, []byte(`{"type":"end"}`))
	if f := e.next(); f.Type != "end" {
		t.Errorf("eve, who shares nothing with ann, gets %s %s", f.Type, f.Data)
	}
}

// Three replicas send into the same conversations at once: every connection gets every entry in
// its order, whichever replica it is connected to.
func TestOrderAcrossReplicas(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	replicas := []*bundle{linked(t, db), linked(t, db), linked(t, db)}
	ann, ben := replicas[0].user("ann"), replicas[0].user("ben")
	const conversations, each = 3, 40
	var ids []ConversationID
	for range conversations {
		ids = append(ids, replicas[0].group(ann, ben))
	}
	var clients []*client
	for _, r := range replicas {
		clients = append(clients, r.connect(ann), r.connect(ben))
	}
	errs := make(chan error, len(replicas))
	for n, r := range replicas {
		go func() {
			for i := range each {
				for _, id := range ids {
					_, err := r.Send(t.Context(), Outgoing{ConversationID: id, SenderID: ben, ClientID: uuid.Must(uuid.NewV7()), Body: fmt.Sprint(n, i)})
					if err != nil {
						errs <- err
						return
					}
				}
			}
			errs <- nil
		}()
	}
	for range replicas {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	last := Seq(1 + each*len(replicas))
	for i, c := range clients {
		at := make(map[ConversationID]Seq)
		for _, id := range ids {
			at[id] = 1 // they connected after the beginning
		}
		for slices.ContainsFunc(ids, func(id ConversationID) bool { return at[id] < last }) {
			e := c.entry()
			if e.Seq == 1 {
				continue // of a gate that was there before the connection
			}
			if e.Seq != at[e.ConversationID]+1 {
				t.Fatalf("client %d gets %d after %d", i, e.Seq, at[e.ConversationID])
			}
			at[e.ConversationID] = e.Seq
		}
	}
}

// before is a database on which something happens before a statement.
type before struct {
	store.Querier
	sql string
	do  func()
}

func (d before) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if sql == d.sql {
		d.do()
	}
	return d.Querier.Query(ctx, sql, args...)
}

// Who connects gets what is committed from then on: what was said before, in a conversation
// that is new, does not come over the socket, also if it is looked for in that moment.
func TestSweepWhileConnecting(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	other, b := replica(t, db), replica(t, db)
	ann, ben := b.user("ann"), b.user("ben")
	id := other.group(ann, ben)
	other.send(ann, id, "before")
	b.q.db = before{db, selectMembershipsOf, func() {
		if err := b.gates.sweepAdmitted(t.Context(), 0); err != nil {
			t.Error(err)
		}
	}}
	c := b.connect(ben)
	b.send(ann, id, "after")
	if e := c.entry(); e.Body != "after" {
		t.Errorf("ben gets %+v", e)
	}
}

// A database that stands still while a replica looks for what it missed does not keep it from
// looking again soon: what nobody tells of meanwhile comes all the same.
func TestSweepAfterAStandstill(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	silent, b := replica(t, db), linked(t, db)
	linked(t, db) // so that b is not alone
	ann, ben := b.user("ann"), b.user("ben")
	id := silent.group(ann)
	c := b.connect(ben)
	tx, err := db.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := tx.Exec(t.Context(), `LOCK TABLE members IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	waiting := func() (n int) {
		t.Helper()
		err := db.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'members'::regclass
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	await := func(what string, holds func(n int) bool) {
		t.Helper()
		for begin := time.Now(); !holds(waiting()); time.Sleep(time.Millisecond) {
			if time.Since(begin) > 20*time.Second {
				t.Fatal(what)
			}
		}
	}
	await("not all of them look", func(n int) bool { return n == 3 })
	time.Sleep(2 * time.Second) // that is the standstill
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	await("they still look", func(n int) bool { return n == 0 })
	if _, err := silent.AddMembers(t.Context(), ann, id, []accounts.UserID{ben}); err != nil {
		t.Fatal(err)
	}
	if e := c.entry(); e.Kind != KindMemberAdded || e.UserID != ben {
		t.Errorf("ben gets %+v", e)
	}
}
