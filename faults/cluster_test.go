package faults

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"parley/parleytest"
)

// cluster is replicas of the real binary on one PostgreSQL, each behind a proxy of its own.
type cluster struct {
	t        *testing.T
	db       *database
	binary   string
	replicas []*replica
	front    *Replicas // those that clients go to
}

type replica struct {
	*parleytest.Server
	proxy *Proxy
}

// newCluster starts n replicas of a binary on a database.
func newCluster(ctx context.Context, t *testing.T, db *database, binary string, n int) *cluster {
	t.Helper()
	c := &cluster{t: t, db: db, binary: binary, front: &Replicas{}}
	for range n {
		c.add(ctx)
	}
	return c
}

// add starts one more replica and lets clients go to it.
func (c *cluster) add(ctx context.Context) {
	c.t.Helper()
	proxy, err := NewProxy(ctx, c.db.socket(), "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if err := proxy.Close(); err != nil {
			c.t.Error(err)
		}
	})
	r := &replica{startServer(c.t, parleytest.Config{Binary: c.binary, Env: []string{"DATABASE_URL=" + proxy.URL()}}), proxy}
	c.replicas = append(c.replicas, r)
	c.spread()
}

// spread tells clients which replicas there are.
func (c *cluster) spread() {
	servers := make([]*parleytest.Server, len(c.replicas))
	for i, r := range c.replicas {
		servers[i] = r.Server
	}
	c.front.Set(servers...)
}

// restart kills a replica and starts it again, perhaps another binary.
func (c *cluster) restart(ctx context.Context, r *replica) error {
	if err := r.Kill(); err != nil {
		return err
	}
	return r.Run(ctx)
}

// ready asks a replica whether it is.
func ready(ctx context.Context, s *parleytest.Server) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/readyz", nil)
	if err != nil {
		return false, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err
	}
	_ = res.Body.Close() // only the status counts
	switch res.StatusCode {
	case http.StatusOK:
		return true, nil
	case http.StatusServiceUnavailable:
		return false, nil
	}
	return false, errors.New("readyz answers " + res.Status)
}
