package push

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"parley/accounts"
	"parley/problem"
	"parley/store/storetest"
)

// The key pair is made once, whatever starts first.
func TestKeysStay(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	a, b := replica(t, db, nil), replica(t, db, nil)
	key, err := base64.RawURLEncoding.DecodeString(a.keys.public)
	if a.keys != b.keys || err != nil || len(key) != 65 {
		t.Errorf("the keys are %q and %q", a.keys.public, b.keys.public)
	}
}

// A device belongs to who registered it last; what it was owed for somebody else is not.
func TestDeviceMoves(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, eve := b.person("Ann"), b.person("Ben"), b.person("Eve")
	phone, first := b.browser(ben)
	id := b.direct(ann, ben)
	b.notices(id, b.say(ann, id, "for Ben"))
	turns := b.claims()
	if len(turns) != 1 {
		t.Fatalf("%d turns", len(turns))
	}
	target := Target{Kind: KindWebPush, Address: phone.Endpoint, P256dh: phone.P256dh, Auth: phone.Auth}
	register := func(who accounts.Identity) Device {
		t.Helper()
		d, err := b.Register(t.Context(), who, target)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	list := func(who accounts.Identity) []Device {
		t.Helper()
		all, err := b.Devices(t.Context(), who)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	// The same once more: nothing changes.
	if again := register(ben); again.ID != first.ID || !again.Current || len(list(ben)) != 1 {
		t.Errorf("it is %+v", again)
	}
	// Another session of the same person takes it over, and what is under way for the old one
	// does not remove it.
	laptop := b.session(ben.UserID)
	if again := register(laptop); again.ID != first.ID || len(list(ben)) != 1 || list(ben)[0].Current || !list(laptop)[0].Current {
		t.Errorf("it is %+v", again)
	}
	if err := b.q.record(t.Context(), []result{{turn: turns[0], gone: true}}); err != nil {
		t.Fatal(err)
	}
	if len(list(laptop)) != 1 {
		t.Fatal("a device that was registered anew was removed")
	}
	register(eve)
	if len(list(ben)) != 0 || len(list(eve)) != 1 {
		t.Fatalf("Ben has %v, Eve %v", list(ben), list(eve))
	}
	b.notices(id, b.say(ann, id, "still for Ben"))
	b.sweeps()
	b.sends()
	if n := len(phone.Attempts()); n != 0 || b.count(`SELECT count(*) FROM push_jobs`) != 0 {
		t.Errorf("%d pushes for Ben reached Eve's device", n)
	}
	if err := b.Remove(t.Context(), ben.UserID, list(eve)[0].ID); !errors.Is(err, errNoDevice) {
		t.Errorf("Ben removes Eve's: %v", err)
	}
	if err := b.Remove(t.Context(), eve.UserID, list(eve)[0].ID); err != nil || len(list(eve)) != 0 {
		t.Errorf("Eve removes hers: %v", err)
	}
}

// What cannot be a device is refused when it is registered.
func TestRefused(t *testing.T) {
	t.Parallel()
	b := replica(t, storetest.New(t), func(c *Config) { c.AllowPrivate = false })
	ben := b.person("Ben")
	good := b.web.Subscribe()
	valid := Target{Kind: KindWebPush, Address: "https://fcm.googleapis.com/1", P256dh: good.P256dh, Auth: good.Auth}
	for name, change := range map[string]func(*Target){
		"plain http":           func(t *Target) { t.Address = "http://fcm.googleapis.com/1" },
		"no address":           func(t *Target) { t.Address = "" },
		"a file":               func(t *Target) { t.Address = "file:///etc/passwd" },
		"a password":           func(t *Target) { t.Address = "https://me:you@fcm.googleapis.com/" },
		"this machine":         func(t *Target) { t.Address = "https://127.0.0.1/" },
		"this machine by IPv6": func(t *Target) { t.Address = "https://[::1]:8443/" },
		"another port":         func(t *Target) { t.Address = "https://fcm.googleapis.com:8443/" },
		"cloud metadata":       func(t *Target) { t.Address = "https://169.254.169.254/" },
		"no key":               func(t *Target) { t.P256dh = "" },
		"half a key":           func(t *Target) { t.P256dh = t.P256dh[:40] },
		"no point":             func(t *Target) { t.P256dh = base64.RawURLEncoding.EncodeToString(make([]byte, 65)) },
		"no secret":            func(t *Target) { t.Auth = "" },
		"a long secret":        func(t *Target) { t.Auth += "AAAA" },
		"FCM without FCM":      func(t *Target) { *t = Target{Kind: KindFCM, Platform: "android", Address: "token"} },
	} {
		d := valid
		change(&d)
		var p *problem.Error
		if _, err := b.Register(t.Context(), ben, d); !errors.As(err, &p) || p.Code != problem.Invalid || len(p.Fields) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Many at a time are no more than so many either.
	var all sync.WaitGroup
	var ok atomic.Int32
	for i := range maxDevices + 20 {
		d := valid
		d.Address += fmt.Sprint("/", i)
		all.Go(func() {
			if _, err := b.Register(t.Context(), ben, d); err == nil {
				ok.Add(1)
			} else if !errors.Is(err, errTooMany) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := ok.Load(); n != maxDevices {
		t.Fatalf("%d devices", n)
	}
	if err := b.db.QueryRow(t.Context(), `SELECT address FROM devices LIMIT 1`).Scan(&valid.Address); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Register(t.Context(), ben, valid); err != nil {
		t.Errorf("the last one again: %v", err)
	}
	valid.Address += "/another"
	if _, err := b.Register(t.Context(), ben, valid); !errors.Is(err, errTooMany) {
		t.Errorf("one too many: %v", err)
	}
}

// A test says what the push service said, and forgets what it does not know.
func TestTest(t *testing.T) {
	t.Parallel()
	b := replica(t, storetest.New(t), func(c *Config) { c.RateLimits = true })
	ben, eve := b.person("Ben"), b.person("Eve")
	phone, d := b.browser(ben)
	test := func() (Tested, error) {
		t.Helper()
		got, err := b.Test(t.Context(), ben.UserID, d.ID)
		b.exec(`UPDATE devices SET tested_at = tested_at - interval '5 seconds'`)
		return got, err
	}
	if got, err := test(); err != nil || got != (Tested{OK: true}) {
		t.Errorf("got %+v: %v", got, err)
	}
	if p := phone.Pushes(); len(p) != 1 || p[0].Data.Type != "test" || p[0].Data.Title == "" || p[0].Data.Body == "" {
		t.Errorf("it got %+v", p)
	}
	if _, err := b.Test(t.Context(), eve.UserID, d.ID); !errors.Is(err, errNoDevice) {
		t.Errorf("Eve: %v", err)
	}
	phone.Answer(answer(500, ""))
	if got, err := test(); err != nil || got != (Tested{Detail: notTaken}) {
		t.Errorf("got %+v: %v", got, err)
	}
	b.exec(`UPDATE devices SET tested_at = now()`)
	if _, err := b.Test(t.Context(), ben.UserID, d.ID); !errors.Is(err, errTooSoon) {
		t.Errorf("at once: %v", err)
	}
	b.exec(`UPDATE devices SET tested_at = NULL`)
	phone.Answer(answer(410, ""))
	if got, err := test(); err != nil || !got.Removed || got.OK {
		t.Errorf("got %+v: %v", got, err)
	}
	if _, err := test(); !errors.Is(err, errNoDevice) {
		t.Errorf("then: %v", err)
	}
	// The pause is the person's, not the device's.
	_, one := b.browser(ben)
	_, two := b.browser(ben)
	if _, err := b.Test(t.Context(), ben.UserID, one.ID); err != nil {
		t.Error(err)
	}
	if _, err := b.Test(t.Context(), ben.UserID, two.ID); !errors.Is(err, errTooSoon) {
		t.Errorf("another one: %v", err)
	}
}

func TestIsPublic(t *testing.T) {
	t.Parallel()
	for _, ip := range []string{"1.1.1.1", "8.8.8.8", "142.250.74.106", "2a00:1450:4001:80b::200a", "::ffff:1.1.1.1", "172.32.0.1", "100.128.0.1"} {
		if !isPublic(netip.MustParseAddr(ip)) {
			t.Errorf("%s is not public", ip)
		}
	}
	for _, ip := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.1.2.3", "169.254.169.254", "172.16.0.1", "192.168.1.1", "192.0.0.1", "192.0.2.1",
		"198.18.0.1", "203.0.113.7", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::7f00:1",
		"64:ff9b::7f00:1", "64:ff9b:1::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "fc00::1", "fd12::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "3fff::1", "4000::1", "::ffff:0:7f00:1", "5f00::1",
	} {
		if isPublic(netip.MustParseAddr(ip)) {
			t.Errorf("%s is public", ip)
		}
	}
}

// A name that means this machine, or an address that was let in, is not connected to.
func TestGuard(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked <- struct{}{} }))
	defer srv.Close()
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := newKeys()
	if err != nil {
		t.Fatal(err)
	}
	w := newWebPush(keys, "", false)
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"} {
		if res, err := w.client.Get("http://" + host + ":" + port); !errors.Is(err, errPrivate) {
			t.Errorf("%s: %v %v", host, res, err)
		}
	}
	if len(asked) != 0 {
		t.Error("it was asked")
	}
}
