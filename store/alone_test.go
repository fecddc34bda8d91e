package store

import (
	"log/slog"
	"testing"
	"time"
)

// A replica is alone after a look that found nobody; a look that was long ago, or a sign of
// another one, says otherwise.
func TestAlone(t *testing.T) {
	t.Parallel()
	b := NewBus(&DB{logger: slog.New(slog.DiscardHandler)})
	b.began = b.began.Add(-time.Hour)
	if b.Alone() {
		t.Error("alone without having looked")
	}
	b.others.Store(0)
	b.looked.Store(int64(time.Hour - leaseTime/2))
	if !b.Alone() {
		t.Error("not alone after a look that found nobody")
	}
	b.looked.Store(int64(time.Hour - 2*leaseTime))
	if b.Alone() {
		t.Error("alone although the last look was long ago")
	}
	b.looked.Store(int64(time.Hour))
	b.notAlone()
	if b.Alone() {
		t.Error("alone right after another one was heard")
	}
}
