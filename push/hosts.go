package push

import (
	"net/url"
	"sync"
	"time"
)

const (
	// prompt is how long a push service has to answer before others stop waiting for it.
	prompt = 2 * time.Second
	// slowSlots is how many devices a push service is sent to at a time which was not prompt
	// within the last slowFor.
	slowSlots = 32
	slowFor   = 30 * time.Second
	// held is how long a device waits, at least, whose push service has enough to do.
	held = 5 * time.Second
)

// hosts keeps push services that hang from taking all the room there is for sending.
type hosts struct {
	mu sync.Mutex // guards what follows
	by map[string]*host
}

type host struct {
	busy int // how many devices of it are sent to
	slow time.Time
}

// hostOf names who takes what is sent to a device.
func hostOf(t Target) string {
	if t.Kind == KindWebPush {
		if u, err := url.Parse(t.Address); err == nil {
			return u.Host
		}
	}
	return string(t.Kind)
}

// enter says whether one more device of the push service may be sent to; if so, call leave.
func (h *hosts) enter(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := h.by[name]
	if at == nil {
		if h.by == nil {
			h.by = make(map[string]*host)
		}
		at = &host{}
		h.by[name] = at
	}
	if at.busy >= slowSlots && time.Since(at.slow) < slowFor {
		return false
	}
	at.busy++
	return true
}

func (h *hosts) leave(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := h.by[name]
	if at.busy--; at.busy == 0 && time.Since(at.slow) >= slowFor {
		delete(h.by, name)
	}
}

// wasSlow notes that a push service lets one wait.
func (h *hosts) wasSlow(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if at := h.by[name]; at != nil {
		at.slow = time.Now()
	}
}
