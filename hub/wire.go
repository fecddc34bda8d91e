package hub

import (
	"errors"
	"net"
	"sync"
	"syscall"
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

	mu    sync.Mutex // guards ended; held while writing, so that frames stay whole
	ended bool       // a close frame was written: nothing may follow
}

var errEnded = errors.New("a close frame was written")

func newWire(conn net.Conn) *wire {
	w := &wire{Conn: conn}
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
	w.ended = w.ended || p[0]&opcode == opClose
	return w.Conn.Write(p)
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
	if w.ended {
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
