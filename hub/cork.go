package hub

import (
	"bufio"
	"net"
	"net/http"
	"sync"
)

// corkedConn gathers writes into one. The WebSocket library flushes after every frame,
// which would be a system call each, and those are most of what a delivered message
// costs in this process.
type corkedConn struct {
	net.Conn

	mu  sync.Mutex // guards buf; held while writing, so that frames stay whole
	buf *[]byte    // nil when not corked
}

const corkSize = 32 << 10

var corkBuffers = sync.Pool{New: func() any { b := make([]byte, 0, corkSize); return &b }}

func (c *corkedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.buf == nil {
		return c.Conn.Write(p)
	}
	if len(*c.buf)+len(p) > corkSize {
		if err := c.drain(); err != nil {
			return 0, err
		}
		if len(p) > corkSize {
			return c.Conn.Write(p)
		}
	}
	*c.buf = append(*c.buf, p...)
	return len(p), nil
}

func (c *corkedConn) drain() error {
	if len(*c.buf) == 0 {
		return nil
	}
	_, err := c.Conn.Write(*c.buf)
	*c.buf = (*c.buf)[:0]
	return err
}

func (c *corkedConn) cork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buf = corkBuffers.Get().(*[]byte)
}

func (c *corkedConn) uncork() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.drain()
	corkBuffers.Put(c.buf)
	c.buf = nil
	return err
}

// hijacker hands the WebSocket library a corkedConn, and a write buffer that holds little
// more than a frame header: an idle connection then keeps no buffer for writing, and the
// payload is copied once, into the cork.
type hijacker struct {
	http.ResponseWriter
	conn *corkedConn
}

const (
	frameHeaderBuffer = 16
	socketBuffer      = 64 << 10 // bytes; the kernel doubles it for its own use
)

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	// The switching-protocols answer may still wait in the server's writer.
	if err := rw.Flush(); err != nil {
		_ = conn.Close() // the error that counts is Flush's
		return nil, nil, err
	}
	// Grown by the kernel, the buffer would take megabytes for a client that does not read,
	// beside the outbox, which is there for that.
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(socketBuffer) // without, it is as large as the kernel likes
	}
	h.conn = &corkedConn{Conn: conn}
	return h.conn, bufio.NewReadWriter(rw.Reader, bufio.NewWriterSize(h.conn, frameHeaderBuffer)), nil
}
