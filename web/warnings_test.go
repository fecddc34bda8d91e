package web

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func countWarnings(l *logs, text string) int {
	n := 0
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, "level=WARN") && strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func TestWarningOfUntrustedProxy(t *testing.T) {
	t.Parallel()
	const text = "PARLEY_TRUSTED_PROXIES"
	for _, header := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"} {
		t.Run(header, func(t *testing.T) {
			t.Parallel()
			s, l := newTest(t, nil, builtUI)
			echo(t, s, header, "https")
			if countWarnings(l, text) != 0 {
				t.Error("warned of a trusted proxy")
			}
			for i := range 3 {
				echo(t, s, "RemoteAddr", fmt.Sprintf("198.51.100.%d:1", i), header, "https")
			}
			if n := countWarnings(l, text); n != 1 {
				t.Errorf("warned %d times of one range of addresses", n)
			}
			echo(t, s, "RemoteAddr", "[2001:db8::1]:1", header, "https")
			if n := countWarnings(l, text); n != 2 {
				t.Errorf("warned %d times of two ranges of addresses", n)
			}
		})
	}
	t.Run("no_client_fills_the_log", func(t *testing.T) {
		t.Parallel()
		s, l := newTest(t, nil, builtUI)
		for i := range 4 * maxProxyWarnings {
			echo(t, s, "RemoteAddr", fmt.Sprintf("10.0.%d.1:1", i), "X-Forwarded-For", "203.0.113.9")
		}
		if n := countWarnings(l, text); n != maxProxyWarnings || len(s.warnings.ranges) != maxProxyWarnings {
			t.Errorf("warned %d times, and remembers %d ranges", n, len(s.warnings.ranges))
		}
	})
}

func TestWarningOfPlainHTTP(t *testing.T) {
	t.Parallel()
	const plain = "over plain http"
	base := func(raw string) *url.URL {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	remote := []string{"RemoteAddr", "203.0.113.9:1"}
	for name, c := range map[string]struct {
		base   string
		path   string
		header []string
		want   int
	}{
		"another_machine":                  {"", "/api/v1/password", remote, 1},
		"another_machine_despite_base_url": {"https://chat.example", "/api/v1/password", remote, 1},
		"no_password":                      {"", "/api/v1/echo", remote, 0},
		"this_machine":                     {"", "/api/v1/password", nil, 0},
		"https_at_a_trusted_proxy":         {"", "/api/v1/password", []string{"X-Forwarded-For", "203.0.113.9", "X-Forwarded-Proto", "https"}, 0},
		"https_by_the_base_url":            {"https://chat.example", "/api/v1/password", []string{"X-Forwarded-For", "203.0.113.9"}, 0},
		"http_at_a_trusted_proxy":          {"", "/api/v1/password", []string{"X-Forwarded-For", "203.0.113.9", "X-Forwarded-Proto", "http"}, 1},
		"https_claimed_by_a_stranger":      {"", "/api/v1/password", append([]string{"X-Forwarded-Proto", "https"}, remote...), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, l := newTest(t, func(cfg *Config) {
				cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
				if c.base != "" {
					cfg.BaseURL = base(c.base)
				}
			}, builtUI)
			for range 3 {
				text(t, do(s, "POST", c.path, `{"name":"alice"}`, c.header...))
			}
			if n := countWarnings(l, plain); n != c.want {
				t.Errorf("warned %d times, not %d", n, c.want)
			}
		})
	}
}
