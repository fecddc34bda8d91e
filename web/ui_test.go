package web

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
)

const script = "/assets/index-B4tXq-_2.js"

func TestUIFiles(t *testing.T) {
	t.Parallel()
	s, _ := newTest(t, nil, builtUI)
	for _, c := range []struct {
		path, accept                   string
		status                         int
		encoding, cache, ctype, starts string
	}{
		{script, "gzip, deflate, br", 200, "br", "immutable", "text/javascript", "brotli"},
		{script, "gzip", 200, "gzip", "immutable", "text/javascript", "gzip bytes"},
		{script, "GZIP;q=0.5", 200, "gzip", "immutable", "text/javascript", "gzip bytes"},
		{script, "br;q=0, gzip", 200, "gzip", "immutable", "text/javascript", "gzip bytes"},
		{script, "br; q=0.0, *", 200, "gzip", "immutable", "text/javascript", "gzip bytes"},
		{script, "*", 200, "br", "immutable", "text/javascript", "brotli"},
		{script, "*;q=0", 200, "", "immutable", "text/javascript", "console"},
		{script, "br;q=x", 200, "", "immutable", "text/javascript", "console"},
		{script, "", 200, "", "immutable", "text/javascript", "console"},
		{"/favicon.svg", "br", 200, "", "no-cache", "image/svg+xml", "<svg"},
		// A browser must find a newer one at once, and takes it for all that lies below its path.
		{"/sw.js", "br", 200, "br", "no-cache", "text/javascript", "brotli"},
		{"/sw.js", "", 200, "", "no-cache", "text/javascript", "self."},
		{"/manifest.webmanifest", "", 200, "", "no-cache", "application/manifest+json", "{"},
		{"/icons/192.png", "br", 200, "", "no-cache", "image/png", "\x89PNG"},
		{"/", "", 200, "", "no-cache", "text/html", "<!doctype"},
		{"/index.html", "", 200, "", "no-cache", "text/html", "<!doctype"},
		{"/", "br, gzip", 200, "gzip", "no-cache", "text/html", "\x1f\x8b"},
		{"/setup", "", 200, "", "no-cache", "text/html", "<!doctype"},
		{"/c/" + someID, "", 200, "", "no-cache", "text/html", "<!doctype"},
		{"/assets/", "", 200, "", "no-cache", "text/html", "<!doctype"},
		{"/missing.js", "", 404, "", "no-cache", "text/plain", "not found"},
		{"/assets/old-AAAAAAAA.js", "", 404, "", "no-cache", "text/plain", "not found"},
		{script + ".br", "", 404, "", "no-cache", "text/plain", "not found"},
		{"/.gitkeep", "", 404, "", "no-cache", "text/plain", "not found"},
		{"/../web.go", "", 404, "", "no-cache", "text/plain", "not found"},
		{"/apiary", "", 200, "", "no-cache", "text/html", "<!doctype"},
		{"/api", "", 404, "", "no-store", "application/problem+json", "{"},
		{"/api/", "", 404, "", "no-store", "application/problem+json", "{"},
		{"/api/v1", "", 404, "", "no-store", "application/problem+json", "{"},
		{"/api/v2/things", "", 404, "", "no-store", "application/problem+json", "{"},
	} {
		res := do(s, "GET", c.path, "", "Accept-Encoding", c.accept)
		body, h := text(t, res), res.Header
		if res.StatusCode != c.status || h.Get("Content-Encoding") != c.encoding || !strings.Contains(h.Get("Cache-Control"), c.cache) ||
			!strings.HasPrefix(h.Get("Content-Type"), c.ctype) || !strings.HasPrefix(body, c.starts) {
			t.Errorf("GET %s (%s): status %d, %v\n%q", c.path, c.accept, res.StatusCode, h, body)
		}
		if (h.Get("Vary") == "Accept-Encoding") != (strings.HasPrefix(c.path, "/assets/i") && c.status == 200 || c.path == "/sw.js" || c.ctype == "text/html") {
			t.Errorf("GET %s: Vary %q", c.path, h.Get("Vary"))
		}
	}
	if res := do(s, "POST", "/setup", "x"); res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST to a page: status %d, Allow %q", res.StatusCode, res.Header.Get("Allow"))
	}
	res := do(s, "HEAD", script, "", "Accept-Encoding", "br")
	if body := text(t, res); res.StatusCode != http.StatusOK || body != "" || res.Header.Get("Content-Length") != "12" {
		t.Errorf("HEAD: status %d, Content-Length %s, body %q", res.StatusCode, res.Header.Get("Content-Length"), body)
	}
}

func TestETags(t *testing.T) {
	t.Parallel()
	s, _ := newTest(t, nil, builtUI)
	tags := map[string]bool{}
	for _, path := range []string{"/", script, "/favicon.svg"} {
		for _, accept := range []string{"", "br, gzip"} {
			first := do(s, "GET", path, "", "Accept-Encoding", accept)
			etag := first.Header.Get("ETag")
			if !strings.HasPrefix(etag, `"`) || !strings.HasSuffix(etag, `"`) || len(etag) < 10 {
				t.Fatalf("%s: ETag %s", path, etag)
			}
			if tags[etag] && path != "/favicon.svg" {
				t.Errorf("%s: the tag %s names two representations", path, etag)
			}
			tags[etag] = true
			for _, ask := range []string{etag, "W/" + etag, `"other", ` + etag, "*"} {
				res := do(s, "GET", path, "", "Accept-Encoding", accept, "If-None-Match", ask)
				if body := text(t, res); res.StatusCode != http.StatusNotModified || body != "" || res.Header.Get("ETag") != etag || res.Header.Get("Content-Encoding") != "" {
					t.Errorf("%s, If-None-Match %s: status %d, %q", path, ask, res.StatusCode, body)
				}
			}
			if res := do(s, "GET", path, "", "Accept-Encoding", accept, "If-None-Match", `"other"`); res.StatusCode != http.StatusOK {
				t.Errorf("%s: another tag matches", path)
			}
		}
	}
}

func TestBasePath(t *testing.T) {
	t.Parallel()
	s, _ := newTest(t, baseURL(t, "https://example.org/team/chat/"), builtUI)
	for path, want := range map[string]int{
		"/team/chat/": 200, "/team/chat/setup": 200, "/team/chat" + script: 200, "/team/chat/api/v1/things/" + someID: 200,
		"/team/chat/sw.js": 200, "/team/chat/manifest.webmanifest": 200, "/sw.js": 404,
		"/team/chat/api/docs": 200, "/team/chat/api/openapi.json": 200, "/team/chat/healthz": 200, "/healthz": 200, "/readyz": 200,
		"/team/chat": 308, "/": 404, "/setup": 404, script: 404, "/api/v1/things/" + someID: 404, "/team/chatter": 404, "/team": 404,
		"/team/chat/api/v1/nothing": 404,
	} {
		res := do(s, "GET", path, "")
		if res.StatusCode != want {
			t.Errorf("GET %s: status %d, want %d", path, res.StatusCode, want)
		}
		if want == 308 && res.Header.Get("Location") != "/team/chat/" {
			t.Errorf("GET %s: to %s", path, res.Header.Get("Location"))
		}
	}
	const tag = `<base href="/team/chat/">`
	if body := text(t, do(s, "GET", "/team/chat/c/x", "")); strings.Count(body, "<base") != 1 || !strings.Contains(body, tag) {
		t.Errorf("index.html: %s", body)
	}
	zr, err := gzip.NewReader(do(s, "GET", "/team/chat/", "", "Accept-Encoding", "gzip").Body)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(zr); err != nil || !bytes.Contains(body, []byte(tag)) {
		t.Errorf("index.html compressed: %s, %v", body, err)
	}
	if body := text(t, do(s, "GET", "/team/chat/api/openapi.json", "")); !strings.Contains(body, `"url":"/team/chat/api/v1"`) {
		t.Error("the OpenAPI document does not know the path")
	}
}

func TestWithoutUI(t *testing.T) {
	t.Parallel()
	s, _ := newTest(t, nil, fstest.MapFS{".gitkeep": {}})
	res := do(s, "GET", "/", "")
	if body := text(t, res); res.StatusCode != http.StatusNotFound || !strings.Contains(body, "make build") {
		t.Errorf("status %d: %s", res.StatusCode, body)
	}
	if res := do(s, "GET", "/api/v1/things/"+someID, ""); res.StatusCode != http.StatusOK {
		t.Errorf("the API: status %d", res.StatusCode)
	}
}

// A build that would not work is refused at start. What the binary holds, if anything, works.
func TestUIIsChecked(t *testing.T) {
	t.Parallel()
	for name, ui := range map[string]fs.FS{
		"no base tag":     fstest.MapFS{"index.html": {Data: []byte("<!doctype html>")}},
		"two base tags":   fstest.MapFS{"index.html": {Data: []byte(baseTag + baseTag)}},
		"only compressed": fstest.MapFS{"index.html": {Data: []byte(baseTag)}, "a.js.br": {Data: []byte("x")}},
	} {
		if _, err := newServer(Config{Logger: slog.Default()}, ui); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := New(Config{Logger: slog.Default()}); err != nil {
		t.Error(err)
	}
}
