package main

import (
	"fmt"
	"strings"
	"testing"

	"parley/accounts"
)

// Settings about what strangers may do reach the packages that decide it.
func TestPolicies(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change   func(*config)
		accepted bool // what a member sees of a direct conversation that another user opened
	}{
		"open sign-up asks for acceptance":           {func(c *config) { c.Signup = "open" }, false},
		"sign-up by invite does not":                 {nil, true},
		"PARLEY_PRESENCE goes before open sign-up":   {func(c *config) { c.Signup, c.Presence = "open", "members" }, true},
		"PARLEY_PRESENCE goes before closed sign-up": {func(c *config) { c.Signup, c.Presence = "closed", "accepted" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startTest(t, c.change)
			ann, ben := s.person("ann", accounts.RoleMember), s.person("ben", accounts.RoleMember)
			id := s.conversation(ann, ben)
			seq := s.send(ann, id, "hello")
			if view := s.face(ben, id); view.Accepted != c.accepted {
				t.Errorf("accepted is %t", view.Accepted)
			}
			// The same setting decides about presence and receipts.
			b, a := s.connect(ben), s.connect(ann)
			received := a.wants("ok", "presence.watch", fmt.Sprintf(`{"user_ids":[%q]}`, ben.id))
			if got := strings.Contains(received, ben.id.String()); got != c.accepted {
				t.Errorf("watching shows %s", received)
			}
			b.wants("ok", "receipt.read", fmt.Sprintf(`{"conversation_id":%q,"seq":%d}`, id, seq))
			a.until("receipt", func(d map[string]any) bool {
				want := float64(0)
				if c.accepted {
					want = float64(seq)
				}
				return d["user_id"] == ben.id.String() && d["delivered_seq"] == float64(seq) && d["read_seq"] == want
			})
		})
	}
	for policy, want := range map[string][3]string{ // of a stranger, a contact, a server admin
		"anyone":   {"ok", "ok", "ok"},
		"contacts": {"forbidden", "ok", "forbidden"},
		"admins":   {"forbidden", "forbidden", "ok"},
	} {
		t.Run("PARLEY_GROUP_ADDS is "+policy, func(t *testing.T) {
			t.Parallel()
			s := startTest(t, func(c *config) { c.GroupAdds = policy })
			ann := s.person("ann", accounts.RoleMember)
			stranger, contact, admin := s.person("carl", accounts.RoleMember), s.person("ben", accounts.RoleMember), s.person("root", accounts.RoleAdmin)
			s.send(ann, s.conversation(contact, ann), "hello")
			for i, by := range []person{stranger, contact, admin} {
				outcome, answer := s.call(by, "POST", "/conversations", fmt.Sprintf(`{"kind":"group","title":"Group","member_ids":[%q]}`, ann.id))
				if outcome != want[i] || outcome != "ok" && !strings.Contains(answer, "body.member_ids[0]") {
					t.Errorf("%s creates a group: %s", by.name, answer)
				}
				var group struct{ ID string }
				s.must(by, "POST", "/conversations", `{"kind":"group","title":"Empty","member_ids":[]}`, &group)
				if outcome, answer := s.call(by, "POST", "/conversations/"+group.ID+"/members", fmt.Sprintf(`{"user_ids":[%q]}`, ann.id)); outcome != want[i] {
					t.Errorf("%s adds to a group: %s", by.name, answer)
				}
			}
		})
	}
}
