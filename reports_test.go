package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"parley/accounts"
	"parley/reports"
)

// report reports a message and gives the report's id.
func (s *testServer) report(by person, conversation string, seq int64) string {
	s.t.Helper()
	var report struct{ ID string }
	s.must(by, "POST", fmt.Sprintf("/conversations/%s/messages/%d/report", conversation, seq), `{"reason":"spam","comment":"look"}`, &report)
	return report.ID
}

// openReports gives the open reports as an admin sees them.
func (s *testServer) openReports(admin person) map[string]reports.Report {
	s.t.Helper()
	var page struct{ Reports []reports.Report }
	s.must(admin, "GET", "/reports?state=open", "", &page)
	all := map[string]reports.Report{}
	for _, r := range page.Reports {
		all[r.ID.String()] = r
	}
	return all
}

func TestDecisionsAreAudited(t *testing.T) {
	t.Parallel()
	s := startTest(t, nil)
	root, other := s.person("root", accounts.RoleAdmin), s.person("other", accounts.RoleAdmin)
	ann, ben := s.person("ann", accounts.RoleMember), s.person("ben", accounts.RoleMember)
	group := s.group(ann, ben)
	want := map[string]bool{}
	for _, decision := range []string{"removed", "dismissed", "disabled"} {
		id := s.report(ben, group, s.send(ann, group, "secret of ann"))
		for range 2 { // the second time changes nothing
			if outcome, answer := s.call(root, "PATCH", "/reports/"+id, `{"decision":"`+decision+`"}`); outcome != "ok" {
				t.Fatal(answer)
			}
		}
		refused := map[string]string{"removed": "dismissed", "dismissed": "removed", "disabled": "dismissed"}[decision]
		if outcome, answer := s.call(other, "PATCH", "/reports/"+id, `{"decision":"`+refused+`"}`); outcome != "conflict" {
			t.Errorf("%s: %s", outcome, answer)
		}
		want[decision+" "+id] = true
	}
	audited := func() (list []accounts.AuditEvent) {
		var page struct{ Events []accounts.AuditEvent }
		s.must(root, "GET", "/audit?kind=report_decided", "", &page)
		return page.Events
	}
	eventually(t, "every decision is in the audit", func() bool { return len(audited()) >= len(want) })
	t.Run("with the admin, the sender, the decision and the report, each decision once", func(t *testing.T) {
		for _, e := range audited() {
			if !want[e.Detail] || *e.ActorID != root.id || *e.UserID != ann.id || e.Count != 1 || e.Address == "" {
				t.Errorf("got %+v", e)
			}
			delete(want, e.Detail)
		}
		if len(want) > 0 {
			t.Errorf("missing: %v", want)
		}
	})
	t.Run("with no text of the message", func(t *testing.T) {
		if _, answer := s.call(root, "GET", "/audit?kind=report_decided", ""); strings.Contains(answer, "secret") {
			t.Error(answer)
		}
	})
}

func TestReportsOfDeletedAccounts(t *testing.T) {
	t.Parallel()
	for messages, body := range map[string]string{"erase": "", "keep": "of ann"} {
		t.Run("messages are to "+messages, func(t *testing.T) {
			t.Parallel()
			s := startTest(t, nil)
			root := s.person("root", accounts.RoleAdmin)
			ann, ben := s.person("ann", accounts.RoleMember), s.person("ben", accounts.RoleMember)
			direct := s.conversation(ann, ben)
			theirs := s.report(ben, direct, s.send(ann, direct, "of ann"))
			others := s.report(ann, direct, s.send(ben, direct, "of ben"))
			s.leave(ann, messages)
			eventually(t, "the account's data is removed", func() bool {
				var n int
				err := s.db.QueryRow(t.Context(), `SELECT count(*) FROM reports WHERE body = 'of ann'`).Scan(&n)
				_, found := s.openReports(root)[theirs]
				if messages == "keep" { // the direct conversation is closed meanwhile, and reports come after it
					return err == nil && n == 1 && found && !s.canWrite(ben, direct)
				}
				return err == nil && n == 0 && found
			})
			open := s.openReports(root)
			if r := open[theirs]; r.Body != body || r.Erased != (messages == "erase") {
				t.Errorf("the report about the user has %q, erased %t", r.Body, r.Erased)
			}
			if r := open[others]; r.Body != "of ben" || r.Erased {
				t.Errorf("the report by the user has %q, erased %t", r.Body, r.Erased)
			}
			if outcome, answer := s.call(root, "PATCH", "/reports/"+theirs, `{"decision":"dismissed"}`); outcome != "ok" {
				t.Errorf("deciding: %s", answer)
			}
		})
	}
}

// canWrite says whether a user can send a message.
func (s *testServer) canWrite(who person, conversation string) bool {
	s.t.Helper()
	outcome, _ := s.call(who, "POST", "/conversations/"+conversation+"/messages", fmt.Sprintf(`{"client_id":%q,"body":"x"}`, clientID()))
	return outcome == "ok"
}

func TestExportHasReports(t *testing.T) {
	t.Parallel()
	s := startTest(t, nil)
	root := s.person("root", accounts.RoleAdmin)
	ann, ben := s.person("ann", accounts.RoleMember), s.person("ben", accounts.RoleMember)
	group := s.group(ann, ben)
	id := s.report(ben, group, s.send(ann, group, "secret of ann"))
	if outcome, answer := s.call(root, "PATCH", "/reports/"+id, `{"decision":"dismissed","answer":"Thank you."}`); outcome != "ok" {
		t.Fatal(answer)
	}
	for who, want := range map[person]int{ben: 1, ann: 0} {
		outcome, answer := s.call(who, "GET", "/me/export", "")
		if outcome != "ok" {
			t.Fatal(answer)
		}
		n := 0
		for line := range strings.Lines(answer) {
			if !strings.HasPrefix(line, `{"type":"report",`) {
				continue
			}
			var r struct{ ID, Comment, Decision, Answer string }
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			if n++; r.ID != id || r.Comment != "look" || r.Decision != "dismissed" || r.Answer != "Thank you." || strings.Contains(line, "secret") {
				t.Errorf("got %s", line)
			}
		}
		if n != want {
			t.Errorf("%s has %d reports in the export, want %d", who.name, n, want)
		}
	}
}
