package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestOpenAPI lints the document of a running server, and holds up what no linter knows.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	s := startTest(t, nil)
	res, err := http.Get(s.url + "/api/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	doc, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("has no error or warning of a linter", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "openapi.json")
		if err := os.WriteFile(file, doc, 0o600); err != nil {
			t.Fatal(err)
		}
		// Installed as all the interface's tools are, by make.
		lint := exec.CommandContext(t.Context(), filepath.Join("node_modules", ".bin", "redocly"), "lint", "--max-problems=20", file)
		lint.Env = append(os.Environ(), "REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true")
		out, err := lint.CombinedOutput()
		if err != nil || strings.Contains(string(out), "arning was generated") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	type operation struct {
		OperationID string
		Security    *[]map[string][]string
		RequestBody *struct{}
		Responses   map[string]struct{ Content map[string]struct{} }
	}
	var parsed struct {
		Info  struct{ License struct{ Identifier string } }
		Paths map[string]map[string]operation
	}
	if err := json.Unmarshal(doc, &parsed); err != nil {
		t.Fatal(err)
	}
	t.Run("names the licence", func(t *testing.T) {
		t.Parallel()
		if id := parsed.Info.License.Identifier; id != "Apache-2.0" {
			t.Errorf("the licence is %q", id)
		}
	})
	t.Run("lists the errors of each operation", func(t *testing.T) {
		t.Parallel()
		for path, methods := range parsed.Paths {
			for method, op := range methods {
				want := []string{"default", "429", "503"}
				if op.Security == nil {
					want = append(want, "401")
				}
				if strings.Contains(path, "{") {
					want = append(want, "400", "404")
				}
				if op.RequestBody != nil {
					want = append(want, "400", "413")
				}
				for _, status := range want {
					if _, ok := op.Responses[status].Content["application/problem+json"]; !ok {
						t.Errorf("%s %s does not list %s as a problem", method, path, status)
					}
				}
				if _, ok := op.Responses["422"]; ok {
					t.Errorf("%s %s lists 422, which is not answered", method, path)
				}
			}
		}
	})
}
