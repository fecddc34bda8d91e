package web

import (
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/danielgtaylor/huma/v2"
)

// warnings are what operators are told about how requests arrive: each thing once, so that
// no client can fill the log.
type warnings struct {
	plain atomic.Bool // of a password over plain http

	mu     sync.Mutex
	ranges map[netip.Prefix]bool // of proxies that are not trusted
}

// maxProxyWarnings bounds the ranges of addresses that are warned of.
const maxProxyWarnings = 16

var forwardedHeaders = []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"}

// forwarded reports whether a request has a header that counts from a trusted proxy.
func forwarded(h http.Header) bool {
	for _, name := range forwardedHeaders {
		if len(h[name]) > 0 {
			return true
		}
	}
	return false
}

// proxy warns, once for each range of addresses, that headers from there are ignored.
func (w *warnings) proxy(logger *slog.Logger, ip netip.Addr) {
	bits := 24
	if ip.Is6() {
		bits = 64
	}
	network, err := ip.WithZone("").Prefix(bits)
	if err != nil {
		return // no address
	}
	w.mu.Lock()
	known := w.ranges[network] || len(w.ranges) >= maxProxyWarnings
	if !known {
		if w.ranges == nil {
			w.ranges = map[netip.Prefix]bool{}
		}
		w.ranges[network] = true
	}
	w.mu.Unlock()
	if !known {
		logger.Warn("X-Forwarded-* headers are ignored, because they come from an address that is not a trusted proxy: "+
			"if your proxy has this address, name it in PARLEY_TRUSTED_PROXIES; until then all its clients count as one, and https is not noticed", "ip", ip)
	}
}

// warnOfPlainHTTP warns once when a password comes over plain http from another machine.
func (s *Server) warnOfPlainHTTP(ctx huma.Context, next func(huma.Context)) {
	if password, _ := ctx.Operation().Metadata[MetaPassword].(bool); password && !s.warnings.plain.Load() {
		if req := requestOf(ctx.Context()); req != nil && !s.private(req) && !s.warnings.plain.Swap(true) {
			s.cfg.Logger.Warn("a password was sent over plain http, so everyone on the way can read it and the session: "+
				"put a proxy with TLS before Parley that sends X-Forwarded-Proto, name it in PARLEY_TRUSTED_PROXIES, "+
				"and let Parley listen only where the proxy reaches it (PARLEY_LISTEN=127.0.0.1:8080)", "ip", req.ip)
		}
	}
	next(ctx)
}

// private reports whether a request was readable only by its client, this machine and a
// trusted proxy. A proxy may leave out that the client's side is https where the base URL
// says so.
func (s *Server) private(r *request) bool {
	return r.scheme == "https" || r.ip.IsLoopback() || r.trusted && s.Secure()
}
