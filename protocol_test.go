package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"parley/accounts"
)

var update = flag.Bool("update", false, "write testdata/frames and the frames in docs/PROTOCOL.md anew")

var (
	uuids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	times = regexp.MustCompile(`"\d{4}-\d\d-\d\dT[0-9:.]+Z"`)
	block = regexp.MustCompile("(?s)```json ([a-z]+)\n(.*?)```")
)

// talk is what a client and the server said to each other, with ids and times made the
// same in every run.
type talk struct {
	*socket
	ids   map[string]string // shared by the talks of a test
	lines []string
}

func (k *talk) note(mark, frame string) {
	frame = uuids.ReplaceAllStringFunc(frame, func(id string) string {
		if _, ok := k.ids[id]; !ok {
			k.ids[id] = fmt.Sprintf("019a0000-0000-7000-8000-%012d", len(k.ids)+1)
		}
		return k.ids[id]
	})
	frame = times.ReplaceAllString(frame, `"2026-11-23T12:00:00.123456Z"`)
	k.lines = append(k.lines, mark+" "+frame)
}

func (k *talk) say(frame string) {
	k.t.Helper()
	k.note(">", frame)
	if err := k.Write(k.t.Context(), websocket.MessageText, []byte(frame)); err != nil {
		k.t.Fatal(err)
	}
}

// hear notes the next frame of a type that contains a text; others before it are passed
// over.
func (k *talk) hear(kind, text string) {
	k.t.Helper()
	for {
		_, b, err := k.Read(k.t.Context())
		if err != nil {
			k.t.Fatalf("waiting for %s: %v", kind, err)
		}
		if f := string(b); strings.HasPrefix(f, `{"type":"`+kind+`"`) && strings.Contains(f, text) {
			k.note("<", f)
			return
		}
	}
}

// golden compares what was said since the last call with testdata and with the block of
// that name in docs/PROTOCOL.md.
func (k *talk) golden(name string) {
	k.t.Helper()
	got := strings.Join(k.lines, "\n") + "\n"
	k.lines = nil
	file, doc := filepath.Join("testdata", "frames", name+".txt"), filepath.Join("docs", "PROTOCOL.md")
	page, err := os.ReadFile(doc)
	if err != nil {
		k.t.Fatal(err)
	}
	if *update {
		quoted := block.ReplaceAllStringFunc(string(page), func(b string) string {
			if block.FindStringSubmatch(b)[1] == name {
				return "```json " + name + "\n" + got + "```"
			}
			return b
		})
		for path, content := range map[string]string{file: got, doc: quoted} {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				k.t.Fatal(err)
			}
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		k.t.Fatal(err)
	}
	if got != string(want) {
		k.t.Errorf("%s: want\n%s\ngot\n%s", name, want, got)
	}
	for _, b := range block.FindAllStringSubmatch(string(page), -1) {
		if b[1] == name && b[2] != got {
			k.t.Errorf("%s: %s has\n%s", name, doc, b[2])
		}
	}
	if !strings.Contains(string(page), "```json "+name+"\n") {
		k.t.Errorf("%s does not quote %s", doc, name)
	}
}

// A frame beyond a budget is refused with the time after which to go on.
func TestGoldenLimit(t *testing.T) {
	t.Parallel()
	s := startTest(t, func(c *config) { c.RateLimits = "on" })
	a := &talk{socket: s.connect(s.person("ann", accounts.RoleMember)), ids: map[string]string{}}
	for range 400 { // more than a user may send at once
		a.say(`{"type":"presence.heartbeat","id":"3","data":{}}`)
	}
	a.lines = a.lines[399:]
	a.hear("error", "")
	a.golden("limited")
}

// The frames that the documentation promises are those the server sends.
func TestGoldenFrames(t *testing.T) {
	t.Parallel()
	s := startTest(t, nil)
	ann, ben := s.person("ann", accounts.RoleMember), s.person("ben", accounts.RoleMember)
	ids := map[string]string{}

	a := &talk{socket: s.dial(person{}), ids: ids}
	a.say(`{"type":"auth","id":"1","data":{"token":"` + ann.token + `"}}`)
	a.lines[0] = strings.Replace(a.lines[0], ann.token, "TOKEN", 1)
	a.hear("reply", "")
	a.golden("auth")
	a.hear("hello", "")
	a.golden("hello")
	a.say(`{"type":"message.fly","id":"2","data":{}}`)
	a.hear("error", "")
	a.golden("error")
	a.say(`{"type":"presence.heartbeat","id":"3","data":{}}`)
	a.hear("reply", "")
	a.golden("heartbeat")

	b := &talk{socket: s.dial(ben), ids: ids}
	b.hear("hello", "")
	b.lines = nil
	c := s.conversation(ann, ben)
	s.conversation(ben, ann) // so that it is hidden from neither
	b.hear("conversation", "")
	b.golden("conversation")

	a.say(`{"type":"message.send","id":"4","data":{"conversation_id":"` + c + `","client_id":"019a0000-0000-7000-8000-0000000000c1","body":"Hello, Ben!"}}`)
	a.hear("reply", "")
	a.golden("send")
	b.hear("entry", "Hello")
	b.golden("entry")

	a.hear("receipt", ann.id.String()) // sending is reading; the mark is written a moment later
	a.lines = nil
	a.say(`{"type":"sync","id":"5","data":{"conversations":{"` + c + `":1}}}`)
	a.hear("reply", "")
	a.golden("sync")

	b.say(`{"type":"receipt.read","id":"6","data":{"conversation_id":"` + c + `","seq":2}}`)
	b.hear("reply", "")
	a.hear("receipt", ben.id.String())
	b.lines = append(b.lines, a.lines...)
	b.golden("receipt")

	a.lines = nil
	a.say(`{"type":"message.edit","id":"7","data":{"conversation_id":"` + c + `","client_id":"019a0000-0000-7000-8000-0000000000c2","seq":2,"body":"Hello, dear Ben!"}}`)
	a.hear("reply", `"id":"7"`)
	b.hear("entry", "dear")
	a.lines = append(a.lines, b.lines...)
	a.golden("edit")
	b.lines = nil
	b.say(`{"type":"message.react","id":"8","data":{"conversation_id":"` + c + `","client_id":"019a0000-0000-7000-8000-0000000000c3","seq":2,"emoji":"👍"}}`)
	b.hear("reply", `"id":"8"`)
	a.hear("entry", "👍")
	b.lines = append(b.lines, a.lines...)
	b.golden("react")
	a.lines = nil
	a.say(`{"type":"message.delete","id":"9","data":{"conversation_id":"` + c + `","client_id":"019a0000-0000-7000-8000-0000000000c4","seq":2}}`)
	a.hear("reply", `"id":"9"`)
	b.lines = nil
	b.hear("entry", "delete")
	a.lines = append(a.lines, b.lines...)
	a.golden("delete")

	var group struct{ ID string }
	s.must(ann, "POST", "/conversations", fmt.Sprintf(`{"kind":"group","title":"Climbers","member_ids":[%q]}`, ben.id), &group)
	b.lines = nil
	b.hear("conversation", "Climbers")
	b.hear("entry", "created")
	b.golden("group")
	b.say(`{"type":"message.send","id":"10","data":{"conversation_id":"` + group.ID + `","client_id":"019a0000-0000-7000-8000-0000000000c5","body":"@ann are you coming?","mentions":["` + ann.id.String() + `"]}}`)
	b.hear("reply", `"id":"10"`)
	a.lines = nil
	a.hear("entry", "coming")
	b.lines = append(b.lines, a.lines...)
	b.golden("mention")
	if outcome, answer := s.call(ann, "DELETE", "/conversations/"+group.ID+"/members/"+ben.id.String(), ""); outcome != "ok" {
		t.Fatal(answer)
	}
	b.lines = nil
	b.hear("entry", "member_removed")
	b.golden("removed")

	carl := s.person("carl", accounts.RoleMember)
	c = s.conversation(ann, carl)
	s.conversation(carl, ann) // so that it is hidden from neither
	a.lines = nil
	a.say(`{"type":"presence.watch","id":"11","data":{"user_ids":["` + carl.id.String() + `"],"conversation_id":"` + c + `"}}`)
	a.hear("reply", `"id":"11"`)
	d := &talk{socket: s.dial(carl), ids: ids}
	a.hear("presence", carl.id.String())
	a.golden("presence")
	d.say(`{"type":"typing.start","id":"12","data":{"conversation_id":"` + c + `"}}`)
	d.hear("reply", `"id":"12"`)
	a.hear("typing", carl.id.String())
	d.lines = append(d.lines, a.lines...)
	d.golden("typing")
	a.lines = nil
	s.must(carl, "PATCH", "/me", `{"display_name":"Carl Sagan"}`, &struct{}{})
	a.hear("user", carl.id.String())
	a.golden("user")

	s.must(ann, "POST", "/conversations", fmt.Sprintf(`{"kind":"group","title":"Two","member_ids":[%q]}`, carl.id), &group)
	seq := s.send(ann, group.ID, "Hello, all!")
	d.say(fmt.Sprintf(`{"type":"receipt.delivered","id":"13","data":{"conversation_id":%q,"seq":%d}}`, group.ID, seq))
	d.hear("reply", `"id":"13"`)
	a.lines = nil
	a.hear("receipt", fmt.Sprintf(`%q,"delivered_seq":%d`, group.ID, seq)) // and no user_id between them
	d.lines = append(d.lines, a.lines...)
	d.golden("everybody")

	// A client that reads nothing for a while, of more than is kept for it.
	e := &talk{socket: s.dial(ben), ids: ids}
	e.hear("hello", "")
	var busy struct{ ID string }
	s.must(ann, "POST", "/conversations", fmt.Sprintf(`{"kind":"group","title":"Busy","member_ids":[%q]}`, ben.id), &busy)
	var last int64
	for range 250 {
		last = s.send(ann, busy.ID, strings.Repeat("x", 16<<10))
	}
	e.lines = nil
	e.hear("behind", fmt.Sprintf(`"last_seq":%d`, last))
	e.golden("behind")

	a.lines = nil
	s.signIn("ann")
	a.hear("session", "")
	a.golden("session")

	root := s.person("root", accounts.RoleAdmin)
	f := &talk{socket: s.connect(root), ids: ids}
	bad := s.group(ann, carl)
	var report struct{ ID string }
	s.must(carl, "POST", fmt.Sprintf("/conversations/%s/messages/%d/report", bad, s.send(ann, bad, "Buy this!")), `{"reason":"spam"}`, &report)
	f.hear("report", report.ID)
	f.golden("report")
	d.lines = nil
	if outcome, answer := s.call(root, "PATCH", "/reports/"+report.ID, `{"decision":"removed","answer":"Thank you."}`); outcome != "ok" {
		t.Fatal(answer)
	}
	d.hear("entry", "by_admin")
	d.hear("report", report.ID)
	d.golden("reported")

	a.lines = nil
	s.block("PUT", ann, carl)
	a.hear("block", carl.id.String())
	a.golden("block")
	s.block("DELETE", ann, carl)

	s.send(carl, c, "Goodbye!")
	if outcome, answer := s.call(carl, "DELETE", "/me", `{"password":"`+testPassword+`","messages":"erase"}`); outcome != "ok" {
		t.Fatal(answer)
	}
	a.lines = nil
	a.hear("entry", "messages_erased")
	a.golden("erased")
}
