package web

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// echo asks the server what it takes the client and itself for.
func echo(t *testing.T, s *Server, header ...string) (ip, url string) {
	t.Helper()
	res := do(s, "POST", "/api/v1/echo", `{"name":"alice"}`, header...)
	var out struct{ IP, URL string }
	if err := json.Unmarshal([]byte(text(t, res)), &out); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("status %d: %v", res.StatusCode, err)
	}
	return out.IP, out.URL
}

func TestClientIP(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		proxies string
		header  []string
		want    string
	}{
		"nobody in between":           {"127.0.0.0/8", []string{"RemoteAddr", "203.0.113.9:1"}, "203.0.113.9"},
		"proxy on this machine":       {"127.0.0.0/8", []string{"X-Forwarded-For", "203.0.113.9"}, "203.0.113.9"},
		"header of a stranger":        {"127.0.0.0/8", []string{"RemoteAddr", "203.0.113.9:1", "X-Forwarded-For", "10.1.1.1"}, "203.0.113.9"},
		"client lies to the proxy":    {"127.0.0.0/8", []string{"X-Forwarded-For", "10.1.1.1, 203.0.113.9"}, "203.0.113.9"},
		"lie in a header of its own":  {"127.0.0.0/8", []string{"X-Forwarded-For", "10.1.1.1", "X-Forwarded-For", "203.0.113.9"}, "203.0.113.9"},
		"two proxies":                 {"127.0.0.0/8,192.0.2.0/24", []string{"X-Forwarded-For", "10.1.1.1, 203.0.113.9, 192.0.2.7"}, "203.0.113.9"},
		"client claims to be a proxy": {"127.0.0.0/8,192.0.2.0/24", []string{"X-Forwarded-For", "192.0.2.8, 203.0.113.9"}, "203.0.113.9"},
		"mapped address":              {"127.0.0.0/8", []string{"X-Forwarded-For", "::ffff:203.0.113.9"}, "203.0.113.9"},
		"mapped proxy":                {"127.0.0.0/8", []string{"RemoteAddr", "[::ffff:127.0.0.1]:1", "X-Forwarded-For", "2001:db8::1"}, "2001:db8::1"},
		"garbage":                     {"127.0.0.0/8", []string{"X-Forwarded-For", "203.0.113.9, nonsense"}, "127.0.0.1"},
		"only proxies":                {"127.0.0.0/8", []string{"X-Forwarded-For", "127.0.0.9"}, "127.0.0.1"},
		"no header":                   {"127.0.0.0/8", nil, "127.0.0.1"},
		"other headers":               {"127.0.0.0/8", []string{"X-Real-Ip", "10.1.1.1", "True-Client-Ip", "10.1.1.1", "Forwarded", "for=10.1.1.1"}, "127.0.0.1"},
		"nobody trusted":              {"", []string{"X-Forwarded-For", "203.0.113.9"}, "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := newTest(t, func(cfg *Config) {
				cfg.TrustedProxies = nil
				for _, p := range strings.FieldsFunc(c.proxies, func(r rune) bool { return r == ',' }) {
					cfg.TrustedProxies = append(cfg.TrustedProxies, netip.MustParsePrefix(p))
				}
			}, builtUI)
			if ip, _ := echo(t, s, c.header...); ip != c.want {
				t.Errorf("got %s, want %s", ip, c.want)
			}
		})
	}
}

func TestProxyWarning(t *testing.T) {
	t.Parallel()
	s, l := newTest(t, nil, builtUI)
	echo(t, s, "X-Forwarded-For", "203.0.113.9")
	if strings.Contains(l.String(), "level=WARN") {
		t.Error("warned of a trusted proxy")
	}
	for range 3 {
		echo(t, s, "RemoteAddr", "198.51.100.1:1", "X-Forwarded-For", "203.0.113.9")
	}
	if n := strings.Count(l.String(), "level=WARN"); n != 1 {
		t.Errorf("warned %d times of a proxy that is not trusted", n)
	}
}

func TestPublicURL(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		base   string
		header []string
		want   string
	}{
		"as asked":            {"", []string{"Host", "Chat.example:8080"}, "http://chat.example:8080"},
		"usual port":          {"", []string{"Host", "chat.example:80"}, "http://chat.example"},
		"behind a proxy":      {"", []string{"Host", "10.0.0.1:8080", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "chat.example"}, "https://chat.example"},
		"behind two":          {"", []string{"X-Forwarded-Proto", "https, http", "X-Forwarded-Host", "chat.example, inner"}, "https://chat.example"},
		"not a proxy":         {"", []string{"Host", "chat.example", "RemoteAddr", "203.0.113.9:1", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil.example"}, "http://chat.example"},
		"odd scheme":          {"", []string{"Host", "chat.example", "X-Forwarded-Proto", "javascript"}, "http://chat.example"},
		"host with a path":    {"", []string{"X-Forwarded-Host", "evil.example/x"}, ""},
		"host with a user":    {"", []string{"X-Forwarded-Host", "a@evil.example"}, ""},
		"host with a header":  {"", []string{"X-Forwarded-Host", "evil.example; script-src *"}, ""},
		"configured":          {"https://Chat.example", []string{"Host", "evil.example"}, "https://chat.example"},
		"configured, address": {"http://[::1]:8080/", nil, "http://[::1]:8080"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			change := func(*Config) {}
			if c.base != "" {
				change = baseURL(t, c.base)
			}
			s, _ := newTest(t, change, builtUI)
			if _, url := echo(t, s, c.header...); url != c.want {
				t.Errorf("got %q, want %q", url, c.want)
			}
		})
	}
	s, _ := newTest(t, baseURL(t, "https://example.org/team/chat/"), builtUI)
	if url := s.PublicURL(t.Context()); url != "https://example.org/team/chat" {
		t.Errorf("with a path: %q", url)
	}
	if !s.Secure() {
		t.Error("https is not secure")
	}
	s, _ = newTest(t, nil, builtUI)
	if url, ip := s.PublicURL(t.Context()), ClientIP(t.Context()); url != "" || ip.IsValid() || s.Secure() {
		t.Errorf("outside of a request: %q, %v", url, ip)
	}
}

func TestOriginAllowed(t *testing.T) {
	t.Parallel()
	const https, port, none = "https://chat.example", "http://chat.example:8080", ""
	for _, c := range []struct {
		base, host, origin string
		want               bool
	}{
		{https, "chat.example", "https://chat.example", true},
		{https, "inner:8080", "https://chat.example", true},
		{https, "chat.example", "https://chat.example:443", true},
		{https, "chat.example", "http://chat.example", false},
		{https, "chat.example", "https://chat.example:8443", false},
		{https, "chat.example", "https://evil.example", false},
		{https, "evil.example", "https://evil.example", false},
		{https, "chat.example", "https://chat.example.evil.example", false},
		{https, "chat.example", "https://evil-chat.example", false},
		{https, "chat.example", "https://sub.chat.example", false},
		{https, "chat.example", "https://chat.example/", false},
		{https, "chat.example", "https://chat.example@evil.example", false},
		{https, "chat.example", "https://CHAT.example", true},
		{https, "chat.example", "null", false},
		{https, "chat.example", "", false},
		{https + "/team", "chat.example", "https://chat.example", true},
		{port, "chat.example:8080", "http://chat.example:8080", true},
		{port, "chat.example:8080", "http://chat.example", false},
		{none, "chat.example", "https://chat.example", true}, // behind a proxy that does TLS
		{none, "chat.example", "http://chat.example", true},
		{none, "chat.example:443", "https://chat.example", true},
		{none, "localhost:8080", "http://localhost:8080", true},
		{none, "[::1]:8080", "http://[::1]:8080", true},
		{none, "localhost:8080", "http://localhost:9090", false},
		{none, "localhost:8080", "http://localhost", false},
		{none, "chat.example", "https://evil.example", false},
		{none, "chat.example", "file://chat.example", false},
		{none, "chat.example", "null", false},
		{none, "chat.example", "", false},
		{none, "", "http://", false},
	} {
		change := func(*Config) {}
		if c.base != "" {
			change = baseURL(t, c.base)
		}
		s, _ := newTest(t, change, builtUI)
		r := httptest.NewRequest(http.MethodGet, "/api/v1/socket", nil)
		r.Host = c.host
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		if got := s.OriginAllowed(r); got != c.want {
			t.Errorf("base %q, host %q, origin %q: %v", c.base, c.host, c.origin, got)
		}
		r.Header.Add("Origin", "https://evil.example")
		if c.origin != "" && s.OriginAllowed(r) {
			t.Errorf("two origins are allowed")
		}
	}

	// A trusted proxy's word about the host counts, a stranger's does not.
	s, _ := newTest(t, nil, builtUI)
	r := httptest.NewRequest(http.MethodGet, "/api/v1/socket", nil)
	r.Host = "inner:8080"
	r.Header.Set("Origin", "https://chat.example")
	r.Header.Set("X-Forwarded-Host", "chat.example")
	r.RemoteAddr = "127.0.0.1:1"
	if !s.OriginAllowed(r) {
		t.Error("behind a trusted proxy")
	}
	r.RemoteAddr = "203.0.113.9:1"
	if s.OriginAllowed(r) {
		t.Error("behind a stranger")
	}
}
