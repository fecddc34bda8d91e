package web

import (
	"cmp"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestPublicURL(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		base   string
		header []string
		want   string
	}{
		"as asked":                          {"", []string{"Host", "Chat.example:8080"}, "http://chat.example:8080"},
		"usual port":                        {"", []string{"Host", "chat.example:80"}, "http://chat.example"},
		"behind a proxy":                    {"", []string{"Host", "10.0.0.1:8080", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "chat.example"}, "https://chat.example"},
		"behind two":                        {"", []string{"X-Forwarded-Proto", "https, http", "X-Forwarded-Host", "chat.example, inner"}, "https://chat.example"},
		"not a proxy":                       {"", []string{"Host", "chat.example", "RemoteAddr", "203.0.113.9:1", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil.example"}, "http://chat.example"},
		"odd scheme":                        {"", []string{"Host", "chat.example", "X-Forwarded-Proto", "javascript"}, "http://chat.example"},
		"host with a path":                  {"", []string{"X-Forwarded-Host", "evil.example/x"}, ""},
		"host with a user":                  {"", []string{"X-Forwarded-Host", "a@evil.example"}, ""},
		"host with a header":                {"", []string{"X-Forwarded-Host", "evil.example; script-src *"}, ""},
		"configured":                        {"https://Chat.example", []string{"Host", "evil.example"}, "https://chat.example"},
		"configured, capitals and own port": {"HTTPS://CHAT.Example:443/", nil, "https://chat.example"},
		"configured, dot at the end":        {"https://chat.example.", nil, "https://chat.example"},
		"configured, zeros before the port": {"https://chat.example:08443", nil, "https://chat.example:8443"},
		"configured, empty port":            {"https://chat.example:", nil, "https://chat.example"},
		"configured, international":         {"https://Bücher.example", nil, "https://xn--bcher-kva.example"},
		"configured, German s":              {"https://straße.example", nil, "https://xn--strae-oqa.example"},
		"configured, Japanese full stop":    {"https://例え。テスト", nil, "https://xn--r8jz45g.xn--zckzah"},
		"configured, percent-encoded":       {"https://b%C3%BCcher.example", nil, "https://xn--bcher-kva.example"},
		"configured, full width":            {"https://ｃｈａｔ.example", nil, "https://chat.example"},
		"configured, underscore":            {"http://chat_server:8080", nil, "http://chat_server:8080"},
		"configured, long address":          {"http://[0:0:0:0:0:0:0:1]:8080", nil, "http://[::1]:8080"},
		"configured, mapped address":        {"http://[::ffff:127.0.0.1]", nil, "http://[::ffff:7f00:1]"},
		"configured, address in version 4":  {"http://192.0.2.7:80", nil, "http://192.0.2.7"},
		"configured, address":               {"http://[::1]:8080/", nil, "http://[::1]:8080"},
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
		{"https://Bücher.example", "inner", "https://xn--bcher-kva.example", true},
		{"https://Bücher.example", "inner", "https://bucher.example", false},
		{"https://chat.example.", "inner", "https://chat.example", true},
		{"https://CHAT.example:443", "inner", "https://chat.example", true},
		{"http://[0:0:0:0:0:0:0:1]:8080", "inner", "http://[::1]:8080", true},
		{none, "xn--bcher-kva.example", "https://xn--bcher-kva.example", true},
		{none, "chat.example.", "http://chat.example.", true},
		{none, "CHAT.Example", "http://chat.example", true},
		{none, "[0::1]:8080", "http://[::1]:8080", true},
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

func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, base string
		header     []string
		want       int
	}{
		{"a bot", "", nil, 200},
		{"our page", "", []string{"Host", "chat.example", "Origin", "http://chat.example", "Sec-Fetch-Site", "same-origin"}, 200},
		{"our page in an old browser", "", []string{"Host", "chat.example", "Origin", "http://chat.example"}, 200},
		{"another site", "", []string{"Host", "chat.example", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, 403},
		{"a sister site", "", []string{"Host", "chat.example", "Origin", "https://www.chat.example", "Sec-Fetch-Site", "same-site"}, 403},
		{"another site, old browser", "", []string{"Host", "chat.example", "Origin", "https://evil.example"}, 403},
		{"a sandboxed page", "", []string{"Host", "chat.example", "Origin", "null", "Sec-Fetch-Site", "cross-site"}, 403},
		{"proxy that changes the host", "https://chat.example", []string{"Host", "inner:8080", "Origin", "https://chat.example"}, 200},
		{"usual port in the base URL", "https://chat.example:443", []string{"Host", "inner:8080", "Origin", "https://chat.example"}, 200},
		// Over plain HTTP browsers send no Sec-Fetch-Site: the origin alone says whose page it is.
		{"proxy that says the host", "", []string{"Host", "inner:8080", "X-Forwarded-Host", "chat.example", "Origin", "http://chat.example"}, 200},
		{"proxy that says the host and does TLS", "", []string{"Host", "inner:8080", "X-Forwarded-Host", "chat.example", "Origin", "https://chat.example"}, 200},
		{"stranger that says the host", "", []string{"Host", "inner:8080", "X-Forwarded-Host", "evil.example", "Origin", "http://evil.example", "RemoteAddr", "203.0.113.9:1"}, 403},
		{"proxy that says another host", "", []string{"Host", "chat.example", "X-Forwarded-Host", "other.example", "Origin", "http://chat.example"}, 403},
		{"our page in capitals", "", []string{"Host", "CHAT.example:80", "Origin", "http://chat.example"}, 200},
		{"another port", "", []string{"Host", "chat.example:8080", "Origin", "http://chat.example:9090"}, 403},
		{"another port, as another browser says it", "", []string{"Host", "chat.example:8080", "Origin", "http://chat.example:9090", "Sec-Fetch-Site", "same-site"}, 403},
		{"our page, another site says the browser", "", []string{"Host", "chat.example", "Origin", "http://chat.example", "Sec-Fetch-Site", "cross-site"}, 403},
		{"a form of ours, without a referrer", "", []string{"Host", "chat.example", "Origin", "null", "Sec-Fetch-Site", "same-origin"}, 200},
		{"a sandboxed page, old browser", "", []string{"Host", "chat.example", "Origin", "null"}, 403},
		{"no origin, another site", "", []string{"Host", "chat.example", "Sec-Fetch-Site", "cross-site"}, 403},
		{"two origins", "", []string{"Host", "chat.example", "Origin", "http://chat.example", "Origin", "http://chat.example"}, 403},
		{"another address than the base URL", "https://chat.example", []string{"Host", "10.0.0.1:8080", "Origin", "http://10.0.0.1:8080", "Sec-Fetch-Site", "same-origin"}, 403},
		{"page at the base URL, call of another address", "https://chat.example", []string{"Host", "10.0.0.1:8080", "Origin", "https://chat.example", "Sec-Fetch-Site", "cross-site"}, 200},
		{"international base URL", "https://Bücher.example", []string{"Host", "inner:8080", "Origin", "https://xn--bcher-kva.example"}, 200},
		{"another site behind a proxy", "https://chat.example", []string{"Host", "inner:8080", "Origin", "https://evil.example"}, 403},
	} {
		change := func(*Config) {}
		if c.base != "" {
			change = baseURL(t, c.base)
		}
		s, _ := newTest(t, change, builtUI)
		res := do(s, "POST", "/api/v1/echo", `{"name":"alice"}`, c.header...)
		if res.StatusCode != c.want {
			t.Errorf("%s: status %d, want %d", c.name, res.StatusCode, c.want)
		}
		// The socket decides the same, where there is an origin to decide by.
		if r := httptest.NewRequest(http.MethodGet, "/", nil); len(c.header) > 0 {
			browser := false
			for i := 0; i < len(c.header); i += 2 {
				switch c.header[i] {
				case "Host":
					r.Host = c.header[i+1]
				default:
					browser = browser || c.header[i] == "Sec-Fetch-Site"
					r.Header.Add(c.header[i], c.header[i+1])
				}
			}
			r.RemoteAddr = cmp.Or(r.Header.Get("RemoteAddr"), "127.0.0.1:4711")
			if allowed := s.OriginAllowed(r); !browser && allowed != (c.want == http.StatusOK) {
				t.Errorf("%s: on the socket it is allowed: %v", c.name, allowed)
			}
		}
		// Reading is not what this protects: browsers keep answers from other sites.
		if res := do(s, "GET", "/api/v1/things/"+someID, "", c.header...); res.StatusCode != http.StatusOK {
			t.Errorf("%s: GET: status %d", c.name, res.StatusCode)
		}
	}
}

func TestBaseURLIsChecked(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"chat.example", "ftp://chat.example", "https://", "https://user:pw@chat.example", "https://chat.example/?x=1",
		"https://chat.example/?", "https://chat.example?", "https://@chat.example", "https://chat.example/#x",
		"https://chat example", "https://chat.example:0x50", "https://chat.example:65536", "https://chat.example:-1", "https://:8080",
		"https://127.1", "http://0x7f000001", "http://2130706433", "http://127.0.0.010", "https://1.2.3.4.5", "http://[::1%25eth0]", "http://[127.0.0.1]",
		"https://chat..example", "https://.example", "https://chat.example..", "https://a,b", "https://xn--a", "https://\u202eexample", "https://..", "https://chat.example/{id}", "https://chat.example/a/../b", "https://chat.example//a",
		"https://" + strings.Repeat("a", 64) + ".example", "https://chat." + strings.Repeat("ä", 64), "https://-bad-", "https://chat.-bad", "https://bad-.example",
		"https://ch\u200bat.example", "https://chat\u00ad.example", "https://chat\ufe0f.example", "https://\u2060chat.example", "https://chat\ufeff", "https://ch\u034fat",
	} {
		if _, err := ParseBaseURL(bad); err == nil {
			t.Errorf("%s: read", bad)
		}
		u, err := url.Parse(bad)
		if err != nil {
			continue
		}
		if _, err := newServer(Config{BaseURL: u, Logger: slog.Default()}, builtUI); err == nil {
			t.Errorf("%s: taken", bad)
		}
	}
	for _, good := range []string{"https://chat.example", "http://localhost:8080/", "https://example.org/team/chat/", "http://[::1]:8080",
		"https://" + strings.Repeat("a", 63) + ".example", "https://a-b.x--y.example", "https://my_host", "https://bücher.example", "https://xn--bcher-kva.example", "https://नमस्ते.example", "https://例え。テスト"} {
		if _, err := newServer(Config{BaseURL: mustURL(t, good), Logger: slog.Default()}, builtUI); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}
