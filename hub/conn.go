package hub

import (
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
)

// keptOutbox is how many frames an idle outbox has room for at most, so that one burst
// does not cost every connection memory for the rest of its life.
const keptOutbox = 256

// Conn is one WebSocket connection. Packages only get to see authenticated ones.
type Conn struct {
	// ID names the connection in logs.
	ID uuid.UUID
	Identity

	hub  *Hub
	ws   *websocket.Conn
	wire *wire

	heard   atomic.Int64 // second of the hub's clock in which the client was last heard
	writing atomic.Int64 // second in which a write began that waits for the client; 0: none does

	mu       sync.Mutex // guards what follows
	outbox   []item
	queued   int                 // bytes in the outbox, in early and in the write under way
	underWay int                 // of those, bytes in the write under way
	missed   map[uuid.UUID]int64 // logs whose entries are left out, each with the last seq
	flushing bool                // in the queue of the flushers, or being written
	opening  bool                // hello was not said yet
	early    []item              // goes into the outbox after hello
	closed   bool
	goodbye  *websocket.CloseError // to say once the outbox is written

	network    netip.Prefix // that it counts for
	unsent     int          // bytes that the kernel last held for the client; the hub's watch alone uses it
	nextQueued *Conn        // in the queue of the flushers, who guard it
}

// Send puts an encoded frame into the outbox and returns at once. The bytes may be
// shared with other connections and must not change. Frames are written in the order
// of Send. A client for which more than 1 MB waits, without entries, is closed with code 4000:
// it reconnects and catches up, and no sender waits for it meanwhile. No frame is sent for nil.
func (c *Conn) Send(frame []byte) { c.put(item{frame: frame}) }

// SendEntry is Send for an entry of a log. Beyond the bound of the outbox entries are left out,
// and the client gets a marker in their place: see Position.
func (c *Conn) SendEntry(frame []byte, at *Position) { c.put(item{frame, at}) }

func (c *Conn) put(it item) {
	if it.frame == nil {
		return
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	if len(c.missed) > 0 || c.queued+len(it.frame) > maxOutbox {
		switch c.fit(it) {
		case leftOut:
			c.mu.Unlock()
			return
		case tooFarBehind:
			c.mu.Unlock()
			c.abort(CloseSlowConsumer, "too far behind")
			return
		}
	}
	c.queued += len(it.frame)
	if c.opening {
		c.early = append(c.early, it)
		c.mu.Unlock()
		return
	}
	c.outbox = append(c.outbox, it)
	c.unlockAndFlush()
}

// unlockAndFlush gives up the lock and sees to it that the outbox is written.
func (c *Conn) unlockAndFlush() {
	start := !c.flushing
	c.flushing = true
	c.mu.Unlock()
	if start {
		c.hub.flushers.add(c)
	}
}

// hold keeps back what is sent from now on, until release.
func (c *Conn) hold() {
	c.mu.Lock()
	c.opening = true
	c.mu.Unlock()
}

// release sends hello, and then what was held back.
func (c *Conn) release(hello []byte) {
	c.mu.Lock()
	c.opening = false
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.outbox = append(append(c.outbox, item{frame: hello}), c.early...)
	c.queued += len(hello)
	c.early = nil
	c.unlockAndFlush()
}

// Close writes what waits in the outbox, then a close frame, and ends the connection.
// It returns at once. The first close decides the code.
func (c *Conn) Close(code websocket.StatusCode, reason string) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	c.goodbye = &websocket.CloseError{Code: code, Reason: reason}
	c.unlockAndFlush()
}

// abort closes without waiting for the outbox, which the client does not take.
func (c *Conn) abort(code websocket.StatusCode, reason string) {
	c.mu.Lock()
	again := c.closed && c.goodbye == nil
	c.closed, c.goodbye, c.outbox = true, nil, nil
	c.mu.Unlock()
	if again {
		return
	}
	go func() { // not here: who sends may hold locks
		defer c.hub.cfg.Failures.Recover("close a connection")
		c.log().Info("closing connection", "code", int(code), "reason", reason)
		// Waits at most five seconds for a write under way, then cuts.
		_ = c.ws.Close(code, reason)
	}()
}

// end makes the close handshake; the reader sees the end of it.
func (c *Conn) end(goodbye websocket.CloseError) {
	defer c.hub.cfg.Failures.Recover("close a connection")
	_ = c.ws.Close(goodbye.Code, goodbye.Reason)
}

// Closed says whether the connection is closed or about to be.
func (c *Conn) Closed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

func (c *Conn) log() *slog.Logger {
	return c.hub.cfg.Logger.With("conn_id", c.ID, "user_id", c.UserID)
}

// Opening says whether hello is still to be said: the connection is being made known to
// every package.
func (c *Conn) Opening() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.opening
}

// Heard is when the client was last heard, to the second.
func (c *Conn) Heard() time.Time {
	return c.hub.began.Add(time.Duration(c.heard.Load()) * time.Second)
}

// beat notes that the client was heard.
func (c *Conn) beat() { c.heard.Store(c.hub.clock.Load()) }
