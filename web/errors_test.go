package web

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"parley/problem"
)

var update = flag.Bool("update", false, "write the golden files anew")

const someID = "0198c9a2-7a44-7d3f-8a43-0d6d8c1f5b11"

// The shapes of problems, as docs and clients rely on them.
func TestProblems(t *testing.T) {
	t.Parallel()
	s, l := newTest(t, nil, builtUI)
	for _, c := range []struct {
		name, method, path, body string
		header                   []string
		status                   int
	}{
		{name: "validation", method: "POST", path: "/api/v1/echo", body: `{"name":"x","age":-5,"surprise":1}`, status: 400},
		{name: "wrong_type", method: "POST", path: "/api/v1/echo", body: `{"name":7}`, status: 400},
		{name: "wrong_case", method: "POST", path: "/api/v1/echo", body: `{"Name":"alice"}`, status: 400},
		{name: "bad_uuid", method: "POST", path: "/api/v1/echo", body: `{"name":"alice","buddy":"secret-value"}`, status: 400},
		{name: "parameters", method: "GET", path: "/api/v1/things/secret-value?limit=0", status: 400},
		{name: "malformed", method: "POST", path: "/api/v1/echo", body: `{"name": secret-value}`, status: 400},
		{name: "no_body", method: "POST", path: "/api/v1/echo", status: 400},
		{name: "media_type", method: "POST", path: "/api/v1/echo", body: `name=secret-value`, header: []string{"Content-Type", "text/plain"}, status: 400},
		{name: "too_large", method: "POST", path: "/api/v1/echo", body: `{"name":"` + strings.Repeat("x", MaxBody) + `"}`, status: 413},
		{name: "not_found", method: "GET", path: "/api/v1/nothing", status: 404},
		{name: "not_found_api", method: "GET", path: "/api/nothing", status: 404},
		{name: "method", method: "DELETE", path: "/api/v1/echo", status: 405},
		{name: "other_site", method: "POST", path: "/api/v1/echo", body: `{"name":"alice"}`, header: []string{"Origin", "https://evil.example"}, status: 403},
		{name: "conflict", method: "POST", path: "/api/v1/fail/sentinel", status: 409},
		{name: "unavailable", method: "POST", path: "/api/v1/fail/database", status: 503},
		{name: "internal", method: "POST", path: "/api/v1/fail/unknown", status: 500},
		{name: "panic", method: "POST", path: "/api/v1/fail/panic", status: 500},
		{name: "bad_path", method: "GET", path: "/api/v1/things/%00", status: 400},
		{name: "bad_query", method: "GET", path: "/api/v1/things/" + someID + "?limit=%ff", status: 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := do(s, c.method, c.path, c.body, c.header...)
			body := text(t, res)
			if res.StatusCode != c.status {
				t.Errorf("status %d, want %d", res.StatusCode, c.status)
			}
			if ct := res.Header.Get("Content-Type"); ct != "application/problem+json" {
				t.Errorf("Content-Type %q", ct)
			}
			if cc := res.Header.Get("Cache-Control"); cc != "no-store" {
				t.Errorf("Cache-Control %q", cc)
			}
			if strings.Contains(body, "secret") {
				t.Errorf("tells what it must not: %s", body)
			}
			var doc problem.Document
			if err := json.Unmarshal([]byte(body), &doc); err != nil {
				t.Fatal(err)
			}
			if doc.Status != c.status || doc.Type == "" || doc.Title == "" || doc.Detail == "" || doc.Code == "" {
				t.Errorf("not whole: %s", body)
			}
			golden(t, filepath.Join("testdata", "problems", c.name+".json"), body)
		})
	}

	// What the caller does not see is in the log, once, under the request's id.
	for secret, level := range map[string]string{"secret thing": "ERROR", "secret handler": "ERROR", "secret-dsn": "WARN"} {
		lines := regexp.MustCompile(`(?m)^.*`+secret+`.*$`).FindAllString(l.String(), -1)
		if len(lines) != 1 || !strings.Contains(lines[0], "level="+level) || !strings.Contains(lines[0], "request_id=") {
			t.Errorf("%s in the log: %q", secret, lines)
		}
	}
}

func TestProblemHeaders(t *testing.T) {
	t.Parallel()
	s, _ := newTest(t, nil, builtUI)
	if got := do(s, "POST", "/api/v1/fail/database", "").Header.Values("Retry-After"); len(got) != 1 || got[0] != "2" {
		t.Errorf("Retry-After %q", got)
	}
	if got := do(s, "PUT", "/api/v1/echo", "").Header.Values("Allow"); len(got) != 1 || got[0] != http.MethodPost {
		t.Errorf("Allow %q", got)
	}
	res := do(s, "POST", "/api/v1/fail/unknown", "")
	if id := res.Header.Get("X-Request-Id"); id == "" || !strings.Contains(text(t, res), id) {
		t.Errorf("an internal error does not name the request %q", id)
	}
}

var requestID = regexp.MustCompile(`under request [A-Z2-7]{16}`)

// golden compares a JSON text with a file, both indented.
func golden(t *testing.T, file, got string) {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(strings.TrimSpace(got)), "", "  "); err != nil {
		t.Fatal(err)
	}
	b.WriteByte('\n')
	out := requestID.ReplaceAll(b.Bytes(), []byte("under request ID"))
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, out, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out, want) {
		t.Errorf("%s:\n%s\nwant\n%s", file, out, want)
	}
}
