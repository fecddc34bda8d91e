// Package web is the HTTP server of Parley: routing, the rules every request passes
// (who the client is, limits, cross-origin protection, security headers), errors as
// problem documents, the OpenAPI document with its page for people, the health checks,
// and the embedded user interface.
//
// It knows no feature: they register their operations on API, and main hands it what it
// needs to know of the rest.
package web

import (
	"context"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"

	"parley/failures"
)

// MetaPublic marks, in huma.Operation.Metadata with the value true, an operation that
// needs no session. All others do; package accounts enforces it.
const MetaPublic = "public"

// MetaPassword marks, in the same way, an operation that takes a password: over plain
// http from another machine the log warns of it.
const MetaPassword = "password"

// MaxBody is the limit of a request body in bytes, with an escape of JSON counted as its
// character.
const MaxBody = 64 << 10

// Config is what a Server needs to know.
type Config struct {
	// BaseURL is the public address, possibly with a path under which everything then
	// lives. Nil: taken from each request.
	BaseURL *url.URL
	// TrustedProxies are the addresses whose X-Forwarded-* headers count. None: nobody's.
	TrustedProxies []netip.Prefix
	// Logger gets failures, and at debug level every request. Required.
	Logger *slog.Logger
	// Version is the program's, for the OpenAPI document.
	Version string
	// Translate turns errors of other layers, such as the database's, into problems; nil
	// for none. What it leaves as it is becomes an internal error.
	Translate func(error) error
	// RateLimits limits the API for each client address.
	RateLimits bool
	// OnLimit, if set, is called for each request beyond that. It must not block.
	OnLimit func(context.Context)
	// Ready says whether requests can be served, within 2 s; nil: always.
	Ready func(context.Context) error
	// Degraded says in a sentence what is worse than it should be, "" if nothing is; nil: never.
	Degraded func() string
	// Failures counts panics of handlers.
	Failures *failures.Log
}

// Server answers HTTP requests. Register operations before serving.
type Server struct {
	cfg      Config
	base     string // path of the base URL without a slash at the end, "" for none
	proxies  proxies
	handler  http.Handler
	v1       chi.Router
	api      huma.API
	draining atomic.Bool
	ready    *readiness
	warnings warnings
}

// New makes a Server, or says what is wrong with the configuration.
func New(cfg Config) (*Server, error) {
	ui, err := embeddedUI()
	if err != nil {
		return nil, err
	}
	return newServer(cfg, ui)
}

func newServer(cfg Config, ui fs.FS) (*Server, error) {
	s := &Server{cfg: cfg, proxies: cfg.TrustedProxies, ready: newReadiness(cfg.Ready)}
	if cfg.BaseURL != nil {
		u, err := cleanBaseURL(cfg.BaseURL)
		if err != nil {
			return nil, err
		}
		s.cfg.BaseURL, s.base = u, u.Path
	}
	pages, err := newPages(ui, s.base)
	if err != nil {
		return nil, err
	}

	root := chi.NewRouter()
	root.Use(s.identify, s.secure, s.observe)
	s.routeHealth(root)
	site := chi.Router(root)
	if s.base != "" {
		site = chi.NewRouter()
		s.routeHealth(site)
		root.Get(s.base, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, s.base+"/", http.StatusPermanentRedirect)
		})
		root.Mount(s.base+"/", site)
	}
	site.Mount("/api", s.routeAPI())
	site.NotFound(pages.ServeHTTP)
	site.MethodNotAllowed(pages.ServeHTTP)
	s.handler = root
	return s, nil
}

// routeAPI builds everything below <base>/api.
func (s *Server) routeAPI() chi.Router {
	r := chi.NewRouter()
	r.Use(noStore, s.limitBody, s.limitRate, s.refuseBadText, s.refuseCrossOrigin)
	r.NotFound(s.notFound)
	r.MethodNotAllowed(s.methodNotAllowed(r))

	s.v1 = chi.NewRouter()
	s.api = humachi.New(s.v1, s.openAPI())
	s.api.UseMiddleware(s.warnOfPlainHTTP)
	r.Mount("/v1", s.v1)
	s.v1.MethodNotAllowed(s.methodNotAllowed(s.v1))

	d := &docs{api: s.api}
	r.Get("/openapi.json", s.serve("application/openapi+json", d.json))
	r.Get("/openapi.yaml", s.serve("application/openapi+yaml", d.yaml))
	r.Get("/docs", s.serve("text/html; charset=utf-8", d.page))
	r.Get("/docs.css", s.serve("text/css; charset=utf-8", d.style))
	return r
}

// API takes the operations; a path there is below <base>/api/v1.
func (s *Server) API() huma.API { return s.api }

// Handle serves op.Path below <base>/api/v1 with a plain handler, for what huma cannot
// express, and puts op into the OpenAPI document. Such a route is not protected by the
// API's middleware.
func (s *Server) Handle(op *huma.Operation, h http.Handler) {
	s.v1.Method(op.Method, op.Path, h)
	if !op.Hidden {
		s.api.OpenAPI().AddOperation(op)
	}
}

// Handler answers everything.
func (s *Server) Handler() http.Handler { return s.handler }

// HTTPServer is a server for Handler with time limits against slow clients. They end
// where a connection is hijacked: sockets have their own.
func (s *Server) HTTPServer() *http.Server {
	return &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
	}
}

// SetDraining makes /readyz answer 503 from now on, on connections that are open; new ones are
// refused a moment later.
func (s *Server) SetDraining() { s.draining.Store(true) }

// BasePath is the path of the base URL without a slash at the end; "" for none.
func (s *Server) BasePath() string { return s.base }

// Secure reports whether the base URL is https, so that cookies can be, too.
func (s *Server) Secure() bool { return s.cfg.BaseURL != nil && s.cfg.BaseURL.Scheme == "https" }
