package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"parley/accounts"
	"parley/chat"
)

// troupe is the people of the group tests. Their accounts cost the most time, so that the
// groups of a test share them.
type troupe struct {
	*testServer
	owner, owner2, admin, admin2, member, member2, former, stranger, newcomer person
	people                                                                    map[string]person
}

func newTroupe(s *testServer) *troupe {
	t := &troupe{testServer: s, people: map[string]person{}}
	for name, p := range map[string]*person{
		"owner": &t.owner, "owner2": &t.owner2, "admin": &t.admin, "admin2": &t.admin2, "member": &t.member, "member2": &t.member2,
		"former": &t.former, "stranger": &t.stranger, "newcomer": &t.newcomer,
	} {
		*p = s.person(name, accounts.RoleMember)
		t.people[name] = *p
	}
	return t
}

// room is a group in which everybody of a troupe has the role that they are named after, and
// has said something.
type room struct {
	*troupe
	id   string
	said map[string]int64 // by name; "deleted" is a message of the owner's that is gone
}

func (tr *troupe) room(t *testing.T) *room {
	t.Helper()
	ctx := t.Context()
	check := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	everybody := []person{tr.owner, tr.owner2, tr.admin, tr.admin2, tr.member, tr.member2, tr.former}
	var ids []accounts.UserID
	for _, p := range everybody[1:] {
		ids = append(ids, p.id)
	}
	c, err := tr.chat.CreateGroup(ctx, tr.owner.id, "Room", ids)
	check(err)
	r := &room{tr, c.ID.String(), map[string]int64{}}
	for p, role := range map[person]chat.MemberRole{tr.owner2: chat.RoleOwner, tr.admin: chat.RoleAdmin, tr.admin2: chat.RoleAdmin} {
		_, err := tr.chat.SetRole(ctx, tr.owner.id, c.ID, p.id, role)
		check(err)
	}
	say := func(name string, who accounts.UserID) {
		sent, err := tr.chat.Send(ctx, chat.Outgoing{ConversationID: c.ID, SenderID: who, ClientID: uuid.New(), Body: "by " + name})
		check(err)
		r.said[name] = int64(sent.Seq)
	}
	for _, p := range everybody {
		say(p.name, p.id)
	}
	say("deleted", tr.owner.id)
	for _, p := range everybody {
		_, err := tr.chat.Act(ctx, chat.Action{Kind: chat.KindReactionAdded, ConversationID: c.ID, SenderID: p.id, TargetSeq: chat.Seq(r.said["owner"]), Emoji: "🎈"})
		check(err)
	}
	_, err = tr.chat.Act(ctx, chat.Action{Kind: chat.KindDelete, ConversationID: c.ID, SenderID: tr.owner.id, TargetSeq: chat.Seq(r.said["deleted"])})
	check(err)
	check(tr.chat.RemoveMember(ctx, tr.owner.id, c.ID, tr.former.id))
	return r
}

// last is how far the log of the room reaches.
func (r *room) last(t *testing.T) (seq int64) {
	t.Helper()
	if err := r.db.QueryRow(t.Context(), `SELECT last_seq FROM conversations WHERE id = $1`, r.id).Scan(&seq); err != nil {
		t.Fatal(err)
	}
	return seq
}

// deed is something that somebody tries in a room, over HTTP or with a frame.
type deed struct {
	name string
	// http: a method and a path below the conversation's. frame: a type.
	http, frame func(*room, person) string
	body        func(*room, person) string
	want        [5]string // of the owner, an admin, a member, a former member and a stranger
	adds        int64     // entries, where it is "ok"
}

var (
	mayManage        = [5]string{"ok", "ok", "forbidden", "not_found", "not_found"}
	mayOwn           = [5]string{"ok", "forbidden", "forbidden", "not_found", "not_found"}
	mayTalk          = [5]string{"ok", "ok", "ok", "not_found", "not_found"}
	mayNot           = [5]string{"forbidden", "forbidden", "forbidden", "not_found", "not_found"}
	noSuch           = [5]string{"not_found", "not_found", "not_found", "not_found", "not_found"}
	tooLate          = [5]string{"conflict", "conflict", "conflict", "not_found", "not_found"}
	makesNoSense     = [5]string{"invalid", "invalid", "invalid", "not_found", "not_found"}
	mayManageButWhom = [5]string{"not_found", "not_found", "forbidden", "not_found", "not_found"}
	mayOwnButWhom    = [5]string{"not_found", "forbidden", "forbidden", "not_found", "not_found"}
	isMalformed      = [5]string{"invalid", "invalid", "invalid", "invalid", "invalid"} // whoever asks
	mayRead          = [5]string{"ok", "ok", "ok", "ok", "not_found"}
)

// at makes a path or a body of a format and of what it takes: the id of a person, or the seq
// of what a person said; "me" is who does it.
func at(format string, args ...string) func(*room, person) string {
	return func(r *room, who person) string {
		values := make([]any, len(args))
		for i, arg := range args {
			message := strings.HasPrefix(arg, "#")
			name := strings.TrimPrefix(arg, "#")
			if name == "me" {
				name = who.name
			}
			switch {
			case message:
				values[i] = max(r.said[name], 1) // the stranger never said anything
			case name == "room":
				values[i] = r.id
			case name == "new":
				values[i] = uuid.New()
			default:
				values[i] = r.people[name].id
			}
		}
		return fmt.Sprintf(format, values...)
	}
}

// deeds is the contract of groups: what each role may do.
var deeds = []deed{
	{name: "add somebody", http: at("POST /members"), body: at(`{"user_ids":[%q]}`, "newcomer"), want: mayManage, adds: 1},
	{name: "add several", http: at("POST /members"), body: at(`{"user_ids":[%q,%q,%q]}`, "newcomer", "stranger", "newcomer"), want: mayManage, adds: 2},
	{name: "add who was in it", http: at("POST /members"), body: at(`{"user_ids":[%q]}`, "former"), want: mayManage, adds: 1},
	{name: "add who is in it", http: at("POST /members"), body: at(`{"user_ids":[%q]}`, "member2"), want: mayManage},
	{name: "add somebody and nobody", http: at("POST /members"), body: at(`{"user_ids":[%q,%q]}`, "newcomer", "new"), want: mayManageButWhom},

	{name: "remove an owner", http: at("DELETE /members/%s", "owner2"), want: mayOwn, adds: 1},
	{name: "remove an admin", http: at("DELETE /members/%s", "admin2"), want: mayOwn, adds: 1},
	{name: "remove a member", http: at("DELETE /members/%s", "member2"), want: mayManage, adds: 1},
	{name: "remove who is not in it", http: at("DELETE /members/%s", "former"), want: mayManageButWhom},
	{name: "leave", http: at("DELETE /members/%s", "me"), want: mayTalk, adds: 1},

	{name: "rename", http: at("PATCH "), body: at(`{"title":" Another "}`), want: mayManage, adds: 1},
	{name: "rename to the same", http: at("PATCH "), body: at(`{"title":"Room"}`), want: mayManage},
	{name: "rename to nothing", http: at("PATCH "), body: at(`{"title":" "}`), want: isMalformed},
	{name: "share history", http: at("PATCH "), body: at(`{"share_history":true}`), want: mayOwn},
	{name: "rename and share history", http: at("PATCH "), body: at(`{"title":"Another","share_history":true}`), want: mayOwn, adds: 1},

	{name: "make a member an owner", http: at("PATCH /members/%s", "member2"), body: at(`{"role":"owner"}`), want: mayOwn, adds: 1},
	{name: "make a member an admin", http: at("PATCH /members/%s", "member2"), body: at(`{"role":"admin"}`), want: mayOwn, adds: 1},
	{name: "make a member a member", http: at("PATCH /members/%s", "member2"), body: at(`{"role":"member"}`), want: mayOwn},
	{name: "make an admin a member", http: at("PATCH /members/%s", "admin2"), body: at(`{"role":"member"}`), want: mayOwn, adds: 1},
	{name: "make an owner an admin", http: at("PATCH /members/%s", "owner2"), body: at(`{"role":"admin"}`), want: mayOwn, adds: 1},
	{name: "give up one's role", http: at("PATCH /members/%s", "me"), body: at(`{"role":"member"}`), want: mayOwn, adds: 1},
	{name: "raise oneself", http: at("PATCH /members/%s", "me"), body: at(`{"role":"owner"}`), want: mayOwn},
	{name: "set the role of nobody", http: at("PATCH /members/%s", "former"), body: at(`{"role":"admin"}`), want: mayOwnButWhom},

	{name: "send", http: at("POST /messages"), body: at(`{"client_id":%q,"body":"x"}`, "new"), want: mayTalk, adds: 1},
	{name: "reply", http: at("POST /messages"), body: at(`{"client_id":%q,"body":"x","reply_to":%d}`, "new", "#owner"), want: mayTalk, adds: 1},
	{name: "reply to what was deleted", http: at("POST /messages"), body: at(`{"client_id":%q,"body":"x","reply_to":%d}`, "new", "#deleted"), want: mayTalk, adds: 1},
	{name: "reply to what is no message", http: at("POST /messages"), body: at(`{"client_id":%q,"body":"x","reply_to":1}`, "new"), want: makesNoSense},
	{name: "mention a stranger", http: at("POST /messages"), body: at(`{"client_id":%q,"body":"x","mentions":[%q]}`, "new", "stranger"), want: mayTalk, adds: 1},
	{name: "edit one's own", http: at("PATCH /messages/%d", "#me"), body: at(`{"body":"x"}`), want: mayTalk, adds: 1},
	{name: "edit one's own to the same", http: at("PATCH /messages/%d", "#me"), body: func(_ *room, who person) string { return `{"body":"by ` + who.name + `"}` }, want: mayTalk},
	{name: "edit a member's", http: at("PATCH /messages/%d", "#member2"), body: at(`{"body":"x"}`), want: mayNot},
	{name: "edit an owner's", http: at("PATCH /messages/%d", "#owner2"), body: at(`{"body":"x"}`), want: mayNot},
	{name: "edit what is no message", http: at("PATCH /messages/1"), body: at(`{"body":"x"}`), want: noSuch},
	{name: "edit what is not there", http: at("PATCH /messages/999"), body: at(`{"body":"x"}`), want: noSuch},
	{name: "delete one's own", http: at("DELETE /messages/%d", "#me"), want: mayTalk, adds: 1},
	{name: "delete a member's", http: at("DELETE /messages/%d", "#member2"), want: mayManage, adds: 1},
	{name: "delete a former member's", http: at("DELETE /messages/%d", "#former"), want: mayManage, adds: 1},
	{name: "delete an owner's", http: at("DELETE /messages/%d", "#owner2"), want: mayManage, adds: 1},
	{name: "delete what was deleted", http: at("DELETE /messages/%d", "#deleted"), want: mayManage},
	{name: "delete what is no message", http: at("DELETE /messages/1"), want: noSuch},
	{name: "react", http: at("PUT /messages/%d/reactions/👍", "#owner"), want: mayTalk, adds: 1},
	{name: "react with a keycap", http: at("PUT /messages/%d/reactions/%%23%%EF%%B8%%8F%%E2%%83%%A3", "#owner"), want: mayTalk, adds: 1},
	{name: "react again", http: at("PUT /messages/%d/reactions/🎈", "#owner"), want: mayTalk},
	{name: "react with text", http: at("PUT /messages/%d/reactions/lol", "#owner"), want: isMalformed},
	{name: "react to what was deleted", http: at("PUT /messages/%d/reactions/👍", "#deleted"), want: tooLate},
	{name: "react to what is no message", http: at("PUT /messages/1/reactions/👍"), want: noSuch},
	{name: "take a reaction back", http: at("DELETE /messages/%d/reactions/🎈", "#owner"), want: mayTalk, adds: 1},
	{name: "take back what never was", http: at("DELETE /messages/%d/reactions/👎", "#owner"), want: mayTalk},

	{name: "see the group", http: at("GET "), want: mayTalk},
	{name: "see the members", http: at("GET /members"), want: mayTalk},
	{name: "read", http: at("GET /messages"), want: mayRead},
	{name: "read the log", http: at("GET /entries"), want: mayRead},

	{name: "send", frame: at("message.send"), body: at(`{"conversation_id":%q,"client_id":%q,"body":"x","reply_to":%d}`, "room", "new", "#owner"), want: mayTalk, adds: 1},
	{name: "edit one's own", frame: at("message.edit"), body: at(`{"conversation_id":%q,"client_id":%q,"seq":%d,"body":"x"}`, "room", "new", "#me"), want: mayTalk, adds: 1},
	{name: "edit a member's", frame: at("message.edit"), body: at(`{"conversation_id":%q,"client_id":%q,"seq":%d,"body":"x"}`, "room", "new", "#member2"), want: mayNot},
	{name: "edit what was deleted", frame: at("message.edit"), body: at(`{"conversation_id":%q,"client_id":%q,"seq":%d,"body":"x"}`, "room", "new", "#deleted"), want: [5]string{"conflict", "forbidden", "forbidden", "not_found", "not_found"}},
	{name: "delete one's own", frame: at("message.delete"), body: at(`{"conversation_id":%q,"client_id":%q,"seq":%d}`, "room", "new", "#me"), want: mayTalk, adds: 1},
	{name: "delete a member's", frame: at("message.delete"), body: at(`{"conversation_id":%q,"client_id":%q,"seq":%d}`, "room", "new", "#member2"), want: mayManage, adds: 1},
	{name: "react", frame: at("message.react"), body: at(`{"conversation_id":%q,"client_id":%q,"seq":%d,"emoji":"👍"}`, "room", "new", "#owner"), want: mayTalk, adds: 1},
	{name: "take a reaction back", frame: at("message.react"), body: at(`{"conversation_id":%q,"client_id":%q,"seq":%d,"emoji":"🎈","remove":true}`, "room", "new", "#owner"), want: mayTalk, adds: 1},
	{name: "mark as read", frame: at("receipt.read"), body: at(`{"conversation_id":%q,"seq":1}`, "room"), want: mayTalk},
	{name: "mark as delivered", frame: at("receipt.delivered"), body: at(`{"conversation_id":%q,"seq":1}`, "room"), want: mayTalk},
}

// Every deed by every role: who may do it, and that what is refused, or was so already, leaves
// nothing in the log.
func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	tr := newTroupe(startTest(t, nil))
	var r *room
	for _, d := range deeds {
		for i, who := range []person{tr.owner, tr.admin, tr.member, tr.former, tr.stranger} {
			if r == nil {
				r = tr.room(t)
			}
			before, body := r.last(t), ""
			if d.body != nil {
				body = d.body(r, who)
			}
			var kind, outcome, answer string
			if d.frame != nil {
				kind = d.frame(r, who)
				ws := tr.dial(who)
				outcome, answer = ws.ask(kind, body)
				_ = ws.CloseNow()
			} else {
				kind = d.http(r, who)
				method, path, _ := strings.Cut(kind, " ")
				outcome, answer = tr.call(who, method, "/conversations/"+r.id+path, body)
			}
			if outcome != d.want[i] {
				t.Errorf("%s (%s) by the %s: %s, want %s: %s", d.name, kind, who.name, outcome, d.want[i], answer)
			}
			adds := d.adds
			if outcome != "ok" {
				adds = 0
			}
			if n := r.last(t) - before; n != adds {
				t.Errorf("%s (%s) by the %s: %d entries, want %d", d.name, kind, who.name, n, adds)
			}
			if adds > 0 || outcome == "ok" && strings.Contains(body, "share_history") {
				r = nil // it is another one now
			}
		}
	}
}

// A direct conversation is always that of the two, with nothing to manage.
func TestDirectConversationsAreNoGroups(t *testing.T) {
	t.Parallel()
	s := startTest(t, nil)
	ann, ben, eve := s.person("ann", accounts.RoleMember), s.person("ben", accounts.RoleMember), s.person("eve", accounts.RoleMember)
	id := s.conversation(ann, ben)
	seq := s.send(ann, id, "mine")
	for _, tc := range []struct{ method, path, body, want string }{
		{"PATCH", "", `{"title":"Ours"}`, "invalid"},
		{"PATCH", "", `{"share_history":true}`, "invalid"},
		{"POST", "/members", `{"user_ids":["` + eve.id.String() + `"]}`, "invalid"},
		{"PATCH", "/members/" + ann.id.String(), `{"role":"owner"}`, "invalid"},
		{"DELETE", "/members/" + ann.id.String(), "", "invalid"},
		{"DELETE", "/members/" + ben.id.String(), "", "invalid"},
		{"PATCH", fmt.Sprintf("/messages/%d", seq), `{"body":"yours"}`, "forbidden"},
		{"DELETE", fmt.Sprintf("/messages/%d", seq), "", "forbidden"},
		{"PUT", fmt.Sprintf("/messages/%d/reactions/👍", seq), "", "ok"},
		{"GET", "/members", "", "ok"},
	} {
		if outcome, answer := s.call(ben, tc.method, "/conversations/"+id+tc.path, tc.body); outcome != tc.want {
			t.Errorf("%s %s %s: %s, want %s: %s", tc.method, tc.path, tc.body, outcome, tc.want, answer)
		}
	}
}
