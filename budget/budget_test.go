package budget

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/problem"
)

// refused gives the problem that err is, which has to be that the key did too much.
func refused(t *testing.T, err error) *problem.Error {
	t.Helper()
	p, ok := errors.AsType[*problem.Error](err)
	if !ok || p.Code != problem.RateLimited || p.RetryAfter <= 0 {
		t.Fatalf("the refusal is %v", err)
	}
	return p
}

func TestRate(t *testing.T) {
	t.Parallel()
	t.Run("gives the burst, then the rate, and says when there is more", func(t *testing.T) {
		t.Parallel()
		now := time.Now()
		r := NewRate[string](2, time.Second, 10, "Too fast.")
		r.now = func() time.Time { return now }
		for range 10 {
			if err := r.Take("ann", 1); err != nil {
				t.Fatal(err)
			}
		}
		if p := refused(t, r.Take("ann", 1)); p.RetryAfter != 500*time.Millisecond || p.Detail != "Too fast." {
			t.Errorf("refused: %v, retry after %v", p, p.RetryAfter)
		}
		if p := refused(t, r.Take("ann", 4)); p.RetryAfter != 2*time.Second {
			t.Errorf("retry after %v", p.RetryAfter)
		}
		now = now.Add(2 * time.Second)
		if err := r.Take("ann", 4); err != nil {
			t.Error(err)
		}
		refused(t, r.Take("ann", 1))
	})
	t.Run("counts each key alone", func(t *testing.T) {
		t.Parallel()
		r := NewRate[string](1, time.Hour, 1, "")
		if err := r.Take("ann", 1); err != nil {
			t.Fatal(err)
		}
		refused(t, r.Take("ann", 1))
		if err := r.Take("ben", 1); err != nil {
			t.Error(err)
		}
	})
	t.Run("never gives more than the burst at once", func(t *testing.T) {
		t.Parallel()
		refused(t, NewRate[string](1, time.Second, 5, "").Take("ann", 6))
	})
	t.Run("refuses nothing where there is none", func(t *testing.T) {
		t.Parallel()
		var r *Rate[string]
		if err := r.Take("ann", 1_000_000); err != nil {
			t.Error(err)
		}
	})
	t.Run("forgets idle keys and keeps those that count", func(t *testing.T) {
		t.Parallel()
		now := time.Now()
		r := NewRate[int](1, time.Second, 10, "")
		r.now = func() time.Time { return now }
		for range 10 {
			if err := r.Take(-1, 1); err != nil {
				t.Fatal(err)
			}
		}
		most := 0
		for key := range 1_000_000 {
			if key%1000 == 0 {
				now = now.Add(time.Second)
				if err := r.Take(-1, 1); err != nil { // what it gets in a second
					t.Fatal(err)
				}
			}
			if err := r.Take(key, 1); err != nil {
				t.Fatal(err)
			}
			most = max(most, len(r.buckets))
			if key%1000 == 0 {
				refused(t, r.Take(-1, 1))
			}
		}
		if most > 4*minSweep {
			t.Errorf("%d keys were kept at once", most)
		}
	})
}

func TestTurns(t *testing.T) {
	t.Parallel()
	t.Run("lets so many in, so many wait, and refuses the others", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			turns := NewTurns[string](2, 3, "Too many.")
			var inProgress, most, had int // guarded by mu
			var mu sync.Mutex
			end := make(chan struct{})
			for range 5 {
				go func() {
					leave, err := turns.Enter(t.Context(), "ann")
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					inProgress++
					most, had = max(most, inProgress), had+1
					mu.Unlock()
					<-end
					mu.Lock()
					inProgress--
					mu.Unlock()
					leave()
				}()
			}
			synctest.Wait()
			if most != 2 || had != 2 {
				t.Errorf("%d are in progress", most)
			}
			for range 100 {
				_, err := turns.Enter(t.Context(), "ann")
				refused(t, err)
			}
			leave, err := turns.Enter(t.Context(), "ben") // another key has its own
			if err != nil {
				t.Fatal(err)
			}
			leave()
			close(end)
			synctest.Wait()
			if had != 5 || most != 2 || len(turns.keys) != 0 {
				t.Errorf("%d had their turn, %d at a time; %d keys are kept", had, most, len(turns.keys))
			}
		})
	})
	t.Run("refuses who waits for too long, and forgets who gave up", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			turns := NewTurns[string](1, 2, "")
			leave, err := turns.Enter(t.Context(), "ann")
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			_, err = turns.Enter(t.Context(), "ann")
			refused(t, err)
			if waited := time.Since(began); waited != turnTimeout {
				t.Errorf("it waited %v", waited)
			}
			gone, cancel := context.WithCancel(t.Context())
			cancel()
			_, err = turns.Enter(gone, "ann")
			refused(t, err)
			leave()
			if len(turns.keys) != 0 {
				t.Errorf("%d keys are kept", len(turns.keys))
			}
		})
	})
	t.Run("refuses nothing where there are none", func(t *testing.T) {
		t.Parallel()
		var turns *Turns[string]
		for range 100 {
			if _, err := turns.Enter(t.Context(), "ann"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// What a limit refuses is reported with its key, and nothing else is.
func TestOnLimit(t *testing.T) {
	t.Parallel()
	t.Run("reports each refusal of a rate", func(t *testing.T) {
		t.Parallel()
		var hits []string
		r := NewRate[string](1, time.Hour, 1, "").OnLimit(func(key string) { hits = append(hits, key) })
		for _, key := range []string{"ann", "ben", "ben", "ben"} {
			_ = r.Take(key, 1) // what is refused is in hits
		}
		if !slices.Equal(hits, []string{"ben", "ben"}) {
			t.Errorf("%v", hits)
		}
	})
	t.Run("reports each refusal of a turn", func(t *testing.T) {
		t.Parallel()
		var hits []string
		turns := NewTurns[string](1, 0, "").OnLimit(func(key string) { hits = append(hits, key) })
		leave, err := turns.Enter(t.Context(), "ann")
		if err != nil {
			t.Fatal(err)
		}
		_, err = turns.Enter(t.Context(), "ann")
		refused(t, err)
		leave()
		if leave, err = turns.Enter(t.Context(), "ann"); err != nil {
			t.Fatal(err)
		}
		leave()
		if !slices.Equal(hits, []string{"ann"}) {
			t.Errorf("%v", hits)
		}
	})
}

// Beyond its pace a key's turns end later, and its requests wait; other keys do not.
func TestPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns[string](1, 10, "").WithPace(100*time.Millisecond, 500*time.Millisecond)
		turn := func(key string, takes time.Duration) (waited time.Duration) {
			t.Helper()
			began := time.Now()
			leave, err := turns.Enter(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			waited = time.Since(began)
			time.Sleep(takes)
			leave()
			return waited
		}
		turn("ann", 500*time.Millisecond)
		if waited := turn("ann", 100*time.Millisecond); waited > 0 {
			t.Errorf("within the burst it waited %v", waited)
		}
		// It took 100 ms more than the burst, of which 10 had come back meanwhile: 900 ms pay for 90.
		if waited := turn("ann", 0); waited != 900*time.Millisecond {
			t.Errorf("beyond it waited %v", waited)
		}
		if waited := turn("ben", 0); waited > 0 {
			t.Errorf("another key waited %v", waited)
		}
		turn("cleo", time.Hour) // counts as the burst
		turn("cleo", time.Second)
		if waited := turn("cleo", 0); waited > 5100*time.Millisecond {
			t.Errorf("after a long one it waited %v", waited)
		}
	})
}
