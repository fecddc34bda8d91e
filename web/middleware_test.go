package web

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	always := map[string]string{
		"X-Content-Type-Options":       "nosniff",
		"Referrer-Policy":              "no-referrer",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
	}
	paths := []string{"/", "/setup", "/assets/index-B4tXq-_2.js", "/missing.js", "/api/v1/things/" + someID, "/api/v1/nothing", "/api/docs", "/api/openapi.json", "/healthz", "/readyz"}
	for _, base := range []string{"", "https://chat.example/team"} {
		change := func(*Config) {}
		prefix, socket := "", "ws://inner:8080"
		if base != "" {
			change, prefix, socket = baseURL(t, base), "/team", "wss://chat.example"
		}
		s, _ := newTest(t, change, builtUI)
		for _, path := range paths {
			h := do(s, "GET", prefix+path, "", "Host", "inner:8080").Header
			for name, want := range always {
				if got := h.Get(name); got != want {
					t.Errorf("%s%s: %s %q", base, path, name, got)
				}
			}
			if got := h.Get("Permissions-Policy"); !strings.Contains(got, "camera=()") {
				t.Errorf("%s%s: Permissions-Policy %q", base, path, got)
			}
			csp := map[string]string{}
			for _, directive := range strings.Split(h.Get("Content-Security-Policy"), "; ") {
				name, value, _ := strings.Cut(directive, " ")
				csp[name] = value
			}
			for name, want := range map[string]string{
				"default-src": "'self'", "connect-src": "'self' " + socket, "img-src": "'self' data: blob:", "object-src": "'none'",
				"base-uri": "'self'", "form-action": "'self'", "frame-ancestors": "'none'",
				"require-trusted-types-for": "'script'", "trusted-types": "svelte-trusted-html parley-worker", "worker-src": "'self'",
			} {
				if csp[name] != want {
					t.Errorf("%s%s: %s %q, want %q", base, path, name, csp[name], want)
				}
			}
			if len(csp) != 10 {
				t.Errorf("%s%s: the policy allows something more: %v", base, path, csp)
			}
			if got := h.Get("Strict-Transport-Security"); (got != "") != (base != "") {
				t.Errorf("%s%s: Strict-Transport-Security %q", base, path, got)
			}
			if strings.Contains(path, "/api/") && h.Get("Cache-Control") != "no-store" {
				t.Errorf("%s%s: Cache-Control %q", base, path, h.Get("Cache-Control"))
			}
		}
	}
	// A host that is no host must not get into the policy.
	s, _ := newTest(t, nil, builtUI)
	if csp := do(s, "GET", "/", "", "Host", "x; script-src *").Header.Get("Content-Security-Policy"); strings.Contains(csp, "script-src") {
		t.Errorf("the host header changed the policy: %s", csp)
	}
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := newTest(t, func(c *Config) { c.RateLimits = true }, builtUI)
		get := func(ip string) *http.Response {
			return do(s, "GET", "/api/v1/things/"+someID, "", "X-Forwarded-For", ip)
		}
		for i := range rateLimit {
			if res := get("203.0.113.9"); res.StatusCode != http.StatusOK {
				t.Fatalf("request %d: status %d", i, res.StatusCode)
			}
		}
		res := get("203.0.113.9")
		if res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") != "10" || !strings.Contains(text(t, res), `"rate_limited"`) {
			t.Errorf("over the limit: status %d, Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
		}
		if res := get("203.0.113.10"); res.StatusCode != http.StatusOK {
			t.Errorf("another client: status %d", res.StatusCode)
		}
		if res := do(s, "GET", "/", "", "X-Forwarded-For", "203.0.113.9"); res.StatusCode != http.StatusOK {
			t.Errorf("the page: status %d", res.StatusCode)
		}
		for range rateLimit {
			get("2001:db8:1:2::1")
		}
		if res := get("2001:db8:1:2::2"); res.StatusCode != http.StatusTooManyRequests {
			t.Errorf("another address of the same /64: status %d", res.StatusCode)
		}
		time.Sleep(2 * rateWindow) // the test's own clock
		if res := get("203.0.113.9"); res.StatusCode != http.StatusOK {
			t.Errorf("after the wait: status %d", res.StatusCode)
		}
	})
}

func TestNoRateLimit(t *testing.T) {
	t.Parallel()
	s, _ := newTest(t, nil, builtUI)
	for range rateLimit + 1 {
		if res := do(s, "GET", "/api/v1/things/"+someID, ""); res.StatusCode != http.StatusOK {
			t.Fatalf("status %d", res.StatusCode)
		}
	}
}

// The access log tells what was asked and how it went, and nothing one could misuse.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	s, l := newTest(t, baseURL(t, "http://chat.example/team"), builtUI)
	res := do(s, "GET", "/team/api/v1/things/"+someID+"?limit=7&token=abc", "", "Authorization", "Bearer secret-token", "Cookie", "session=secret-cookie")
	do(s, "GET", "/team/invite/secret-code", "")
	do(s, "ODD", "/team/secret%0Apath", "")
	out := l.String()
	line := regexp.MustCompile(`(?m)^.*request_id=` + res.Header.Get("X-Request-Id") + `.*$`).FindString(out)
	for _, want := range []string{"level=DEBUG", "method=GET", "route=/team/api/v1/things/{id}", "status=200", "bytes=", "ms=", "ip=127.0.0.1"} {
		if !strings.Contains(line, want) {
			t.Errorf("%s is not in %q", want, line)
		}
	}
	for _, secret := range []string{"secret", someID, "token=abc", "limit=7"} {
		if strings.Contains(out, secret) {
			t.Errorf("%s is in the log:\n%s", secret, out)
		}
	}
	if lines := strings.Count(out, "\n"); lines != 3 {
		t.Errorf("%d lines for 3 requests:\n%s", lines, out)
	}
}

// lost is a connection whose other end is gone.
type lost struct{ header http.Header }

func (l *lost) Header() http.Header       { return l.header }
func (l *lost) WriteHeader(int)           {}
func (l *lost) Write([]byte) (int, error) { return 0, &net.OpError{Op: "write", Err: syscall.EPIPE} }

// An answer that cannot be ended is broken off. A client that went away is no news.
func TestBrokenOff(t *testing.T) {
	t.Parallel()
	s, l := newTest(t, nil, builtUI)
	s.Handle(&huma.Operation{OperationID: "half", Method: http.MethodGet, Path: "/half"},
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusOK)
			panic("half an answer")
		}))
	ends := func(w http.ResponseWriter, path string) (err error) {
		defer func() { err, _ = recover().(error) }()
		s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return nil
	}
	if err := ends(&lost{http.Header{}}, "/api/v1/things/"+someID); !errors.Is(err, http.ErrAbortHandler) {
		t.Errorf("the client is gone: %v", err)
	}
	if out := l.String(); strings.Contains(out, "level=ERROR") || strings.Contains(out, "panic") {
		t.Errorf("the client is gone, and the log says\n%s", out)
	}
	w := httptest.NewRecorder()
	if err := ends(w, "/api/v1/half"); !errors.Is(err, http.ErrAbortHandler) || w.Body.Len() != 0 {
		t.Errorf("half an answer: %v, %s", err, w.Body)
	}
	if n := strings.Count(l.String(), "half an answer"); n != 1 {
		t.Errorf("the log says %d times what happened", n)
	}
}
