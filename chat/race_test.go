package chat

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"

	"parley/accounts"
	"parley/problem"
)

// atOnce runs functions at the same time, as nearly as can be, and waits for all of them.
func atOnce(fs ...func()) {
	start := make(chan struct{})
	var all sync.WaitGroup
	for _, f := range fs {
		all.Go(func() { <-start; f() })
	}
	close(start)
	all.Wait()
}

// seen is a message as a client folds it from entries: what anybody outside would write who
// has read docs/PROTOCOL.md.
type seen struct {
	body      string
	deleted   bool
	reactions []Reaction
}

func foldLikeAClient(entries []Entry, target Seq) (m seen) {
	for _, e := range entries {
		switch {
		case e.Seq == target:
			m.body, m.deleted = e.Body, e.Deleted
		case e.TargetSeq != target || m.deleted:
		case e.Kind == KindEdit:
			m.body = e.Body
		case e.Kind == KindReactionAdded:
			i := slices.IndexFunc(m.reactions, func(r Reaction) bool { return r.Emoji == e.Emoji })
			if i < 0 {
				i = len(m.reactions)
				m.reactions = append(m.reactions, Reaction{Emoji: e.Emoji})
			}
			m.reactions[i].UserIDs = append(m.reactions[i].UserIDs, e.SenderID)
		case e.Kind == KindReactionRemoved:
			for i, r := range m.reactions {
				if r.Emoji == e.Emoji {
					m.reactions[i].UserIDs = slices.DeleteFunc(r.UserIDs, func(u accounts.UserID) bool { return u == e.SenderID })
				}
			}
			m.reactions = slices.DeleteFunc(m.reactions, func(r Reaction) bool { return len(r.UserIDs) == 0 })
		case e.Kind == KindDelete:
			m.deleted = true
		}
		if m.deleted {
			m.body, m.reactions = "", nil
		}
	}
	return m
}

func (m seen) String() string { return fmt.Sprintf("%q deleted=%v %v", m.body, m.deleted, m.reactions) }

// A race of actions on one message, on two replicas, many times: each has an outcome that it
// may have, and however it went, everybody ends up with the same message.
func TestActionsAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b2 := replica(t, b.db) // hears of the other's entries by a hint
	ann, ben := b.user("ann"), b.user("ben")
	id := b.group(ann, ben)
	observers := []*client{b.connect(ann), b.connect(ben), b2.connect(ann), b2.connect(ben)}
	heard := make([][]Entry, len(observers))

	edit := Action{Kind: KindEdit, SenderID: ann, Body: "secret, edited"}
	edit2 := Action{Kind: KindEdit, SenderID: ann, Body: "secret, edited otherwise"}
	remove := Action{Kind: KindDelete, SenderID: ann}
	react := Action{Kind: KindReactionAdded, SenderID: ben, Emoji: "👍"}
	react2 := Action{Kind: KindReactionAdded, SenderID: ann, Emoji: "👍"}
	unreact := Action{Kind: KindReactionRemoved, SenderID: ben, Emoji: "👍"}
	for _, tc := range []struct {
		name      string
		actions   []Action
		entries   []int // how many there may be
		mayDelete bool
	}{
		{"edit against delete", []Action{edit, remove}, []int{1, 2}, true},
		{"react against delete", []Action{react, remove}, []int{1, 2}, true},
		{"two edits", []Action{edit, edit2}, []int{2}, false},
		{"the same edit twice", []Action{edit, edit}, []int{1}, false},
		{"delete twice", []Action{remove, remove}, []int{1}, true},
		{"react twice", []Action{react, react}, []int{1}, false},
		{"two react", []Action{react, react2}, []int{2}, false},
		{"react against taking it back", []Action{react, unreact}, []int{1, 2}, false},
		{"all of them", []Action{edit, react, edit2, remove, react2, unreact}, []int{1, 2, 3, 4, 5, 6}, true},
	} {
		for round := range 10 {
			target := b.send(ann, id, "secret").Seq
			var acts []func()
			for i, a := range tc.actions {
				a.ConversationID, a.TargetSeq, a.ClientID = id, target, newClientID()
				acts = append(acts, func() {
					_, err := []*bundle{b, b2}[(i+round)%2].Act(t.Context(), a)
					if err != nil && (!tc.mayDelete || a.Kind == KindDelete || !errors.Is(err, ErrDeleted)) {
						t.Errorf("%s: %s: %v", tc.name, a.Kind, err)
					}
				})
			}
			atOnce(acts...)
			log := b.log(id)
			if n := len(log) - int(target); !slices.Contains(tc.entries, n) {
				t.Errorf("%s: %d entries", tc.name, n)
			}
			want := foldLikeAClient(log, target)
			if want.deleted != tc.mayDelete {
				t.Errorf("%s: it ends up as %v", tc.name, want)
			}
			b.gates.hint(id, log[len(log)-1].Seq)
			b2.gates.hint(id, log[len(log)-1].Seq)
			for i, c := range observers {
				for n := len(heard[i]); n == 0 || heard[i][n-1].Seq < log[len(log)-1].Seq; n++ {
					e := c.entry()
					if n > 0 && e.Seq != heard[i][n-1].Seq+1 {
						t.Fatalf("%s: observer %d hears %d after %d", tc.name, i, e.Seq, heard[i][n-1].Seq)
					}
					heard[i] = append(heard[i], e)
				}
				if got := foldLikeAClient(heard[i], target); got.String() != want.String() {
					t.Fatalf("%s: observer %d has %v, and the log %v", tc.name, i, got, want)
				}
			}
			for _, user := range []accounts.UserID{ann, ben} {
				c, err := b.Conversation(t.Context(), user, id)
				if err != nil {
					t.Fatal(err)
				}
				last := c.LastMessage
				if got := (seen{last.Body, last.Deleted, last.Reactions}); last.Seq != target || got.String() != want.String() {
					t.Fatalf("%s: the server folds message %d to %v, and the log says %v", tc.name, last.Seq, got, want)
				}
			}
			if want.deleted {
				var left int
				err := b.db.QueryRow(t.Context(), `SELECT count(*) FROM entries WHERE seq >= $1 AND kind <> 'reaction_added' AND kind <> 'reaction_removed' AND body IS NOT NULL`, target).Scan(&left)
				if err != nil || left != 0 {
					t.Fatalf("%s: the text of a deleted message is left in %d rows, %v", tc.name, left, err)
				}
			}
		}
	}
}

// The same client_id on many goroutines and two replicas is one entry, whatever it does; with
// something else in it, one of them wins and the others are told.
func TestOneClientIDAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b2 := replica(t, b.db)
	ann, ben := b.user("ann"), b.user("ben")
	id := b.group(ann, ben)
	doer := func(a Action) func(*bundle) (Sent, error) {
		return func(on *bundle) (Sent, error) { return on.Act(t.Context(), a) }
	}
	// Each gives what to do for the n-th; the same for all where vary is empty.
	deeds := map[string]func(target Seq, client uuid.UUID, vary string) func(*bundle) (Sent, error){
		"send": func(target Seq, client uuid.UUID, vary string) func(*bundle) (Sent, error) {
			return func(on *bundle) (Sent, error) {
				return on.Send(t.Context(), Outgoing{ConversationID: id, SenderID: ann, ClientID: client, Body: "x" + vary, ReplyTo: target})
			}
		},
		"edit": func(target Seq, client uuid.UUID, vary string) func(*bundle) (Sent, error) {
			return doer(Action{Kind: KindEdit, ConversationID: id, SenderID: ann, ClientID: client, TargetSeq: target, Body: "edited" + vary})
		},
		"react": func(target Seq, client uuid.UUID, vary string) func(*bundle) (Sent, error) {
			return doer(Action{Kind: KindReactionAdded, ConversationID: id, SenderID: ben, ClientID: client, TargetSeq: target, Emoji: cmp.Or(vary, "🎉")})
		},
		"take back": func(target Seq, client uuid.UUID, _ string) func(*bundle) (Sent, error) {
			return doer(Action{Kind: KindReactionRemoved, ConversationID: id, SenderID: ben, ClientID: client, TargetSeq: target, Emoji: "👍"})
		},
		"delete": func(target Seq, client uuid.UUID, _ string) func(*bundle) (Sent, error) {
			return doer(Action{Kind: KindDelete, ConversationID: id, SenderID: ann, ClientID: client, TargetSeq: target})
		},
	}
	const n = 8
	variants := []string{"😀", "😃", "😄", "😁", "😆", "😅", "😂", "🤣"}
	for _, name := range slices.Sorted(maps.Keys(deeds)) {
		for round := range 10 {
			vary := round%2 == 1
			if vary && (name == "take back" || name == "delete") {
				continue // there is nothing in it that could vary
			}
			target := b.send(ann, id, "x").Seq
			if _, err := doer(Action{Kind: KindReactionAdded, ConversationID: id, SenderID: ben, TargetSeq: target, Emoji: "👍"})(b); err != nil {
				t.Fatal(err)
			}
			before := len(b.log(id))
			sent, errs := make([]Sent, n), make([]error, n)
			client := newClientID()
			var fs []func()
			for i := range n {
				v := ""
				if vary {
					v = variants[i]
				}
				do := deeds[name](target, client, v)
				fs = append(fs, func() { sent[i], errs[i] = do([]*bundle{b, b2}[i%2]) })
			}
			atOnce(fs...)
			fresh, refused := 0, 0
			for i := range n {
				switch {
				case vary && errors.Is(errs[i], ErrClientID):
					refused++
				case errs[i] != nil || sent[i].Seq != Seq(before+1):
					t.Errorf("%s: %+v, %v", name, sent[i], errs[i])
				case !sent[i].Repeat:
					fresh++
				}
			}
			if got := len(b.log(id)) - before; got != 1 || fresh != 1 || vary && refused != n-1 {
				t.Errorf("%s: %d entries, %d were told that theirs is new, %d that the client_id is taken", name, got, fresh, refused)
			}
		}
	}
}

// A send against the removal of its sender is before it in the log or refused, and the
// connections of who is removed hear of nothing after it.
func TestSendAgainstRemoval(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben := b.user("ann"), b.user("ben")
	fence := b.direct(ann, ben)
	bens := []*client{b.connect(ben), b.connect(ben)}
	for range 20 {
		id := b.group(ann, ben)
		var sent []Seq
		bensSends := func() {
			for {
				s, err := b.Send(t.Context(), Outgoing{ConversationID: id, SenderID: ben, ClientID: newClientID(), Body: "ben's"})
				if err != nil {
					if !errors.Is(err, ErrNotMember) {
						t.Error(err)
					}
					return
				}
				sent = append(sent, s.Seq)
			}
		}
		annsSends := func() {
			for range 5 {
				if _, err := b.Send(t.Context(), Outgoing{ConversationID: id, SenderID: ann, ClientID: newClientID(), Body: "ann's"}); err != nil {
					t.Error(err)
				}
			}
		}
		atOnce(bensSends, annsSends, func() {
			if err := b.RemoveMember(t.Context(), ann, id, ben); err != nil {
				t.Error(err)
			}
		})
		b.send(ann, id, "after")
		b.send(ann, fence, "fence")

		var removed Seq
		for _, e := range b.log(id) {
			if e.Kind == KindMemberRemoved {
				removed = e.Seq
			} else if removed > 0 && e.SenderID == ben {
				t.Errorf("ben's message %d comes after his removal, %d", e.Seq, removed)
			}
		}
		if n := len(sent); n > 0 && sent[n-1] > removed {
			t.Errorf("ben was told that he sent %d, after his removal, %d", sent[n-1], removed)
		}
		for _, c := range bens {
			heard := Seq(0)
			// Conversations are in no order among each other: the fence may pass the removal.
			for fenced := false; !fenced || heard < removed; {
				e := c.entry()
				fenced = fenced || e.ConversationID == fence && e.Kind == KindMessage
				if e.ConversationID == id {
					if e.Seq != heard+1 {
						t.Fatalf("ben hears %d after %d", e.Seq, heard)
					}
					heard = e.Seq
				}
			}
			if heard != removed {
				t.Fatalf("ben hears up to %d, and was removed at %d", heard, removed)
			}
		}
	}
}

// However owners leave, are removed and demoted at once: a group with members has an owner.
func TestOwnersAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, cleo, dora := b.user("ann"), b.user("ben"), b.user("cleo"), b.user("dora")
	allowed := func(err error, codes ...problem.Code) {
		if err != nil && !slices.Contains(codes, problem.From(err).Code) {
			t.Error(err)
		}
	}
	for name, race := range map[string]func(ConversationID) []func(){
		"both leave": func(id ConversationID) []func() {
			return []func(){
				func() { allowed(b.RemoveMember(t.Context(), ann, id, ann)) },
				func() { allowed(b.RemoveMember(t.Context(), ben, id, ben)) },
			}
		},
		"one leaves and the other gives it up": func(id ConversationID) []func() {
			return []func(){
				func() { allowed(b.RemoveMember(t.Context(), ann, id, ann)) },
				func() {
					_, err := b.SetRole(t.Context(), ben, id, ben, RoleMember)
					allowed(err, problem.Conflict)
				},
			}
		},
		"each demotes the other": func(id ConversationID) []func() {
			return []func(){
				func() { _, err := b.SetRole(t.Context(), ann, id, ben, RoleMember); allowed(err, problem.Forbidden) },
				func() { _, err := b.SetRole(t.Context(), ben, id, ann, RoleMember); allowed(err, problem.Forbidden) },
			}
		},
		"both give it up": func(id ConversationID) []func() {
			return []func(){
				func() { _, err := b.SetRole(t.Context(), ann, id, ann, RoleAdmin); allowed(err, problem.Conflict) },
				func() { _, err := b.SetRole(t.Context(), ben, id, ben, RoleAdmin); allowed(err, problem.Conflict) },
			}
		},
		"each removes the other": func(id ConversationID) []func() {
			return []func(){
				func() { allowed(b.RemoveMember(t.Context(), ann, id, ben), problem.NotFound) },
				func() { allowed(b.RemoveMember(t.Context(), ben, id, ann), problem.NotFound) },
			}
		},
		"everybody leaves": func(id ConversationID) (all []func()) {
			for _, user := range []accounts.UserID{ann, ben, cleo, dora} {
				all = append(all, func() { allowed(b.RemoveMember(t.Context(), user, id, user)) })
			}
			return all
		},
	} {
		for range 8 {
			id := b.group(ann, ben, cleo, dora)
			for user, role := range map[accounts.UserID]MemberRole{ben: RoleOwner, cleo: RoleAdmin} {
				if _, err := b.SetRole(t.Context(), ann, id, user, role); err != nil {
					t.Fatal(err)
				}
			}
			atOnce(race(id)...)
			var members, owners int
			err := b.db.QueryRow(t.Context(), `SELECT count(*), count(*) FILTER (WHERE role = 'owner') FROM members WHERE conversation_id = $1 AND until_seq IS NULL`, id).Scan(&members, &owners)
			if err != nil {
				t.Fatal(err)
			}
			if members > 0 && owners == 0 || (members == 0) != (name == "everybody leaves") {
				t.Errorf("%s: %d members, %d of them owners", name, members, owners)
			}
			// The log tells the same story.
			roles := map[accounts.UserID]MemberRole{}
			for _, e := range b.log(id) {
				switch e.Kind {
				case KindCreated:
					for i, user := range e.UserIDs {
						roles[user] = []MemberRole{RoleOwner, RoleMember, RoleMember, RoleMember}[i]
					}
				case KindRoleChanged:
					roles[e.UserID] = e.Role
				case KindMemberLeft, KindMemberRemoved:
					delete(roles, e.UserID)
				}
				if len(roles) > 0 && !slices.Contains(slices.Collect(maps.Values(roles)), RoleOwner) {
					t.Errorf("%s: after entry %d nobody owns the group", name, e.Seq)
				}
			}
			if len(roles) != members {
				t.Errorf("%s: the log has %d members, the group %d", name, len(roles), members)
			}
		}
	}
}
