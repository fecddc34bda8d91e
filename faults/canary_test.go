package faults

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/parleytest"
)

// canary is two users who exchange ten messages a second, read pages and lists, connect and sign
// in, while another user attacks: nothing of that may be refused, or take much longer.
type canary struct {
	w      *world // the two clients, whose records are checked
	a, b   parleytest.Session
	reader parleytest.Session // of pages and lists
	page   uuid.UUID          // the conversation that is read
	stop   context.CancelFunc
	done   sync.WaitGroup

	mu       sync.Mutex // guards what follows
	probes   map[string][]probe
	failures []string
}

// probe is one request and how long it took.
type probe struct{ at, took time.Duration }

// The probes, in the order of the report's columns.
var probeKinds = []string{"message", "page", "list", "connect", "sign-in"}

// newCanary lets two users who share a conversation begin. Their browsers are known to the server.
func newCanary(t *testing.T, c *cluster, a, b parleytest.Session, conversation uuid.UUID) *canary {
	y := &canary{a: a, b: b, reader: b, page: conversation, probes: map[string][]probe{}}
	y.w = &world{cluster: c, size: size{people: 2, devices: 1, direct: 1}, began: time.Now(), conversations: []uuid.UUID{conversation}}
	y.w.t = t
	for _, s := range []parleytest.Session{a, b} {
		y.w.clients = append(y.w.clients, NewClient(ClientConfig{
			Replicas: c.front, Session: s, InFlight: 1, Pause: 195 * time.Millisecond, Clock: y.w.now,
		}))
	}
	return y
}

// visit makes another user read another conversation than the canary's own.
func (y *canary) visit(reader parleytest.Session, conversation uuid.UUID) {
	y.reader, y.page = reader, conversation
}

// begin lets the clients and the probes go.
func (y *canary) begin(ctx context.Context) {
	y.w.run(ctx)
	connected, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	y.w.await(connected, "the canary's connections", func() bool {
		return !slices.ContainsFunc(y.w.clients, func(c *Client) bool { return c.State().Acked == 0 })
	})
	ctx, y.stop = context.WithCancel(ctx)
	server := y.w.replicas[0].Server
	api := server.Client(y.reader.Token)
	y.every(ctx, 100*time.Millisecond, "page", func() error {
		return api.Call(ctx, http.MethodGet, "/conversations/"+y.page.String()+"/messages?limit=50", nil, nil)
	})
	y.every(ctx, 400*time.Millisecond, "list", func() error {
		return api.Call(ctx, http.MethodGet, "/conversations", nil, nil)
	})
	y.every(ctx, 300*time.Millisecond, "connect", func() error {
		wire, err := parleytest.DialWire(ctx, &net.Dialer{}, server.Addr(), y.a.Token)
		if err != nil {
			return err
		}
		err = wire.AwaitHello()
		_ = wire.Close() // it was only to be opened
		return err
	})
	var browsers []*parleytest.Client // which are known to the server
	for _, s := range []parleytest.Session{y.a, y.b} {
		browser := &parleytest.Client{Base: server.URL(), HTTP: &http.Client{Jar: newJar(), Timeout: 30 * time.Second}}
		browsers = append(browsers, browser)
		if err := browser.SignIn(ctx, s.User.Username); err != nil {
			y.failed("sign-in", err)
		}
	}
	turn := 0
	y.every(ctx, 350*time.Millisecond, "sign-in", func() error {
		turn++
		return browsers[turn%2].SignIn(ctx, []parleytest.Session{y.a, y.b}[turn%2].User.Username)
	})
}

func newJar() http.CookieJar {
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err) // it never fails
	}
	return jar
}

// every measures something again and again.
func (y *canary) every(ctx context.Context, pause time.Duration, kind string, do func() error) {
	y.done.Go(func() {
		for sleep(ctx, pause); ctx.Err() == nil; sleep(ctx, pause) {
			at := y.w.now()
			if err := do(); err != nil {
				if ctx.Err() == nil {
					y.failed(kind, err)
				}
				continue
			}
			p := probe{at, y.w.now() - at}
			y.mu.Lock()
			y.probes[kind] = append(y.probes[kind], p)
			y.mu.Unlock()
		}
	})
}

func (y *canary) failed(kind string, err error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.failures = append(y.failures, fmt.Sprintf("%s: %v", kind, err))
}

// end ends it, gives the checks of its messages, and fails the test if anything was refused.
func (y *canary) end(ctx context.Context, t *testing.T) Report {
	t.Helper()
	y.stop()
	y.done.Wait()
	r := y.w.finish(ctx)
	for _, c := range y.w.clients {
		for code, n := range c.Refusals() {
			y.failed("message", fmt.Errorf("%d were answered %s", n, code))
		}
		if n := len(c.spans); n > 1 {
			y.failed("connection", fmt.Errorf("it was closed %d times", n-1))
		}
	}
	y.probes["message"] = deliveries(y.w.clients)
	for _, f := range y.failures {
		t.Errorf("the canary was refused: %s", f)
	}
	if !r.Clean() {
		t.Errorf("a promise was broken:\n%v", r)
	}
	return r
}

// deliveries are of each message the time from its sending until the other side had it.
func deliveries(clients []*Client) (all []probe) {
	for i, c := range clients {
		got := map[place]time.Duration{}
		for _, s := range clients[1-i].seen {
			got[place{s.conversation, s.seq}] = s.at
		}
		for _, s := range c.sends {
			if len(s.Acks) == 0 {
				continue
			}
			if at, ok := got[place{s.Conversation, s.Acks[0].Seq}]; ok {
				all = append(all, probe{s.At, max(at, s.Acks[0].At) - s.At})
			}
		}
	}
	return all
}

// span of time of the canary's clock.
type period struct{ from, to time.Duration }

// during are the times of what began within one of some periods.
func (y *canary) during(kind string, periods []period) (all []time.Duration) {
	for _, p := range y.probes[kind] {
		if slices.ContainsFunc(periods, func(d period) bool { return d.from <= p.at && p.at < d.to }) {
			all = append(all, p.took)
		}
	}
	return all
}
