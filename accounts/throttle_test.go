package accounts

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/problem"
)

const wrong = "a wrong password"

func (b *bundle) try(username, password, address string) answer {
	b.t.Helper()
	return b.call("POST", "/sessions", object{"username": username, "password": password}, from(address))
}

// age moves all failures into the past.
func (b *bundle) age(d time.Duration) {
	b.t.Helper()
	b.exec(`UPDATE login_failures SET failed_at = failed_at - $1::interval`, d)
}

// failAs stores failures of an account, as from so many unknown browsers at addresses of their own.
func (b *bundle) failAs(username string, n int) {
	b.t.Helper()
	b.exec(`INSERT INTO login_failures (subject) SELECT $1 FROM generate_series(1, $2::int)`, accountSubject(username), n)
}

// known gives the device cookies of an answer.
func known(a answer) header {
	return func(r *http.Request) {
		for name, c := range cookiesOf(a) {
			if strings.Contains(name, "-device-") {
				r.AddCookie(&http.Cookie{Name: name, Value: c.Value})
			}
		}
	}
}

func TestFailedSignIns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.person("ann", RoleMember)
	b.person("ben", RoleMember)
	for _, name := range []string{"nobody", "ann"} { // the same for both, or it would tell
		t.Run("ten of "+name+" from one address make it wait", func(t *testing.T) {
			b := &bundle{b.Service, t, b.db, b.url, b.sockets}
			address := "198.51.100." + fmt.Sprint(len(name))
			for range maxFailures {
				b.try(name, wrong, address).wants(401)
				b.age(time.Minute)
			}
			a := b.try(name, goodPassword, address).wants(429)
			seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
			// The first of the ten is ten minutes old.
			if p := decode[problemBody](a); p.Code != "rate_limited" || err != nil || seconds < 4*60 || seconds > 5*60 {
				t.Errorf("Retry-After %q: %s", a.header.Get("Retry-After"), a.body)
			}
			// When the first is old enough there is room for one attempt.
			b.age(5 * time.Minute)
			b.try(name, wrong, address).wants(401)
			b.try(name, wrong, address).wants(429)
			b.age(failureWindow)
			b.try(name, wrong, address).wants(401)
		})
	}
	b.age(failureWindow)

	t.Run("four addresses keep no other out of the account", func(t *testing.T) {
		b := &bundle{b.Service, t, b.db, b.url, b.sockets}
		for i := range 4 * maxFailures {
			b.try("ann", wrong, fmt.Sprint("203.0.113.", i%4)).wants(401)
		}
		b.try("ann", goodPassword, "203.0.113.0").wants(429)
		b.try("ann", goodPassword, "198.51.100.200").wants(201)
		if n := b.count(`SELECT count(*) FROM login_failures WHERE subject = $1`, accountSubject("ann")); n != 0 {
			t.Errorf("%d failures of the account outlive a success", n)
		}
	})
	t.Run("a username is not stored as it was typed", func(t *testing.T) {
		if n := b.count(`SELECT count(*) FROM login_failures WHERE subject LIKE '%nobody%'`); n != 0 {
			t.Error("it is stored")
		}
	})
	for _, name := range []string{"nobody", "ann"} {
		t.Run("a hundred of "+name+" from many addresses make unknown browsers wait", func(t *testing.T) {
			b := &bundle{b.Service, t, b.db, b.url, b.sockets}
			b.failAs(name, maxAccountFailures-1)
			b.try(name, wrong, "198.51.100.210").wants(401)
			b.try(name, goodPassword, "198.51.100.211").wants(429)
			b.try("ben", goodPassword, "198.51.100.212").wants(201)
		})
	}
}

func TestKnownBrowsers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.person("ann", RoleMember)
	b.person("ben", RoleMember)
	anns := known(b.try("ann", goodPassword, "192.0.2.1").wants(201))
	bens := known(b.try("ben", goodPassword, "192.0.2.1").wants(201))
	signIn := func(username, password string, headers ...header) answer {
		return b.call("POST", "/sessions", object{"username": username, "password": password}, append(headers, from("192.0.2.1"))...)
	}
	b.failAs("ann", maxAccountFailures)
	for i := range maxFailures {
		b.try(fmt.Sprint("other", i), wrong, "192.0.2.1").wants(401)
	}
	t.Run("are not affected by failures of the account and the address elsewhere", func(*testing.T) {
		signIn("ann", goodPassword).wants(429)
		signIn("ann", goodPassword, anns).wants(201)
		signIn("ann", goodPassword, bens, anns).wants(201) // a browser that two people use
	})
	t.Run("are known to the account they signed in to, and to no other", func(*testing.T) {
		signIn("ann", goodPassword, bens).wants(429)
		signIn("ben", goodPassword, anns).wants(429)
	})
	t.Run("are not made up", func(*testing.T) {
		for name, c := range cookiesOf(signIn("ann", goodPassword, anns).wants(201)) {
			if !strings.Contains(name, "-device-") {
				continue
			}
			nonce, mac, _ := strings.Cut(c.Value, ".")
			for _, v := range []string{"", ".", nonce + ".", nonce, "." + mac, strings.Repeat("A", len(nonce)) + "." + mac, nonce + "." + strings.Repeat("A", len(mac)), c.Value + "A"} {
				signIn("ann", goodPassword, cookie(name, v)).wants(429)
			}
		}
	})
	t.Run("fail ten times by themselves, and no more", func(*testing.T) {
		for range maxFailures {
			signIn("ann", wrong, anns).wants(401)
		}
		signIn("ann", goodPassword, anns).wants(429)
		b.age(failureWindow)
	})
	t.Run("are unknown after the password was reset", func(t *testing.T) {
		if err := b.SetPassword(t.Context(), "ann", "another pass phrase"); err != nil {
			t.Fatal(err)
		}
		b.failAs("ann", maxAccountFailures)
		signIn("ann", "another pass phrase", anns).wants(429)
	})
	t.Run("are known on every replica", func(t *testing.T) {
		b.failAs("ben", maxAccountFailures)
		other := replica(t, b.db)
		other.call("POST", "/sessions", object{"username": "ben", "password": goodPassword}, bens).wants(201)
	})
	t.Run("take the cookie for this host and programs not at all", func(t *testing.T) {
		for name, c := range cookiesOf(signIn("ben", goodPassword, bens).wants(201)) {
			if !strings.HasPrefix(name, "__Host-") || !c.HttpOnly || !c.Secure || c.Path != "/" || c.MaxAge != cookieAge || c.SameSite != http.SameSiteLaxMode {
				t.Errorf("%v", c)
			}
		}
	})
}

func TestThrottleByAddress(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.person("ann", RoleMember)
	for _, c := range []struct{ name, from, same, other string }{
		{"IPv4", "192.0.2.1", "192.0.2.1", "192.0.2.2"},
		{"IPv6", "2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"},
	} {
		for i := range maxFailures {
			b.try(fmt.Sprint("name", i, c.name), wrong, c.from).wants(401)
		}
		// A success of another account does not clear the address.
		b.try("ann", goodPassword, c.same).wants(429)
		b.try("ann", goodPassword, c.other).wants(201)
		b.try("ann", goodPassword, c.same).wants(429)
	}
	b.age(failureWindow)
	b.try("ann", goodPassword, "192.0.2.1").wants(201)
}

func TestAddressSubject(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"192.0.2.1": "login:192.0.2.1/32", "::ffff:192.0.2.1": "login:192.0.2.1/32",
		"2001:db8:1:2:3:4:5:6": "login:2001:db8:1:2::/64", "fe80::1%eth0": "login:fe80::/64",
	} {
		s := New(Config{ClientIP: func(context.Context) netip.Addr { return netip.MustParseAddr(in) }})
		if got := s.addressSubject(t.Context(), "login"); got != want {
			t.Errorf("%s: %v, want %s", in, got, want)
		}
	}
	for _, s := range []*Service{New(Config{}), New(Config{ClientIP: func(context.Context) netip.Addr { return netip.Addr{} }})} {
		if got := s.addressSubject(t.Context(), "login"); got != "" {
			t.Errorf("an unknown address gives %v", got)
		}
	}
}

// Attempts made at once get hardly further than those made one after another.
func TestThrottleHoldsAgainstManyAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.person("ann", RoleMember)
	var tried, refused atomic.Int32
	together(20, func(int) {
		switch a := b.try("ann", wrong, "198.51.100.1"); a.status {
		case 401:
			tried.Add(1)
		case 429, 503: // a busy machine has no slot for long
			refused.Add(1)
		default:
			t.Errorf("status %d: %s", a.status, a.body)
		}
	})
	if n, most := int(tried.Load()), maxFailures+b.hashing.slots-1; n < maxFailures || n > most {
		t.Errorf("%d were tried, %d refused; at most %d should be tried", n, refused.Load(), most)
	}
}

func TestThrottleOfCurrentPassword(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, other := b.person("ann", RoleMember), b.signIn("ann")
	change := func(token, current string) answer {
		return b.call("PUT", "/me/password", object{"current": current, "new": goodPassword}, bearer(token), from("192.0.2.1"))
	}
	b.failAs("ann", maxAccountFailures)
	for range maxFailures {
		b.try("ann", wrong, "192.0.2.1")
	}
	for range maxFailures {
		change(ann.Token, wrong).wants(403)
	}
	a := change(ann.Token, goodPassword).wants(429)
	if a.header.Get("Retry-After") == "" {
		t.Error("it is not said for how long")
	}
	// Neither what fails at signing in nor another session counts.
	change(other.Token, goodPassword).wants(204)
}

func TestThrottleOfCodes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	set := form("ann")
	set["token"] = b.setupToken()
	bad := form("ann")
	bad["invite"] = "wrong"
	for range maxFailures {
		b.call("POST", "/users", bad, from("192.0.2.1")).wants(403)
	}
	b.call("POST", "/setup", set, from("192.0.2.1")).wants(429)
	b.call("POST", "/setup", set, from("192.0.2.2")).wants(201)
	// Passwords are counted apart: a broken link keeps nobody from signing in.
	b.try("ann", goodPassword, "192.0.2.1").wants(201)
}

func TestNoThrottlesWhenOff(t *testing.T) {
	t.Parallel()
	b := setup(t, noLimits)
	b.person("ann", RoleMember)
	for range maxFailures + 2 {
		b.try("ann", wrong, "192.0.2.1").wants(401)
	}
	bad := form("eve")
	bad["invite"] = "wrong"
	for range maxFailures + 2 {
		b.call("POST", "/users", bad, from("192.0.2.1")).wants(403)
	}
	b.try("ann", goodPassword, "192.0.2.1").wants(201)
	if n := b.count(`SELECT count(*) FROM login_failures`); n != 0 {
		t.Errorf("%d failures are counted", n)
	}
}

// Whoever is unknown or disabled costs a hash too, of the same parameters, in the same turn.
func TestUnknownUsersAreHashedToo(t *testing.T) {
	t.Parallel()
	b := setup(t, noLimits)
	b.person("ann", RoleMember)
	b.person("gone", RoleMember)
	b.exec(`UPDATE users SET disabled_at = now() WHERE username = 'gone'`)
	var hashed []passwordHash
	b.matches = func(h passwordHash, password string) bool {
		hashed = append(hashed, h)
		return h.matches(password)
	}
	names := []string{"ann", "gone", "nobody", "not a username"}
	for i, name := range names {
		if _, err := b.SignIn(t.Context(), name, wrong, ""); !errors.Is(err, errWrongPassword) {
			t.Errorf("%s: %v", name, err)
		}
		if len(hashed) != i+1 {
			t.Fatalf("%s: %d hashes after %d attempts", name, len(hashed), i+1)
		}
		if h, first := hashed[i], hashed[0]; h.memory != first.memory || h.time != first.time || h.threads != first.threads ||
			len(h.key) != len(first.key) || len(h.salt) != len(first.salt) {
			t.Errorf("%s: the hash is of another kind: %s", name, h)
		}
	}
	if _, err := b.SignIn(t.Context(), "gone", goodPassword, ""); !errors.Is(err, errWrongPassword) {
		t.Errorf("disabled: %v", err)
	}
	// Without a slot there is no answer, whichever user it is about.
	end := b.hold(b.hashing.slots)
	for _, name := range names {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := b.SignIn(ctx, name, wrong, ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: answered without hashing: %v", name, err)
		}
		cancel()
	}
	// The wait has an end even where the client has none.
	if _, err := b.SignIn(t.Context(), "ann", goodPassword, ""); problem.From(err).Code != problem.Unavailable || problem.From(err).RetryAfter <= 0 {
		t.Errorf("a server that hashes for ever: %v", err)
	}
	end()
	b.signIn("ann")
}
