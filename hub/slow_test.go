package hub

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// A client that does not read is closed once a megabyte waits; the others do not notice.
func TestSlowConsumer(t *testing.T) {
	t.Parallel()
	h, srv := setup(t)
	topic := NewTopics[int](h)
	h.OnOpen(func(_ context.Context, c *Conn) error { topic.Join(c, 1); return nil })
	connect(t, srv) // never reads again
	healthy := connect(t, srv)
	frame := event("n", strings.Repeat("x", 64<<10))
	closed := false
	// The network's buffers take some megabytes before the outbox fills.
	for range 1000 {
		topic.Publish(1, frame)
		healthy.want(string(frame))
		if len(topic.Conns(1)) == 1 {
			closed = true
			break
		}
		for _, c := range topic.Conns(1) {
			c.mu.Lock()
			if c.queued > maxOutbox {
				t.Errorf("%d bytes wait for one client", c.queued)
			}
			c.mu.Unlock()
		}
		if h.stalled() == 1 {
			closed = true
			break
		}
	}
	if !closed {
		t.Fatal("the slow client was not closed")
	}
}

// Beside the outbox, a client that does not read takes little memory, the kernel's included.
func TestStalledReader(t *testing.T) {
	t.Parallel()
	h, srv := setup(t)
	conns := make(chan *Conn, 1)
	h.OnOpen(func(_ context.Context, c *Conn) error { conns <- c; return nil })
	narrow(t, srv)
	conn := <-conns
	frame := event("n", strings.Repeat("x", 16<<10))
	taken := 0
	for !conn.Closed() {
		conn.Send(frame)
		taken += len(frame)
		time.Sleep(time.Millisecond) // for the kernel to take what it will
	}
	if taken > maxOutbox+512<<10 {
		t.Errorf("%d KB were taken for a client that does not read", taken>>10)
	}
}

// narrow connects a client that does not read by itself, and for which the network holds little.
func narrow(t *testing.T, srv *httptest.Server) (*client, net.Conn) {
	t.Helper()
	ws, conn, err := dialThrough(t.Context(), srv.URL, func(c *net.TCPConn) error { return c.SetReadBuffer(64 << 10) })
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(4 << 20)
	t.Cleanup(func() { _ = ws.CloseNow() })
	return &client{t, ws}, conn
}

// dialThrough connects and gives the connection below the WebSocket too.
func dialThrough(ctx context.Context, url string, change func(*net.TCPConn) error) (ws *websocket.Conn, conn net.Conn, err error) {
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if conn, err = (&net.Dialer{}).DialContext(ctx, network, addr); err != nil {
			return nil, err
		}
		return conn, change(conn.(*net.TCPConn))
	}}
	ws, _, err = websocket.Dial(ctx, url, &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"Bearer good"}}, HTTPClient: &http.Client{Transport: transport},
	})
	return ws, conn, err
}

// stalled counts the connections that were given up.
func (h *Hub) stalled() (n int) {
	for _, c := range h.all() {
		if c.Closed() {
			n++
		}
	}
	return n
}
