package receipts

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"parley/accounts"
	"parley/chat"
	"parley/store/storetest"
)

// In a direct conversation both sides are told of each other's marks, on every device, and
// see them in the conversation.
func TestDirect(t *testing.T) {
	t.Parallel()
	r := setup(t)
	ann, ben := r.user("ann"), r.user("ben")
	id := r.direct(ann, ben)
	a, phone, laptop := r.connect(ann), r.connect(ben), r.connect(ben)
	seq := r.send(ann, id)
	r.write()
	sent := Event{id, ann, seq, seq}
	a.wantTold(sent)
	phone.wantTold(sent)
	laptop.wantTold(sent)

	claim(t, phone, "receipt.delivered", id, seq)
	r.write()
	delivered := Event{id, ben, seq, 0}
	a.wantTold(delivered)
	phone.wantTold(delivered)
	laptop.wantTold(delivered)
	if c := r.face(ann, id); c.OthersDeliveredSeq != seq || c.OthersReadSeq != 0 {
		t.Errorf("ann sees %d delivered, %d read", c.OthersDeliveredSeq, c.OthersReadSeq)
	}
	if c := r.face(ben, id); c.Unread != 1 || c.DeliveredSeq != seq || c.OthersReadSeq != seq {
		t.Errorf("ben sees %d unread, %d delivered, %d read by ann", c.Unread, c.DeliveredSeq, c.OthersReadSeq)
	}

	claim(t, laptop, "receipt.read", id, seq)
	r.write()
	read := Event{id, ben, seq, seq}
	a.wantTold(read)
	phone.wantTold(read)
	laptop.wantTold(read)
	if c := r.face(ben, id); c.Unread != 0 {
		t.Errorf("ben has %d unread", c.Unread)
	}
	// Once: what does not move is not told.
	claim(t, phone, "receipt.read", id, seq)
	claim(t, phone, "receipt.delivered", id, seq-1)
	r.write()
	a.wantTold()
	phone.wantTold()
}

// claim makes a client raise a mark.
func claim(t *testing.T, c *client, kind string, id chat.ConversationID, seq chat.Seq) {
	t.Helper()
	if answer, told := c.ask(kind, frameData(id, seq)); answer != "{}" || len(told) > 0 {
		t.Fatalf("%s: %s, told %v", kind, answer, told)
	}
}

// What somebody has read is told only if both tell it; that it was delivered always is. Who
// does not tell it does not give the moment away either.
func TestReadReceiptsOff(t *testing.T) {
	t.Parallel()
	for _, who := range []string{"reader", "author"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			r := setup(t)
			ann, ben := r.user("ann"), r.user("ben")
			id := r.direct(ann, ben)
			group := r.group(ann, ben)
			r.exec(`UPDATE users SET read_receipts = false WHERE username = $1`, map[string]string{"reader": "ben", "author": "ann"}[who])
			a, b := r.connect(ann), r.connect(ben)
			seq := r.send(ann, id)
			r.send(ann, group)
			r.write()
			b.told()
			a.told()

			r.Delivered(id, ben, seq)
			r.write()
			a.wantTold(Event{id, ben, seq, 0})
			r.Read(id, ben, seq)
			r.write()
			a.wantTold()
			b.wantTold(Event{id, ben, seq, 0}, Event{id, ben, seq, seq})
			r.Read(group, ben, 2)
			r.write()
			if c := r.face(ann, id); c.OthersDeliveredSeq != seq || c.OthersReadSeq != 0 {
				t.Errorf("ann sees %d delivered, %d read", c.OthersDeliveredSeq, c.OthersReadSeq)
			}
			if c := r.face(ben, id); c.OthersReadSeq != 0 || c.ReadSeq != seq || c.Unread != 0 {
				t.Errorf("ben sees %d read by ann, and %d by himself", c.OthersReadSeq, c.ReadSeq)
			}
			for _, of := range []chat.ConversationID{id, group} {
				list := r.details(ann, of, 2)
				if len(list) != 1 || !list[0].Delivered || list[0].DeliveredAt == nil || list[0].Read || list[0].ReadAt != nil {
					t.Errorf("the details are %+v", list)
				}
			}
			// Delivered and read at once: the one is told.
			next := r.send(ann, id)
			r.Read(id, ben, next)
			r.write()
			told := a.told()
			if !slices.Contains(told, Event{id, ben, next, 0}) || slices.Contains(told, Event{id, ben, next, next}) {
				t.Errorf("ann is told %v", told)
			}
		})
	}
}

func (r *replica) details(me accounts.UserID, id chat.ConversationID, seq chat.Seq) []Mark {
	r.t.Helper()
	list, err := r.Of(context.Background(), me, id, seq)
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

// When somebody got a message is known if their mark passed it in its last move.
func TestTimes(t *testing.T) {
	t.Parallel()
	b := pair(t)
	for n := range 9 {
		b.exec(`INSERT INTO entries (conversation_id, seq, kind, sender_id, created_at, body) VALUES ($1, $2, 'message', $3, now(), 'x')`, b.id, n+2, b.ann)
	}
	for _, step := range []struct {
		do   func()
		seq  chat.Seq
		want [4]bool // delivered, read; and whether it is known when
	}{
		{func() { b.Delivered(b.id, b.ben, 4) }, 4, [4]bool{true, false, true, false}},
		{func() {}, 5, [4]bool{}},
		{func() { b.Delivered(b.id, b.ben, 6) }, 5, [4]bool{true, false, true, false}},
		{func() {}, 4, [4]bool{true, false, false, false}},
		{func() { b.Read(b.id, b.ben, 3) }, 3, [4]bool{true, true, false, true}},
		{func() {}, 4, [4]bool{true, false, false, false}},
		{func() {}, 6, [4]bool{true, false, true, false}}, // reading does not move it
		{func() { b.Read(b.id, b.ben, 9) }, 8, [4]bool{true, true, true, true}},
		{func() {}, 3, [4]bool{true, true, false, false}},
		{func() { b.Read(b.id, b.ben, 9); b.Delivered(b.id, b.ben, 2) }, 8, [4]bool{true, true, true, true}},
	} {
		step.do()
		b.write()
		list := b.details(b.ann, b.id, step.seq)
		if len(list) != 1 || list[0].UserID != b.ben {
			t.Fatalf("the details are %+v", list)
		}
		if m := list[0]; [4]bool{m.Delivered, m.Read, m.DeliveredAt != nil, m.ReadAt != nil} != step.want {
			t.Errorf("of %d: %+v, want %v", step.seq, m, step.want)
		}
	}
}

// In a group its own marks tell everybody nothing but their owner; the authors are told how
// far everybody has it, once. Who comes later counts from their coming, and who leaves no
// longer.
func TestGroup(t *testing.T) {
	t.Parallel()
	r := setup(t)
	ann, ben, eve, dan := r.user("ann"), r.user("ben"), r.user("eve"), r.user("dan")
	id := r.group(ann, ben, eve)
	a, b, e := r.connect(ann), r.connect(ben), r.connect(eve)
	all := func(seq chat.Seq) Event { return Event{ConversationID: id, DeliveredSeq: seq} }
	seq := r.send(ann, id)
	r.write()
	a.wantTold(Event{id, ann, seq, seq})
	r.Read(id, ben, seq)
	r.write()
	a.wantTold()
	b.wantTold(Event{id, ben, seq, seq})
	r.Delivered(id, eve, seq)
	r.write()
	a.wantTold(all(seq))
	b.wantTold() // who wrote nothing has nothing to show
	e.wantTold(Event{id, eve, seq, 0})
	if c := r.face(ann, id); c.OthersDeliveredSeq != seq || c.OthersReadSeq != 0 {
		t.Errorf("ann sees %d, %d", c.OthersDeliveredSeq, c.OthersReadSeq)
	}
	r.Read(id, eve, seq)
	r.write()
	a.wantTold()
	e.wantTold(Event{id, eve, seq, seq})

	// Two authors, and eve is behind: told to both when she has it, up to where she has it.
	first, second := r.send(ben, id), r.send(ann, id)
	r.Delivered(id, ann, second)
	r.Delivered(id, ben, second)
	r.write()
	a.told()
	b.told()
	if got := r.behind(id); got != eve {
		t.Errorf("%v holds it back, not eve", got)
	}
	r.Delivered(id, eve, first)
	r.write()
	a.wantTold()
	b.wantTold(all(first))

	// Dan comes: he counts from there on, and eve holds it back, until she leaves.
	if _, err := r.chat.AddMembers(t.Context(), ann, id, []accounts.UserID{dan}); err != nil {
		t.Fatal(err)
	}
	third := r.send(ann, id)
	r.Delivered(id, ben, third)
	r.write()
	a.wantTold(Event{id, ann, third, third})
	r.Delivered(id, dan, third)
	r.write()
	a.wantTold()
	if err := r.chat.RemoveMember(t.Context(), eve, id, eve); err != nil {
		t.Fatal(err)
	}
	r.Delivered(id, ann, third+1) // as its client says when the entry comes
	r.write()
	a.wantTold(Event{id, ann, third + 1, third}, all(third))
	if c := r.face(ben, id); c.OthersDeliveredSeq != third {
		t.Errorf("ben sees %d", c.OthersDeliveredSeq)
	}
}

// An author who has left the group is told nothing of it any more, though what everybody got
// is theirs.
func TestFormerAuthor(t *testing.T) {
	t.Parallel()
	r := setup(t)
	ann, ben, eve := r.user("ann"), r.user("ben"), r.user("eve")
	id := r.group(ann, ben, eve)
	a, e := r.connect(ann), r.connect(eve)
	r.send(eve, id)
	seq := r.send(ann, id)
	r.write()
	if err := r.chat.RemoveMember(t.Context(), ann, id, eve); err != nil {
		t.Fatal(err)
	}
	a.told()
	e.told()
	r.Delivered(id, ben, seq)
	r.write()
	a.wantTold(Event{ConversationID: id, DeliveredSeq: seq})
	e.wantTold()
}

// Who cannot sign in holds nothing back, from the next mark on; nor does it go back when they
// can again.
func TestDisabledMember(t *testing.T) {
	t.Parallel()
	r := setup(t)
	ann, ben, eve := r.user("ann"), r.user("ben"), r.user("eve")
	id := r.group(ann, ben, eve)
	a := r.connect(ann)
	all := func(seq chat.Seq) Event { return Event{ConversationID: id, DeliveredSeq: seq} }
	seq := r.send(ann, id)
	r.write()
	if got := r.behind(id); got != ben && got != eve {
		t.Fatalf("%v holds it back", got)
	}
	a.told()
	r.Delivered(id, ben, seq)
	r.write()
	a.wantTold() // eve has not got it
	if got := r.behind(id); got != eve {
		t.Fatalf("%v holds it back, not eve", got)
	}
	r.exec(`UPDATE users SET disabled_at = now() WHERE id = $1`, eve)
	r.Read(id, ben, seq)
	r.write()
	a.wantTold(all(seq))

	r.exec(`UPDATE users SET disabled_at = NULL WHERE id = $1`, eve)
	next := r.send(ann, id)
	r.Delivered(id, ben, next)
	r.write()
	a.wantTold(Event{id, ann, next, next})
	if c := r.face(ann, id); c.OthersDeliveredSeq != seq {
		t.Errorf("ann sees %d, not %d", c.OthersDeliveredSeq, seq)
	}
	r.Delivered(id, eve, next)
	r.write()
	a.wantTold(all(next))
}

func (r *replica) behind(id chat.ConversationID) (user accounts.UserID) {
	r.t.Helper()
	if err := r.cfg.DB.QueryRow(context.Background(), `SELECT behind FROM delivered_to_all WHERE conversation_id = $1`, id).Scan(&user); err != nil {
		r.t.Fatal(err)
	}
	return user
}

// The details of a message are for members who can see it, and of members who were there.
func TestDetails(t *testing.T) {
	t.Parallel()
	r := setup(t)
	ann, ben, eve, dan := r.user("ann"), r.user("ben"), r.user("eve"), r.user("dan")
	id := r.group(ann, ben, eve)
	first := r.send(ann, id)
	r.Read(id, ben, first)
	r.write()
	users := func(list []Mark) (users []accounts.UserID) {
		for _, m := range list {
			users = append(users, m.UserID)
		}
		return users
	}
	if got := users(r.details(ann, id, first)); !slices.Equal(got, []accounts.UserID{ben, eve}) {
		t.Errorf("the details are of %v", got)
	}
	// Others than the author, too.
	if got := users(r.details(ben, id, first)); !slices.Equal(got, []accounts.UserID{ben, eve}) {
		t.Errorf("the details are of %v", got)
	}
	// Eve leaves and comes back, and was there; dan comes and was not, nor can he see it.
	if err := r.chat.RemoveMember(t.Context(), ann, id, eve); err != nil {
		t.Fatal(err)
	}
	refused := func(me accounts.UserID, seq chat.Seq) {
		t.Helper()
		if list, err := r.Of(t.Context(), me, id, seq); !errors.Is(err, chat.ErrNoMessage) {
			t.Errorf("the details are %v, %v", list, err)
		}
	}
	refused(eve, first)
	between := r.send(ann, id)
	if _, err := r.chat.AddMembers(t.Context(), ann, id, []accounts.UserID{eve, dan}); err != nil {
		t.Fatal(err)
	}
	if got := users(r.details(ann, id, first)); !slices.Equal(got, []accounts.UserID{ben, eve}) {
		t.Errorf("the details are of %v", got)
	}
	if got := users(r.details(ann, id, between)); !slices.Equal(got, []accounts.UserID{ben}) {
		t.Errorf("the details are of %v", got)
	}
	if len(r.details(eve, id, first)) != 2 {
		t.Error("eve does not see who got what she can read")
	}
	refused(eve, between)
	refused(dan, first)
	refused(r.user("sam"), first)
	refused(ann, 1)          // no message
	refused(ann, between+50) // nothing
	// Nobody else was there.
	alone := r.group(dan)
	if list := r.details(dan, alone, r.send(dan, alone)); list == nil || len(list) != 0 {
		t.Errorf("the details are %v", list)
	}
}

// Only members raise marks, on sockets that are subscribed, and to a seq that can be.
func TestFrames(t *testing.T) {
	t.Parallel()
	r := setup(t)
	ann, ben := r.user("ann"), r.user("ben")
	id := r.direct(ann, ben)
	b, s := r.connect(ben), r.connect(r.user("sam"))
	for _, c := range []struct {
		by         *client
		kind, data string
		want       string
	}{
		{b, "receipt.read", frameData(id, 1), "{}"},
		{b, "receipt.read", frameData(id, 0), "invalid"},
		{b, "receipt.delivered", frameData(id, -1), "invalid"},
		{b, "receipt.delivered", `{"seq":1}`, "not_found"},
		{s, "receipt.delivered", frameData(id, 1), "not_found"},
		{s, "receipt.read", frameData(id, 1), "not_found"},
	} {
		if answer, _ := c.by.ask(c.kind, c.data); answer != c.want {
			t.Errorf("%s %s: %s", c.kind, c.data, answer)
		}
	}
	if n := len(r.pending); n != 1 {
		t.Errorf("%d marks are pending", n)
	}
}

// An outage loses nothing that is to be told: neither when statements fail nor when only their
// answer is lost.
func TestOutage(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*database){
		"they fail":            func(d *database) { d.refuses = true },
		"their answer is lost": func(d *database) { d.forgets = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := setup(t)
			ann, ben := r.user("ann"), r.user("ben")
			direct, group := r.direct(ann, ben), r.group(ann, ben)
			seq := r.send(ann, direct)
			r.send(ann, group)
			a := r.connect(ann)
			r.write()
			a.told()

			fail(r.db)
			r.Read(direct, ben, seq)
			r.Read(group, ben, 2)
			for range 2 {
				<-r.wake // or nobody would try again
				if err := r.flush(t.Context()); err == nil {
					t.Fatal("a write succeeded without a database")
				}
			}
			*r.db = database{Querier: r.cfg.DB}
			r.write()
			told := a.told()
			for _, want := range []Event{{direct, ben, seq, seq}, {ConversationID: group, DeliveredSeq: 2}} {
				if !slices.Contains(told, want) {
					t.Errorf("ann is told %v, and not %v", told, want)
				}
			}
			// And that was that.
			r.Read(direct, ben, seq)
			r.Read(group, ben, 2)
			r.write()
			a.wantTold()
		})
	}
}

// Two replicas raise marks of one group: the lowest is what both wrote.
func TestTwoReplicas(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	one, two := newReplica(t, db), newReplica(t, db)
	t.Cleanup(one.stop)
	t.Cleanup(two.stop)
	ann, ben, eve := one.user("ann"), one.user("ben"), one.user("eve")
	id := one.group(ann, ben, eve)
	a := one.connect(ann)
	seq := one.send(ann, id)
	one.write()
	a.told()
	two.Read(id, ben, seq)
	two.write()
	one.Delivered(id, eve, seq)
	one.write()
	a.wantTold(Event{ConversationID: id, DeliveredSeq: seq})
}

// What another replica told and was not heard of is found: marks, and what everybody has.
func TestMissed(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	one, two := newReplica(t, db), newReplica(t, db)
	t.Cleanup(one.stop)
	t.Cleanup(two.stop)
	ann, ben := one.user("ann"), one.user("ben")
	old := one.direct(one.user("eve"), ann)
	one.Delivered(old, ann, 1)
	one.write()
	one.exec(`UPDATE receipts SET delivered_at = now() - interval '1 hour', read_at = NULL`)
	direct, group := one.direct(ann, ben), one.group(ann, ben)
	seq := one.send(ann, direct)
	one.send(ann, group)
	one.write()
	a := two.connect(ann)
	one.Read(direct, ben, seq)
	one.Delivered(group, ben, 2)
	one.write()
	a.wantTold()
	two.miss(time.Now().Add(-time.Minute))
	if err := two.findMissed(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.wantTold(Event{direct, ann, seq, seq}, Event{direct, ben, seq, seq}, Event{group, ann, 2, 2}, Event{ConversationID: group, DeliveredSeq: 2})
	if err := two.findMissed(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.wantTold()
}

// Every statement is keyed, also while the tables are too young to have statistics.
func TestStatements(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	statements := map[string]string{"raiseMarks": raiseMarks, "lockLowest": lockLowest, "raiseLowest": raiseLowest, "selectMoved": selectMoved, "selectLowest": selectLowest, "selectMarks": selectMarks, "selectCanSee": selectCanSee,
		"selectConversationIDs": selectConversationIDs, "selectUnmarkedSenders": selectUnmarkedSenders, "selectStaleGroups": selectStaleGroups, "selectHeldBack": selectHeldBack}
	storetest.Statements(t, db, statements)
	for _, sql := range []string{
		`INSERT INTO users (id, username, display_name, password_hash, role)
			SELECT gen_random_uuid(), 'user' || n, 'Name ' || n, '', 'member' FROM generate_series(1, 2000) n`,
		`INSERT INTO conversations (id, kind, last_seq) SELECT gen_random_uuid(), 'group', 20 FROM generate_series(1, 200)`,
		`INSERT INTO members (conversation_id, user_id, role, from_seq)
			SELECT c.id, u.id, 'member', 1 FROM conversations c CROSS JOIN LATERAL (SELECT id FROM users WHERE id > c.id ORDER BY id LIMIT 20) u`,
		`INSERT INTO entries (conversation_id, seq, kind, sender_id, created_at, body)
			SELECT c.id, n, 'message', c.id, now(), 'x' FROM conversations c, generate_series(1, 20) n`,
		`INSERT INTO receipts (conversation_id, user_id, delivered_seq) SELECT conversation_id, user_id, 10 FROM members`,
		`INSERT INTO delivered_to_all (conversation_id, seq, behind) SELECT id, 10, id FROM conversations`,
		`ANALYZE`,
	} {
		if _, err := db.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	storetest.Statements(t, db, statements)
}
