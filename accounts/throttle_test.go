package accounts

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
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

func TestThrottleByAccount(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.person("ann", RoleMember)
	b.person("ben", RoleMember)
	for _, name := range []string{"nobody", "ann"} { // the same for both, or it would tell
		for i := range maxFailures {
			b.try(name, wrong, fmt.Sprint("198.51.100.", i)).wants(401)
			b.age(time.Minute)
		}
		a := b.try(name, goodPassword, "198.51.100.200").wants(429)
		seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
		// The first of the ten is ten minutes old.
		if p := decode[problemBody](a); p.Code != "rate_limited" || err != nil || seconds < 4*60 || seconds > 5*60 {
			t.Errorf("%s: Retry-After %q: %s", name, a.header.Get("Retry-After"), a.body)
		}
	}
	b.try("ANN", goodPassword, "198.51.100.201").wants(429) // the same account
	b.try("ben", goodPassword, "198.51.100.202").wants(201)

	// When the first is old enough there is room for one attempt.
	b.age(5 * time.Minute)
	b.try("ann", wrong, "198.51.100.203").wants(401)
	b.try("ann", wrong, "198.51.100.203").wants(429)
	b.age(failureWindow)
	b.try("ann", goodPassword, "198.51.100.203").wants(201)
	if n := b.count(`SELECT count(*) FROM login_failures WHERE subject = $1`, accountSubject("ann")); n != 0 {
		t.Errorf("%d failures outlive a success", n)
	}
	if n := b.count(`SELECT count(*) FROM login_failures WHERE subject LIKE '%nobody%'`); n != 0 {
		t.Error("what was typed as a username is stored")
	}
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

func TestAddressSubjects(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"192.0.2.1": "login:192.0.2.1/32", "::ffff:192.0.2.1": "login:192.0.2.1/32",
		"2001:db8:1:2:3:4:5:6": "login:2001:db8:1:2::/64", "fe80::1%eth0": "login:fe80::/64",
	} {
		s := New(Config{ClientIP: func(context.Context) netip.Addr { return netip.MustParseAddr(in) }})
		if got := s.addressSubjects(t.Context(), "login"); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %v, want %s", in, got, want)
		}
	}
	for _, s := range []*Service{New(Config{}), New(Config{ClientIP: func(context.Context) netip.Addr { return netip.Addr{} }})} {
		if got := s.addressSubjects(t.Context(), "login"); got != nil {
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
	together(40, func(i int) {
		switch a := b.try("ann", wrong, fmt.Sprint("198.51.100.", i)); a.status {
		case 401:
			tried.Add(1)
		case 429:
			refused.Add(1)
		default:
			t.Errorf("status %d: %s", a.status, a.body)
		}
	})
	if n, most := int(tried.Load()), maxFailures+cap(b.hashing)-1; n < maxFailures || n > most {
		t.Errorf("%d were tried, %d refused; at most %d should be tried", n, refused.Load(), most)
	}
}

func TestThrottleOfCurrentPassword(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann := b.person("ann", RoleMember)
	for range maxFailures {
		b.call("PUT", "/me/password", object{"current": wrong, "new": goodPassword}, bearer(ann.Token)).wants(403)
	}
	b.call("PUT", "/me/password", object{"current": goodPassword, "new": goodPassword}, bearer(ann.Token)).wants(429)
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
	// Without a turn to hash there is no answer, whoever is asked for.
	for range cap(b.hashing) {
		b.hashing <- struct{}{}
	}
	for _, name := range names {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := b.SignIn(ctx, name, wrong, ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: answered without hashing: %v", name, err)
		}
		cancel()
	}
	// Patience has an end even where the client has none.
	if _, err := b.SignIn(t.Context(), "ann", goodPassword, ""); problem.From(err).Code != problem.Unavailable || problem.From(err).RetryAfter <= 0 {
		t.Errorf("a server that hashes for ever: %v", err)
	}
	for range cap(b.hashing) {
		<-b.hashing
	}
}
