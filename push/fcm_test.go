package push

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/accounts"
	"parley/parleytest"
	"parley/problem"
	"parley/store/storetest"
)

// withFCM makes a Service that sends by a fake FCM, known by a service account.
func withFCM(t *testing.T) (*bundle, *parleytest.FCM) {
	t.Helper()
	f := parleytest.NewFCM()
	t.Cleanup(func() {
		f.Close()
		if err := f.Faults(); err != nil {
			t.Error(err)
		}
	})
	return replica(t, storetest.New(t), func(c *Config) { c.FCM, c.FCMEndpoint = f.ServiceAccount(), f.Endpoint() }), f
}

func (b *bundle) phone(f *parleytest.FCM, who accounts.Identity, platform string) (*parleytest.FCMDevice, Device) {
	b.t.Helper()
	p := f.Register()
	d, err := b.Register(b.t.Context(), who, Target{Kind: KindFCM, Platform: platform, Address: p.Token})
	if err != nil {
		b.t.Fatal(err)
	}
	return p, d
}

// Phones get a notification that the system shows, in the place of the one before, and with it
// what an app needs.
func TestFCM(t *testing.T) {
	t.Parallel()
	b, f := withFCM(t)
	ann, ben := b.person("Ann"), b.person("Ben")
	android, _ := b.phone(f, ben, "android")
	apple, _ := b.phone(f, ben, "ios")
	page, _ := b.phone(f, ben, "web")
	id := b.direct(ann, ben)
	seq := b.say(ann, id, "Are you there?")
	b.notices(id, seq)
	b.sends()
	for name, d := range map[string]*parleytest.FCMDevice{"android": android, "ios": apple, "web": page} {
		pushes := d.Pushes()
		if len(pushes) != 1 {
			t.Fatalf("%s: %d pushes", name, len(pushes))
		}
		p := pushes[0]
		if p.Notification == nil || p.Notification.Title != "Ann" || p.Notification.Body != "Are you there?" {
			t.Errorf("%s shows %+v", name, p.Notification)
		}
		at, err := time.Parse(time.RFC3339Nano, p.Data["at"])
		if d := p.Data; err != nil || time.Since(at) > time.Minute || d["type"] != "message" || d["conversation_id"] != id.String() || d["seq"] != "2" ||
			d["title"] != "Ann" || d["body"] != "Are you there?" || d["count"] != "1" || d["unread"] != "1" || d["tag"] != id.String() {
			t.Errorf("%s gets %v", name, d)
		}
		if a := p.Android; a.CollapseKey != id.String() || a.Priority != "high" || a.TTL != "604800s" || a.Notification == nil || a.Notification.Tag != id.String() {
			t.Errorf("%s: for Android %+v", name, a)
		}
		if a := p.APNS; a.Headers["apns-collapse-id"] != id.String() || a.Headers["apns-priority"] != "10" || a.Headers["apns-push-type"] != "alert" ||
			a.Payload.Aps["badge"] != 1.0 || a.Payload.Aps["thread-id"] != id.String() || a.Payload.Aps["sound"] != "default" || a.Payload.Aps["content-available"] != nil {
			t.Errorf("%s: for Apple %+v", name, a)
		}
		if (p.Webpush != nil) != (name == "web") || p.Webpush != nil && p.Webpush.Notification.Tag != id.String() {
			t.Errorf("%s: for browsers %+v", name, p.Webpush)
		}
	}
	if f.TokensGiven() != 1 {
		t.Errorf("%d OAuth tokens were asked for", f.TokensGiven())
	}

	// What was read elsewhere is taken away where that can be done without showing anything.
	b.marks(ben, id, seq, seq)
	if n, err := b.q.raiseRead(t.Context()); err != nil || n != 2 {
		t.Fatalf("%d devices show what was read: %v", n, err)
	}
	b.sends()
	for _, d := range []*parleytest.FCMDevice{android, apple} {
		pushes := d.Pushes()
		if len(pushes) != 2 {
			t.Fatalf("%d pushes", len(pushes))
		}
		p := pushes[1]
		if p.Notification != nil || p.Android.Notification != nil || p.Data["type"] != "read" || p.Data["tag"] != id.String() || p.Data["seq"] != "2" || p.Data["unread"] != "0" ||
			p.APNS.Headers["apns-push-type"] != "background" || p.APNS.Headers["apns-priority"] != "5" || p.APNS.Payload.Aps["content-available"] != 1.0 || p.APNS.Payload.Aps["badge"] != nil {
			t.Errorf("got %+v", p)
		}
	}
	if n, err := b.q.raiseRead(t.Context()); err != nil || n != 0 || len(page.Pushes()) != 1 {
		t.Errorf("again: %d devices, the page got %d: %v", n, len(page.Pushes()), err)
	}
}

// What there is to say comes before what there is to take away, and does not wait for it.
func TestReadComesLast(t *testing.T) {
	t.Parallel()
	b, f := withFCM(t)
	ben := b.person("Ben")
	phone, _ := b.phone(f, ben, "android")
	b.greet(ben, "Ann", "Carl", "Dora", "Eve")
	b.sends()
	b.exec(`INSERT INTO receipts (conversation_id, user_id, delivered_seq, read_seq) SELECT conversation_id, $1, 9, 9 FROM push_jobs`, ben.UserID)
	finn := b.person("Finn")
	id := b.direct(finn, ben)
	b.notices(id, b.say(finn, id, "Hello"))
	var n atomic.Int32
	phone.Answer(func(w http.ResponseWriter, r *http.Request) bool {
		return n.Add(1) > 1 && parleytest.FCMError(400, "INVALID_ARGUMENT", "")(w, r)
	})
	b.sends()
	if p := phone.Pushes(); len(p) != 5 || p[4].Data["title"] != "Finn" {
		t.Fatalf("got %+v", p[4:])
	}
	if n := len(phone.Attempts()); n != 9 || b.due() != 0 || b.count(`SELECT count(*) FROM push_jobs`) != 1 {
		t.Errorf("%d attempts, %d due: what cannot be taken away is tried for ever", n, b.due())
	}
}

// What FCM may answer, and what becomes of the device and of what it is owed.
func TestFCMAnswers(t *testing.T) {
	t.Parallel()
	hang := func(_ http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		return true
	}
	reset := func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }
	for name, c := range map[string]struct {
		answer  func(http.ResponseWriter, *http.Request) bool
		tokens  func(http.ResponseWriter, *http.Request) bool
		gone    bool
		got     int
		lost    bool          // it is not tried again
		wait    time.Duration // at least, until the next attempt
		longest time.Duration
		failure string
	}{
		"200":                    {got: 1},
		"UNREGISTERED":           {answer: parleytest.FCMError(404, "UNREGISTERED", ""), gone: true},
		"404 of something else":  {answer: parleytest.FCMError(404, "", ""), wait: time.Second, longest: 2 * time.Second, failure: "FCM answered 404"},
		"INVALID_ARGUMENT":       {answer: parleytest.FCMError(400, "INVALID_ARGUMENT", ""), lost: true, failure: "FCM answered 400"},
		"SENDER_ID_MISMATCH":     {answer: parleytest.FCMError(403, "SENDER_ID_MISMATCH", ""), wait: time.Second, longest: 2 * time.Second, failure: "FCM says that the device belongs to another Firebase project"},
		"THIRD_PARTY_AUTH_ERROR": {answer: parleytest.FCMError(401, "THIRD_PARTY_AUTH_ERROR", ""), wait: time.Second, longest: 2 * time.Second, failure: "FCM has no valid key for Apple's push service"},
		"413 to whatever it is":  {answer: parleytest.FCMError(413, "", ""), lost: true, failure: "FCM answered 413"},
		"429":                    {answer: parleytest.FCMError(429, "QUOTA_EXCEEDED", "3600"), wait: time.Hour, longest: time.Hour, failure: "FCM answered 429"},
		"429 without a time":     {answer: parleytest.FCMError(429, "QUOTA_EXCEEDED", ""), wait: fcmQuota, longest: fcmQuota, failure: "FCM answered 429"},
		"500":                    {answer: parleytest.FCMError(500, "INTERNAL", ""), wait: time.Second, longest: 2 * time.Second, failure: "FCM answered 500"},
		"503":                    {answer: parleytest.FCMError(503, "UNAVAILABLE", ""), wait: time.Second, longest: 2 * time.Second, failure: "FCM answered 503"},
		"503 with a time":        {answer: parleytest.FCMError(503, "UNAVAILABLE", "60"), wait: time.Minute, longest: time.Minute, failure: "FCM answered 503"},
		"no JSON": {answer: func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = io.WriteString(w, "<html>")
			return true
		}, wait: time.Second, longest: 2 * time.Second, failure: "FCM answered 200"},
		"hang":             {answer: hang, wait: time.Second, longest: 2 * time.Second, failure: "FCM did not answer in time"},
		"reset":            {answer: reset, wait: time.Second, longest: 2 * time.Second, failure: "FCM could not be reached"},
		"no token":         {tokens: answer(401, ""), wait: time.Second, longest: 2 * time.Second, failure: "Google does not take the service account"},
		"tokens hang":      {tokens: hang, wait: time.Second, longest: 2 * time.Second, failure: "Google's token service could not be reached"},
		"tokens are reset": {tokens: reset, wait: time.Second, longest: 2 * time.Second, failure: "Google's token service could not be reached"},
		"tokens fail":      {tokens: answer(503, "60"), wait: time.Second, longest: 2 * time.Second, failure: "Google's token service answered 503"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, f := withFCM(t)
			ann, ben := b.person("Ann"), b.person("Ben")
			phone, device := b.phone(f, ben, "android")
			id := b.direct(ann, ben)
			phone.Answer(c.answer)
			f.AnswerTokens(c.tokens)
			b.notices(id, b.say(ann, id, "Hello"))
			began := time.Now()
			b.sends()
			if took := time.Since(began); took > 2*fcmTimeout {
				t.Errorf("it took %v", took)
			}
			if n := len(phone.Pushes()); n != c.got {
				t.Fatalf("the device got %d", n)
			}
			var (
				failure string
				seconds float64
			)
			err := b.db.QueryRow(t.Context(), `SELECT last_failure, coalesce(extract(epoch FROM due_at - now()), 0)::float8
				FROM devices WHERE id = $1`, device.ID).Scan(&failure, &seconds)
			if c.gone {
				if n := b.count(`SELECT count(*) FROM devices`); err == nil || n != 0 {
					t.Errorf("the device is there: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wait := time.Duration(seconds * float64(time.Second))
			if wait < c.wait-500*time.Millisecond || wait > c.longest || failure != c.failure {
				t.Errorf("it is tried again in %v because of %q", wait, failure)
			}
			// Then it is taken, and once.
			phone.Answer(nil)
			f.AnswerTokens(nil)
			b.exec(`UPDATE devices SET due_at = now() WHERE due_at IS NOT NULL`)
			b.senders[KindFCM].(*fcmSender).tokens.until = time.Time{} // that second passes
			b.sends()
			b.sweeps()
			b.sends()
			if n := len(phone.Pushes()); (n == 1) == c.lost || b.due() != 0 {
				t.Errorf("in the end the device got %d, and %d are due", n, b.due())
			}
		})
	}
}

// Many wait for a token that does not come, and none for the others.
func TestTokensHang(t *testing.T) {
	t.Parallel()
	b, f := withFCM(t)
	ben := b.person("Ben")
	f.AnswerTokens(func(_ http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		return true
	})
	_, d := b.phone(f, ben, "android")
	target, ok, err := b.q.useForTest(t.Context(), ben.UserID, d.ID, 0)
	if err != nil || !ok {
		t.Fatal(err)
	}
	began := time.Now()
	answers := make(chan Answer)
	const many = 20
	for range many {
		go func() {
			answers <- b.send(context.WithoutCancel(t.Context()), target, Notification{Type: "test", At: time.Now()}, func() {})
		}()
	}
	for range many {
		if a := <-answers; a.Outcome != Later {
			t.Errorf("got %+v", a)
		}
	}
	if took := time.Since(began); took > 3*fcmTimeout {
		t.Errorf("%d of them took %v", many, took)
	}
}

// However long what is said, it fits; and it is text that FCM takes.
func TestFCMSize(t *testing.T) {
	t.Parallel()
	b, f := withFCM(t)
	ann, ben := b.person("Ann"), b.person("Ben")
	b.exec(`UPDATE users SET display_name = repeat('é', 64) WHERE id = $1`, ann.UserID)
	phone, _ := b.phone(f, ben, "ios")
	id := b.group(strings.Repeat("汉", 200), ann, ben)
	b.notices(id, b.say(ann, id, strings.Repeat("語", 5000)))
	b.sends()
	p := phone.Pushes()
	if len(p) != 1 || !strings.Contains(p[0].Data["body"], "語語語") {
		t.Fatalf("got %+v", p)
	}
	raw, err := json.Marshal(p[0].Data)
	if size := len(raw) + len(p[0].Notification.Title) + len(p[0].Notification.Body); err != nil || size > 4096 {
		t.Errorf("it has %d bytes", size)
	}
}

// A service account that is none is refused at the start; without one there is no FCM.
func TestFCMAccount(t *testing.T) {
	t.Parallel()
	f := parleytest.NewFCM()
	defer f.Close()
	for name, account := range map[string]string{
		"no JSON": "{", "no project": `{"type":"service_account"}`, "a user": `{"type":"authorized_user","project_id":"p"}`,
	} {
		if _, err := newFCM(t.Context(), []byte(account), f.Endpoint()); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
	b := replica(t, storetest.New(t), nil)
	out, err := b.httpPush(t.Context(), nil)
	if err != nil || out.Body.FCM || out.Body.VAPIDPublicKey == "" {
		t.Errorf("without FCM: %+v, %v", out, err)
	}
	var p *problem.Error
	if _, err := b.Register(t.Context(), b.person("Ben"), Target{Kind: KindFCM, Platform: "ios", Address: "x"}); !errors.As(err, &p) || p.Code != problem.Invalid {
		t.Errorf("without FCM a device: %v", err)
	}
}
