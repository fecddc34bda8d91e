package hub

import (
	"errors"
	"slices"
	"sync"
)

// flushers write the outboxes. A frame for five hundred connections is five hundred turns
// of a few workers, not as many goroutines. A worker never waits for a client: what the
// kernel does not take at once goes to a goroutine of the connection's own, which lives
// until the outbox is empty. So a client that does not read holds up nobody.
//
// A connection is in the queue once at most, and written to by one at a time:
// Conn.flushing says that it is queued or that somebody is at it.
type flushers struct {
	limit int // of workers

	mu          sync.Mutex // guards what follows, and Conn.nextQueued
	first, last *Conn
	working     int
}

// add queues a connection, and starts a worker unless there are enough. Workers end when
// the queue is empty: nobody has to stop them, and starting one costs no more than waking
// one would.
func (f *flushers) add(c *Conn) {
	f.mu.Lock()
	if f.last == nil {
		f.first = c
	} else {
		f.last.nextQueued = c
	}
	f.last = c
	start := f.working < f.limit
	if start {
		f.working++
	}
	f.mu.Unlock()
	if start {
		go f.work()
	}
}

// take gives the connection whose turn it is, or nil, with which the worker has ended.
func (f *flushers) take() *Conn {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.first
	if c == nil {
		f.working--
		return nil
	}
	f.first, c.nextQueued = c.nextQueued, nil
	if f.first == nil {
		f.last = nil
	}
	return c
}

func (f *flushers) work() {
	t, ch := newTrial(), newChunk()
	for c := f.take(); c != nil; c = f.take() {
		ch = f.turn(c, t, ch)
	}
	t.free()
	ch.free()
}

// turn writes what waits for a connection, as much as a chunk holds, and gives the chunk
// for the next turn.
func (f *flushers) turn(c *Conn, t *trial, ch *chunk) (next *chunk) {
	locked := c.wire.lockToTry()
	defer func() {
		if v := recover(); v != nil {
			if locked {
				c.wire.mu.Unlock()
			}
			c.broken(c.hub.cfg.Failures.Panicked("write to a connection", v))
			next = newChunk()
		}
	}()
	if !locked {
		go c.drain(newChunk())
		return ch
	}
	if !c.gather(ch) {
		locked = false
		c.wire.mu.Unlock()
		return ch
	}
	err := c.wire.try(t, ch)
	locked = false
	if err == nil && len(ch.next()) > 0 {
		go c.resume(ch) // which unlocks the wire: nothing may come between parts of a frame
		return newChunk()
	}
	c.wire.mu.Unlock()
	if err != nil {
		c.broken(err)
	} else if c.wrote() {
		f.add(c) // behind the others
	}
	return ch
}

// resume writes the rest of a chunk, and then what has come since. The wire is locked.
func (c *Conn) resume(ch *chunk) {
	defer c.recoverWrite()
	err := c.awaitAndUnlock(ch)
	if err != nil {
		c.broken(err)
		ch.free()
		return
	}
	c.drain(ch)
}

// drain writes the outbox until it is empty, however long the client takes.
func (c *Conn) drain(ch *chunk) {
	defer c.recoverWrite()
	defer ch.free()
	for c.gather(ch) {
		c.wire.mu.Lock()
		if err := c.awaitAndUnlock(ch); err != nil {
			c.broken(err)
			return
		}
	}
}

// recoverWrite gives up the connection if its writer panicked: how much of a frame the client
// got is not known. Defer it.
func (c *Conn) recoverWrite() {
	if v := recover(); v != nil {
		c.broken(c.hub.cfg.Failures.Panicked("write to a connection", v))
	}
}

// awaitAndUnlock writes a chunk to the wire, which is locked, and unlocks it. It has no deadline
// of its own: the hub's watch closes a connection whose client took nothing for writeDeadline,
// at the price of one timer for all.
func (c *Conn) awaitAndUnlock(ch *chunk) error {
	defer c.wire.mu.Unlock()
	c.writing.Store(c.hub.clock.Load())
	defer c.writing.Store(0)
	return c.wire.write(ch)
}

// tookSome says whether the client has taken bytes since the hub's watch last looked: then it
// is slow, and not stuck.
func (c *Conn) tookSome() bool {
	now, ok := c.wire.unsent()
	before := c.unsent
	c.unsent = now
	return ok && now < before
}

// gather fills a chunk from the outbox, the last one being written. With false nothing
// waits, and the connection is given up: it must not be written to any more, because the
// next Send queues it.
func (c *Conn) gather(ch *chunk) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.settle() {
		return false
	}
	n, size := ch.fill(c.outbox)
	c.outbox = slices.Delete(c.outbox, 0, n)
	c.underWay = size
	return true
}

// wrote says whether more waits, a chunk being written. With false the connection is given
// up, as by gather.
func (c *Conn) wrote() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.settle()
}

// settle is wrote for who has locked.
func (c *Conn) settle() bool {
	c.queued -= c.underWay
	c.underWay = 0
	if len(c.missed) > 0 {
		c.resumeEntries()
	}
	if len(c.outbox) > 0 {
		return true
	}
	c.flushing = false
	if cap(c.outbox) > keptOutbox {
		c.outbox = nil
	}
	if c.goodbye != nil {
		go c.end(*c.goodbye)
	}
	return false
}

// broken gives up a connection that cannot be written to.
func (c *Conn) broken(err error) {
	if !errors.Is(err, errEnded) { // else a close handshake is under way, and has its own end
		_ = c.wire.Close() // ends the reader, which cleans up
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed, c.goodbye, c.outbox, c.flushing = true, nil, nil, false
}
