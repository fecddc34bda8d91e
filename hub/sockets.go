package hub

import (
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"

	"parley/problem"
)

var (
	errAddressFull = &problem.Error{Code: problem.RateLimited, RetryAfter: 30 * time.Second,
		Detail: "Too many connections from your address; close some, or try again later."}
	errFull = &problem.Error{Code: problem.Unavailable, RetryAfter: 5 * time.Second,
		Detail: "The server has as many connections as it can hold; try again in a moment."}
)

// sockets counts connections, from the handshake to their end. The hub's lock guards it.
type sockets struct {
	total     int
	addresses map[netip.Prefix]int
	users     map[uuid.UUID][]*Conn // those that authenticated, the oldest first
}

// networkOf is what an address counts as: itself, or of IPv6 its /64, all of which one machine
// may use.
func networkOf(ip netip.Addr) netip.Prefix {
	if !ip.IsValid() {
		return netip.Prefix{}
	}
	ip = ip.Unmap()
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	network, _ := ip.WithZone("").Prefix(bits) // the bits are in range
	return network
}

// enter counts a handshake from a network, or refuses it. Call exit at the connection's end.
func (h *Hub) enter(network netip.Prefix) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.cfg.MaxSockets > 0 && h.sockets.total >= h.cfg.MaxSockets:
		return errFull
	case network.IsValid() && h.cfg.MaxSocketsPerAddress > 0 && h.sockets.addresses[network] >= h.cfg.MaxSocketsPerAddress:
		return errAddressFull
	}
	h.sockets.total++
	h.sockets.addresses[network]++
	return nil
}

func (h *Hub) exit(network netip.Prefix) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sockets.total--
	if h.sockets.addresses[network]--; h.sockets.addresses[network] == 0 {
		delete(h.sockets.addresses, network)
	}
}

// countForUser counts an authenticated connection for its user, and closes the user's oldest
// where that is one too many.
func (h *Hub) countForUser(c *Conn) {
	h.mu.Lock()
	conns := h.sockets.users[c.UserID]
	conns = append(conns, c)
	var oldest *Conn
	if limit := h.cfg.MaxSocketsPerUser; limit > 0 && len(conns) > limit {
		oldest = conns[0]
		conns = slices.Delete(conns, 0, 1)
	}
	h.sockets.users[c.UserID] = conns
	h.mu.Unlock()
	if oldest != nil {
		h.limitHit(h.base, "sockets", c.UserID)
		oldest.log().Info("closing the oldest connection of a user with too many")
		oldest.Close(CloseReplaced, "replaced: this user has too many connections, and this was the oldest")
	}
}

// uncountForUser takes a connection off its user's. The hub's lock is held.
func (h *Hub) uncountForUser(c *Conn) {
	conns := h.sockets.users[c.UserID]
	i := slices.Index(conns, c)
	switch {
	case i < 0: // never authenticated, or replaced
	case len(conns) == 1:
		delete(h.sockets.users, c.UserID)
	default:
		h.sockets.users[c.UserID] = slices.Delete(conns, i, i+1)
	}
}
