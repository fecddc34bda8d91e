package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// logEntry is an entry of about so many bytes, and its place.
func logEntry(log uuid.UUID, seq int64, size int) ([]byte, *Position) {
	return event("entry", map[string]any{"conversation_id": log, "seq": seq, "body": strings.Repeat("x", size)}), &Position{log, seq}
}

// logReader holds up the invariant of Position, for what one client reads.
type logReader struct {
	held    map[uuid.UUID]int64
	markers map[uuid.UUID]int
}

func newLogReader() *logReader {
	return &logReader{map[uuid.UUID]int64{}, map[uuid.UUID]int{}}
}

func (r *logReader) take(frame string) error {
	var f struct {
		Type string
		Data struct {
			Log     uuid.UUID `json:"conversation_id"`
			Seq     int64     `json:"seq"`
			LastSeq int64     `json:"last_seq"`
		}
	}
	if strings.HasPrefix(frame, `{"type":"n"`) || strings.HasPrefix(frame, `{"type":"hello"`) {
		return nil
	}
	if err := json.Unmarshal([]byte(frame), &f); err != nil {
		return err
	}
	switch held := r.held[f.Data.Log]; {
	case f.Type == "entry" && f.Data.Seq != held+1:
		return fmt.Errorf("entry %d follows %d", f.Data.Seq, held)
	case f.Type == "entry":
		r.held[f.Data.Log] = f.Data.Seq
	case f.Type == "behind" && f.Data.LastSeq <= held:
		return fmt.Errorf("a marker says %d to a client that holds %d", f.Data.LastSeq, held)
	case f.Type == "behind":
		r.held[f.Data.Log] = f.Data.LastSeq
		r.markers[f.Data.Log]++
	}
	return nil
}

// A client that reads slowly gets a marker in place of what it could not be sent, and goes on
// with the entry after that; it is not closed, and what else it was sent is there.
func TestBehind(t *testing.T) {
	t.Parallel()
	_, srv, conns := opened(t)
	slow, _ := narrow(t, srv)
	c := <-conns
	busy, quiet := uuid.New(), uuid.New()
	c.SendEntry(logEntry(quiet, 1, 10))
	const entries = 300 // of 16 KB: five times what an outbox holds
	for seq := range int64(entries) {
		c.SendEntry(logEntry(busy, seq+1, 16<<10))
		if seq%100 == 0 {
			c.Send(event("n", seq))
		}
	}
	c.SendEntry(logEntry(quiet, 2, 10))
	if c.Closed() {
		t.Fatal("it was closed")
	}
	r := newLogReader()
	others := 0
	readUntil := func(done func() bool) {
		t.Helper()
		for !done() {
			frame, err := slow.read()
			if err != nil {
				t.Fatal(err)
			}
			if err := r.take(frame); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(frame, `{"type":"n"`) {
				others++
			}
		}
	}
	readUntil(func() bool { return r.held[busy] == entries && r.held[quiet] == 2 })
	if r.markers[busy] == 0 || r.markers[quiet] > 0 {
		t.Errorf("%v markers: the busy conversation alone should have some", r.markers)
	}
	if others != 3 {
		t.Errorf("%d other frames arrived", others)
	}
	c.SendEntry(logEntry(busy, entries+1, 10))
	readUntil(func() bool { return r.held[busy] == entries+1 })
}

// Whatever is sent in whatever order, and however much a client reads in between: of each log
// it gets the next entry, or a marker and then the entry after it.
func TestBehindKeepsTheOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := &Conn{hub: New(Config{}), flushing: true} // the test is its writer
		logs := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
		sent := map[uuid.UUID]int64{}
		r := newLogReader()
		ch := &chunk{buf: make([]byte, 0, chunkSize)}
		read := func() bool {
			c.mu.Lock()
			c.settle()
			waiting := slices.Clone(c.outbox)
			c.mu.Unlock()
			more := c.gather(ch)
			c.mu.Lock()
			defer c.mu.Unlock()
			c.flushing = true
			for size := 0; size < c.underWay; waiting = waiting[1:] {
				size += len(waiting[0].frame)
				if err := r.take(string(waiting[0].frame)); err != nil {
					t.Fatal(err)
				}
			}
			if c.queued > maxOutbox {
				t.Fatalf("%d bytes wait", c.queued)
			}
			return more
		}
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"entry", "entry", "entry", "other", "read"}).Draw(t, "step") {
			case "entry":
				log := rapid.SampledFrom(logs).Draw(t, "log")
				sent[log]++
				c.SendEntry(logEntry(log, sent[log], rapid.SampledFrom([]int{1, 1000, 16 << 10, 90 << 10}).Draw(t, "size")))
			case "other":
				c.Send(event("n", strings.Repeat("x", 100)))
			case "read":
				read()
			}
		}
		for read() {
		}
		for log, last := range sent {
			if r.held[log] != last {
				t.Fatalf("a log that ends at %d was read to %d", last, r.held[log])
			}
		}
		if c.queued != 0 || len(c.missed) != 0 {
			t.Fatalf("%d bytes and %d markers are left", c.queued, len(c.missed))
		}
	})
}

// Before hello too: a connection that is being opened while much is published is not closed.
func TestBehindWhileOpening(t *testing.T) {
	t.Parallel()
	h, srv := setup(t)
	log := uuid.New()
	h.OnOpen(func(_ context.Context, c *Conn) error {
		for seq := range int64(200) {
			c.SendEntry(logEntry(log, seq+1, 16<<10))
		}
		return nil
	})
	c := connect(t, srv)
	r := newLogReader()
	for r.held[log] < 200 {
		frame, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		if err := r.take(frame); err != nil {
			t.Fatal(err)
		}
	}
	if r.markers[log] != 1 {
		t.Errorf("%d markers", r.markers[log])
	}
}

// Markers count as well: a client that falls behind in more conversations than an outbox has
// room for is closed.
func TestTooManyMarkers(t *testing.T) {
	t.Parallel()
	_, srv, conns := opened(t)
	stuck, _ := narrow(t, srv)
	c := <-conns
	for i := 0; !c.Closed(); i++ {
		if i > 1_000_000 {
			t.Fatal("there is no bound")
		}
		c.SendEntry(logEntry(uuid.New(), 1, 200))
	}
	c.mu.Lock()
	if c.queued > maxOutbox {
		t.Errorf("%d bytes wait", c.queued)
	}
	c.mu.Unlock()
	stuck.wantClosed(CloseSlowConsumer)
}

// Who reads nothing for ten seconds is closed; who reads a little is slow, and stays.
func TestWatchTellsSlowFromStuck(t *testing.T) {
	t.Parallel()
	h, srv, conns := opened(t)
	slow, _ := narrow(t, srv)
	c := <-conns
	log := uuid.New()
	seq := int64(0)
	fill := func() {
		eventually(t, func() bool {
			if c.writing.Load() == 0 {
				seq++
				c.SendEntry(logEntry(log, seq, 16<<10))
				return false
			}
			return true
		})
		c.beat() // only what it reads counts here
	}
	for range 200 {
		seq++
		c.SendEntry(logEntry(log, seq, 16<<10))
	}
	now := time.Now()
	watch := func(passed time.Duration) {
		now = now.Add(passed)
		h.tick(now)
		c.beat()
		h.watch(now)
	}
	for range 5 {
		fill()
		watch(0)
		before, _ := c.wire.unsent()
		eventually(t, func() bool { // it reads a little, slower than the kernel asks for more
			if _, err := slow.read(); err != nil {
				t.Fatal(err)
			}
			left, ok := c.wire.unsent()
			return !ok || left < before
		})
		watch(11 * time.Second)
		if c.Closed() {
			t.Fatal("a client that reads was closed")
		}
	}
	fill()
	watch(0)
	watch(0)
	eventually(t, func() bool { // the network has carried what it could
		watch(11 * time.Second)
		return c.Closed()
	})
	slow.wantClosed(CloseSlowConsumer)
}
