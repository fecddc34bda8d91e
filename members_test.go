package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"parley/accounts"
	"parley/chat"
	"parley/history"
)

// group makes a group over HTTP.
func (s *testServer) group(owner person, others ...person) string {
	s.t.Helper()
	var c struct{ ID string }
	s.must(owner, "POST", "/conversations", `{"kind":"group","title":"Group","member_ids":[`+idList(others)+`]}`, &c)
	return c.ID
}

func idList(people []person) string {
	var ids []string
	for _, p := range people {
		ids = append(ids, `"`+p.id.String()+`"`)
	}
	return strings.Join(ids, ",")
}

// do is a call that has to succeed, below the path of a conversation.
func (s *testServer) do(who person, method, conversation, path, body string) {
	s.t.Helper()
	if outcome, answer := s.call(who, method, "/conversations/"+conversation+path, body); outcome != "ok" {
		s.t.Fatalf("%s %s by %s: %s", method, path, who.name, answer)
	}
}

func (s *testServer) add(by person, conversation string, who ...person) {
	s.t.Helper()
	s.do(by, "POST", conversation, "/members", `{"user_ids":[`+idList(who)+`]}`)
}

func (s *testServer) remove(by person, conversation string, who person) {
	s.t.Helper()
	s.do(by, "DELETE", conversation, "/members/"+who.id.String(), "")
}

func (s *testServer) setRole(by person, conversation string, who person, role chat.MemberRole) {
	s.t.Helper()
	s.do(by, "PATCH", conversation, "/members/"+who.id.String(), fmt.Sprintf(`{"role":%q}`, role))
}

// face is a conversation as somebody sees it.
func (s *testServer) face(who person, conversation string) (c chat.Conversation) {
	s.t.Helper()
	s.must(who, "GET", "/conversations/"+conversation, "", &c)
	return c
}

// log reads all entries that somebody may read, in small pieces, as a client catches up.
func (s *testServer) log(who person, conversation string) (all []chat.Entry) {
	s.t.Helper()
	for after := chat.Seq(0); ; {
		var out struct {
			Entries []chat.Entry
			LastSeq chat.Seq `json:"last_seq"`
		}
		s.must(who, "GET", fmt.Sprintf("/conversations/%s/entries?limit=3&after=%d", conversation, after), "", &out)
		all = append(all, out.Entries...)
		if len(out.Entries) == 0 {
			if after != out.LastSeq {
				s.t.Errorf("%s: the log ends at %d, and not at %d", who.name, after, out.LastSeq)
			}
			return all
		}
		after = all[len(all)-1].Seq
	}
}

func (s *testServer) page(who person, conversation, query string) (p history.Page) {
	s.t.Helper()
	s.must(who, "GET", "/conversations/"+conversation+"/messages?limit=100&"+query, "", &p)
	return p
}

func seqsOf(entries []chat.Entry) (seqs []chat.Seq) {
	for _, e := range entries {
		seqs = append(seqs, e.Seq)
	}
	return seqs
}

// roles gives the members of a group by name.
func (s *testServer) roles(who person, conversation string) map[string]chat.MemberRole {
	s.t.Helper()
	roles := map[string]chat.MemberRole{}
	for cursor := ""; ; {
		var out struct {
			Members    []chat.Member
			NextCursor string `json:"next_cursor"`
		}
		s.must(who, "GET", "/conversations/"+conversation+"/members?limit=2&cursor="+cursor, "", &out)
		for _, m := range out.Members {
			roles[m.Username] = m.Role
		}
		if cursor = out.NextCursor; cursor == "" {
			return roles
		}
	}
}

// connect opens a socket and reads its hello.
func (s *testServer) connect(who person) *socket {
	s.t.Helper()
	ws := s.dial(who)
	if f, _ := ws.next(); f.Type != "hello" {
		s.t.Fatalf("the first frame is %s", f.Type)
	}
	return ws
}

// hears reads the entries of a conversation up to a seq; the frames beside them are given as text.
func (c *socket) hears(conversation string, upTo chat.Seq) (entries []chat.Entry, others string) {
	c.t.Helper()
	for {
		f, code := c.next()
		if code != 0 {
			c.t.Fatalf("closed with %d", code)
		}
		var e chat.Entry
		if f.Type == "entry" {
			if err := json.Unmarshal(f.Data, &e); err != nil {
				c.t.Fatal(err)
			}
		}
		if e.ConversationID.String() != conversation {
			others += f.Type + string(f.Data)
			continue
		}
		entries = append(entries, e)
		if e.Seq >= upTo {
			return entries, others
		}
	}
}

// A group takes so many and no more, all of those named or none, however many add at once.
func TestGroupLimit(t *testing.T) {
	t.Parallel()
	s := startTest(t, func(c *config) { c.GroupLimit = 5 })
	people := make([]person, 6)
	for i := range people {
		people[i] = s.person(fmt.Sprintf("p%d", i), accounts.RoleMember)
	}
	tooMany := `{"kind":"group","title":"Group","member_ids":[` + idList(people[1:]) + `]}`
	if outcome, answer := s.call(people[0], "POST", "/conversations", tooMany); outcome != "too_large" || !strings.Contains(answer, "5 members") {
		t.Errorf("six at once: %s %s", outcome, answer)
	}
	full := s.group(people[0], people[1:5]...)
	s.add(people[0], full, people[3], people[4]) // who is in it takes no place
	if outcome, _ := s.call(people[0], "POST", "/conversations/"+full+"/members", `{"user_ids":[`+idList(people[4:6])+`]}`); outcome != "too_large" {
		t.Errorf("one too many: %s", outcome)
	}
	if n := len(s.roles(people[0], full)); n != 5 {
		t.Errorf("the full group has %d members", n)
	}
	s.remove(people[4], full, people[4]) // and makes room
	s.add(people[0], full, people[5])

	for range 20 {
		id := s.group(people[0], people[1], people[2])
		s.setRole(people[0], id, people[1], chat.RoleAdmin)
		s.add(people[0], id, people[3])
		outcomes := make([]string, 2)
		var both sync.WaitGroup
		for i := range outcomes {
			both.Go(func() {
				outcomes[i], _ = s.call(people[i], "POST", "/conversations/"+id+"/members", `{"user_ids":[`+idList(people[4+i:5+i])+`]}`)
			})
		}
		both.Wait()
		slices.Sort(outcomes)
		if c := s.face(people[0], id); !slices.Equal(outcomes, []string{"ok", "too_large"}) || c.MemberCount != 5 || c.LastSeq != 4 {
			t.Fatalf("two add the last one at once: %v, and the group has %d members and %d entries", outcomes, c.MemberCount, c.LastSeq)
		}
	}
}

// A group whose last owner leaves goes to the admin who has been in it the longest, whoever
// has been admin longer, and without one to the oldest member. There is nobody to inherit it
// from the last one of all.
func TestLastOwnerLeaves(t *testing.T) {
	t.Parallel()
	s := startTest(t, nil)
	var people [5]person
	for i, name := range []string{"owner", "zoe", "yan", "xia", "wim"} {
		people[i] = s.person(name, accounts.RoleMember)
	}
	owner, zoe, yan, xia, wim := people[0], people[1], people[2], people[3], people[4]
	id := s.group(owner)
	for _, p := range people[1:] { // seqs 2 to 5
		s.add(owner, id, p)
	}
	s.setRole(owner, id, xia, chat.RoleAdmin)
	s.setRole(owner, id, yan, chat.RoleAdmin)
	ws := s.connect(owner)
	for _, step := range []struct{ leaves, heir person }{{owner, yan}, {yan, xia}, {xia, zoe}, {zoe, wim}} {
		s.remove(step.leaves, id, step.leaves)
		log := s.log(step.leaves, id)
		given, left := log[len(log)-2], log[len(log)-1]
		if given.Kind != chat.KindRoleChanged || given.UserID != step.heir.id || given.Role != chat.RoleOwner || given.SenderID != step.leaves.id ||
			left.Kind != chat.KindMemberLeft || left.UserID != step.leaves.id || left.SenderID != step.leaves.id {
			t.Errorf("%s leaves: %+v, %+v", step.leaves.name, given, left)
		}
		if roles := s.roles(step.heir, id); roles[step.heir.name] != chat.RoleOwner {
			t.Errorf("%s leaves, and the group has %v", step.leaves.name, roles)
		}
	}
	if heard, _ := ws.hears(id, 9); !slices.Equal(seqsOf(heard), []chat.Seq{8, 9}) {
		t.Errorf("the owner hears %v of their own leaving", seqsOf(heard))
	}
	s.remove(wim, id, wim)
	if log := s.log(wim, id); log[len(log)-1].Kind != chat.KindMemberLeft || log[len(log)-2].Kind != chat.KindMemberLeft {
		t.Errorf("the last one of all leaves: %+v", log[len(log)-2:])
	}
	for _, p := range people {
		if outcome, _ := s.call(p, "GET", "/conversations/"+id, ""); outcome != "not_found" {
			t.Errorf("the empty group is shown to %s: %s", p.name, outcome)
		}
	}
}

// There is always an owner: the last one gives the role up only after giving it.
func TestLastOwnerIsKept(t *testing.T) {
	t.Parallel()
	s := startTest(t, nil)
	ann, ben := s.person("ann", accounts.RoleMember), s.person("ben", accounts.RoleMember)
	id := s.group(ann, ben)
	for _, role := range []chat.MemberRole{chat.RoleAdmin, chat.RoleMember} {
		if outcome, _ := s.call(ann, "PATCH", "/conversations/"+id+"/members/"+ann.id.String(), fmt.Sprintf(`{"role":%q}`, role)); outcome != "conflict" {
			t.Errorf("the last owner becomes %s: %s", role, outcome)
		}
	}
	s.setRole(ann, id, ann, chat.RoleOwner) // it is so
	s.setRole(ann, id, ben, chat.RoleOwner)
	s.setRole(ann, id, ann, chat.RoleMember)
	if outcome, _ := s.call(ben, "PATCH", "/conversations/"+id+"/members/"+ben.id.String(), `{"role":"admin"}`); outcome != "conflict" {
		t.Errorf("who owns it then gives the role up: %s", outcome)
	}
}

// Who is removed hears of that on every connection, and of nothing after it by any route.
func TestRemovedHearNothingMore(t *testing.T) {
	t.Parallel()
	s := startTest(t, nil)
	ann, ben, cleo := s.person("ann", accounts.RoleMember), s.person("ben", accounts.RoleMember), s.person("cleo", accounts.RoleMember)
	id := s.group(ann, ben, cleo)
	fence := s.conversation(ann, ben)
	first := s.send(ann, id, "first")
	doomed := s.send(ann, id, "doomed")
	answer := fmt.Sprintf(`{"client_id":%q,"body":"answer","reply_to":%d}`, uuid.New(), first)
	s.do(ann, "POST", id, "/messages", answer)
	sockets := []*socket{s.connect(ben), s.connect(ben), s.connect(ben)}

	s.remove(ann, id, ben)
	removed := s.face(ann, id).LastSeq
	s.send(ann, id, "secret")
	s.do(ann, "PATCH", id, fmt.Sprintf("/messages/%d", first), `{"body":"secret"}`)
	s.do(cleo, "PUT", id, fmt.Sprintf("/messages/%d/reactions/🤫", first), "")
	s.do(ann, "PATCH", id, "", `{"title":"secret"}`)
	s.do(ann, "DELETE", id, fmt.Sprintf("/messages/%d", doomed), "")
	s.send(ann, fence, "fence")

	for _, ws := range sockets {
		heard, others := ws.hears(fence, 2)
		if !strings.Contains(others, fmt.Sprintf(`"seq":%d,"kind":"member_removed"`, removed)) || strings.Count(others, id) != 1 {
			t.Errorf("until %v ben heard %s", heard, others)
		}
	}
	later := s.connect(ben)
	s.send(ann, id, "secret")
	s.send(ann, fence, "fence")
	if _, others := later.hears(fence, 3); strings.Contains(others, id) {
		t.Errorf("on a new connection ben hears %s", others)
	}
	for _, ws := range append(sockets, later) {
		for _, mark := range []string{"receipt.read", "receipt.delivered"} {
			if outcome, _ := ws.ask(mark, fmt.Sprintf(`{"conversation_id":%q,"seq":99}`, id)); outcome != "not_found" {
				t.Errorf("ben says %s: %s", mark, outcome)
			}
		}
	}

	for _, path := range []string{"", "/members"} {
		if outcome, answer := s.call(ben, "GET", "/conversations/"+id+path, ""); outcome != "not_found" {
			t.Errorf("GET %s: %s", path, answer)
		}
	}
	var read strings.Builder
	_, list := s.call(ben, "GET", "/conversations", "")
	read.WriteString(list)
	if strings.Contains(list, id) {
		t.Errorf("the group is in ben's list: %s", list)
	}
	for _, query := range []string{"", "before=99", "after=0", "around=3", fmt.Sprintf("after=%d", removed-1), fmt.Sprintf("around=%d", removed)} {
		_, page := s.call(ben, "GET", "/conversations/"+id+"/messages?"+query, "")
		read.WriteString(page)
	}
	for after := range removed + 5 {
		_, entries := s.call(ben, "GET", fmt.Sprintf("/conversations/%s/entries?after=%d", id, after), "")
		read.WriteString(entries)
		outcome, missed := later.ask("sync", fmt.Sprintf(`{"conversations":{%q:%d}}`, id, after))
		if after < removed && !strings.Contains(missed, "member_removed") || outcome != "ok" {
			t.Errorf("sync after %d: %s", after, missed)
		}
		read.WriteString(missed)
	}
	for _, hidden := range []string{"secret", "🤫", "doomed"} {
		if strings.Contains(read.String(), hidden) {
			t.Errorf("ben reads %s in %s", hidden, read.String())
		}
	}
	// What was there until then is there, as it was; but what was deleted is gone for everybody.
	p := s.page(ben, id, "")
	if p.HasAfter || p.LastSeq != removed || p.Messages[len(p.Messages)-1].Seq != removed {
		t.Errorf("the page is %+v", p)
	}
	for _, m := range p.Messages {
		switch {
		case m.Seq == chat.Seq(first) && (m.Body != "first" || !m.EditedAt.IsZero() || len(m.Reactions) > 0),
			m.Seq == chat.Seq(doomed) && !m.Deleted,
			m.Body == "answer" && (m.Quote == nil || m.Quote.Body != "first"):
			t.Errorf("ben reads %+v", m)
		}
	}
}

// The connections of who is removed stay open: a group's end is no session's.
func TestRemovedStayConnected(t *testing.T) {
	t.Parallel()
	s := startTest(t, nil)
	ann, ben := s.person("ann", accounts.RoleMember), s.person("ben", accounts.RoleMember)
	id := s.group(ann, ben)
	ws := s.connect(ben)
	s.remove(ben, id, ben)
	if heard, _ := ws.hears(id, 2); heard[0].Kind != chat.KindMemberLeft {
		t.Errorf("ben hears %+v", heard)
	}
	if outcome, _ := ws.ask("presence.heartbeat", `{}`); outcome != "ok" {
		t.Errorf("then: %s", outcome)
	}
	s.add(ann, id, ben)
	if f, _ := ws.next(); f.Type != "conversation" || !strings.Contains(string(f.Data), id) {
		t.Errorf("ben comes back and is told %s", f.Type)
	}
	s.send(ann, id, "again")
	if heard, _ := ws.hears(id, 4); !slices.Equal(seqsOf(heard), []chat.Seq{3, 4}) {
		t.Errorf("ben comes back and hears %v", seqsOf(heard))
	}
}

// Who comes back has two stretches of the log, and nothing from between them, ever.
func TestComingBack(t *testing.T) {
	t.Parallel()
	s := startTest(t, nil)
	ann, ben, cleo := s.person("ann", accounts.RoleMember), s.person("ben", accounts.RoleMember), s.person("cleo", accounts.RoleMember)
	id := s.group(ann, ben, cleo)                                                                                              // 1
	early := s.send(ann, id, "early")                                                                                          // 2
	s.do(cleo, "PUT", id, "/messages/2/reactions/👀", "")                                                                       // 3
	s.remove(ann, id, ben)                                                                                                     // 4
	between := s.send(ann, id, "between")                                                                                      // 5
	s.do(ann, "PATCH", id, "/messages/2", `{"body":"between"}`)                                                                // 6
	s.do(cleo, "DELETE", id, "/messages/2/reactions/👀", "")                                                                    // 7
	s.do(ann, "PUT", id, "/messages/2/reactions/👀", "")                                                                        // 8
	s.add(ann, id, ben)                                                                                                        // 9
	s.do(ann, "POST", id, "/messages", fmt.Sprintf(`{"client_id":%q,"body":"on between","reply_to":%d}`, uuid.New(), between)) // 10
	s.do(ann, "POST", id, "/messages", fmt.Sprintf(`{"client_id":%q,"body":"on early","reply_to":%d}`, uuid.New(), early))     // 11

	if got := seqsOf(s.log(ben, id)); !slices.Equal(got, []chat.Seq{1, 2, 3, 4, 9, 10, 11}) {
		t.Errorf("ben's log is %v", got)
	}
	p := s.page(ben, id, "")
	var seqs []chat.Seq
	for _, m := range p.Messages {
		seqs = append(seqs, m.Seq)
		switch m.Seq {
		case 2: // as it was in what ben saw of it
			if m.Body != "early" || len(m.Reactions) != 1 || !slices.Equal(m.Reactions[0].UserIDs, []accounts.UserID{cleo.id}) {
				t.Errorf("early is %+v", m)
			}
		case 10:
			if m.Quote != nil {
				t.Errorf("what was said between is quoted: %+v", m.Quote)
			}
		case 11:
			if m.Quote == nil || m.Quote.Body != "early" {
				t.Errorf("early is quoted as %+v", m.Quote)
			}
		}
	}
	if !slices.Equal(seqs, []chat.Seq{1, 2, 4, 9, 10, 11}) || p.HasBefore || p.HasAfter || p.LastSeq != 11 {
		t.Errorf("ben's page is %v: %+v", seqs, p)
	}
	for _, tc := range []struct {
		name, method, path, body, want string
	}{
		{"reply to between", "POST", "/messages", fmt.Sprintf(`{"client_id":%q,"body":"x","reply_to":%d}`, uuid.New(), between), "invalid"},
		{"react to between", "PUT", fmt.Sprintf("/messages/%d/reactions/👍", between), "", "not_found"},
		{"reply to early", "POST", "/messages", fmt.Sprintf(`{"client_id":%q,"body":"x","reply_to":%d}`, uuid.New(), early), "ok"},
		{"react to early", "PUT", fmt.Sprintf("/messages/%d/reactions/👍", early), "", "ok"},
	} {
		if outcome, answer := s.call(ben, tc.method, "/conversations/"+id+tc.path, tc.body); outcome != tc.want {
			t.Errorf("%s: %s, want %s: %s", tc.name, outcome, tc.want, answer)
		}
	}
	// A client that was away since before the removal is brought to the end all the same.
	ws := s.connect(ben)
	_, missed := ws.ask("sync", fmt.Sprintf(`{"conversations":{%q:3}}`, id))
	if strings.Contains(missed, `"between"`) || !strings.Contains(missed, `"seq":4,"kind":"member_removed"`) || !strings.Contains(missed, `"seq":9,"kind":"member_added"`) {
		t.Errorf("sync gave %s", missed)
	}
}

// A group that shares its history lets those who are added from then on read all of it, those
// who were away too, and nobody else more than before.
func TestShareHistory(t *testing.T) {
	t.Parallel()
	s := startTest(t, nil)
	ann, ben, cleo, dora, eve := s.person("ann", accounts.RoleMember), s.person("ben", accounts.RoleMember), s.person("cleo", accounts.RoleMember),
		s.person("dora", accounts.RoleMember), s.person("eve", accounts.RoleMember)
	id := s.group(ann, ben)  // 1
	s.send(ann, id, "one")   // 2
	s.remove(ann, id, ben)   // 3
	s.send(ann, id, "two")   // 4
	s.add(ann, id, cleo)     // 5
	s.send(ann, id, "three") // 6
	s.do(ann, "PATCH", id, "", `{"share_history":true}`)
	if !s.face(ann, id).ShareHistory {
		t.Error("history is not shared")
	}
	s.add(ann, id, ben, dora) // 7, 8
	s.do(ann, "PATCH", id, "", `{"share_history":false}`)
	s.add(ann, id, eve)     // 9
	s.send(ann, id, "four") // 10
	for _, tc := range []struct {
		who   person
		first chat.Seq
	}{{ann, 1}, {ben, 1}, {cleo, 5}, {dora, 1}, {eve, 9}} {
		log := s.log(tc.who, id)
		if log[0].Seq != tc.first || len(log) != int(10-tc.first+1) {
			t.Errorf("%s reads %v", tc.who.name, seqsOf(log))
		}
		if p := s.page(tc.who, id, "after=0"); p.Messages[0].Seq != tc.first || len(p.Messages) != len(log) || p.HasBefore || p.HasAfter {
			t.Errorf("the page of %s begins at %d and has %d messages", tc.who.name, p.Messages[0].Seq, len(p.Messages))
		}
	}
}

// For new members what was said before is not unread, whether they see it or not; what is said
// from then on is, as long as others say it and it is a message.
func TestUnreadOfNewMembers(t *testing.T) {
	t.Parallel()
	s := startTest(t, nil)
	ann, ben := s.person("ann", accounts.RoleMember), s.person("ben", accounts.RoleMember)
	for _, share := range []bool{false, true} {
		id := s.group(ann)
		s.do(ann, "PATCH", id, "", fmt.Sprintf(`{"share_history":%v}`, share))
		said := s.send(ann, id, "before")
		s.do(ann, "POST", id, "/messages", fmt.Sprintf(`{"client_id":%q,"body":"@ben","mentions":[%q]}`, uuid.New(), ben.id)) // he is no member yet
		s.add(ann, id, ben)
		if c := s.face(ben, id); c.Unread != 0 || c.Mentions != 0 || (c.LastMessage != nil) != share {
			t.Errorf("shared %v: at first %d are unread, %d mention ben, and the last is %v", share, c.Unread, c.Mentions, c.LastMessage)
		}
		s.do(ann, "POST", id, "/messages", fmt.Sprintf(`{"client_id":%q,"body":"@ben","mentions":[%q]}`, uuid.New(), ben.id))
		s.send(ann, id, "after")
		s.do(ann, "PATCH", id, fmt.Sprintf("/messages/%d", said), `{"body":"edited"}`)
		s.do(ann, "PUT", id, fmt.Sprintf("/messages/%d/reactions/👍", said), "")
		s.do(ann, "PATCH", id, "", `{"title":"Other"}`)
		if c := s.face(ben, id); c.Unread != 2 || c.Mentions != 1 {
			t.Errorf("shared %v: then %d are unread and %d mention ben", share, c.Unread, c.Mentions)
		}
	}
}

// Mentions are of members, in the text as it is now; those of others are left out.
func TestMentions(t *testing.T) {
	t.Parallel()
	s := startTest(t, nil)
	ann, ben, cleo, eve := s.person("ann", accounts.RoleMember), s.person("ben", accounts.RoleMember), s.person("cleo", accounts.RoleMember), s.person("eve", accounts.RoleMember)
	id := s.group(ann, ben, cleo)
	s.remove(ann, id, cleo) // 2
	ws := s.connect(ben)
	naming := func(body string, who ...person) string {
		return fmt.Sprintf(`{"client_id":%q,"body":%q,"mentions":[%s]}`, uuid.New(), body, idList(who))
	}
	check := func(when string, unread int, mentions ...person) {
		t.Helper()
		last := s.page(ben, id, "").Messages
		var want []accounts.UserID
		for _, p := range mentions {
			want = append(want, p.id)
		}
		if got := last[len(last)-1].Mentions; !slices.Equal(got, want) {
			t.Errorf("%s: mentioned are %v, want %v", when, got, want)
		}
		if c := s.face(ben, id); c.Mentions != unread {
			t.Errorf("%s: %d mention ben, want %d", when, c.Mentions, unread)
		}
	}
	s.do(ann, "POST", id, "/messages", naming("@eve @ben @cleo @ann", eve, ben, cleo, ann)) // 3
	check("sent", 1, ben, ann)
	s.do(ann, "POST", id, "/messages", naming("@eve", eve)) // 4
	check("naming nobody of it", 1)
	s.do(ann, "PATCH", id, "/messages/4", naming("@ben @eve", ben, eve)) // 5
	check("edited to name ben", 2, ben)
	s.do(ann, "PATCH", id, "/messages/4", naming("nobody")) // 6
	check("edited to name nobody", 1)
	s.do(ann, "PATCH", id, "/messages/3", naming("@ann", ann)) // 7
	check("the first one too", 0)
	s.do(ann, "PATCH", id, "/messages/4", naming("@ben after all", ben)) // 8
	check("edited again", 1, ben)
	s.do(ann, "DELETE", id, "/messages/4", "") // 9
	check("deleted", 0)
	if heard, _ := ws.hears(id, 9); len(heard) != 7 || !slices.Equal(heard[0].Mentions, []accounts.UserID{ben.id, ann.id}) || !slices.Equal(heard[2].Mentions, []accounts.UserID{ben.id}) {
		t.Errorf("live it is %+v", heard)
	}
	many := strings.TrimSuffix(strings.Repeat(`"`+ben.id.String()+`",`, chat.MaxMentions+1), ",")
	if outcome, _ := s.call(ann, "POST", "/conversations/"+id+"/messages", fmt.Sprintf(`{"client_id":%q,"body":"x","mentions":[%s]}`, uuid.New(), many)); outcome != "too_large" {
		t.Errorf("too many: %s", outcome)
	}
}

// What was there before somebody came is to them as if it were not: they cannot answer it,
// react to it, or delete it as an admin.
func TestWhatIsNotVisible(t *testing.T) {
	t.Parallel()
	s := startTest(t, nil)
	ann, ben := s.person("ann", accounts.RoleMember), s.person("ben", accounts.RoleMember)
	id := s.group(ann)
	seq := s.send(ann, id, "before")
	s.add(ann, id, ben)
	s.setRole(ann, id, ben, chat.RoleAdmin)
	ws := s.connect(ben)
	for _, tc := range []struct{ frame, data, want string }{
		{"message.send", `"body":"x","reply_to":%d`, "invalid"},
		{"message.edit", `"body":"x","seq":%d`, "not_found"},
		{"message.react", `"emoji":"👍","seq":%d`, "not_found"},
		{"message.react", `"emoji":"👍","remove":true,"seq":%d`, "not_found"},
		{"message.delete", `"seq":%d`, "not_found"},
	} {
		data := fmt.Sprintf(`{"conversation_id":%q,"client_id":%q,`+tc.data+`}`, id, uuid.New(), seq)
		if outcome, answer := ws.ask(tc.frame, data); outcome != tc.want {
			t.Errorf("%s: %s, want %s: %s", tc.frame, outcome, tc.want, answer)
		}
	}
	if c := s.face(ann, id); c.LastSeq != 4 || c.LastMessage.Body != "before" {
		t.Errorf("the group is %+v", c)
	}
}
