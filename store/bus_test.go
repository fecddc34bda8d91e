package store_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"parley/store"
	"parley/store/storetest"
)

// station is a bus that runs, with a topic of numbers and one of words, and what it heard.
type station struct {
	*store.Bus
	highest *store.Topic[string, int]
	words   *store.Topic[string, struct{}]
	stop    func()
	db      *store.DB

	mu     sync.Mutex // guards what follows
	heard  map[string]int
	spoken []string
	missed int
	log    bytes.Buffer
	change chan struct{} // closed, and another made, whenever something is heard
}

func (s *station) note(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.change)
	s.change = make(chan struct{})
}

// Write takes what is logged.
func (s *station) Write(p []byte) (int, error) {
	s.note(func() { s.log.Write(p) })
	return len(p), nil
}

// newStation starts a bus with connections of its own.
func newStation(t *testing.T, url string, topics ...func(*station)) *station {
	t.Helper()
	s := &station{heard: make(map[string]int), change: make(chan struct{})}
	db, err := store.Open(t.Context(), store.Config{URL: url, MaxConns: 2, Logger: slog.New(slog.NewTextHandler(s, nil))})
	if err != nil {
		t.Fatal(err)
	}
	s.db = db
	s.Bus = store.NewBus(db)
	for _, f := range topics {
		f(s)
	}
	s.highest = store.NewTopic(s.Bus, "highest", func(a, b int) int { return max(a, b) }, func(k string, n int) {
		s.note(func() { s.heard[k] = max(s.heard[k], n) })
	})
	s.words = store.NewTopic(s.Bus, "word", store.Same, func(k string, _ struct{}) {
		s.note(func() { s.spoken = append(s.spoken, k) })
	}).Fleeting()
	s.OnMissed(func(time.Time) { s.note(func() { s.missed++ }) })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		db.Close()
	})
	t.Cleanup(s.stop)
	s.await(t, "its own voice", func() bool { return s.Hearing() })
	return s
}

// times is how often it said that it may have missed something.
func (s *station) times() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.missed
}

// await waits until something that is heard or logged makes it so.
func (s *station) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		s.mu.Lock()
		ok, change := holds(), s.change
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-change:
		case <-time.After(20 * time.Millisecond): // Hearing changes without a word
		case <-late:
			s.mu.Lock()
			defer s.mu.Unlock()
			t.Fatalf("%s did not come; the log:\n%s", what, s.log.String())
		}
	}
}

// What one replica tells, the others hear, and it does not hear itself. Much of it takes more
// than one payload; what is told of one thing meanwhile is merged.
func TestBus(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	a, b := newStation(t, url), newStation(t, url)
	const n = 2000
	for i := range n {
		for _, v := range []int{i, i + 7, i + 3} {
			a.highest.Tell(fmt.Sprintf("a key of some length, so that they fill payloads: %d", i), v)
		}
	}
	b.await(t, "everything", func() bool { return len(b.heard) == n })
	for i := range n {
		k := fmt.Sprintf("a key of some length, so that they fill payloads: %d", i)
		b.await(t, "the highest", func() bool { return b.heard[k] == i+7 })
	}
	b.words.Tell("line\nbreak", struct{}{})
	a.await(t, "a word", func() bool { return len(a.spoken) == 1 && a.spoken[0] == "line\nbreak" })
	a.stop()
	b.stop()
	if len(a.heard) != 0 || len(b.spoken) != 0 {
		t.Errorf("they heard themselves: %v, %v", a.heard, b.spoken)
	}
}

// Nobody knows beforehand that a replica comes, and soon all know that it is gone.
func TestReplicasCome(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	a := newStation(t, url)
	b := newStation(t, url)
	a.await(t, "the other", func() bool { return strings.Contains(a.log.String(), "another replica is there") })
	before := a.times()
	b.stop()
	a.await(t, "its end", func() bool { return strings.Contains(a.log.String(), "another replica is gone") && a.missed > before })
	if a.Alone() {
		t.Error("a replica that just left counts for nothing")
	}
}

// A replica whose connections are cut loses nothing that it has to tell. When it hears again
// it says that it may have missed something.
func TestBusReconnects(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	url := db.Pool().Config().ConnString()
	cut := func(pids []int) {
		t.Helper()
		tag, err := db.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid`, pids)
		if err != nil || tag.RowsAffected() < 2 {
			t.Fatalf("terminated %v, %v", tag, err)
		}
	}
	others := func(than []int) []int {
		t.Helper()
		rows, err := db.Query(t.Context(), `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid <> ALL ($1)`, than)
		if err != nil {
			t.Fatal(err)
		}
		pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
		if err != nil {
			t.Fatal(err)
		}
		return pids
	}
	own := others([]int{}) // of this test's pool, if any
	a := newStation(t, url)
	ofA := others(own)
	b := newStation(t, url)
	ofB := others(append(own, ofA...))
	cut(ofA)
	for i := range 100 {
		a.highest.Tell("k", i)
	}
	b.await(t, "what was told without connections", func() bool { return b.heard["k"] == 99 })
	missed := b.times()
	cut(ofB)
	b.await(t, "that it may have missed something", func() bool { return b.missed > missed && b.Hearing() })
	a.highest.Tell("k", 100)
	b.await(t, "what comes after", func() bool { return b.heard["k"] == 100 })
}

// A listening connection that brings nothing is noticed, said and replaced.
func TestDeafBus(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	a := newStation(t, db.Pool().Config().ConnString())
	missed := a.times()
	var pid int
	if err := db.QueryRow(t.Context(), `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN parley'`).Scan(&pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Skip("the server's processes cannot be stopped:", err)
	}
	defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
	a.await(t, "a word of it", func() bool { return strings.Contains(a.log.String(), "not even this replica itself") })
	a.await(t, "hearing again", func() bool {
		return a.Hearing() && a.missed > missed && strings.Contains(a.log.String(), "heard again")
	})
}
