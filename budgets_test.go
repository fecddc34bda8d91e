package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"parley/accounts"
	"parley/problem"
)

// hostile is a server with its limits on: eve attacks, ann and ben go on with what they do.
type hostile struct {
	*testServer
	eve, ann, ben    person
	evesBen, annsBen string // direct conversations
	annsWS, bensWS   *socket
}

func newHostile(t *testing.T) *hostile {
	t.Helper()
	s := startTest(t, func(c *config) {
		c.RateLimits, c.TrustedProxies, c.MembersInvite = "on", []string{"127.0.0.1/32"}, true
	})
	h := &hostile{testServer: s,
		eve: s.person("eve", accounts.RoleMember), ann: s.person("ann", accounts.RoleMember), ben: s.person("ben", accounts.RoleMember)}
	h.evesBen, h.annsBen = s.conversation(h.eve, h.ben), s.conversation(h.ann, h.ben)
	s.send(h.ann, h.annsBen, "hello")
	h.annsWS, h.bensWS = s.connect(h.ann), s.connect(h.ben)
	return h
}

// answer is that of a request: its code is ok, or that of the problem.
type answer struct {
	code, detail string
	retryAfter   int // in seconds
}

// from makes a request from an address of the user's own, so that no address asks too much.
func (h *hostile) from(who person, method, path, body string) answer {
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.url+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		h.t.Error(err)
		return answer{}
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Bearer "+who.token)
	req.Header.Set("X-Forwarded-For", "198.51.100."+strconv.Itoa(int(who.id[15])))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Error(err)
		return answer{}
	}
	defer res.Body.Close()
	if res.StatusCode < 300 {
		return answer{code: "ok"}
	}
	var p problem.Document
	if err := json.NewDecoder(res.Body).Decode(&p); err != nil {
		h.t.Error(err)
	}
	a := answer{code: string(p.Code), detail: p.Detail}
	a.retryAfter, _ = strconv.Atoi(res.Header.Get("Retry-After")) // 0 where there is none
	return a
}

func message(body string) string {
	return fmt.Sprintf(`{"client_id":%q,"body":%q}`, uuid.Must(uuid.NewV7()), body)
}

// untilRefused makes a request again until it is refused, and gives how often it was not.
func (h *hostile) untilRefused(most int, request func() answer) (accepted int, a answer) {
	h.t.Helper()
	for range most {
		if a = request(); a.code != "ok" {
			break
		}
		accepted++
	}
	if a.code != "rate_limited" || a.retryAfter < 1 {
		h.t.Fatalf("after %d: %+v", accepted, a)
	}
	return accepted, a
}

// canary is what others do meanwhile: nothing of it is refused.
func (h *hostile) canary() {
	h.t.Helper()
	for range 3 {
		for _, c := range []struct {
			who                person
			method, path, body string
		}{
			{h.ann, "POST", "/conversations/" + h.annsBen + "/messages", message("from ann")},
			{h.ben, "POST", "/conversations/" + h.annsBen + "/messages", message("from ben")},
			{h.ben, "PUT", "/conversations/" + h.annsBen + "/messages/2/reactions/👍", ""},
			{h.ben, "GET", "/conversations/" + h.annsBen + "/messages", ""},
			{h.ann, "GET", "/conversations", ""},
			{h.ann, "GET", "/users?query=be", ""},
		} {
			if a := h.from(c.who, c.method, c.path, c.body); a.code != "ok" {
				h.t.Errorf("%s %s by %s: %+v", c.method, c.path, c.who.name, a)
			}
		}
		for _, ws := range []*socket{h.annsWS, h.bensWS} {
			if outcome, _ := ws.ask("message.send", fmt.Sprintf(`{"conversation_id":%q,%s`, h.annsBen, message("hi")[1:])); outcome != "ok" {
				h.t.Errorf("a message: %s", outcome)
			}
			if outcome, _ := ws.ask("sync", `{}`); outcome != "ok" {
				h.t.Errorf("a sync: %s", outcome)
			}
		}
		ws := h.dial(h.ann)
		if f, _ := ws.next(); f.Type != "hello" {
			h.t.Errorf("a connect: %s", f.Type)
		}
		_ = ws.CloseNow() // it was only to be opened
	}
}

// A user who sends and reacts without end, by many connections and HTTP, gets a share of the
// replica, and is told when to go on. What others do is not refused.
func TestHostileSender(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	target := h.send(h.ben, h.evesBen, "hello")
	const sockets, each = 5, 150
	accepted, refused := 0, 0
	for range sockets {
		ws := h.connect(h.eve)
		for i := range each {
			data := fmt.Sprintf(`{"type":"message.send","id":"%d","data":{"conversation_id":%q,%s}`, i, h.evesBen, message("spam")[1:])
			if i%2 == 0 {
				data = fmt.Sprintf(`{"type":"message.react","id":"%d","data":{"conversation_id":%q,"client_id":%q,"seq":%d,"emoji":"👍","remove":%v}}`,
					i, h.evesBen, uuid.Must(uuid.NewV7()), target, i%4 == 0)
			}
			if err := ws.Write(t.Context(), websocket.MessageText, []byte(data)); err != nil {
				t.Fatal(err)
			}
		}
		for answers := 0; answers < each; {
			switch f, code := ws.next(); {
			case code != 0:
				t.Fatalf("closed with %d", code)
			case f.Type == "reply":
				accepted, answers = accepted+1, answers+1
			case f.Type == "error":
				refused, answers = refused+1, answers+1
				if f.Error.Code != problem.RateLimited || f.Error.RetryAfter < 1 {
					t.Fatalf("refused: %+v", f.Error)
				}
			}
		}
		_ = ws.CloseNow() // its answers are here
	}
	if refused == 0 {
		t.Errorf("%d messages were accepted and none refused", accepted)
	}
	// What connections have used, HTTP does not have: the budget is the user's.
	var mu sync.Mutex
	var posting sync.WaitGroup
	byHTTP := 0
	for range 8 { // together faster than the budget grows
		posting.Go(func() {
			for range 50 {
				a := h.from(h.eve, "POST", "/conversations/"+h.evesBen+"/messages", message("spam"))
				if a.code != "ok" && (a.code != "rate_limited" || a.retryAfter < 1) {
					t.Errorf("refused: %+v", a)
				}
				mu.Lock()
				if a.code == "ok" {
					byHTTP++
				}
				mu.Unlock()
			}
		})
	}
	posting.Wait()
	if byHTTP == 8*50 {
		t.Errorf("%d more messages were accepted over HTTP", byHTTP)
	}
	h.canary()
}

// A user with a hundred requests in progress has two, and thirty that wait: the others are refused
// at once. Connections and HTTP count together.
func TestHostileReader(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	var leave []func()
	for range readsInProgress {
		l, err := h.reads.Enter(t.Context(), h.eve.id)
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, l)
	}
	const requests = 100
	paths := []string{"/conversations", "/conversations/" + h.evesBen + "/messages", "/conversations/" + h.evesBen + "/entries",
		"/conversations/" + h.evesBen + "/members", "/users?query=a"}
	answers := make(chan answer, requests)
	for i := range requests {
		go func() { answers <- h.from(h.eve, "GET", paths[i%len(paths)], "") }()
	}
	for range requests - readsWaiting {
		if a := <-answers; a.code != "rate_limited" || a.retryAfter < 1 {
			t.Errorf("beyond what may wait: %+v", a)
		}
	}
	ws := h.connect(h.eve)
	for _, f := range []struct{ kind, data string }{{"sync", `{}`}, {"presence.watch", fmt.Sprintf(`{"user_ids":[%q]}`, h.ben.id)}} {
		if outcome, _ := ws.ask(f.kind, f.data); outcome != "rate_limited" {
			t.Errorf("a %s beyond what may wait: %s", f.kind, outcome)
		}
	}
	// Messages have a budget of their own.
	if a := h.from(h.eve, "POST", "/conversations/"+h.evesBen+"/messages", message("x")); a.code != "ok" {
		t.Errorf("a message: %+v", a)
	}
	h.canary()
	for _, l := range leave {
		l()
	}
	for range readsWaiting {
		if a := <-answers; a.code != "ok" {
			t.Errorf("what waited: %+v", a)
		}
	}
}

// Only operations that exist are left out of the turns, so that a renamed one is not forgotten.
func TestLightOperations(t *testing.T) {
	t.Parallel()
	s := startTest(t, nil)
	known := make(map[string]bool)
	for _, path := range s.web.API().OpenAPI().Paths {
		for _, op := range []*huma.Operation{path.Get, path.Put, path.Post, path.Patch, path.Delete} {
			if op != nil {
				known[op.OperationID] = true
			}
		}
	}
	for name := range lightOperations {
		if !known[name] {
			t.Errorf("there is no operation %s", name)
		}
	}
}

// New conversations, members and invites are bounded by the hour.
func TestHostileInviter(t *testing.T) {
	t.Parallel()
	t.Run("conversations", func(t *testing.T) {
		t.Parallel()
		h := newHostile(t)
		n, a := h.untilRefused(60, func() answer {
			return h.from(h.eve, "POST", "/conversations", fmt.Sprintf(`{"kind":"group","title":"Spam","member_ids":[%q]}`, h.ben.id))
		})
		if n < 49 || n > 51 { // one is used already, one may come after 72 s
			t.Errorf("%d conversations, then %+v", n, a)
		}
		if a := h.from(h.eve, "POST", "/conversations", fmt.Sprintf(`{"kind":"direct","user_id":%q}`, h.ann.id)); a.code != "rate_limited" {
			t.Errorf("a direct conversation: %+v", a)
		}
		if a := h.from(h.eve, "POST", "/conversations", fmt.Sprintf(`{"kind":"direct","user_id":%q}`, h.ben.id)); a.code != "ok" {
			t.Errorf("the one there is: %+v", a)
		}
		if a := h.from(h.ben, "POST", "/conversations", `{"kind":"group","title":"Fine","member_ids":[]}`); a.code != "ok" {
			t.Errorf("another user's: %+v", a)
		}
		h.canary()
	})
	t.Run("names", func(t *testing.T) {
		t.Parallel()
		h := newHostile(t)
		turn := 0
		n, a := h.untilRefused(60, func() answer {
			turn++
			return h.from(h.eve, "PATCH", "/me", fmt.Sprintf(`{"display_name":"Eve %d"}`, turn))
		})
		if n < 50 || n > 51 { // one may come after 72 s
			t.Errorf("%d names, then %+v", n, a)
		}
		if a := h.from(h.ben, "PATCH", "/me", `{"display_name":"Benjamin"}`); a.code != "ok" {
			t.Errorf("another user's: %+v", a)
		}
		h.canary()
	})
	t.Run("members", func(t *testing.T) {
		t.Parallel()
		h := newHostile(t)
		const crowd = 450
		var ids []string
		rows, err := h.db.Query(t.Context(), `INSERT INTO users (id, username, display_name, password_hash, role)
			SELECT gen_random_uuid(), 'crowd' || n, 'Crowd', '', 'member' FROM generate_series(1, $1::int) n RETURNING id::text`, crowd)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, `"`+id+`"`)
		}
		group := `{"kind":"group","title":"Spam","member_ids":[` + strings.Join(ids, ",") + `]}`
		if n, a := h.untilRefused(5, func() answer { return h.from(h.eve, "POST", "/conversations", group) }); n != 2 {
			t.Errorf("%d groups of %d, then %+v", n, crowd, a)
		}
		empty := h.group(h.eve)
		if a := h.from(h.eve, "POST", "/conversations/"+empty+"/members", `{"user_ids":[`+strings.Join(ids, ",")+`]}`); a.code != "rate_limited" || a.retryAfter < 1 {
			t.Errorf("adding as many: %+v", a)
		}
		h.canary()
	})
	t.Run("invites", func(t *testing.T) {
		t.Parallel()
		h := newHostile(t)
		if n, a := h.untilRefused(60, func() answer { return h.from(h.eve, "POST", "/invites", "{}") }); n < 50 || n > 51 {
			t.Errorf("%d invites, then %+v", n, a)
		}
		if a := h.from(h.ann, "POST", "/invites", "{}"); a.code != "ok" {
			t.Errorf("another user's: %+v", a)
		}
		h.canary()
	})
}
