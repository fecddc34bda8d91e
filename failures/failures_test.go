package failures

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func setup() (*Log, *bytes.Buffer, *time.Time) {
	var out bytes.Buffer
	now := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	l := New(slog.New(slog.NewTextHandler(&out, nil)))
	l.now = func() time.Time { return now }
	return l, &out, &now
}

func TestFailures(t *testing.T) {
	t.Parallel()
	t.Run("a panic becomes an error, and is logged with its stack", func(t *testing.T) {
		t.Parallel()
		l, out, _ := setup()
		cause := errors.New("a poisoned value")
		if err := l.Do("writer", func() error { panic(cause) }); !errors.Is(err, cause) {
			t.Errorf("got %v", err)
		}
		func() {
			defer l.Recover("reader")
			panic("another one")
		}()
		for _, text := range []string{"part=writer", "a poisoned value", "part=reader", "another one", "failures_test.go"} {
			if !strings.Contains(out.String(), text) {
				t.Errorf("the log lacks %q: %s", text, out)
			}
		}
		if l.Total("writer") != 1 || l.Total("reader") != 1 || l.Total("other") != 0 {
			t.Error("the counts are wrong")
		}
	})
	t.Run("an error is not a failure", func(t *testing.T) {
		t.Parallel()
		l, out, _ := setup()
		if err := l.Do("writer", func() error { return errors.New("the database is away") }); err == nil || l.Total("writer") != 0 || out.Len() > 0 {
			t.Errorf("got %v, %s", err, out)
		}
	})
	t.Run("a loop runs again after each panic, until it returns", func(t *testing.T) {
		t.Parallel()
		l, _, _ := setup()
		runs := 0
		l.Loop(t.Context(), "sweep", func(context.Context) {
			if runs++; runs < 3 {
				panic(fmt.Sprint("run ", runs))
			}
		})
		if runs != 3 || l.Total("sweep") != 2 {
			t.Errorf("%d runs, %d failures", runs, l.Total("sweep"))
		}
	})
	t.Run("a loop that always panics ends with its context", func(t *testing.T) {
		t.Parallel()
		l, _, _ := setup()
		ctx, cancel := context.WithCancel(t.Context())
		l.Loop(ctx, "sweep", func(context.Context) {
			if l.Total("sweep") == 2 {
				cancel()
			}
			panic("always")
		})
		if l.Total("sweep") != 3 {
			t.Errorf("%d failures", l.Total("sweep"))
		}
	})
	t.Run("three failures of a part within a minute degrade the replica, until the minute is over", func(t *testing.T) {
		t.Parallel()
		l, _, now := setup()
		for range 2 {
			l.Report("writer", errors.New("x"))
			l.Report("reader", errors.New("x"))
		}
		if got := l.Degraded(); got != "" {
			t.Errorf("after two: %s", got)
		}
		*now = now.Add(59 * time.Second)
		l.Report("writer", errors.New("x"))
		if got := l.Degraded(); !strings.Contains(got, "writer") || strings.Contains(got, "reader") {
			t.Errorf("after three: %q", got)
		}
		*now = now.Add(2 * time.Second)
		if got := l.Degraded(); got != "" {
			t.Errorf("a minute later: %s", got)
		}
	})
	t.Run("failures without end are counted, and ten a minute logged", func(t *testing.T) {
		t.Parallel()
		l, out, now := setup()
		for range 100 {
			l.Report("writer", errors.New("x"))
		}
		*now = now.Add(2 * time.Minute)
		l.Report("writer", errors.New("x"))
		if n := strings.Count(out.String(), "part=writer"); n != 11 || l.Total("writer") != 101 || !strings.Contains(out.String(), "not_logged_before=90") {
			t.Errorf("%d lines, %d failures", n, l.Total("writer"))
		}
	})
	t.Run("without a log a panic is recovered all the same", func(t *testing.T) {
		t.Parallel()
		var l *Log
		if err := l.Do("writer", func() error { panic("x") }); err == nil || l.Degraded() != "" {
			t.Errorf("got %v", err)
		}
	})
}
