package parleytest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// TestWireAgainstLibrary speaks to a real WebSocket implementation: every size at which
// the form of a frame changes, pings, and the end.
func TestWireAgainstLibrary(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			rw.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(rw, `{"code":"unauthenticated","detail":"No."}`)
			return
		}
		c, err := websocket.Accept(rw, r, &websocket.AcceptOptions{Subprotocols: []string{"parley.v1"}})
		if err != nil {
			return // answered
		}
		defer func() { _ = c.CloseNow() }()
		c.SetReadLimit(1 << 20)
		for {
			kind, b, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if string(b) == "bye" {
				_ = c.Close(4002, "drain")
				return
			}
			if c.Write(r.Context(), kind, b) != nil {
				return
			}
		}
	}))
	defer srv.Close()
	addr := srv.Listener.Addr().String()

	_, err := DialWire(t.Context(), &net.Dialer{}, addr, "wrong")
	if p, ok := errors.AsType[*Problem](err); !ok || p.Status != 401 || p.Code != "unauthenticated" {
		t.Errorf("dialling with a wrong token: %v", err)
	}

	w, err := DialWire(t.Context(), &net.Dialer{}, addr, "secret")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	sizes := []int{0, 1, 7, 8, 125, 126, 4092, 4093, 4096, 0xFFFF, 0x10000, 200_000}
	for _, n := range sizes {
		w.Append([]byte(strings.Repeat("x", n)))
	}
	flushed := make(chan error, 1)
	go func() { flushed <- w.Flush() }()
	for _, n := range sizes {
		b, err := w.Read()
		if err != nil {
			t.Fatal(err)
		}
		if string(b) != strings.Repeat("x", n) {
			t.Errorf("a frame of %d bytes came back as %d others", n, len(b))
		}
	}
	if err := <-flushed; err != nil {
		t.Fatal(err)
	}
	w.Append([]byte("bye"))
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	_, err = w.Read()
	if e, ok := errors.AsType[*CloseError](err); !ok || e.Code != 4002 || e.Reason != "drain" {
		t.Errorf("the end of the connection: %v", err)
	}
}

func TestWireAnswersPings(t *testing.T) {
	t.Parallel()
	pinged := make(chan error, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(rw, r, &websocket.AcceptOptions{Subprotocols: []string{"parley.v1"}})
		if err != nil {
			return // answered
		}
		ctx := c.CloseRead(r.Context())
		pinged <- c.Ping(ctx)
		_ = c.Write(ctx, websocket.MessageText, []byte(`{"type":"hello"}`))
		<-ctx.Done()
	}))
	defer srv.Close()
	w, err := DialWire(t.Context(), &net.Dialer{}, srv.Listener.Addr().String(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	if err := w.AwaitHello(); err != nil {
		t.Fatal(err)
	}
	if err := <-pinged; err != nil {
		t.Errorf("the ping was not answered: %v", err)
	}
}

// FuzzReadFrame holds that whatever a server sends is either a frame that says the same
// when written again, or an error.
func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{0x81, 0x02, 'h', 'i'})
	f.Add([]byte{0x81, 126, 0x00, 0x80})
	f.Add([]byte{0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0})
	f.Add([]byte{0x81, 127, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF})
	f.Add([]byte{0x88, 0x02, 0x03, 0xE8})
	f.Add([]byte{0x01, 0x00})
	f.Add(append([]byte{0x81, 126, 0x20, 0x00}, make([]byte, 0x2000)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		w := &Wire{in: bufio.NewReaderSize(bytes.NewReader(b), readBuffer)}
		for rest := b; ; {
			op, payload, err := w.readFrame()
			if err != nil {
				if errors.Is(err, io.EOF) && len(rest) > 0 {
					t.Fatalf("%d bytes left and an orderly end", len(rest))
				}
				return
			}
			if op != rest[0]&0x0F {
				t.Fatalf("opcode %#x read as %#x", rest[0], op)
			}
			head := map[byte]int{126: 4, 127: 10}[rest[1]]
			if head == 0 {
				head = 2
			}
			rest = rest[head:]
			if !bytes.HasPrefix(rest, payload) {
				t.Fatalf("read the payload %x from %x", payload, rest)
			}
			rest = rest[len(payload):]
		}
	})
}

func FuzzMask(f *testing.F) {
	f.Add([]byte("some text that is longer than eight bytes"), uint32(0xDEADBEEF))
	f.Fuzz(func(t *testing.T, b []byte, mask uint32) {
		got := bytes.Clone(b)
		xor(got, mask)
		for i := range b {
			if got[i] != b[i]^byte(mask>>(8*(i%4))) {
				t.Fatalf("byte %d of %x masked with %x became %x", i, b, mask, got)
			}
		}
	})
}
