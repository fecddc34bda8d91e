package presence

import (
	"context"
	"testing"
	"time"

	"parley/accounts"
	"parley/store/storetest"
)

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
