package main

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"parley/accounts"
	"parley/hub"
)

func TestBoundSockets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ wanted, descriptors, want int }{
		{0, 0, 0},           // not known: no bound
		{500, 0, 500},       // as the operator says
		{0, 1024, 768},      // files, the database and HTTP need some
		{0, 200, 150},       // few
		{0, 1, 1},           // hardly any
		{0, 524288, 524032}, // many
		{500, 524288, 500},
		{100_000, 1024, 768}, // more than there can be
	} {
		if got := boundSockets(c.wanted, c.descriptors); got != c.want {
			t.Errorf("%d wanted of %d descriptors: %d, not %d", c.wanted, c.descriptors, got, c.want)
		}
	}
}

// The limits of sockets are the configured ones, by the address that the client has behind a
// trusted proxy; for load tests they are off.
func TestSocketLimits(t *testing.T) {
	t.Parallel()
	open := func(s *testServer, who person, from string) (*websocket.Conn, int) {
		t.Helper()
		ws, res, err := websocket.Dial(t.Context(), strings.Replace(s.url, "http", "ws", 1)+"/api/v1/socket", &websocket.DialOptions{
			HTTPHeader: http.Header{"Authorization": {"Bearer " + who.token}, "X-Forwarded-For": {from}}, Subprotocols: []string{hub.Subprotocol},
		})
		if err != nil {
			if res == nil {
				t.Fatal(err)
			}
			return nil, res.StatusCode
		}
		t.Cleanup(func() { _ = ws.CloseNow() })
		if _, _, err := ws.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
		return ws, http.StatusSwitchingProtocols
	}
	limited := func(limits string) *testServer {
		return startTest(t, func(c *config) {
			c.RateLimits, c.MaxSocketsPerUser, c.MaxSocketsPerAddress = limits, 2, 3
			c.TrustedProxies = []string{"127.0.0.0/8", "::1/128"}
		})
	}
	t.Run("on", func(t *testing.T) {
		s := limited("on")
		ann, ben := s.person("ann", accounts.RoleMember), s.person("ben", accounts.RoleMember)
		first, _ := open(s, ann, "192.0.2.1")
		open(s, ann, "192.0.2.2")
		open(s, ann, "192.0.2.3")
		for {
			_, _, err := first.Read(t.Context())
			if err == nil {
				continue
			}
			if code := websocket.CloseStatus(err); code != hub.CloseReplaced {
				t.Errorf("the oldest was closed with %d: %v", code, err)
			}
			break
		}
		open(s, ben, "192.0.2.2")
		open(s, s.person("carl", accounts.RoleMember), "192.0.2.2")
		if _, status := open(s, ben, "192.0.2.2"); status != http.StatusTooManyRequests {
			t.Errorf("the fourth of an address: %d", status)
		}
		if _, status := open(s, ben, "192.0.2.4"); status != http.StatusSwitchingProtocols {
			t.Errorf("from another address: %d", status)
		}
	})
	t.Run("off", func(t *testing.T) {
		s := limited("off")
		ann := s.person("ann", accounts.RoleMember)
		for range 6 {
			if _, status := open(s, ann, "192.0.2.1"); status != http.StatusSwitchingProtocols {
				t.Errorf("it was refused: %d", status)
			}
		}
	})
}

// What fails again and again is seen from outside, while the replica goes on serving.
func TestRepeatedFailuresAreSeen(t *testing.T) {
	t.Parallel()
	s := startTest(t, nil)
	for range 3 {
		s.db.Failures().Report("writer", errors.New("a mistake"))
	}
	res, err := http.Get(s.url + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK || !strings.Contains(string(body), `"degraded"`) || !strings.Contains(string(body), "writer") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}
