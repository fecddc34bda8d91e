package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"pgregory.net/rapid"
)

// opened makes a hub that tells of its connections.
func opened(t *testing.T) (*Hub, *httptest.Server, <-chan *Conn) {
	t.Helper()
	h, srv := setup(t)
	conns := make(chan *Conn, 1)
	h.OnOpen(func(_ context.Context, c *Conn) error { conns <- c; return nil })
	return h, srv, conns
}

// numbered is a frame of about so many bytes.
func numbered(i, size int) []byte {
	return event("n", fmt.Sprintf("%d %s", i, strings.Repeat("x", size)))
}

// clog sends frames until a write waits for the client, and not just for the network to
// carry on what it has.
func (c *Conn) clog(t *testing.T, size int) (frames []string) {
	t.Helper()
	waited := 0
	eventually(t, func() bool {
		if c.writing.Load() != 0 {
			waited++
		} else if waited = 0; !c.busy() { // else the outbox may fill before a worker gets here
			for range 1 + 8<<10/size {
				f := numbered(len(frames), size)
				c.Send(f)
				frames = append(frames, string(f))
			}
		}
		return waited > 20
	})
	return frames
}

func (c *Conn) busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flushing
}

// idle says that no connection waits for a worker, and that there are none.
func (f *flushers) idle() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.first == nil && f.last == nil && f.working == 0
}

// More clients than there are workers do not read, and the others get everything.
func TestStalledReadersHoldNoWorker(t *testing.T) {
	t.Parallel()
	h, srv, conns := opened(t)
	healthy := connect(t, srv)
	good := <-conns
	var stuck []*Conn
	for range 4 * runtime.GOMAXPROCS(0) {
		narrow(t, srv)
		c := <-conns
		c.clog(t, 8<<10)
		for i := range 50 { // more than the network may find room for after all
			c.Send(numbered(i, 8<<10))
		}
		stuck = append(stuck, c)
	}
	eventually(t, h.flushers.idle)
	for i := range 200 {
		f := numbered(i, 100)
		for _, c := range stuck {
			c.Send(f)
		}
		good.Send(f)
		healthy.want(string(f))
	}
	for _, c := range stuck {
		if !c.busy() || c.Closed() {
			t.Fatal("a client that does not read was not stuck all the time")
		}
	}
	eventually(t, h.flushers.idle)
}

// Nor do clients that ping and do not take the pongs: the library holds their wires while
// it writes those.
func TestUnreadPongsHoldNoWorker(t *testing.T) {
	t.Parallel()
	h, srv, conns := opened(t)
	healthy := connect(t, srv)
	good := <-conns
	var clients []*client
	var held []*Conn
	for i := range 4 * runtime.GOMAXPROCS(0) {
		clients = append(clients, connect(t, srv))
		c := <-conns
		c.wire.mu.Lock()
		c.Send(numbered(i, 100))
		held = append(held, c)
	}
	eventually(t, h.flushers.idle)
	good.Send(numbered(0, 100))
	healthy.want(string(numbered(0, 100)))
	for i, c := range held {
		c.wire.mu.Unlock()
		clients[i].want(string(numbered(i, 100)))
	}
}

// A client that reads now and then gets every frame, whole and in order, whatever part of
// them the network took at a time, and its pings are answered in between.
func TestPartialWrites(t *testing.T) {
	t.Parallel()
	_, srv, conns := opened(t)
	c, _ := narrow(t, srv)
	conn := <-conns
	if f, err := c.read(); err != nil || !strings.HasPrefix(f, `{"type":"hello"`) {
		t.Fatal(f, err)
	}
	for _, size := range []int{100, 1000, 5000, 30_000, chunkSize - 20, chunkSize, 70_000, 200_000} {
		frames := conn.clog(t, size)
		pinged := make(chan error, 1)
		go func() { pinged <- c.ws.Ping(t.Context()) }()
		for _, f := range frames {
			c.want(f)
		}
		eventually(t, func() bool { // a pong is only seen by who reads
			conn.Send(numbered(0, 1))
			c.want(string(numbered(0, 1)))
			select {
			case err := <-pinged:
				if err != nil {
					t.Error(err)
				}
				return true
			default:
				return false
			}
		})
		eventually(t, func() bool { return !conn.busy() })
		conn.mu.Lock()
		if conn.queued != 0 || conn.underWay != 0 || len(conn.outbox) != 0 {
			t.Errorf("an empty outbox counts %d bytes, %d under way", conn.queued, conn.underWay)
		}
		conn.mu.Unlock()
	}
}

// Close lets a client have what was sent before, also when it takes its time.
func TestCloseDuringPartialWrite(t *testing.T) {
	t.Parallel()
	_, srv, conns := opened(t)
	c, _ := narrow(t, srv)
	conn := <-conns
	frames := conn.clog(t, 5000)
	last := numbered(0, 10)
	conn.Send(last)
	conn.Close(CloseDraining, "going away")
	conn.Send(numbered(0, 20))          // too late
	if _, err := c.read(); err != nil { // hello
		t.Fatal(err)
	}
	for _, f := range append(frames, string(last)) {
		c.want(f)
	}
	c.wantClosed(CloseDraining)
}

// An abort leaves out what waits, but no half of a frame.
func TestAbortDuringPartialWrite(t *testing.T) {
	t.Parallel()
	_, srv, conns := opened(t)
	c, _ := narrow(t, srv)
	conn := <-conns
	frames := conn.clog(t, 5000)
	conn.abort(CloseSlowConsumer, "too far behind")
	if _, err := c.read(); err != nil { // hello
		t.Fatal(err)
	}
	for _, want := range frames {
		f, err := c.read()
		if err != nil {
			if websocket.CloseStatus(err) != CloseSlowConsumer {
				t.Fatal(err)
			}
			return
		}
		if f != want {
			t.Fatalf("want %.20s, got %.20s", want, f)
		}
	}
	c.wantClosed(CloseSlowConsumer)
}

// A client that takes nothing for ten seconds is closed, whoever writes to it.
func TestStuckWrite(t *testing.T) {
	t.Parallel()
	h, srv, conns := opened(t)
	_, raw := narrow(t, srv)
	conn := <-conns
	conn.clog(t, 5000)
	h.watch(time.Now().Add(12 * time.Second))
	if !conn.Closed() {
		t.Fatal("a stuck write is let be")
	}
	_ = raw.Close()
	eventually(t, func() bool { return h.Connections() == 0 && !conn.busy() })
}

// A shutdown tells those who read, and cuts the others after its grace; nobody is left
// writing.
func TestShutdownWithStalledReaders(t *testing.T) {
	t.Parallel()
	h, srv, conns := opened(t)
	healthy := connect(t, srv)
	<-conns
	var stuck []*Conn
	for range 2 * runtime.GOMAXPROCS(0) {
		narrow(t, srv)
		c := <-conns
		c.clog(t, 8<<10)
		stuck = append(stuck, c)
	}
	done := make(chan error, 1)
	go func() { done <- h.Close(t.Context()) }()
	healthy.wantClosed(CloseDraining)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for _, c := range stuck {
		eventually(t, func() bool { return !c.busy() })
	}
	eventually(t, h.flushers.idle)
}

// Where a write cannot be tried, as with TLS, every connection writes for itself.
func TestFramesOverTLS(t *testing.T) {
	t.Parallel()
	h, _ := setup(t)
	conns := make(chan *Conn, 1)
	h.OnOpen(func(_ context.Context, c *Conn) error { conns <- c; return nil })
	srv := httptest.NewTLSServer(h)
	t.Cleanup(srv.Close)
	ws, _, err := websocket.Dial(t.Context(), srv.URL, &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"Bearer good"}}, HTTPClient: srv.Client(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	ws.SetReadLimit(1 << 20)
	c := &client{t, ws}
	if _, err := c.read(); err != nil { // hello
		t.Fatal(err)
	}
	conn := <-conns
	for i := range 200 {
		conn.Send(numbered(i, 100*i))
		if i%20 == 19 {
			for j := i - 19; j <= i; j++ {
				c.want(string(numbered(j, 100*j)))
			}
		}
	}
	conn.Close(CloseDraining, "going away")
	c.wantClosed(CloseDraining)
}

// Many publishers and many connections: each connection gets all of each publisher's
// frames in order.
func TestPublishStorm(t *testing.T) {
	t.Parallel()
	const clients, publishers, frames = 1500, 4, 10
	h, srv := setup(t)
	topic := NewTopics[int](h)
	h.OnOpen(func(_ context.Context, c *Conn) error { topic.Join(c, 1); return nil })
	var reading sync.WaitGroup
	for i := range clients {
		ws, _, err := dialThrough(t.Context(), srv.URL, func(*net.TCPConn) error { return nil })
		if err != nil {
			t.Fatal(i, err)
		}
		t.Cleanup(func() { _ = ws.CloseNow() })
		c := &client{t, ws}
		if _, err := c.read(); err != nil { // hello
			t.Fatal(err)
		}
		reading.Go(func() {
			var next [publishers]int
			for range publishers * frames {
				f, err := c.read()
				var who, n int
				if _, e := fmt.Sscanf(f, `{"type":"n","data":"%d %d`, &who, &n); err != nil || e != nil || n != next[who] {
					t.Errorf("want %v next, got %q: %v", next, f, errors.Join(err, e))
					return
				}
				next[who]++
			}
		})
	}
	var publishing sync.WaitGroup
	for who := range publishers {
		publishing.Go(func() {
			for n := range frames {
				topic.Publish(1, event("n", fmt.Sprint(who, n)))
			}
		})
	}
	publishing.Wait()
	reading.Wait()
	eventually(t, h.flushers.idle)
	for _, c := range topic.Conns(1) {
		c.mu.Lock()
		if c.queued != 0 || c.flushing {
			t.Errorf("%d bytes wait, and everything was read", c.queued)
		}
		c.mu.Unlock()
	}
}

// A chunk is the frames one after the other, as RFC 6455 has them, wherever a write ends.
func TestChunk(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOf(rapid.SampledFrom([]int{0, 1, 125, 126, 5000, chunkSize - maxHeader, chunkSize, 0xFFFF, 0x10000})).Draw(t, "sizes")
		var frames []item
		var want, got []byte
		for i, size := range sizes {
			f := bytes.Repeat([]byte{byte('a' + i%26)}, size)
			frames = append(frames, item{frame: f})
			switch {
			case size < 126:
				want = append(want, 0x81, byte(size))
			case size < 0x10000:
				want = append(want, 0x81, 126, byte(size>>8), byte(size))
			default:
				want = append(want, 0x81, 127, 0, 0, 0, 0, 0, byte(size>>16), byte(size>>8), byte(size))
			}
			want = append(want, f...)
		}
		ch := newChunk()
		defer ch.free()
		for len(frames) > 0 {
			n, size := ch.fill(frames)
			for _, f := range frames[:n] {
				size -= len(f.frame)
			}
			if n == 0 || size != 0 {
				t.Fatalf("took %d frames, miscounted by %d bytes", n, size)
			}
			frames = frames[n:]
			for p := ch.next(); len(p) > 0; p = ch.next() {
				k := rapid.IntRange(0, len(p)).Draw(t, "taken")
				got = append(got, p[:k]...)
				ch.took(k)
			}
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%d bytes for frames of %v, or others than the %d there should be", len(got), sizes, len(want))
		}
	})
}
