package faults

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/parleytest"
)

// stalledReaders lets half of a thousand connections read nothing while a group talks.
func stalledReaders(ctx context.Context, t *testing.T, tr *trial) {
	c := newCluster(ctx, t, newDatabase(ctx, t, ""), shipped(t), 1)
	server := c.replicas[0].Server
	const people, each, body = 50, 20, 12 << 10
	// Fewer than a connection may fall behind, and with those more four times as much.
	const messages, more = 80, 280
	sessions, err := server.SignUp(ctx, "reader", people)
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]uuid.UUID, 0, people)
	for _, s := range sessions[1:] {
		ids = append(ids, s.User.ID)
	}
	group, err := server.Client(sessions[0].Token).CreateGroup(ctx, "readers", ids)
	if err != nil {
		t.Fatal(err)
	}
	r := &readers{t: t, server: server, group: group.ID, sessions: sessions, body: body}
	defer r.close()
	healthy := r.connect(ctx, sessions[:people/2], each, measured)
	beforehand := len(r.wires)
	r.connect(ctx, sessions[people/2:], each, reading)
	before := r.talk(ctx, messages)
	for _, w := range r.wires[beforehand:] {
		_ = w.Close()
	}
	memory, _, err := parleytest.Memory(server.PID())
	if err != nil {
		t.Fatal(err)
	}
	logged := len(server.Log())
	tooSlow := func() int { return strings.Count(server.Log()[logged:], `"code":4000`) }
	stalled := r.connect(ctx, sessions[people/2:], each, silent)
	beside := r.talk(ctx, messages)
	if n := tooSlow(); n > 0 {
		t.Errorf("%d connections were closed while others were measured beside them", n)
	}
	r.talk(ctx, more)
	closed, enough := context.WithTimeout(ctx, 15*time.Second)
	defer enough()
	if !until(closed, func() bool { return tooSlow() >= stalled }) {
		t.Errorf("%d of %d readers that stalled were closed as too slow", tooSlow(), stalled)
	}
	_, peak, err := parleytest.Memory(server.PID())
	if err != nil {
		t.Fatal(err)
	}
	tr.n, tr.unit = stalled, "stalled readers"
	grown := max(0, peak-memory) / int64(stalled)
	b99, w99 := Percentile(before, 99), Percentile(beside, 99)
	tr.note("%d healthy readers got %d KB messages in %s / %s (p50 / p99) beside as many others that read, and in %s / %s beside stalled ones; of those %d were closed as too slow, and the server grew by %d KB for each of them while each was offered %d KB",
		healthy, body>>10, ms(Percentile(before, 50)), ms(b99), ms(Percentile(beside, 50)), ms(w99), tooSlow(), grown>>10, (messages+more)*body>>10)
	if *long && w99 > max(b99*12/10, b99+10*time.Millisecond) {
		t.Errorf("healthy readers waited %v at the 99th percentile beside stalled ones, %v before", w99, b99)
	}
	if grown > 1<<20 { // what may wait for it
		t.Errorf("a stalled reader costs %d bytes", grown)
	}
	// They come back and have everything.
	log, last, err := server.Client(sessions[0].Token).Entries(ctx, group.ID, 0, 1)
	if err != nil || len(log) == 0 {
		t.Fatal(err)
	}
	front := &Replicas{}
	front.add(server)
	for _, s := range sessions[people/2:] {
		client := NewClient(ClientConfig{Replicas: front, Session: s, Clock: func() time.Duration { return 0 }})
		ctx, leave := context.WithTimeout(ctx, 30*time.Second)
		done := make(chan struct{})
		go func() { defer close(done); client.Run(ctx) }()
		if !until(ctx, func() bool { return client.Held(group.ID) >= last }) {
			t.Errorf("somebody whose connection stalled has %d of %d entries", client.Held(group.ID), last)
		}
		leave()
		<-done
	}
	if code, err := http.Get(server.URL() + "/readyz"); err != nil || code.StatusCode != http.StatusOK {
		t.Errorf("afterwards the server is not ready: %v", err)
	} else {
		_ = code.Body.Close()
	}
}

// readers are connections of a group's members.
type readers struct {
	t        *testing.T
	server   *parleytest.Server
	group    uuid.UUID
	sessions []parleytest.Session
	body     int // bytes of a message

	wires   []*parleytest.Wire
	running sync.WaitGroup
	mu      sync.Mutex // guards what follows
	began   map[string]time.Time
	took    []time.Duration
	counted int // connections that are measured
}

// manner is what a connection does.
type manner int

const (
	silent   manner = iota // never reads
	reading                // reads
	measured               // and what comes is measured
)

// connect opens connections and gives their number.
func (r *readers) connect(ctx context.Context, people []parleytest.Session, each int, how manner) int {
	r.t.Helper()
	dialer := &net.Dialer{}
	if how == silent {
		// The kernel takes as little as it can for those.
		dialer.Control = smallBuffer
	}
	for _, p := range people {
		for range each {
			wire, err := parleytest.DialWire(ctx, dialer, r.server.Addr(), p.Token)
			if err != nil {
				r.t.Fatal(err)
			}
			r.wires = append(r.wires, wire)
			if err := wire.AwaitHello(); err != nil {
				r.t.Fatal(err)
			}
			if how == measured {
				r.counted++
			}
			if how != silent {
				r.running.Go(func() { r.read(wire, how == measured) })
			}
		}
	}
	return len(people) * each
}

// read notes when messages come, which begin with an id.
func (r *readers) read(wire *parleytest.Wire, measured bool) {
	for {
		frame, err := wire.Read()
		if err != nil {
			return // closed in the end
		}
		now := time.Now()
		i := bytes.Index(frame, []byte(`"body":"`))
		if !measured || i < 0 || len(frame) < i+44 {
			continue
		}
		r.mu.Lock()
		if began, ok := r.began[string(frame[i+8:i+44])]; ok {
			r.took = append(r.took, now.Sub(began))
		}
		r.mu.Unlock()
	}
}

// talk sends messages one after the other, and gives how long each took to everybody who reads.
func (r *readers) talk(ctx context.Context, messages int) []time.Duration {
	r.t.Helper()
	r.mu.Lock()
	r.began, r.took = map[string]time.Time{}, nil
	r.mu.Unlock()
	api := r.server.Client(r.sessions[0].Token)
	for i := range messages {
		id := uuid.Must(uuid.NewV7())
		r.mu.Lock()
		r.began[id.String()] = time.Now()
		r.mu.Unlock()
		if _, err := api.Send(ctx, r.group, id, id.String()+strings.Repeat(" lorem", r.body/6)); err != nil {
			r.t.Fatal(err)
		}
		wait, cancel := context.WithTimeout(ctx, 20*time.Second)
		if !until(wait, func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.took) >= (i+1)*r.counted }) {
			r.t.Fatalf("a message reached %d of %d readers", len(r.took)-i*r.counted, r.counted)
		}
		cancel()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.took
}

func (r *readers) close() {
	for _, w := range r.wires {
		_ = w.Close()
	}
	r.running.Wait()
}

// smallBuffer makes a socket take little that nobody reads.
func smallBuffer(_, _ string, c syscall.RawConn) error {
	var err error
	if e := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10) }); e != nil {
		return e
	}
	return err
}
