package chat

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"parley/accounts"
	"parley/problem"
	"parley/store"
)

// Both open their conversation at once, many times over: there is one.
func TestOpenDirectAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b2 := replica(t, b.db)
	ann, ben := b.user("ann"), b.user("ben")
	const n = 16
	ids := make([]ConversationID, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			me, other := ann, ben
			if i%2 == 1 {
				me, other = ben, ann
			}
			c, err := []*bundle{b, b2}[i/2%2].OpenDirect(t.Context(), me, other)
			if err != nil {
				t.Error(err)
			}
			ids[i] = c.ID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatal("there are two conversations of one pair")
		}
	}
	if log := b.log(ids[0]); len(log) != 1 {
		t.Fatalf("the log begins with %d entries", len(log))
	}
}

func TestOpenDirectRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	if _, err := b.OpenDirect(t.Context(), ann, ann); !errors.Is(err, ErrWithOneself) {
		t.Errorf("with oneself: %v", err)
	}
	if _, err := b.OpenDirect(t.Context(), ann, store.NewID[accounts.User]()); !errors.Is(err, ErrNoUser) {
		t.Errorf("with nobody: %v", err)
	}
	cleo := b.user("cleo")
	if _, err := b.db.Exec(t.Context(), `UPDATE users SET disabled_at = now() WHERE id IN ($1, $2)`, ben, cleo); err != nil {
		t.Fatal(err)
	}
	if _, err := b.OpenDirect(t.Context(), ann, cleo); !errors.Is(err, ErrNoUser) {
		t.Errorf("with somebody disabled: %v", err)
	}
	// What was said with them stays where it was.
	if c, err := b.OpenDirect(t.Context(), ann, ben); err != nil || c.ID != id {
		t.Errorf("an old conversation with somebody disabled: %v %v", c.ID, err)
	}
}

func TestListIsMostRecentFirstAndPaged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann := b.user("ann")
	const n = 7
	var ids []ConversationID
	for i := range n {
		c, err := b.OpenDirect(t.Context(), ann, b.user(fmt.Sprintf("friend%d", i)))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, c.ID)
	}
	b.send(ann, ids[3], "now this is the first")
	want := slices.Clone(ids)
	want = append(slices.Delete(want, 3, 4), ids[3])
	slices.Reverse(want)

	var got []ConversationID
	cursor := ""
	for {
		page, next, err := b.List(t.Context(), ann, cursor, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page {
			got = append(got, c.ID)
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("want %v\n got %v", want, got)
	}
	for _, bad := range []string{"x", "AAAA", "//////////8AAAAAAAAAAAAAAAAAAAAA"} {
		if _, _, err := b.List(t.Context(), ann, bad, 3); problem.From(err).Code != problem.Invalid {
			t.Errorf("cursor %q: %v", bad, err)
		}
	}
}

func TestConversationAsItsMembersSeeIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	b.send(ann, id, "one")
	b.send(ben, id, "two")
	b.send(ann, id, "three")
	c, err := b.Conversation(t.Context(), ben, id)
	if err != nil {
		t.Fatal(err)
	}
	if c.Kind != "direct" || c.LastSeq != 4 || c.MemberCount != 2 || len(c.Members) != 2 || c.Unread != 1 || c.ReadSeq != 3 ||
		c.LastMessage == nil || c.LastMessage.Body != "three" {
		t.Fatalf("ben sees %+v", c)
	}
	if _, err := b.db.Exec(t.Context(), `INSERT INTO receipts (conversation_id, user_id, read_seq) VALUES ($1, $2, 4)`, id, ben); err != nil {
		t.Fatal(err)
	}
	if c, err = b.Conversation(t.Context(), ben, id); err != nil || c.Unread != 0 || c.ReadSeq != 4 || c.DeliveredSeq != 4 {
		t.Fatalf("after reading: %+v %v", c, err)
	}
	if _, err := b.Conversation(t.Context(), b.user("eve"), id); !errors.Is(err, ErrNotMember) {
		t.Fatalf("a stranger: %v", err)
	}
}

func FuzzCursor(f *testing.F) {
	f.Add(firstPage.String())
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parseCursor(s)
		if err != nil || s == "" {
			return
		}
		if back, err := parseCursor(c.String()); err != nil || back.id != c.id || !back.at.Equal(c.at) {
			t.Fatalf("%q became %v, %v", s, back, err)
		}
	})
}
