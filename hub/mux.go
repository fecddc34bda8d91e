package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime/debug"
	"slices"

	"parley/problem"
)

// Handler answers a request: with what it returns, or later, through the Request, when
// it returns ErrLater. It runs on the connection's reader, so a client's requests are
// begun in the order they were sent.
type Handler func(ctx context.Context, r *Request) (any, error)

// ErrLater says that the handler keeps the request and will Reply or Fail itself.
var ErrLater = errors.New("answered later")

// Mux finds the handler for a frame's type.
type Mux struct{ handlers map[string]Handler }

// Handle registers the handler of a type. It panics if there is one.
func (m *Mux) Handle(frameType string, f Handler) {
	if _, ok := m.handlers[frameType]; ok {
		panic("hub: two handlers for " + frameType)
	}
	m.handlers[frameType] = f
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
			r.Fail(fmt.Errorf("panic: %v\n%s", v, debug.Stack()))
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
// answered.
func (h *Hub) request(c *Conn, frame []byte) (*Request, error) {
	r := &Request{Conn: c}
	// Not decode: the envelope is read once per message, and this is half the work. It
	// refuses what follows the object, too; unknown members beside the three are ignored.
	err := json.Unmarshal(frame, r)
	_, wrongType := errors.AsType[*json.UnmarshalTypeError](err)
	if err != nil && !wrongType || len(r.ID) > maxID {
		r.ID = "" // half of it may have been read
	}
	switch {
	case err != nil: // of the wrong type may be the id or another member: those that are right were read
		return r, invalidJSON(err)
	case r.ID == "":
		return r, errNoID
	}
	return r, nil
}

// Bind decodes the frame's data, strictly: unknown fields are errors.
func (r *Request) Bind(v any) error {
	if len(r.Data) == 0 {
		return decode([]byte("{}"), v)
	}
	return decode(r.Data, v)
}

// decode takes one JSON value, which b is known to be.
func decode(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return invalidJSON(err)
	}
	return nil
}

// invalidJSON says what is wrong without repeating what the client sent.
func invalidJSON(err error) error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		p := problem.New(problem.Invalid, "A field has the wrong type.")
		p.Fields = []problem.Field{{Location: kind.Field, Message: "has to be " + jsonType(kind.Type)}}
		return p.Because(err)
	}
	return problem.New(problem.Invalid, "The frame is not JSON of the expected form.").Because(err)
}

// jsonType names a Go type as the client knows it.
func jsonType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	default:
		return "a whole number" // there are no others in frames
	}
}

// Reply answers the request.
func (r *Request) Reply(data any) { r.Conn.Send(encode(outgoing{Type: "reply", ID: r.ID, Data: data})) }

// Fail answers the request with a problem. What the caller must not see is logged.
func (r *Request) Fail(err error) {
	p := r.Conn.hub.problem(err)
	if p.Code == problem.Internal {
		r.Conn.log().Error("answering a frame", "type", r.Type, "err", err)
	}
	f := p.Frame()
	r.Conn.Send(encode(outgoing{Type: "error", ID: r.ID, Error: &f}))
}

// EncodeEvent encodes an event once, for as many connections as need it.
func EncodeEvent(eventType string, data any) []byte {
	return encode(outgoing{Type: eventType, Data: data})
}

type outgoing struct {
	Type  string         `json:"type"`
	ID    string         `json:"id,omitempty"`
	Data  any            `json:"data,omitempty"`
	Error *problem.Frame `json:"error,omitempty"`
}

func encode(o outgoing) []byte {
	b, err := json.Marshal(o)
	if err != nil {
		// Only a type that JSON cannot express gets here: a mistake in this program.
		panic("hub: encoding a frame: " + err.Error())
	}
	return b
}
