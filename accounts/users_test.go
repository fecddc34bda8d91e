package accounts

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"parley/problem"
)

func TestMe(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann := b.person("ann", RoleMember)
	me := decode[User](b.call("GET", "/me", nil, bearer(ann.Token)).wants(200))
	if me != ann.User {
		t.Errorf("I am %+v, want %+v", me, ann.User)
	}
	// Trimmed, and composed: an e with an accent is one character.
	me = decode[User](b.call("PATCH", "/me", object{"display_name": "  Zoe\u0301 👩\u200d🚀 "}, bearer(ann.Token)).wants(200))
	if me.DisplayName != "Zoé 👩\u200d🚀" || me.ID != ann.User.ID {
		t.Errorf("renamed to %+v", me)
	}
	for _, bad := range []object{{"display_name": " "}, {"display_name": strings.Repeat("x", 65)}, {"display_name": "a\tb"}, {}, {"role": "admin"}, {"display_name": nil}} {
		p := decode[problemBody](b.call("PATCH", "/me", bad, bearer(ann.Token)).wants(400))
		if p.Code != "invalid" || len(p.Errors) == 0 {
			t.Errorf("%v: %+v", bad, p)
		}
	}
	b.call("PATCH", "/me", object{"display_name": strings.Repeat("👩", 64)}, bearer(ann.Token)).wants(200)
	if got := decode[User](b.call("GET", "/users/"+ann.User.ID.String(), nil, bearer(ann.Token)).wants(200)); got.DisplayName != strings.Repeat("👩", 64) {
		t.Errorf("others see %+v", got)
	}
	b.call("GET", "/users/01970000-0000-7000-8000-000000000000", nil, bearer(ann.Token)).wants(404)
	b.call("GET", "/users/nonsense", nil, bearer(ann.Token)).wants(400)
}

// What others get to know is told at first, is turned off and on alone, and is one's own
// business.
func TestWhatOthersKnow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben := b.person("ann", RoleMember), b.person("ben", RoleMember)
	for _, step := range []struct {
		change                     object
		readReceipts, showLastSeen bool
	}{
		{nil, true, true},
		{object{"read_receipts": false}, false, true},
		{object{"show_last_seen": false}, false, false},
		{object{"display_name": "Ann"}, false, false},
		{object{"read_receipts": true, "show_last_seen": true}, true, true},
	} {
		if step.change != nil {
			changed := decode[Profile](b.call("PATCH", "/me", step.change, bearer(ann.Token)).wants(200))
			if changed.ReadReceipts != step.readReceipts || changed.ShowLastSeen != step.showLastSeen {
				t.Errorf("%v makes it %+v", step.change, changed)
			}
		}
		me := decode[Profile](b.call("GET", "/me", nil, bearer(ann.Token)).wants(200))
		if me.ReadReceipts != step.readReceipts || me.ShowLastSeen != step.showLastSeen {
			t.Errorf("after %v it is %+v", step.change, me)
		}
	}
	b.call("PATCH", "/me", object{"read_receipts": false, "show_last_seen": false}, bearer(ann.Token)).wants(200)
	if me := decode[Profile](b.call("GET", "/me", nil, bearer(ben.Token)).wants(200)); !me.ReadReceipts || !me.ShowLastSeen {
		t.Errorf("somebody else's is %+v", me)
	}
	if a := b.call("GET", "/users/"+ann.User.ID.String(), nil, bearer(ben.Token)).wants(200); strings.Contains(string(a.body), "read_receipts") {
		t.Errorf("others see %s", a.body)
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann := b.person("ann", RoleMember)
	for username, name := range map[string]string{
		"anna.lind": "Anna Lind", "annabel": "Bel", "j_doe-2": "John O'Doe", "zoe": "Zoé Ångström", "m.x": "Müller, Max (max@example.com)",
		"yamada": "山田 太郎", "ivan": "Иван Петров", "gone": "Anna Gone", "bold": "<b>Bold</b> & Brave", "num": "R2D2 1e5 3.14",
	} {
		if _, err := b.CreateUser(t.Context(), NewUser{Username: username, DisplayName: name, Password: goodPassword}); err != nil {
			t.Fatal(err)
		}
	}
	b.exec(`UPDATE users SET disabled_at = now() WHERE username = 'gone'`)
	for query, want := range map[string]string{
		"ann": "ann anna.lind annabel", "ANN": "ann anna.lind annabel", "anna": "anna.lind annabel", "lind": "anna.lind", "li an": "anna.lind",
		"anna.l": "anna.lind", "anna.lind": "anna.lind", "anna.": "anna.lind annabel", "nna": "", "gone": "",
		"doe": "j_doe-2", "j_doe-2": "j_doe-2", "2": "j_doe-2", "o'd": "j_doe-2", "john o’doe": "j_doe-2",
		"zoé": "zoe", "Zoe\u0301": "zoe", "ång": "zoe", "angstrom": "zoe", "müll": "m.x", "mull": "m.x", "MÜLLER": "m.x", "example": "m.x", "max@example.com": "m.x",
		"山": "yamada", "太郎": "yamada", "郎": "yamada", "иван": "ivan", "ПЕТР": "ivan", "bold": "bold", "brave": "bold",
		"r2": "num", "1e5": "num", "14": "num",
		// Whatever somebody types is words, or nothing.
		"'": "", "''": "", `\`: "", "ann'": "ann anna.lind annabel", "ann:*": "ann anna.lind annabel", "ann & !lind": "anna.lind",
		"a:b:c": "", "!": "", "()": "", "ann | zoe": "", "ann <-> lind": "anna.lind", "<2>": "j_doe-2", "' OR true --": "", "%": "", "_": "",
		"\u200b": "", "👩": "", `ann\'`: "ann anna.lind annabel", "$1": "num", ":*": "", "ann:A": "ann anna.lind annabel", "\u0301": "",
		strings.Repeat("a ", 50): "ann anna.lind annabel zoe",
	} {
		t.Run(query, func(t *testing.T) {
			list := decode[struct{ Users []User }](b.call("GET", "/users?query="+url.QueryEscape(query), nil, bearer(ann.Token)).wants(200)).Users
			if list == nil {
				t.Error("null, not a list")
			}
			var got []string
			for _, u := range list {
				got = append(got, u.Username)
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%q finds %q, want %q", query, got, want)
			}
		})
	}

	all := decode[struct{ Users []User }](b.call("GET", "/users", nil, bearer(ann.Token)).wants(200)).Users
	if len(all) != 10 || all[0].Username != "ann" || slices.ContainsFunc(all, func(u User) bool { return u.Username == "gone" }) {
		t.Errorf("without a query: %+v", all)
	}
	if few := decode[struct{ Users []User }](b.call("GET", "/users?limit=2&query=a", nil, bearer(ann.Token)).wants(200)).Users; len(few) != 2 {
		t.Errorf("limit 2 gives %d", len(few))
	}
	for _, bad := range []string{"limit=0", "limit=101", "limit=x", "limit=-1", "query=" + strings.Repeat("x", 101), "query=%00", "query=%ff"} {
		b.call("GET", "/users?"+bad, nil, bearer(ann.Token)).wants(400)
	}
	// Who is called exactly that comes first.
	if got := decode[struct{ Users []User }](b.call("GET", "/users?query=annabel&limit=1", nil, bearer(ann.Token)).wants(200)).Users; got[0].Username != "annabel" {
		t.Errorf("first is %+v", got[0])
	}
}

func TestChangeUser(t *testing.T) {
	t.Parallel()
	b := setup(t)
	admin, ben := b.person("admin", RoleAdmin), b.person("ben", RoleMember)
	benPath, adminPath := "/users/"+ben.User.ID.String(), "/users/"+admin.User.ID.String()
	change := func(path string, c object, as SignedIn) answer {
		t.Helper()
		return b.call("PATCH", path, c, bearer(as.Token))
	}

	// Not for members, not on themselves either.
	for _, path := range []string{benPath, adminPath} {
		change(path, object{"role": "admin"}, ben).wants(403)
		change(path, object{"disabled": true}, ben).wants(403)
	}
	for _, bad := range []object{{"role": "owner"}, {"role": ""}, {"disabled": "yes"}, {"username": "x"}} {
		change(benPath, bad, admin).wants(400)
	}
	change("/users/01970000-0000-7000-8000-000000000000", object{"disabled": true}, admin).wants(404)

	// The last admin.
	for _, c := range []object{{"disabled": true}, {"role": "member"}, {"disabled": true, "role": "admin"}} {
		if p := decode[problemBody](change(adminPath, c, admin).wants(409)); p.Code != "conflict" {
			t.Errorf("%v: %+v", c, p)
		}
	}
	b.call("GET", "/me", nil, bearer(admin.Token)).wants(200)
	change(adminPath, object{"role": "admin", "disabled": false}, admin).wants(200)
	if u := decode[User](change(benPath, object{}, admin).wants(200)); u != ben.User {
		t.Errorf("nothing asked for changes %+v", u)
	}

	if u := decode[User](change(benPath, object{"role": "admin"}, admin).wants(200)); u.Role != RoleAdmin || u.Disabled {
		t.Errorf("promoted: %+v", u)
	}
	// Counts at once, in the session that is open.
	invite := decode[NewInvite](b.call("POST", "/invites", object{}, bearer(ben.Token)).wants(201))
	change(adminPath, object{"role": "member"}, ben).wants(200)
	b.call("POST", "/invites", object{}, bearer(admin.Token)).wants(403)
	change(adminPath, object{"role": "admin"}, ben).wants(200)

	// Demoted: the invite is gone with the role.
	change(benPath, object{"role": "member"}, admin).wants(200)
	f := form("late")
	f["invite"] = invite.Code
	b.call("POST", "/users", f).wants(403)

	benID := b.who(ben.Token).SessionID
	if u := decode[User](change(benPath, object{"disabled": true}, admin).wants(200)); !u.Disabled {
		t.Errorf("disabled: %+v", u)
	}
	if !b.sockets.wasClosed(benID) {
		t.Error("a disabled user's sockets stay")
	}
	b.call("GET", "/me", nil, bearer(ben.Token)).wants(401)
	b.call("POST", "/sessions", object{"username": "ben", "password": goodPassword}).wants(401)
	if u := decode[User](b.call("GET", benPath, nil, bearer(admin.Token)).wants(200)); !u.Disabled {
		t.Errorf("others see %+v", u)
	}
	change(benPath, object{"disabled": true}, admin).wants(200)
	change(benPath, object{"disabled": false}, admin).wants(200)
	b.call("GET", "/me", nil, bearer(ben.Token)).wants(401) // the old session is over
	b.signIn("ben")

	// Disabled by whatever way, a session is worth nothing.
	eve := b.person("eve", RoleMember)
	b.exec(`UPDATE users SET disabled_at = now() WHERE username = 'eve'`)
	b.call("GET", "/me", nil, bearer(eve.Token)).wants(401)

	// A disabled admin is no admin to count on.
	b.person("sleeper", RoleAdmin)
	b.exec(`UPDATE users SET disabled_at = now() WHERE username = 'sleeper'`)
	change(adminPath, object{"disabled": true}, admin).wants(409)
}

// A request that began as an admin's is none any more once they are demoted or disabled.
func TestChangesNeedAnAdminStill(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.person("root", RoleAdmin)
	ben := b.person("ben", RoleMember).User.ID
	yes, role := true, RoleAdmin
	for name, sql := range map[string]string{
		"demoted":  `UPDATE users SET role = 'member' WHERE id = $1`,
		"disabled": `UPDATE users SET disabled_at = now() WHERE id = $1`,
	} {
		was := b.who(b.person(name, RoleAdmin).Token)
		b.exec(sql, was.UserID)
		for _, c := range []Change{{Disabled: &yes}, {Role: &role}} {
			if _, err := b.ChangeUser(t.Context(), was, ben, c); err == nil {
				t.Errorf("%s: %+v went through", name, c)
			}
		}
		if _, err := b.Invite(t.Context(), was, 0, 0); err == nil {
			t.Errorf("%s: invited somebody", name)
		}
	}
	if u, err := b.User(t.Context(), ben); err != nil || u.Disabled || u.Role != RoleMember {
		t.Errorf("%+v, %v", u, err)
	}
}

// Who loses the role at this moment has no invite after it.
func TestInviteWaitsForTheLossOfTheRole(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.person("root", RoleAdmin)
	was := b.who(b.person("was", RoleAdmin).Token)
	tx, err := b.db.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	role := RoleMember
	if _, _, err := (queries{tx}).updateUser(t.Context(), was.UserID, was, Change{Role: &role}); err != nil {
		t.Fatal(err)
	}
	if err := (queries{tx}).deleteInvitesOf(t.Context(), was.UserID); err != nil {
		t.Fatal(err)
	}
	invited := make(chan error, 1)
	go func() {
		_, err := b.Invite(context.Background(), was, 0, 0)
		invited <- err
	}()
	b.eventually("the invite waits for the change, or is made", func() bool {
		return len(invited) > 0 || b.count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) > 0
	})
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-invited; err == nil || b.count(`SELECT count(*) FROM invites`) != 0 {
		t.Errorf("an invite is left: %v", err)
	}
}

// Two admins who disable each other, or themselves, at the same time: one stays.
func TestLastAdminRace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for round := range 5 {
		var admins [3]SignedIn
		for i := range admins {
			admins[i] = b.person(fmt.Sprint("admin", round, "-", i), RoleAdmin)
		}
		b.exec(`UPDATE users SET disabled_at = now() WHERE role = 'admin' AND NOT id = ANY ($1)`,
			[]UserID{admins[0].User.ID, admins[1].User.ID, admins[2].User.ID})
		var done atomic.Int32
		together(6, func(i int) {
			victim := admins[(i+1+i/3)%3]
			what := object{"disabled": true}
			if i%2 == 0 {
				what = object{"role": "member"}
			}
			switch a := b.call("PATCH", "/users/"+victim.User.ID.String(), what, bearer(admins[i%3].Token)); a.status {
			case 200:
				done.Add(1)
			case 401, 403, 404, 409: // disabled, demoted, or the last one
			default:
				t.Errorf("status %d: %s", a.status, a.body)
			}
		})
		if n := b.count(selectEnabled); n < 1 || done.Load() < 1 {
			t.Fatalf("%d admins are left after %d changes", n, done.Load())
		}
	}
}

const selectEnabled = `SELECT count(*) FROM users WHERE role = 'admin' AND disabled_at IS NULL`

func TestOperatorCreatesAndLists(t *testing.T) {
	t.Parallel()
	b := setup(t, closed) // whatever the mode
	cli := New(Config{DB: b.db})
	token := b.setupToken()
	ann, err := cli.CreateUser(t.Context(), NewUser{Username: "Ann", Password: goodPassword})
	if err != nil || ann.Username != "ann" || ann.DisplayName != "Ann" || ann.Role != RoleMember {
		t.Fatalf("%+v, %v", ann, err)
	}
	if _, needed, err := cli.SetupLink(t.Context()); !needed || err != nil {
		t.Errorf("a member closes the set-up: %v, %v", needed, err)
	}
	if _, err := cli.CreateUser(t.Context(), NewUser{Username: "root", DisplayName: "Root", Password: NewPassword(), Role: RoleAdmin}); err != nil {
		t.Fatal(err)
	}
	set := form("late")
	set["token"] = token
	b.call("POST", "/setup", set).wants(409)
	for _, c := range []struct {
		n    NewUser
		code problem.Code
	}{
		{NewUser{Username: "ANN", Password: goodPassword}, problem.Conflict},
		{NewUser{Username: "a b", Password: goodPassword}, problem.Invalid},
		{NewUser{Username: "ben", Password: "short"}, problem.Invalid},
		{NewUser{Username: "ben", Password: goodPassword, Role: "owner"}, problem.Invalid},
		{NewUser{Username: "ben", Password: goodPassword, DisplayName: "\x07"}, problem.Invalid},
	} {
		if _, err := cli.CreateUser(t.Context(), c.n); problem.From(err).Code != c.code {
			t.Errorf("%+v: %v", c.n, err)
		}
	}
	b.exec(`UPDATE users SET disabled_at = now() WHERE username = 'ann'`)
	list, err := cli.ListUsers(t.Context())
	if err != nil || len(list) != 2 || list[0].ID != ann.ID || !list[0].Disabled || list[0].CreatedAt.IsZero() || list[1].Username != "root" || list[1].Disabled {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestPasswordRules(t *testing.T) {
	t.Parallel()
	b := setup(t, open)
	for i, c := range []struct {
		password string
		ok       bool
	}{
		{"1234567", false},
		{"4x2 = 8!", true},
		{"éééééééé", true}, // characters, not bytes
		{"𝄞𝄞𝄞𝄞", false},    // 16 bytes
		{"        ", true}, // silly, but a password
		{"a\tb\nc\x1bd", false},
		{"a\tb\nc\x1bde", true},
		{strings.Repeat("𝄞", 256), true},
		{strings.Repeat("x", 257), false},
	} {
		f := form(fmt.Sprint("user", i))
		f["password"] = c.password
		a := b.call("POST", "/users", f)
		if (a.status == 201) != c.ok {
			t.Errorf("%q: %s", c.password, a.body)
		}
		if c.ok {
			b.call("POST", "/sessions", object{"username": f["username"], "password": c.password}).wants(201)
		}
		if err := checkPassword("password", c.password); (err == nil) != c.ok {
			t.Errorf("%q on the command line: %v", c.password, err)
		}
	}
	if err := checkPassword("password", "\xff\xff\xff\xff\xff\xff\xff\xff"); err == nil {
		t.Error("what is not text passes")
	}
	// One keyboard sends é as one character, another as two.
	f := form("zoe")
	f["password"] = "caf\u00e9 caf\u00e9"
	b.call("POST", "/users", f).wants(201)
	b.call("POST", "/sessions", object{"username": "zoe", "password": "cafe\u0301 cafe\u0301"}).wants(201)
	b.call("POST", "/sessions", object{"username": "zoe", "password": "cafe cafe"}).wants(401)
}

func TestUnreadableHashIsNoEntry(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.person("ann", RoleMember)
	for _, hash := range []string{"", goodPassword, "$argon2id$v=19$m=4294967295,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA"} {
		b.exec(`UPDATE users SET password_hash = $1`, hash)
		_, err := b.SignIn(t.Context(), "ann", goodPassword, "")
		if !errors.Is(err, errHashForm) || problem.From(err).Code != problem.Internal {
			t.Errorf("%q: %v", hash, err)
		}
	}
}
