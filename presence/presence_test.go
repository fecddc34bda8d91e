package presence

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/accounts"
)

// Whoever connects is online to those who watch; whoever leaves is offline after two looks
// without them, and was seen then.
func TestComeAndGo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, _ := b.pair()
	names := map[accounts.UserID]string{ann: "ann", ben: "ben"}
	a := b.connect(ann)
	b.step(0)
	if n := a.watch(ben); n != 1 {
		t.Fatalf("%d people in the answer", n)
	}
	if s := b.state(ann, ben); s.Online || s.LastSeen != nil {
		t.Fatalf("somebody who was never here is %+v", s)
	}

	c := b.connect(ben)
	b.step(0)
	a.wantTold(names, "+ben")
	b.wantOnline(ann, ben, true)

	c.leave()
	b.step(lookEvery)
	a.wantTold(names) // perhaps they load the page anew
	b.wantOnline(ann, ben, true)
	b.step(2 * lookEvery)
	a.wantTold(names, "-ben")
	b.wantSeen(ann, ben, 0)
	b.step(3 * lookEvery)
	a.wantTold(names)
	if len(b.here) != 1 {
		t.Errorf("%d people are kept in memory, one is here", len(b.here))
	}
}

// A page that is loaded anew is neither a departure nor an arrival.
func TestReloadDoesNotFlap(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, _ := b.pair()
	names := map[accounts.UserID]string{ann: "ann", ben: "ben"}
	a := b.connect(ann)
	a.watch(ben)
	c := b.connect(ben)
	b.step(0)
	a.wantTold(names, "+ben")
	for i := range 5 {
		c.leave()
		b.step(time.Duration(i) * lookEvery)             // between the two, every time
		b.step(time.Duration(i)*lookEvery + lookEvery/2) // late, and then at once
		c = b.connect(ben)
		if n := b.db.count(func() { b.flush(time.Now()) }); n != 0 {
			t.Fatalf("%d statements for a page loaded anew", n)
		}
	}
	b.step(0)
	a.wantTold(names)
}

// Somebody with several devices is online while one of them is.
func TestSeveralDevices(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, _ := b.pair()
	names := map[accounts.UserID]string{ann: "ann", ben: "ben"}
	a := b.connect(ann)
	a.watch(ben)
	phone, laptop := b.connect(ben), b.connect(ben)
	b.step(0)
	a.wantTold(names, "+ben")
	phone.leave()
	for i := range 3 {
		b.step(time.Duration(i) * lookEvery)
	}
	a.wantTold(names)
	b.wantOnline(ann, ben, true)
	laptop.leave()
	b.depart()
	a.wantTold(names, "-ben")
}

// A connection that is there and silent, as that of a suspended laptop, is nobody's presence
// after a minute. When it is heard again, it is.
func TestSilence(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, _ := b.pair()
	names := map[accounts.UserID]string{ann: "ann", ben: "ben"}
	a := b.connect(ann)
	a.watch(ben)
	c := b.connect(ben)
	b.step(0)
	a.wantTold(names, "+ben")

	b.ages(ben, silence-time.Second)
	b.flush(time.Now())
	a.wantTold(names)
	b.ages(ben, time.Second)
	b.flush(time.Now())
	a.wantTold(names, "-ben")
	b.wantSeen(ann, ben, silence)

	b.step(0) // looks at the connection, which was heard just now
	a.wantTold(names, "+ben")
	b.wantOnline(ann, ben, true)

	// Silent, and then gone: it was last seen when it was last heard.
	b.ages(ben, silence)
	b.flush(time.Now())
	c.leave()
	b.depart()
	b.wantSeen(ann, ben, silence)
	if _, kept := b.here[ben]; kept {
		t.Error("ben is kept in memory")
	}
}

// A mark lasts until somebody was heard a lease ago, and is renewed in time and not before.
func TestLease(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, _ := b.pair()
	b.connect(ben)
	b.step(0)
	now := time.Now()
	if n := b.db.count(func() { b.step(0) }); n != 0 {
		t.Errorf("%d statements though nothing changed", n)
	}
	if came, left := b.due(now.Add(lease/2 + time.Second)); len(came.users)+len(left.users) != 0 {
		t.Errorf("a mark is renewed for somebody who was not heard since: %v %v", came, left)
	}
	b.mu.Lock()
	b.here[ben].marked = now.Add(-lease/2 - time.Second)
	b.here[ben].heard = now
	b.mu.Unlock()
	if came, _ := b.due(now); !slices.Equal(came.users, []accounts.UserID{ben}) {
		t.Errorf("to be renewed: %v", came)
	}
	b.exec(`UPDATE online SET until = now() + interval '1 second'`)
	b.flush(now)
	var left float64
	if err := b.cfg.DB.QueryRow(t.Context(), `SELECT extract(epoch FROM until - now()) FROM online WHERE user_id = $1`, ben).Scan(&left); err != nil {
		t.Fatal(err)
	}
	if left > lease.Seconds() || left < lease.Seconds()-patience.Seconds() {
		t.Errorf("the mark lasts for %v s", left)
	}
	b.wantOnline(ann, ben, true)
}

// Who hides when they were last here is seen online, and nothing else; they themselves see it.
func TestHiddenLastSeen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, _ := b.pair()
	b.exec(`UPDATE users SET show_last_seen = false WHERE id = $1`, ben)
	a, c := b.connect(ann), b.connect(ben)
	a.watch(ben)
	b.step(0)
	b.wantOnline(ann, ben, true)
	c.leave()
	b.depart()
	_, events := a.ask("presence.heartbeat", "{}")
	if want := `{"user_id":"` + ben.String() + `","online":false,"last_seen":null}`; len(events) != 2 || events[1] != want {
		t.Errorf("told %v", events)
	}
	if s := b.state(ann, ben); s.Online || s.LastSeen != nil {
		t.Errorf("ann sees %+v", s)
	}
	b.wantSeen(ben, ben, 0)

	// Told in one go, while they are there and silent.
	c = b.connect(ben)
	c.watch(ben)
	b.step(0)
	b.ages(ben, silence)
	b.flush(time.Now())
	_, others := a.ask("presence.heartbeat", "{}")
	_, own := c.ask("presence.heartbeat", "{}")
	if n, m := len(others), len(own); n == 0 || m == 0 || !strings.HasSuffix(others[n-1], `"online":false,"last_seen":null}`) || !strings.Contains(own[m-1], `"online":false,"last_seen":"`) {
		t.Errorf("told %v, and oneself %v", others, own)
	}
}

// Only people who share a conversation are told of each other, and only while they do.
func TestOnlyAcquainted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, eve := b.user("ann"), b.user("ben"), b.user("eve")
	names := map[accounts.UserID]string{ann: "ann", ben: "ben", eve: "eve"}
	group := b.group(ann, ben, eve)
	a, e := b.connect(ann), b.connect(eve)
	stranger := b.connect(b.user("sam"))
	b.step(0)
	if n, m := e.watch(ben), stranger.watch(ben, uuidOf(9)); n != 1 || m != 0 {
		t.Fatalf("eve is told of %d, a stranger of %d", n, m)
	}
	a.watch(ben)
	if b.watchers.Has(ben, stranger.conn()) {
		t.Error("a stranger is kept among the watchers")
	}
	// Eve watches, and then leaves the group.
	if err := b.chat.RemoveMember(t.Context(), ann, group, eve); err != nil {
		t.Fatal(err)
	}
	c := b.connect(ben)
	b.step(0)
	a.wantTold(names, "+ben")
	e.wantTold(names)
	stranger.wantTold(names)
	if b.state(eve, ben) != nil || b.state(ben, eve) != nil {
		t.Error("somebody asks for a former member, or as one, and is told")
	}
	if n := e.watch(ben, ann, eve); n != 1 { // herself
		t.Errorf("a former member watches, and is told of %d", n)
	}
	if list, err := b.q.membersStates(t.Context(), eve, group); err != nil || len(list) != 0 {
		t.Errorf("a former member is told of the members: %v, %v", list, err)
	}
	if list, err := b.q.membersStates(t.Context(), ann, group); err != nil || len(list) != 2 || !list[0].Online || !list[1].Online {
		t.Errorf("a member is told of the members: %v, %v", list, err)
	}
	// And comes back.
	if _, err := b.chat.AddMembers(t.Context(), ann, group, []accounts.UserID{eve}); err != nil {
		t.Fatal(err)
	}
	e.watch(ben)
	c.leave()
	b.depart()
	e.wantTold(names, "-ben")
}

// Nobody watches more than so many, counted once each; unwatching makes room.
func TestWatchLimits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`INSERT INTO users (id, username, display_name, password_hash, role)
		SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'u' || n, '', '', 'member' FROM generate_series(1, $1::int) n`, maxWatched+1)
	ann := b.user("ann")
	everybody := make([]accounts.UserID, 0, maxWatched+1)
	for n := range maxWatched + 1 {
		everybody = append(everybody, uuidOf(n+1))
	}
	id := b.group(ann, everybody[0]).String()
	b.exec(`INSERT INTO members (conversation_id, user_id, role, from_seq) SELECT $1::uuid, id, 'member', 1 FROM users WHERE username LIKE 'u%' ON CONFLICT DO NOTHING`, id)
	a := b.connect(ann)
	if answer, _ := a.ask("presence.watch", `{"user_ids":`+ids(everybody...)+`}`); answer != "too_large" {
		t.Fatalf("too many: %.100s", answer)
	}
	if n := a.watch(everybody[:maxWatched]...); n != maxWatched {
		t.Fatalf("told of %d", n)
	}
	if n := a.watch(everybody[:maxWatched]...); n != maxWatched { // again is no more
		t.Fatalf("told of %d", n)
	}
	if answer, _ := a.ask("presence.watch", `{"user_ids":`+ids(everybody[maxWatched])+`}`); answer != "too_large" {
		t.Fatalf("one too many: %.100s", answer)
	}
	a.ask("presence.unwatch", `{"user_ids":`+ids(everybody[0])+`}`)
	if n := a.watch(everybody[maxWatched]); n != 1 {
		t.Fatalf("told of %d", n)
	}
	if n := len(b.watchers.Keys(a.conn())); n != maxWatched {
		t.Errorf("%d are watched", n)
	}
	// What cannot be answered is not watched either.
	c := b.connect(ann)
	b.db.set(true, false)
	c.ask("presence.watch", `{"user_ids":`+ids(everybody[0])+`}`)
	b.db.set(false, false)
	if n := len(b.watchers.Keys(c.conn())); n != 0 {
		t.Errorf("%d are watched after an error", n)
	}
}

// What watching is answered with and what events say may cross: what comes last is how it is,
// and nobody else hears of that.
func TestAnswerAndEventCross(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, _ := b.pair()
	names := map[accounts.UserID]string{ann: "ann", ben: "ben"}
	a, other := b.connect(ann), b.connect(ann)
	other.watch(ben)
	b.step(0)
	b.connect(ben)
	// Ben's arrival is written and told while the answer waits for its statement.
	b.db.afterwards(func() { b.flush(time.Now()) })
	answer, events := a.ask("presence.watch", `{"user_ids":`+ids(ben)+`}`)
	if want := `{"users":[{"user_id":"` + ben.String() + `","online":true,"last_seen":null}]}`; answer != want || len(events) != 1 {
		t.Fatalf("answered %s after %v", answer, events)
	}
	b.flush(time.Now())
	a.wantTold(names)
	other.wantTold(names, "+ben")

	// What others are told is no reason to read an answer again.
	third := b.connect(ann)
	b.ages(ben, silence)
	b.db.afterwards(func() { b.flush(time.Now()) })
	if n := b.db.count(func() { third.watch(ann) }); n != 3 {
		t.Errorf("%d statements, not one for the answer, one for the departure and one for who is told", n)
	}
	other.wantTold(names, "-ben")
	a.wantTold(names, "-ben")
	third.wantTold(names) // both have been answered by now
	b.telling.Lock()
	defer b.telling.Unlock()
	if n := len(b.overtaken); n != 0 {
		t.Errorf("%d connections wait for an answer", n)
	}
}

// The statements do not grow in number with the people: each writes 5,000.
func TestTenThousandPeople(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const people, perStatement = 10_000, 2
	now := time.Now()
	for n := range people {
		b.here[uuidOf(n)] = &person{heard: now}
	}
	check := func(what string, want int, f func()) {
		t.Helper()
		if n := b.db.count(f); n != want {
			t.Errorf("%s: %d statements, not %d", what, n, want)
		}
	}
	check("coming", perStatement, func() { b.flush(now) })
	if n := b.count(`SELECT count(*) FROM online WHERE until > now()`); n != people {
		t.Errorf("%d are online", n)
	}
	check("being there", 0, func() { b.flush(now.Add(lookEvery)) })
	for _, p := range b.here {
		p.heard = p.heard.Add(40 * time.Second)
	}
	check("staying", perStatement, func() { b.flush(now.Add(40 * time.Second)) })
	check("a look without them", 0, func() { b.step(40 * time.Second) })
	check("going", perStatement, func() { b.step(45 * time.Second) })
	if n := b.count(`SELECT count(*) FROM presence`); n != people {
		t.Errorf("of %d it is known when they were here", n)
	}
	check("being gone", 0, func() { b.step(50 * time.Second) })
	if n := len(b.here); n != 0 {
		t.Errorf("%d are kept in memory", n)
	}
	for n := range people + 1 { // one more: a statement more
		b.here[uuidOf(n)] = &person{heard: now}
	}
	check("coming again", perStatement+1, func() { b.flush(now) })
	check("the end", perStatement+1, func() {
		if err := b.leave(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	})
}

// Heartbeats cost no statement, and telling 100 watchers of 100 people costs one.
func TestManyConnections(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const people = 100
	users := make([]accounts.UserID, people)
	for i := range users {
		users[i] = b.user(fmt.Sprintf("user%03d", i))
	}
	b.group(users...)
	clients := make([]*client, people)
	for i, user := range users {
		clients[i] = b.connect(user)
	}
	for _, c := range clients {
		c.watch(users...)
	}
	n := b.db.count(func() {
		for range 5 {
			for _, c := range clients {
				c.ask("presence.heartbeat", "{}")
			}
		}
	})
	if n != 0 {
		t.Errorf("%d statements for heartbeats", n)
	}
	// 10,000 events: who comes, who is told, in two statements each.
	if n := b.db.count(func() { b.step(0) }); n != 1+people*people/batchRows {
		t.Errorf("%d statements", n)
	}
	for _, c := range clients {
		if _, events := c.ask("presence.heartbeat", "{}"); len(events) != people {
			t.Fatalf("told of %d", len(events))
		}
	}
}

func uuidOf(n int) accounts.UserID {
	return accounts.UserID(uuid.MustParse(fmt.Sprintf("00000000-0000-4000-8000-%012d", n)))
}

// A direct conversation that is hidden from one side tells that side nothing of the other.
func TestHiddenConversationTellsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben := b.user("ann"), b.user("ben")
	c, err := b.chat.OpenDirect(b.t.Context(), ann, ben)
	if err != nil {
		t.Fatal(err)
	}
	names := map[accounts.UserID]string{ann: "ann", ben: "ben"}
	spy := b.connect(ben)
	if n := spy.watch(ann); n != 0 || b.state(ben, ann) != nil {
		t.Fatal("ben finds out that ann looked at him")
	}
	a := b.connect(ann)
	b.step(0)
	if answer, _ := a.ask("typing.start", `{"conversation_id":"`+c.ID.String()+`"}`); answer != "{}" {
		t.Fatalf("ann types: %s", answer)
	}
	spy.wantTold(names)
	if b.state(ann, ben) == nil {
		t.Error("ann, who opened it, does not see ben")
	}
	b.exec(`UPDATE conversations SET last_seq = 2 WHERE id = $1`, c.ID) // the first message
	b.wantOnline(ben, ann, true)
}
