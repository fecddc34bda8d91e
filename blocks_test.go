package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"parley/accounts"
	"parley/store/storetest"
)

// block makes a user block another one, or ends that.
func (s *testServer) block(method string, who, other person) {
	s.t.Helper()
	if outcome, answer := s.call(who, method, "/users/"+other.id.String()+"/block", ""); outcome != "ok" {
		s.t.Fatal(answer)
	}
}

// wants fails the test unless a request on a connection has an outcome.
func (c *socket) wants(outcome, kind, data string) (received string) {
	c.t.Helper()
	got, received := c.ask(kind, data)
	if got != outcome {
		c.t.Errorf("%s: got %s, want %s: %s", kind, got, outcome, received)
	}
	return received
}

func TestBlockOverTwoReplicas(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	here := startTest(t, func(c *config) { c.DatabaseURL = url })
	there := startTest(t, func(c *config) { c.DatabaseURL = url })
	ann, ben := here.person("ann", accounts.RoleMember), here.person("ben", accounts.RoleMember)
	id, group := here.conversation(ann, ben), here.group(ann, ben)
	seq := here.send(ann, id, "before")
	// Every connection is at the other replica than the requests of the block.
	a, b := there.connect(ann), there.connect(ben)
	of := func(p person, online bool) func(map[string]any) bool {
		return func(d map[string]any) bool { return d["user_id"] == p.id.String() && d["online"] == online }
	}
	blocked := func(is bool) func(map[string]any) bool {
		return func(d map[string]any) bool { return d["id"] == id && d["blocked"] == is }
	}
	named := func(is bool) func(map[string]any) bool {
		return func(d map[string]any) bool { return d["user_id"] == ben.id.String() && d["blocked"] == is }
	}
	watch := func(c *socket, p person) {
		t.Helper()
		if !strings.Contains(c.wants("ok", "presence.watch", fmt.Sprintf(`{"user_ids":[%q]}`, p.id)), `"online":true`) {
			c.until("presence", of(p, true))
		}
	}
	in := func(conversation string) string { return fmt.Sprintf(`{"conversation_id":%q}`, conversation) }
	message := func(body string) string {
		return fmt.Sprintf(`{"conversation_id":%q,"client_id":%q,"body":%q}`, id, clientID(), body)
	}
	watch(a, ben)
	watch(b, ann)
	b.wants("ok", "typing.start", in(group))
	a.until("typing", func(d map[string]any) bool { return d["conversation_id"] == group && d["user_id"] == ben.id.String() })

	here.block("PUT", ann, ben)
	t.Run("the events block and conversation reach the blocker", func(*testing.T) {
		a.untilAll(map[string]func(map[string]any) bool{"block": named(true), "conversation": blocked(true), "presence": of(ben, false)})
	})
	t.Run("the blocked user gets the conversation and the end of the presence, and no event block", func(t *testing.T) {
		if kinds := b.untilAll(map[string]func(map[string]any) bool{"conversation": blocked(true), "presence": of(ann, false)}); kinds["block"] {
			t.Error("the block is named")
		}
	})
	t.Run("sends, edits and typing are refused", func(t *testing.T) {
		for _, c := range []*socket{a, b} {
			c.wants("forbidden", "message.send", message("hello"))
			c.wants("forbidden", "typing.start", in(id))
		}
		a.wants("forbidden", "message.edit", fmt.Sprintf(`{"conversation_id":%q,"client_id":%q,"seq":%d,"body":"other"}`, id, clientID(), seq))
		for _, s := range []*testServer{here, there} {
			if outcome, _ := s.call(ben, "POST", "/conversations/"+id+"/messages", fmt.Sprintf(`{"client_id":%q,"body":"x"}`, clientID())); outcome != "forbidden" {
				t.Errorf("a send is %s", outcome)
			}
		}
	})
	t.Run("nothing of the other side is shown in a common group", func(t *testing.T) {
		b.wants("ok", "typing.start", in(group))
		// The message comes after what typing would have shown.
		shown := there.send(ben, group, "hello, group")
		kinds := a.untilAll(map[string]func(map[string]any) bool{"entry": func(d map[string]any) bool { return d["seq"] == float64(shown) }})
		if kinds["typing"] || kinds["presence"] {
			t.Errorf("before the message came %v", kinds)
		}
		for _, who := range []struct{ c, other person }{{ann, ben}, {ben, ann}} {
			if _, answer := there.call(who.c, "GET", "/conversations/"+group+"/presence", ""); strings.Count(answer, `"online":true`) != 1 {
				t.Errorf("the group shows %s", answer)
			}
		}
	})
	here.block("DELETE", ann, ben)
	t.Run("all is as before after the block", func(*testing.T) {
		a.untilAll(map[string]func(map[string]any) bool{"block": named(false), "conversation": blocked(false)})
		b.untilAll(map[string]func(map[string]any) bool{"conversation": blocked(false)})
		watch(a, ben) // the block ended the watch
		watch(b, ann)
		b.wants("ok", "message.send", message("again"))
		a.until("entry", func(d map[string]any) bool { return d["body"] == "again" })
		b.wants("ok", "typing.start", in(id))
		a.until("typing", func(d map[string]any) bool { return d["conversation_id"] == id && d["user_id"] == ben.id.String() })
	})
}

// untilAll reads events until each of some kinds came with the data that is looked for, in any
// order. It gives the kinds of all events that came.
func (c *socket) untilAll(wanted map[string]func(data map[string]any) bool) (kinds map[string]bool) {
	c.t.Helper()
	kinds = map[string]bool{}
	for missing := len(wanted); missing > 0; {
		f, code := c.next()
		if f.Type == "" {
			c.t.Fatalf("closed with %d, %d kinds missing", code, missing)
		}
		kinds[f.Type] = true
		var data map[string]any
		if is := wanted[f.Type]; is != nil && json.Unmarshal(f.Data, &data) == nil && is(data) {
			delete(wanted, f.Type)
			missing--
		}
	}
	return kinds
}

func clientID() uuid.UUID { return uuid.Must(uuid.NewV7()) }
