package hub

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"
)

func TestDrain(t *testing.T) {
	t.Parallel()
	h, srv := setup(t)
	c := connect(t, srv)
	done := make(chan error, 1)
	go func() { done <- h.Close(t.Context()) }()
	c.wantClosed(CloseDraining)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	late, _, err := dial(t, srv, http.Header{"Authorization": {"Bearer good"}})
	if err != nil {
		t.Fatal(err)
	}
	late.wantClosed(CloseDraining)
}

// Who has not authenticated yet does not hold up a drain.
func TestDrainUnauthenticated(t *testing.T) {
	t.Parallel()
	h, srv := setup(t)
	c, _, err := dial(t, srv, nil)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return h.Connections() == 1 })
	done := make(chan error, 1)
	go func() { done <- h.Close(t.Context()) }()
	c.wantClosed(CloseDraining)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// Close waits no longer than it may, also when a handler does.
func TestDrainGivesUp(t *testing.T) {
	t.Parallel()
	h, srv := setup(t)
	began := make(chan struct{})
	h.Mux().Handle("wait", func(ctx context.Context, _ *Request) (any, error) {
		close(began)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	connect(t, srv).send(`{"type":"wait","id":"1"}`)
	<-began
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- h.Close(ctx) }()
	select {
	case err := <-done:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		h.stop()
		t.Fatal("Close waits for a handler beyond its context")
	}
}

// A client that is asleep does not hold up a shutdown, nor make it one that failed.
func TestShutdownCutsTheSilent(t *testing.T) {
	t.Parallel()
	h, srv, conns := opened(t)
	narrow(t, srv) // and never reads
	c := <-conns
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return h.Connections() == 0 && !c.busy() })
}
