package chat

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/accounts"
	"parley/failures"
)

// goesOn waits for something that a loop does.
func goesOn(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen within 20 s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// A panic in a writer leaves no sender without an answer and loses no message: what is sent
// again is stored once, and the connections get every entry in order.
func TestWriterPanics(t *testing.T) {
	t.Parallel()
	var poisoned atomic.Bool
	counts := failures.New(slog.New(slog.DiscardHandler))
	b := setup(t, func(c *Config) {
		c.Failures = counts
		c.Sent = func(ConversationID, accounts.UserID, Seq) {
			if poisoned.CompareAndSwap(true, false) {
				panic("a poisoned message")
			}
		}
	})
	ann, ben, id := b.pair()
	c := b.connect(ben)
	const rounds, senders = 5, 20
	for range rounds {
		poisoned.Store(true)
		var sending sync.WaitGroup
		for range senders {
			sending.Go(func() {
				m := Outgoing{ConversationID: id, SenderID: ann, ClientID: newClientID(), Body: "x"}
				_, err := b.Send(t.Context(), m)
				if errors.Is(err, ErrUnknown) {
					_, err = b.Send(t.Context(), m)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		sending.Wait()
	}
	if n := counts.Total("writer"); n != rounds {
		t.Errorf("%d failures were counted, of %d", n, rounds)
	}
	if n := len(b.log(id)); n != 1+rounds*senders {
		t.Errorf("%d entries are in the log", n)
	}
	for seq := Seq(2); seq <= 1+rounds*senders; seq++ {
		if e := c.entry(); e.Seq != seq {
			t.Fatalf("got entry %d, not %d", e.Seq, seq)
		}
	}
	if err := b.Ready(); err != nil {
		t.Error(err)
	}
}

// A panic of a background task, or while a log is read for delivery, costs that alone.
func TestBackgroundPanics(t *testing.T) {
	t.Parallel()
	counts := failures.New(slog.New(slog.DiscardHandler))
	b := setup(t, func(c *Config) { c.Failures = counts })
	ann, ben, id := b.pair()
	c := b.connect(ben)

	b.errand(func(context.Context) { panic("a poisoned task") })
	done := make(chan struct{})
	b.errand(func(context.Context) { close(done) })
	<-done
	if counts.Total("background task") != 1 {
		t.Error("it was not counted")
	}

	b.gates.queue(behind{id, nil}) // there is no gate to read for
	goesOn(t, "a panic", func() bool { return counts.Total("read the log for delivery") > 0 })
	gt := b.gates.find(id)
	gt.known++ // of which nobody told: the reader finds it
	b.gates.fetch(id, gt)
	gt.mu.Unlock()
	b.send(ann, id, "after it")
	if e := c.entry(); e.Seq != 2 {
		t.Errorf("got entry %d", e.Seq)
	}
}
