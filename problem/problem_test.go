package problem_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"parley/problem"
)

func TestLogs(t *testing.T) {
	t.Parallel()
	internal := problem.From(fmt.Errorf("read a page: %w", errors.New("disk on fire")))
	const want = "internal: internal error: read a page: disk on fire"
	for name, err := range map[string]error{"an internal error": internal, "a wrapped one": fmt.Errorf("%w", internal)} {
		t.Run(name+" keeps its cause in JSON", func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			slog.New(slog.NewJSONHandler(&out, nil)).Error("request failed", "err", err)
			var line struct{ Err string }
			if json.Unmarshal(out.Bytes(), &line) != nil || line.Err != want {
				t.Errorf("logged %s", out.String())
			}
		})
	}
	t.Run("callers never see the cause", func(t *testing.T) {
		t.Parallel()
		b, err := json.Marshal(internal)
		if err != nil || bytes.Contains(b, []byte("fire")) {
			t.Errorf("%s, %v", b, err)
		}
	})
}
