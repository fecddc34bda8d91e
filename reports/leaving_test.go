package reports

import (
	"context"
	"encoding/json"
	"sync"
	"testing"

	"parley/accounts"
	"parley/chat"
	"parley/problem"
)

// usersAfter runs something before it changes a user.
type usersAfter struct {
	Users
	first func()
}

func (u usersAfter) ChangeUser(ctx context.Context, admin accounts.Identity, id accounts.UserID, c accounts.Change) (accounts.User, error) {
	u.first()
	return u.Users.ChangeUser(ctx, admin, id, c)
}

func (b *bundle) enabledAdmins() int {
	b.t.Helper()
	return b.count(`SELECT count(*) FROM users WHERE role = 'admin' AND disabled_at IS NULL`)
}

func (b *bundle) isOpen(id ID) bool {
	b.t.Helper()
	return b.count(`SELECT count(*) FROM reports WHERE id = $1 AND decided_at IS NULL AND body IS NOT NULL`, id) == 1
}

func TestDisablingAdmins(t *testing.T) {
	t.Parallel()
	b := setup(t)
	root, other := b.admin("root"), b.admin("other")
	ben := b.user("ben", "member")
	id := b.group(ben, root.UserID, other.UserID)
	enable := func() { b.exec(`UPDATE users SET disabled_at = NULL`) }
	t.Run("the last admin is not disabled by an admin who is disabled meanwhile", func(t *testing.T) {
		report := b.report(ben, id, b.send(other.UserID, id, "bad"))
		late := *b.Service
		late.cfg.Users = usersAfter{b.users, func() { b.exec(`UPDATE users SET disabled_at = now() WHERE id = $1`, root.UserID) }}
		if err := late.Decide(t.Context(), root, report, Choice{Decision: Disabled}); codeOf(err) != problem.Forbidden {
			t.Errorf("got %v", err)
		}
		if n := b.enabledAdmins(); n != 1 || !b.isOpen(report) {
			t.Errorf("%d admins can sign in, the report is open: %t", n, b.isOpen(report))
		}
		enable()
	})
	t.Run("of two admins who disable each other at once the first does", func(t *testing.T) {
		for range 5 {
			of := [2]ID{b.report(ben, id, b.send(other.UserID, id, "bad")), b.report(ben, id, b.send(root.UserID, id, "bad"))}
			var errs [2]error
			var both sync.WaitGroup
			for i, admin := range []accounts.Identity{root, other} {
				both.Go(func() { errs[i] = b.Decide(t.Context(), admin, of[i], Choice{Decision: Disabled}) })
			}
			both.Wait()
			if (errs[0] == nil) == (errs[1] == nil) {
				t.Fatalf("got %v and %v", errs[0], errs[1])
			}
			lost := 0
			if errs[0] == nil {
				lost = 1
			}
			if n := b.enabledAdmins(); n != 1 || !b.isOpen(of[lost]) {
				t.Errorf("%d admins can sign in, the other report is open: %t", n, b.isOpen(of[lost]))
			}
			enable()
			// A disabled user's sessions have ended.
			b.exec(`UPDATE sessions SET ended_at = NULL`)
		}
	})
}

func TestReportAboutAnAdmin(t *testing.T) {
	t.Parallel()
	b := setup(t)
	root, other := b.admin("root"), b.admin("other")
	ben := b.user("ben", "member")
	id := b.group(ben, root.UserID)
	for _, d := range []Decision{Removed, Dismissed} {
		seq := b.send(root.UserID, id, "bad")
		report := b.report(ben, id, seq)
		t.Run("is not decided by that admin as "+string(d)+" while another admin can sign in", func(t *testing.T) {
			if err := b.Decide(t.Context(), root, report, Choice{Decision: d}); codeOf(err) != problem.Forbidden {
				t.Errorf("got %v", err)
			}
			if n := b.count(`SELECT count(*) FROM entries WHERE conversation_id = $1 AND seq = $2 AND body IS NOT NULL`, id, seq); n != 1 || !b.isOpen(report) {
				t.Error("something changed")
			}
		})
		t.Run("is decided by another admin as "+string(d), func(t *testing.T) {
			b.decide(other, report, d)
			if b.isOpen(report) {
				t.Error("it is open")
			}
		})
	}
	t.Run("is decided by the only admin who can sign in", func(t *testing.T) {
		report := b.report(ben, id, b.send(root.UserID, id, "bad"))
		b.exec(`UPDATE users SET disabled_at = now() WHERE id = $1`, other.UserID)
		b.decide(root, report, Removed)
		if b.isOpen(report) {
			t.Error("it is open")
		}
	})
}

func TestDeletedSender(t *testing.T) {
	t.Parallel()
	b := setup(t)
	root := b.admin("root")
	ann, ben := b.user("ann", "member"), b.user("ben", "member")
	id := b.group(ann, ben)
	theirs, others := b.report(ben, id, b.send(ann, id, "of ann")), b.report(ann, id, b.send(ben, id, "of ben"))
	decided := b.report(ben, id, b.send(ann, id, "decided"))
	b.decide(root, decided, Dismissed)
	texts := func() map[ID]Report {
		all := map[ID]Report{}
		for _, r := range b.list(root, Open) {
			all[r.ID] = r
		}
		return all
	}
	t.Run("keeps the texts where messages are kept", func(t *testing.T) {
		if err := b.RemoveUser(t.Context(), ann, false); err != nil {
			t.Fatal(err)
		}
		if got := texts()[theirs]; got.Body != "of ann" || got.Erased {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("takes the texts along where messages are erased, and no others", func(t *testing.T) {
		// More open reports than one statement looks at.
		b.exec(`INSERT INTO reports (id, conversation_id, seq, reporter_id, sender_id, reason, body) SELECT gen_random_uuid(), $1, 1000 + n, $2, $3, 'spam', 'more of ann' FROM generate_series(1, 2500) n`, id, ben, ann)
		for range 2 { // a crash may come between erasing and noting that
			if err := b.RemoveUser(t.Context(), ann, true); err != nil {
				t.Fatal(err)
			}
		}
		if n := b.count(`SELECT count(*) FROM reports WHERE body LIKE '%of ann'`); n != 0 {
			t.Errorf("%d copies are left", n)
		}
		b.exec(`DELETE FROM reports WHERE seq >= 1000`)
		got := texts()
		if r, found := got[theirs]; !found || r.Body != "" || !r.Erased {
			t.Errorf("got %+v, %t", r, found)
		}
		if r := got[others]; r.Body != "of ben" || r.Erased {
			t.Errorf("got %+v", r)
		}
	})
	t.Run("leaves reports that are decided as any other", func(t *testing.T) {
		b.decide(root, theirs, Dismissed)
		for _, r := range b.list(root, Closed) {
			if r.Erased || r.Body != "" {
				t.Errorf("got %+v", r)
			}
		}
	})
}

func TestExport(t *testing.T) {
	t.Parallel()
	b := setup(t)
	root := b.admin("root")
	ann, ben := b.user("ann", "member"), b.user("ben", "member")
	id := b.group(ann, ben)
	closed, open := b.report(ben, id, b.send(ann, id, "a")), b.report(ben, id, b.send(ann, id, "b"))
	b.report(ann, id, b.send(ben, id, "of another user"))
	b.decide(root, closed, Dismissed)
	b.exec(`INSERT INTO reports (id, conversation_id, seq, reporter_id, sender_id, reason) SELECT gen_random_uuid(), $1, 1000 + n, $2, $3, 'spam' FROM generate_series(1, 1000) n`, id, ben, ann)
	got := map[ID]Mine{}
	err := b.Export(t.Context(), ben, func(lineType string, v any) error {
		r, ok := v.(Mine)
		if _, twice := got[r.ID]; !ok || twice || lineType != "report" {
			text, _ := json.Marshal(v)
			t.Errorf("the line %s %s", lineType, text)
		}
		got[r.ID] = r
		return nil
	})
	if err != nil || len(got) != 1002 {
		t.Fatalf("%d reports, %v", len(got), err)
	}
	if r := got[closed]; r.State != Closed || *r.Decision != Dismissed || r.Answer != "Thanks." {
		t.Errorf("got %+v", r)
	}
	if r := got[open]; r.State != Open || r.ConversationID != id || r.Seq == chat.Seq(0) {
		t.Errorf("got %+v", r)
	}
}
