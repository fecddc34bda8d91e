// Package budget bounds what each user may do on this replica: how often (Rate) and how much at a
// time (Turns). A replica counts what it serves itself. Both are in memory and keep only the keys
// whose use still counts.
package budget

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"parley/problem"
)

// minSweep is how many keys are kept before idle ones are looked for.
const minSweep = 1024

// Rate is a token bucket for each key. A nil Rate refuses nothing.
type Rate[K comparable] struct {
	every  rate.Limit
	burst  int
	detail string
	now    func() time.Time

	onLimit func(K) // nil: none

	mu      sync.Mutex // guards what follows
	buckets map[K]*rate.Limiter
	sweepAt int // at so many keys, idle ones are removed
}

// NewRate makes a Rate of n in each period, and of burst at once. detail tells the user what was
// too much.
func NewRate[K comparable](n int, period time.Duration, burst int, detail string) *Rate[K] {
	return &Rate[K]{
		every: rate.Limit(float64(n) / period.Seconds()), burst: burst, detail: detail,
		now: time.Now, buckets: make(map[K]*rate.Limiter), sweepAt: minSweep,
	}
}

// OnLimit makes f run for each refusal, with the key. Call it before the first Take; f must not
// block.
func (r *Rate[K]) OnLimit(f func(K)) *Rate[K] {
	r.onLimit = f
	return r
}

// Take uses n of what the key has, or nothing: then it gives an error of the code rate_limited with
// the time after which there will be as much. More than the burst is always refused.
func (r *Rate[K]) Take(key K, n int) error {
	if r == nil || n <= 0 {
		return nil
	}
	err := r.take(key, n)
	if err != nil && r.onLimit != nil {
		r.onLimit(key)
	}
	return err
}

func (r *Rate[K]) take(key K, n int) error {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	bucket := r.bucket(key, now)
	if bucket.AllowN(now, n) {
		return nil
	}
	lacking := float64(n) - bucket.TokensAt(now)
	return &problem.Error{
		Code: problem.RateLimited, Detail: r.detail,
		RetryAfter: time.Duration(lacking / float64(r.every) * float64(time.Second)),
	}
}

// owe uses n of what the key has, or will have: it gives the time until then. More than the burst
// counts as the burst.
func (r *Rate[K]) owe(key K, n int) time.Duration {
	if r == nil || n <= 0 {
		return 0
	}
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bucket(key, now).ReserveN(now, min(n, r.burst)).DelayFrom(now)
}

// bucket finds or makes that of a key. The lock is held.
func (r *Rate[K]) bucket(key K, now time.Time) *rate.Limiter {
	bucket, known := r.buckets[key]
	if !known {
		r.sweep(now)
		bucket = rate.NewLimiter(r.every, r.burst)
		r.buckets[key] = bucket
	}
	return bucket
}

// sweep removes full buckets, which are as good as none, each time the keys have doubled.
func (r *Rate[K]) sweep(now time.Time) {
	if len(r.buckets) < r.sweepAt {
		return
	}
	for key, bucket := range r.buckets {
		if bucket.TokensAt(now) >= float64(r.burst) {
			delete(r.buckets, key)
		}
	}
	r.sweepAt = max(minSweep, 2*len(r.buckets))
}
