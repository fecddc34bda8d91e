package accounts

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"parley/migrations"
	"parley/problem"
	"parley/store/storetest"
)

// old makes the session's last check of the password one of more than an hour ago.
func (b *bundle) old(token string) {
	b.t.Helper()
	b.exec(`UPDATE sessions SET created_at = now() - interval '61 minutes', confirmed_at = CASE WHEN confirmed_at IS NOT NULL THEN now() - interval '61 minutes' END WHERE id = $1`, b.who(token).SessionID)
}

func (a answer) code() string { return decode[problemBody](a).Code }

func TestConfirmation(t *testing.T) {
	t.Parallel()
	disable := object{"disabled": true}

	t.Run("signing in is enough for an hour", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		admin, ben := b.person("admin", RoleAdmin), b.person("ben", RoleMember)
		path := "/users/" + ben.User.ID.String()
		b.call("PATCH", path, disable, bearer(admin.Token)).wants(200)
		b.old(admin.Token)
		for _, body := range []object{disable, {"disabled": false}, {"role": "admin"}, {"role": "member"}} {
			if got := b.call("PATCH", path, body, bearer(admin.Token)).wants(403).code(); got != "confirmation_required" {
				t.Errorf("%v: %s", body, got)
			}
		}
		if got := b.call("GET", "/me/export", nil, bearer(admin.Token)).wants(403).code(); got != "confirmation_required" {
			t.Errorf("export: %s", got)
		}
		if got := b.call("PATCH", path, disable, bearer(ben.Token)).wants(401).code(); got != "unauthenticated" {
			t.Errorf("a disabled user: %s", got)
		}
		// A stolen session must not keep its owner from ending it.
		b.call("DELETE", "/sessions", nil, bearer(admin.Token)).wants(204)

		b.call("POST", "/sessions/current/confirmation", object{"password": goodPassword}, bearer(admin.Token)).wants(204)
		b.call("PATCH", path, object{"disabled": false}, bearer(admin.Token)).wants(200)
	})
	t.Run("counts for its session alone, by cookie as well", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		admin, ben := b.person("admin", RoleAdmin), b.person("ben", RoleMember)
		other := b.signIn("admin")
		b.old(admin.Token)
		b.old(other.Token)
		path := "/users/" + ben.User.ID.String()
		byCookie := []header{cookie("__Host-parley", admin.Token), func(r *http.Request) { r.Header.Set("Origin", "https://chat.example.org") }}
		b.call("PATCH", path, disable, byCookie...).wants(403)
		b.call("POST", "/sessions/current/confirmation", object{"password": goodPassword}, byCookie...).wants(204)
		b.call("PATCH", path, disable, byCookie...).wants(200)
		b.call("PATCH", path, disable, bearer(other.Token)).wants(403)
	})
	t.Run("wrong passwords are counted by session, with those of a password change", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		ann := b.person("ann", RoleMember)
		for range 5 {
			a := b.call("POST", "/sessions/current/confirmation", object{"password": "a wrong one"}, bearer(ann.Token)).wants(403)
			if p := decode[problemBody](a); p.Code != "forbidden" || len(p.Errors) != 1 || p.Errors[0].Location != "body.password" {
				t.Errorf("a wrong password: %s", a.body)
			}
			b.call("PUT", "/me/password", object{"current": "a wrong one", "new": "another good password"}, bearer(ann.Token)).wants(403)
		}
		b.call("POST", "/sessions/current/confirmation", object{"password": goodPassword}, bearer(ann.Token)).wants(429)
		b.call("DELETE", "/me", object{"password": goodPassword, "messages": "keep"}, bearer(ann.Token)).wants(429)
		b.signIn("ann")
	})
	t.Run("changing the password confirms", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		admin, ben := b.person("admin", RoleAdmin), b.person("ben", RoleMember)
		b.old(admin.Token)
		b.call("PUT", "/me/password", object{"current": goodPassword, "new": "another good password"}, bearer(admin.Token)).wants(204)
		b.call("PATCH", "/users/"+ben.User.ID.String(), disable, bearer(admin.Token)).wants(200)
	})
	t.Run("sessions of the version before count from their start", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.migration("000015_leaving.down.sql")
		b.exec(`INSERT INTO users (id, username, display_name, password_hash, role) VALUES (gen_random_uuid(), 'ann', 'Ann', '', 'admin')`)
		b.exec(`INSERT INTO sessions (id, user_id, token_hash, expires_at, created_at)
			SELECT gen_random_uuid(), id, 'a'::bytea, now() + interval '1 day', now() - interval '2 hours' FROM users`)
		b.migration("000015_leaving.up.sql")
		var who Identity
		if err := b.db.QueryRow(t.Context(), `SELECT id, user_id FROM sessions`).Scan(&who.SessionID, &who.UserID); err != nil {
			t.Fatal(err)
		}
		if err := b.requireConfirmation(t.Context(), who); !errors.Is(err, errConfirm) {
			t.Error(err)
		}
		if u, err := b.User(t.Context(), who.UserID); err != nil || u.Deleted || u.Disabled {
			t.Errorf("%+v, %v", u, err)
		}
		// What the version before does on this schema.
		b.exec(`UPDATE sessions SET token_hash = 'b'::bytea`)
		b.exec(`INSERT INTO sessions (id, user_id, token_hash, expires_at) VALUES (gen_random_uuid(), $1, 'c'::bytea, now() + interval '1 day')`, who.UserID)
	})
}

func (b *bundle) migration(name string) {
	b.t.Helper()
	sql, err := migrations.Files.ReadFile(name)
	if err != nil {
		b.t.Fatal(err)
	}
	conn, err := b.db.Pool().Acquire(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Conn().PgConn().Exec(b.t.Context(), string(sql)).ReadAll(); err != nil {
		b.t.Fatal(err)
	}
}

func TestDeletion(t *testing.T) {
	t.Parallel()
	remove := func(b *bundle, who SignedIn, messages string) answer {
		return b.call("DELETE", "/me", object{"password": goodPassword, "messages": messages}, bearer(who.Token))
	}
	t.Run("leaves a row that says nothing of the user", func(t *testing.T) {
		t.Parallel()
		b := setup(t, membersToo, noLimits)
		admin, ann := b.person("admin", RoleAdmin), b.person("ann", RoleMember)
		phone := b.signIn("ann")
		who := b.who(ann.Token)
		b.call("POST", "/invites", nil, bearer(ann.Token)).wants(201)
		if a := b.call("DELETE", "/me", object{"password": "a wrong one", "messages": "keep"}, bearer(ann.Token)).wants(403); a.code() != "forbidden" {
			t.Errorf("%s", a.body)
		}
		phones := b.who(phone.Token).SessionID
		a := remove(b, ann, "keep").wants(204)
		if len(a.header.Values("Set-Cookie")) == 0 {
			t.Error("the cookie stays")
		}
		if !b.sockets.wasClosed(who.SessionID) || !b.sockets.wasClosed(phones) {
			t.Error("sockets stay open")
		}
		for _, token := range []string{ann.Token, phone.Token} {
			b.call("GET", "/me", nil, bearer(token)).wants(401)
		}
		b.call("POST", "/sessions", object{"username": "ann", "password": goodPassword}).wants(401)
		u := decode[User](b.call("GET", "/users/"+ann.User.ID.String(), nil, bearer(admin.Token)).wants(200))
		if !u.Deleted || !u.Disabled || u.Role != RoleMember || strings.Contains(u.Username+u.DisplayName, "ann") {
			t.Errorf("others see %+v", u)
		}
		if a := b.call("GET", "/users?query=deleted", nil, bearer(admin.Token)).wants(200); strings.Contains(string(a.body), ann.User.ID.String()) {
			t.Errorf("searches find %s", a.body)
		}
		if n := b.count(`SELECT count(*) FROM invites WHERE created_by = $1`, ann.User.ID); n != 0 {
			t.Errorf("%d invites stay", n)
		}
		if n := b.count(`SELECT count(*) FROM users u WHERE u::text ILIKE '%ann%'`); n != 0 {
			t.Error("a row still has the name")
		}
		if err := b.ResetPasswordOf(u.Username); !errors.Is(err, ErrNoUser) {
			t.Errorf("a new password for a deleted account: %v", err)
		}
		if a := b.call("PATCH", "/users/"+ann.User.ID.String(), object{"disabled": false}, bearer(admin.Token)).wants(409); a.code() != "conflict" {
			t.Errorf("%s", a.body)
		}
		if err := b.writeAudit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := b.count(`SELECT count(*) FROM audit_events WHERE kind = 'user_deleted' AND user_id = $1 AND detail = 'keep'`, ann.User.ID); n != 1 {
			t.Errorf("%d audit events", n)
		}
	})
	t.Run("no other user gets the username, unless the operator says so", func(t *testing.T) {
		t.Parallel()
		b := setup(t, open, noLimits)
		b.person("admin", RoleAdmin)
		ann := b.person("ann", RoleMember)
		remove(b, ann, "erase").wants(204)
		if a := b.call("POST", "/users", form("Ann")).wants(409); a.code() != "conflict" {
			t.Errorf("%s", a.body)
		}
		b.call("POST", "/users", form(tombstoneOf(ann.User.ID))).wants(409)
		b.call("POST", "/users", form("deleted-0123456789abcdef01234567")).wants(409) // of a deletion to come
		if n := b.count(`SELECT count(*) FROM retired_usernames WHERE name_hash = sha256('ann')`); n != 0 {
			t.Error("the name can be read from its hash")
		}
		again := b.person("ann", RoleMember)
		if again.User.ID == ann.User.ID {
			t.Error("it is the same account")
		}
	})
	t.Run("the last admin stays", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		admin, ben := b.person("admin", RoleAdmin), b.person("ben", RoleAdmin)
		b.call("PATCH", "/users/"+ben.User.ID.String(), object{"disabled": true}, bearer(admin.Token)).wants(200)
		if a := remove(b, admin, "keep").wants(409); !strings.Contains(string(a.body), "last admin") {
			t.Errorf("%s", a.body)
		}
		if err := b.DeleteUser(t.Context(), "admin", false); problem.From(err).Code != problem.Conflict {
			t.Errorf("by the operator: %v", err)
		}
		b.call("GET", "/me", nil, bearer(admin.Token)).wants(200)
		b.call("PATCH", "/users/"+ben.User.ID.String(), object{"disabled": false}, bearer(admin.Token)).wants(200)
		remove(b, admin, "keep").wants(204)
	})
	t.Run("of two admins at once one stays", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		admins := []SignedIn{b.person("admin", RoleAdmin), b.person("ben", RoleAdmin)}
		var deleted atomic.Int32
		together(2, func(i int) {
			if remove(b, admins[i], "keep").status == 204 {
				deleted.Add(1)
			}
		})
		if n := b.count(`SELECT count(*) FROM users WHERE role = 'admin' AND disabled_at IS NULL`); deleted.Load() != 1 || n != 1 {
			t.Errorf("%d deleted, %d admins left", deleted.Load(), n)
		}
	})
	t.Run("messages are kept or erased as the server allows", func(t *testing.T) {
		t.Parallel()
		for policy, want := range map[DeletionPolicy]map[string]int{
			DeletionChoose: {"": 400, "keep": 204, "erase": 204},
			DeletionKeep:   {"erase": 403, "": 204, "keep": 204},
			DeletionErase:  {"keep": 403, "": 204, "erase": 204},
			DeletionOff:    {"": 403, "keep": 403, "erase": 403},
		} {
			b := setup(t, noLimits, func(c *Config) { c.AccountDeletion = policy })
			for messages, status := range want {
				ann := b.person("ann"+messages, RoleMember)
				if got := decode[Profile](b.call("GET", "/me", nil, bearer(ann.Token)).wants(200)).AccountDeletion; got != policy {
					t.Errorf("the policy is given as %s", got)
				}
				body := object{"password": goodPassword}
				if messages != "" {
					body["messages"] = messages
				}
				b.call("DELETE", "/me", body, bearer(ann.Token)).wants(status)
				if status != 204 {
					continue
				}
				erases := messages == "erase" || messages == "" && policy == DeletionErase
				if n := b.count(`SELECT count(*) FROM users WHERE id = $1 AND erase_messages = $2`, ann.User.ID, erases); n != 1 {
					t.Errorf("%s, %q: the messages are not treated so", policy, messages)
				}
			}
		}
	})
}

// ResetPasswordOf is what the command line does.
func (b *bundle) ResetPasswordOf(username string) error {
	_, err := b.ResetPassword(b.t.Context(), username)
	return err
}

// What is left of a deleted user goes, whatever crashes and wherever.
func TestDeletionGoesOn(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	var first, second, erased atomic.Int32
	crash := func(c *Config) {
		c.OnDelete = append(c.OnDelete, func(context.Context, UserID, bool) error { return errors.New("the process is killed here") })
	}
	works := func(c *Config) {
		c.OnDelete = append(c.OnDelete,
			func(_ context.Context, _ UserID, erase bool) error {
				if first.Add(1); erase {
					erased.Add(1)
				}
				return nil
			},
			func(context.Context, UserID, bool) error { second.Add(1); return nil })
	}
	a, b := replica(t, db, crash, noLimits), replica(t, db, works, noLimits)
	ann := a.person("ann", RoleMember)
	a.call("DELETE", "/me", object{"password": goodPassword, "messages": "erase"}, bearer(ann.Token)).wants(204)
	if err := a.continueDeletions(t.Context()); err == nil {
		t.Fatal("nothing failed")
	}
	if err := b.continueDeletions(t.Context()); err != nil || first.Load() != 0 {
		t.Fatalf("another replica takes what this one has a lease of: %v", err)
	}
	due := func() { b.exec(`UPDATE users SET deletion_due_at = now() WHERE deletion_due_at IS NOT NULL`) }
	due() // the lease runs out
	end := b.run()
	b.eventually("the other replica goes on", func() bool { return second.Load() == 1 })
	end()
	if first.Load() != 1 || erased.Load() != 1 {
		t.Errorf("first %d, erased %d", first.Load(), erased.Load())
	}
	if n := b.count(`SELECT count(*) FROM users WHERE deletion_due_at > now() + interval '1 minute'`); n != 1 {
		t.Fatal("no last round is due, for what was under way at the request")
	}
	b.exec(`UPDATE users SET deleted_at = now() - interval '3 minutes'`)
	due()
	if err := b.continueDeletions(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := b.count(`SELECT count(*) FROM users WHERE deletion_due_at IS NOT NULL`); n != 0 || second.Load() != 2 {
		t.Errorf("%d are left, after %d rounds", n, second.Load())
	}
	due()
	if err := b.continueDeletions(t.Context()); err != nil || second.Load() != 2 {
		t.Errorf("it is never over: %v", err)
	}
	b.exec(`UPDATE sessions SET ended_at = ended_at - interval '1 hour'`)
	if err := b.prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := b.count(`SELECT count(*) FROM sessions`); n != 0 {
		t.Errorf("%d sessions are kept", n)
	}
}

func TestExport(t *testing.T) {
	t.Parallel()
	types := func(b *bundle, body []byte) (list []string) {
		b.t.Helper()
		for line := range bytes.Lines(body) {
			var l struct{ Type string }
			if err := json.Unmarshal(line, &l); err != nil {
				b.t.Fatalf("%v in %s", err, line)
			}
			list = append(list, l.Type)
		}
		return list
	}
	t.Run("has what is stored of the user, and an end", func(t *testing.T) {
		t.Parallel()
		b := setup(t, membersToo, noLimits, func(c *Config) {
			c.Exporters = append(c.Exporters, func(_ context.Context, user UserID, write ExportWriter) error {
				return write("thing", object{"of": user})
			})
		})
		ann, ben := b.person("ann", RoleMember), b.person("ben", RoleMember)
		b.call("POST", "/invites", nil, bearer(ann.Token)).wants(201)
		if err := b.writeAudit(t.Context()); err != nil {
			t.Fatal(err)
		}
		a := b.call("GET", "/me/export", nil, bearer(ann.Token)).wants(200)
		if got := a.header.Get("Content-Type"); got != "application/x-ndjson" || !strings.HasPrefix(a.header.Get("Content-Disposition"), "attachment") {
			t.Errorf("headers %v", a.header)
		}
		if got := strings.Join(types(b, a.body), " "); got != "profile session invite audit_event audit_event thing end" && got != "profile session invite audit_event audit_event audit_event thing end" {
			t.Errorf("the lines are %s: %s", got, a.body)
		}
		if strings.Contains(string(a.body), ben.User.ID.String()) || strings.Contains(string(a.body), "argon2") {
			t.Errorf("too much: %s", a.body)
		}
		zipped := b.call("GET", "/me/export", nil, bearer(ann.Token), func(r *http.Request) { r.Header.Set("Accept-Encoding", "br, gzip;q=0.5") }).wants(200)
		r, err := gzip.NewReader(bytes.NewReader(zipped.body))
		if err != nil || zipped.header.Get("Content-Encoding") != "gzip" {
			t.Fatal(err, zipped.header)
		}
		if plain, err := io.ReadAll(r); err != nil || len(types(b, plain)) < 6 {
			t.Errorf("%v: %s", err, plain)
		}
	})
	t.Run("tells neither which admin acted, nor that a message was reported", func(t *testing.T) {
		t.Parallel()
		b := setup(t, noLimits)
		ann, admin := b.person("ann", RoleMember), b.person("admin", RoleAdmin)
		b.call("PATCH", "/users/"+ann.User.ID.String(), object{"role": "admin"}, bearer(admin.Token)).wants(200)
		b.ReportDecided(t.Context(), b.who(admin.Token), ann.User.ID, "dismissed", "a report")
		if err := b.writeAudit(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.exec(`UPDATE audit_events SET address = '198.51.100.7' WHERE actor_id = $1`, admin.User.ID)
		got := string(b.call("GET", "/me/export", nil, bearer(ann.Token)).wants(200).body)
		for _, not := range []string{"report_decided", admin.User.ID.String(), "198.51.100.7"} {
			if strings.Contains(got, not) {
				t.Errorf("the export has %s: %s", not, got)
			}
		}
		if !strings.Contains(got, "role_changed") {
			t.Errorf("the user's own events are missing: %s", got)
		}
	})
	t.Run("what fails on the way is cut off, not ended", func(t *testing.T) {
		t.Parallel()
		b := setup(t, noLimits, func(c *Config) {
			c.Exporters = append(c.Exporters, func(context.Context, UserID, ExportWriter) error { return errors.New("no more") })
		})
		ann := b.person("ann", RoleMember)
		write, err := b.BeginExport(t.Context(), b.who(ann.Token))
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := write(t.Context(), &out); err == nil || strings.Contains(out.String(), `"end"`) {
			t.Errorf("%v: %s", err, out.String())
		}
	})
	t.Run("one at a time, five a day", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		ann, ben := b.person("ann", RoleMember), b.person("ben", RoleMember)
		write, err := b.BeginExport(t.Context(), b.who(ann.Token))
		if err != nil {
			t.Fatal(err)
		}
		b.call("GET", "/me/export", nil, bearer(ann.Token)).wants(429)
		if err := write(t.Context(), io.Discard); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			b.call("GET", "/me/export", nil, bearer(ann.Token)).wants(200)
		}
		if a := b.call("GET", "/me/export", nil, bearer(ann.Token)).wants(429); a.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		b.call("GET", "/me/export", nil, bearer(ben.Token)).wants(200)
	})
	t.Run("ends with the session", func(t *testing.T) {
		t.Parallel()
		b := setup(t, noLimits, func(c *Config) {
			c.Exporters = append(c.Exporters, func(_ context.Context, _ UserID, write ExportWriter) error {
				for {
					if err := write("thing", object{}); err != nil {
						return err
					}
				}
			})
		})
		ann := b.person("ann", RoleMember)
		who := b.who(ann.Token)
		write, err := b.BeginExport(t.Context(), who)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.EndSession(t.Context(), who.UserID, who.SessionID); err != nil {
			t.Fatal(err)
		}
		if err := write(t.Context(), io.Discard); !errors.Is(err, errSessionEnded) {
			t.Error(err)
		}
	})
}
