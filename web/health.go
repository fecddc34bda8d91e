package web

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
)

const (
	readyTimeout = 2 * time.Second
	readyFor     = time.Second // an answer is kept so long: anybody may ask
)

func (s *Server) routeHealth(r chi.Router) {
	r.Get("/healthz", s.healthz)
	r.Head("/healthz", s.healthz)
	r.Get("/readyz", s.readyz)
	r.Head("/readyz", s.readyz)
}

// healthz says that the process runs.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	writeHealth(w, http.StatusOK, health{Status: "ok"})
}

// readyz says whether requests should be sent here, and what is wrong although they should.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	switch {
	case s.draining.Load():
		writeHealth(w, http.StatusServiceUnavailable, health{Status: "draining"})
	case s.ready.ask(r.Context()) != nil:
		writeHealth(w, http.StatusServiceUnavailable, health{Status: "unavailable"})
	default:
		h := health{Status: "ok"}
		if s.cfg.Degraded != nil {
			if h.Detail = s.cfg.Degraded(); h.Detail != "" {
				h.Status = "degraded"
			}
		}
		writeHealth(w, http.StatusOK, h)
	}
}

type health struct {
	Status string `json:"status"`
	Detail string `json:"detail,omitempty"`
}

func writeHealth(w http.ResponseWriter, status int, h health) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(h) // the client may be gone
}

// readiness asks one check at a time and remembers its answer for a moment.
type readiness struct {
	check func(context.Context) error
	turn  chan struct{} // holds one token; who has it may use the rest
	asked time.Time
	err   error
}

func newReadiness(check func(context.Context) error) *readiness {
	r := &readiness{check: check, turn: make(chan struct{}, 1)}
	r.turn <- struct{}{}
	return r
}

func (r *readiness) ask(ctx context.Context) error {
	if r.check == nil {
		return nil
	}
	select {
	case <-r.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { r.turn <- struct{}{} }()
	if r.asked.IsZero() || time.Since(r.asked) >= readyFor {
		// Others may be waiting for the answer after this caller has gone.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTimeout)
		defer cancel()
		r.err = r.check(ctx)
		r.asked = time.Now()
	}
	return r.err
}
