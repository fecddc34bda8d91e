package push

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// errPrivate is for who hands in an address inside the operator's network as that of a push
// service.
var errPrivate = errors.New("the push service's address is not one on the internet")

// notPublic are the networks that isPublic leaves out beside those that netip knows: they lead
// nowhere, to the operator's own machines, or on to an IPv4 address that may do so.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // carriers' and cloud providers' inside
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("2001::/23"), // Teredo and others
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"), // 6to4
	netip.MustParsePrefix("3fff::/20"),
}

// unicast is all of IPv6 that is given out (RFC 4291, 2.4, and IANA's registry): NAT64 and
// other ways to IPv4 are not in it.
var unicast = netip.MustParsePrefix("2000::/3")

// isPublic says whether an address is one on the internet (RFC 6890).
func isPublic(ip netip.Addr) bool {
	ip = ip.Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.Zone() != "" || ip.Is6() && !unicast.Contains(ip) {
		return false
	}
	for _, net := range notPublic {
		if net.Contains(ip) {
			return false
		}
	}
	return true
}

// publicOnly is called with the address that a name was resolved to, before it is connected
// to: a name cannot mean another one by then.
func publicOnly(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("read the push service's address: %w", err)
	}
	if !isPublic(at.Addr()) {
		return errPrivate
	}
	return nil
}

// newClient makes an HTTP client for addresses that clients hand in: it reaches nothing but
// the internet, follows nobody, asks no proxy and waits for ten seconds at most.
func newClient(allowPrivate bool) *http.Client {
	d := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	if !allowPrivate {
		d.Control = publicOnly
	}
	return &http.Client{
		Timeout:       sendTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return d.DialContext(ctx, network, addr)
			},
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    5 * time.Second,
			ResponseHeaderTimeout:  sendTimeout,
			MaxResponseHeaderBytes: 32 << 10,
			MaxIdleConns:           slots,
			MaxIdleConnsPerHost:    slots,
			IdleConnTimeout:        90 * time.Second,
		},
	}
}
