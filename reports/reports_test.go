package reports

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/accounts"
	"parley/budget"
	"parley/chat"
	"parley/problem"
)

func codeOf(err error) problem.Code {
	if err == nil {
		return ""
	}
	return problem.From(err).Code
}

// Who can report what is decided by the statement that writes the report.
func TestCreate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	root := b.admin("root")
	ann, ben, carl, dora := b.user("ann", "member"), b.user("ben", "member"), b.user("carl", "member"), b.user("dora", "member")
	id := b.group(ann, ben, carl)
	early := b.send(ann, id, "early")
	if err := b.chat.RemoveMember(t.Context(), ann, id, carl); err != nil {
		t.Fatal(err)
	}
	late, gone := b.send(ann, id, "late"), b.send(ann, id, "gone")
	b.act(chat.Action{Kind: chat.KindEdit, ConversationID: id, SenderID: ann, TargetSeq: early, Body: "edited"})
	b.act(chat.Action{Kind: chat.KindDelete, ConversationID: id, SenderID: ann, TargetSeq: gone})
	if _, err := b.chat.AddMembers(t.Context(), ann, id, []accounts.UserID{dora}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		by   accounts.UserID
		seq  chat.Seq
		want problem.Code
	}{
		"an admin who is no member reports nothing":        {root.UserID, early, problem.NotFound},
		"a former member reports nothing later":            {carl, late, problem.NotFound},
		"a new member reports nothing earlier":             {dora, late, problem.NotFound},
		"a deleted message is not reported":                {ben, gone, problem.Conflict},
		"a system entry is not reported":                   {ben, 1, problem.NotFound},
		"an edit is not reported":                          {ben, gone + 1, problem.NotFound},
		"a message that does not exist is not reported":    {ben, 1000, problem.NotFound},
		"an own message is not reported":                   {ann, late, problem.Invalid},
		"a member reports a message":                       {ben, late, ""},
		"a former member reports what they can still read": {carl, early, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := b.Create(t.Context(), c.by, NewReport{id, c.seq, "spam", ""}); codeOf(err) != c.want {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	t.Run("a report has the text that its reporter sees", func(t *testing.T) {
		b.report(ben, id, early)
		bodies := map[accounts.UserID]string{}
		for _, r := range b.list(root, Open) {
			if r.Seq == early {
				bodies[r.Reporter.ID] = r.Body
			}
		}
		if bodies[carl] != "early" || bodies[ben] != "edited" {
			t.Errorf("got %v: carl left before the edit, ben did not", bodies)
		}
	})
	t.Run("a message is reported once by each user, also at the same moment", func(t *testing.T) {
		seq := b.send(ann, id, "again")
		ids := make([]ID, 8)
		var all sync.WaitGroup
		for i := range ids {
			all.Go(func() { ids[i], _ = b.Create(t.Context(), ben, NewReport{id, seq, "other", "x"}) })
		}
		all.Wait()
		if ids = slices.Compact(ids); len(ids) != 1 || ids[0].IsZero() {
			t.Errorf("got %v", ids)
		}
		b.act(chat.Action{Kind: chat.KindDelete, ConversationID: id, SenderID: ann, TargetSeq: seq})
		if b.report(ben, id, seq) != ids[0] {
			t.Error("after the deletion it is another report")
		}
	})
	t.Run("a user has a bounded number of open reports", func(t *testing.T) {
		b.exec(`INSERT INTO reports (id, conversation_id, seq, reporter_id, sender_id, reason) SELECT gen_random_uuid(), $1, 1000 + n, $2, $3, 'spam' FROM generate_series(1, 100) n`, id, dora, ann)
		if _, err := b.Create(t.Context(), dora, NewReport{id, b.send(ann, id, "x"), "spam", ""}); codeOf(err) != problem.TooLarge {
			t.Errorf("got %v", err)
		}
	})
}

// Admins see of a conversation what the reporter could read around the message, and no more.
func TestContext(t *testing.T) {
	t.Parallel()
	b := setup(t)
	root := b.admin("root")
	ann, ben := b.user("ann", "member"), b.user("ben", "member")
	id := b.group(ann, b.user("carl", "member"))
	bodies := func(of []Report) (all []string) {
		for _, r := range of {
			for _, m := range r.Context {
				all = append(all, m.Body)
			}
		}
		return all
	}
	b.send(ann, id, "before ben came")
	if _, err := b.chat.AddMembers(t.Context(), ann, id, []accounts.UserID{ben}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		b.send(ann, id, fmt.Sprint("before ", i))
	}
	seq := b.send(ann, id, "bad")
	edited := b.send(ann, id, "as it was")
	b.act(chat.Action{Kind: chat.KindEdit, ConversationID: id, SenderID: ann, TargetSeq: edited, Body: "as it is"})
	if err := b.chat.RemoveMember(t.Context(), ann, id, ben); err != nil {
		t.Fatal(err)
	}
	b.send(ann, id, "after ben left")
	report := b.report(ben, id, seq)
	t.Run("it is bounded by the reporter's membership", func(t *testing.T) {
		if got := bodies(b.list(root, Open)); !slices.Equal(got, []string{"before 0", "before 1", "before 2", "as it is"}) {
			t.Errorf("got %q", got)
		}
	})
	t.Run("it is five messages before and after", func(t *testing.T) {
		two := b.group(ann, ben)
		for range 12 {
			b.send(ann, two, "x")
		}
		middle := b.send(ann, two, "worse")
		for range 12 {
			b.send(ann, two, "y")
		}
		b.report(ben, two, middle)
		list := b.list(root, Open)
		if got := strings.Join(bodies(list[1:]), ""); got != "xxxxxyyyyy" {
			t.Errorf("got %q", got)
		}
		b.decide(root, list[1].ID, Dismissed)
	})
	t.Run("there is none after the decision, nor the text", func(t *testing.T) {
		b.decide(root, report, Dismissed)
		for _, r := range b.list(root, Closed) {
			if r.Body != "" || len(r.Context) > 0 || r.DecidedBy == nil || r.DecidedBy.ID != root.UserID {
				t.Errorf("got %+v", r)
			}
		}
		if n := b.count(`SELECT count(*) FROM reports WHERE body IS NOT NULL`); n != 0 {
			t.Errorf("%d copies of texts are left", n)
		}
	})
	t.Run("a disabled admin reads and decides nothing", func(t *testing.T) {
		open := b.report(ben, id, edited)
		old := b.admin("old")
		b.exec(`UPDATE users SET disabled_at = now() WHERE id = $1`, old.UserID)
		if got := b.list(old, Open); len(got) > 0 {
			t.Errorf("got %v", got)
		}
		if err := b.Decide(t.Context(), old, open, Choice{Decision: Removed}); codeOf(err) != problem.NotFound {
			t.Errorf("got %v", err)
		}
		if err := b.Decide(t.Context(), accounts.Identity{UserID: ben, Role: accounts.RoleMember}, open, Choice{Decision: Removed}); codeOf(err) != problem.Forbidden {
			t.Errorf("got %v", err)
		}
	})
}

func TestDecide(t *testing.T) {
	t.Parallel()
	b := setup(t)
	root, other := b.admin("root"), b.admin("other")
	ann, ben, carl := b.user("ann", "member"), b.user("ben", "member"), b.user("carl", "member")
	id := b.group(ann, ben, carl)
	t.Run("a removal is an entry of the log that erases the text and its edits", func(t *testing.T) {
		seq := b.send(ann, id, "bad secret")
		b.act(chat.Action{Kind: chat.KindEdit, ConversationID: id, SenderID: ann, TargetSeq: seq, Body: "worse secret"})
		one, two := b.report(ben, id, seq), b.report(carl, id, seq)
		client := b.connect(carl)
		b.decide(root, one, Removed)
		var e chat.Entry
		client.await("entry", &e)
		if e.Kind != chat.KindDelete || e.SenderID != root.UserID || e.TargetSeq != seq || !e.ByAdmin {
			t.Errorf("got %+v", e)
		}
		if n := b.count(`SELECT count(*) FROM entries WHERE body LIKE '%secret'`) + b.count(`SELECT count(*) FROM reports WHERE body LIKE '%secret'`); n != 0 {
			t.Errorf("the text is left in %d places", n)
		}
		if list := b.list(root, Open); len(list) != 0 {
			t.Errorf("reports of the removed message are open: %v", list)
		}
		for _, of := range []struct {
			reporter accounts.UserID
			id       ID
			answer   string
		}{{ben, one, "Thanks."}, {carl, two, ""}} {
			mine, _, err := b.ListMine(t.Context(), of.reporter, "", 50)
			if err != nil || len(mine) != 1 || mine[0].ID != of.id || mine[0].State != Closed || *mine[0].Decision != Removed || mine[0].Answer != of.answer {
				t.Errorf("got %+v, %v", mine, err)
			}
		}
		c, err := b.chat.Conversation(t.Context(), carl, id)
		if err != nil || c.LastMessage == nil || !c.LastMessage.Deleted || !c.LastMessage.ByAdmin {
			t.Errorf("got %+v, %v", c.LastMessage, err)
		}
	})
	t.Run("deciding again is no error, and does nothing", func(t *testing.T) {
		seq := b.send(ann, id, "bad")
		report := b.report(ben, id, seq)
		b.decide(root, report, Removed)
		b.mu.Lock()
		audited := len(b.decided)
		b.mu.Unlock()
		entries := b.count(`SELECT last_seq FROM conversations WHERE id = $1`, id)
		b.decide(root, report, Removed)
		if n := b.count(`SELECT last_seq FROM conversations WHERE id = $1`, id); n != entries || len(b.decided) != audited {
			t.Errorf("%d entries after %d, %d decisions after %d", n, entries, len(b.decided), audited)
		}
	})
	t.Run("a message that its author deleted gets no second entry", func(t *testing.T) {
		seq := b.send(ann, id, "bad")
		report := b.report(ben, id, seq)
		b.act(chat.Action{Kind: chat.KindDelete, ConversationID: id, SenderID: ann, TargetSeq: seq})
		entries := b.count(`SELECT last_seq FROM conversations WHERE id = $1`, id)
		b.decide(root, report, Removed)
		if n := b.count(`SELECT last_seq FROM conversations WHERE id = $1`, id); n != entries {
			t.Errorf("%d entries after %d", n, entries)
		}
	})
	t.Run("of two admins at once the first decides", func(t *testing.T) {
		for range 10 {
			seq := b.send(ann, id, "bad")
			report := b.report(ben, id, seq)
			var errs [2]error
			var both sync.WaitGroup
			both.Go(func() { errs[0] = b.Decide(t.Context(), root, report, Choice{Decision: Removed}) })
			both.Go(func() { errs[1] = b.Decide(t.Context(), other, report, Choice{Decision: Dismissed}) })
			both.Wait()
			if (errs[0] == nil) == (errs[1] == nil) {
				t.Fatalf("got %v and %v", errs[0], errs[1])
			}
			won := map[bool]string{true: "removed", false: "dismissed"}[errs[0] == nil]
			var p *problem.Error
			if !errors.As(errors.Join(errs[0], errs[1]), &p) || p.Code != problem.Conflict || len(p.Fields) != 1 || p.Fields[0].Message != won {
				t.Errorf("%s won, and the other got %v", won, p)
			}
			deleted := b.count(`SELECT count(*) FROM entries WHERE conversation_id = $1 AND seq = $2 AND body IS NULL`, id, seq)
			if (deleted == 1) != (won == "removed") {
				t.Errorf("%s won, and deleted is %d", won, deleted)
			}
		}
	})
	t.Run("disabling disables the sender, once the admin's password was checked lately", func(t *testing.T) {
		report := b.report(ben, id, b.send(ann, id, "bad"))
		b.exec(`UPDATE sessions SET created_at = now() - interval '2 hours' WHERE user_id = $1`, other.UserID)
		if err := b.Decide(t.Context(), other, report, Choice{Decision: Disabled}); codeOf(err) != problem.ConfirmationRequired {
			t.Errorf("got %v", err)
		}
		b.decide(root, report, Disabled)
		if u, err := b.users.User(t.Context(), ann); err != nil || !u.Disabled {
			t.Errorf("got %+v, %v", u, err)
		}
	})
	t.Run("an admin does not disable themselves, and the report stays open", func(t *testing.T) {
		two := b.group(ben, root.UserID)
		report := b.report(ben, two, b.send(root.UserID, two, "hm"))
		if err := b.Decide(t.Context(), root, report, Choice{Decision: Disabled}); codeOf(err) != problem.Conflict {
			t.Errorf("got %v", err)
		}
		if n := b.count(`SELECT count(*) FROM reports WHERE id = $1 AND decided_at IS NULL`, report); n != 1 {
			t.Error("the report is decided")
		}
	})
	t.Run("a direct conversation of others is decided about too", func(t *testing.T) {
		c, err := b.chat.OpenDirect(t.Context(), carl, ben)
		if err != nil {
			t.Fatal(err)
		}
		seq := b.send(carl, c.ID, "bad")
		b.decide(other, b.report(ben, c.ID, seq), Removed)
		if n := b.count(`SELECT count(*) FROM entries WHERE conversation_id = $1 AND seq = $2 AND body IS NULL`, c.ID, seq); n != 1 {
			t.Error("the message is there")
		}
	})
}

// Connections are told on whichever replica they are; what a process forgot is in the lists.
func TestEvents(t *testing.T) {
	t.Parallel()
	here := setup(t)
	there := replica(t, here.db)
	root := here.admin("root")
	ann, ben := here.user("ann", "member"), here.user("ben", "member")
	id := here.group(ann, ben)
	admin, reporter := there.connect(root.UserID), there.connect(ben)
	report := here.report(ben, id, here.send(ann, id, "bad"))
	var e Event
	if admin.await("report", &e); e.ID != report || e.State != Open || e.Open == nil || *e.Open != 1 {
		t.Errorf("the admin is told %+v", e)
	}
	here.decide(root, report, Dismissed)
	e = Event{}
	if admin.await("report", &e); e.State != Closed || *e.Open != 0 {
		t.Errorf("the admin is told %+v", e)
	}
	e = Event{}
	if reporter.await("report", &e); e.ID != report || e.State != Closed || *e.Decision != Dismissed || e.Answer != "Thanks." || e.Open != nil {
		t.Errorf("the reporter is told %+v", e)
	}
}

func TestRetention(t *testing.T) {
	t.Parallel()
	b := setup(t)
	root := b.admin("root")
	ann, ben := b.user("ann", "member"), b.user("ben", "member")
	id := b.group(ann, ben)
	old, young, open := b.report(ben, id, b.send(ann, id, "a")), b.report(ben, id, b.send(ann, id, "b")), b.report(ben, id, b.send(ann, id, "c"))
	b.decide(root, old, Dismissed)
	b.decide(root, young, Dismissed)
	b.exec(`UPDATE reports SET decided_at = now() - interval '91 days' WHERE id = $1`, old)
	b.exec(`UPDATE reports SET created_at = now() - interval '400 days' WHERE id = $1`, open)
	if n, err := b.prune(t.Context()); err != nil || n != 1 {
		t.Fatalf("deleted %d, %v", n, err)
	}
	if n := b.count(`SELECT count(*) FROM reports WHERE id = ANY($1::uuid[])`, []ID{young, open}); n != 2 {
		t.Errorf("%d of two are left", n)
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	b := setup(t)
	root := b.admin("root")
	ann, ben := b.user("ann", "member"), b.user("ben", "member")
	id := b.group(ann, ben)
	var all []ID
	for range 5 {
		all = append(all, b.report(ben, id, b.send(ann, id, "x")))
	}
	pages := func(state State) (got []ID) {
		for cursor := ""; ; {
			list, next, _, err := b.List(t.Context(), root, state, cursor, 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range list {
				got = append(got, r.ID)
			}
			if cursor = next; next == "" {
				return got
			}
		}
	}
	if got := pages(Open); !slices.Equal(got, all) {
		t.Errorf("open: got %v, want %v", got, all)
	}
	for _, id := range all {
		b.decide(root, id, Dismissed)
	}
	slices.Reverse(all)
	if got := pages(Closed); !slices.Equal(got, all) {
		t.Errorf("closed: got %v, want %v", got, all)
	}
	if _, _, _, err := b.List(t.Context(), root, Open, "nonsense", 2); codeOf(err) != problem.Invalid {
		t.Errorf("got %v", err)
	}
}

// A user reports twenty messages in an hour, and the audit knows of what comes beyond.
func TestBudget(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben := b.user("ann", "member"), b.user("ben", "member")
	id := b.group(ann, ben)
	var limits []string
	limited := *b.Service
	limited.budget = budget.NewRate[accounts.UserID](perHour, time.Hour, perHour, "Too many.")
	limited.cfg.OnLimit = func(_ context.Context, name string, _ accounts.UserID) { limits = append(limits, name) }
	seq := b.send(ann, id, "x")
	for range perHour {
		if _, err := limited.Create(t.Context(), ben, NewReport{id, seq, "spam", ""}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := limited.Create(t.Context(), ben, NewReport{id, seq, "spam", ""}); codeOf(err) != problem.RateLimited || !slices.Equal(limits, []string{"report"}) {
		t.Errorf("got %v, and the limits %v", err, limits)
	}
}
