package push

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/accounts"
	"parley/parleytest"
)

// answer is one that says nothing but a status, and when to come back.
func answer(status int, retryAfter string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(status)
		return true
	}
}

// What a Web Push service may answer, and what becomes of the device and of what it is owed.
func TestAnswers(t *testing.T) {
	t.Parallel()
	hidden := "/push/elsewhere"
	for name, c := range map[string]struct {
		answer   func(http.ResponseWriter, *http.Request) bool
		text     string        // of the message; "Hello" if empty
		gone     bool          // the device is removed
		attempts int           // 1 if 0
		got      int           // pushes that the device got
		wait     time.Duration // at least, until the next attempt; 0: there is none
		longest  time.Duration
		failure  string
	}{
		"201":                   {got: 1},
		"200":                   {answer: answer(200, "")},
		"404":                   {answer: answer(404, ""), gone: true},
		"410":                   {answer: answer(410, ""), gone: true},
		"400 to whatever it is": {answer: answer(400, ""), attempts: 2, failure: "the push service answered 400"},
		"403":                   {answer: answer(403, ""), wait: time.Second, longest: 2 * time.Second, failure: "the push service answered 403"},
		"413 to whatever it is": {answer: answer(413, ""), attempts: 2, failure: "the push service answered 413"},
		"413 to a long one": {answer: func(w http.ResponseWriter, r *http.Request) bool {
			return r.ContentLength > 2048 && answer(413, "")(w, r)
		}, text: strings.Repeat(`"`, 1100), attempts: 2, got: 1},
		"429":              {answer: answer(429, "3600"), wait: time.Hour, longest: time.Hour, failure: "the push service answered 429"},
		"429 to a date":    {answer: answer(429, time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)), wait: 55 * time.Minute, longest: time.Hour, failure: "the push service answered 429"},
		"429 at some time": {answer: answer(429, "soon"), wait: time.Second, longest: 2 * time.Second, failure: "the push service answered 429"},
		"429 for nothing":  {answer: answer(429, ""), wait: time.Second, longest: 2 * time.Second, failure: "the push service answered 429"},
		"500":              {answer: answer(500, ""), wait: time.Second, longest: 2 * time.Second, failure: "the push service answered 500"},
		"503":              {answer: answer(503, "60"), wait: time.Minute, longest: time.Minute, failure: "the push service answered 503"},
		"redirect": {answer: func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, hidden, http.StatusTemporaryRedirect)
			return true
		}, wait: time.Second, longest: 2 * time.Second, failure: "the push service answered 307"},
		"hang": {answer: func(_ http.ResponseWriter, r *http.Request) bool {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			return true
		}, wait: time.Second, longest: 2 * time.Second, failure: "the push service did not answer in time"},
		"hang in the answer": {answer: func(w http.ResponseWriter, r *http.Request) bool {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(http.StatusInternalServerError)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return true
		}, wait: time.Second, longest: 2 * time.Second, failure: "the push service answered 500"},
		"reset": {answer: func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) },
			wait: time.Second, longest: 2 * time.Second, failure: "the push service could not be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			ann, ben := b.person("Ann"), b.person("Ben")
			phone, device := b.browser(ben)
			id := b.direct(ann, ben)
			phone.Answer(c.answer)
			text := "Hello"
			if c.text != "" {
				text = c.text
			}
			b.notices(id, b.say(ann, id, text))
			b.sends()
			if n := len(phone.Attempts()); n != max(c.attempts, 1) {
				t.Fatalf("%d attempts", n)
			}
			if n := len(phone.Pushes()); n != c.got {
				t.Fatalf("the device got %d", n)
			}
			var d struct {
				failure   string
				succeeded bool
				wait      float64
			}
			err := b.db.QueryRow(t.Context(), `SELECT last_failure, last_success_at IS NOT NULL, coalesce(extract(epoch FROM due_at - now()), 0)::float8
				FROM devices WHERE id = $1`, device.ID).Scan(&d.failure, &d.succeeded, &d.wait)
			if c.gone {
				if n := b.count(`SELECT (SELECT count(*) FROM devices) + (SELECT count(*) FROM push_jobs)`); err == nil || n != 0 {
					t.Errorf("the device is there: %v, %d rows", err, n)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			// A moment passes until it is looked at.
			wait := time.Duration(d.wait * float64(time.Second))
			if wait < c.wait-500*time.Millisecond || wait > c.longest || d.failure != c.failure {
				t.Errorf("it is tried again in %v because of %q", wait, d.failure)
			}
			taken := c.wait == 0 && c.failure == ""
			if d.succeeded != taken {
				t.Errorf("taken: %v", d.succeeded)
			}
			// Then it is, and once; and what is over is over.
			phone.Answer(nil)
			b.exec(`UPDATE devices SET due_at = now() WHERE due_at IS NOT NULL`)
			b.sends()
			b.sweeps()
			b.sends()
			want := c.got
			if c.wait > 0 {
				want++
			}
			if n := len(phone.Pushes()); n != want || b.due() != 0 {
				t.Errorf("in the end the device got %d, and %d are due", n, b.due())
			}
			if b.count(`SELECT attempts FROM devices`) != 0 {
				t.Error("the next time it would wait for long")
			}
		})
	}
}

// Each attempt in vain doubles the wait, and new messages do not shorten it; reading cancels
// what is owed even then.
func TestBackoff(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben := b.person("Ann"), b.person("Ben")
	phone, _ := b.browser(ben)
	id := b.direct(ann, ben)
	phone.Answer(answer(500, ""))
	seq := b.say(ann, id, "Hello")
	b.notices(id, seq)
	for n := 1; n <= 12; n++ {
		b.sends()
		longest := min(firstWait<<(n-1), longestWait)
		wait := time.Duration(b.count(`SELECT (extract(epoch FROM due_at - now()) * 1e9)::bigint FROM devices`))
		if wait < longest/2-time.Second || wait > longest {
			t.Errorf("after %d attempts it waits for %v", n, wait)
		}
		seq = b.say(ann, id, "Hello?")
		b.notices(id, seq)
		if len(b.sends()) != 0 {
			t.Fatal("a new message makes it try again at once")
		}
		b.exec(`UPDATE devices SET due_at = now()`)
	}
	phone.Answer(nil)
	b.marks(ben, id, seq, seq)
	b.sends()
	if n := len(phone.Attempts()); n != 12 || b.due() != 0 {
		t.Errorf("%d attempts, %d due", n, b.due())
	}
}

// A device that does not answer holds up nothing of the others of the same person.
func TestOneHangs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben := b.person("Ann"), b.person("Ben")
	stuck, _ := b.browser(ben)
	phone, _ := b.browser(ben)
	release := make(chan struct{})
	stuck.Answer(func(http.ResponseWriter, *http.Request) bool { <-release; return false })
	id := b.direct(ann, ben)
	stop := b.runs()
	b.say(ann, id, "Hello")
	if _, err := phone.Await(patient(t), 1); err != nil {
		t.Fatal(err)
	}
	if err := stuck.AwaitAttempts(patient(t), 1); err != nil {
		t.Fatal(err)
	}
	b.say(ann, id, "Hello?")
	if p, err := phone.Await(patient(t), 2); err != nil || p[1].Data.Count != 2 {
		t.Fatalf("got %+v: %v", p, err)
	}
	close(release)
	p, err := stuck.Await(patient(t), 2)
	if err != nil || p[1].Data.Count != 2 || stuck.AtOnce() != 1 {
		t.Fatalf("got %+v, %d at once: %v", p, stuck.AtOnce(), err)
	}
	stop()
	for _, d := range []*parleytest.Subscriber{stuck, phone} {
		if n := len(d.Attempts()); n != 2 {
			t.Errorf("%d attempts", n)
		}
	}
}

// Push services that hang do not keep people from being told whose own answers, however many
// of them there are; and of one such, few devices are sent to at a time.
func TestManyHang(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben := b.person("Ann"), b.person("Ben")
	release := make(chan struct{})
	var (
		stuck  []*parleytest.Subscriber
		people = []accounts.Identity{}
		bad    = parleytest.NewWebPush()
		most   atomic.Int64
		now    atomic.Int64
	)
	t.Cleanup(bad.Close)
	for i := range slots + 3*slowSlots {
		who := b.person(fmt.Sprint("p", i))
		d := bad.Subscribe()
		if _, err := b.Register(t.Context(), who, Target{Kind: KindWebPush, Address: d.Endpoint, P256dh: d.P256dh, Auth: d.Auth}); err != nil {
			t.Fatal(err)
		}
		d.Answer(func(http.ResponseWriter, *http.Request) bool {
			n := now.Add(1)
			defer now.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			<-release
			return false
		})
		stuck, people = append(stuck, d), append(people, who)
	}
	phone, _ := b.browser(ben)
	id := b.group("Climbers", ann, people...)
	direct := b.direct(ann, ben)
	stop := b.runs()
	b.say(ann, id, "Hello")
	// When all places are taken there is something to tell somebody else.
	for begin := time.Now(); now.Load() < slots; time.Sleep(time.Millisecond) {
		if time.Since(begin) > patience {
			t.Fatalf("%d are sent to", now.Load())
		}
	}
	began := time.Now()
	b.say(ann, direct, "Hello")
	if _, err := phone.Await(patient(t), 1); err != nil {
		t.Fatal(err)
	}
	t.Logf("told after %v", time.Since(began))
	if n := b.count(`SELECT count(*) FROM devices WHERE last_failure_at IS NOT NULL`); n != 0 {
		t.Errorf("only after %d were given up", n)
	}
	if n := most.Load(); n != slots {
		t.Errorf("%d devices of a push service that hangs are sent to at a time", n)
	}
	close(release)
	for _, d := range stuck {
		if _, err := d.Await(patient(t), 1); err != nil {
			t.Fatal(err)
		}
	}
	stop()
}

// What a push service refuses as it is, it gets without text; if it refuses even that, it will
// not have it, and the other conversations are told of.
func TestRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ben := b.person("Ben")
	phone, _ := b.browser(ben)
	b.greet(ben, "Ann", "Carl", "Dora", "Eve")
	var seen atomic.Int32
	phone.Answer(func(w http.ResponseWriter, r *http.Request) bool {
		return seen.Add(1) <= 3 && answer(400, "")(w, r) // Eve's twice, Dora's once
	})
	b.sends()
	p := phone.Pushes()
	if len(p) != 3 || p[0].Data.Title != "Parley" || p[1].Data.Title != "Carl" || p[2].Data.Title != "Ann" {
		t.Fatalf("got %+v", p)
	}
	if b.due() != 0 || b.count(`SELECT count(*) FROM devices WHERE last_failure = 'the push service answered 400' AND last_success_at IS NOT NULL`) != 1 {
		t.Error("the owner does not see what happened, or it is tried for ever")
	}
}

// Being stopped is no failure of the device, and costs it no time.
func TestStopped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben := b.person("Ann"), b.person("Ben")
	phone, _ := b.browser(ben)
	id := b.direct(ann, ben)
	b.notices(id, b.say(ann, id, "Hello"))
	turns := b.claims()
	if len(turns) != 1 {
		t.Fatalf("%d turns", len(turns))
	}
	ctx, cancel := context.WithCancel(t.Context())
	phone.Answer(func(_ http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		cancel()
		<-r.Context().Done()
		return true
	})
	if err := b.q.record(t.Context(), []result{b.serves(ctx, turns[0])}); err != nil {
		t.Fatal(err)
	}
	if b.count(`SELECT count(*) FROM devices WHERE attempts = 0 AND last_failure = '' AND due_at <= now() + interval '1 second'`) != 1 {
		t.Error("the device pays for it")
	}
	phone.Answer(nil)
	b.exec(`UPDATE devices SET due_at = now()`)
	b.sends()
	if p := phone.Pushes(); len(p) != 1 {
		t.Errorf("then %+v", p)
	}
}

// What takes too long to be found out for many is found out for fewer; and who alone takes too
// long waits, and holds up nobody.
func TestLookTakesTooLong(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann := b.person("Ann")
	var phones []*parleytest.Subscriber
	var people []accounts.Identity
	for i := range 5 {
		who := b.person(fmt.Sprint("p", i))
		phone, _ := b.browser(who)
		phones, people = append(phones, phone), append(people, who)
	}
	id := b.group("Climbers", ann, people...)
	b.notices(id, b.say(ann, id, "Hello"))
	b.exec(`ALTER TABLE push_jobs RENAME TO jobs_kept`)
	b.exec(`CREATE VIEW push_jobs AS SELECT * FROM jobs_kept WHERE user_id <> '` + people[2].UserID.String() + `' OR pg_sleep(30) IS NULL`)
	turns := b.claims()
	b.exec(`DROP VIEW push_jobs`)
	b.exec(`ALTER TABLE jobs_kept RENAME TO push_jobs`)
	var results []result
	for _, t := range turns {
		results = append(results, b.serves(b.t.Context(), t))
	}
	if err := b.q.record(t.Context(), results); err != nil {
		t.Fatal(err)
	}
	if n := b.count(`SELECT count(*) FROM devices WHERE attempts = 1 AND due_at < now() + interval '5 seconds'`); n != 1 {
		t.Errorf("%d devices are looked at again", n)
	}
	for i, phone := range phones {
		if n := len(phone.Pushes()); (n == 1) != (i != 2) {
			t.Errorf("%d got %d", i, n)
		}
	}
}
