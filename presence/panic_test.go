package presence

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"parley/failures"
)

// A panic of one round costs that round: who arrived is written by the next.
func TestPanics(t *testing.T) {
	t.Parallel()
	b := setup(t)
	counts := failures.New(slog.New(slog.DiscardHandler))
	b.cfg.Failures = counts // before it runs
	ann := b.user("ann")
	b.connect(ann)
	b.db.before(func() { panic("a poisoned person") })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	deadline := time.Now().Add(20 * time.Second)
	for b.count(`SELECT count(*) FROM online`) == 0 || counts.Total("presence") != 1 {
		if time.Now().After(deadline) {
			t.Fatalf("nothing was written, with %d failures", counts.Total("presence"))
		}
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
