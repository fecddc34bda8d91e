package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"parley/accounts"
	"parley/chat"
	"parley/store/storetest"
)

// leave deletes an account over HTTP.
func (s *testServer) leave(who person, messages string) {
	s.t.Helper()
	if outcome, answer := s.call(who, "DELETE", "/me", fmt.Sprintf(`{"password":%q,"messages":%q}`, testPassword, messages)); outcome != "ok" {
		s.t.Fatal(answer)
	}
}

// A deleted user is gone on every replica, and so are the texts.
func TestDeletedAccount(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	here := startTest(t, func(c *config) { c.DatabaseURL = url })
	there := startTest(t, func(c *config) { c.DatabaseURL = url })
	ann, ben, eve := here.person("ann", accounts.RoleMember), here.person("ben", accounts.RoleMember), here.person("eve", accounts.RoleMember)
	direct := here.conversation(ann, ben)
	group := here.group(ann, ben, eve)
	const secret = "a-secret-of-ann"
	here.send(ann, direct, secret)
	seq := here.send(ann, group, secret)
	here.must(ann, "POST", "/devices", subscriptionAt("https://push.invalid/ann"), &struct{}{})
	anns := []*socket{here.connect(ann), there.connect(ann)}
	watching := there.connect(ben)

	here.leave(ann, "erase")
	for i, c := range anns {
		var code websocket.StatusCode
		for code == 0 {
			_, code = c.next()
		}
		if code != 4501 {
			t.Errorf("socket %d of the user is closed with %d", i, code)
		}
	}
	// On one connection in any order across conversations.
	erased, deleted, left := map[string]bool{}, false, false
	for len(erased) < 2 || !deleted || !left {
		f, code := watching.next()
		if code != 0 {
			t.Fatalf("closed with %d", code)
		}
		switch f.Type {
		case "entry":
			var e chat.Entry
			if err := json.Unmarshal(f.Data, &e); err != nil {
				t.Fatal(err)
			}
			left = left || e.Kind == chat.KindMemberLeft && e.UserID == ann.id
			if e.Kind == chat.KindMessagesErased && e.UserID == ann.id {
				erased[e.ConversationID.String()] = true
			}
		case "user":
			deleted = deleted || strings.Contains(string(f.Data), `"deleted":true`) && strings.Contains(string(f.Data), ann.id.String())
		}
	}
	if roles := there.roles(ben, group); roles["ben"] != chat.RoleOwner || len(roles) != 2 {
		t.Errorf("the roles are %v", roles)
	}
	for _, s := range []*testServer{here, there} {
		for _, path := range []string{
			"/conversations", "/conversations/" + direct, "/conversations/" + group + "/messages", "/conversations/" + direct + "/messages",
			"/conversations/" + group + "/entries?after=0", "/conversations/" + direct + "/entries?after=0", "/users?query=ann", "/users?ids=" + ann.id.String(),
			fmt.Sprintf("/conversations/%s/messages?around=%d", group, seq), "/conversations/" + group + "/members",
		} {
			_, answer := s.call(ben, "GET", path, "")
			if strings.Contains(answer, secret) || strings.Contains(answer, `"ann"`) {
				t.Errorf("%s: %s", path, answer)
			}
		}
		if outcome, answer := s.call(ben, "POST", "/conversations/"+direct+"/messages", `{"client_id":"`+someClientID+`","body":"hello?"}`); outcome != "forbidden" {
			t.Errorf("writing to a deleted user: %s %s", outcome, answer)
		}
	}
	// The page has tombstones, and the entry that says so is no row of it.
	page := there.page(ben, direct, "")
	if n := len(page.Messages); n != 2 || !page.Messages[1].Deleted || page.Messages[1].Body != "" || page.LastSeq != 3 {
		t.Errorf("the page is %+v", page)
	}
	eventually(t, "the user's devices are gone", func() bool {
		var n int
		err := here.db.QueryRow(t.Context(), `SELECT count(*) FROM devices WHERE user_id = $1`, ann.id).Scan(&n)
		return err == nil && n == 0
	})
}

// What a crash leaves of a deletion is done by the next server that starts.
func TestDeletionAfterACrash(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	s := startTest(t, func(c *config) { c.DatabaseURL = url })
	ann, ben := s.person("ann", accounts.RoleMember), s.person("ben", accounts.RoleMember)
	group := s.group(ann, ben)
	s.send(ann, group, "secret")
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	// The command line has no writers, so it does no more than the request.
	if status, _, complaints := command([]string{"DATABASE_URL=" + url}, "", "user", "delete", "ann", "--messages", "erase"); status != 0 {
		t.Fatal(complaints)
	}
	again := startTest(t, func(c *config) { c.DatabaseURL = url })
	eventually(t, "the rest is removed", func() bool {
		_, answer := again.call(ben, "GET", "/conversations/"+group+"/entries?after=0", "")
		return strings.Contains(answer, "messages_erased") && !strings.Contains(answer, "secret") && strings.Contains(answer, "member_left")
	})
	if roles := again.roles(ben, group); roles["ben"] != chat.RoleOwner || len(roles) != 1 {
		t.Errorf("the roles are %v", roles)
	}
}

// A download has everything of its user, and nothing of others'.
func TestDownload(t *testing.T) {
	t.Parallel()
	s := startTest(t, nil)
	ann, ben := s.person("ann", accounts.RoleMember), s.person("ben", accounts.RoleMember)
	id := s.conversation(ann, ben)
	s.send(ann, id, "from-ann")
	s.send(ben, id, "from-ben")
	s.must(ann, "POST", "/devices", subscriptionAt("https://push.invalid/ann"), &struct{}{})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/api/v1/me/export", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+ann.token)
	res, err := http.DefaultClient.Do(req) // takes gzip, and unpacks it
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || !res.Uncompressed {
		t.Fatal(err, res.Status, res.Uncompressed)
	}
	text := string(body)
	for _, want := range []string{`"type":"profile"`, `"type":"session"`, `"type":"conversation"`, `"type":"message"`, `"type":"device"`, "from-ann", `{"type":"end","lines":`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing in %s", want, text)
		}
	}
	for _, not := range []string{"from-ben", "BTBZMqHH6r4Tts7J_aSIgg", "push.invalid"} {
		if strings.Contains(text, not) {
			t.Errorf("%s is in %s", not, text)
		}
	}
}
