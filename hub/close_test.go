package hub

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// rawClient writes bytes to a socket as it likes.
type rawClient struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

// dialRaw makes the handshake, with a header such as "Authorization: Bearer good".
func dialRaw(t *testing.T, srv *httptest.Server, header string) *rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	c := &rawClient{t, conn, bufio.NewReader(conn)}
	c.write([]byte("GET / HTTP/1.1\r\nHost: " + conn.RemoteAddr().String() + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + header + "\r\n\r\n"))
	res, err := http.ReadResponse(c.in, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the handshake was answered with %v %v", res, err)
	}
	return c
}

func (c *rawClient) write(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatalf("the server cut the connection: %v", err)
	}
}

// rawFrame is a frame of a client, with a mask that changes nothing.
func rawFrame(first byte, payload []byte) []byte {
	const masked = 0x80
	b := []byte{first, masked | 127}
	b = binary.BigEndian.AppendUint64(b, uint64(len(payload)))
	if len(payload) < 126 {
		b = []byte{first, masked | byte(len(payload))}
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}

func textFrame(s string) []byte { return rawFrame(final|opText, []byte(s)) }

// readFrame gives the next frame that the server wrote.
func (c *rawClient) readFrame() (op byte, payload []byte, err error) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(c.in, head); err != nil {
		return 0, nil, err
	}
	size := int(head[1])
	if size == 126 {
		var long [2]byte
		if _, err := io.ReadFull(c.in, long[:]); err != nil {
			return 0, nil, err
		}
		size = int(binary.BigEndian.Uint16(long[:]))
	}
	payload = make([]byte, size)
	_, err = io.ReadFull(c.in, payload)
	return head[0] & opcode, payload, err
}

// closeCode reads up to the close frame.
func (c *rawClient) closeCode() websocket.StatusCode {
	c.t.Helper()
	for {
		op, payload, err := c.readFrame()
		if err != nil {
			c.t.Fatalf("the connection ended without a close frame: %v", err)
		}
		if op == opClose {
			return websocket.StatusCode(binary.BigEndian.Uint16(payload))
		}
	}
}

// TestCloseCodeWithUnreadData closes connections whose clients have sent more than was
// read. They get the code, and an end in order: a reset could overtake the code.
func TestCloseCodeWithUnreadData(t *testing.T) {
	t.Parallel()
	const bearer = "Sec-WebSocket-Protocol: parley.v1\r\nAuthorization: Bearer good"
	large := strings.Repeat("a", 300_000)
	half := textFrame(large)[:150_000]
	for name, f := range map[string]struct {
		header string
		first  []byte // sent before
		close  func(*Hub)
		code   websocket.StatusCode
	}{
		"too large":            {bearer, textFrame(large), nil, websocket.StatusMessageTooBig},
		"far too large":        {bearer, textFrame(large + large + large), nil, websocket.StatusMessageTooBig},
		"binary":               {bearer, rawFrame(final|0x2, []byte(large)), nil, websocket.StatusUnsupportedData},
		"not UTF-8":            {bearer, textFrame("\xff"), nil, websocket.StatusInvalidFramePayloadData},
		"a reserved bit":       {bearer, rawFrame(final|0x40|opText, []byte(large)), nil, websocket.StatusProtocolError},
		"no auth frame":        {"Sec-WebSocket-Protocol: parley.v1", textFrame(`{"type":"echo","id":"1"}`), nil, CloseNotAuthenticated},
		"a wrong token":        {"Authorization: Bearer bad", nil, nil, CloseNotAuthenticated},
		"a wrong auth frame":   {"Sec-WebSocket-Protocol: parley.v1", textFrame(`{"type":"auth","id":"1","data":{"token":"bad"}}`), nil, CloseNotAuthenticated},
		"a large first frame":  {"Sec-WebSocket-Protocol: parley.v1", textFrame(large), nil, websocket.StatusMessageTooBig},
		"another subprotocol":  {"Sec-WebSocket-Protocol: parley.v9\r\nAuthorization: Bearer good", nil, nil, CloseProtocolError},
		"the session ends":     {bearer, half, func(h *Hub) { h.CloseSession(somebody.SessionID) }, CloseSessionEnded},
		"silence":              {bearer, half, func(h *Hub) { h.watch(time.Now().Add(80 * time.Second)) }, CloseHeartbeatMissed},
		"the server goes away": {bearer, half, func(h *Hub) { go func() { _ = h.Close(context.Background()) }() }, CloseDraining},
		"a slow client":        {bearer, half, func(h *Hub) { h.all()[0].abort(CloseSlowConsumer, "too far behind") }, CloseSlowConsumer},
		"the database is away": {"Sec-WebSocket-Protocol: parley.v1", textFrame(`{"type":"auth","id":"1","data":{"token":"down"}}`), nil, websocket.StatusTryAgainLater},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, srv := setup(t)
			c := dialRaw(t, srv, f.header)
			if strings.Contains(f.header, "good") && f.code != CloseProtocolError {
				if _, payload, err := c.readFrame(); err != nil || !strings.Contains(string(payload), "hello") {
					t.Fatalf("no hello: %s %v", payload, err)
				}
			}
			c.write(f.first)
			if f.close != nil {
				f.close(h)
				if code := c.closeCode(); code != f.code {
					t.Errorf("closed with %d instead of %d", code, f.code)
				}
				c.write(make([]byte, 150_000+14)) // the rest of the frame, and 14 bytes that are no frame
			} else {
				c.write([]byte(strings.Repeat(string(textFrame("{}")), 100_000)))
				if code := c.closeCode(); code != f.code {
					t.Errorf("closed with %d instead of %d", code, f.code)
				}
			}
			// An answer to the close frame may be too late already: it is no matter.
			_, _ = c.Write(rawFrame(final|opClose, []byte{3, 232}))
			if rest, err := io.ReadAll(c.in); err != nil || len(rest) > 0 {
				t.Errorf("after the close frame came %d bytes, and %v", len(rest), err)
			}
		})
	}
}

// A client that stops in the middle of a frame, or never stops sending, is not waited for.
func TestCloseOfRudeClients(t *testing.T) {
	t.Parallel()
	const bearer = "Authorization: Bearer good"
	t.Run("one that stops in the middle of a frame", func(t *testing.T) {
		t.Parallel()
		h, srv := setup(t)
		c := dialRaw(t, srv, bearer)
		c.write(rawFrame(final|0x2, make([]byte, 100_000))[:50_000])
		if code := c.closeCode(); code != websocket.StatusUnsupportedData {
			t.Errorf("closed with %d", code)
		}
		eventually(t, func() bool { return h.Connections() == 0 })
	})
	t.Run("one that goes on sending", func(t *testing.T) {
		t.Parallel()
		h, srv := setup(t)
		c := dialRaw(t, srv, bearer)
		c.write(rawFrame(final|0x2, nil))
		frame, sent := textFrame(strings.Repeat("a", 60_000)), 0
		for {
			n, err := c.Write(frame)
			if sent += n; err != nil {
				break // cut, in the end
			}
			if sent > 100<<20 {
				t.Fatal("100 MB were read after the close frame")
			}
		}
		eventually(t, func() bool { return h.Connections() == 0 })
	})
}

// Frames that the client has sent before it learns of a close are not answered any more.
func TestClosedConnectionAnswersNothing(t *testing.T) {
	t.Parallel()
	h, srv := setup(t)
	handled := make(chan struct{}, 1)
	h.Mux().Handle("count", func(_ context.Context, r *Request) (any, error) {
		r.Conn.Close(CloseSessionEnded, "session ended")
		handled <- struct{}{} // a second one would block
		return nil, nil
	})
	c := connect(t, srv)
	for range 3 {
		c.send(`{"type":"count","id":"1"}`)
	}
	c.wantClosed(CloseSessionEnded)
	eventually(t, func() bool { return h.Connections() == 0 })
	if len(handled) != 1 {
		t.Errorf("%d frames were handled", len(handled))
	}
}

// WebSocket pings and pongs are signs of life, of clients that send nothing else.
func TestPingsAreSignsOfLife(t *testing.T) {
	t.Parallel()
	for name, opcode := range map[string]byte{"a ping": 0x9, "a pong": 0xA} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, srv := setup(t)
			c := dialRaw(t, srv, "Authorization: Bearer good")
			if _, _, err := c.readFrame(); err != nil { // hello
				t.Fatal(err)
			}
			h.watch(time.Now().Add(60 * time.Second))
			c.write(rawFrame(final|opcode, nil))
			conn := h.all()[0]
			eventually(t, func() bool { return conn.heard.Load() >= 60 })
			h.watch(time.Now().Add(75 * time.Second))
			if conn.Closed() {
				t.Error("the connection was closed as silent")
			}
		})
	}
}
