package push

import (
	"net/url"
	"sync"
	"time"
)

const (
	// prompt is how long a push service has to answer before others stop waiting for it.
	prompt = 2 * time.Second
	// slowSlots is how many devices of a slow push service are sent to at a time. It is slow
	// while it owes slowCount prompt answers for those that were not, and it owes slowMost at most.
	slowSlots = 32
	slowCount = 8
	slowMost  = 32
	// heldLeast and heldMost bound how long a device waits whose push service has enough to do.
	heldLeast = 2 * time.Second
	heldMost  = 2 * time.Minute
	// hostIdle is how long it is remembered how a push service was.
	hostIdle = time.Minute
)

// hosts keeps push services that hang from taking all the room there is for sending.
type hosts struct {
	mu sync.Mutex // guards what follows
	by map[string]*host
}

type host struct {
	busy int       // how many devices of it are sent to
	slow int       // prompt answers that it owes
	line time.Time // when the last of those who wait has their turn
	used time.Time
}

// hostOf names who takes what is sent to a device.
func hostOf(t Target) string {
	if t.Kind == KindWebPush {
		if u, err := url.Parse(t.Address); err == nil {
			return serviceHost(u)
		}
	}
	return string(t.Kind)
}

// enter says whether one more device of the push service may be sent to; if so, call leave. If
// not, it has its turn after the wait: as many come again as a slow service gets through with.
func (h *hosts) enter(name string) (wait time.Duration, ok bool) {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	at := h.by[name]
	if at == nil {
		at = h.add(name, now)
	}
	at.used = now
	if at.busy >= slowSlots && at.slow >= slowCount {
		if at.line = at.line.Add(prompt / slowSlots); at.line.Before(now.Add(heldLeast)) {
			at.line = now.Add(heldLeast)
		}
		return min(at.line.Sub(now), heldMost), false
	}
	at.busy++
	if at.slow < slowCount {
		at.line = now // it gets through with all again
	}
	return 0, true
}

// add makes room for one more, and forgets those that nothing was sent to for long: names are
// the clients' choice. h.mu is held.
func (h *hosts) add(name string, now time.Time) *host {
	if h.by == nil {
		h.by = make(map[string]*host)
	}
	for name, at := range h.by {
		if at.busy == 0 && now.Sub(at.used) > hostIdle {
			delete(h.by, name)
		}
	}
	at := &host{}
	h.by[name] = at
	return at
}

// leave is for who has entered.
func (h *hosts) leave(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.by[name].busy--
}

// wasSlow notes that a push service lets one wait, wasPrompt that it did not.
func (h *hosts) wasSlow(name string)   { h.note(name, 1) }
func (h *hosts) wasPrompt(name string) { h.note(name, -1) }

func (h *hosts) note(name string, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if at := h.by[name]; at != nil {
		at.slow = min(max(at.slow+n, 0), slowMost)
	}
}
