package web

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"parley/failures"
)

// An operator finds in the JSON log why a request failed and where.
func TestInternalErrorsAreLogged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ path, cause, stack string }{
		"an_error_with_its_cause_and_stack": {"/api/v1/fail/unknown", "secret thing", "parley/web."},
		"a_panic_with_where_it_began":       {"/api/v1/fail/panic", "secret handler", "registerTestOperations"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &logs{}
			s, _ := newTest(t, func(cfg *Config) {
				cfg.Logger = slog.New(slog.NewJSONHandler(l, nil))
				cfg.Failures = failures.New(slog.New(slog.DiscardHandler))
			}, builtUI)
			if res := do(s, "POST", c.path, ""); strings.Contains(text(t, res), "secret") {
				t.Error("the client gets the cause")
			}
			found := false
			for line := range strings.Lines(l.String()) {
				var got struct{ Msg, Err, Stack string }
				if json.Unmarshal([]byte(line), &got) == nil && got.Msg == "request failed" {
					found = true
					if !strings.Contains(got.Err, c.cause) || !strings.Contains(got.Stack, c.stack) {
						t.Errorf("logged %s", line)
					}
				}
			}
			if !found {
				t.Errorf("nothing is logged: %s", l.String())
			}
		})
	}
}
