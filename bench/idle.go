package main

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"parley/parleytest"
)

const (
	idlePairs  = 20 // people whose connections they are, many each
	settleTime = 3 * time.Second
	// perAddress is how many connections one local address makes: there are no more than
	// 28,000 ports to the server's one.
	perAddress = 20_000
)

// idleScenario makes connections that do nothing but stay. The people behind them have
// one conversation each, so what a longer list of conversations costs is not in it.
func (w *world) idleScenario(ctx context.Context) (r result, err error) {
	pairs := w.pairs[:idlePairs]
	r.Errors = map[string]int{}
	var (
		mu    sync.Mutex // guards wires
		wires []*parleytest.Wire
	)
	defer func() {
		for _, wire := range wires {
			_ = wire.Close() // the server goes away next
		}
	}()
	connect := func(from, to int) error {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(16)
		for i := from; i < to; i++ {
			g.Go(func() error {
				pair := pairs[i%len(pairs)]
				token := []string{pair.A.Token, pair.B.Token}[i/len(pairs)%2]
				d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+i/perAddress))}}
				wire, err := w.dial(ctx, d, token)
				if err != nil {
					return fmt.Errorf("connection %d: %w", i, err)
				}
				mu.Lock()
				defer mu.Unlock()
				wires = append(wires, wire)
				return nil
			})
		}
		return g.Wait()
	}

	// The first few bring in what is there once and not for each.
	const first = 100
	if err := connect(0, first); err != nil {
		return r, err
	}
	bare, _, err := parleytest.Memory(w.server.PID())
	if err != nil {
		return r, err
	}
	before, err := w.cost()
	if err != nil {
		return r, err
	}
	if err := connect(first, first+w.o.connections); err != nil {
		return r, err
	}
	after, err := w.cost()
	if err != nil {
		return r, err
	}
	if err := pause(ctx, settleTime); err != nil {
		return r, err
	}
	settled, err := w.cost()
	if err != nil {
		return r, err
	}
	full, peak, err := parleytest.Memory(w.server.PID())
	if err != nil {
		return r, err
	}
	n := float64(w.o.connections)
	making, resting := after.since(before), settled.since(after)
	r.add("connections a second", n/after.at.Sub(before.at).Seconds())
	r.add("CPU ms a connect: server", milliseconds(making.server)/n)
	r.add("CPU ms a connect: database", milliseconds(making.database)/n)
	r.add("CPU ms a connect", milliseconds(making.server+making.database)/n)
	r.add("resident KiB a connection", float64(full-bare)/1024/n)
	r.add("server's memory without them, MiB", float64(bare)/(1<<20))
	r.add("server's peak memory, MiB", float64(peak)/(1<<20))
	r.add("cores used at rest", (resting.server+resting.database).Seconds()/settled.at.Sub(after.at).Seconds())
	return r, nil
}
