package accounts

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/problem"
	"parley/web"
)

type identityKey struct{}

// Caller is who makes the request that ctx belongs to. It panics where there is nobody: in
// an operation marked web.MetaPublic, or one registered before Protect.
func Caller(ctx context.Context) Identity { return ctx.Value(identityKey{}).(Identity) }

// Protect makes every operation registered after it need a session, but those marked
// web.MetaPublic.
func (s *Service) Protect(api huma.API) {
	api.UseMiddleware(func(ctx huma.Context, next func(huma.Context)) {
		if ctx.Operation().Metadata[web.MetaPublic] == true {
			next(ctx)
			return
		}
		token, isCookie := s.token(ctx)
		who, err := s.Authenticate(ctx.Context(), token)
		if err != nil {
			status := problem.From(err).GetStatus()
			if status == http.StatusUnauthorized {
				ctx.SetHeader("WWW-Authenticate", "Bearer")
			}
			_ = huma.WriteErr(api, ctx, status, "the session could not be checked", err) // the client may be gone
			return
		}
		if who.byCookie = isCookie; isCookie {
			s.renewCookie(ctx, token, time.Now())
		}
		next(huma.WithValue(ctx, identityKey{}, who))
	})
}

// token is what the request proves itself with, and whether that is the cookie. A header
// counts before the cookie, also one that is no good: its sender does not mean the cookie.
func (s *Service) token(ctx huma.Context) (token string, isCookie bool) {
	if h := ctx.Header("Authorization"); h != "" {
		scheme, token, _ := strings.Cut(h, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return "", false
		}
		return strings.TrimSpace(token), false
	}
	for _, name := range s.CookieNames() {
		if c, err := huma.ReadCookie(ctx, name); err == nil {
			return c.Value, true
		}
	}
	return "", false
}

// CookieNames are those that a session cookie may have, the preferred name first. Where the
// public URL is https there is only one.
func (s *Service) CookieNames() []string {
	if s.cfg.SecureCookies {
		return []string{s.cookieName(true)}
	}
	return []string{s.cookieName(true), s.cookieName(false)}
}

// cookieName is the session cookie's. With a prefix, browsers take it only over https:
// __Host- also from this host alone and for all of it, which a path does not go with.
func (s *Service) cookieName(secure bool) string {
	switch {
	case !secure:
		return "parley"
	case s.cfg.BasePath != "":
		return "__Secure-parley"
	}
	return "__Host-parley"
}

// secure says whether cookies of the request's answer are for https.
func (s *Service) secure(ctx context.Context) bool {
	return s.cfg.SecureCookies || s.cfg.SecureRequest != nil && s.cfg.SecureRequest(ctx)
}

// cookieAge is the longest that browsers allow, in seconds: the server alone says when a
// session ends.
const cookieAge = 400 * 24 * 60 * 60

// cookieRenewal is how often the cookie's age begins anew while it is used.
const cookieRenewal = 24 * time.Hour

// renewCookie sets the session cookie again, once a day: else it would end 400 days after
// signing in, however often it is used. A second cookie says when that was, because browsers
// do not say how old a cookie is, and asking the database would cost a query.
func (s *Service) renewCookie(ctx huma.Context, token string, now time.Time) {
	name := s.cookieName(s.secure(ctx.Context())) + renewedSuffix
	if c, err := huma.ReadCookie(ctx, name); err == nil {
		at, err := strconv.ParseInt(c.Value, 10, 64)
		if age := now.Sub(time.Unix(at, 0)); err == nil && age >= 0 && age < cookieRenewal {
			return
		}
	}
	session := s.cookie(ctx.Context(), token)
	renewed := session
	renewed.Name, renewed.Value = name, strconv.FormatInt(now.Unix(), 10)
	ctx.AppendHeader("Set-Cookie", session.String())
	ctx.AppendHeader("Set-Cookie", renewed.String())
}

// renewedSuffix ends the name of the cookie that says when the session cookie was last set.
const renewedSuffix = "-renewed"

// cookie gives the session cookie.
func (s *Service) cookie(ctx context.Context, token string) http.Cookie {
	secure := s.secure(ctx)
	c := http.Cookie{
		Name: s.cookieName(secure), Value: token, Path: s.cfg.BasePath, MaxAge: cookieAge,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: secure,
	}
	if c.Path == "" {
		c.Path = "/"
	}
	return c
}

// expiredCookies delete the session cookie, under each name that it may have. A browser that is
// not on https cannot delete the one for https, and does not send it either.
func (s *Service) expiredCookies(ctx context.Context) []http.Cookie {
	var out []http.Cookie
	for _, name := range s.CookieNames() {
		c := s.cookie(ctx, "")
		c.Name, c.MaxAge = name, -1
		if name != s.cookieName(false) {
			c.Secure = true
		}
		out = append(out, c)
	}
	return out
}

// signInCookies are those of a new session, or of one whose password was changed: its own, if
// the token is new, and the one that makes the browser known.
func (s *Service) signInCookies(ctx context.Context, in SignedIn) []http.Cookie {
	session := s.cookie(ctx, in.Token)
	var cookies []http.Cookie
	if in.Token != "" {
		cookies = append(cookies, session)
	}
	if in.device != "" {
		session.Name, session.Value = deviceCookieName(session.Name, in.User.Username), in.device
		cookies = append(cookies, session)
	}
	return cookies
}
