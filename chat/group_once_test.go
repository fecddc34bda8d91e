package chat

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"parley/accounts"
	"parley/problem"
)

// once creates a group with a key.
func (b *bundle) once(me accounts.UserID, key uuid.UUID, title string, others ...accounts.UserID) Conversation {
	b.t.Helper()
	c, err := b.CreateGroupOnce(b.t.Context(), me, key, title, others)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// groups counts all groups.
func (b *bundle) groups() (n int) {
	b.t.Helper()
	if err := b.db.QueryRow(b.t.Context(), `SELECT count(*) FROM conversations WHERE kind = 'group'`).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// A group is created once for each key of its creator.
func TestCreateGroupOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := replica(t, b.db)
	ann, ben, eve := b.user("ann"), b.user("ben"), b.user("eve")

	t.Run("a_repeat_gives_the_group_of_the_first_request", func(t *testing.T) {
		key, before := newClientID(), b.groups()
		c := b.once(ann, key, "Climbers", ben, eve)
		for _, again := range []Conversation{
			b.once(ann, key, "Climbers", ben, eve), other.once(ann, key, " Climbers", eve, ben, eve, ann),
		} {
			if again.ID != c.ID || again.Role != RoleOwner {
				t.Errorf("the repeat gives %+v", again)
			}
		}
		if n := b.groups() - before; n != 1 {
			t.Errorf("there are %d groups", n)
		}
	})

	t.Run("a_repeat_gives_it_whatever_has_happened_since", func(t *testing.T) {
		key, gone := newClientID(), b.user("gone")
		c := b.once(ann, key, "Before", ben, gone)
		title := "After"
		if err := b.UpdateGroup(t.Context(), ann, c.ID, GroupUpdate{Title: &title}); err != nil {
			t.Fatal(err)
		}
		if err := b.RemoveMember(t.Context(), ann, c.ID, ben); err != nil {
			t.Fatal(err)
		}
		if _, err := b.db.Exec(t.Context(), `UPDATE users SET disabled_at = now() WHERE id = $1`, gone); err != nil {
			t.Fatal(err)
		}
		if again := b.once(ann, key, "Before", ben, gone); again.ID != c.ID || again.Title != "After" {
			t.Errorf("the repeat gives %+v", again)
		}
		if err := b.RemoveMember(t.Context(), ann, c.ID, ann); err != nil {
			t.Fatal(err)
		}
		if again := b.once(ann, key, "Before", ben, gone); again.ID != c.ID || !again.Former {
			t.Errorf("to the creator who left, the repeat gives %+v", again)
		}
	})

	t.Run("other_content_with_the_same_key_is_a_conflict", func(t *testing.T) {
		key, before := newClientID(), b.groups()
		b.once(ann, key, "Climbers", ben)
		for what, create := range map[string]func() (Conversation, error){
			"another title": func() (Conversation, error) {
				return b.CreateGroupOnce(t.Context(), ann, key, "Divers", []accounts.UserID{ben})
			},
			"another member": func() (Conversation, error) {
				return b.CreateGroupOnce(t.Context(), ann, key, "Climbers", []accounts.UserID{eve})
			},
			"one more": func() (Conversation, error) {
				return b.CreateGroupOnce(t.Context(), ann, key, "Climbers", []accounts.UserID{ben, eve})
			},
			"no other member": func() (Conversation, error) { return b.CreateGroupOnce(t.Context(), ann, key, "Climbers", nil) },
		} {
			if _, err := create(); problem.From(err).Code != problem.Conflict {
				t.Errorf("%s: %v", what, err)
			}
		}
		if n := b.groups() - before; n != 1 {
			t.Errorf("there are %d groups", n)
		}
	})

	t.Run("a_key_is_its_creators", func(t *testing.T) {
		key := newClientID()
		if b.once(ann, key, "Climbers", ben).ID == b.once(ben, key, "Climbers", ann).ID {
			t.Error("ben gets ann's group")
		}
	})

	t.Run("without_a_key_each_request_creates_one", func(t *testing.T) {
		if first, second := b.group(ann, ben), b.group(ann, ben); first == second {
			t.Error("it is the same group")
		}
	})

	t.Run("at_once_on_two_replicas_there_is_one", func(t *testing.T) {
		for round := range 10 {
			key, before := newClientID(), b.groups()
			vary := round%2 == 1
			const n = 8
			ids, errs := make([]ConversationID, n), make([]error, n)
			var all []func()
			for i := range n {
				title := "Group"
				if vary {
					title = fmt.Sprint("Group ", i)
				}
				all = append(all, func() {
					c, err := []*bundle{b, other}[i%2].CreateGroupOnce(t.Context(), ann, key, title, []accounts.UserID{ben})
					ids[i], errs[i] = c.ID, err
				})
			}
			atOnce(all...)
			made, refused := map[ConversationID]bool{}, 0
			for i, err := range errs {
				switch {
				case err == nil:
					made[ids[i]] = true
				case vary && errors.Is(err, errGroupKey):
					refused++
				default:
					t.Error(err)
				}
			}
			if len(made) != 1 || b.groups()-before != 1 || vary && refused != n-1 {
				t.Errorf("%d groups are given, %d are there, %d requests are refused", len(made), b.groups()-before, refused)
			}
		}
	})
}
