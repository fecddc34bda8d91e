package accounts

import (
	"context"
	"net/http"
	"testing"
	"time"
)

func TestNewTokenWithANewPassword(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const next = "a wholly new pass phrase"
	ann := b.person("ann", RoleMember)
	id := b.who(ann.Token).SessionID
	a := b.call("PUT", "/me/password", object{"current": goodPassword, "new": next}, cookie(b.cookieName(true), ann.Token)).wants(204)
	set := cookiesOf(a)[b.cookieName(true)]
	if set == nil || set.Value == ann.Token {
		t.Fatalf("the cookie is %v", set)
	}
	t.Run("the old cookie is void", func(t *testing.T) {
		b := &bundle{b.Service, t, b.db, b.url, b.sockets}
		b.call("GET", "/me", nil, cookie(b.cookieName(true), ann.Token)).wants(401)
	})
	t.Run("the session goes on with the new one, and so do its sockets", func(t *testing.T) {
		b.call("GET", "/me", nil, cookie(set.Name, set.Value)).wants(200)
		if b.who(set.Value).SessionID != id || b.sockets.wasClosed(id) {
			t.Error("it is another session")
		}
	})
	t.Run("the browser is known with the new password", func(*testing.T) {
		b.failAs("ann", maxAccountFailures)
		b.call("POST", "/sessions", object{"username": "ann", "password": next}, known(a)).wants(201)
	})
	t.Run("a bearer token stays", func(t *testing.T) {
		ben := b.person("ben", RoleMember)
		a := b.call("PUT", "/me/password", object{"current": goodPassword, "new": next}, bearer(ben.Token)).wants(204)
		if cookiesOf(a)[b.cookieName(true)] != nil {
			t.Error("a cookie is set")
		}
		b.call("GET", "/me", nil, bearer(ben.Token)).wants(200)
	})
}

// Without a public URL, cookies are as the request is.
func TestCookiesOfTheRequest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.person("ann", RoleMember)
	b.cfg.SecureCookies = false
	https := false
	b.cfg.SecureRequest = func(context.Context) bool { return https }
	signIn := func() map[string]*http.Cookie {
		return cookiesOf(b.call("POST", "/sessions", object{"username": "ann", "password": goodPassword}).wants(201))
	}
	plain := signIn()
	https = true
	secure := signIn()
	if c := plain["parley"]; c == nil || c.Secure || len(plain) != 2 {
		t.Errorf("over http %v", plain)
	}
	if c := secure["__Host-parley"]; c == nil || !c.Secure || c.Path != "/" || c.Domain != "" || len(secure) != 2 {
		t.Errorf("over https %v", secure)
	}
	t.Run("either is taken, and the one for https is preferred", func(*testing.T) {
		p, s := cookie("parley", plain["parley"].Value), cookie("__Host-parley", secure["__Host-parley"].Value)
		b.call("GET", "/me", nil, p).wants(200)
		b.call("GET", "/me", nil, s).wants(200)
		b.call("GET", "/me", nil, cookie("parley", "planted by another host"), s).wants(200)
		b.call("GET", "/me", nil, cookie("__Host-parley", "x"), p).wants(401)
	})
	t.Run("signing out deletes both", func(t *testing.T) {
		set := cookiesOf(b.call("DELETE", "/sessions/current", nil, cookie("parley", plain["parley"].Value)).wants(204))
		for _, name := range []string{"parley", "__Host-parley"} {
			if c := set[name]; c == nil || c.MaxAge >= 0 || !c.Secure {
				t.Errorf("%s: %v", name, c)
			}
		}
	})
}

func TestSessionLifetime(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *Config) { c.SessionLifetime = 30 * 24 * time.Hour })
	ann := b.person("ann", RoleMember)
	life := func() time.Duration {
		s, err := b.Sessions(t.Context(), b.who(ann.Token))
		if err != nil || len(s) != 1 {
			t.Fatal(s, err)
		}
		return s[0].ExpiresAt.Sub(s[0].CreatedAt)
	}
	if got := life(); got != 30*24*time.Hour {
		t.Errorf("it begins with %v", got)
	}
	t.Run("is not prolonged by use", func(t *testing.T) {
		b.exec(`UPDATE sessions SET created_at = created_at - interval '29 days', last_used_at = now() - interval '2 hours', expires_at = now() + interval '1 hour'`)
		b.who(ann.Token)
		if err := b.writeUsed(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := life(); got != 30*24*time.Hour {
			t.Errorf("after use it is %v", got)
		}
	})
	t.Run("counts for sessions of before it was set", func(*testing.T) {
		b.exec(`UPDATE sessions SET created_at = now() - interval '31 days', expires_at = now() + interval '60 days'`)
		b.call("GET", "/me", nil, bearer(ann.Token)).wants(401)
	})
}

func TestSessionAddresses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.person("ann", RoleMember)
	b.exec(`DELETE FROM sessions`)
	ann := decode[SignedIn](b.try("ann", goodPassword, "192.0.2.1").wants(201))
	session := func() Session {
		b.call("GET", "/sessions", nil, bearer(ann.Token), from("192.0.2.2")).wants(200)
		if err := b.writeUsed(t.Context()); err != nil {
			t.Fatal(err)
		}
		return decode[struct{ Sessions []Session }](b.call("GET", "/sessions", nil, bearer(ann.Token), from("192.0.2.2")).wants(200)).Sessions[0]
	}
	if s := session(); s.Address != "192.0.2.1" || s.LastAddress != "192.0.2.1" {
		t.Errorf("at first %+v", s)
	}
	b.exec(`UPDATE sessions SET last_used_at = now() - interval '61 seconds'`)
	if s := session(); s.Address != "192.0.2.1" || s.LastAddress != "192.0.2.2" {
		t.Errorf("used elsewhere %+v", s)
	}
}

// A user who may not invite any more has no invite that works.
func TestInvitesOfUsersWhoMayNotInvite(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change string
		works  bool
	}{
		"a member":                      {`SELECT 1`, true},
		"a disabled member":             {`UPDATE users SET disabled_at = now() WHERE username = 'ben'`, false},
		"a member after the setting":    {``, false},
		"an admin after the setting":    {`UPDATE users SET role = 'admin' WHERE username = 'ben'`, true},
		"an admin disabled beside that": {`UPDATE users SET role = 'admin', disabled_at = now() WHERE username = 'ben'`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, membersToo)
			ben := b.person("ben", RoleMember)
			invite := decode[NewInvite](b.call("POST", "/invites", nil, bearer(ben.Token)).wants(201))
			// As a change that another version made, which left the invites.
			if c.change != "" {
				b.exec(c.change)
			}
			b.cfg.MembersInvite = name == "a member" || name == "a disabled member"
			f := form("carl")
			f["invite"] = invite.Code
			check := decode[struct{ Valid bool }](b.call("POST", "/invites/check", object{"invite": invite.Code}).wants(200)).Valid
			status := b.call("POST", "/users", f).status
			if check != c.works || (status == 201) != c.works {
				t.Errorf("it is said to be valid: %v; signing up gives %d", check, status)
			}
		})
	}
}

func TestNewSignInIsPublished(t *testing.T) {
	t.Parallel()
	type news struct {
		user UserID
		in   NewSignIn
	}
	heard := make(chan news, 10)
	b := setup(t, func(c *Config) { c.OnSignIn = func(u UserID, in NewSignIn) { heard <- news{u, in} } })
	ann, err := b.CreateUser(t.Context(), NewUser{Username: "ann", Password: goodPassword})
	if err != nil {
		t.Fatal(err)
	}
	b.try("ann", wrong, "192.0.2.1").wants(401)
	in := decode[SignedIn](b.try("ann", goodPassword, "192.0.2.1").wants(201))
	got := <-heard
	if got.user != ann.ID || got.in.ID != b.who(in.Token).SessionID || got.in.Address != "192.0.2.1" || len(heard) != 0 {
		t.Errorf("%+v", got)
	}
}
