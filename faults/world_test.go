package faults

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/parleytest"
)

// binDir is where this test process builds the server, once.
var binDir string

func TestMain(m *testing.M) {
	flag.Parse()
	// These tests wait more than they work: for processes to start, and for half a minute
	// to pass. One after the other they would take minutes.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err) // there is no such flag any more
	}
	os.Exit(func() int {
		var err error
		if binDir, err = os.MkdirTemp("", "parley-bin-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(binDir) }()
		return m.Run()
	}())
}

var build = sync.OnceValues(func() (string, error) { return parleytest.Build(context.Background(), binDir) })

// start runs the real server until the test ends.
func start(t *testing.T, env ...string) *parleytest.Server {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	s, err := parleytest.Start(t.Context(), parleytest.Config{Binary: binary, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the server's log ends:\n" + s.LogTail())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// world is a server with people talking on it.
type world struct {
	t       *testing.T
	server  *parleytest.Server
	began   time.Time
	pairs   []parleytest.Pair
	clients []*Client
	running sync.WaitGroup
	stop    context.CancelFunc
}

// crowd is so many clients of one kind for a conversation's side.
type crowd struct {
	each     int // clients a side
	inFlight int
	pause    time.Duration
}

// newWorld makes the people; the server must have open sign-up.
func newWorld(t *testing.T, s *parleytest.Server) *world {
	return &world{t: t, server: s, began: time.Now()}
}

// connect makes pairs and lets clients of both sides run.
func (w *world) connect(ctx context.Context, prefix string, pairs int, c crowd) {
	w.t.Helper()
	began := time.Now()
	made, err := w.server.Pairs(ctx, prefix, pairs)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Logf("signed up %d pairs in %v", pairs, time.Since(began).Round(time.Millisecond))
	w.pairs = append(w.pairs, made...)
	for _, p := range made {
		for _, side := range []parleytest.Session{p.A, p.B} {
			for range c.each {
				w.clients = append(w.clients, NewClient(ClientConfig{
					Server: w.server, Session: side, Conversation: p.Conversation,
					InFlight: c.inFlight, Pause: c.pause,
					Clock: func() time.Duration { return time.Since(w.began) },
				}))
			}
		}
	}
}

// run lets all clients go.
func (w *world) run(ctx context.Context) {
	ctx, w.stop = context.WithCancel(ctx)
	for _, c := range w.clients {
		w.running.Go(func() { c.Run(ctx) })
	}
	w.t.Cleanup(func() { w.stop(); w.running.Wait() })
}

// acked is how many sends have been acknowledged.
func (w *world) acked() (n int) {
	for _, c := range w.clients {
		n += c.State().Acked
	}
	return n
}

// await polls until a condition holds.
func (w *world) await(ctx context.Context, what string, holds func() bool) {
	w.t.Helper()
	for !holds() {
		select {
		case <-ctx.Done():
			w.t.Fatalf("%s did not come about: %v", what, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// finish lets everything begun come to its end, and checks the whole history.
func (w *world) finish(ctx context.Context) Report {
	w.t.Helper()
	for _, c := range w.clients {
		c.Cease()
	}
	// A reply that never came must not be made good by the connection being reaped, which
	// takes 75 seconds, and another one asking again.
	answered, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	w.await(answered, "an acknowledgement for every send", func() bool {
		for _, c := range w.clients {
			if s := c.State(); !s.Connected || s.Waiting > 0 {
				return false
			}
		}
		return true
	})
	h := &History{Logs: map[uuid.UUID][]Entry{}}
	last := map[uuid.UUID]int64{}
	for _, p := range w.pairs {
		log, err := w.log(ctx, p)
		if err != nil {
			w.t.Fatal(err)
		}
		h.Logs[p.Conversation], last[p.Conversation] = log, int64(len(log))
		for _, side := range []parleytest.Session{p.A, p.B} {
			h.Members = append(h.Members, Membership{Conversation: p.Conversation, User: side.User.ID, From: 1})
		}
	}
	// What is acknowledged is delivered a moment later. A client that never gets it is
	// for the check to report.
	caughtUp, enough := context.WithTimeout(ctx, 10*time.Second)
	defer enough()
	for caughtUp.Err() == nil {
		behind := 0
		for _, c := range w.clients {
			if c.State().Held < last[c.cfg.Conversation] {
				behind++
			}
		}
		if behind == 0 {
			break
		}
		sleep(caughtUp, 10*time.Millisecond)
	}
	w.stop()
	w.running.Wait()
	for _, c := range w.clients {
		c.AddTo(h, true)
		if err := c.Strange(); err != nil {
			w.t.Errorf("a client of %v: %v", c.cfg.Session.User.Username, err)
		}
	}
	return Check(h)
}

// log reads the whole log, as one side and the other in turn: the same for both.
func (w *world) log(ctx context.Context, p parleytest.Pair) ([]Entry, error) {
	var log []Entry
	sides := []parleytest.Session{p.A, p.B}
	for turn := 0; ; turn++ {
		page, _, err := w.server.Client(sides[turn%2].Token).Entries(ctx, p.Conversation, int64(len(log)), pageSize)
		if err != nil || len(page) == 0 {
			return log, err
		}
		for _, e := range page {
			log = append(log, observed(e))
		}
	}
}
