package hub

import (
	"context"
	"net/http"
	"net/netip"
	"strconv"
	"testing"

	"github.com/coder/websocket"
	"github.com/google/uuid"
)

// tokensAreUsers makes a hub for which a token is the id of its user.
func tokensAreUsers(c *Config) {
	c.Authenticate = func(_ context.Context, token string) (Identity, error) {
		return Identity{UserID: uuid.MustParse(token), SessionID: uuid.New()}, nil
	}
}

func bearerOf(user uuid.UUID) http.Header {
	return http.Header{"Authorization": {"Bearer " + user.String()}}
}

func (c *client) hello() {
	c.t.Helper()
	if f, err := c.read(); err != nil || f[:15] != `{"type":"hello"` {
		c.t.Fatalf("want hello, got %s %v", f, err)
	}
}

func TestSocketsPerUser(t *testing.T) {
	t.Parallel()
	h, srv := setup(t, tokensAreUsers, func(c *Config) { c.MaxSocketsPerUser = 3 })
	ann, ben := uuid.New(), uuid.New()
	open := func(user uuid.UUID) *client {
		t.Helper()
		c, _, err := dial(t, srv, bearerOf(user))
		if err != nil {
			t.Fatal(err)
		}
		c.hello()
		return c
	}
	other := open(ben)
	first, second, third := open(ann), open(ann), open(ann)
	fourth := open(ann)
	first.wantClosed(CloseReplaced)
	if CloseReplaced < 4500 {
		t.Error("the code tells clients to reconnect, which would replace another one")
	}
	if err := second.ws.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return h.Connections() == 3 })
	fifth := open(ann) // in the place of the second
	for _, c := range []*client{other, third, fourth, fifth} {
		c.send(`{"type":"echo","id":"1","data":{"text":"here"}}`)
		c.want(`{"type":"reply","id":"1","data":{"text":"here"}}`)
	}
}

func TestSocketsPerAddress(t *testing.T) {
	t.Parallel()
	var address netip.Addr // of the next handshake
	h, srv := setup(t, func(c *Config) {
		c.MaxSocketsPerAddress = 2
		c.ClientAddress = func(context.Context) netip.Addr { return address }
	})
	refused := func() bool {
		t.Helper()
		_, res, err := dial(t, srv, nil) // not authenticated: such connections count too
		if err == nil {
			return false
		}
		if res == nil || res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Content-Type") != "application/problem+json" {
			t.Fatalf("got %v %v", res, err)
		}
		if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err != nil || s < 1 {
			t.Errorf("Retry-After is %q", res.Header.Get("Retry-After"))
		}
		return true
	}
	for name, tc := range map[string]struct{ first, second, third string }{
		"IPv4":                       {"192.0.2.1", "192.0.2.1", "192.0.2.1"},
		"IPv4 in IPv6":               {"192.0.2.2", "::ffff:192.0.2.2", "192.0.2.2"},
		"IPv6, by its /64":           {"2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::3"},
		"loopback is an address too": {"127.0.0.1", "127.0.0.1", "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			for i, a := range []string{tc.first, tc.second, tc.third} {
				address = netip.MustParseAddr(a)
				if got := refused(); got != (i == 2) {
					t.Errorf("connection %d from %s: refused is %v", i+1, a, got)
				}
			}
		})
	}
	t.Run("another /64 has its own", func(t *testing.T) {
		address = netip.MustParseAddr("2001:db8:0:1::1")
		if refused() {
			t.Error("it was refused")
		}
	})
	t.Run("a connection that ended counts no more", func(t *testing.T) {
		address = netip.MustParseAddr("192.0.2.3")
		a, _, err := dial(t, srv, nil)
		if err != nil {
			t.Fatal(err)
		}
		if refused() || !refused() {
			t.Error("the second was refused, or the third was not")
		}
		_ = a.ws.CloseNow()
		eventually(t, func() bool { return h.count(address) < 2 })
		if refused() {
			t.Error("it was refused")
		}
	})
	t.Run("a handshake that failed counts no more", func(t *testing.T) {
		address = netip.MustParseAddr("192.0.2.4")
		for range 5 {
			if _, res, err := dial(t, srv, http.Header{"Authorization": {"Bearer down"}}); err == nil || res.StatusCode != http.StatusServiceUnavailable {
				t.Fatalf("got %v %v", res, err)
			}
			c, _, err := dial(t, srv, http.Header{"Authorization": {"Bearer bad"}})
			if err != nil {
				t.Fatal(err)
			}
			c.wantClosed(CloseNotAuthenticated)
			eventually(t, func() bool { return h.count(address) == 0 })
		}
	})
}

// count is how many connections an address has.
func (h *Hub) count(address netip.Addr) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sockets.addresses[networkOf(address)]
}

func TestSocketsInTotal(t *testing.T) {
	t.Parallel()
	h, srv := setup(t, func(c *Config) { c.MaxSockets = 2 })
	first := connect(t, srv)
	connect(t, srv)
	_, res, err := dial(t, srv, nil)
	if err == nil || res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Fatalf("got %v %v", res, err)
	}
	_ = first.ws.CloseNow()
	eventually(t, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.sockets.total == 1 })
	connect(t, srv)
}
