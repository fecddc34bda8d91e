package web

import (
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/go-chi/chi/v5/middleware"
)

// request is what identify found out about a request.
type request struct {
	server *Server
	id     string     // names the request in the log and in answers
	ip     netip.Addr // of the client, not of a trusted proxy
	scheme string     // as the client sees it
	host   string     // as the client sees it, with the port unless it is the scheme's own
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

// PublicURL is the address people reach this server at, without a slash at the end: the
// configured base URL, or without one what the request of ctx was sent to. "" outside of
// a request when there is no base URL.
func (s *Server) PublicURL(ctx context.Context) string {
	if u := s.cfg.BaseURL; u != nil {
		return strings.ToLower(u.Scheme+"://"+u.Host) + s.base
	}
	if r := requestOf(ctx); r != nil && r.host != "" {
		return r.scheme + "://" + r.host
	}
	return ""
}

// OriginAllowed reports whether the request's Origin header is this server itself: exactly
// the base URL's scheme and host, or without a base URL the host the request was sent to.
// A request without the header, or with several, is not allowed.
func (s *Server) OriginAllowed(r *http.Request) bool {
	values := r.Header.Values("Origin")
	if len(values) != 1 {
		return false
	}
	o, err := url.Parse(values[0])
	if err != nil || (o.Scheme != "http" && o.Scheme != "https") || o.Host == "" ||
		values[0] != o.Scheme+"://"+o.Host { // nothing behind the host
		return false
	}
	origin := trimPort(o.Scheme, o.Host)
	if u := s.cfg.BaseURL; u != nil {
		return o.Scheme == u.Scheme && origin == trimPort(u.Scheme, u.Host)
	}
	_, host := s.proxies.target(r)
	return host != "" && origin == trimPort(o.Scheme, host)
}

// identify finds out who asks and at which address, for everything behind it.
func (s *Server) identify(next http.Handler) http.Handler {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req := &request{server: s, id: rand.Text()[:16]}
		if req.ip = middleware.GetClientIPAddr(r.Context()); !req.ip.IsValid() {
			// Nobody but trusted proxies, or garbage, in the header: who connected it is.
			req.ip = peer(r)
		}
		scheme, host := s.proxies.target(r)
		req.scheme, req.host = scheme, trimPort(scheme, host)
		if r.Header.Get("X-Forwarded-For") != "" && !s.proxies.trust(peer(r)) && !s.warned.Swap(true) {
			s.cfg.Logger.Warn("X-Forwarded-For from an address that is not a trusted proxy is ignored: if it is your proxy, all its clients count as one until it is trusted", "ip", peer(r))
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

// target is the scheme and host the client sent the request to. The host is "" unless it
// is made of a name or address and perhaps a port.
func (p proxies) target(r *http.Request) (scheme, host string) {
	scheme, host = "http", r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	if p.trust(peer(r)) {
		if v := firstOf(r.Header.Get("X-Forwarded-Proto")); v == "http" || v == "https" {
			scheme = v
		}
		if v := firstOf(r.Header.Get("X-Forwarded-Host")); v != "" {
			host = v
		}
	}
	if u, err := url.Parse(scheme + "://" + host); err != nil || u.Host != host || u.Hostname() == "" ||
		strings.ContainsAny(host, `;,"'<>%`) {
		return scheme, ""
	}
	return scheme, host
}

// firstOf is the first of values joined with commas, which proxies append to.
func firstOf(header string) string {
	v, _, _ := strings.Cut(header, ",")
	return strings.TrimSpace(v)
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

// trimPort is host in lower case without the scheme's own port, as browsers write it.
func trimPort(scheme, host string) string {
	host = strings.ToLower(host)
	if scheme == "https" {
		return strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":80")
}
