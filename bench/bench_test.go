package main

import (
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func TestPercentile(t *testing.T) {
	t.Parallel()
	ten := []time.Duration{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for _, c := range []struct {
		sorted []time.Duration
		p      float64
		want   time.Duration
	}{
		{nil, 99, 0}, {ten[:1], 50, 1}, {ten[:1], 99, 1}, {ten, 0, 1}, {ten, 50, 5}, {ten, 51, 6},
		{ten, 90, 9}, {ten, 95, 10}, {ten, 99, 10}, {ten, 100, 10}, {ten[:2], 50, 1},
	} {
		if got := percentile(c.sorted, c.p); got != c.want {
			t.Errorf("p%g of %v is %d, not %d", c.p, c.sorted, got, c.want)
		}
	}
}

// TestPercentileMeansWhatItSays holds for any samples: at least p percent are not above,
// and fewer than p percent are below.
func TestPercentileMeansWhatItSays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		samples := rapid.SliceOfN(rapid.Map(rapid.Int64Range(0, 50), func(n int64) time.Duration { return time.Duration(n) }), 1, 300).Draw(t, "samples")
		p := rapid.Float64Range(0.1, 100).Draw(t, "p")
		slices.Sort(samples)
		got := percentile(samples, p)
		upTo, below := 0, 0
		for _, s := range samples {
			if s <= got {
				upTo++
			}
			if s < got {
				below++
			}
		}
		share := p / 100 * float64(len(samples))
		if float64(upTo) < share-1e-9 || float64(below) >= share {
			t.Fatalf("p%g of %v is %d", p, samples, got)
		}
	})
}

func TestMedianAndVerdict(t *testing.T) {
	t.Parallel()
	run := func(v, u float64, bad int) result {
		r := result{Scenario: "s", Metrics: []metric{{"a", v}, {"b", u}}, Errors: map[string]int{}}
		if bad > 0 {
			r.Errors["lost"] = bad
		}
		return r
	}
	m := median([]result{run(3, 1, 0), run(1, 9, 2), run(2, 5, 1)})
	if m.Metrics[0].Value != 2 || m.Metrics[1].Value != 5 || m.Errors["lost"] != 3 || len(m.Runs) != 3 {
		t.Errorf("the median is %+v", m)
	}
	if even := median([]result{run(1, 0, 0), run(2, 0, 0)}); even.Metrics[0].Value != 1.5 {
		t.Errorf("the median of 1 and 2 is %v", even.Metrics[0].Value)
	}
	if err := verdict([]result{m}); err == nil || !strings.Contains(err.Error(), "3 times: lost") {
		t.Errorf("lost messages end as %v", err)
	}
	if err := verdict([]result{run(1, 1, 0)}); err != nil {
		t.Errorf("a clean run ends as %v", err)
	}
}

func TestOutput(t *testing.T) {
	t.Parallel()
	results := []result{
		{Scenario: "one", Metrics: []metric{{"messages a second", 12345.6}, {"p50, ms", 1.234}}},
		{Scenario: "two", Metrics: []metric{{"messages a second", 99.96}, {"p50, ms", 0}}, Errors: map[string]int{"lost": 2}},
		{Scenario: "three", Metrics: []metric{{"pages", 1}}},
	}
	var table, encoded bytes.Buffer
	if err := writeTables(&table, results, 3); err != nil {
		t.Fatal(err)
	}
	got := table.String()
	for _, part := range []string{"median of 3", "12346", "1.23", "three", "errors"} {
		if !strings.Contains(got, part) {
			t.Errorf("%q is missing in\n%s", part, got)
		}
	}
	if err := writeJSON(&encoded, results); err != nil {
		t.Fatal(err)
	}
	var back []result
	if err := json.Unmarshal(encoded.Bytes(), &back); err != nil || len(back) != 3 || back[1].Errors["lost"] != 2 {
		t.Errorf("%v: %s", err, encoded.String())
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	o, err := parse([]string{"pairs", "pages", "-inflight", "2,8", "-receipts", "-duration", "1s"}, io.Discard)
	if err != nil || len(o.plan()) != 5 || o.duration != time.Second {
		t.Fatalf("%+v, %v", o, err)
	}
	o, err = parse([]string{"group", "-members", "7"}, io.Discard)
	if err != nil || len(o.plan()) != 2 || o.plan()[0].pairs != 4 {
		t.Fatalf("%+v, %v", o, err)
	}
	o, err = parse([]string{"group", "-receipts"}, io.Discard)
	if err != nil || len(o.plan()) != 3 {
		t.Fatalf("%+v, %v", o, err)
	}
	for _, bad := range [][]string{
		{"dance"}, {"group", "-members", "1"}, {"-inflight", "0"}, {"-inflight", "x"}, {"-pairs", "0"}, {"-text", "4"}, {"-repeat", "0"}, {"-json", "pairs"},
	} {
		if _, err := parse(bad, io.Discard); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

// testPeer is a peer without a connection: Append is never called on it.
func testPeer() *peer {
	return &peer{
		conversation: uuid.NewString(), user: uuid.NewString(), measures: true, stopping: &atomic.Bool{},
		rnd: rand.NewPCG(1, 2), errors: map[string]int{}, now: func() time.Duration { return time.Second },
	}
}

func TestPeerCounts(t *testing.T) {
	t.Parallel()
	p := testPeer()
	p.waiting.Store(3)
	sent := string(appendStamp(nil, time.Second-time.Millisecond))
	other := uuid.NewString()
	for _, f := range []string{
		`{"type":"hello","data":{}}`,
		`{"type":"reply","id":"mark","data":{}}`,
		`{"type":"receipt","data":{"delivered_seq":7}}`,
		`{"type":"reply","id":"` + sent + `","data":{"seq":7,"client_id":"x"}}`,
		`{"type":"reply","id":"` + sent + `","data":{"seq":6}}`,
		`{"type":"error","id":"` + sent + `","error":{"code":"unavailable","detail":"x"}}`,
		`{"type":"error","id":"mark","error":{"code":"rate_limited"}}`,
		`{"type":"entry","data":{"seq":7,"sender_id":"` + other + `","body":"` + sent + `xxxx"}}`,
		`{"type":"entry","data":{"seq":8,"sender_id":"` + p.user + `","body":"` + sent + `xxxx"}}`,
		`{"type":"entry","data":{"seq":10,"sender_id":"` + other + `","body":"` + sent + `"}}`,
		`{"type":"entry","data":{"seq":10,"sender_id":"` + other + `","body":"hello"}}`,
	} {
		p.handle([]byte(f))
	}
	if p.waiting.Load() != 0 || p.highest.Load() != 7 || p.seen.Load() != 10 || p.entries != 4 || p.receipts != 1 {
		t.Errorf("waiting %d, highest %d, seen %d, entries %d", p.waiting.Load(), p.highest.Load(), p.seen.Load(), p.entries)
	}
	if len(p.acked) != 2 || p.acked[0].took != time.Millisecond || len(p.received) != 2 || p.received[1].took != time.Millisecond {
		t.Errorf("acknowledged %v, received %v", p.acked, p.received)
	}
	want := map[string]int{
		"refused as unavailable": 1, "refused as rate_limited": 1, "an entry +2 steps after the one before": 1, "an entry +0 steps after the one before": 1,
		"an entry with another text than was sent": 1,
	}
	for what, n := range want {
		if p.errors[what] != n {
			t.Errorf("%q was counted %d times", what, p.errors[what])
		}
	}
	if len(p.errors) != len(want) {
		t.Errorf("the errors are %v", p.errors)
	}
}

// TestLastMember: a message is delivered when the slowest member has it, and not before
// all have.
func TestLastMember(t *testing.T) {
	t.Parallel()
	l := &load{errors: map[string]int{}}
	for i := range 3 {
		p := testPeer()
		for seq := range int64(5) { // the first was sent before the time measured, the last after
			took := time.Duration(i+1) * time.Millisecond
			p.received = append(p.received, sample{time.Duration(seq) * time.Second, took, seq})
		}
		l.peers = append(l.peers, p)
	}
	l.peers[1].received = l.peers[1].received[:3] // and so has not got 3
	each, last, inTime := l.deliveries(window{from: time.Second, to: 4 * time.Second})
	if len(each) != 8 || inTime != 8 || len(last) != 2 || last[0] != 3*time.Millisecond || last[1] != 3*time.Millisecond {
		t.Errorf("%d deliveries, %d in time, to everybody after %v", len(each), inTime, last)
	}
}

// TestOwnEntries: a peer measures what it sent itself only if it is to.
func TestOwnEntries(t *testing.T) {
	t.Parallel()
	for _, own := range []bool{false, true} {
		p := testPeer()
		p.measuresOwn = own
		p.entry([]byte(`{"seq":7,"sender_id":"` + p.user + `","body":"` + string(appendStamp(nil, time.Second)) + `"}`))
		if len(p.received) == 1 != own || own && p.received[0].seq != 7 {
			t.Errorf("measures its own: %t, received %v", own, p.received)
		}
	}
}

func TestClientIDsAreUUIDv7(t *testing.T) {
	t.Parallel()
	p := testPeer()
	seen := map[uuid.UUID]bool{}
	for range 10_000 {
		id, err := uuid.ParseBytes(p.appendClientID(nil))
		if err != nil || id.Version() != 7 || id.Variant() != uuid.RFC4122 {
			t.Fatalf("%v, version %d, variant %v: %v", id, id.Version(), id.Variant(), err)
		}
		sec, _ := id.Time().UnixTime()
		if d := time.Since(time.Unix(sec, 0)); d < -time.Second || d > time.Minute || seen[id] {
			t.Fatalf("%v is of %v ago, seen before: %t", id, d, seen[id])
		}
		seen[id] = true
	}
}

// TestLossIsCounted: what was acknowledged and not seen by all is lost.
func TestLossIsCounted(t *testing.T) {
	t.Parallel()
	l := &load{errors: map[string]int{}}
	for range 3 {
		p := testPeer()
		p.conversation = "c"
		p.seen.Store(10)
		l.peers = append(l.peers, p)
	}
	if n := l.undelivered(); n != 0 {
		t.Errorf("%d lost of none", n)
	}
	l.peers[0].highest.Store(12)
	l.peers[1].seen.Store(12)
	if n := l.undelivered(); n != 4 {
		t.Errorf("%d lost, not two by each of two", n)
	}
	l.senders = l.peers[:1]
	l.peers[0].waiting.Store(5)
	if n := l.unanswered(); n != 5 {
		t.Errorf("%d unanswered, not 5", n)
	}
}
