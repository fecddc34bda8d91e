package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/accounts"
	"parley/store/storetest"
)

// until reads events until one of a kind has data that a person's client would be looking for.
func (c *socket) until(kind string, wanted func(data map[string]any) bool) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		f, code := c.next()
		if f.Type == "" {
			c.t.Fatalf("closed with %d while waiting for %s", code, kind)
		}
		var data map[string]any
		if f.Type == kind && json.Unmarshal(f.Data, &data) == nil && wanted(data) {
			return
		}
	}
	c.t.Fatalf("no %s came that was wanted", kind)
}

// Two people who are connected to different replicas of one database notice nothing of it.
func TestTwoReplicas(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	here := startTest(t, func(c *config) { c.DatabaseURL = url })
	there := startTest(t, func(c *config) { c.DatabaseURL = url })
	ann, ben := here.person("ann", accounts.RoleMember), here.person("ben", accounts.RoleMember)
	id := here.conversation(ann, ben)
	a, b := here.connect(ann), there.connect(ben)
	of := func(p person, more func(map[string]any) bool) func(map[string]any) bool {
		return func(d map[string]any) bool { return d["user_id"] == p.id.String() && more(d) }
	}
	anything := func(map[string]any) bool { return true }

	// Presence, as asked and as told.
	if outcome, answer := a.ask("presence.watch", fmt.Sprintf(`{"user_ids":[%q]}`, ben.id)); outcome != "ok" {
		t.Fatal(answer)
	} else if !strings.Contains(answer, `"online":true`) {
		a.until("presence", of(ben, func(d map[string]any) bool { return d["online"] == true }))
	}

	// A message, who has got it, and who is writing another one.
	seq := float64(here.send(ann, id, "hello over there"))
	b.until("entry", func(d map[string]any) bool { return d["seq"] == seq })
	if outcome, _ := b.ask("receipt.read", fmt.Sprintf(`{"conversation_id":%q,"seq":%v}`, id, seq)); outcome != "ok" {
		t.Fatal(outcome)
	}
	a.until("receipt", of(ben, func(d map[string]any) bool { return d["read_seq"] == seq }))
	if outcome, _ := b.ask("typing.start", fmt.Sprintf(`{"conversation_id":%q}`, id)); outcome != "ok" {
		t.Fatal(outcome)
	}
	a.until("typing", of(ben, anything))

	// What is called what, and who may be there at all.
	there.must(ben, "PATCH", "/me", `{"display_name":"Benjamin"}`, &struct{}{})
	a.until("user", func(d map[string]any) bool { return d["display_name"] == "Benjamin" })
	group := here.group(ann, ben)
	b.until("conversation", func(d map[string]any) bool { return d["id"] == group })
	here.remove(ann, group, ben)
	b.until("entry", func(d map[string]any) bool { return d["kind"] == "member_removed" })
	if outcome, _ := b.ask("typing.start", fmt.Sprintf(`{"conversation_id":%q}`, group)); outcome != "not_found" {
		t.Errorf("a removed member types: %s", outcome)
	}

	// A session that is ended here has its socket closed there.
	began := time.Now()
	if outcome, answer := here.call(ben, "DELETE", "/sessions/current", ""); outcome != "ok" {
		t.Fatal(answer)
	}
	for {
		f, code := b.next()
		if f.Type == "" {
			if code != 4501 {
				t.Errorf("closed with %d", code)
			}
			break
		}
	}
	t.Logf("the socket on the other replica was closed after %v", time.Since(began))
	a.until("presence", of(ben, func(d map[string]any) bool { return d["online"] == false }))
}
