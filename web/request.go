package web

import (
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"net/netip"

	"github.com/go-chi/chi/v5/middleware"
)

// request is what identify found out about a request.
type request struct {
	server *Server
	id     string     // names the request in the log and in answers
	ip     netip.Addr // of the client, not of a trusted proxy
	scheme string     // as the client sees it
	// trusted says that the request came through a trusted proxy.
	trusted bool
	host    string // as the client sees it, with the port unless it is the scheme's own
}

type requestKey struct{}

func requestOf(ctx context.Context) *request {
	r, _ := ctx.Value(requestKey{}).(*request)
	return r
}

// ClientIP is the address of the client of the request that ctx belongs to: the one who
// connected, or, when that is a trusted proxy, the rightmost address in X-Forwarded-For
// that is not. The zero Addr outside of a request.
func ClientIP(ctx context.Context) netip.Addr {
	if r := requestOf(ctx); r != nil {
		return r.ip
	}
	return netip.Addr{}
}

// SecureRequest says whether the request that ctx belongs to came by https: to this server, or
// to a trusted proxy.
func SecureRequest(ctx context.Context) bool {
	r := requestOf(ctx)
	return r != nil && r.scheme == "https"
}

// identify finds out who asks and at which address, for everything behind it.
func (s *Server) identify(next http.Handler) http.Handler {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req := &request{server: s, id: rand.Text()[:16], trusted: s.proxies.trust(peer(r))}
		if req.ip = middleware.GetClientIPAddr(r.Context()); !req.ip.IsValid() {
			// Nobody but trusted proxies, or garbage, in the header: who connected it is.
			req.ip = peer(r)
		}
		req.scheme, req.host = s.proxies.target(r)
		if !req.trusted && forwarded(r.Header) {
			s.warnings.proxy(s.cfg.Logger, peer(r))
		}
		w.Header().Set("X-Request-Id", req.id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestKey{}, req)))
	})
	if len(s.proxies) == 0 {
		return h
	}
	return middleware.ClientIPFromXFF(s.proxies.strings()...)(h)
}

// proxies are the networks whose word about their clients is taken.
type proxies []netip.Prefix

func (p proxies) strings() []string {
	out := make([]string, len(p))
	for i, prefix := range p {
		out[i] = prefix.String()
	}
	return out
}

func (p proxies) trust(ip netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(ip.WithZone("")) {
			return true
		}
	}
	return false
}

// peer is the address at the other end of the connection.
func peer(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return ip.Unmap()
}
