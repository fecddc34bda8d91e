package web

import (
	"encoding/json"
	"net/http"
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

func TestSecureRequest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		header []string
		want   bool
	}{
		"plain http":                         {nil, false},
		"https, says a trusted proxy":        {[]string{"X-Forwarded-Proto", "https"}, true},
		"https, says another client":         {[]string{"RemoteAddr", "203.0.113.9:1", "X-Forwarded-Proto", "https"}, false},
		"http, says a trusted proxy":         {[]string{"X-Forwarded-Proto", "http"}, false},
		"https to the first of two proxies":  {[]string{"X-Forwarded-Proto", "https, http"}, true},
		"neither, says a trusted proxy":      {[]string{"X-Forwarded-Proto", "gopher"}, false},
		"https without the client's address": {[]string{"X-Forwarded-Proto", "https", "X-Forwarded-For", ""}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := newTest(t, nil, builtUI)
			var got bool
			s.v1.Get("/secure", func(_ http.ResponseWriter, r *http.Request) { got = SecureRequest(r.Context()) })
			do(s, "GET", "/api/v1/secure", "", c.header...)
			if got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
	if SecureRequest(t.Context()) {
		t.Error("no request is secure")
	}
}
