package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"parley/failures"
	"parley/problem"
	"parley/strictjson"
)

// Handler answers a request: with what it returns, or later, through the Request, when
// it returns ErrLater. It runs on the connection's reader, so a client's requests are
// begun in the order they were sent.
type Handler func(ctx context.Context, r *Request) (any, error)

// ErrLater says that the handler keeps the request and will Reply or Fail itself.
var ErrLater = errors.New("answered later")

// Mux finds the handler for a frame's type.
type Mux struct {
	handlers map[string]Handler
	large    map[string]bool // types whose frames may be larger than maxFrame
}

// Handle registers the handler of a type. It panics if there is one.
func (m *Mux) Handle(frameType string, f Handler) {
	if _, ok := m.handlers[frameType]; ok {
		panic("hub: two handlers for " + frameType)
	}
	m.handlers[frameType] = f
}

// HandleLarge is Handle for a type whose frames have up to 512 KiB instead of 64.
func (m *Mux) HandleLarge(frameType string, f Handler) {
	m.Handle(frameType, f)
	m.large[frameType] = true
}

// Types lists the registered types in order.
func (m *Mux) Types() []string { return slices.Sorted(maps.Keys(m.handlers)) }

func (m *Mux) dispatch(ctx context.Context, r *Request) {
	f, ok := m.handlers[r.Type]
	if !ok {
		r.Fail(problem.New(problem.Invalid, "There is no such frame type."))
		return
	}
	defer func() {
		// As net/http does it for a request: the mistake in one frame's handler does not
		// cut off everybody else.
		if v := recover(); v != nil {
			r.Fail(r.Conn.hub.cfg.Failures.Panicked("frame "+r.Type, v))
		}
	}()
	switch data, err := f(ctx, r); {
	case err == nil:
		r.Reply(data)
	case !errors.Is(err, ErrLater):
		r.Fail(err)
	}
}

// Request is one frame from a client. Data is valid only until the handler returns.
type Request struct {
	Conn *Conn           `json:"-"`
	Type string          `json:"type"`
	ID   string          `json:"id"`
	Data json.RawMessage `json:"data"`
}

// request decodes a frame. The Request is there also with an error, so that it can be
// answered. Size is that of the frame with every escape counted as its character.
func (h *Hub) request(c *Conn, frame []byte) (r *Request, size int, err error) {
	r = &Request{Conn: c}
	members := [...]strictjson.Member{{Name: "type"}, {Name: "id"}, {Name: "data"}}
	size, err = strictjson.Members(frame, members[:])
	if e, ok := errors.AsType[*strictjson.Error](err); ok && e.Malformed {
		return r, size, invalidJSON(err)
	}
	kind, id := members[0].Value, members[1].Value
	var isText bool
	r.Type, isText = strictjson.String(kind)
	r.Data = members[2].Value
	if text, ok := strictjson.String(id); ok && len(text) <= maxID {
		r.ID = text
	}
	switch {
	case err != nil:
		return r, size, invalidJSON(err)
	case r.ID == "":
		return r, size, errNoID
	case kind != nil && !isText:
		return r, size, invalidJSON(&strictjson.Error{Field: "type", Message: "has to be a string"})
	}
	return r, size, nil
}

// Bind decodes the frame's data as package strictjson does. No data, or null, is an empty
// object.
func (r *Request) Bind(v any) error {
	data := []byte(r.Data)
	if len(data) == 0 || string(data) == "null" {
		data = []byte("{}")
	}
	if err := strictjson.Unmarshal(data, v); err != nil {
		return invalidJSON(err)
	}
	return nil
}

// invalidJSON says what is wrong without repeating what the client sent.
func invalidJSON(err error) error {
	e, ok := errors.AsType[*strictjson.Error](err)
	switch {
	case !ok:
		return err
	case e.Malformed:
		return problem.New(problem.Invalid, "Malformed frame: "+e.Message+".").Because(err)
	case e.Field == "":
		return problem.New(problem.Invalid, strings.ToUpper(e.Message[:1])+e.Message[1:]+".").Because(err)
	}
	p := problem.New(problem.Invalid, "A field is not valid.")
	p.Fields = []problem.Field{{Location: e.Field, Message: e.Message}}
	return p.Because(err)
}

// Reply answers the request.
func (r *Request) Reply(data any) {
	frame, err := encode(outgoing{Type: "reply", ID: r.ID, Data: data})
	if err != nil {
		r.Conn.hub.cfg.Failures.Report("encode the reply to "+r.Type, err)
		r.Fail(err)
		return
	}
	r.Conn.Send(frame)
}

// Fail answers the request with a problem. What the caller must not see is logged.
func (r *Request) Fail(err error) {
	p := r.Conn.hub.problem(err)
	if p.Code == problem.Internal {
		r.Conn.log().Error("answering a frame", "type", r.Type, "err", err, "stack", failures.Stack(err))
	}
	f := p.Frame()
	if frame, err := encode(outgoing{Type: "error", ID: r.ID, Error: &f}); err == nil { // texts alone
		r.Conn.Send(frame)
	}
}

// EncodeEvent encodes an event once, for as many connections as need it. An error says that
// JSON cannot express data: report it, and send nothing.
func EncodeEvent(eventType string, data any) ([]byte, error) {
	return encode(outgoing{Type: eventType, Data: data})
}

type outgoing struct {
	Type  string         `json:"type"`
	ID    string         `json:"id,omitempty"`
	Data  any            `json:"data,omitempty"`
	Error *problem.Frame `json:"error,omitempty"`
}

func encode(o outgoing) ([]byte, error) {
	b, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("encode a frame %s: %w", o.Type, err)
	}
	return b, nil
}
