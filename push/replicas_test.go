package push

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"parley/accounts"
	"parley/parleytest"
	"parley/store/storetest"
)

// patient is as long as tests wait for what has to come.
func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// runs lets the Service do its work until stop, or the end of the test.
func (b *bundle) runs() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = b.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	b.t.Cleanup(stop)
	return stop
}

// Two replicas share the work: each device is told once, one thing at a time, and what one
// of them has in hand the other leaves alone.
func TestTwoReplicas(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	one, two := replica(t, db, nil), replica(t, db, nil)
	ann := one.person("Ann")
	// More than one replica sends at a time: so they are only through when both have begun.
	var (
		both    = make(chan struct{})
		begun   sync.WaitGroup
		devices []*parleytest.Subscriber
		people  []accounts.Identity
	)
	begun.Add(slots + 1)
	go func() { begun.Wait(); close(both) }()
	for i := range slots + 40 {
		who := one.person("p" + string(rune('a'+i%26)) + time.Duration(i).String())
		phone, _ := one.browser(who)
		if i <= slots {
			var once sync.Once
			phone.Answer(func(http.ResponseWriter, *http.Request) bool {
				once.Do(begun.Done)
				<-both
				return false
			})
		}
		devices, people = append(devices, phone), append(people, who)
	}
	id := one.group("Climbers", ann, people...)
	stopOne, stopTwo := one.runs(), two.runs()
	began := time.Now()
	one.say(ann, id, "Hello")
	for _, d := range devices {
		if _, err := d.Await(patient(t), 1); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d devices after %v", len(devices), time.Since(began))
	stopOne()
	stopTwo()
	one.sweeps()
	for i, d := range devices {
		if n := len(d.Attempts()); n != 1 || d.AtOnce() != 1 {
			t.Errorf("device %d: %d attempts, %d at once", i, n, d.AtOnce())
		}
	}
	if one.due() != 0 {
		t.Errorf("%d devices are due", one.due())
	}
}

// What a replica has begun and not ended is taken over when its lease is over, wherever it
// crashed. Of what was sent and not written the device gets the same again, in its place.
func TestTakenOver(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		crash  func(*bundle)
		taken  bool
		before int // pushes by the time of the crash
	}{
		"before it was noticed": {func(b *bundle) { b.take() }, false, 0},
		"before it was sent": {func(b *bundle) {
			if err := b.check(b.t.Context(), b.take(), 0); err != nil {
				b.t.Fatal(err)
			}
			if turns := b.claims(); len(turns) != 1 {
				b.t.Fatalf("%d turns", len(turns))
			}
		}, true, 0},
		"before it was written": {func(b *bundle) {
			if err := b.check(b.t.Context(), b.take(), 0); err != nil {
				b.t.Fatal(err)
			}
			turns := b.claims()
			if len(turns) != 1 {
				b.t.Fatalf("%d turns", len(turns))
			}
			b.serves(b.t.Context(), turns[0])
		}, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := storetest.New(t)
			one, two := replica(t, db, nil), replica(t, db, nil)
			ann, ben := one.person("Ann"), one.person("Ben")
			phone, _ := one.browser(ben)
			id := one.direct(ann, ben)
			seq := one.say(ann, id, "Hello")
			one.noted(id, seq)
			c.crash(one)
			if len(phone.Pushes()) != c.before {
				t.Fatalf("%d pushes before", len(phone.Pushes()))
			}
			two.sweeps()
			if c.taken {
				if len(two.sends()) != 0 {
					t.Fatal("it was taken away from who has it in hand")
				}
				two.exec(`UPDATE devices SET due_at = due_at - $1 * interval '1 second'`, leaseTime.Seconds())
			}
			two.sends()
			p := phone.Pushes()
			if len(p) != c.before+1 || p[len(p)-1].Topic != p[0].Topic || p[len(p)-1].Data.Seq != int64(seq) || two.due() != 0 {
				t.Fatalf("got %+v, %d due", p, two.due())
			}
			// The one that was believed dead has nothing to say any more.
			two.sweeps()
			if len(two.sends()) != 0 || len(one.sends()) != 0 {
				t.Error("it is sent once more")
			}
		})
	}
}

// Who lost a turn to somebody else has nothing to say about it: not that the device was told.
func TestLostTurn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben := b.person("Ann"), b.person("Ben")
	phone, _ := b.browser(ben)
	id := b.direct(ann, ben)
	b.notices(id, b.say(ann, id, "one"))
	turns := b.claims()
	if len(turns) != 1 {
		t.Fatalf("%d turns", len(turns))
	}
	r := b.serves(t.Context(), turns[0])
	// Meanwhile the browser has other keys: what was sent it cannot read.
	other := b.web.Subscribe()
	if _, err := b.Register(t.Context(), ben, Target{Kind: KindWebPush, Address: phone.Endpoint, P256dh: other.P256dh, Auth: other.Auth}); err != nil {
		t.Fatal(err)
	}
	if err := b.q.record(t.Context(), []result{r}); err != nil {
		t.Fatal(err)
	}
	phone.Answer(answer(201, ""))
	if b.due() != 1 || len(b.sends()) != 1 || len(phone.Attempts()) != 2 {
		t.Error("what the device cannot read counts as told")
	}
}

// What was said just before the end is left to whoever is there, for who does not come back.
func TestLeft(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	one, two := replica(t, db, nil), replica(t, db, nil)
	ann, ben := one.person("Ann"), one.person("Ben")
	phone, _ := one.browser(ben)
	id := one.direct(ann, ben)
	stop := one.runs()
	seq := one.say(ann, id, "Hello")
	one.noted(id, seq)
	stop()
	if n := two.count(`SELECT count(*) FROM devices WHERE due_at > now() + interval '10 seconds'`); n != 1 || len(phone.Attempts()) != 0 {
		t.Fatalf("%d devices are due later, %d attempts", n, len(phone.Attempts()))
	}
	two.exec(`UPDATE devices SET due_at = now()`)
	two.sends()
	if p := phone.Pushes(); len(p) != 1 || p[0].Data.Seq != int64(seq) {
		t.Errorf("got %+v", p)
	}
}
