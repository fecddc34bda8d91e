package hub

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
	"github.com/google/uuid"
	"parley/failures"
	"parley/problem"
)

// Frames of all connections of a user beyond this are refused as rate_limited: a person types
// far less, a bot can keep this up for ever.
const (
	framesPerSecond = 50
	framesBurst     = 200
)

var (
	errOrigin   = problem.New(problem.Forbidden, "This page may not connect here: its origin is not the server's public address.")
	errDraining = &problem.Error{Code: problem.Unavailable, Detail: "The server is going away; try again in a moment.", RetryAfter: time.Second}
	errNoID     = problem.New(problem.Invalid, "A request needs an id of 1 to 64 bytes.")
)

// ServeHTTP makes the handshake. Who is asking comes from a bearer token, or from the
// session cookie if the Origin header is this server's own, or from a first frame
// `auth` within five seconds. A browser sees no HTTP status of a failed handshake, so
// a token that is not valid is told with close code 4500 instead.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	origin := r.Header.Get("Origin")
	if origin != "" && !h.cfg.OriginAllowed(r) {
		errOrigin.Write(w)
		return
	}
	var network netip.Prefix
	if h.cfg.ClientAddress != nil {
		network = networkOf(h.cfg.ClientAddress(r.Context()))
	}
	if err := h.enter(network); err != nil {
		if errors.Is(err, errAddressFull) {
			h.limitHit(r.Context(), "sockets", uuid.Nil)
		}
		problem.From(err).Write(w)
		return
	}
	handedOver := false
	defer func() {
		if !handedOver {
			h.exit(network)
		}
	}()
	token, given := bearer(r)
	for _, name := range h.cfg.CookieNames {
		if cookie, err := r.Cookie(name); !given && err == nil && origin != "" {
			token, given = cookie.Value, true
		}
	}
	var (
		who     Identity
		refused error
	)
	if given {
		if who, refused = h.cfg.Authenticate(r.Context(), token); refused != nil {
			if p := h.problem(refused); p.Code != problem.Unauthenticated {
				h.logUnexpected(p)
				p.Write(w)
				return
			}
		}
	}

	hj := &hijacker{ResponseWriter: w}
	c := &Conn{ID: uuid.New(), hub: h, network: network}
	c.beat()
	ws, err := websocket.Accept(hj, r, &websocket.AcceptOptions{
		Subprotocols:       []string{Subprotocol},
		CompressionMode:    websocket.CompressionDisabled,
		InsecureSkipVerify: true, // the origin was checked above, exactly
		// Pings and pongs are frames, too: their client is alive.
		OnPingReceived: func(context.Context, []byte) bool { c.beat(); return true },
		OnPongReceived: func(context.Context, []byte) { c.beat() },
	})
	if err != nil {
		return // Accept has answered
	}
	ws.SetReadLimit(-1) // next has one of its own, after which what follows is still read
	c.ws, c.wire = ws, hj.wire
	handedOver = true
	switch {
	case ws.Subprotocol() == "" && r.Header.Get("Sec-WebSocket-Protocol") != "":
		go c.refuse(CloseProtocolError, "the subprotocol is "+Subprotocol)
	case refused != nil:
		go c.refuse(CloseNotAuthenticated, "not authenticated")
	case !h.admit(c):
		go c.refuse(CloseDraining, errDraining.Detail)
	default:
		// The reader gets a goroutine of its own, so that the HTTP server's, with its
		// buffers and the request, can go.
		go h.serve(c, who, given)
	}
}

// refuse ends a handshake that came to nothing; how the client takes it is its own affair.
func (c *Conn) refuse(code websocket.StatusCode, reason string) {
	defer c.hub.cfg.Failures.Recover("refuse a connection")
	defer c.hub.exit(c.network)
	_ = c.ws.Close(code, reason)
	c.wire.finish(c.hub.base)
}

func bearer(r *http.Request) (string, bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), strings.EqualFold(scheme, "Bearer")
}

// serve is a connection's life from the handshake to its end.
func (h *Hub) serve(c *Conn, who Identity, known bool) {
	defer h.cfg.Failures.Recover("read from a connection")
	defer h.readers.Done()
	defer h.exit(c.network)
	defer h.remove(c)
	defer func() {
		_ = c.ws.CloseNow() // a no-op after an orderly close
		c.wire.finish(h.base)
	}()

	var buf []byte
	if !known {
		var ok bool
		if who, ok = h.awaitAuth(c, &buf); !ok {
			h.read(c, buf) // to the end of the close handshake
			return
		}
	}
	c.Identity = who
	h.countForUser(c)
	if err := h.open(c); err != nil {
		p := h.problem(err)
		h.logUnexpected(p)
		c.Close(websocket.StatusTryAgainLater, p.Detail)
	}
	h.read(c, buf)
}

// open makes an authenticated connection known to every package, then says hello. The
// order matters: what is committed after hello reaches the connection. What is published
// to it before waits, so that hello comes first.
func (h *Hub) open(c *Conn) error {
	c.hold()
	h.sessions.Join(c, c.SessionID)
	ctx, cancel := context.WithTimeout(h.base, authDeadline)
	defer cancel()
	for _, f := range h.opened {
		if err := f(ctx, c); err != nil {
			return err
		}
	}
	frame, err := EncodeEvent("hello", hello{c.UserID, c.SessionID, h.cfg.Epoch, int(heartbeat / time.Second), h.cfg.Version})
	if err != nil {
		return err
	}
	c.release(frame)
	return nil
}

type hello struct {
	UserID        uuid.UUID `json:"user_id"`
	SessionID     uuid.UUID `json:"session_id"`
	Epoch         uuid.UUID `json:"epoch"`
	HeartbeatS    int       `json:"heartbeat_s"`
	ServerVersion string    `json:"server_version"`
}

// awaitAuth waits for the first frame, which has to be auth with a valid token.
func (h *Hub) awaitAuth(c *Conn, buf *[]byte) (Identity, bool) {
	// Not a context's deadline: that would cut the connection without a close frame.
	late := time.AfterFunc(authDeadline, func() { c.Close(CloseNotAuthenticated, "no auth frame") })
	frame, ok := c.next(h.base, buf, maxFrame)
	if !late.Stop() || !ok || c.Closed() {
		return Identity{}, false
	}
	ctx, cancel := context.WithTimeout(h.base, authDeadline)
	defer cancel()
	var data struct {
		Token string `json:"token"`
	}
	req, _, err := h.request(c, frame)
	if err != nil || req.Type != "auth" || req.Bind(&data) != nil {
		c.Close(CloseNotAuthenticated, "the first frame has to be auth")
		return Identity{}, false
	}
	who, err := h.cfg.Authenticate(ctx, data.Token)
	if err == nil {
		req.Reply(struct{}{})
		return who, true
	}
	if p := h.problem(err); p.Code != problem.Unauthenticated {
		h.logUnexpected(p)
		c.Close(websocket.StatusTryAgainLater, p.Detail)
	} else {
		c.Close(CloseNotAuthenticated, "not authenticated")
	}
	return Identity{}, false
}

// read dispatches frames until the connection ends. What comes after it was closed is
// read and dropped, because a connection cut with data unread loses its close frame.
func (h *Hub) read(c *Conn, buf []byte) {
	for {
		frame, ok := c.next(h.base, &buf, maxRead)
		switch {
		case !ok:
			return
		case c.Closed():
			continue
		}
		c.beat()
		req, size, err := h.request(c, frame)
		refused := h.frames.Take(c.UserID, 1+len(frame)/maxFrame) // a large frame counts as several
		switch {
		case size > maxFrame && !h.mux.large[req.Type]:
			c.tooBig()
		case refused != nil:
			req.Fail(refused)
		case err != nil:
			req.Fail(err)
		default:
			h.mux.dispatch(h.base, req)
		}
	}
}

func (c *Conn) tooBig() { c.Close(websocket.StatusMessageTooBig, "the frame is too large") }

// next reads one text frame, which is valid until the next call. It closes the connection
// for binary (1003), bad UTF-8 (1007) and more than limit bytes (1009), and goes on reading:
// the frame is empty then. False is the end of the connection.
func (c *Conn) next(ctx context.Context, buf *[]byte, limit int) ([]byte, bool) {
	kind, r, err := c.ws.Reader(ctx)
	if err != nil {
		return nil, false
	}
	if kind != websocket.MessageText {
		c.Close(websocket.StatusUnsupportedData, "text frames only")
		return c.skip(r)
	}
	b := (*buf)[:0]
	for {
		if len(b) > limit {
			c.tooBig()
			return c.skip(r)
		}
		if len(b) == cap(b) {
			b = append(b, make([]byte, max(512, len(b)))...)[:len(b)]
		}
		n, err := r.Read(b[len(b):min(cap(b), limit+1)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, false
		}
	}
	// A large frame is rare; its memory is not kept for the connection's whole life.
	if cap(b) <= 4<<10 {
		*buf = b
	}
	if !utf8.Valid(b) {
		c.Close(websocket.StatusInvalidFramePayloadData, "not UTF-8")
	}
	return b, true
}

// skip reads the rest of a frame that counts for nothing.
func (c *Conn) skip(r io.Reader) ([]byte, bool) {
	_, err := io.Copy(io.Discard, r)
	return nil, err == nil
}

func (h *Hub) logUnexpected(p *problem.Error) {
	if p.Code == problem.Internal {
		h.cfg.Logger.Error("socket", "err", p, "stack", failures.Stack(p))
	}
}
