package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		s, _ := newTest(t, func(c *Config) {
			c.BaseURL = mustURL(t, "http://chat.example/team")
			c.Ready = func(context.Context) error {
				if down.Load() {
					return errors.New("no database at secret-dsn")
				}
				return nil
			}
		}, builtUI)
		check := func(path string, status int, word string) {
			t.Helper()
			res := do(s, "GET", path, "")
			if body := text(t, res); res.StatusCode != status || body != `{"status":"`+word+"\"}\n" || res.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: status %d: %s", path, res.StatusCode, body)
			}
			if res := do(s, "HEAD", path, ""); res.StatusCode != status {
				t.Errorf("HEAD %s: status %d", path, res.StatusCode)
			}
		}
		for _, prefix := range []string{"", "/team"} {
			check(prefix+"/healthz", 200, "ok")
			check(prefix+"/readyz", 200, "ok")
		}
		down.Store(true)
		time.Sleep(readyFor) // the test's own clock
		check("/readyz", 503, "unavailable")
		check("/healthz", 200, "ok")
		down.Store(false)
		time.Sleep(readyFor)
		check("/readyz", 200, "ok")
		s.SetDraining()
		for _, prefix := range []string{"", "/team"} {
			check(prefix+"/readyz", 503, "draining")
			check(prefix+"/healthz", 200, "ok")
		}
	})
}

// However many ask, one check runs at a time, and it ends.
func TestReadyIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var running, most, asked atomic.Int32
		s, _ := newTest(t, func(c *Config) {
			c.Ready = func(ctx context.Context) error {
				asked.Add(1)
				if n := running.Add(1); n > most.Load() {
					most.Store(n)
				}
				defer running.Add(-1)
				<-ctx.Done() // a database that says nothing
				return ctx.Err()
			}
		}, builtUI)
		start := time.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if res := do(s, "GET", "/readyz", ""); res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text(t, res), "unavailable") {
					t.Errorf("status %d", res.StatusCode)
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took != readyTimeout {
			t.Errorf("took %v", took)
		}
		if most.Load() != 1 || asked.Load() != 1 {
			t.Errorf("%d checks, %d at once", asked.Load(), most.Load())
		}
	})
}
