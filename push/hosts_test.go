package push

import (
	"testing"
	"time"
)

// A slow push service gets few devices at a time, and the others one after the other; one that
// was slow now and then gets as many as there are.
func TestHosts(t *testing.T) {
	t.Parallel()
	var h hosts
	enter := func(name string) bool {
		_, ok := h.enter(name)
		return ok
	}
	for range slots {
		if !enter("good") || !enter("bad") {
			t.Fatal("one that was not slow yet is held back")
		}
	}
	for range slowCount - 1 {
		h.wasSlow("good")
		h.wasSlow("bad")
	}
	if !enter("good") || !enter("bad") {
		t.Error("one that was slow now and then is held back")
	}
	h.wasSlow("bad")
	h.wasPrompt("good")
	h.wasSlow("good")
	if !enter("good") {
		t.Error("prompt answers do not make up for slow ones")
	}
	var last time.Duration
	for i := range 3 * slowSlots {
		wait, ok := h.enter("bad")
		if ok || wait < heldLeast-time.Second || wait < last-time.Second || wait > heldLeast+4*prompt {
			t.Fatalf("%d: %v, %v after %v", i, ok, wait, last)
		}
		last = wait
	}
	if last < heldLeast+2*prompt {
		t.Errorf("%d come up again within %v", 3*slowSlots, last)
	}
	// Those that were sent to end, and the first of the others are let in: so many as there is room for.
	for range slots + 1 {
		h.leave("bad")
	}
	for range slowSlots {
		if !enter("bad") {
			t.Fatal("there was room")
		}
	}
	if enter("bad") {
		t.Error("there was no room")
	}
	for range slowMost {
		h.wasPrompt("bad")
	}
	if !enter("bad") {
		t.Error("it is as prompt as any")
	}
}

// Names are the clients' choice: those that are not used are forgotten.
func TestHostsForget(t *testing.T) {
	t.Parallel()
	var h hosts
	for _, name := range []string{"busy", "old", "new"} {
		h.enter(name)
	}
	h.leave("old")
	h.leave("new")
	for _, name := range []string{"busy", "old"} {
		h.by[name].used = time.Now().Add(-2 * hostIdle)
	}
	h.enter("another")
	if h.by["busy"] == nil || h.by["old"] != nil || h.by["new"] == nil {
		t.Errorf("there are %v", h.by)
	}
}
