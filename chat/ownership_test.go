package chat

import (
	"slices"
	"sync"
	"testing"

	"parley/accounts"
	"parley/problem"
)

// disable is what the command line, or another replica, does to users.
func (b *bundle) disable(users ...accounts.UserID) { b.t.Helper(); b.setDisabled(true, users) }

func (b *bundle) enable(users ...accounts.UserID) { b.t.Helper(); b.setDisabled(false, users) }

func (b *bundle) setDisabled(disabled bool, users []accounts.UserID) {
	b.t.Helper()
	if _, err := b.db.Exec(b.t.Context(), `UPDATE users SET disabled_at = CASE WHEN $2 THEN now() END WHERE id = ANY($1)`, users, disabled); err != nil {
		b.t.Fatal(err)
	}
}

// ownership is a group with an owner, an admin and a member.
type ownership struct {
	*bundle
	ann, ben, eve accounts.UserID
	id            ConversationID
}

func newOwnership(t *testing.T) *ownership {
	t.Helper()
	o := &ownership{bundle: setup(t)}
	o.ann, o.ben, o.eve = o.user("ann"), o.user("ben"), o.user("eve")
	c, err := o.CreateGroup(t.Context(), o.ann, "Group", []accounts.UserID{o.ben, o.eve})
	if err != nil {
		t.Fatal(err)
	}
	o.id = c.ID
	o.give(o.ann, o.eve, RoleAdmin)
	return o
}

func (o *ownership) give(by, user accounts.UserID, role MemberRole) {
	o.t.Helper()
	if _, err := o.SetRole(o.t.Context(), by, o.id, user, role); err != nil {
		o.t.Fatal(err)
	}
}

// wants compares who owns the group, and the role changes after a seq.
func (o *ownership) wants(after Seq, owners []accounts.UserID, changes ...Detail) {
	o.t.Helper()
	var got []Detail
	for _, e := range o.log(o.id)[after:] {
		if e.Kind == KindRoleChanged {
			got = append(got, Detail{UserID: e.UserID, Role: e.Role})
		}
	}
	if !slices.EqualFunc(got, changes, func(a, b Detail) bool { return a.UserID == b.UserID && a.Role == b.Role }) {
		o.t.Errorf("the roles change as %+v, not %+v", got, changes)
	}
	rows, err := o.db.Query(o.t.Context(), `SELECT user_id FROM members WHERE conversation_id = $1 AND role = 'owner' AND until_seq IS NULL ORDER BY user_id`, o.id)
	if err != nil {
		o.t.Fatal(err)
	}
	defer rows.Close()
	var have []accounts.UserID
	for rows.Next() {
		var user accounts.UserID
		if err := rows.Scan(&user); err != nil {
			o.t.Fatal(err)
		}
		have = append(have, user)
	}
	if !slices.Equal(have, owners) {
		o.t.Errorf("the owners are %v, not %v", have, owners)
	}
}

func (o *ownership) last() Seq { return Seq(len(o.log(o.id))) }

// A group with a member who can sign in can be managed, whatever becomes of its owners.
func TestOwnership(t *testing.T) {
	t.Parallel()
	one := func(u accounts.UserID) []accounts.UserID { return []accounts.UserID{u} }

	t.Run("an admin who can sign in follows a disabled owner", func(t *testing.T) {
		t.Parallel()
		o := newOwnership(t)
		client, last := o.connect(o.ben), o.last()
		o.disable(o.ann)
		o.AccessChanged(t.Context())
		o.wants(last, one(o.eve), Detail{UserID: o.eve, Role: RoleOwner}, Detail{UserID: o.ann, Role: RoleMember})
		if e := client.entry(); e.Seq != last+1 || e.Kind != KindRoleChanged || e.SenderID != o.ann || e.UserID != o.eve {
			t.Errorf("members get %+v", e)
		}
		o.AccessChanged(t.Context()) // once
		o.wants(last+2, one(o.eve))
	})
	t.Run("a member follows where no admin can sign in", func(t *testing.T) {
		t.Parallel()
		o := newOwnership(t)
		last := o.last()
		o.disable(o.ann, o.eve)
		o.AccessChanged(t.Context())
		o.wants(last, one(o.ben), Detail{UserID: o.ben, Role: RoleOwner}, Detail{UserID: o.ann, Role: RoleMember})
	})
	t.Run("another owner who can sign in is enough", func(t *testing.T) {
		t.Parallel()
		o := newOwnership(t)
		o.give(o.ann, o.ben, RoleOwner)
		last := o.last()
		o.disable(o.ann)
		o.AccessChanged(t.Context())
		o.wants(last, []accounts.UserID{o.ann, o.ben})
		if err := o.RemoveMember(t.Context(), o.ben, o.id, o.ann); err != nil {
			t.Errorf("an owner cannot remove a disabled one: %v", err)
		}
	})
	t.Run("enabling an owner gives no ownership back", func(t *testing.T) {
		t.Parallel()
		o := newOwnership(t)
		last := o.last()
		o.disable(o.ann)
		o.AccessChanged(t.Context())
		o.enable(o.ann)
		o.AccessChanged(t.Context())
		o.wants(last+2, one(o.eve))
		if _, err := o.SetRole(t.Context(), o.ann, o.id, o.ben, RoleAdmin); problem.From(err).Code != problem.Forbidden {
			t.Errorf("a former owner changes roles: %v", err)
		}
	})
	t.Run("of disabled members, the first who is enabled follows", func(t *testing.T) {
		t.Parallel()
		o := newOwnership(t)
		last := o.last()
		o.disable(o.ann, o.ben, o.eve)
		o.AccessChanged(t.Context())
		o.wants(last, one(o.ann))
		o.enable(o.ben)
		o.AccessChanged(t.Context())
		o.wants(last, one(o.ben), Detail{UserID: o.ben, Role: RoleOwner}, Detail{UserID: o.ann, Role: RoleMember})
	})
	t.Run("the last owner leaves a group of disabled members, and one is enabled", func(t *testing.T) {
		t.Parallel()
		o := newOwnership(t)
		last := o.last()
		o.disable(o.ben, o.eve)
		if err := o.RemoveMember(t.Context(), o.ann, o.id, o.ann); err != nil {
			t.Fatal(err)
		}
		o.wants(last, one(o.eve), Detail{UserID: o.eve, Role: RoleOwner})
		o.enable(o.ben)
		o.AccessChanged(t.Context())
		o.wants(last+1, one(o.ben), Detail{UserID: o.ben, Role: RoleOwner}, Detail{UserID: o.eve, Role: RoleMember})
	})
	t.Run("leaving takes the role from disabled owners, too", func(t *testing.T) {
		t.Parallel()
		o := newOwnership(t)
		o.give(o.ann, o.ben, RoleOwner)
		last := o.last()
		o.disable(o.ben)
		if err := o.RemoveMember(t.Context(), o.ann, o.id, o.ann); err != nil {
			t.Fatal(err)
		}
		o.wants(last, one(o.eve), Detail{UserID: o.eve, Role: RoleOwner}, Detail{UserID: o.ben, Role: RoleMember})
	})
	t.Run("a disabled user becomes neither owner nor admin", func(t *testing.T) {
		t.Parallel()
		o := newOwnership(t)
		last := o.last()
		o.disable(o.ben, o.eve)
		for _, role := range []MemberRole{RoleOwner, RoleAdmin} {
			if _, err := o.SetRole(t.Context(), o.ann, o.id, o.ben, role); problem.From(err).Code != problem.Conflict {
				t.Errorf("%s: %v", role, err)
			}
		}
		o.give(o.ann, o.eve, RoleMember)
		o.wants(last, one(o.ann), Detail{UserID: o.eve, Role: RoleMember})
	})
	t.Run("the last usable owner stays one beside a disabled owner", func(t *testing.T) {
		t.Parallel()
		o := newOwnership(t)
		o.give(o.ann, o.ben, RoleOwner)
		o.disable(o.ben)
		if _, err := o.SetRole(t.Context(), o.ann, o.id, o.ann, RoleMember); problem.From(err).Code != problem.Conflict {
			t.Errorf("the last usable owner stops being one: %v", err)
		}
	})
	t.Run("replicas that notice at the same time hand over once", func(t *testing.T) {
		t.Parallel()
		o := newOwnership(t)
		other := replica(t, o.db)
		o.give(o.ann, o.ben, RoleOwner)
		last := o.last()
		var disabling sync.WaitGroup
		for _, at := range []struct {
			*bundle
			user accounts.UserID
		}{{o.bundle, o.ann}, {other, o.ben}} {
			disabling.Go(func() {
				if _, err := at.db.Exec(t.Context(), `UPDATE users SET disabled_at = now() WHERE id = $1`, at.user); err != nil {
					t.Error(err)
				}
				at.AccessChanged(t.Context())
			})
		}
		disabling.Wait()
		o.wants(last, one(o.eve), Detail{UserID: o.eve, Role: RoleOwner}, Detail{UserID: o.ann, Role: RoleMember}, Detail{UserID: o.ben, Role: RoleMember})
	})
	t.Run("a disabled direct conversation and an abandoned group have nothing to hand over", func(t *testing.T) {
		t.Parallel()
		o := newOwnership(t)
		c, err := o.OpenDirect(t.Context(), o.ann, o.ben)
		if err != nil {
			t.Fatal(err)
		}
		for _, user := range []accounts.UserID{o.ben, o.eve, o.ann} {
			if err := o.RemoveMember(t.Context(), user, o.id, user); err != nil {
				t.Fatal(err)
			}
		}
		last := o.last()
		o.disable(o.ann)
		if err := o.transferOwnerships(t.Context()); err != nil {
			t.Error(err)
		}
		if o.last() != last || len(o.log(c.ID)) != 1 {
			t.Error("something was handed over")
		}
	})
}

// Without any word to a running server, as after a crash or from the command line, it hands the
// group over.
func TestOwnershipSweep(t *testing.T) {
	t.Parallel()
	o := newOwnership(t)
	client := o.connect(o.ben)
	o.disable(o.ann)
	if e := client.entry(); e.Kind != KindRoleChanged || e.UserID != o.eve || e.Role != RoleOwner {
		t.Errorf("members get %+v", e)
	}
	if e := client.entry(); e.Kind != KindRoleChanged || e.UserID != o.ann || e.Role != RoleMember {
		t.Errorf("members get %+v", e)
	}
}
