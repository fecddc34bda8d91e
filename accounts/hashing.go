package accounts

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"parley/problem"
)

// An address, a known browser or a session may hash 60 passwords at once and one a second
// afterwards. A caller that used more than 10 of those lately counts as heavy.
const (
	hashBurst    = 60
	hashInterval = time.Second
	lightHashes  = 10
)

const (
	maxHashWait    = 5 * time.Second // in the queue
	maxHashWaiting = 256             // callers in each queue
)

var errHashing = &problem.Error{Code: problem.Unavailable, Detail: "Too many people are signing in right now. Try again in a moment.", RetryAfter: 2 * time.Second}

// hashClass orders the callers that wait for a slot: a lower class is served first.
type hashClass int

const (
	hashKnown hashClass = iota // a known browser, or a session
	hashLight                  // a caller that asked little lately: leaves one slot, and so a core, free
	hashHeavy                  // the others: leave two free, where there are as many
	hashClasses
)

// hashCaller is on whose budget a password is hashed. An empty key has no budget.
type hashCaller struct {
	key   string
	known bool
}

// hashLimiter bounds the memory and the cores that hashing takes, and divides them among callers.
type hashLimiter struct {
	slots int

	mu      sync.Mutex // guards what follows
	running int
	waiting [hashClasses][]chan struct{} // closed when the slot is theirs
	budgets map[string]*hashBudget
	sweepAt time.Time
}

// hashBudget is a token bucket, full after hashBurst idle intervals.
type hashBudget struct {
	tokens float64
	at     time.Time
}

func newHashLimiter() *hashLimiter {
	return &hashLimiter{slots: max(2, runtime.GOMAXPROCS(0)), budgets: map[string]*hashBudget{}}
}

// do runs f when there is a slot. It gives up with ctx, after maxHashWait, or when the caller's
// budget is used up.
func (l *hashLimiter) do(ctx context.Context, c hashCaller, f func() error) error {
	class, err := l.spend(c, time.Now())
	if err != nil {
		return err
	}
	if err := l.acquire(ctx, class); err != nil {
		return err
	}
	defer l.release()
	return f()
}

// spend takes one hash from the caller's budget.
func (l *hashLimiter) spend(c hashCaller, now time.Time) (hashClass, error) {
	if c.key == "" {
		return hashKnown, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(now)
	b := l.budgets[c.key]
	if b == nil {
		b = &hashBudget{hashBurst, now}
		l.budgets[c.key] = b
	}
	b.refill(now)
	if b.tokens < 1 {
		return 0, &problem.Error{Code: problem.RateLimited, Detail: "Too many attempts. Try again in a moment.",
			RetryAfter: time.Duration((1 - b.tokens) * float64(hashInterval))}
	}
	b.tokens--
	switch {
	case c.known:
		return hashKnown, nil
	case b.tokens >= hashBurst-lightHashes:
		return hashLight, nil
	}
	return hashHeavy, nil
}

func (b *hashBudget) refill(now time.Time) {
	b.tokens = min(hashBurst, b.tokens+max(0, float64(now.Sub(b.at))/float64(hashInterval)))
	b.at = now
}

// sweep forgets full budgets, once a minute. Every other one is of a hash within the minute before.
func (l *hashLimiter) sweep(now time.Time) {
	if now.Before(l.sweepAt) {
		return
	}
	l.sweepAt = now.Add(hashBurst * hashInterval)
	for key, b := range l.budgets {
		if b.refill(now); b.tokens >= hashBurst {
			delete(l.budgets, key)
		}
	}
}

// free says whether a caller of the class may start now. The lock is held.
func (l *hashLimiter) free(class hashClass) bool {
	return l.running < max(1, l.slots-int(class))
}

func (l *hashLimiter) acquire(ctx context.Context, class hashClass) error {
	l.mu.Lock()
	// A caller that waits got no slot, so neither does one of its class or below.
	if l.free(class) && !slices.ContainsFunc(l.waiting[:class+1], func(w []chan struct{}) bool { return len(w) > 0 }) {
		l.running++
		l.mu.Unlock()
		return nil
	}
	if len(l.waiting[class]) >= maxHashWaiting {
		l.mu.Unlock()
		return errHashing
	}
	granted := make(chan struct{})
	l.waiting[class] = append(l.waiting[class], granted)
	l.mu.Unlock()

	timer := time.NewTimer(maxHashWait)
	defer timer.Stop()
	var err error
	select {
	case <-granted:
		return nil
	case <-ctx.Done():
		err = fmt.Errorf("wait for a hashing slot: %w", ctx.Err())
	case <-timer.C:
		err = errHashing
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.waiting[class], granted)
	if i < 0 { // granted at the same moment
		l.running--
		l.grant()
		return err
	}
	l.waiting[class] = slices.Delete(l.waiting[class], i, i+1)
	return err
}

func (l *hashLimiter) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	l.grant()
}

// grant gives free slots to those that wait. The lock is held.
func (l *hashLimiter) grant() {
	for class := range l.waiting {
		for len(l.waiting[class]) > 0 && l.free(hashClass(class)) {
			close(l.waiting[class][0])
			l.waiting[class] = l.waiting[class][1:]
			l.running++
		}
	}
}
