package hub

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// socketBuffer is the kernel's for writing, in bytes; it doubles it for its own use.
const socketBuffer = 64 << 10

// wire is the network below a WebSocket. Data frames are put on it by this package, not by
// the library: its Write waits for a lock that it holds while it writes a pong, so a client
// that pings and does not read would hold up a worker. (And it takes 450 ns a frame, where
// 10 do, which is three times what a frame of a busy group costs in all.) The library
// reads, and writes what the protocol asks of it: pongs and close frames.
type wire struct {
	net.Conn
	raw syscall.RawConn // nil where every write may have to wait, as with TLS

	mu    sync.Mutex  // held while writing, so that frames stay whole
	ended atomic.Bool // a close frame was written: nothing may follow

	late  atomic.Int64  // bytes read since then
	endBy time.Time     // when reading ends; set before ended
	left  chan struct{} // closed once the library has closed the wire
	leave sync.Once     // closes left
}

// What a client may still send after a close frame: it has yet to read that, and may be in
// the middle of a large frame. A connection that is closed with data unread is reset, and
// with that the client loses the close frame: it gets to see 1006, which says to reconnect.
const (
	closeTimeout = 5 * time.Second
	maxLate      = 4 << 20
)

var errEnded = errors.New("a close frame was written")

func newWire(conn net.Conn) *wire {
	w := &wire{Conn: conn, left: make(chan struct{})}
	if tcp, ok := conn.(*net.TCPConn); ok {
		// Grown by the kernel, the buffer would take megabytes for a client that does not
		// read, beside the outbox, which is there for that.
		_ = tcp.SetWriteBuffer(socketBuffer) // without, it is as large as the kernel likes
		w.raw, _ = tcp.SyscallConn()         // without, writes wait in goroutines
	}
	return w
}

// Write is the library's way out: a whole control frame at a time, see hijacker.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p[0]&opcode == opClose && !w.ended.Load() {
		w.endBy = time.Now().Add(closeTimeout)
		w.ended.Store(true)
		_ = w.SetReadDeadline(w.endBy) // without, the connection has ended
	}
	return w.Conn.Write(p)
}

// Read is bounded, in time and in bytes, once a close frame was written.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if w.ended.Load() && w.late.Add(int64(n)) > maxLate {
		return n, errEnded
	}
	return n, err
}

// Close is the library's. After a close frame it ends our half of the connection alone, and
// finish closes it.
func (w *wire) Close() error {
	defer w.leave.Do(func() { close(w.left) })
	half, ok := w.Conn.(interface{ CloseWrite() error })
	if !ok || !w.ended.Load() {
		return w.Conn.Close()
	}
	_ = half.CloseWrite()                // the connection may have ended
	return w.SetReadDeadline(time.Now()) // ends a read of the library's
}

// finish closes the wire, which the library has closed or is about to. After a close frame
// it first reads what the client still sends. It is the last to use the wire, and waits no
// longer than for the end of ctx.
func (w *wire) finish(ctx context.Context) {
	defer func() { _ = w.Conn.Close() }() // it may have ended
	if !w.ended.Load() {
		return
	}
	select {
	case <-w.left:
	case <-time.After(closeTimeout): // not to be reached
		return
	}
	_ = w.SetReadDeadline(w.endBy) // without, the connection has ended
	defer context.AfterFunc(ctx, func() { _ = w.SetReadDeadline(time.Now()) })()
	_, _ = io.Copy(io.Discard, w) // to the client's end of the connection, at best
}

// lockToTry locks the wire, unless that would mean to wait or nothing can be tried on it.
func (w *wire) lockToTry() bool { return w.raw != nil && w.mu.TryLock() }

// try writes what the kernel takes at once; the rest stays in ch. The wire is locked.
func (w *wire) try(t *trial, ch *chunk) error {
	return w.put(ch, func(p []byte) (int, error) { return t.write(w.raw, p) })
}

// write writes a chunk, however long that takes. The wire is locked.
func (w *wire) write(ch *chunk) error { return w.put(ch, w.Conn.Write) }

func (w *wire) put(ch *chunk, write func([]byte) (int, error)) error {
	if w.ended.Load() {
		return errEnded
	}
	for p := ch.next(); len(p) > 0; p = ch.next() {
		n, err := write(p)
		ch.took(n)
		if err != nil || n < len(p) {
			return err
		}
	}
	return nil
}

// trial is a write that does not wait. It is kept and used again, because the function that
// the connection wants to be given would be an allocation for every write.
type trial struct {
	p   []byte
	n   int
	err error
	do  func(fd uintptr) bool
}

var trials = sync.Pool{New: func() any {
	t := &trial{}
	t.do = t.once
	return t
}}

func newTrial() *trial { return trials.Get().(*trial) }

func (t *trial) free() { trials.Put(t) }

// write gives how much the kernel took; that it took less is no error.
func (t *trial) write(raw syscall.RawConn, p []byte) (int, error) {
	t.p, t.n, t.err = p, 0, nil
	err := raw.Write(t.do)
	t.p = nil
	return t.n, errors.Join(err, t.err)
}

func (t *trial) once(fd uintptr) bool {
	n, err := syscall.Write(int(fd), t.p)
	for errors.Is(err, syscall.EINTR) {
		n, err = syscall.Write(int(fd), t.p)
	}
	t.n = max(n, 0)
	if !errors.Is(err, syscall.EAGAIN) {
		t.err = err
	}
	return true // whatever came of it: false would wait for the client
}
