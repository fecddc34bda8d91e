package main

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"parley/accounts"
)

// exchange sends a frame, and gives the answer to it.
func (s *socket) exchange(frame string) string {
	s.t.Helper()
	if err := s.Write(s.t.Context(), websocket.MessageText, []byte(frame)); err != nil {
		s.t.Fatal(err)
	}
	for {
		_, b, err := s.Read(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		if answer := string(b); strings.HasPrefix(answer, `{"type":"reply"`) || strings.HasPrefix(answer, `{"type":"error"`) {
			return answer
		}
	}
}

// syncOf is a sync that names n conversations, with the longest values that there are.
func syncOf(n int) map[string]any {
	seqs, marks := map[string]int64{}, map[string]any{}
	for range n {
		id := uuid.NewString()
		seqs[id] = math.MaxInt64
		marks[id] = map[string]any{"seq": int64(math.MaxInt64), "created_at": "2026-11-23T12:00:00.123456Z"}
	}
	return map[string]any{"type": "sync", "id": "1", "data": map[string]any{
		"conversations": seqs, "last_entries": marks, "known_epoch": uuid.NewString()}}
}

// TestSyncThatNamesManyConversations holds up that what PROTOCOL.md allows fits a frame, so
// that a client that keeps to it never loops.
func TestSyncThatNamesManyConversations(t *testing.T) {
	t.Parallel()
	s := startTest(t, nil)
	ann := s.person("ann", accounts.RoleMember)
	for name, c := range map[string]struct {
		count  int
		indent string
		want   string
	}{
		"2,000 in one line":        {2000, "", `{"type":"reply","id":"1"`},
		"2,000 indented":           {2000, "    ", `{"type":"reply","id":"1"`},
		"one more than is allowed": {2001, "", `{"type":"error","id":"1","error":{"code":"too_large"`},
	} {
		t.Run(name, func(t *testing.T) {
			frame, err := json.MarshalIndent(syncOf(c.count), "", c.indent)
			if c.indent == "" {
				frame, err = json.Marshal(syncOf(c.count))
			}
			if err != nil {
				t.Fatal(err)
			}
			ws := s.dial(ann)
			if answer := ws.exchange(string(frame)); !strings.HasPrefix(answer, c.want) {
				t.Errorf("%d bytes: %.200s", len(frame), answer)
			}
		})
	}
}

// TestLongestMessage sends 16 KiB of text in whatever escapes, over the socket and HTTP.
func TestLongestMessage(t *testing.T) {
	t.Parallel()
	s := startTest(t, nil)
	ann, ben := s.person("ann", accounts.RoleMember), s.person("ben", accounts.RoleMember)
	c := s.conversation(ann, ben)
	ws := s.dial(ann)
	const size = 16 << 10
	for name, body := range map[string]string{
		"as it is":            strings.Repeat("a", size),
		"in escapes":          strings.Repeat(`\u0061`, size),
		"quotes":              strings.Repeat(`\"`, size),
		"line feeds":          "a" + strings.Repeat(`\n`, size-1),
		"letters with accent": strings.Repeat(`\u00e9`, size/2),
		"surrogate pairs":     strings.Repeat(`\ud83d\udc4d`, size/4),
	} {
		t.Run(name, func(t *testing.T) {
			id := uuid.NewString()
			frame := func(body string) string {
				return fmt.Sprintf(`{"type":"message.send","id":"1","data":{"conversation_id":%q,"client_id":%q,"body":"%s"}}`, c, id, body)
			}
			if answer := ws.exchange(frame(body)); !strings.HasPrefix(answer, `{"type":"reply"`) {
				t.Errorf("over the socket: %.200s", answer)
			}
			// With the same client_id it is a repeat: both ways read the same text.
			request := func(body string) string { return fmt.Sprintf(`{"client_id":%q,"body":"%s"}`, id, body) }
			if outcome, answer := s.call(ann, "POST", "/conversations/"+c+"/messages", request(body)); outcome != "ok" {
				t.Errorf("over HTTP: %s %.200s", outcome, answer)
			}
			if answer := ws.exchange(frame(body + "b")); !strings.Contains(answer, `"code":"too_large"`) && !strings.Contains(answer, `"code":"invalid"`) {
				t.Errorf("a byte more over the socket: %.200s", answer)
			}
			if outcome, answer := s.call(ann, "POST", "/conversations/"+c+"/messages", request(body+"b")); outcome != "too_large" && outcome != "invalid" {
				t.Errorf("a byte more over HTTP: %s %.200s", outcome, answer)
			}
		})
	}
}

// TestSameRulesOverSocketAndHTTP sends the same faults both ways: what one refuses the other
// does not take.
func TestSameRulesOverSocketAndHTTP(t *testing.T) {
	t.Parallel()
	s := startTest(t, nil)
	ann, ben := s.person("ann", accounts.RoleMember), s.person("ben", accounts.RoleMember)
	c := s.conversation(ann, ben)
	ws := s.dial(ann)
	const id = "019a0000-0000-7000-8000-00000000000a"
	for name, fields := range map[string]string{
		"an unknown field":         `"client_id":"` + id + `","body":"a","more":1`,
		"a field in capitals":      `"client_id":"` + id + `","Body":"a"`,
		"a field twice":            `"client_id":"` + id + `","body":"a","body":"b"`,
		"half a surrogate pair":    `"client_id":"` + id + `","body":"\ud83d"`,
		"half of one in a name":    `"client_id":"` + id + `","body":"a","\ud83d":1`,
		"NUL":                      `"client_id":"` + id + `","body":"a\u0000"`,
		"an id in braces":          `"client_id":"{` + id + `}","body":"a"`,
		"an id without hyphens":    `"client_id":"` + strings.ReplaceAll(id, "-", "") + `","body":"a"`,
		"an id as a URN":           `"client_id":"urn:uuid:` + id + `","body":"a"`,
		"a number for the text":    `"client_id":"` + id + `","body":1`,
		"a text for a number":      `"client_id":"` + id + `","body":"a","reply_to":"1"`,
		"a fraction":               `"client_id":"` + id + `","body":"a","reply_to":1.5`,
		"a number beyond 64 bits":  `"client_id":"` + id + `","body":"a","reply_to":9223372036854775808`,
		"null in a list":           `"client_id":"` + id + `","body":"a","mentions":[null]`,
		"an object for a list":     `"client_id":"` + id + `","body":"a","mentions":{}`,
		"a mention that is no id":  `"client_id":"` + id + `","body":"a","mentions":["ann"]`,
		"deep nesting in a list":   `"client_id":"` + id + `","body":"a","mentions":` + strings.Repeat("[", 40) + strings.Repeat("]", 40),
		"a comma at the end":       `"client_id":"` + id + `","body":"a",`,
		"a raw line feed in it":    "\"client_id\":\"" + id + "\",\"body\":\"a\nb\"",
		"an escape that is none":   `"client_id":"` + id + `","body":"\x41"`,
		"a zero before the number": `"client_id":"` + id + `","body":"a","reply_to":01`,
	} {
		t.Run(name, func(t *testing.T) {
			if answer := ws.exchange(`{"type":"message.send","id":"1","data":{"conversation_id":"` + c + `",` + fields + `}}`); !strings.Contains(answer, `"code":"invalid"`) {
				t.Errorf("over the socket: %.300s", answer)
			}
			if outcome, answer := s.call(ann, "POST", "/conversations/"+c+"/messages", `{`+fields+`}`); outcome != "invalid" {
				t.Errorf("over HTTP: %s %.300s", outcome, answer)
			}
		})
	}
	t.Run("text of a query that is none", func(t *testing.T) {
		for _, query := range []string{"%ff", "%ed%a0%80", "%c0%80", "a%00", "%zz", "a;b"} {
			if outcome, answer := s.call(ann, "GET", "/users?query="+query, ""); outcome != "invalid" {
				t.Errorf("%s: %s %.300s", query, outcome, answer)
			}
		}
	})
}

// TestFieldsOutOfRange sends seqs that no entry can have, and fields that have no effect.
func TestFieldsOutOfRange(t *testing.T) {
	t.Parallel()
	s := startTest(t, nil)
	ann, ben := s.person("ann", accounts.RoleMember), s.person("ben", accounts.RoleMember)
	c := s.conversation(ann, ben)
	ws := s.dial(ann)
	for name, f := range map[string]struct{ kind, data, want string }{
		"a reply to 0":                {"message.send", fmt.Sprintf(`{"conversation_id":%q,"client_id":%q,"body":"x","reply_to":0}`, c, uuid.NewString()), "invalid"},
		"a reply below 0":             {"message.send", fmt.Sprintf(`{"conversation_id":%q,"client_id":%q,"body":"x","reply_to":-1}`, c, uuid.NewString()), "invalid"},
		"a reply to null":             {"message.send", fmt.Sprintf(`{"conversation_id":%q,"client_id":%q,"body":"x","reply_to":null}`, c, uuid.NewString()), "ok"},
		"a sync from below 0":         {"sync", fmt.Sprintf(`{"conversations":{%q:-1}}`, c), "invalid"},
		"a sync from 0":               {"sync", fmt.Sprintf(`{"conversations":{%q:0}}`, c), "ok"},
		"a sync that holds entry 0":   {"sync", fmt.Sprintf(`{"conversations":{%q:1},"last_entries":{%q:{"seq":0,"created_at":"2026-11-23T12:00:00Z"}}}`, c, c), "invalid"},
		"a sync with a comma in time": {"sync", fmt.Sprintf(`{"conversations":{%q:1},"last_entries":{%q:{"seq":1,"created_at":"2026-11-23T12:00:00,5Z"}}}`, c, c), "invalid"},
		"a sync with a day of zone":   {"sync", fmt.Sprintf(`{"conversations":{%q:1},"last_entries":{%q:{"seq":1,"created_at":"2026-11-23T12:00:00+24:00"}}}`, c, c), "invalid"},
		"a sync with the last time":   {"sync", fmt.Sprintf(`{"conversations":{%q:1},"last_entries":{%q:{"seq":1,"created_at":"9999-12-31T23:59:59-23:59"}}}`, c, c), "ok"},
		"a sync with the first time":  {"sync", fmt.Sprintf(`{"conversations":{%q:1},"last_entries":{%q:{"seq":1,"created_at":"0000-01-01T00:00:00+23:59"}}}`, c, c), "ok"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := ws.exchange(fmt.Sprintf(`{"type":%q,"id":"1","data":%s}`, f.kind, f.data))
			want := `{"type":"error","id":"1","error":{"code":"` + f.want + `"`
			if f.want == "ok" {
				want = `{"type":"reply","id":"1"`
			}
			if !strings.HasPrefix(answer, want) {
				t.Errorf("%s: %.200s", f.data, answer)
			}
		})
	}
	for name, r := range map[string]struct{ body, want string }{
		"a direct conversation":                {fmt.Sprintf(`{"kind":"direct","user_id":%q}`, ben.id), "ok"},
		"a direct conversation with a title":   {fmt.Sprintf(`{"kind":"direct","user_id":%q,"title":"Us"}`, ben.id), "invalid"},
		"a direct conversation with members":   {fmt.Sprintf(`{"kind":"direct","user_id":%q,"member_ids":[%q]}`, ben.id, ben.id), "invalid"},
		"a direct conversation with client_id": {fmt.Sprintf(`{"kind":"direct","user_id":%q,"client_id":%q}`, ben.id, uuid.NewString()), "invalid"},
		"a group":                              {fmt.Sprintf(`{"kind":"group","title":"Us","member_ids":[%q]}`, ben.id), "ok"},
		"a group with a user_id":               {fmt.Sprintf(`{"kind":"group","title":"Us","member_ids":[],"user_id":%q}`, ben.id), "invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			if outcome, answer := s.call(ann, "POST", "/conversations", r.body); outcome != r.want {
				t.Errorf("%s: %s", outcome, answer)
			}
		})
	}
}
