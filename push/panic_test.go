package push

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"parley/failures"
	"parley/store/storetest"
)

// poisonedSender panics once, and sends what comes after that.
type poisonedSender struct {
	Sender
	panicked atomic.Bool
}

func (p *poisonedSender) Send(ctx context.Context, to Target, n Notification) Answer {
	if p.panicked.CompareAndSwap(false, true) {
		panic("a poisoned notification")
	}
	return p.Sender.Send(ctx, to, n)
}

// A notification whose sending panics is tried again, its place is free for others, and the
// loops go on.
func TestPanics(t *testing.T) {
	t.Parallel()
	counts := failures.New(slog.New(slog.DiscardHandler))
	b := setupWith(t, func(c *Config) { c.Failures = counts })
	web := b.senders[KindWebPush]
	b.senders[KindWebPush] = &poisonedSender{Sender: web}
	t.Cleanup(func() { web.(*webPush).client.CloseIdleConnections() })
	ann, ben := b.person("Ann"), b.person("Ben")
	phone, _ := b.browser(ben)
	id := b.direct(ann, ben)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	b.say(ann, id, "Hello")
	deadline := time.Now().Add(25 * time.Second)
	for len(phone.Pushes()) == 0 {
		if time.Now().After(deadline) {
			t.Fatalf("nothing arrived, with %d failures", counts.Total("send a notification"))
		}
		time.Sleep(10 * time.Millisecond)
	}
	if counts.Total("send a notification") != 1 {
		t.Errorf("%d failures", counts.Total("send a notification"))
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func setupWith(t *testing.T, change func(*Config)) *bundle {
	t.Helper()
	return replica(t, storetest.New(t), change)
}
