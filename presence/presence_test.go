package presence

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/accounts"
	"parley/store/storetest"
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

// An outage loses no transition: what happened in it is told after it.
func TestOutage(t *testing.T) {
	t.Parallel()
	for _, lost := range []string{"statements", "answers"} {
		t.Run(lost, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			ann, ben, _ := b.pair()
			eve := b.user("eve")
			b.group(ann, eve)
			names := map[accounts.UserID]string{ann: "ann", ben: "ben", eve: "eve"}
			a, c := b.connect(ann), b.connect(ben)
			a.watch(ben, eve)
			b.step(0)
			a.wantTold(names, "+ben")

			b.db.set(lost == "statements", lost == "answers")
			e := b.connect(eve)
			c.leave()
			for i := range 3 {
				b.look(time.Now().Add(time.Duration(i) * lookEvery))
				if err := b.write(t.Context(), time.Now()); err == nil {
					t.Fatal("a write succeeded without a database")
				}
			}
			a.wantTold(names)
			if _, kept := b.here[ben]; !kept {
				t.Fatal("when ben left is forgotten")
			}
			b.db.set(false, false)
			b.step(0)
			a.wantTold(names, "+eve", "-ben")
			b.wantSeen(ann, ben, 0)
			// Somebody who comes and goes within an outage was here.
			b.db.set(true, false)
			e.leave()
			b.look(time.Now())
			b.look(time.Now().Add(lookEvery))
			if err := b.write(t.Context(), time.Now()); err == nil {
				t.Fatal("a write succeeded without a database")
			}
			b.db.set(false, false)
			b.step(0)
			a.wantTold(names, "-eve")
			b.wantSeen(ann, eve, 0)
			// Written, and then nobody can be found to be told.
			b.change([]accounts.UserID{ben})
			b.db.set(true, false)
			if err := b.tell(t.Context()); err == nil {
				t.Fatal("telling succeeded without a database")
			}
			b.db.set(false, false)
			b.step(0)
			a.wantTold(names, "-ben")
		})
	}
}

// After a crash of the database, which empties the marks, everybody is marked again.
func TestDatabaseCrash(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, _ := b.pair()
	b.connect(ann)
	b.connect(ben)
	b.step(0)
	b.exec(`TRUNCATE online`)
	b.db.set(true, false)
	b.connect(b.user("eve"))
	if err := b.write(t.Context(), time.Now()); err == nil {
		t.Fatal("a write succeeded without a database")
	}
	b.db.set(false, false)
	b.step(0)
	b.wantOnline(ann, ben, true)
	b.wantOnline(ben, ann, true)
}

// So they are if no statement failed: the sweep sees that marks are missing.
func TestUnnoticedDatabaseCrash(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, _ := b.pair()
	b.connect(ann)
	b.connect(ben)
	b.step(0)
	<-b.wake
	sweep := func() {
		t.Helper()
		if err := b.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	sweep()
	select {
	case <-b.wake:
		t.Fatal("there is something to write though no mark is missing")
	default:
	}
	b.exec(`TRUNCATE online`)
	b.wantOnline(ann, ben, false)
	sweep()
	select {
	case <-b.wake:
	default:
		t.Fatal("nobody is to write who is here")
	}
	b.flush(time.Now())
	b.wantOnline(ann, ben, true)
	b.wantOnline(ben, ann, true)
}

// Somebody who is back while their leaving is written is written again at once.
func TestBackWhileLeaving(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, _ := b.pair()
	c := b.connect(ben)
	b.step(0)
	<-b.wake
	c.leave()
	b.look(time.Now())
	b.look(time.Now().Add(lookEvery))
	b.db.before(func() { b.connect(ben) })
	b.flush(time.Now())
	b.wantOnline(ann, ben, false)
	select {
	case <-b.wake:
	default:
		t.Fatal("nobody is to write that ben is back")
	}
	b.flush(time.Now())
	b.wantOnline(ann, ben, true)
}

// When somebody was last here is kept over a restart, which calls nobody offline.
func TestRestart(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	b := replica(t, db)
	ann, ben, _ := b.pair()
	b.connect(ben)
	b.step(0)
	b.ages(ben, 30*time.Second)
	if err := b.leave(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	next := replica(t, db)
	next.wantOnline(ann, ben, true)
	b.exec(`UPDATE online SET until = until - make_interval(secs => $1)`, lease.Seconds())
	next.wantOnline(ann, ben, false)
	b.exec(`TRUNCATE online`) // as after a crash of the database
	next.wantSeen(ann, ben, 30*time.Second)
}

// A replica that crashed leaves marks behind. They run out, and say then when their people
// were last heard; the sweep keeps that and tells who watches.
func TestCrashedReplica(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	crashed, b := replica(t, db), replica(t, db)
	ann, ben, _ := b.pair()
	names := map[accounts.UserID]string{ann: "ann", ben: "ben"}
	crashed.connect(ben)
	crashed.ages(ben, 20*time.Second)
	crashed.flush(time.Now())
	a := b.connect(ann)
	a.watch(ben)
	b.step(0)
	b.wantOnline(ann, ben, true)
	if err := b.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.wantOnline(ann, ben, true)

	b.exec(`UPDATE online SET until = until - interval '10 minutes' WHERE user_id = $1`, ben)
	b.wantSeen(ann, ben, 10*time.Minute+20*time.Second)
	if err := b.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.wantTold(names, "-ben")
	b.wantSeen(ann, ben, 10*time.Minute+20*time.Second)
	if n := b.count(`SELECT count(*) FROM online WHERE user_id = $1`, ben); n != 0 {
		t.Errorf("%d marks are left", n)
	}
	if n := b.count(`SELECT count(*) FROM presence WHERE user_id = $1`, ben); n != 1 {
		t.Errorf("when ben was seen is kept in %d rows", n)
	}
}

// If the answer to the sweep is lost, its people are told of all the same.
func TestSweepOutage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, _ := b.pair()
	names := map[accounts.UserID]string{ann: "ann", ben: "ben"}
	a := b.connect(ann)
	a.watch(ben)
	b.step(0)
	b.exec(`INSERT INTO online (user_id, replica, until) VALUES ($1, gen_random_uuid(), now() - interval '1 second')`, ben)
	b.db.set(false, true)
	if err := b.sweep(t.Context()); err == nil {
		t.Fatal("a sweep succeeded without its answer")
	}
	b.db.set(false, false)
	if n := b.count(`SELECT count(*) FROM online WHERE user_id = $1`, ben); n != 0 {
		t.Fatalf("%d marks are left", n)
	}
	b.step(0)
	a.wantTold(names, "-ben")
}

// Going offline waits for a sweep of the same marks before it locks what the sweep is still to
// write: or the two would wait for each other. So does shutting down.
func TestSweptWhileLeaving(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*bundle, sightings) error{
		"going offline": func(b *bundle, l sightings) error {
			_, err := b.q.goOffline(context.Background(), l, time.Now())
			return err
		},
		"shutting down": func(b *bundle, l sightings) error {
			return b.q.leave(context.Background(), l, time.Now(), restart)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			_, ben, _ := b.pair()
			b.connect(ben)
			b.step(0)
			b.exec(`INSERT INTO presence (user_id, last_seen) VALUES ($1, now() - interval '1 day')`, ben)
			sweep, err := b.cfg.DB.Pool().Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := sweep.Exec(t.Context(), `SELECT FROM online WHERE user_id = $1 FOR UPDATE`, ben); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- leave(b, sightings{[]accounts.UserID{ben}, []time.Time{time.Now()}}) }()
			for deadline := time.Now().Add(patience); b.count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 0; {
				if time.Now().After(deadline) {
					t.Fatal("it does not wait for the sweep")
				}
				time.Sleep(time.Millisecond)
			}
			if _, err := sweep.Exec(t.Context(), `SELECT FROM presence WHERE user_id = $1 FOR UPDATE NOWAIT`, ben); err != nil {
				t.Errorf("it waits with locks that the sweep needs: %v", err)
			}
			if err := sweep.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		})
	}
}

// On two replicas somebody is online while either has them; leaving one changes nothing.
func TestTwoReplicas(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	one, two := replica(t, db), replica(t, db)
	ann, ben, _ := one.pair()
	names := map[accounts.UserID]string{ann: "ann", ben: "ben"}
	a := one.connect(ann)
	a.watch(ben)
	here, there := one.connect(ben), two.connect(ben)
	one.step(0)
	two.step(0)
	a.wantTold(names, "+ben")

	here.leave()
	one.depart()
	a.wantTold(names)
	one.wantOnline(ann, ben, true)
	if one.count(`SELECT count(*) FROM online WHERE user_id = $1`, ben) != 1 {
		t.Error("the mark of the replica that was left is still there")
	}

	here = one.connect(ben) // and comes again: no news either
	one.step(0)
	a.wantTold(names)
	there.leave()
	two.depart()
	one.wantOnline(ann, ben, true)

	here.leave()
	one.depart()
	a.wantTold(names, "-ben")
	one.wantSeen(ann, ben, 0)
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
