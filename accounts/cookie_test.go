package accounts

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// cookiesOf gives what an answer sets, by name; the last of a name counts.
func cookiesOf(a answer) map[string]*http.Cookie {
	set := map[string]*http.Cookie{}
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		set[c.Name] = c
	}
	return set
}

func TestCookieRenewal(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.person("ann", RoleMember)
	in := b.signIn("ann")
	session := cookie(b.cookieName(true), in.Token)
	renewedAt := func(at time.Time) header { return cookie(b.cookieName(true)+renewedSuffix, fmt.Sprint(at.Unix())) }
	for name, c := range map[string]struct {
		headers []header
		renews  bool
	}{
		"a cookie that was never renewed":    {[]header{session}, true},
		"a cookie renewed two days ago":      {[]header{session, renewedAt(time.Now().Add(-48 * time.Hour))}, true},
		"a cookie renewed an hour ago":       {[]header{session, renewedAt(time.Now().Add(-time.Hour))}, false},
		"a cookie renewed in the future":     {[]header{session, renewedAt(time.Now().Add(48 * time.Hour))}, true},
		"a cookie renewed at no time":        {[]header{session, cookie(b.cookieName(true)+renewedSuffix, "yesterday")}, true},
		"a token in the header":              {[]header{bearer(in.Token)}, false},
		"a token in the header and a cookie": {[]header{bearer(in.Token), session}, false},
	} {
		t.Run(name, func(t *testing.T) {
			set := cookiesOf(b.call("GET", "/me", nil, c.headers...).wants(200))
			if !c.renews {
				if len(set) > 0 {
					t.Errorf("it sets %v", set)
				}
				return
			}
			got, when := set[b.cookieName(true)], set[b.cookieName(true)+renewedSuffix]
			want := b.cookie(t.Context(), in.Token)
			if got == nil || when == nil || got.Value != in.Token || got.MaxAge != cookieAge || got.Path != want.Path || !got.HttpOnly || !got.Secure || got.SameSite != want.SameSite {
				t.Fatalf("it sets %v", set)
			}
			// What was set is sent back: nothing is set again.
			if again := cookiesOf(b.call("GET", "/me", nil, cookie(got.Name, got.Value), cookie(when.Name, when.Value)).wants(200)); len(again) > 0 {
				t.Errorf("and then it sets %v", again)
			}
		})
	}
	t.Run("a cookie of no session", func(t *testing.T) {
		if set := cookiesOf(b.call("GET", "/me", nil, cookie(b.cookieName(true), "x")).wants(401)); len(set) > 0 {
			t.Errorf("it sets %v", set)
		}
	})
	t.Run("signing out ends it, also where it would be renewed", func(t *testing.T) {
		set := cookiesOf(b.call("DELETE", "/sessions/current", nil, session).wants(204))
		if c := set[b.cookieName(true)]; c == nil || c.MaxAge >= 0 || c.Value != "" {
			t.Errorf("it sets %v", set)
		}
	})
}
