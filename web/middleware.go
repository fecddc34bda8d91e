package web

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/go-chi/httprate"

	"parley/problem"
)

// Requests to the API that one client address may make in a window. A page of the user
// interface makes a handful; an office behind one address has dozens of people.
const (
	rateLimit  = 500
	rateWindow = 10 * time.Second
)

// secure sets the headers that tell browsers what must not be done with our answers.
func (s *Server) secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		req := requestOf(r.Context())
		scheme, host := req.scheme, req.host
		if u := s.cfg.BaseURL; u != nil {
			scheme, host = u.Scheme, u.Host
		}
		// Older browsers do not count the socket as 'self', so it is named.
		connect := "'self'"
		if host != "" {
			connect += " " + strings.Replace(scheme, "http", "ws", 1) + "://" + host
		}
		// base-uri: index.html carries a <base> of our own. trusted-types: what Svelte makes of
		// its own templates, and the address of the service worker.
		h.Set("Content-Security-Policy", "default-src 'self'; connect-src "+connect+
			"; worker-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"+
			"; require-trusted-types-for 'script'; trusted-types svelte-trusted-html parley-worker")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()")
		if scheme == "https" {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// observe turns a panic into an internal error and logs every request at debug level. The
// log names the route, not the path: ids and codes stay out of it. A middleware of chi's,
// which has routed once next returns.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		defer func() {
			if v := recover(); v != nil {
				s.recovered(ww, r, v)
			}
			if s.cfg.Logger.Enabled(r.Context(), slog.LevelDebug) {
				req, route := requestOf(r.Context()), chi.RouteContext(r.Context()).RoutePattern()
				s.cfg.Logger.Debug("request", "request_id", req.id, "method", method(r), "route", route,
					"status", ww.Status(), "bytes", ww.BytesWritten(), "ms", time.Since(start).Milliseconds(), "ip", req.ip)
			}
		}()
		next.ServeHTTP(ww, r)
	})
}

// recovered answers after a handler panicked with v. What has begun as another answer can
// only be broken off.
func (s *Server) recovered(w middleware.WrapResponseWriter, r *http.Request, v any) {
	err, isError := v.(error)
	var network *net.OpError
	switch begun := w.Status() != 0; {
	case isError && errors.Is(err, http.ErrAbortHandler):
		panic(v)
	case begun && errors.As(err, &network): // huma's way to say that the client is gone
		panic(http.ErrAbortHandler)
	case begun:
		_ = s.settle(r.Context(), problem.From(s.cfg.Failures.Panicked("HTTP", v))) // only for the log
		panic(http.ErrAbortHandler)
	default:
		s.fail(w, r, s.cfg.Failures.Panicked("HTTP", v))
	}
}

func noStore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

func (s *Server) limitRate(next http.Handler) http.Handler {
	if !s.cfg.RateLimits {
		return next
	}
	refusal := problem.New(problem.RateLimited, "Too many requests from your address; wait a moment.")
	refusal.RetryAfter = rateWindow
	return httprate.LimitBy(rateLimit, rateWindow,
		func(r *http.Request) (string, error) {
			return httprate.CanonicalizeIP(ClientIP(r.Context()).String()), nil
		},
		httprate.WithResponseHeaders(httprate.ResponseHeaders{}),
		httprate.WithLimitHandler(func(w http.ResponseWriter, r *http.Request) {
			if s.cfg.OnLimit != nil {
				s.cfg.OnLimit(r.Context())
			}
			s.fail(w, r, refusal)
		}),
	)(next)
}

// refuseBadText refuses what the database cannot hold as text before it gets anywhere.
func (s *Server) refuseBadText(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !goodText(r.URL.Path) {
			s.fail(w, r, problem.New(problem.Invalid, "The path is not valid text."))
			return
		}
		query, err := url.ParseQuery(r.URL.RawQuery)
		for name, values := range query {
			if !goodText(name) || !goodText(strings.Join(values, "")) {
				err = errBadQuery
			}
		}
		if err != nil {
			s.fail(w, r, errBadQuery.Because(err))
			return
		}
		next.ServeHTTP(w, r)
	})
}

var errBadQuery = problem.New(problem.Invalid, "The query is not valid text.")

func goodText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	s.fail(w, r, problem.New(problem.NotFound, "There is nothing at this address."))
}

func (s *Server) methodNotAllowed(routes chi.Routes) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.Path
		if rctx := chi.RouteContext(r.Context()); rctx != nil && rctx.RoutePath != "" {
			path = rctx.RoutePath
		}
		for _, m := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
			if routes.Match(chi.NewRouteContext(), m, path) {
				w.Header().Add("Allow", m)
			}
		}
		refusal := problem.New(problem.Invalid, "This address does not take the method "+method(r)+".")
		writeStatus(w, refusal, http.StatusMethodNotAllowed)
	}
}

// method is the request's method, unless somebody made one up.
func method(r *http.Request) string {
	if len(r.Method) > 16 {
		return "given"
	}
	return r.Method
}
