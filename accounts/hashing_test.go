package accounts

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/problem"
)

// hold takes slots until it is ended.
func (b *bundle) hold(slots int) (end func()) {
	release := make(chan struct{})
	var held, done sync.WaitGroup
	held.Add(slots)
	for range slots {
		done.Go(func() {
			err := b.hashing.do(context.Background(), hashCaller{}, func() error { held.Done(); <-release; return nil })
			if err != nil {
				b.t.Error(err)
			}
		})
	}
	held.Wait()
	return func() { close(release); done.Wait() }
}

func TestHashLimiter(t *testing.T) {
	t.Parallel()
	errRan := errors.New("ran")
	ran := func() error { return errRan }
	// exhausted is a limiter with a heavy caller.
	heavy := func(t *testing.T, l *hashLimiter, key string) {
		t.Helper()
		for {
			class, err := l.spend(hashCaller{key: key}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if class == hashHeavy {
				return
			}
		}
	}
	t.Run("an address has a burst, and then one hash a second", func(t *testing.T) {
		t.Parallel()
		l, now := newHashLimiter(), time.Now()
		for range hashBurst {
			if _, err := l.spend(hashCaller{key: "a"}, now); err != nil {
				t.Fatal(err)
			}
		}
		_, err := l.spend(hashCaller{key: "a"}, now)
		if p := problem.From(err); p.Code != problem.RateLimited || p.RetryAfter != hashInterval {
			t.Errorf("beyond the burst: %v, after %v", err, p.RetryAfter)
		}
		if _, err := l.spend(hashCaller{key: "b"}, now); err != nil {
			t.Errorf("another address: %v", err)
		}
		if _, err := l.spend(hashCaller{key: "a"}, now.Add(hashInterval)); err != nil {
			t.Errorf("a second later: %v", err)
		}
		if _, err := l.spend(hashCaller{key: "a"}, now.Add(hashInterval)); err == nil {
			t.Error("two in that second")
		}
	})
	t.Run("forgets addresses that are idle", func(t *testing.T) {
		t.Parallel()
		l, now := newHashLimiter(), time.Now()
		for i := range 1000 {
			if _, err := l.spend(hashCaller{key: fmt.Sprint(i)}, now); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := l.spend(hashCaller{key: "late"}, now.Add(2*hashBurst*hashInterval)); err != nil || len(l.budgets) != 1 {
			t.Errorf("%d budgets are kept, %v", len(l.budgets), err)
		}
	})
	t.Run("one slot is kept for addresses that asked little, and for known browsers", func(t *testing.T) {
		t.Parallel()
		b := &bundle{Service: New(Config{}), t: t}
		b.hashing.slots = 3
		heavy(t, b.hashing, "a")
		end := b.hold(1)
		ctx, cancel := context.WithCancel(t.Context())
		waits := make(chan error, 1)
		go func() { waits <- b.hashing.do(ctx, hashCaller{key: "a"}, ran) }()
		b.eventually("the heavy address waits", func() bool { return b.hashing.waits(hashHeavy) == 1 })
		for _, c := range []hashCaller{{key: "b"}, {key: "device", known: true}, {}} {
			if err := b.hashing.do(t.Context(), c, ran); !errors.Is(err, errRan) {
				t.Errorf("%+v: %v", c, err)
			}
		}
		cancel()
		if err := <-waits; !errors.Is(err, context.Canceled) {
			t.Errorf("the heavy address: %v", err)
		}
		end()
		if err := b.hashing.do(t.Context(), hashCaller{key: "a"}, ran); !errors.Is(err, errRan) {
			t.Errorf("the heavy address on an idle server: %v", err)
		}
	})
	t.Run("unknown addresses leave a core to all else", func(t *testing.T) {
		t.Parallel()
		b := &bundle{Service: New(Config{}), t: t}
		b.hashing.slots = 2
		end := b.hold(1)
		ctx, cancel := context.WithCancel(t.Context())
		waits := make(chan error, 1)
		go func() { waits <- b.hashing.do(ctx, hashCaller{key: "new"}, ran) }()
		b.eventually("the unknown address waits", func() bool { return b.hashing.waits(hashLight) == 1 })
		if err := b.hashing.do(t.Context(), hashCaller{key: "device", known: true}, ran); !errors.Is(err, errRan) {
			t.Errorf("a known browser: %v", err)
		}
		end()
		if err := <-waits; !errors.Is(err, errRan) {
			t.Errorf("the unknown address afterwards: %v", err)
		}
		cancel()
	})
	t.Run("serves known browsers before addresses that asked little, and those before heavy ones", func(t *testing.T) {
		t.Parallel()
		b := &bundle{Service: New(Config{}), t: t}
		l := b.hashing
		l.slots = 2
		heavy(t, l, "heavy")
		end := b.hold(2)
		var order []string
		var mu sync.Mutex
		var all sync.WaitGroup
		for class, c := range map[hashClass]hashCaller{hashHeavy: {key: "heavy"}, hashLight: {key: "light"}, hashKnown: {key: "known", known: true}} {
			all.Go(func() {
				_ = l.do(context.Background(), c, func() error {
					mu.Lock()
					defer mu.Unlock()
					order = append(order, c.key)
					return nil
				})
			})
			b.eventually("it waits", func() bool { return l.waits(class) == 1 })
		}
		// One slot is given back at a time: each of the callers passes it on.
		l.mu.Lock()
		l.slots = 1
		l.mu.Unlock()
		end()
		b.eventually("the two are served", func() bool { return l.waits(hashKnown)+l.waits(hashLight) == 0 })
		l.mu.Lock()
		l.slots = 2
		l.grant()
		l.mu.Unlock()
		all.Wait()
		if want := "[known light heavy]"; fmt.Sprint(order) != want {
			t.Errorf("served %v, want %s", order, want)
		}
	})
	t.Run("has queues of bounded length", func(t *testing.T) {
		t.Parallel()
		b := &bundle{Service: New(Config{}), t: t}
		end := b.hold(b.hashing.slots)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for i := range maxHashWaiting {
			all.Go(func() { _ = b.hashing.do(ctx, hashCaller{key: fmt.Sprint(i)}, ran) })
		}
		b.eventually("the queue is full", func() bool { return b.hashing.waits(hashLight) == maxHashWaiting })
		if err := b.hashing.do(ctx, hashCaller{key: "more"}, ran); !errors.Is(err, errHashing) {
			t.Errorf("beyond the queue: %v", err)
		}
		cancel()
		all.Wait()
		end()
		if l := b.hashing; l.running != 0 || l.waits(hashLight) != 0 {
			t.Errorf("%d run, %d wait", l.running, l.waits(hashLight))
		}
	})
}

func (l *hashLimiter) waits(c hashClass) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting[c])
}

// An address that asks for all the hashes it can leaves room for the sign-ins of others.
func TestOneAddressDoesNotStopSignIns(t *testing.T) {
	t.Parallel()
	b := setup(t, open)
	b.person("ann", RoleMember)
	var limited atomic.Int32
	together(120, func(i int) {
		if i%40 == 39 {
			b.try("ann", goodPassword, fmt.Sprint("192.0.2.", i)).wants(201)
			return
		}
		a := b.try(fmt.Sprint("user", i), wrong, "198.51.100.1")
		if a.status == 429 {
			limited.Add(1)
		}
	})
	if limited.Load() == 0 {
		t.Error("the address has no budget")
	}
}

func TestSignUpsOfAnAddress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		mode func(*Config)
		most int
	}{{"with an invite", func(*Config) {}, maxSignups}, {"where sign-up is open", open, maxOpenSignups}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, c.mode)
			admin := b.person("admin", RoleAdmin)
			invite := decode[NewInvite](b.call("POST", "/invites", object{"max_uses": 10}, bearer(admin.Token)).wants(201))
			signUp := func(name, address string) answer {
				f := form(name)
				f["invite"] = invite.Code
				return b.call("POST", "/users", f, from(address))
			}
			// The ones before, without waiting for the budget of hashes.
			b.exec(`INSERT INTO login_failures (subject, failed_at) SELECT 'signup:192.0.2.1/32', now() - interval '59 minutes' FROM generate_series(1, $1::int)`, c.most-1)
			signUp("ben", "192.0.2.1").wants(201)
			a := signUp("carl", "192.0.2.1").wants(429)
			if s, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || s < 1 || s > 60 {
				t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
			}
			signUp("carl", "192.0.2.2").wants(201)
			b.age(signupWindow)
			signUp("dora", "192.0.2.1").wants(201)
		})
	}
}

// What cannot become an account costs no hash, and counts neither as a sign-up.
func TestSignUpsThatCostNoHash(t *testing.T) {
	t.Parallel()
	b := setup(t)
	admin := b.person("admin", RoleAdmin)
	invite := decode[NewInvite](b.call("POST", "/invites", nil, bearer(admin.Token)).wants(201))
	defer b.hold(b.hashing.slots)() // a hash would wait
	for name, c := range map[string]struct {
		field, value string
		status       int
	}{
		"a taken username":       {"username", "ADMIN", 409},
		"a bad display name":     {"display_name", "\u200b", 400},
		"an unknown invite":      {"invite", "unknown", 403},
		"a password of the list": {"password", "password123", 400},
	} {
		t.Run(name, func(t *testing.T) {
			b := &bundle{b.Service, t, b.db, b.url, b.sockets}
			f := form("ben")
			f["invite"] = invite.Code
			f[c.field] = c.value
			b.call("POST", "/users", f, from("192.0.2.1")).wants(c.status)
		})
	}
	if n := b.count(`SELECT count(*) FROM login_failures WHERE subject LIKE 'signup:%'`); n != 0 {
		t.Errorf("%d are counted", n)
	}
}
