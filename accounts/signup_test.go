package accounts

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func (b *bundle) setupToken() string {
	b.t.Helper()
	token, needed, err := b.SetupLink(b.t.Context())
	if err != nil || !needed {
		b.t.Fatalf("needed = %v, err = %v", needed, err)
	}
	return token
}

func TestSetup(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := b.setupToken(), b.setupToken()

	set := form("Anna")
	for _, wrong := range []string{"", "x", strings.Repeat("A", 22), strings.Repeat("é", 22)} {
		set["token"] = wrong
		if p := decode[problemBody](b.call("POST", "/setup", set).wants(403)); p.Code != "forbidden" || p.Errors[0].Location != "body.token" {
			t.Errorf("token %q: %+v", wrong, p)
		}
	}
	set["token"] = first
	in := decode[SignedIn](b.call("POST", "/setup", set).wants(201))
	if in.User.Role != RoleAdmin || in.User.Username != "anna" || in.User.DisplayName != "Anna" {
		t.Errorf("the admin is %+v", in.User)
	}
	b.call("GET", "/me", nil, bearer(in.Token)).wants(200)

	// Whichever token: there is an admin now.
	for i, token := range []string{first, second} {
		again := form(fmt.Sprint("eve", i))
		again["token"] = token
		if p := decode[problemBody](b.call("POST", "/setup", again).wants(409)); p.Code != "conflict" {
			t.Errorf("%+v", p)
		}
	}
	if token, needed, err := b.SetupLink(t.Context()); token != "" || needed || err != nil {
		t.Errorf("SetupLink gives %q, %v, %v", token, needed, err)
	}
	if n := b.count(`SELECT count(*) FROM invites`); n != 0 {
		t.Errorf("%d set-up tokens are left", n)
	}
}

func TestSetupTokenExpires(t *testing.T) {
	t.Parallel()
	b := setup(t)
	set := form("anna")
	set["token"] = b.setupToken()
	b.exec(`UPDATE invites SET expires_at = now() - interval '1 second'`)
	b.call("POST", "/setup", set).wants(403)
}

// Two people with links of two starts, several times each: one becomes the admin.
func TestSetupRace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tokens := []string{b.setupToken(), b.setupToken()}
	var made atomic.Int32
	together(8, func(i int) {
		set := form(fmt.Sprint("admin", i))
		set["token"] = tokens[i%2]
		switch a := b.call("POST", "/setup", set); a.status {
		case 201:
			made.Add(1)
		case 409, 403:
		default:
			t.Errorf("status %d: %s", a.status, a.body)
		}
	})
	if n := b.count(`SELECT count(*) FROM users`); made.Load() != 1 || n != 1 {
		t.Errorf("%d were told so, %d users exist", made.Load(), n)
	}
}

// The same when the operator makes an admin at that moment: set-up does not add another
// one after it.
func TestSetupAgainstCreateUser(t *testing.T) {
	t.Parallel()
	b := setup(t)
	// Hold the lock as CreateUser does, let Setup come as far as it, and commit.
	tx, err := b.db.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	token := b.setupToken()
	if err := addAdmin(t.Context(), queries{tx}, User{ID: UserID{1}, Username: "root", DisplayName: "r", Role: RoleAdmin}, noPassword,
		func(queries) error { return nil }); err != nil {
		t.Fatal(err)
	}
	done := make(chan answer)
	go func() {
		set := form("late")
		set["token"] = token
		done <- b.call("POST", "/setup", set)
	}()
	b.eventually("set-up waits for the lock", func() bool {
		return b.count(`SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`) == 1
	})
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	(<-done).wants(409)
}

func TestSignUpModes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		mode    SignupMode
		invited bool
		status  int
	}{
		{"invite, with one", SignupInvite, true, 201},
		{"invite, without", SignupInvite, false, 403},
		{"nothing said, with one", "", true, 201},
		{"nothing said, without", "", false, 403},
		{"open, without", SignupOpen, false, 201},
		{"open, with one", SignupOpen, true, 201},
		{"closed, without", SignupClosed, false, 403},
		{"closed, with one from before", SignupClosed, true, 403},
		{"unknown, without", "opne", false, 403},
		{"unknown, with one from before", "opne", true, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(cfg *Config) { cfg.Signup = SignupInvite })
			admin := b.person("admin", RoleAdmin)
			invite, err := b.Invite(t.Context(), b.who(admin.Token), 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			b.cfg.Signup = c.mode
			said := decode[struct{ Signup SignupMode }](b.call("GET", "/signup", nil).wants(200)).Signup
			if want := map[SignupMode]SignupMode{"": SignupInvite, "opne": SignupClosed}[c.mode]; said != cmp.Or(want, c.mode) {
				t.Errorf("it is said to be %q", said)
			}
			f := form("Ben")
			if c.invited {
				f["invite"] = invite.Code
			}
			a := b.call("POST", "/users", f).wants(c.status)
			if c.status != 201 {
				return
			}
			in := decode[SignedIn](a)
			if in.User.Role != RoleMember || in.User.Username != "ben" {
				t.Errorf("made %+v", in.User)
			}
			b.call("GET", "/me", nil, bearer(in.Token)).wants(200)
		})
	}
}

func TestInviteRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t, noLimits)
	admin := b.who(b.person("admin", RoleAdmin).Token)
	make1 := func() NewInvite {
		i, err := b.Invite(t.Context(), admin, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	used, expired, withdrawn, disabled := make1(), make1(), make1(), make1()
	f := form("first")
	f["invite"] = used.Code
	b.call("POST", "/users", f).wants(201)
	b.exec(`UPDATE invites SET expires_at = now() - interval '1 second' WHERE id = $1`, expired.ID)
	if err := b.Withdraw(t.Context(), admin, withdrawn.ID); err != nil {
		t.Fatal(err)
	}
	b.person("other", RoleAdmin)
	yes := true
	if _, err := b.ChangeUser(t.Context(), b.who(b.signIn("other").Token), admin.UserID, Change{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	// A set-up token must not be worth anything here, whatever made it.
	admins, hash := newSecret(codeBytes)
	if err := b.q.insertSetupInvite(t.Context(), InviteID{9}, hash); err != nil {
		t.Fatal(err)
	}
	unknown, _ := newSecret(codeBytes)
	long, _ := newSecret(tokenBytes)
	for name, code := range map[string]string{
		"used": used.Code, "expired": expired.Code, "withdrawn": withdrawn.Code, "of a disabled admin": disabled.Code,
		"for set-up": admins, "unknown": unknown, "empty": "", "too long": long, "not base64": strings.Repeat("!", 22),
		"another spelling": unknown[:21] + "_", "quotes": `' OR true --`,
	} {
		if a := b.call("POST", "/invites/check", object{"invite": code}).wants(200); strings.TrimSpace(string(a.body)) != `{"valid":false}` {
			t.Errorf("the check of one that is %s answers %s", name, a.body)
		}
		f := form("late")
		f["invite"] = code
		p := decode[problemBody](b.call("POST", "/users", f).wants(403))
		if p.Code != "forbidden" || len(p.Errors) != 1 || p.Errors[0].Location != "body.invite" {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if n := b.count(`SELECT count(*) FROM users WHERE username = 'late'`); n != 0 {
		t.Error("somebody got in")
	}
}

func TestInviteCheck(t *testing.T) {
	t.Parallel()
	valid := func(a answer) bool { return decode[struct{ Valid bool }](a.wants(200)).Valid }
	for _, c := range []struct {
		mode  SignupMode
		works bool
	}{{SignupInvite, true}, {"", true}, {SignupOpen, true}, {SignupClosed, false}, {"opne", false}} {
		t.Run("where sign-up is "+cmp.Or(string(c.mode), "not configured"), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			i, err := b.Invite(t.Context(), b.who(b.person("admin", RoleAdmin).Token), 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			b.cfg.Signup = c.mode
			for range 3 {
				if got := valid(b.call("POST", "/invites/check", object{"invite": i.Code})); got != c.works {
					t.Errorf("an open invite: %v", got)
				}
			}
			if n := b.count(`SELECT uses_left FROM invites`); n != 1 {
				t.Errorf("%d uses left after checks", n)
			}
		})
	}
	t.Run("is limited by address, and keeps no one there from signing up", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		i, err := b.Invite(t.Context(), b.who(b.person("admin", RoleAdmin).Token), 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		for range maxFailures {
			if valid(b.call("POST", "/invites/check", object{"invite": "dead"}, from("192.0.2.1"))) {
				t.Fatal("an unknown invite works")
			}
		}
		b.call("POST", "/invites/check", object{"invite": i.Code}, from("192.0.2.1")).wants(429)
		if !valid(b.call("POST", "/invites/check", object{"invite": i.Code}, from("192.0.2.2"))) {
			t.Error("another address is limited too")
		}
		f := form("ben")
		f["invite"] = i.Code
		b.call("POST", "/users", f, from("192.0.2.1")).wants(201)
	})
}

func TestInviteIsCountedExactly(t *testing.T) {
	t.Parallel()
	b := setup(t, noLimits)
	admin := b.person("admin", RoleAdmin)
	invite := decode[NewInvite](b.call("POST", "/invites", object{"max_uses": 3}, bearer(admin.Token)).wants(201))

	// A sign-up that comes to nothing does not count.
	f := form("admin")
	f["invite"] = invite.Code
	p := decode[problemBody](b.call("POST", "/users", f).wants(409))
	if p.Code != "conflict" || p.Errors[0].Location != "body.username" {
		t.Errorf("a taken username: %+v", p)
	}
	if n := b.count(`SELECT uses_left FROM invites`); n != 3 {
		t.Errorf("%d uses left after a sign-up that failed", n)
	}

	var in, out atomic.Int32
	together(9, func(i int) {
		f := form(fmt.Sprint("person", i))
		f["invite"] = invite.Code
		switch a := b.call("POST", "/users", f); a.status {
		case 201:
			in.Add(1)
		case 403:
			out.Add(1)
		default:
			t.Errorf("status %d: %s", a.status, a.body)
		}
	})
	if n := b.count(`SELECT count(*) FROM users WHERE role = 'member'`); in.Load() != 3 || out.Load() != 6 || n != 3 {
		t.Errorf("%d in, %d out, %d stored", in.Load(), out.Load(), n)
	}
	if n := b.count(`SELECT uses_left FROM invites`); n != 0 {
		t.Errorf("%d uses left", n)
	}
}

// Two with the same name and two invites: one of the invites stays whole.
func TestUsernameRace(t *testing.T) {
	t.Parallel()
	b := setup(t, open)
	var made atomic.Int32
	together(6, func(i int) {
		name := "Anna"
		if i%2 == 0 {
			name = "aNNa"
		}
		switch a := b.call("POST", "/users", form(name)); a.status {
		case 201:
			made.Add(1)
		case 409:
		default:
			t.Errorf("status %d: %s", a.status, a.body)
		}
	})
	if n := b.count(`SELECT count(*) FROM users`); made.Load() != 1 || n != 1 {
		t.Errorf("%d made, %d stored", made.Load(), n)
	}
}

func TestInvitesOverHTTP(t *testing.T) {
	t.Parallel()
	b := setup(t)
	admin, member := b.person("admin", RoleAdmin), b.person("member", RoleMember)

	before := time.Now()
	invite := decode[NewInvite](b.call("POST", "/invites", nil, bearer(admin.Token)).wants(201))
	if invite.URL != "https://chat.example.org/join#"+invite.Code || len(invite.Code) != 22 {
		t.Errorf("url %q, code %q", invite.URL, invite.Code)
	}
	if life := invite.ExpiresAt.Sub(before); life < inviteLife-time.Minute || life > inviteLife+time.Minute {
		t.Errorf("it lives for %v", life)
	}
	if n := b.count(`SELECT count(*) FROM invites WHERE encode(code_hash, 'escape') LIKE '%' || $1 || '%'`, invite.Code); n != 0 {
		t.Error("the code is stored")
	}
	long := decode[NewInvite](b.call("POST", "/invites", object{"expires_in_s": 60, "max_uses": 1000}, bearer(admin.Token)).wants(201))
	if life := long.ExpiresAt.Sub(before); life > 2*time.Minute {
		t.Errorf("it lives for %v", life)
	}
	b.setupInvite()

	a := b.call("GET", "/invites", nil, bearer(admin.Token)).wants(200)
	if strings.Contains(string(a.body), invite.Code) {
		t.Error("the list shows a code")
	}
	list := decode[struct{ Invites []Invite }](a).Invites
	if len(list) != 2 || list[0].ID != long.ID || list[0].UsesLeft != 1000 || list[1].ID != invite.ID || list[1].CreatedBy != admin.User.ID {
		t.Errorf("the list is %+v", list)
	}

	for _, c := range []struct {
		method, path string
		body         any
	}{{"POST", "/invites", object{}}, {"GET", "/invites", nil}, {"DELETE", "/invites/" + invite.ID.String(), nil}} {
		if p := decode[problemBody](b.call(c.method, c.path, c.body, bearer(member.Token)).wants(403)); p.Code != "forbidden" {
			t.Errorf("%s: %+v", c.path, p)
		}
	}
	b.call("DELETE", "/invites/"+invite.ID.String(), nil, bearer(admin.Token)).wants(204)
	b.call("DELETE", "/invites/"+invite.ID.String(), nil, bearer(admin.Token)).wants(404)

	for _, bad := range []object{{"expires_in_s": 59}, {"expires_in_s": 2592001}, {"max_uses": 0}, {"max_uses": 1001}, {"max_uses": 1.5}, {"uses": 1}, {"max_uses": "1"}} {
		if p := decode[problemBody](b.call("POST", "/invites", bad, bearer(admin.Token)).wants(400)); len(p.Errors) == 0 {
			t.Errorf("%v: no field is named: %+v", bad, p)
		}
	}
}

// setupInvite puts a set-up token beside the invites, as a race could leave one.
func (b *bundle) setupInvite() {
	b.t.Helper()
	_, hash := newSecret(codeBytes)
	if err := b.q.insertSetupInvite(b.t.Context(), InviteID{7}, hash); err != nil {
		b.t.Fatal(err)
	}
}

func TestMembersInvite(t *testing.T) {
	t.Parallel()
	b := setup(t, membersToo)
	admin, ben, eve := b.person("admin", RoleAdmin), b.person("ben", RoleMember), b.person("eve", RoleMember)
	invite := decode[NewInvite](b.call("POST", "/invites", object{}, bearer(ben.Token)).wants(201))
	may := func(token string) bool {
		return decode[Profile](b.call("GET", "/me", nil, bearer(token)).wants(200)).MayInvite
	}
	for mode, want := range map[SignupMode]bool{"": true, SignupOpen: true, SignupClosed: false} {
		if b.cfg.Signup = mode; may(ben.Token) != want || may(admin.Token) != want {
			t.Errorf("%q: who may invite does not know it", mode)
		}
	}
	b.cfg.Signup, b.cfg.MembersInvite = "", false
	if may(ben.Token) || !may(admin.Token) {
		t.Error("who may not invite believes they may")
	}
	b.cfg.MembersInvite = true
	of := func(token string) int {
		return len(decode[struct{ Invites []Invite }](b.call("GET", "/invites", nil, bearer(token)).wants(200)).Invites)
	}
	if of(ben.Token) != 1 || of(eve.Token) != 0 || of(admin.Token) != 1 {
		t.Errorf("ben sees %d, eve %d, the admin %d", of(ben.Token), of(eve.Token), of(admin.Token))
	}
	b.call("DELETE", "/invites/"+invite.ID.String(), nil, bearer(eve.Token)).wants(404)
	b.call("DELETE", "/invites/"+invite.ID.String(), nil, bearer(ben.Token)).wants(204)
	f := form("late")
	f["invite"] = invite.Code
	b.call("POST", "/users", f).wants(403)

	b.exec(`INSERT INTO invites (id, code_hash, created_by, uses_left, expires_at)
		SELECT gen_random_uuid(), decode(lpad(n::text, 8, '0'), 'hex'), $1, 1, now() + interval '1 day' FROM generate_series(1, $2::int) n`,
		ben.User.ID, maxOpenInvites)
	b.call("POST", "/invites", object{}, bearer(ben.Token)).wants(409)
	b.call("POST", "/invites", object{}, bearer(eve.Token)).wants(201)
}

func TestInvitesWhereNobodySignsUp(t *testing.T) {
	t.Parallel()
	b := setup(t, closed)
	b.call("POST", "/invites", object{}, bearer(b.person("admin", RoleAdmin).Token)).wants(403)
}

// What the schema refuses, it refuses with the field's name and without what was sent.
func TestSignUpRefusesBadFields(t *testing.T) {
	t.Parallel()
	b := setup(t, open)
	const secret = "s3cret-horse-battery"
	with := func(field string, v any) object {
		f := form("anna")
		f["password"] = secret
		if v == nil {
			delete(f, field)
		} else {
			f[field] = v
		}
		return f
	}
	for _, c := range []struct {
		field string
		value any
	}{
		{"username", nil}, {"username", "a"}, {"username", strings.Repeat("a", 33)}, {"username", "an na"}, {"username", "änna"},
		{"username", "anna\n"}, {"username", "anna\u200b"}, {"username", "\u212aim"}, {"username", 5},
		{"display_name", nil}, {"display_name", ""}, {"display_name", "   "}, {"display_name", strings.Repeat("x", 65)},
		{"display_name", "a\nb"}, {"display_name", "a\x1bb"}, {"display_name", "evil\u202etxt"}, {"display_name", "\u200b\u200b"}, {"display_name", "a\u2028b"},
		{"password", nil}, {"password", secret[:7]}, {"password", strings.Repeat(secret, 13)}, {"password", []string{secret}}, {"password", object{"x": secret}},
		{"role", "admin"}, {secret, "an unknown field"},
	} {
		a := b.call("POST", "/users", with(c.field, c.value)).wants(400)
		p := decode[problemBody](a)
		named := slices.ContainsFunc(p.Errors, func(e struct {
			Location string `json:"location"`
			Message  string `json:"message"`
		}) bool {
			return strings.HasPrefix(e.Location, "body")
		})
		if p.Code != "invalid" || !named {
			t.Errorf("%s = %v: %s", c.field, c.value, a.body)
		}
		if c.field != secret && strings.Contains(string(a.body), secret[:7]) {
			t.Errorf("%s = %v: the answer shows the password: %s", c.field, c.value, a.body)
		}
	}
	for _, raw := range []string{"", "{", `{"username":`, `"` + secret, `{"password": "` + secret + `"`, "[]", "null", "\xff\xfe", `{"password": "` + secret + `\u0000"}`} {
		if a := b.call("POST", "/users", raw); a.status != http.StatusBadRequest || strings.Contains(string(a.body), secret) {
			t.Errorf("%q gives %d: %s", raw, a.status, a.body)
		}
	}
	if n := b.count(`SELECT count(*) FROM users`); n != 0 {
		t.Errorf("%d users were made", n)
	}
}
