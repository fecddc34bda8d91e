package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/net/idna"

	"parley/problem"
	parleytext "parley/text"
)

var (
	basePath   = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)*$`)
	domain     = regexp.MustCompile(`^[a-z0-9_-]+(\.[a-z0-9_-]+)*$`)
	longLabel  = regexp.MustCompile(`[^.]{64}`)
	edgeHyphen = regexp.MustCompile(`(^|\.)-|-(\.|$)`)
	endsNumber = regexp.MustCompile(`(^|\.)([0-9]+|0x[0-9a-f]*)$`)
)

// names makes of international names what browsers make of them (UTS 46).
var names = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false), idna.BidiRule())

// ParseBaseURL reads a base URL. Its host is as browsers write it, and its path has no slash
// at the end.
func ParseBaseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("base URL: not a URL") // the error quotes it, perhaps with a password
	}
	return cleanBaseURL(u)
}

func cleanBaseURL(u *url.URL) (*url.URL, error) {
	path := strings.TrimRight(u.Path, "/")
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("base URL %q: must begin with http:// or https://", u.Redacted())
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("base URL %q: must be a host and perhaps a path, nothing else", u.Redacted())
	case !basePath.MatchString(path) || strings.Contains(path+"/", "/../") || strings.Contains(path+"/", "/./"):
		return nil, fmt.Errorf("base URL %q: the path may hold only letters, digits and . _ ~ -", u.Redacted())
	}
	host, ok := cleanHost(u.Scheme, u.Host)
	if !ok {
		return nil, fmt.Errorf("base URL %q: the host is neither a name nor an IP address, perhaps with a port", u.Redacted())
	}
	// Browsers read such names, but none can be registered: it is a slip of the operator's.
	switch name := (&url.URL{Host: host}).Hostname(); {
	case strings.ContainsFunc(u.Hostname(), isUnseen):
		return nil, fmt.Errorf("base URL %q: the host contains an invisible character; type it anew", u.Redacted())
	case longLabel.MatchString(name):
		return nil, fmt.Errorf("base URL %q: a part of the host's name is longer than 63 characters", u.Redacted())
	case edgeHyphen.MatchString(name):
		return nil, fmt.Errorf("base URL %q: a part of the host's name begins or ends with a hyphen", u.Redacted())
	}
	return &url.URL{Scheme: u.Scheme, Host: host, Path: path}, nil
}

// isUnseen says whether browsers leave a character of a host out. Joiners stay in some scripts.
func isUnseen(r rune) bool {
	switch {
	case r < 0x80, r == '\u200c', r == '\u200d':
		return false
	case unicode.IsMark(r):
		return unicode.In(r, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
	}
	return !parleytext.Visible(string(r))
}

// cleanHost is a host as browsers write it in an origin: in lower case, international names
// as xn--, addresses in their one form, without the scheme's own port. A dot at the end is
// left out, too: it is the same host.
func cleanHost(scheme, host string) (string, bool) {
	u, err := url.Parse(scheme + "://" + host)
	if err != nil || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", false
	}
	port, ok := cleanPort(scheme, u.Port())
	if !ok {
		return "", false
	}
	name := strings.ToLower(u.Hostname())
	if strings.HasPrefix(u.Host, "[") {
		ip, err := netip.ParseAddr(name)
		switch {
		case err != nil || !ip.Is6() || ip.Zone() != "":
			return "", false
		case ip.Is4In6():
			b := ip.As16()
			return fmt.Sprintf("[::ffff:%x:%x]", int(b[12])<<8|int(b[13]), int(b[14])<<8|int(b[15])) + port, true
		}
		return "[" + ip.String() + "]" + port, true
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r >= 0x80 }) || strings.Contains(name, "xn--") {
		if name, err = names.ToASCII(name); err != nil {
			return "", false
		}
	}
	name = strings.TrimSuffix(name, ".")
	if endsNumber.MatchString(name) { // browsers take it for an address, in whatever form
		ip, err := netip.ParseAddr(name)
		return name + port, err == nil && ip.Is4()
	}
	return name + port, domain.MatchString(name) && len(name) <= 253
}

// cleanPort is a port with its colon, or nothing for the scheme's own.
func cleanPort(scheme, port string) (string, bool) {
	if port == "" {
		return "", true
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", false
	}
	if scheme == "https" && n == 443 || scheme == "http" && n == 80 {
		return "", true
	}
	return ":" + strconv.FormatUint(n, 10), true
}

// target is the scheme and host the client sent the request to, as browsers write them. The
// host is "" unless it is one.
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
	host, _ = cleanHost(scheme, host)
	return scheme, host
}

// PublicURL is the address people reach this server at, without a slash at the end: the
// configured base URL, or without one what the request of ctx was sent to. "" outside of
// a request when there is no base URL.
func (s *Server) PublicURL(ctx context.Context) string {
	if u := s.cfg.BaseURL; u != nil {
		return u.Scheme + "://" + u.Host + s.base
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
	scheme, host, ok := strings.Cut(values[0], "://")
	if !ok || scheme != "http" && scheme != "https" || strings.ContainsAny(host, "/?#") {
		return false
	}
	origin, ok := cleanHost(scheme, host)
	if !ok {
		return false
	}
	if u := s.cfg.BaseURL; u != nil {
		return scheme == u.Scheme && origin == u.Host
	}
	// By the scheme of the origin: the proxy that does TLS may not say so.
	own := r.Host
	if v := firstOf(r.Header.Get("X-Forwarded-Host")); v != "" && s.proxies.trust(peer(r)) {
		own = v
	}
	own, ok = cleanHost(scheme, own)
	return ok && origin == own
}

// refuseCrossOrigin keeps other sites from using a browser's cookie. What is this server's
// own page is decided as for the socket, by OriginAllowed. Requests without anything of a
// browser, such as a bot's, pass.
func (s *Server) refuseCrossOrigin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.sameOrigin(r) {
			s.fail(w, r, errCrossOrigin)
			return
		}
		next.ServeHTTP(w, r)
	})
}

var errCrossOrigin = problem.New(problem.Forbidden, "This page is not at the server's public address. Open that one.")

func (s *Server) sameOrigin(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return true // they change nothing, and browsers keep the answers from other sites
	}
	site := r.Header.Get("Sec-Fetch-Site")
	own := site == "same-origin" || site == "none"
	switch origins := r.Header.Values("Origin"); {
	case len(origins) == 0:
		return own || site == ""
	case len(origins) == 1 && origins[0] == "null": // as of a form of ours, which has no referrer
		return own
	default:
		// A page at the base URL may call another address of this server.
		return s.OriginAllowed(r) && (own || site == "" || s.cfg.BaseURL != nil)
	}
}

// firstOf is the first of values joined with commas, which proxies append to.
func firstOf(header string) string {
	v, _, _ := strings.Cut(header, ",")
	return strings.TrimSpace(v)
}
