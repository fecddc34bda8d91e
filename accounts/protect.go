package accounts

import (
	"context"
	"net/http"
	"strings"

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
		who, err := s.Authenticate(ctx.Context(), s.token(ctx))
		if err != nil {
			status := problem.From(err).GetStatus()
			if status == http.StatusUnauthorized {
				ctx.SetHeader("WWW-Authenticate", "Bearer")
			}
			_ = huma.WriteErr(api, ctx, status, "the session could not be checked", err) // the client may be gone
			return
		}
		next(huma.WithValue(ctx, identityKey{}, who))
	})
}

// token is what the request proves itself with. A header counts before the cookie, also
// one that is no good: who sends it does not mean the cookie.
func (s *Service) token(ctx huma.Context) string {
	if h := ctx.Header("Authorization"); h != "" {
		scheme, token, _ := strings.Cut(h, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return ""
		}
		return strings.TrimSpace(token)
	}
	if c, err := huma.ReadCookie(ctx, s.CookieName()); err == nil {
		return c.Value
	}
	return ""
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
