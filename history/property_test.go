package history

import (
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"parley/accounts"
	"parley/chat"
	"parley/problem"
)

// Whatever members do in whatever order: what is answered, and what everybody sees of the log
// by every route, is what the model says, for members, former members and strangers.
func TestModel(t *testing.T) {
	t.Parallel()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		// Each check is some dozens of commits and some hundred pages.
		if err := flag.Set("rapid.checks", "25"); err != nil {
			t.Fatal(err)
		}
	}
	b := setup(t)
	w := &modelWorld{bundle: b, names: map[accounts.UserID]string{b.ann: "ann"}, everybody: []accounts.UserID{b.ann}}
	for _, name := range []string{"ben", "carl", "dora", "eve", "fay", "stranger"} {
		id := b.user(name)
		w.names[id], w.everybody = name, append(w.everybody, id)
	}
	rapid.Check(t, w.check)
}

type modelWorld struct {
	*bundle
	names     map[accounts.UserID]string
	everybody []accounts.UserID // the last one is a stranger for ever
}

// run is one conversation and what was done in it.
type run struct {
	*modelWorld
	t  *rapid.T
	m  *model
	id chat.ConversationID

	sent  []chat.Outgoing // what was stored, to be repeated
	acted []chat.Action
}

func (w *modelWorld) check(t *rapid.T) {
	// The groups of earlier checks are not to be handed over in this one.
	for _, sql := range []string{`DELETE FROM members`, `UPDATE users SET disabled_at = NULL`} {
		if _, err := w.cfg.DB.Exec(w.t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	others := w.everybody[1:rapid.IntRange(1, 4).Draw(t, "members")]
	c, err := w.chat.CreateGroup(w.t.Context(), w.ann, "Group", others)
	if err != nil {
		t.Fatal(err)
	}
	r := &run{modelWorld: w, t: t, m: newModel("Group", w.ann, others...), id: c.ID}
	// The first ones are drawn the most: talking, and people who come and go meanwhile.
	steps := []func(){
		r.send, r.act(chat.KindEdit), r.leave, r.add, r.act(chat.KindReactionAdded), r.act(chat.KindDelete), r.role, r.remove,
		r.act(chat.KindReactionRemoved), r.read, r.share, r.rename, r.repeat, r.access,
	}
	for i := range rapid.IntRange(15, 60).Draw(t, "steps") {
		steps[rapid.IntRange(0, len(steps)-1).Draw(t, "step")]()
		// A group that only a disabled user manages is handed over, whatever led to that.
		r.chat.AccessChanged(w.t.Context())
		r.m.handOver(accounts.UserID{})
		if i%7 == 6 {
			r.faces() // what is unread now may be read or edited later
		}
	}
	r.compare()
}

func (r *run) anybody(label string) accounts.UserID {
	return rapid.SampledFrom(r.everybody).Draw(r.t, label)
}

// somebody is mostly a member, so that something happens.
func (r *run) somebody(label string) accounts.UserID {
	members := r.m.members()
	if len(members) == 0 || rapid.IntRange(0, 9).Draw(r.t, label+" is anybody") == 0 {
		return r.anybody(label)
	}
	slices.SortFunc(members, func(a, b accounts.UserID) int { return cmp.Compare(r.names[a], r.names[b]) })
	return rapid.SampledFrom(members).Draw(r.t, label)
}

// known is anybody but the stranger.
func (r *run) known(label string) accounts.UserID {
	return rapid.SampledFrom(r.everybody[:len(r.everybody)-1]).Draw(r.t, label)
}

func (r *run) seq(label string) chat.Seq {
	return chat.Seq(rapid.Int64Range(1, int64(r.m.last())+1).Draw(r.t, label))
}

// target is mostly a message.
func (r *run) target(label string) chat.Seq {
	var messages []chat.Seq
	for _, e := range r.m.log {
		if e.Kind == chat.KindMessage {
			messages = append(messages, e.Seq)
		}
	}
	if len(messages) == 0 || rapid.IntRange(0, 9).Draw(r.t, label+" is anything") == 0 {
		return r.seq(label)
	}
	return rapid.SampledFrom(messages).Draw(r.t, label)
}

var bodies = []string{"one", "two", "three", strings.Repeat("é𝄞", 150), "<b>\n"}

func (r *run) body() string { return rapid.SampledFrom(bodies).Draw(r.t, "body") }

func (r *run) mentions() []accounts.UserID {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(r.everybody), 0, 3, rapid.ID).Draw(r.t, "mentions")
}

func (r *run) send() {
	o := chat.Outgoing{ConversationID: r.id, SenderID: r.somebody("sender"), ClientID: uuid.Must(uuid.NewV7()), Body: r.body(), Mentions: r.mentions()}
	if rapid.Bool().Draw(r.t, "reply") {
		o.ReplyTo = r.target("reply to")
	}
	want, code := r.m.send(o)
	sent, err := r.chat.Send(r.bundle.t.Context(), o)
	r.answered("send", sent, err, want, code)
	if code == "" {
		r.sent = append(r.sent, o)
	}
}

func (r *run) act(kind chat.Kind) func() {
	return func() {
		a := chat.Action{Kind: kind, ConversationID: r.id, SenderID: r.somebody("who"), TargetSeq: r.target("target")}
		if rapid.Bool().Draw(r.t, "with client_id") {
			a.ClientID = uuid.Must(uuid.NewV7())
		}
		switch kind {
		case chat.KindEdit:
			if t := a.TargetSeq; t <= r.m.last() && rapid.IntRange(0, 3).Draw(r.t, "by anybody") > 0 {
				a.SenderID = r.m.log[t-1].SenderID // others may not
			}
			a.Body, a.Mentions = r.body(), r.mentions()
		case chat.KindReactionAdded, chat.KindReactionRemoved:
			a.Emoji = rapid.SampledFrom([]string{"👍", "👎"}).Draw(r.t, "emoji")
		}
		before := r.m.last()
		want, code := r.m.act(a)
		sent, err := r.chat.Act(r.bundle.t.Context(), a)
		r.answered(string(kind), sent, err, want, code)
		if r.m.last() > before {
			r.acted = append(r.acted, a)
		}
	}
}

// repeat does again what was done with a client_id, whatever has happened since.
func (r *run) repeat() {
	if len(r.sent) > 0 {
		o := rapid.SampledFrom(r.sent).Draw(r.t, "message")
		e, _ := r.m.byClientID(o.ClientID)
		sent, err := r.chat.Send(r.bundle.t.Context(), o)
		r.answered("send again", sent, err, e.Seq, "")
	}
	if len(r.acted) > 0 {
		a := rapid.SampledFrom(r.acted).Draw(r.t, "action")
		if e, ok := r.m.byClientID(a.ClientID); ok {
			sent, err := r.chat.Act(r.bundle.t.Context(), a)
			r.answered(string(a.Kind)+" again", sent, err, e.Seq, "")
		}
	}
}

func (r *run) add() {
	users := rapid.SliceOfN(rapid.Custom(func(*rapid.T) accounts.UserID { return r.known("user") }), 1, 2).Draw(r.t, "users")
	me := r.somebody("who")
	code := r.m.addMembers(me, users)
	_, err := r.chat.AddMembers(r.bundle.t.Context(), me, r.id, users)
	r.refused("add", err, code)
}

func (r *run) remove() {
	me, user := r.somebody("who"), r.somebody("whom")
	code := r.m.remove(me, user)
	r.refused("remove", r.chat.RemoveMember(r.bundle.t.Context(), me, r.id, user), code)
}

func (r *run) leave() {
	me := r.somebody("who")
	code := r.m.remove(me, me)
	r.refused("leave", r.chat.RemoveMember(r.bundle.t.Context(), me, r.id, me), code)
}

func (r *run) role() {
	me, user := r.somebody("who"), r.somebody("whom")
	role := rapid.SampledFrom([]chat.MemberRole{chat.RoleOwner, chat.RoleAdmin, chat.RoleMember}).Draw(r.t, "role")
	code := r.m.setRole(me, user, role)
	_, err := r.chat.SetRole(r.bundle.t.Context(), me, r.id, user, role)
	r.refused("role", err, code)
}

func (r *run) rename() {
	title := rapid.SampledFrom([]string{"Group", "Other", "Another"}).Draw(r.t, "title")
	r.update(chat.GroupUpdate{Title: &title})
}

func (r *run) share() {
	share := rapid.Bool().Draw(r.t, "share")
	r.update(chat.GroupUpdate{ShareHistory: &share})
}

func (r *run) update(u chat.GroupUpdate) {
	me := r.somebody("who")
	code := r.m.update(me, u)
	r.refused("update", r.chat.UpdateGroup(r.bundle.t.Context(), me, r.id, u), code)
}

// read raises somebody's mark, as receipts does.
func (r *run) read() {
	user, seq := r.somebody("who"), min(r.seq("read"), r.m.last())
	r.m.read[user] = max(r.m.read[user], seq)
	_, err := r.cfg.DB.Exec(r.bundle.t.Context(), `INSERT INTO receipts AS r (conversation_id, user_id, delivered_seq, read_seq) VALUES ($1, $2, $3, $3)
		ON CONFLICT (conversation_id, user_id) DO UPDATE SET delivered_seq = $4, read_seq = $4`, r.id, user, seq, r.m.read[user])
	if err != nil {
		r.t.Fatal(err)
	}
}

// access disables a user, or enables them again. A disabled one still acts here: that they
// cannot is not for these packages to see to.
func (r *run) access() {
	user := r.known("user")
	disabled := !r.m.disabled[user]
	r.m.disabled[user] = disabled
	if _, err := r.cfg.DB.Exec(r.bundle.t.Context(), `UPDATE users SET disabled_at = CASE WHEN $2 THEN now() END WHERE id = $1`, user, disabled); err != nil {
		r.t.Fatal(err)
	}
}

func (r *run) answered(what string, sent chat.Sent, err error, want chat.Seq, code problem.Code) {
	r.t.Helper()
	r.refused(what, err, code)
	if err == nil && sent.Seq != want {
		r.t.Fatalf("%s: seq %d, want %d", what, sent.Seq, want)
	}
}

func (r *run) refused(what string, err error, want problem.Code) {
	r.t.Helper()
	var got problem.Code
	if err != nil {
		got = problem.From(err).Code
	}
	if got != want {
		r.t.Fatalf("%s: %q (%v), want %q", what, got, err, want)
	}
}

// same compares as what clients get: in JSON.
func (r *run) same(what string, got, want any) {
	r.t.Helper()
	g, err := json.Marshal(got)
	if err != nil {
		r.t.Fatal(err)
	}
	w, err := json.Marshal(want)
	if err != nil {
		r.t.Fatal(err)
	}
	if string(g) != string(w) {
		r.t.Fatalf("%s:\n got %s\nwant %s", what, g, w)
	}
}

// compare looks at the group with everybody's eyes, by every route.
func (r *run) compare() {
	r.times()
	for _, user := range r.everybody {
		if r.m.end(user) == 0 {
			r.strange(user)
			continue
		}
		r.entries(user)
		r.pages(user)
		if r.m.now(user) != nil {
			r.member(user)
			r.notFormer(user)
		} else {
			r.former(user)
			r.formerGroup(user)
		}
	}
	r.faces()
}

// times takes over when the server says that things happened; nothing else.
func (r *run) times() {
	ctx := r.bundle.t.Context()
	rows, err := r.cfg.DB.Query(ctx, `SELECT `+chat.EntryColumns+` FROM entries e WHERE e.conversation_id = $1 ORDER BY e.seq`, r.id)
	if err != nil {
		r.t.Fatal(err)
	}
	defer rows.Close()
	for i := 0; rows.Next(); i++ {
		e, err := chat.ScanEntry(rows)
		if err != nil || i >= len(r.m.log) {
			r.t.Fatalf("the entry %+v is too many, or %v", e, err)
		}
		r.m.log[i].ConversationID, r.m.log[i].CreatedAt = r.id, e.CreatedAt
	}
	if err := rows.Err(); err != nil {
		r.t.Fatal(err)
	}
}

// faces compares what its members see of the group in their lists.
func (r *run) faces() {
	ctx := r.bundle.t.Context()
	r.times()
	for _, user := range r.m.members() {
		want := r.m.face(user, r.id, r.names)
		c, err := r.chat.Conversation(ctx, user, r.id)
		if err != nil {
			r.t.Fatal(err)
		}
		r.same(r.names[user]+" sees the conversation", c, want)
		list, _, err := r.chat.List(ctx, user, "", 1)
		if err != nil || len(list) != 1 {
			r.t.Fatalf("the list has %d conversations, %v", len(list), err)
		}
		r.same(r.names[user]+" lists the conversation", list[0], want)
	}
}

// strange is who never was in the group: it does not exist.
func (r *run) strange(user accounts.UserID) {
	ctx := r.bundle.t.Context()
	if _, err := r.Page(ctx, user, r.id, Range{Limit: 10}); !errors.Is(err, chat.ErrNotMember) {
		r.t.Fatalf("a stranger reads a page: %v", err)
	}
	if _, _, err := r.Entries(ctx, user, r.id, 0, 10); !errors.Is(err, chat.ErrNotMember) {
		r.t.Fatalf("a stranger reads the log: %v", err)
	}
	if missed := r.sync(user, 0); len(missed.Entries) > 0 {
		r.t.Fatalf("a stranger syncs %+v", missed.Entries)
	}
	r.former(user)
	r.notFormer(user)
}

// notFormer checks that the group is none that the user was in once.
func (r *run) notFormer(user accounts.UserID) {
	ctx := r.bundle.t.Context()
	if _, err := r.chat.Former(ctx, user, r.id); !errors.Is(err, chat.ErrNotMember) {
		r.t.Fatalf("%s sees it as a former group: %v", r.names[user], err)
	}
	list, _, err := r.chat.ListFormer(ctx, user, "", 100)
	if err != nil || slices.ContainsFunc(list, func(c chat.Conversation) bool { return c.ID == r.id }) {
		r.t.Fatalf("%s has it among the former groups: %v", r.names[user], err)
	}
}

// formerGroup compares what a former member finds: the group as it was when they went.
func (r *run) formerGroup(user accounts.UserID) {
	ctx := r.bundle.t.Context()
	want := r.m.formerFace(user, r.id)
	c, err := r.chat.Former(ctx, user, r.id)
	if err != nil {
		r.t.Fatal(err)
	}
	r.same(r.names[user]+" sees the former group", c, want)
	list, _, err := r.chat.ListFormer(ctx, user, "", 100)
	i := slices.IndexFunc(list, func(c chat.Conversation) bool { return c.ID == r.id })
	if err != nil || i < 0 {
		r.t.Fatalf("%s does not find the former group: %v", r.names[user], err)
	}
	r.same(r.names[user]+" lists the former group", list[i], want)
}

// former is who is in the group no more: it is not in their list.
func (r *run) former(user accounts.UserID) {
	ctx := r.bundle.t.Context()
	if _, err := r.chat.Conversation(ctx, user, r.id); !errors.Is(err, chat.ErrNotMember) {
		r.t.Fatalf("%s sees the conversation: %v", r.names[user], err)
	}
	if _, _, err := r.chat.Members(ctx, user, r.id, "", 10); !errors.Is(err, chat.ErrNotMember) {
		r.t.Fatalf("%s sees the members: %v", r.names[user], err)
	}
	list, _, err := r.chat.List(ctx, user, "", 100)
	if err != nil || slices.ContainsFunc(list, func(c chat.Conversation) bool { return c.ID == r.id }) {
		r.t.Fatalf("%s has the conversation in the list: %v", r.names[user], err)
	}
	if missed := r.sync(user, 0); slices.ContainsFunc(missed.Conversations, func(c chat.Conversation) bool { return c.ID == r.id }) {
		r.t.Fatalf("%s gets the conversation in a sync", r.names[user])
	}
}

func (r *run) member(user accounts.UserID) {
	ctx := r.bundle.t.Context()
	var err error
	var members []chat.Member
	for after, more := "", true; more; more = after != "" {
		var some []chat.Member
		if some, after, err = r.chat.Members(ctx, user, r.id, after, 2); err != nil {
			r.t.Fatal(err)
		}
		members = append(members, some...)
	}
	var wantMembers []chat.Member
	for _, u := range r.m.members() {
		wantMembers = append(wantMembers, chat.Member{UserID: u, Role: r.m.now(u).role, Username: r.names[u], DisplayName: r.names[u]})
	}
	slices.SortFunc(wantMembers, func(a, b chat.Member) int { return cmp.Compare(a.Username, b.Username) })
	r.same(r.names[user]+" sees the members", members, wantMembers)
}

// sync is what the client of a user gets who has the log up to a seq: of this conversation.
func (r *run) sync(user accounts.UserID, have chat.Seq) Missed {
	missed, err := r.Sync(r.bundle.t.Context(), user, Held{Conversations: map[chat.ConversationID]chat.Seq{r.id: have}})
	if err != nil {
		r.t.Fatal(err)
	}
	return missed
}

func (r *run) entries(user accounts.UserID) {
	want := r.m.entries(user)
	limit := rapid.SampledFrom([]int{1, 2, 5, 100}).Draw(r.t, "limit of entries")
	for after := range r.m.last() + 2 {
		rest := slices.DeleteFunc(slices.Clone(want), func(e chat.Entry) bool { return e.Seq <= after })
		got, last, err := r.Entries(r.bundle.t.Context(), user, r.id, after, limit)
		if err != nil || last != r.m.end(user) {
			r.t.Fatalf("the log of %s ends at %d, not %d, %v", r.names[user], last, r.m.end(user), err)
		}
		r.same(fmt.Sprintf("%s reads the log after %d", r.names[user], after), got, append([]chat.Entry{}, rest[:min(limit, len(rest))]...))
	}
	have := chat.Seq(rapid.Int64Range(0, int64(r.m.end(user))).Draw(r.t, "held")) // what is beyond would be another log
	rest := slices.DeleteFunc(slices.Clone(want), func(e chat.Entry) bool { return e.Seq <= have })
	missed := r.sync(user, have)
	r.same(fmt.Sprintf("%s syncs after %d", r.names[user], have), missed.Entries, append([]chat.Entry{}, rest...))
	if slices.Contains(missed.More, r.id) {
		r.t.Fatalf("%s syncs after %d, and there is more", r.names[user], have)
	}
}

func (r *run) pages(user accounts.UserID) {
	rows := r.m.rows(user)
	for _, bound := range []Bound{Newest, Before, After, Around} {
		limit := rapid.SampledFrom([]int{1, 2, 3, 4, 10, 100}).Draw(r.t, "limit of pages")
		for seq := range r.m.last() + 2 {
			if bound == Newest && seq > 0 {
				break
			}
			rg := Range{bound, seq, limit}
			got, err := r.Page(r.bundle.t.Context(), user, r.id, rg)
			if err != nil {
				r.t.Fatal(err)
			}
			want := r.m.page(user, rows, rg)
			if len(want.Messages) == 0 {
				want.Messages = []chat.Message{}
			}
			r.same(fmt.Sprintf("%s reads the page %+v", r.names[user], rg), got, want)
		}
	}
}
