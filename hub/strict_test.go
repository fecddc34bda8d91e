package hub

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"parley/strictjson"
)

// TestStrictFrames sends frames that encoding/json would take, or take for something else.
func TestStrictFrames(t *testing.T) {
	t.Parallel()
	h, srv := setup(t)
	h.Mux().Handle("ids", func(_ context.Context, r *Request) (any, error) {
		var data struct {
			Held map[uuid.UUID]int `json:"held"`
			IDs  []uuid.UUID       `json:"ids"`
		}
		return struct{}{}, r.Bind(&data)
	})
	const id = "019a0000-0000-7000-8000-00000000000a"
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	c := connect(t, srv)
	for name, f := range map[string]struct{ frame, id, want string }{
		"an unknown field":                  {`{"type":"echo","id":"x","data":{"text":"a","more":1}}`, "x", `"location":"more"`},
		"a field in capitals":               {`{"type":"echo","id":"x","data":{"Text":"a"}}`, "x", `"location":"Text"`},
		"a field twice":                     {`{"type":"echo","id":"x","data":{"text":"a","text":"b"}}`, "x", "twice"},
		"a field twice, once escaped":       {`{"type":"echo","id":"x","data":{"text":"a","te\u0078t":"b"}}`, "x", "twice"},
		"an unknown member":                 {`{"type":"echo","id":"x","data":{"text":"a"},"more":1}`, "x", `"location":"more"`},
		"a member in capitals":              {`{"type":"echo","id":"x","Data":{"text":"a"}}`, "x", `"location":"Data"`},
		"the id in capitals":                {`{"type":"echo","ID":"x","data":{"text":"a"}}`, "", `"location":"ID"`},
		"two types":                         {`{"type":"echo","type":"ids","id":"x","data":{}}`, "x", "twice"},
		"two ids":                           {`{"type":"echo","id":"x","id":"y","data":{"text":"a"}}`, "", "twice"},
		"two data":                          {`{"type":"echo","id":"x","data":{"text":"a"},"data":{"text":"b"}}`, "x", "twice"},
		"half a surrogate pair":             {`{"type":"echo","id":"x","data":{"text":"\ud83d"}}`, "x", "surrogate"},
		"the other half":                    {`{"type":"echo","id":"x","data":{"text":"\udc4d"}}`, "x", "surrogate"},
		"a pair the wrong way round":        {`{"type":"echo","id":"x","data":{"text":"\udc4d\ud83d"}}`, "x", "surrogate"},
		"half a pair and another escape":    {`{"type":"echo","id":"x","data":{"text":"\ud83d\n"}}`, "x", "surrogate"},
		"half a surrogate pair in a name":   {`{"type":"echo","id":"x","data":{"te\ud83dxt":"a"}}`, "x", "surrogate"},
		"half a surrogate pair in the id":   {`{"type":"echo","id":"\ud83d","data":{"text":"a"}}`, "", "surrogate"},
		"half a surrogate pair in the type": {`{"type":"\ud83d","id":"x"}`, "x", "surrogate"},
		"NUL":                               {`{"type":"echo","id":"x","data":{"text":"a\u0000"}}`, "x", "NUL"},
		"NUL in the id":                     {`{"type":"echo","id":"\u0000","data":{"text":"a"}}`, "", "NUL"},
		"data that nests too deep":          {`{"type":"echo","id":"x","data":` + deep(17) + `}`, "x", "deeper"},
		"data that nests far too deep":      {`{"type":"echo","id":"x","data":` + deep(30_000) + `}`, "x", "deeper"},
		"a list for data":                   {`{"type":"echo","id":"x","data":[]}`, "x", "an object"},
		"a text for data":                   {`{"type":"echo","id":"x","data":"text"}`, "x", "an object"},
		"a number for a text":               {`{"type":"echo","id":"x","data":{"text":1}}`, "x", "has to be a string"},
		"a number for the type":             {`{"type":1,"id":"x"}`, "x", `"location":"type"`},
		"a heartbeat with a field":          {`{"type":"presence.heartbeat","id":"x","data":{"more":1}}`, "x", `"location":"more"`},
		"a heartbeat with a list":           {`{"type":"presence.heartbeat","id":"x","data":[1]}`, "x", "an object"},
		"a heartbeat with a text":           {`{"type":"presence.heartbeat","id":"x","data":"more"}`, "x", "an object"},
		"a heartbeat with a number":         {`{"type":"presence.heartbeat","id":"x","data":7}`, "x", "an object"},
		"an id in braces":                   {`{"type":"ids","id":"x","data":{"ids":["{` + id + `}"]}}`, "x", `"location":"ids[0]"`},
		"an id without hyphens":             {`{"type":"ids","id":"x","data":{"ids":["` + strings.ReplaceAll(id, "-", "") + `"]}}`, "x", "UUID"},
		"an id as a URN":                    {`{"type":"ids","id":"x","data":{"ids":["urn:uuid:` + id + `"]}}`, "x", "UUID"},
		"null for an id":                    {`{"type":"ids","id":"x","data":{"ids":[null]}}`, "x", "null"},
		"null for a number of a map":        {`{"type":"ids","id":"x","data":{"held":{"` + id + `":null}}}`, "x", "null"},
		"an id twice, once in capitals":     {`{"type":"ids","id":"x","data":{"held":{"` + id + `":1,"` + strings.ToUpper(id) + `":2}}}`, "x", "twice"},
		"a comma at the end":                {`{"type":"echo","id":"x","data":{"text":"a"},}`, "", "not valid JSON"},
		"half a frame":                      {`{"type":"echo","id":"x","data":{"text":"a"}`, "", "not valid JSON"},
		"two frames":                        {`{"type":"echo","id":"x"}{"type":"echo","id":"y"}`, "", "more than one"},
		"a list":                            {`[{"type":"echo","id":"x"}]`, "", "an object"},
		"nothing":                           {``, "", "no JSON"},
		"a raw line feed in a text":         {"{\"type\":\"echo\",\"id\":\"x\",\"data\":{\"text\":\"a\n\"}}", "", "not valid JSON"},
	} {
		// One connection for all: it stays.
		c.send(f.frame)
		answer, err := c.read()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var e struct {
			Type, ID string
			Error    struct{ Code string }
		}
		if err := json.Unmarshal([]byte(answer), &e); err != nil || e.Type != "error" || e.Error.Code != "invalid" || e.ID != f.id || !strings.Contains(answer, f.want) {
			t.Errorf("%s: want an error with id %q about %s, got %s", name, f.id, f.want, answer)
		}
		if len(answer) > 500 {
			t.Errorf("%s: the answer has %d bytes", name, len(answer))
		}
	}
}

func TestFramesThatPass(t *testing.T) {
	t.Parallel()
	_, srv := setup(t)
	c := connect(t, srv)
	for name, f := range map[string]struct{ frame, want string }{
		"a heartbeat with an empty object": {`{"type":"presence.heartbeat","id":"1","data":{}}`, `{"type":"reply","id":"1","data":{}}`},
		"a heartbeat without data":         {`{"type":"presence.heartbeat","id":"1"}`, `{"type":"reply","id":"1","data":{}}`},
		"a heartbeat with null":            {`{"type":"presence.heartbeat","id":"1","data":null}`, `{"type":"reply","id":"1","data":{}}`},
		"members in another order":         {`{"data":{"text":"a"},"id":"1","type":"echo"}`, `{"type":"reply","id":"1","data":{"text":"a"}}`},
		"white space":                      {" {\n\t\"type\" : \"echo\" ,\r\n \"id\":\"1\", \"data\" : { \"text\" : \"a\" } } ", `{"type":"reply","id":"1","data":{"text":"a"}}`},
		"an escaped type and id":           {`{"type":"\u0065cho","id":"\u0031","data":{"text":"a"}}`, `{"type":"reply","id":"1","data":{"text":"a"}}`},
		"a surrogate pair":                 {`{"type":"echo","id":"1","data":{"text":"\ud83d\udc4d"}}`, `{"type":"reply","id":"1","data":{"text":"👍"}}`},
		"null for a field":                 {`{"type":"echo","id":"1","data":{"text":null}}`, `{"type":"reply","id":"1","data":{"text":""}}`},
	} {
		c.send(f.frame)
		if answer, err := c.read(); err != nil || answer != f.want {
			t.Errorf("%s: want %s, got %s %v", name, f.want, answer, err)
		}
	}
}

// TestFrameSize holds up that a frame counts as its text, not as what escapes make of it.
func TestFrameSize(t *testing.T) {
	t.Parallel()
	h, srv := setup(t)
	h.Mux().HandleLarge("large", func(_ context.Context, r *Request) (any, error) {
		return len(r.Data), nil
	})
	const text = 16 << 10
	frame := func(kind, text string) string {
		return `{"type":"` + kind + `","id":"1","data":{"text":"` + text + `"}}`
	}
	rest := len(frame("echo", ""))
	for name, f := range map[string]struct {
		frame string
		ok    bool
	}{
		"the longest text, in escapes of six bytes": {frame("echo", strings.Repeat(`\u0001`, text)), true},
		"the longest text, in quotes":               {frame("echo", strings.Repeat(`\"`, text)), true},
		"the longest text, in surrogate pairs":      {frame("echo", strings.Repeat(`\ud83d\udc4d`, text/4)), true},
		"64 KiB":                                    {frame("echo", strings.Repeat("a", maxFrame-rest)), true},
		"64 KiB in escapes":                         {frame("echo", strings.Repeat(`\u0061`, maxFrame-rest)), true},
		"64 KiB and a byte":                         {frame("echo", strings.Repeat("a", maxFrame-rest+1)), false},
		"64 KiB and a byte in escapes":              {frame("echo", strings.Repeat(`\u0061`, maxFrame-rest+1)), false},
		"70 KB":                                     {frame("echo", strings.Repeat("a", 70_000)), false},
		"70 KB of white space":                      {frame("echo", "") + strings.Repeat(" ", 70_000), false},
		"70 KB of an unknown type":                  {frame("none", strings.Repeat("a", 70_000)), false},
		"70 KB that is not JSON":                    {strings.Repeat("a", 70_000), false},
		"70 KB that breaks off":                     {frame("echo", strings.Repeat("a", 70_000))[:70_000], false},
		"2 MB":                                      {frame("echo", strings.Repeat("a", 2_000_000)), false},
		"2 MB in escapes":                           {frame("echo", strings.Repeat(`\u0061`, 400_000)), false},
		"512 KiB of a type that may be large":       {frame("large", strings.Repeat("a", maxRead-rest-1)), true},
		"more of a type that may be large":          {frame("large", strings.Repeat("a", maxRead-rest)), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := connect(t, srv)
			// Without the limit of the server, the write could fail, and the code still come.
			_ = c.ws.Write(t.Context(), websocket.MessageText, []byte(f.frame))
			if !f.ok {
				c.wantClosed(websocket.StatusMessageTooBig)
				return
			}
			if answer, err := c.read(); err != nil || !strings.HasPrefix(answer, `{"type":"reply"`) {
				t.Errorf("%.100s %v", answer, err)
			}
		})
	}
	t.Run("before auth", func(t *testing.T) {
		t.Parallel()
		c, _, err := dial(t, srv, nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.ws.Write(t.Context(), websocket.MessageText, []byte(frame("auth", strings.Repeat("a", 70_000))))
		c.wantClosed(websocket.StatusMessageTooBig)
	})
}

// FuzzRequest feeds the frame decoder: it answers or refuses, never panics, and what it
// accepts is what encoding/json would have read.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		`{"type":"echo","id":"1","data":{"text":"x"}}`, `{"type":1}`, `{"id":"\ud800","data":[[[]]]}`, `{"id":"a","id":"b"}`,
		`{"type":"echo","id":"1","data":{"a":1,"a":2}}`, `{"ID":"1"}`, `{"type":"\u0065cho","id":"\"","data":null}`, ` { } `,
	} {
		f.Add([]byte(seed))
	}
	h := New(Config{})
	f.Fuzz(func(t *testing.T, frame []byte) {
		r, size, err := h.request(nil, frame)
		if len(r.ID) > maxID || !utf8.ValidString(r.ID) || size > len(frame) || size*strictjson.MaxGrowth < len(frame) {
			t.Fatalf("id %q, size %d of %d", r.ID, size, len(frame))
		}
		var want struct {
			Type, ID string
			Data     json.RawMessage
		}
		std := json.Unmarshal(frame, &want)
		if err != nil {
			return
		}
		if std != nil || r.ID == "" || r.ID != want.ID || r.Type != want.Type || string(r.Data) != string(want.Data) {
			t.Fatalf("read %q %q %q, encoding/json %+v %v", r.Type, r.ID, r.Data, want, std)
		}
	})
}
