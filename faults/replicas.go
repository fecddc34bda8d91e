package faults

import (
	"sync"

	"parley/parleytest"
)

// Replicas are the servers among which clients are spread, one after the other, as behind
// a load balancer that does not look whether they live.
type Replicas struct {
	mu   sync.Mutex // guards what follows
	all  []*parleytest.Server
	next int
}

// Set says which servers there are from now on.
func (r *Replicas) Set(servers ...*parleytest.Server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append([]*parleytest.Server(nil), servers...)
}

// Pick gives the next one, rather not one that failed just now.
func (r *Replicas) Pick(failed *parleytest.Server) *parleytest.Server {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next++
	if s := r.all[r.next%len(r.all)]; s != failed {
		return s
	}
	r.next++
	return r.all[r.next%len(r.all)]
}

func (r *Replicas) add(s *parleytest.Server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, s)
}
