package history

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"parley/accounts"
	"parley/chat"
	"parley/problem"
)

// model is a group as the contract has it, written without a look at the SQL: a list of
// entries and, for each person, the stretches of it that they may read. It says what becomes
// of everything that anybody does, and what anybody may see of that.
type model struct {
	title  string
	share  bool
	log    []chat.Entry // the entry with seq n at n-1, texts and all
	gone   map[chat.Seq]bool
	people map[accounts.UserID][]stretch
	read   map[accounts.UserID]chat.Seq

	disabled map[accounts.UserID]bool
}

type stretch struct {
	from, joined, until chat.Seq // until: 0 while it lasts
	role                chat.MemberRole
	title               string // of the group when it ended
}

func newModel(title string, owner accounts.UserID, others ...accounts.UserID) *model {
	m := &model{title: title, gone: map[chat.Seq]bool{}, people: map[accounts.UserID][]stretch{}, read: map[accounts.UserID]chat.Seq{}, disabled: map[accounts.UserID]bool{}}
	m.add(chat.Entry{Kind: chat.KindCreated, SenderID: owner, Detail: chat.Detail{UserIDs: append([]accounts.UserID{owner}, others...), Title: title}})
	for _, user := range m.log[0].UserIDs {
		m.people[user] = []stretch{{from: 1, joined: 1, role: chat.RoleMember}}
	}
	m.people[owner][0].role = chat.RoleOwner
	return m
}

func (m *model) last() chat.Seq { return chat.Seq(len(m.log)) }

func (m *model) add(e chat.Entry) chat.Seq {
	e.Seq = m.last() + 1
	m.log = append(m.log, e)
	return e.Seq
}

// now is somebody's membership; nil if they are no member.
func (m *model) now(user accounts.UserID) *stretch {
	all := m.people[user]
	if n := len(all); n > 0 && all[n-1].until == 0 {
		return &all[n-1]
	}
	return nil
}

// sees says whether somebody may read an entry.
func (m *model) sees(user accounts.UserID, seq chat.Seq) bool {
	return seq <= m.last() && slices.ContainsFunc(m.people[user], func(s stretch) bool {
		return seq >= s.from && (s.until == 0 || seq <= s.until)
	})
}

func (m *model) isMessage(user accounts.UserID, seq chat.Seq) bool {
	return m.sees(user, seq) && m.log[seq-1].Kind == chat.KindMessage
}

func (m *model) members() (users []accounts.UserID) {
	for user := range m.people {
		if m.now(user) != nil {
			users = append(users, user)
		}
	}
	return users
}

// naming are those of some people who are members.
func (m *model) naming(users []accounts.UserID) (members []accounts.UserID) {
	for _, user := range users {
		if m.now(user) != nil {
			members = append(members, user)
		}
	}
	return members
}

// What follows gives the seq that is answered, or the code of the refusal.

func (m *model) send(o chat.Outgoing) (chat.Seq, problem.Code) {
	switch {
	case m.now(o.SenderID) == nil:
		return 0, problem.NotFound
	case o.ReplyTo != 0 && !m.isMessage(o.SenderID, o.ReplyTo):
		return 0, problem.Invalid
	}
	return m.add(chat.Entry{
		Kind: chat.KindMessage, SenderID: o.SenderID, ClientID: o.ClientID, Body: o.Body, ReplyTo: o.ReplyTo,
		Detail: chat.Detail{Mentions: m.naming(o.Mentions)},
	}), ""
}

func (m *model) act(a chat.Action) (chat.Seq, problem.Code) {
	me := m.now(a.SenderID)
	if me == nil || !m.isMessage(a.SenderID, a.TargetSeq) {
		return 0, problem.NotFound
	}
	// What was done before in the same respect, whoever may know of it, and so is answered.
	before, text, named, reacted := a.TargetSeq, m.log[a.TargetSeq-1].Body, m.log[a.TargetSeq-1].Mentions, false
	for _, e := range m.log {
		switch {
		case e.TargetSeq != a.TargetSeq:
		case e.Kind == chat.KindEdit && a.Kind == chat.KindEdit:
			before, text, named = e.Seq, e.Body, e.Mentions
		case e.Kind == chat.KindDelete && a.Kind == chat.KindDelete:
			before = e.Seq
		case e.Emoji != "" && e.Emoji == a.Emoji && e.SenderID == a.SenderID:
			before, reacted = e.Seq, e.Kind == chat.KindReactionAdded
		}
	}
	isOwn := m.log[a.TargetSeq-1].SenderID == a.SenderID
	deleted := m.gone[a.TargetSeq]
	switch {
	case a.Kind == chat.KindEdit && !isOwn, a.Kind == chat.KindDelete && !isOwn && me.role == chat.RoleMember:
		return 0, problem.Forbidden
	case a.Kind == chat.KindDelete && deleted, a.Kind == chat.KindReactionRemoved && (deleted || !reacted):
		return before, ""
	case deleted:
		return 0, problem.Conflict
	case a.Kind == chat.KindEdit && text == a.Body && slices.Equal(named, m.naming(a.Mentions)), a.Kind == chat.KindReactionAdded && reacted:
		return before, ""
	}
	e := chat.Entry{Kind: a.Kind, SenderID: a.SenderID, ClientID: a.ClientID, TargetSeq: a.TargetSeq, Body: a.Body, Emoji: a.Emoji}
	if a.Kind == chat.KindEdit {
		e.Mentions = m.naming(a.Mentions)
	}
	m.gone[a.TargetSeq] = a.Kind == chat.KindDelete
	return m.add(e), ""
}

// manage is for what only some roles do.
func (m *model) manage(me accounts.UserID, roles ...chat.MemberRole) problem.Code {
	switch s := m.now(me); {
	case s == nil:
		return problem.NotFound
	case !slices.Contains(roles, s.role):
		return problem.Forbidden
	}
	return ""
}

func (m *model) addMembers(me accounts.UserID, users []accounts.UserID) problem.Code {
	if code := m.manage(me, chat.RoleOwner, chat.RoleAdmin); code != "" {
		return code
	}
	for _, user := range users {
		if m.now(user) == nil && m.disabled[user] {
			return problem.NotFound
		}
	}
	for _, user := range users {
		if m.now(user) != nil {
			continue
		}
		seq := m.add(chat.Entry{Kind: chat.KindMemberAdded, SenderID: me, Detail: chat.Detail{UserID: user}})
		s := stretch{from: seq, joined: seq, role: chat.RoleMember}
		if m.share {
			s.from, m.people[user] = 1, nil
		}
		m.people[user] = append(m.people[user], s)
	}
	return ""
}

func (m *model) remove(me, user accounts.UserID) problem.Code {
	if code := m.manage(me, chat.RoleOwner, chat.RoleAdmin); code != "" && (code != problem.Forbidden || me != user) {
		return code
	}
	s, kind := m.now(user), chat.KindMemberRemoved
	switch {
	case s == nil:
		return problem.NotFound
	case me == user:
		kind = chat.KindMemberLeft
		m.handOver(me)
	case m.now(me).role == chat.RoleAdmin && s.role != chat.RoleMember:
		return problem.Forbidden
	}
	s.until, s.title = m.add(chat.Entry{Kind: kind, SenderID: me, Detail: chat.Detail{UserID: user}}), m.title
	return ""
}

// owners are the members with that role, but for one, the longest-serving first.
func (m *model) owners(but accounts.UserID, disabled bool) (owners []accounts.UserID) {
	for _, user := range m.members() {
		if user != but && m.now(user).role == chat.RoleOwner && m.disabled[user] == disabled {
			owners = append(owners, user)
		}
	}
	slices.SortFunc(owners, m.order)
	return owners
}

// handOver is what follows from the last owner leaving, or being disabled: then by is zero, and
// the disabled owners go on being members.
func (m *model) handOver(leaving accounts.UserID) {
	if len(m.owners(leaving, false)) > 0 || !leaving.IsZero() && m.now(leaving).role != chat.RoleOwner {
		return
	}
	var others []accounts.UserID
	for _, user := range m.members() {
		if user != leaving {
			others = append(others, user)
		}
	}
	slices.SortFunc(others, m.order)
	disabled, by := m.owners(leaving, true), leaving
	if by.IsZero() {
		if len(disabled) == 0 {
			return
		}
		by = disabled[0]
	}
	if len(others) == 0 || m.disabled[others[0]] && len(disabled) > 0 {
		return
	}
	m.give(by, others[0], chat.RoleOwner)
	for _, user := range disabled {
		m.give(by, user, chat.RoleMember)
	}
}

// order says who succeeds first. Who came with the group came at the same time.
func (m *model) order(a, b accounts.UserID) int {
	x, y := m.now(a), m.now(b)
	switch {
	case m.disabled[a] != m.disabled[b]:
		return map[bool]int{false: -1, true: 1}[m.disabled[a]]
	case x.role != y.role && x.role == chat.RoleAdmin:
		return -1
	case x.role != y.role && y.role == chat.RoleAdmin:
		return 1
	case x.joined != y.joined:
		return int(x.joined - y.joined)
	}
	return slices.Compare(a[:], b[:])
}

func (m *model) give(by, user accounts.UserID, role chat.MemberRole) {
	m.now(user).role = role
	m.add(chat.Entry{Kind: chat.KindRoleChanged, SenderID: by, Detail: chat.Detail{UserID: user, Role: role}})
}

func (m *model) setRole(me, user accounts.UserID, role chat.MemberRole) problem.Code {
	if code := m.manage(me, chat.RoleOwner); code != "" {
		return code
	}
	switch s := m.now(user); {
	case s == nil:
		return problem.NotFound
	case s.role == role:
	case s.role == chat.RoleOwner && len(m.owners(user, false)) == 0, role != chat.RoleMember && m.disabled[user]:
		return problem.Conflict
	default:
		m.give(me, user, role)
	}
	return ""
}

func (m *model) update(me accounts.UserID, u chat.GroupUpdate) problem.Code {
	roles := []chat.MemberRole{chat.RoleOwner, chat.RoleAdmin}
	if u.ShareHistory != nil {
		roles = roles[:1]
	}
	if code := m.manage(me, roles...); code != "" {
		return code
	}
	if u.Title != nil && *u.Title != m.title {
		m.title = *u.Title
		m.add(chat.Entry{Kind: chat.KindTitleChanged, SenderID: me, Detail: chat.Detail{Title: m.title}})
	}
	if u.ShareHistory != nil {
		m.share = *u.ShareHistory
	}
	return ""
}

// What follows is what somebody sees.

// entries is the raw log of somebody: nothing of the texts of deleted messages.
func (m *model) entries(user accounts.UserID) (list []chat.Entry) {
	for _, e := range m.log {
		if !m.sees(user, e.Seq) {
			continue
		}
		if e.Kind == chat.KindMessage && m.gone[e.Seq] || e.Kind == chat.KindEdit && m.gone[e.TargetSeq] {
			e.Deleted = e.Kind == chat.KindMessage
			e.Body, e.Mentions = "", nil
		}
		list = append(list, e)
	}
	return list
}

// rows are the messages and system entries of somebody, folded from what they see.
func (m *model) rows(user accounts.UserID) (list []chat.Message) {
	entries := m.entries(user)
	for _, e := range entries {
		if e.TargetSeq != 0 {
			continue
		}
		row := chat.Message{Entry: e, Deleted: e.Deleted, Reactions: []chat.Reaction{}}
		row.Entry.Deleted = false
		if !row.Deleted {
			for _, a := range entries {
				if a.TargetSeq == e.Seq {
					fold(&row, a)
				}
			}
		}
		list = append(list, row)
	}
	for i, row := range list {
		if row.ReplyTo == 0 {
			continue
		}
		for _, q := range list {
			if q.Seq == row.ReplyTo {
				text := []rune(q.Body)
				list[i].Quote = &chat.Quote{Seq: q.Seq, SenderID: q.SenderID, Body: string(text[:min(len(text), 200)]), Deleted: q.Deleted, Mentions: q.Mentions}
			}
		}
	}
	return list
}

func fold(m *chat.Message, a chat.Entry) {
	i := slices.IndexFunc(m.Reactions, func(r chat.Reaction) bool { return r.Emoji == a.Emoji })
	switch a.Kind {
	case chat.KindEdit:
		m.Body, m.Mentions, m.EditedAt = a.Body, a.Mentions, a.CreatedAt
	case chat.KindReactionAdded:
		if i < 0 {
			i = len(m.Reactions)
			m.Reactions = append(m.Reactions, chat.Reaction{Emoji: a.Emoji})
		}
		if r := &m.Reactions[i]; !slices.Contains(r.UserIDs, a.SenderID) {
			r.UserIDs = append(r.UserIDs, a.SenderID)
		}
	case chat.KindReactionRemoved:
		if i < 0 {
			return // whoever put it there did so where it cannot be seen
		}
		r := &m.Reactions[i]
		if r.UserIDs = slices.DeleteFunc(r.UserIDs, func(u accounts.UserID) bool { return u == a.SenderID }); len(r.UserIDs) == 0 {
			m.Reactions = slices.Delete(m.Reactions, i, i+1)
		}
	}
}

// end is how far the log reaches for somebody; 0 for a stranger.
func (m *model) end(user accounts.UserID) (end chat.Seq) {
	for _, s := range m.people[user] {
		if end = s.until; end == 0 {
			end = m.last()
		}
	}
	return end
}

// page cuts a page out of rows.
func (m *model) page(user accounts.UserID, rows []chat.Message, r Range) Page {
	first, _ := slices.BinarySearchFunc(rows, r.Seq, func(m chat.Message, seq chat.Seq) int { return int(m.Seq - seq) })
	after := first // the first row that is after the seq
	if first < len(rows) && rows[first].Seq == r.Seq {
		after++
	}
	var from, to int
	switch r.Bound {
	case Newest:
		from, to = len(rows)-r.Limit, len(rows)
	case Before:
		from, to = first-r.Limit, first
	case After:
		from, to = after, after+r.Limit
	case Around:
		from, to = first-r.Limit/2, first+r.Limit-r.Limit/2
	}
	from, to = max(from, 0), min(to, len(rows))
	return Page{Messages: rows[from:to], HasBefore: from > 0, HasAfter: to < len(rows), LastSeq: m.end(user)}
}

// face is the conversation as a member sees it in the list.
func (m *model) face(user accounts.UserID, id chat.ConversationID, names map[accounts.UserID]string) chat.Conversation {
	s := m.now(user)
	read := m.read[user]
	for _, e := range m.log { // sending is reading, whatever became of the mark
		if e.Kind == chat.KindMessage && e.SenderID == user && e.Seq > s.joined {
			read = max(read, e.Seq)
		}
	}
	c := chat.Conversation{
		ID: id, Kind: "group", Title: m.title, Role: s.role, ShareHistory: m.share, LastSeq: m.last(),
		DeliveredSeq: read, ReadSeq: read, Notify: chat.NotifyAll, Accepted: true, LastEntryAt: m.lastRowAt(),
	}
	members := m.members()
	slices.SortFunc(members, func(a, b accounts.UserID) int {
		if x, y := m.now(a).joined, m.now(b).joined; x != y {
			return int(x - y)
		}
		return slices.Compare(a[:], b[:])
	})
	c.MemberCount = len(members)
	for _, user := range members[:min(len(members), 5)] {
		c.Members = append(c.Members, chat.Member{UserID: user, Role: m.now(user).role, Username: names[user], DisplayName: names[user]})
	}
	for _, row := range m.rows(user) {
		if row.Kind != chat.KindMessage {
			continue
		}
		if row.Seq >= s.from {
			c.LastMessage = &row
		}
		if row.Seq > max(s.joined, read) && row.SenderID != user && !row.Deleted {
			c.Unread++
			if slices.Contains(row.Mentions, user) {
				c.Mentions++
			}
		}
	}
	return c
}

// formerFace is the conversation as a former member sees it: as it was when they went.
func (m *model) formerFace(user accounts.UserID, id chat.ConversationID) chat.Conversation {
	s := m.people[user][len(m.people[user])-1]
	read := min(m.read[user], s.until)
	c := chat.Conversation{
		ID: id, Kind: "group", Title: s.title, Former: true, Accepted: true, LastSeq: s.until, LastEntryAt: m.log[s.until-1].CreatedAt,
		Members: []chat.Member{}, DeliveredSeq: read, ReadSeq: read, Notify: chat.NotifyAll,
	}
	for _, row := range m.rows(user) {
		if row.Kind == chat.KindMessage && row.Seq >= s.from {
			c.LastMessage = &row
		}
	}
	return c
}

func (m *model) lastRowAt() (at time.Time) {
	for _, e := range m.log {
		if e.TargetSeq == 0 {
			at = e.CreatedAt
		}
	}
	return at
}

// byClientID finds what was stored with a client_id.
func (m *model) byClientID(client uuid.UUID) (chat.Entry, bool) {
	for _, e := range m.log {
		if client != uuid.Nil && e.ClientID == client {
			return e, true
		}
	}
	return chat.Entry{}, false
}
