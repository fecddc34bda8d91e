package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"parley/parleytest"
)

// Client is one device of one user in one conversation, behaving as a good client does:
// it reconnects with jitter, syncs from what it holds, pages what is more, applies
// entries in order, and sends again by the same client_id until it is acknowledged. It
// records everything, and repairs nothing that the server should not have broken.
type Client struct {
	cfg ClientConfig

	mu       sync.Mutex // guards what follows
	held     []Entry    // what was applied, in order
	live     []*stream
	reads    []Read
	sends    []*Send
	sent     map[uuid.UUID]*Send     // the same by client_id
	waiting  map[uuid.UUID]*outgoing // of them those not acknowledged
	ceased   bool                    // begins no more
	current  *websocket.Conn         // connected and caught up; else nil
	refusals map[string]int          // error codes that told to try again
	strange  []error                 // what a good server never does
}

// ClientConfig says who the client is and how it behaves.
type ClientConfig struct {
	Server       *parleytest.Server
	Session      parleytest.Session
	Conversation uuid.UUID
	InFlight     int                  // sends at a time; with 0 it only looks on
	Pause        time.Duration        // between an acknowledgement and the next send, on average
	Clock        func() time.Duration // since the run's beginning; all clients' the same
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

// unreachable stands among the error codes for a request that got no answer.
const unreachable = "unreachable"

const (
	pageSize  = 100
	readEvery = 10 // every so many acknowledgements, what was acknowledged is read
	bodyBytes = 128
	readLimit = 1 << 20 // bytes; sync answers up to 256 KB and a little
)

// NewClient makes a client.
func NewClient(cfg ClientConfig) *Client {
	return &Client{cfg: cfg, sent: map[uuid.UUID]*Send{}, waiting: map[uuid.UUID]*outgoing{}, refusals: map[string]int{}}
}

// Cease keeps the client from beginning more sends; those begun go on.
func (c *Client) Cease() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ceased = true
}

// State is where a client is.
type State struct {
	Connected bool  // and caught up
	Waiting   int   // sends not yet acknowledged
	Acked     int   // sends acknowledged
	Held      int64 // seq up to which it holds the conversation
}

// State tells where the client is.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return State{c.current != nil, len(c.waiting), len(c.sends) - len(c.waiting), c.heldSeq()}
}

// Refusals counts the answers that told it to try again, by code.
func (c *Client) Refusals() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[string]int{}
	for code, n := range c.refusals {
		all[code] = n
	}
	return all
}

// Strange is what a good server never does, as far as the client noticed by itself.
func (c *Client) Strange() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.strange...)
}

// AddTo adds the client's record to a history, after Run has returned. Stayed says that
// the run went on until the client held everything.
func (c *Client) AddTo(h *History, stayed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	user := c.cfg.Session.User.ID
	for _, s := range c.sends {
		h.Sends = append(h.Sends, *s)
	}
	h.Reads = append(h.Reads, c.reads...)
	h.Sessions = append(h.Sessions, Session{User: user, Conversation: c.cfg.Conversation, Entries: c.held, Stayed: stayed})
	for _, l := range c.live {
		h.Sessions = append(h.Sessions, Session{User: user, Conversation: l.conversation, After: -1, Entries: l.entries})
	}
}

// Run connects and stays until ctx ends.
func (c *Client) Run(ctx context.Context) {
	for ctx.Err() == nil {
		err := c.connection(ctx)
		c.mu.Lock()
		c.current = nil
		for _, o := range c.waiting {
			o.send.Doubts++
		}
		if ctx.Err() == nil && !reconnects(err) {
			c.strange = append(c.strange, err)
		}
		c.mu.Unlock()
		sleep(ctx, 50*time.Millisecond+rand.N(250*time.Millisecond))
	}
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

// link is one connection's own state, which only its reader touches.
type link struct {
	ws      *websocket.Conn
	streams map[uuid.UUID]*stream
	asked   Read    // the sync under way
	early   []Entry // came live before the catch-up was done
	caught  bool
}

// connection is one connection's life.
func (c *Client) connection(ctx context.Context) error {
	ws, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = ws.CloseNow() }()
	l := &link{ws: ws, streams: map[uuid.UUID]*stream{}}
	for {
		kind, b, err := ws.Read(ctx)
		if err != nil {
			return fmt.Errorf("read a frame: %w", err)
		}
		var f frame
		if err := json.Unmarshal(b, &f); err != nil || kind != websocket.MessageText {
			return strange("a frame that is no JSON text: %q", b)
		}
		if err := c.take(ctx, l, f); err != nil {
			return err
		}
	}
}

func (c *Client) dial(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	//nolint:bodyclose // the library closes it, and says so
	ws, res, err := websocket.Dial(ctx, c.cfg.Server.URL()+"/api/v1/socket", &websocket.DialOptions{
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

// take handles one frame.
func (c *Client) take(ctx context.Context, l *link, f frame) error {
	switch {
	case f.Type == "hello":
		return c.sync(ctx, l)
	case f.Type == "entry":
		var e parleytest.Entry
		if err := json.Unmarshal(f.Data, &e); err != nil {
			return strange("an entry that cannot be read: %v", err)
		}
		return c.entry(l, e)
	case f.ID == syncID && f.Type == "reply":
		return c.caughtUp(ctx, l, f.Data)
	case f.ID == syncID && f.Error.Code == "unavailable":
		return errors.New("catching up is unavailable")
	case f.Type == "reply" || f.Type == "error":
		return c.answer(ctx, l, f)
	default:
		return nil // an event of no interest here
	}
}

func write(ctx context.Context, ws *websocket.Conn, frameType, id string, data any) error {
	b, err := json.Marshal(map[string]any{"type": frameType, "id": id, "data": data})
	if err != nil {
		return fmt.Errorf("encode a frame: %w", err)
	}
	if err := ws.Write(ctx, websocket.MessageText, b); err != nil {
		return fmt.Errorf("write a frame: %w", err)
	}
	return nil
}

// entry takes a live entry: at once when caught up, later while catching up.
func (c *Client) entry(l *link, e parleytest.Entry) error {
	s := l.streams[e.ConversationID]
	c.mu.Lock()
	defer c.mu.Unlock()
	if s == nil {
		s = &stream{conversation: e.ConversationID}
		l.streams[e.ConversationID] = s
		c.live = append(c.live, s)
	}
	seen := observed(e)
	s.entries = append(s.entries, seen)
	switch {
	case e.ConversationID != c.cfg.Conversation:
	case l.caught:
		c.apply(seen)
	default:
		l.early = append(l.early, seen)
	}
	return nil
}

// apply takes a live entry that is new. One that the answer to sync had already is not:
// a commit may be read before it is delivered. A hole is left for the check to find.
func (c *Client) apply(e Entry) {
	if e.Seq > c.heldSeq() {
		c.held = append(c.held, e)
	}
}

func observed(e parleytest.Entry) Entry {
	return Entry{e.Seq, e.Kind, e.SenderID, e.ClientID, DigestOf(e.Body)}
}

// answer takes the answer to a send.
func (c *Client) answer(ctx context.Context, l *link, f frame) error {
	id, err := uuid.Parse(f.ID)
	if err != nil {
		return strange("an answer to nothing that was asked: %s %q: %s", f.Type, f.ID, f.Error.Detail)
	}
	if f.Type == "error" {
		return c.refused(ctx, l, id, f.Error.Code, f.Error.Detail)
	}
	var sent parleytest.Sent
	if err := json.Unmarshal(f.Data, &sent); err != nil || sent.Seq == 0 || sent.ClientID != id {
		return strange("a reply to a send that says %q", f.Data)
	}
	c.acked(id, sent.Seq)
	if sent.Seq%readEvery == 0 {
		go func() {
			_, _ = c.read(ctx, sent.Seq-1, 2) // only an answer tells something
		}()
	}
	if c.cfg.Pause == 0 {
		return c.fill(ctx)
	}
	time.AfterFunc(rand.N(2*c.cfg.Pause), func() {
		_ = c.fill(ctx) // if the connection has ended, the next one fills
	})
	return nil
}

func (c *Client) acked(id uuid.UUID, seq int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sent[id]; s != nil {
		s.Acks = append(s.Acks, Ack{seq, c.cfg.Clock()})
	}
	delete(c.waiting, id)
}

// refused tries again what the server asks to try again.
func (c *Client) refused(ctx context.Context, l *link, id uuid.UUID, code, detail string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.waiting[id]
	if o == nil {
		return nil // acknowledged by another way meanwhile
	}
	if code != "unavailable" && code != unreachable {
		delete(c.waiting, id)
		return strange("a send was refused: %s: %s", code, detail)
	}
	c.refusals[code]++
	o.send.Doubts++
	time.AfterFunc(100*time.Millisecond+rand.N(200*time.Millisecond), func() {
		// On a connection that has ended meanwhile nothing is sent, and the next one
		// sends everything that waits.
		_ = c.write(ctx, l.ws, o)
	})
	return nil
}

func (c *Client) write(ctx context.Context, ws *websocket.Conn, o *outgoing) error {
	return write(ctx, ws, "message.send", o.send.Client.String(), map[string]any{
		"conversation_id": c.cfg.Conversation, "client_id": o.send.Client, "body": o.body,
	})
}

// fill begins as many sends as the quota and InFlight allow.
func (c *Client) fill(ctx context.Context) error {
	for {
		o, ws := c.next()
		if o == nil {
			return nil
		}
		if err := c.write(ctx, ws, o); err != nil {
			return err
		}
	}
}

// next begins a send, if there is a connection to send it on: when that breaks, the one
// after it finds the message among those that wait.
func (c *Client) next() (*outgoing, *websocket.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil || c.ceased || len(c.waiting) >= c.cfg.InFlight {
		return nil, nil
	}
	id := uuid.Must(uuid.NewV7())
	body := id.String() + strings.Repeat(" lorem", bodyBytes/6)
	s := &Send{
		Conversation: c.cfg.Conversation, Client: id, Sender: c.cfg.Session.User.ID,
		Body: DigestOf(body), At: c.cfg.Clock(),
	}
	c.sends = append(c.sends, s)
	c.sent[id] = s
	o := &outgoing{s, body}
	c.waiting[id] = o
	return o, c.current
}

func (c *Client) heldSeq() int64 {
	if len(c.held) == 0 {
		return 0
	}
	return c.held[len(c.held)-1].Seq
}
