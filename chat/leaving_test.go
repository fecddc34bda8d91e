package chat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"parley/accounts"
	"parley/problem"
)

// delete is what accounts does to the row of a user.
func (b *bundle) delete(user accounts.UserID) {
	b.t.Helper()
	if _, err := b.db.Exec(b.t.Context(), `UPDATE users SET disabled_at = now(), deleted_at = now(), display_name = 'Deleted user',
		username = 'deleted-' || right(replace(id::text, '-', ''), 24) WHERE id = $1`, user); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) remove(user accounts.UserID, erase bool) {
	b.t.Helper()
	if err := b.RemoveUser(b.t.Context(), user, erase); err != nil {
		b.t.Fatal(err)
	}
}

// texts counts the stored texts of a user.
func (b *bundle) texts(user accounts.UserID) (n int) {
	b.t.Helper()
	err := b.db.QueryRow(b.t.Context(), `SELECT count(*) FROM entries WHERE sender_id = $1 AND kind IN ('message', 'edit') AND (body IS NOT NULL OR detail IS NOT NULL)`, user).Scan(&n)
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

func code(err error) problem.Code {
	if err == nil {
		return "ok"
	}
	return problem.From(err).Code
}

func TestDeletedUser(t *testing.T) {
	t.Parallel()
	t.Run("leaves groups, with a successor", func(t *testing.T) {
		t.Parallel()
		o := newOwnership(t)
		client, last := o.connect(o.ben), o.last()
		o.delete(o.ann)
		o.remove(o.ann, false)
		for e := client.entry(); e.Kind != KindMemberLeft || e.UserID != o.ann; e = client.entry() {
			if e.Kind != KindRoleChanged {
				t.Fatalf("members get %+v", e)
			}
		}
		o.wants(last, []accounts.UserID{o.eve}, Detail{UserID: o.eve, Role: RoleOwner})
		end := o.last()
		o.remove(o.ann, false) // once more, after a crash
		if o.last() != end {
			t.Error("leaving twice is in the log")
		}
	})
	t.Run("closes direct conversations, which the other side keeps", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		ann, ben, id := b.pair()
		anns, bens := b.send(ann, id, "from ann"), b.send(ben, id, "from ben")
		client := b.connect(ben)
		b.delete(ann)
		b.remove(ann, false)
		var seen, named bool
		for !seen || !named {
			switch f := client.next(); f.Type {
			case "conversation":
				c := decode[Conversation](t, f.Data)
				for _, m := range c.Members {
					seen = seen || m.UserID == ann && m.Deleted && m.DisplayName == "Deleted user"
				}
			case "user":
				u := decode[accounts.User](t, f.Data)
				named = named || u.ID == ann && u.Deleted
			}
		}
		act := func(kind Kind, seq Seq) error {
			a := Action{Kind: kind, ConversationID: id, SenderID: ben, TargetSeq: seq}
			switch kind {
			case KindEdit:
				a.Body = "edited"
			case KindReactionAdded:
				a.Emoji = "👍"
			}
			_, err := b.Act(t.Context(), a)
			return err
		}
		send := func(from accounts.UserID, key uuid.UUID, body string) error {
			_, err := b.Send(t.Context(), Outgoing{ConversationID: id, SenderID: from, ClientID: key, Body: body})
			return err
		}
		for name, got := range map[string]problem.Code{
			"message":    code(send(ben, newClientID(), "are you there?")),
			"by the one": code(send(ann, newClientID(), "in flight")),
			"edit":       code(act(KindEdit, bens.Seq)),
			"reaction":   code(act(KindReactionAdded, anns.Seq)),
		} {
			if got != problem.Forbidden {
				t.Errorf("%s: %s", name, got)
			}
		}
		if err := send(ben, bens.ClientID, "from ben"); err != nil {
			t.Errorf("a repeat of what is stored: %v", err)
		}
		if err := act(KindDelete, bens.Seq); err != nil {
			t.Errorf("deleting an own message: %v", err)
		}
		if _, err := b.OpenDirect(t.Context(), b.user("eve"), ann); !errors.Is(err, ErrNoUser) {
			t.Errorf("a new conversation: %v", err)
		}
	})
	t.Run("has no blocks left, own or others'", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		ann, ben, eve := b.user("ann"), b.user("ben"), b.user("eve")
		b.block(ann, ben)
		b.block(ben, eve)
		b.delete(ben)
		b.remove(ben, false)
		var left int
		if err := b.db.QueryRow(t.Context(), `SELECT count(*) FROM blocks`).Scan(&left); err != nil || left != 0 {
			t.Errorf("%d blocks are left, %v", left, err)
		}
	})
	t.Run("gets no membership that was under way", func(t *testing.T) {
		t.Parallel()
		for round := range 10 {
			b := setup(t)
			ann, ben := b.user("ann"), b.user("ben")
			id := b.group(ann)
			var race sync.WaitGroup
			race.Go(func() { _, _ = b.AddMembers(t.Context(), ann, id, []accounts.UserID{ben}) })
			race.Go(func() { _, _ = b.OpenDirect(t.Context(), ann, ben) })
			race.Go(func() { _, _ = b.OpenDirect(t.Context(), ben, ann) })
			b.delete(ben)
			b.remove(ben, false)
			race.Wait()
			if open, err := b.q.openMemberships(t.Context(), ben, ConversationID{}, 10); err != nil || len(open) != 0 {
				t.Fatalf("round %d: a deleted user is in %v, %v", round, open, err)
			}
		}
	})
}

func TestErasing(t *testing.T) {
	t.Parallel()
	t.Run("reaches every text, in batches that go on after a crash, at another replica", func(t *testing.T) {
		t.Parallel()
		a := setup(t)
		ann, ben := a.user("ann"), a.user("ben")
		id := a.group(ann, ben)
		const messages = 3*eraseEntries + 10
		if _, err := a.db.Exec(t.Context(), `
			WITH n AS (UPDATE conversations SET last_seq = last_seq + $4 WHERE id = $1 RETURNING last_seq - $4 AS base)
			INSERT INTO entries (conversation_id, seq, kind, sender_id, client_id, created_at, body)
			SELECT $1, base + i, 'message', CASE WHEN i % 3 = 0 THEN $3::uuid ELSE $2::uuid END, gen_random_uuid(), now(), 'text ' || i FROM n, generate_series(1, $4::bigint) i`,
			id, ann, ben, messages); err != nil {
			t.Fatal(err)
		}
		before := a.texts(ben)
		a.delete(ann)
		if err := a.leaveAll(t.Context(), ann); err != nil {
			t.Fatal(err)
		}
		all := a.texts(ann)
		if done, err := a.eraseNext(t.Context(), id, ann); done || err != nil {
			t.Fatalf("the first batch: %v, %v", done, err)
		}
		if n := a.texts(ann); n == 0 || n >= all {
			t.Fatalf("after a batch %d of %d are there", n, all)
		}
		for _, e := range a.log(id) {
			if e.Kind == KindMessagesErased {
				t.Fatal("members are told before all is erased")
			}
		}
		b := replica(t, a.db)
		b.remove(ann, true)
		a.remove(ann, true)
		if n, others := a.texts(ann), a.texts(ben); n != 0 || others != before {
			t.Errorf("%d texts are left; of others %d of %d", n, others, before)
		}
		log := a.log(id) // gapless
		told := 0
		for _, e := range log {
			if e.Kind == KindMessagesErased {
				told++
			}
		}
		if last := log[len(log)-1]; told != 1 || last.Kind != KindMessagesErased || last.UserID != ann || last.TargetSeq != 0 {
			t.Errorf("told %d times; the last entry is %+v", told, last)
		}
	})
	t.Run("is seen in lists, quotes and the live log, and moves nothing", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		ann, ben, id := b.pair()
		said := b.send(ann, id, "secret")
		if _, err := b.Act(t.Context(), Action{Kind: KindEdit, ConversationID: id, SenderID: ann, TargetSeq: said.Seq, Body: "secret too"}); err != nil {
			t.Fatal(err)
		}
		reply, err := b.Send(t.Context(), Outgoing{ConversationID: id, SenderID: ben, ClientID: newClientID(), Body: "why?", ReplyTo: said.Seq})
		if err != nil {
			t.Fatal(err)
		}
		b.send(ann, id, "secret, again")
		was, err := b.Conversation(t.Context(), ben, id)
		if err != nil || was.Unread != 1 {
			t.Fatalf("%+v, %v", was, err)
		}
		client := b.connect(ben)
		b.delete(ann)
		b.remove(ann, true)
		if e := client.entry(); e.Kind != KindMessagesErased || e.UserID != ann || e.Seq != was.LastSeq+1 {
			t.Errorf("members get %+v", e)
		}
		c, err := b.Conversation(t.Context(), ben, id)
		if err != nil || c.Unread != 0 || c.LastMessage == nil || !c.LastMessage.Deleted || !c.LastEntryAt.Equal(was.LastEntryAt) {
			t.Errorf("%+v, %v", c, err)
		}
		rows, err := b.db.Query(t.Context(), `WITH v AS (SELECT $1::uuid AS id, $2::uuid AS user_id)
			SELECT `+MessageColumns+` FROM v, entries e, LATERAL (`+actionsOn+`) f WHERE e.conversation_id = $1 AND e.seq = $3`, id, ben, reply.Seq)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			if m, err := ScanMessage(rows); err != nil || m.Quote == nil || !m.Quote.Deleted || m.Quote.Body != "" {
				t.Errorf("the quote is %+v, %v", m.Quote, err)
			}
		}
	})
	t.Run("adds nothing where there was no message", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		ann, ben := b.user("ann"), b.user("ben")
		hidden := b.open(ann, ben)
		id := b.group(ben, ann)
		b.delete(ann)
		b.remove(ann, true)
		if n := len(b.log(hidden)); n != 1 {
			t.Errorf("a hidden conversation has %d entries", n)
		}
		for _, e := range b.log(id) {
			if e.Kind == KindMessagesErased {
				t.Error("the group is told of nothing")
			}
		}
		if b.listed(ben) != 1 {
			t.Error("a hidden conversation is shown")
		}
	})
	t.Run("gets what was sent at the same moment", func(t *testing.T) {
		t.Parallel()
		a := setup(t)
		b := replica(t, a.db)
		ann, ben, id := a.pair()
		group := a.group(ben, ann)
		var sending sync.WaitGroup
		begun := make(chan struct{}, 100)
		for i := range 8 {
			sending.Go(func() {
				for n := 0; ; n++ {
					to := []ConversationID{id, group}[n%2]
					_, err := b.Send(context.WithoutCancel(t.Context()), Outgoing{ConversationID: to, SenderID: ann, ClientID: newClientID(), Body: fmt.Sprint("secret ", i, n)})
					if err != nil {
						return
					}
					begun <- struct{}{}
				}
			})
		}
		for range 20 {
			<-begun
		}
		go func() {
			for range begun {
			}
		}()
		a.delete(ann)
		a.remove(ann, true)
		sending.Wait()
		close(begun)
		if n := a.texts(ann); n != 0 {
			t.Errorf("%d texts are left", n)
		}
		a.log(id)
		a.log(group)
	})
}

func TestExportOfMessages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	said := b.send(ann, id, "from ann")
	answer := b.send(ben, id, "from ben")
	if _, err := b.Act(t.Context(), Action{Kind: KindReactionAdded, ConversationID: id, SenderID: ann, TargetSeq: answer.Seq, Emoji: "👍"}); err != nil {
		t.Fatal(err)
	}
	group := b.group(ben, ann)
	b.send(ann, group, "in the group")
	if err := b.RemoveMember(t.Context(), ben, group, ann); err != nil {
		t.Fatal(err)
	}
	title := "A later title"
	if err := b.UpdateGroup(t.Context(), ben, group, GroupUpdate{Title: &title}); err != nil {
		t.Fatal(err)
	}
	b.open(b.user("eve"), ann) // hidden from ann
	var lines []string
	err := b.Export(t.Context(), ann, func(kind string, v any) error {
		text, err := json.Marshal(v)
		lines = append(lines, kind+" "+string(text))
		return err
	})
	if err != nil || len(lines) != 5 {
		t.Fatalf("%v: %s", err, lines)
	}
	all := fmt.Sprint(lines)
	for text, want := range map[string]bool{"from ann": true, "in the group": true, "👍": true, "from ben": false, title: false, said.ClientID.String(): true} {
		if got := strings.Contains(all, text); got != want {
			t.Errorf("%q is there: %v, in %s", text, got, all)
		}
	}
}
