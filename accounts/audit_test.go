package accounts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

type auditPage struct {
	Events     []AuditEvent `json:"events"`
	NextCursor string       `json:"next_cursor"`
}

// page reads a page of the audit table, of what was recorded until now.
func (b *bundle) page(token, query string) auditPage {
	b.t.Helper()
	if err := b.writeAudit(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	return decode[auditPage](b.call("GET", "/audit"+query, nil, bearer(token)).wants(200))
}

func TestAudit(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	b := setup(t, func(c *Config) { c.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
	admin := b.person("admin", RoleAdmin)
	at := from("192.0.2.7")
	invite := decode[NewInvite](b.call("POST", "/invites", object{"max_uses": 2}, bearer(admin.Token), at).wants(201))
	f := form("ben")
	f["invite"] = invite.Code
	ben := decode[SignedIn](b.call("POST", "/users", f, at).wants(201))
	benID := b.who(ben.Token).SessionID
	b.try("ben", wrong, "192.0.2.7").wants(401)
	b.try("secret-typed-as-username", wrong, "192.0.2.7").wants(401)
	second := decode[SignedIn](b.try("ben", goodPassword, "192.0.2.7").wants(201))
	secondID := b.who(second.Token).SessionID
	b.call("PUT", "/me/password", object{"current": wrong, "new": "another pass phrase"}, bearer(ben.Token), at).wants(403)
	b.call("PUT", "/me/password", object{"current": goodPassword, "new": "another pass phrase"}, bearer(ben.Token), at).wants(204)
	b.call("DELETE", "/invites/"+invite.ID.String(), nil, bearer(admin.Token), at).wants(204)
	user := "/users/" + ben.User.ID.String()
	b.call("PATCH", user, object{"role": "admin"}, bearer(admin.Token), at).wants(200)
	b.call("PATCH", user, object{"disabled": true}, bearer(admin.Token), at).wants(200)
	b.call("PATCH", user, object{"disabled": false}, bearer(admin.Token), at).wants(200)
	if err := b.SetPassword(t.Context(), "ben", "a third pass phrase"); err != nil {
		t.Fatal(err)
	}
	for range maxFailures + 1 {
		b.try("ben", wrong, "192.0.2.8")
	}

	type want struct {
		kind    AuditKind
		user    *UserID
		actor   *UserID
		session *SessionID
		address string
		detail  string
		count   int
	}
	id, adminID, benS, secondS := ben.User.ID, admin.User.ID, benID, secondID
	inviteID := invite.ID.String()
	wants := []want{
		{AuditInviteCreated, &adminID, nil, nil, "192.0.2.7", inviteID, 1},
		{AuditSignUp, &id, nil, &benS, "192.0.2.7", "", 1},
		{AuditInviteUsed, &id, nil, nil, "192.0.2.7", inviteID, 1},
		{AuditSignInFailed, &id, nil, nil, "192.0.2.7", "", 1},
		{AuditSignInFailed, nil, nil, nil, "192.0.2.7", "", 1},
		{AuditSignIn, &id, nil, &secondS, "192.0.2.7", "", 1},
		{AuditPasswordWrong, &id, nil, &benS, "192.0.2.7", "", 1},
		{AuditPasswordChanged, &id, nil, &benS, "192.0.2.7", "", 1},
		{AuditSessionEnded, &id, nil, &secondS, "192.0.2.7", "", 1},
		{AuditInviteRevoked, &adminID, nil, nil, "192.0.2.7", inviteID, 1},
		{AuditRoleChanged, &id, &adminID, nil, "192.0.2.7", "admin", 1},
		{AuditUserDisabled, &id, &adminID, nil, "192.0.2.7", "", 1},
		{AuditSessionEnded, &id, &adminID, &benS, "192.0.2.7", "", 1},
		{AuditUserEnabled, &id, &adminID, nil, "192.0.2.7", "", 1},
		{AuditPasswordReset, &id, nil, nil, "", "", 1},
		{AuditSignInFailed, &id, nil, nil, "192.0.2.8", "", maxFailures},
		{AuditLimitHit, &id, nil, nil, "192.0.2.8", "sign_in", 1},
	}
	events := b.page(admin.Token, "?limit=100").Events
	text, _ := json.Marshal(events)
	for _, w := range wants {
		n := 0
		for _, e := range events {
			if e.Kind == w.kind && equal(e.UserID, w.user) && equal(e.ActorID, w.actor) && equal(e.SessionID, w.session) && e.Address == w.address && e.Detail == w.detail {
				n += e.Count
			}
		}
		if n != w.count {
			t.Errorf("%s of %v at %q (%s): %d in the table, want %d", w.kind, w.user, w.address, w.detail, n, w.count)
		}
		if !strings.Contains(log.String(), `"msg":"security event","event":"`+string(w.kind)+`"`) {
			t.Errorf("%s is not logged", w.kind)
		}
	}
	if t.Failed() {
		t.Logf("%s", text)
	}
	for _, secret := range []string{goodPassword, wrong, "pass phrase", "secret-typed", ben.Token, second.Token, invite.Code} {
		if strings.Contains(string(text)+log.String(), secret) {
			t.Errorf("%q is in the table or the log", secret)
		}
	}
}

func equal[T comparable](a, b *T) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }

func TestAuditPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	admin := b.person("admin", RoleAdmin)
	for i := range 5 {
		b.record(t.Context(), event{kind: AuditInviteCreated, detail: fmt.Sprint(i)})
	}
	b.record(t.Context(), event{kind: AuditInviteRevoked})
	t.Run("are read to the end, the newest first, each event once", func(t *testing.T) {
		var last int64
		n, cursor := 0, ""
		for {
			p := b.page(admin.Token, "?kind=invite_created&limit=2&cursor="+cursor)
			for _, e := range p.Events {
				if e.Kind != AuditInviteCreated || last != 0 && e.ID >= last {
					t.Errorf("%+v after %d", e, last)
				}
				last = e.ID
				n++
			}
			if cursor = p.NextCursor; cursor == "" {
				break
			}
		}
		if n != 5 {
			t.Errorf("%d events", n)
		}
	})
	t.Run("are for admins alone", func(t *testing.T) {
		b := &bundle{b.Service, t, b.db, b.url, b.sockets}
		b.call("GET", "/audit", nil, bearer(b.person("ben", RoleMember).Token)).wants(403)
	})
	t.Run("refuse what is neither a cursor nor a kind", func(t *testing.T) {
		b := &bundle{b.Service, t, b.db, b.url, b.sockets}
		for _, q := range []string{"?cursor=x", "?cursor=-1", "?cursor=99999999999999999999", "?kind=gossip", "?limit=101"} {
			b.call("GET", "/audit"+q, nil, bearer(admin.Token)).wants(400)
		}
	})
}

func TestAuditIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	t.Run("many failures a minute are few rows, and all are counted", func(t *testing.T) {
		now := time.Now().Truncate(time.Minute)
		for i := range 10_000 {
			b.audit.add(event{kind: AuditSignInFailed, address: fmt.Sprint(i % 5000)}, now.Add(time.Duration(i)*time.Millisecond))
		}
		if err := b.writeAudit(t.Context()); err != nil {
			t.Fatal(err)
		}
		rows, sum := b.count(`SELECT count(*) FROM audit_events`), b.count(`SELECT sum(count)::int FROM audit_events`)
		if rows != maxAuditRowsAnon+1 || sum != 10_000 {
			t.Errorf("%d rows, %d counted", rows, sum)
		}
	})
	t.Run("two writes within a minute are one row", func(t *testing.T) {
		now := time.Now().Truncate(time.Minute)
		for range 2 {
			b.audit.add(event{kind: AuditSignUp}, now)
			if err := b.writeAudit(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n := b.count(`SELECT count FROM audit_events WHERE kind = 'sign_up'`); n != 2 {
			t.Errorf("%d are counted", n)
		}
	})
	t.Run("what cannot be written waits, to a bound", func(t *testing.T) {
		now := time.Now()
		for i := range maxAuditPending + 1 {
			b.audit.add(event{kind: AuditSignUp}, now.Add(time.Duration(i)*time.Minute))
		}
		events, dropped := b.audit.take()
		if len(events) != maxAuditPending || dropped != 1 {
			t.Fatalf("%d wait, %d were dropped", len(events), dropped)
		}
		b.audit.putBack(events[:3])
		if events, _ := b.audit.take(); len(events) != 3 {
			t.Errorf("%d were put back", len(events))
		}
	})
	t.Run("old ones are deleted", func(t *testing.T) {
		b.exec(`UPDATE audit_events SET at = now() - interval '181 days' WHERE kind = 'sign_in_failed'`)
		if err := b.prune(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := b.count(`SELECT count(*) FROM audit_events`); n != 1 {
			t.Errorf("%d are left", n)
		}
	})
}

// The command line has no Run: what it does is written all the same.
func TestAuditOfTheCommandLine(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := New(Config{DB: b.db}).CreateUser(t.Context(), NewUser{Username: "root", Password: goodPassword, Role: RoleAdmin}); err != nil {
		t.Fatal(err)
	}
	if n := b.count(`SELECT count(*) FROM audit_events WHERE kind = 'user_created' AND detail = 'admin'`); n != 1 {
		t.Errorf("%d events", n)
	}
}

// Events of the last moments are written at the end.
func TestAuditAtTheEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	end := b.run()
	b.record(t.Context(), event{kind: AuditSignUp})
	end()
	if n := b.count(`SELECT count(*) FROM audit_events WHERE kind = 'sign_up'`); n != 1 {
		t.Errorf("%d events", n)
	}
}
