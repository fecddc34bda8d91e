package budget

import (
	"context"
	"sync"
	"time"

	"parley/problem"
)

// turnTimeout is how long a request waits for its turn at most.
const turnTimeout = 10 * time.Second

// Turns bounds how much each key has in progress and how much may wait for that. A nil Turns
// refuses nothing.
type Turns[K comparable] struct {
	most, waiting int
	detail        string
	onLimit       func(K)  // nil: none
	pace          *Rate[K] // of the time that turns take, in milliseconds; nil: none

	mu   sync.Mutex // guards keys and their counts
	keys map[K]*turns
}

// turns are those of one key.
type turns struct {
	slots chan struct{} // holds one for each in progress
	count int           // in progress or waiting
}

// NewTurns makes Turns of which each key has so many in progress at most, and so many waiting.
// detail tells the user what was too much.
func NewTurns[K comparable](most, waiting int, detail string) *Turns[K] {
	return &Turns[K]{most: most, waiting: waiting, detail: detail, keys: make(map[K]*turns)}
}

// WithPace bounds how much time the turns of each key take: perSecond in each second, and burst at
// once. Beyond it a turn ends later for the next one than for its own request. Call it before the
// first Enter.
func (t *Turns[K]) WithPace(perSecond, burst time.Duration) *Turns[K] {
	t.pace = NewRate[K](int(perSecond.Milliseconds()), time.Second, int(burst.Milliseconds()), "")
	return t
}

// OnLimit makes f run for each refusal, with the key. Call it before the first Enter; f must not
// block.
func (t *Turns[K]) OnLimit(f func(K)) *Turns[K] {
	t.onLimit = f
	return t
}

// Enter waits for a turn of the key, which lasts until leave is called. It gives an error of the
// code rate_limited where too much waits already, or waits for too long.
func (t *Turns[K]) Enter(ctx context.Context, key K) (leave func(), err error) {
	if t == nil {
		return func() {}, nil
	}
	k := t.count(key)
	if k == nil {
		return nil, t.refusal(key)
	}
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	select {
	case k.slots <- struct{}{}:
		since := time.Now()
		return func() { t.leave(key, k, time.Since(since)) }, nil
	case <-ctx.Done():
		t.discount(key, k)
		return nil, t.refusal(key)
	}
}

// leave ends a turn that took so long, at once or when the key's pace allows.
func (t *Turns[K]) leave(key K, k *turns, took time.Duration) {
	end := func() { <-k.slots; t.discount(key, k) }
	if pause := t.pace.owe(key, int(took.Milliseconds())); pause > 0 {
		time.AfterFunc(pause, end)
		return
	}
	end()
}

func (t *Turns[K]) refusal(key K) error {
	if t.onLimit != nil {
		t.onLimit(key)
	}
	return &problem.Error{Code: problem.RateLimited, Detail: t.detail, RetryAfter: time.Second}
}

// count adds to the key's requests; nil: there are too many.
func (t *Turns[K]) count(key K) *turns {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.keys[key]
	if k == nil {
		k = &turns{slots: make(chan struct{}, t.most)}
		t.keys[key] = k
	}
	if k.count >= t.most+t.waiting {
		return nil
	}
	k.count++
	return k
}

func (t *Turns[K]) discount(key K, k *turns) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k.count--; k.count == 0 {
		delete(t.keys, key)
	}
}
