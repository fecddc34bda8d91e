package hub

import (
	"context"
	"log/slog"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/failures"
)

// brokenWire panics where it is written to.
type brokenWire struct{ syscall.RawConn }

func (brokenWire) Write(func(uintptr) bool) error { panic("a broken wire") }

// counted makes a hub that counts its failures.
func counted(l *failures.Log) func(*Config) { return func(c *Config) { c.Failures = l } }

func newFailures() *failures.Log { return failures.New(slog.New(slog.DiscardHandler)) }

// A panic costs the connection that it is about, and no other: the process and its loops go on.
func TestPanics(t *testing.T) {
	t.Parallel()
	t.Run("in a worker that writes", func(t *testing.T) {
		t.Parallel()
		l := newFailures()
		h, srv := setup(t, counted(l))
		conns := make(chan *Conn, 1)
		h.OnOpen(func(_ context.Context, c *Conn) error { conns <- c; return nil })
		healthy := connect(t, srv)
		good := <-conns
		for range 4 { // more than there are workers
			victim := connect(t, srv)
			c := <-conns
			c.wire.mu.Lock()
			c.wire.raw = brokenWire{c.wire.raw}
			c.wire.mu.Unlock()
			c.Send(event("n", 1))
			if _, err := victim.read(); err == nil {
				t.Error("it read what was not written")
			}
			good.Send(event("n", 2))
			healthy.want(string(event("n", 2)))
		}
		eventually(t, func() bool { return h.Connections() == 1 && h.flushers.idle() })
		if n := l.Total("write to a connection"); n != 4 {
			t.Errorf("%d failures were counted", n)
		}
	})
	t.Run("while a connection opens", func(t *testing.T) {
		t.Parallel()
		l := newFailures()
		h, srv := setup(t, counted(l), tokensAreUsers, func(c *Config) { c.MaxSocketsPerUser = 10 })
		poisoned := uuid.New()
		h.OnOpen(func(_ context.Context, c *Conn) error {
			if c.UserID == poisoned {
				panic("a poisoned user")
			}
			return nil
		})
		for range 3 {
			c, _, err := dial(t, srv, bearerOf(poisoned))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.read(); err == nil {
				t.Error("it got hello")
			}
		}
		c, _, err := dial(t, srv, bearerOf(uuid.New()))
		if err != nil {
			t.Fatal(err)
		}
		c.hello()
		eventually(t, func() bool { // nothing is left of the others
			h.mu.Lock()
			defer h.mu.Unlock()
			return len(h.conns) == 1 && h.sockets.total == 1 && len(h.sockets.users) == 1
		})
		if n := l.Total("read from a connection"); n != 3 {
			t.Errorf("%d failures were counted", n)
		}
	})
	t.Run("in the watch over connections", func(t *testing.T) {
		t.Parallel()
		l := newFailures()
		h, _ := setup(t, counted(l))
		poisoned := &Conn{hub: h} // which has no wire
		poisoned.writing.Store(1)
		h.mu.Lock()
		h.conns[poisoned] = struct{}{}
		h.mu.Unlock()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- h.Run(ctx) }()
		eventually(t, func() bool { return l.Total("watch over connections") > 0 })
		h.mu.Lock()
		delete(h.conns, poisoned)
		h.mu.Unlock()
		before := h.clock.Load()
		eventually(t, func() bool { return h.clock.Load() > before })
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Run("a reply that cannot be encoded", func(t *testing.T) {
		t.Parallel()
		l := newFailures()
		h, srv := setup(t, counted(l))
		h.Mux().Handle("year 10000", func(context.Context, *Request) (any, error) {
			return time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), nil
		})
		c, _, err := dial(t, srv, http.Header{"Authorization": {"Bearer good"}})
		if err != nil {
			t.Fatal(err)
		}
		c.hello()
		c.send(`{"type":"year 10000","id":"1"}`)
		c.want(`{"type":"error","id":"1","error":{"code":"internal","detail":"internal error"}}`)
		c.send(`{"type":"panic","id":"2"}`)
		c.want(`{"type":"error","id":"2","error":{"code":"internal","detail":"internal error"}}`)
		if l.Total("encode the reply to year 10000") != 1 || l.Total("frame panic") != 1 {
			t.Error("they were not counted")
		}
	})
}
