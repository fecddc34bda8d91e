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
		if isCookie {
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
	if c, err := huma.ReadCookie(ctx, s.CookieName()); err == nil {
		return c.Value, true
	}
	return "", false
}

// CookieName is the session cookie's. With a prefix, browsers take it only over https:
// __Host- also from this host alone and for all of it, which a path does not go with.
func (s *Service) CookieName() string {
	switch {
	case !s.cfg.SecureCookies:
		return "parley"
	case s.cfg.BasePath != "":
		return "__Secure-parley"
	}
	return "__Host-parley"
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
	if c, err := huma.ReadCookie(ctx, s.renewedName()); err == nil {
		at, err := strconv.ParseInt(c.Value, 10, 64)
		if age := now.Sub(time.Unix(at, 0)); err == nil && age >= 0 && age < cookieRenewal {
			return
		}
	}
	session := s.cookie(token)
	renewed := session
	renewed.Name, renewed.Value = s.renewedName(), strconv.FormatInt(now.Unix(), 10)
	ctx.AppendHeader("Set-Cookie", session.String())
	ctx.AppendHeader("Set-Cookie", renewed.String())
}

// renewedName is that of the cookie that says when the session cookie was last set.
func (s *Service) renewedName() string { return s.CookieName() + "-renewed" }

// cookie gives the session cookie; with an empty token the one that deletes it.
func (s *Service) cookie(token string) http.Cookie {
	c := http.Cookie{
		Name: s.CookieName(), Value: token, Path: s.cfg.BasePath, MaxAge: cookieAge,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: s.cfg.SecureCookies,
	}
	if c.Path == "" {
		c.Path = "/"
	}
	if token == "" {
		c.MaxAge = -1
	}
	return c
}
