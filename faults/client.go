package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"parley/parleytest"
)

// Client is one device of one user, behaving as a good client does: it reconnects with
// jitter, to whichever replica comes next, syncs from what it holds, pages what is more,
// applies entries in order, says what it has, begins afresh when the database is another,
// and sends again by the same client_id until it is acknowledged. It records everything,
// and repairs nothing that the server should not have broken.
type Client struct {
	cfg    ClientConfig
	pages  atomic.Int64       // asked for to catch up
	failed *parleytest.Server // to connect to which was tried in vain; Run's own

	mu       sync.Mutex // guards what follows
	rooms    map[uuid.UUID]*room
	order    []*room       // the same
	epoch    string        // of the database that all this is from
	backedUp time.Duration // what was acknowledged before is in the next one too
	live     []*stream
	reads    []Read
	said     []Mark
	told     []Mark
	seen     []sighting // of entries that came live
	spans    []span     // in which it was connected
	sends    []*Send
	sent     map[uuid.UUID]*Send     // the same by client_id
	waiting  map[uuid.UUID]*outgoing // of them those not acknowledged
	acks     int
	ceased   bool           // begins no more
	staying  bool           // goes away no more
	current  *link          // connected and caught up; else nil
	refusals map[string]int // error codes that told to try again
	strange  []error        // what a good server never does
}

// ClientConfig says who the client is and how it behaves.
type ClientConfig struct {
	Replicas      *Replicas
	Session       parleytest.Session
	Conversations []uuid.UUID          // that it knows of from the start
	InFlight      int                  // sends at a time; with 0 it only looks on
	Pause         time.Duration        // between an acknowledgement and the next send, on average
	Stay, Away    time.Duration        // online and offline in turn, so long on average; 0: always online
	Clock         func() time.Duration // since the run's beginning; all clients' the same
}

// room is a conversation as the client has it.
type room struct {
	id     uuid.UUID
	held   []Entry            // what was applied, in order
	member bool               // by what it holds
	late   []parleytest.Entry // came live while what is before them is being fetched; nil: nothing is
	said   int64              // up to where it said that it has it, on this connection
}

// outgoing is a message on its way.
type outgoing struct {
	send *Send
	body string
}

// stream is what one connection delivered live of one conversation.
type stream struct {
	conversation uuid.UUID
	entries      []Entry
}

// sighting is that an entry came live, and when.
type sighting struct {
	conversation uuid.UUID
	seq          int64
	at           time.Duration
}

// span is the time between having caught up and the end of that connection.
type span struct {
	up, down time.Duration // down is 0 while it lasts
	left     bool          // it ended because the client went away
	server   *parleytest.Server
}

// unreachable stands among the error codes for a request that got no answer.
const unreachable = "unreachable"

const (
	pageSize  = 100
	readEvery = 10 // every so many acknowledgements, what was acknowledged is read
	bodyBytes = 128
	readLimit = 1 << 20 // bytes; sync answers up to 256 KB and a little
	// A connection on which nothing comes for silence is given up; a heartbeat, which is
	// answered, comes sooner.
	heartbeat = 4 * time.Second
	silence   = 10 * time.Second
)

// NewClient makes a client.
func NewClient(cfg ClientConfig) *Client {
	c := &Client{
		cfg: cfg, rooms: map[uuid.UUID]*room{}, sent: map[uuid.UUID]*Send{},
		waiting: map[uuid.UUID]*outgoing{}, refusals: map[string]int{},
	}
	for _, id := range cfg.Conversations {
		c.room(id)
	}
	return c
}

// room finds or makes a conversation's; c.mu is held, or nobody else has c yet.
func (c *Client) room(id uuid.UUID) *room {
	r := c.rooms[id]
	if r == nil {
		r = &room{id: id}
		c.rooms[id] = r
		c.order = append(c.order, r)
	}
	return r
}

// Cease keeps the client from beginning more sends, and from going away; what was begun
// goes on.
func (c *Client) Cease() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ceased, c.staying = true, true
}

// BackedUp says that the database with the next epoch will be a backup made at a moment:
// what was acknowledged before it must be there.
func (c *Client) BackedUp(at time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.backedUp = at
}

// State is where a client is.
type State struct {
	Connected bool // and caught up
	Waiting   int  // sends not yet acknowledged
	Acked     int  // sends acknowledged
}

// State tells where the client is.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return State{c.current != nil, len(c.waiting), c.acks}
}

// Held is up to which seq the client has a conversation.
func (c *Client) Held(conversation uuid.UUID) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.rooms[conversation]; r != nil {
		return r.heldSeq()
	}
	return 0
}

// Refusals counts the answers that told it to try again, by code.
func (c *Client) Refusals() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.refusals)
}

// Strange is what a good server never does, as far as the client noticed by itself.
func (c *Client) Strange() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.strange...)
}

// AddTo adds the client's record to a history whose members are known, after Run has
// returned. Stayed says that the run went on until the client held everything.
func (c *Client) AddTo(h *History, stayed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	user := c.cfg.Session.User.ID
	for _, s := range c.sends {
		h.Sends = append(h.Sends, *s)
	}
	h.Reads = append(h.Reads, c.reads...)
	h.Said = append(h.Said, c.said...)
	h.Told = append(h.Told, c.told...)
	for _, m := range h.Members {
		if stayed && m.User == user && m.Until == 0 {
			c.room(m.Conversation) // of which it has nothing if it was never told of it
		}
	}
	for _, r := range c.order {
		h.Sessions = append(h.Sessions, Session{User: user, Conversation: r.id, Entries: r.held, Stayed: stayed})
	}
	for _, l := range c.live {
		h.Sessions = append(h.Sessions, Session{User: user, Conversation: l.conversation, After: -1, Entries: l.entries})
	}
}

// Run connects and stays, or comes and goes, until ctx ends.
func (c *Client) Run(ctx context.Context) {
	for ctx.Err() == nil {
		visit, leave := ctx, context.CancelFunc(func() {})
		if c.cfg.Stay > 0 && !c.stays() {
			visit, leave = context.WithTimeout(ctx, c.cfg.Stay/4+rand.N(3*c.cfg.Stay/2))
		}
		err := c.connection(visit)
		gone := visit.Err() != nil && ctx.Err() == nil
		leave()
		c.mu.Lock()
		if c.current != nil {
			last := &c.spans[len(c.spans)-1]
			last.down, last.left = c.cfg.Clock(), gone
		}
		c.current = nil
		for _, r := range c.order {
			r.late = nil // it will be asked for anew
		}
		for _, o := range c.waiting {
			o.send.Doubts++
		}
		if !gone && ctx.Err() == nil && !reconnects(err) {
			c.strange = append(c.strange, err)
		}
		c.mu.Unlock()
		pause := 50*time.Millisecond + rand.N(250*time.Millisecond)
		if gone && !c.stays() {
			pause += rand.N(2 * c.cfg.Away)
		}
		sleep(ctx, pause)
	}
}

func (c *Client) stays() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.staying
}

// reconnects says whether a connection ended, or was refused, in a way after which a
// client is meant to try again.
func reconnects(err error) bool {
	if p, ok := errors.AsType[*parleytest.Problem](err); ok {
		return p.Status == http.StatusServiceUnavailable
	}
	if e, ok := errors.AsType[websocket.CloseError](err); ok {
		return e.Code == websocket.StatusGoingAway || e.Code == websocket.StatusTryAgainLater || e.Code >= 4000 && e.Code < 4500
	}
	_, strange := errors.AsType[*strangeError](err)
	return !strange
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// strangeError is something that a good server never does.
type strangeError struct{ what string }

func (e *strangeError) Error() string { return e.what }

func strange(format string, args ...any) error { return &strangeError{fmt.Sprintf(format, args...)} }

// frame is any frame from the server.
type frame struct {
	Type  string          `json:"type"`
	ID    string          `json:"id"`
	Data  json.RawMessage `json:"data"`
	Error struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
	} `json:"error"`
}

// link is one connection's own state, which only its reader touches, but for the first
// three.
type link struct {
	ctx    context.Context // ends with the connection
	ws     *websocket.Conn
	server *parleytest.Server

	streams map[uuid.UUID]*stream
	asked   map[uuid.UUID]Read // the sync under way
	early   []parleytest.Entry // came live before the catch-up was done
	caught  bool
}

// connection is one connection's life.
func (c *Client) connection(ctx context.Context) error {
	server := c.cfg.Replicas.Pick(c.failed)
	ws, err := c.dial(ctx, server)
	if err != nil {
		c.failed = server
		return err
	}
	c.failed = nil
	defer func() { _ = ws.CloseNow() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l := &link{ctx: ctx, ws: ws, server: server, streams: map[uuid.UUID]*stream{}}
	go c.beat(l)
	for {
		waiting, stop := context.WithTimeout(ctx, silence)
		kind, b, err := ws.Read(waiting)
		stop()
		if err != nil {
			return fmt.Errorf("read a frame: %w", err)
		}
		var f frame
		if err := json.Unmarshal(b, &f); err != nil || kind != websocket.MessageText {
			return strange("a frame that is no JSON text: %q", b)
		}
		if err := c.take(l, f); err != nil {
			return err
		}
	}
}

func (c *Client) dial(ctx context.Context, server *parleytest.Server) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	//nolint:bodyclose // the library closes it, and says so
	ws, res, err := websocket.Dial(ctx, server.URL()+"/api/v1/socket", &websocket.DialOptions{
		HTTPHeader:   http.Header{"Authorization": {"Bearer " + c.cfg.Session.Token}},
		Subprotocols: []string{"parley.v1"},
	})
	if err != nil {
		if res != nil {
			return nil, fmt.Errorf("connect: %w", &parleytest.Problem{Status: res.StatusCode, Detail: err.Error()})
		}
		return nil, fmt.Errorf("connect: %w", err)
	}
	ws.SetReadLimit(readLimit)
	return ws, nil
}

// beat says that the client is there, and what it has.
func (c *Client) beat(l *link) {
	last := time.Now()
	for {
		sleep(l.ctx, 250*time.Millisecond+rand.N(500*time.Millisecond))
		if l.ctx.Err() != nil || c.sayMarks(l) != nil {
			return // the reader notices
		}
		if time.Since(last) >= heartbeat {
			if l.write("presence.heartbeat", heartbeatID, struct{}{}) != nil {
				return
			}
			last = time.Now()
		}
	}
}

func (l *link) write(frameType, id string, data any) error {
	b, err := json.Marshal(map[string]any{"type": frameType, "id": id, "data": data})
	if err != nil {
		return fmt.Errorf("encode a frame: %w", err)
	}
	if err := l.ws.Write(l.ctx, websocket.MessageText, b); err != nil {
		return fmt.Errorf("write a frame: %w", err)
	}
	return nil
}
