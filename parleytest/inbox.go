package parleytest

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Inbox is what a device of a push service for tests gets, and how the service answers for it.
type Inbox[T any] struct {
	mu           sync.Mutex // guards what follows
	answer       func(http.ResponseWriter, *http.Request) bool
	attempts     []time.Time
	pushes       []T
	current, top int           // requests being answered at a time
	changed      chan struct{} // closed at the next attempt or push
}

func newInbox[T any]() *Inbox[T] { return &Inbox[T]{changed: make(chan struct{})} }

// Answer makes the service answer pushes to the device otherwise than by taking them; nil:
// take them again. Those are attempts, and the device does not get them. Where f gives false
// it has not answered, and the push is taken as ever.
func (i *Inbox[T]) Answer(f func(http.ResponseWriter, *http.Request) bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = f
}

// Attempts are when pushes to the device were tried.
func (i *Inbox[T]) Attempts() []time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]time.Time(nil), i.attempts...)
}

// AtOnce is how many requests for the device were answered at a time, at most.
func (i *Inbox[T]) AtOnce() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.top
}

// Pushes are what the device got.
func (i *Inbox[T]) Pushes() []T {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]T(nil), i.pushes...)
}

// Await waits until the device got n pushes, and gives them.
func (i *Inbox[T]) Await(ctx context.Context, n int) ([]T, error) {
	err := i.await(ctx, func() bool { return len(i.pushes) >= n })
	return i.Pushes(), err
}

// AwaitAttempts waits until n pushes were tried.
func (i *Inbox[T]) AwaitAttempts(ctx context.Context, n int) error {
	return i.await(ctx, func() bool { return len(i.attempts) >= n })
}

func (i *Inbox[T]) await(ctx context.Context, reached func() bool) error {
	for {
		i.mu.Lock()
		ok, changed := reached(), i.changed
		i.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for a push: %w", ctx.Err())
		}
	}
}

// attempt notes one, and says whether it was answered. Call end when it is.
func (i *Inbox[T]) attempt(w http.ResponseWriter, r *http.Request) (answered bool, end func()) {
	i.mu.Lock()
	i.attempts = append(i.attempts, time.Now())
	i.current++
	i.top = max(i.top, i.current)
	answer := i.answer
	i.announce()
	i.mu.Unlock()
	end = func() {
		i.mu.Lock()
		i.current--
		i.mu.Unlock()
	}
	if answer != nil {
		defer func() {
			if p := recover(); p != nil { // the answer is to end the connection
				end()
				panic(p)
			}
		}()
		answered = answer(w, r)
	}
	return answered, end
}

func (i *Inbox[T]) take(push T) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.pushes = append(i.pushes, push)
	i.announce()
}

// announce wakes who waits; i.mu is held.
func (i *Inbox[T]) announce() {
	close(i.changed)
	i.changed = make(chan struct{})
}
