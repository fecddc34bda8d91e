package push

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"parley/problem"
	"parley/store/storetest"
)

// Notifications go to the push services of browsers and to those the operator names.
func TestServices(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		added        []string
		allowed, not []string
	}{
		"browsers_need_no_setting": {nil,
			[]string{
				"https://fcm.googleapis.com/fcm/send/x", "https://FCM.googleapis.com:443/wp/x", "https://jmt17.google.com/fcm/send/x",
				"https://updates.push.services.mozilla.com/wpush/v2/x", "https://web.push.apple.com/x", "https://wns2-am3p.notify.windows.com/w/?token=x",
			},
			[]string{
				"http://fcm.googleapis.com/x", "https://fcm.googleapis.com:8443/x", "https://fcm.googleapis.com.example.org/x", "https://fcm.googleapis.com./x",
				"https://evilnotify.windows.com/x", "https://notify.windows.com/x", "https://.notify.windows.com/x", "https://storage.googleapis.com/x", "https://example.org/fcm.googleapis.com",
				"https://127.0.0.1/", "https://fcm.googleapis.com@example.org/", "https:///x", "ftp://fcm.googleapis.com/",
			}},
		"operators_add_hosts": {[]string{" Push.Example.org", "*.up.example.net", "ntfy.example.com:8443"},
			[]string{"https://push.example.org/x", "https://a.b.up.example.net/x", "https://ntfy.example.com:8443/x", "https://web.push.apple.com/x"},
			[]string{"https://up.example.net/x", "https://push.example.org:8443/x", "https://ntfy.example.com/x", "https://a.up.example.net:22/x", "https://other.example.org/x"}},
		"any_host_still_needs_https": {[]string{"*"}, []string{"https://example.org/x"}, []string{"http://example.org/x", "https://example.org:22/x"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := ParseServices(c.added)
			if err != nil {
				t.Fatal(err)
			}
			for want, addresses := range map[bool][]string{true: c.allowed, false: c.not} {
				for _, a := range addresses {
					if u, err := url.Parse(a); err != nil || s.allows(u) != want {
						t.Errorf("%s: allowed is not %v: %v", a, want, err)
					}
				}
			}
		})
	}
	for _, host := range []string{"", "https://push.example.org", "push.example.org/x", "a*.example.org", "*.", "*.example.org:443", "me@example.org", "a b"} {
		if _, err := ParseServices([]string{host}); err == nil {
			t.Errorf("%q is taken for a host", host)
		}
	}
}

// fixedSender answers at once, whatever it gets.
type fixedSender struct{ answer Answer }

func (f fixedSender) Send(context.Context, Target, Notification) Answer { return f.answer }

// A client cannot find out by its devices what a name resolves to or what listens there.
func TestPushIsNoOracle(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	b := replica(t, storetest.New(t), func(c *Config) { c.AllowPrivate, c.Logger = false, slog.New(slog.NewJSONHandler(&log, nil)) })
	ben := b.person("Ben")
	keys := b.web.Subscribe()
	target := Target{Kind: KindWebPush, Address: "https://web.push.apple.com/secret", P256dh: keys.P256dh, Auth: keys.Auth}
	d, err := b.Register(t.Context(), ben, target)
	if err != nil {
		t.Fatal(err)
	}
	test := func(t *testing.T) Tested {
		t.Helper()
		got, err := b.Test(t.Context(), ben.UserID, d.ID)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	// Subtests share the device, so they run in this order.
	t.Run("another_host_is_refused_by_name_of_the_setting", func(t *testing.T) {
		other := target
		for _, host := range []string{"localhost", "db.internal", "no-such-name.invalid"} {
			other.Address = "https://" + host + "/x"
			var p *problem.Error
			_, err := b.Register(t.Context(), ben, other)
			if !errors.As(err, &p) || p.Code != problem.Invalid || p.Detail != errNotAllowed(host).Detail || !strings.Contains(p.Detail, "PARLEY_PUSH_SERVICES") {
				t.Errorf("%s: %v", host, err)
			}
		}
	})
	t.Run("all_failures_look_the_same", func(t *testing.T) {
		for i, a := range []Answer{
			{Reason: "the push service's name is not known"}, {Reason: errPrivate.Error()}, {Outcome: Refused, Status: 400, Reason: "the push service answered 400"}, {Status: 500, Reason: "the push service answered 500"},
		} {
			b.senders[KindWebPush] = fixedSender{a}
			b.failing.at = nil
			log.Reset()
			if got := test(t); got != (Tested{Detail: notTaken}) {
				t.Errorf("%d: %+v", i, got)
			}
			list, err := b.Devices(t.Context(), ben)
			if err != nil || len(list) != 1 || list[0].LastFailure != notTaken {
				t.Errorf("%d: %+v, %v", i, list, err)
			}
			if line := log.String(); !strings.Contains(line, a.Reason) || strings.Contains(line, "secret") {
				t.Errorf("%d: the log says %s", i, line)
			}
		}
	})
	t.Run("a_failure_takes_the_same_time_where_any_host_is_allowed", func(t *testing.T) {
		var until time.Time
		b.cfg.Services.any, b.await = true, func(_ context.Context, deadline time.Time) { until = deadline }
		defer func() { b.cfg.Services.any, b.await = false, wait }()
		began := time.Now()
		if test(t); until.Before(began.Add(testTimeout)) {
			t.Errorf("it is answered at %v, %v after its begin", until, until.Sub(began))
		}
	})
	t.Run("a_device_of_before_is_kept_and_not_called", func(t *testing.T) {
		b.senders[KindWebPush] = fixedSender{Answer{Outcome: Accepted, Status: 201}}
		b.exec(`UPDATE devices SET address = $1`, "https://push.example.org/secret")
		log.Reset()
		for range 3 {
			if got := test(t); got != (Tested{Detail: notTaken}) {
				t.Errorf("it was called: %+v", got)
			}
		}
		if n := strings.Count(log.String(), "push.example.org"); n != 1 || strings.Contains(log.String(), "secret") {
			t.Errorf("the log says %s", log.String())
		}
		b.cfg.Services, err = ParseServices([]string{"push.example.org"})
		if got := test(t); err != nil || !got.OK {
			t.Errorf("once it is allowed: %+v, %v", got, err)
		}
	})
	t.Run("the_log_is_bounded", func(t *testing.T) {
		var f failing
		for i := range 3 * maxFailing {
			f.due(fmt.Sprint(i), false, time.Now())
		}
		if len(f.at) > maxFailing {
			t.Errorf("%d push services are remembered", len(f.at))
		}
	})
}
