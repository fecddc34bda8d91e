// Package hub owns WebSocket connections and their life: the handshake and who is
// behind it, reading and dispatching frames, a bounded outbox, heartbeats, close codes
// and the drain at shutdown. It offers Topics, the map from a key to the connections
// interested in it, of which every feature package keeps an instance of its own.
//
// It knows nothing of conversations or users beyond their ids. What a frame means is
// the business of the package that registered its type with the Mux.
package hub

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"parley/budget"
	"parley/failures"
	"parley/problem"
)

// Subprotocol is the WebSocket subprotocol this server speaks.
const Subprotocol = "parley.v1"

// Close codes. 4000 to 4499 tell the client to reconnect, 4500 to 4999 not to.
const (
	CloseSlowConsumer     websocket.StatusCode = 4000
	CloseHeartbeatMissed  websocket.StatusCode = 4001
	CloseDraining         websocket.StatusCode = 4002
	CloseNotAuthenticated websocket.StatusCode = 4500
	CloseSessionEnded     websocket.StatusCode = 4501
	CloseProtocolError    websocket.StatusCode = 4502
	CloseReplaced         websocket.StatusCode = 4503
)

// Limits of a connection that nobody had reason to configure yet.
const (
	// maxFrame is how many bytes a frame may have, with an escape such as \u0001 counted as
	// the character that it stands for: so the longest text fits, however it is written.
	maxFrame = 64 << 10
	// maxRead is how many bytes of a frame are read: more than maxFrame with every character
	// escaped, and the limit of the types that may be larger.
	maxRead      = 512 << 10
	maxID        = 64      // bytes in a request's id
	maxOutbox    = 1 << 20 // bytes waiting for one client before entries are left out
	heartbeat    = 30 * time.Second
	maxSilence   = 72 * time.Second // with the one-second watch, reaped before 75 s
	authDeadline = 5 * time.Second
	// closeGrace is how long clients have to answer the close frame at a shutdown.
	closeGrace = 2 * time.Second
	// retrySpread is over which time clients are asked to come back.
	retrySpread = 5 * time.Second
	// writeDeadline is how long a write may wait for a client that takes nothing.
	writeDeadline = 10 * time.Second
)

// Identity is who a connection speaks for.
type Identity struct {
	UserID    uuid.UUID
	SessionID uuid.UUID
}

// Config is what a Hub needs from the rest of the server.
type Config struct {
	Logger *slog.Logger
	// Authenticate gives the owner of a session token, or an error with the code
	// unauthenticated.
	Authenticate func(ctx context.Context, token string) (Identity, error)
	// CookieNames are those a session cookie may have, the preferred name first.
	CookieNames []string
	// OriginAllowed says whether the Origin header of a handshake is this server's.
	OriginAllowed func(*http.Request) bool
	// Translate turns errors of the layers below into problems.
	Translate func(error) error
	// Epoch is the database's identity, told to clients in hello.
	Epoch uuid.UUID
	// Version is the server's, told to clients in hello.
	Version string
	// RateLimits bounds the frames of each user.
	RateLimits bool
	// ClientAddress gives the address of a handshake's client; nil or invalid: not known.
	ClientAddress func(context.Context) netip.Addr
	// MaxSockets, MaxSocketsPerUser and MaxSocketsPerAddress bound the connections of this
	// process; 0: no bound.
	MaxSockets, MaxSocketsPerUser, MaxSocketsPerAddress int
	// OnLimit, if set, is called for each refusal by a limit of the hub, with the limit's name and
	// the user, uuid.Nil where only the address is known. It must not block.
	OnLimit func(ctx context.Context, name string, user uuid.UUID)
	// Failures counts panics and frames that cannot be encoded.
	Failures *failures.Log
}

// Hub holds the connections of this process. Make it with New.
type Hub struct {
	cfg      Config
	mux      Mux
	sessions *Topics[uuid.UUID] // by session, to close them when it ends
	opened   []func(context.Context, *Conn) error
	topics   []leaver
	flushers flushers
	frames   *budget.Rate[uuid.UUID] // of each user; nil without rate limits
	began    time.Time
	clock    atomic.Int64 // seconds since began, moved by Run: cheap to read per frame

	mu       sync.Mutex // guards conns, sockets and draining
	conns    map[*Conn]struct{}
	sockets  sockets
	draining bool

	readers sync.WaitGroup
	base    context.Context // of every handler; ends when Close gives up waiting
	stop    context.CancelFunc
}

type leaver interface{ leave(*Conn) }

// New makes a Hub. Handlers and topics are registered before it serves.
func New(cfg Config) *Hub {
	// The clock counts from here on, and never goes by the time of day: a step of that would
	// be a silence of everybody. It begins at 1, because 0 is no time to have begun a write at.
	h := &Hub{cfg: cfg, conns: make(map[*Conn]struct{}), began: time.Now().Add(-time.Second)}
	h.tick(time.Now())
	if cfg.RateLimits {
		h.frames = budget.NewRate[uuid.UUID](framesPerSecond, time.Second, framesBurst, "Too many frames. Try again in a moment.").
			OnLimit(func(user uuid.UUID) { h.limitHit(h.base, "frames", user) })
	}
	h.flushers.limit = runtime.GOMAXPROCS(0)
	h.sockets.addresses, h.sockets.users = make(map[netip.Prefix]int), make(map[uuid.UUID][]*Conn)
	h.base, h.stop = context.WithCancel(context.Background())
	h.mux.handlers, h.mux.large = make(map[string]Handler), make(map[string]bool)
	// Any frame counts as a sign of life, and each is noted where it is read; this one
	// has nothing else to say.
	h.mux.Handle("presence.heartbeat", func(_ context.Context, r *Request) (any, error) {
		var data struct{}
		return data, r.Bind(&data)
	})
	h.sessions = NewTopics[uuid.UUID](h)
	return h
}

func (h *Hub) limitHit(ctx context.Context, name string, user uuid.UUID) {
	if h.cfg.OnLimit != nil {
		h.cfg.OnLimit(ctx, name, user)
	}
}

// Mux is where packages register the frames they answer.
func (h *Hub) Mux() *Mux { return &h.mux }

// OnOpen registers a function that runs for every authenticated connection before it
// gets hello. An error from it refuses the connection.
func (h *Hub) OnOpen(f func(context.Context, *Conn) error) { h.opened = append(h.opened, f) }

// CloseSession closes every connection of a session with code 4501.
func (h *Hub) CloseSession(id uuid.UUID) {
	for _, c := range h.sessions.Conns(id) {
		c.Close(CloseSessionEnded, "session ended")
	}
}

// Connections is how many connections are open, those included that have yet to
// authenticate.
func (h *Hub) Connections() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.conns)
}

// Run watches over silent clients and stuck writes until ctx ends.
func (h *Hub) Run(ctx context.Context) error {
	h.cfg.Failures.Loop(ctx, "watch over connections", h.watchAll)
	return nil
}

func (h *Hub) watchAll(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			h.watch(now)
		}
	}
}

// watch closes who was silent for too long or holds up a write. One goroutine for all
// connections: a timer for each would cost more than the sockets do.
func (h *Hub) watch(now time.Time) {
	second := h.tick(now)
	for _, c := range h.all() {
		since := c.writing.Load()
		if since != 0 && c.tookSome() {
			c.writing.CompareAndSwap(since, second)
			since = second
		}
		if since != 0 && second-since > int64(writeDeadline/time.Second) {
			c.abort(CloseSlowConsumer, "nothing was read for too long")
		} else if second-c.heard.Load() >= int64(maxSilence/time.Second) {
			c.abort(CloseHeartbeatMissed, "heartbeat missed")
		}
	}
}

func (h *Hub) tick(now time.Time) (second int64) {
	second = int64(now.Sub(h.began) / time.Second)
	h.clock.Store(second)
	return second
}

func (h *Hub) all() []*Conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	conns := make([]*Conn, 0, len(h.conns))
	for c := range h.conns {
		conns = append(conns, c)
	}
	return conns
}

// Close refuses new connections, tells the open ones to reconnect elsewhere (4002), and
// waits until they are gone. Those that do not answer the close frame within two seconds are
// cut. It is an error only if ctx ends before all of that: then a handler is still finishing
// what it began. Replies that handlers still owe are written before: stop the handlers'
// sources first or call it before they stop.
func (h *Hub) Close(ctx context.Context) error {
	h.mu.Lock()
	h.draining = true
	h.mu.Unlock()
	for _, c := range h.all() {
		// A moment of its own for each: not all of them are to come back at once.
		c.Close(CloseDraining, fmt.Sprintf("server is going away; retry in %d ms", rand.N(retrySpread).Milliseconds()))
	}
	done := make(chan struct{})
	go func() { h.readers.Wait(); close(done) }()
	defer h.stop()
	select {
	case <-done:
		return nil
	case <-time.After(closeGrace): // who has not answered by now is asleep, or gone
	case <-ctx.Done():
	}
	h.stop() // cuts connections that are being read from, and handlers short
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// admit makes a connection one of the hub's, authenticated or not yet, unless the hub
// is closing.
func (h *Hub) admit(c *Conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.draining {
		return false
	}
	h.conns[c] = struct{}{}
	h.readers.Add(1)
	return true
}

// remove forgets a connection everywhere.
func (h *Hub) remove(c *Conn) {
	c.mu.Lock()
	c.closed = true
	c.outbox = nil
	c.mu.Unlock()
	for _, t := range h.topics {
		t.leave(c)
	}
	h.mu.Lock()
	delete(h.conns, c)
	h.uncountForUser(c)
	h.mu.Unlock()
}

func (h *Hub) problem(err error) *problem.Error { return problem.From(h.cfg.Translate(err)) }
