package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"parley/parleytest"
)

// world is the server under load and the people on it, kept over all runs: making a
// person costs the server a password hash.
type world struct {
	o        *options
	progress io.Writer
	binDir   string
	server   *parleytest.Server   // has the database inside
	others   []*parleytest.Server // use it, too
	dialled  atomic.Int64         // connections so far
	pairs    []parleytest.Pair
	made     int // pairs so far, for their names
	began    time.Time
}

// scenario is one thing to measure.
type scenario struct {
	name  string
	pairs int // that it needs
	run   func(*world, context.Context) (result, error)
}

// pushHere lets the push service be on this machine.
const pushHere = "PARLEY_PUSH_ALLOW_PRIVATE=true"

func newWorld(ctx context.Context, o *options, progress io.Writer) (_ *world, err error) {
	w := &world{o: o, progress: progress, began: time.Now()}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	binary := o.binary
	if binary == "" {
		say(progress, "building the server")
		if w.binDir, err = os.MkdirTemp("", "parley-bench-"); err != nil {
			return nil, fmt.Errorf("make a directory for the server: %w", err)
		}
		if binary, err = parleytest.Build(ctx, w.binDir); err != nil {
			return nil, err
		}
	}
	began := time.Now()
	if w.server, err = parleytest.Start(ctx, parleytest.Config{Binary: binary, Env: []string{pushHere}}); err != nil {
		return nil, err
	}
	say(progress, "a new server was ready after %v", time.Since(began).Round(time.Millisecond))
	if _, err := w.server.Admin(ctx); err != nil {
		return nil, err
	}
	return w, w.startOthers(ctx, binary)
}

// startOthers starts the other replicas, on the database of the first.
func (w *world) startOthers(ctx context.Context, binary string) error {
	if w.o.replicas == 1 {
		return nil
	}
	url, err := parleytest.DatabaseURL(w.server.DataDir())
	if err != nil {
		return err
	}
	for range w.o.replicas - 1 {
		s, err := parleytest.Start(ctx, parleytest.Config{Binary: binary, Env: []string{pushHere, "DATABASE_URL=" + url}})
		if err != nil {
			return err
		}
		w.others = append(w.others, s)
	}
	return nil
}

func (w *world) close() error {
	var errs []error
	for _, s := range w.others {
		errs = append(errs, s.Close())
	}
	if w.server != nil {
		errs = append(errs, w.server.Close())
	}
	if w.binDir != "" {
		errs = append(errs, os.RemoveAll(w.binDir))
	}
	return errors.Join(errs...)
}

// fresh runs a scenario on a server just started on the data there is, so that neither
// the last scenario's memory nor that of hashing passwords is this one's.
func (w *world) fresh(ctx context.Context, s scenario) (result, error) {
	if err := w.people(ctx, s.pairs); err != nil {
		return result{}, err
	}
	for _, s := range append(slices.Clone(w.others), w.server) {
		if err := s.Stop(); err != nil {
			return result{}, err
		}
	}
	for _, s := range append([]*parleytest.Server{w.server}, w.others...) {
		if err := s.Run(ctx); err != nil {
			return result{}, err
		}
	}
	r, err := s.run(w, ctx)
	r.Scenario = s.name
	return r, err
}

// people makes sure that there are so many pairs.
func (w *world) people(ctx context.Context, pairs int) error {
	missing := pairs - len(w.pairs)
	if missing <= 0 {
		return nil
	}
	say(w.progress, "signing up %d people", 2*missing)
	more, err := w.newPairs(ctx, missing)
	w.pairs = append(w.pairs, more...)
	return err
}

// newPairs makes pairs that nobody else uses.
func (w *world) newPairs(ctx context.Context, n int) ([]parleytest.Pair, error) {
	w.made++
	return w.server.Pairs(ctx, fmt.Sprintf("bench%d-", w.made), n)
}

// dial connects, to the replicas in turn, and reads hello.
func (w *world) dial(ctx context.Context, d *net.Dialer, token string) (*parleytest.Wire, error) {
	addr := w.server.Addr()
	if i := int(w.dialled.Add(1)-1) % w.o.replicas; i > 0 {
		addr = w.others[i-1].Addr()
	}
	wire, err := parleytest.DialWire(ctx, d, addr, token)
	if err != nil {
		return nil, err
	}
	if err := wire.AwaitHello(); err != nil {
		return nil, errors.Join(err, wire.Close())
	}
	return wire, nil
}

// now is the time of all samples, since the run's beginning.
func (w *world) now() time.Duration { return time.Since(w.began) }
