package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"parley/parleytest"
)

// devicesEach is how many devices one person may have: so many people are away.
const devicesEach = 50

// pushPairs is how many pairs of people the scenario needs: the last one sends.
func (o *options) pushPairs() int { return (o.devices/devicesEach+1)/2 + 1 }

// pushScenario has one message of a group become owed to all devices of its members, and
// measures how they are told. The push service takes what comes and looks at nothing.
func (w *world) pushScenario(ctx context.Context) (r result, err error) {
	r.Errors = map[string]int{}
	service := parleytest.NewWebPush()
	defer service.Close()
	var people []parleytest.Session
	for _, p := range w.pairs[:w.o.pushPairs()] {
		people = append(people, p.A, p.B)
	}
	sender, people := people[len(people)-1], people[:len(people)-2]
	var (
		taken atomic.Int64
		first atomic.Int64 // of w.now
		done  = make(chan struct{})
		n     = len(people) * devicesEach
	)
	take := func(rw http.ResponseWriter, req *http.Request) bool {
		_, _ = io.Copy(io.Discard, req.Body)
		rw.WriteHeader(http.StatusCreated)
		switch taken.Add(1) {
		case 1:
			first.Store(int64(w.now()))
		case int64(n):
			close(done)
		}
		return true
	}
	devices := make([]uuid.UUID, n)
	each := func(do func(context.Context, int) error) error {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(16)
		for i := range n {
			g.Go(func() error { return do(ctx, i) })
		}
		return g.Wait()
	}
	defer func() {
		err = errors.Join(err, each(func(ctx context.Context, i int) error {
			return w.server.Client(people[i/devicesEach].Token).Call(ctx, http.MethodDelete, "/devices/"+devices[i].String(), nil, nil)
		}))
	}()
	err = each(func(ctx context.Context, i int) error {
		d := service.Subscribe()
		d.Answer(take)
		var out struct{ ID uuid.UUID }
		err := w.server.Client(people[i/devicesEach].Token).Call(ctx, http.MethodPost, "/devices", d.Registration(), &out)
		devices[i] = out.ID
		return err
	})
	if err != nil {
		return r, err
	}
	ids := make([]uuid.UUID, len(people))
	for i, p := range people {
		ids[i] = p.User.ID
	}
	api := w.server.Client(sender.Token)
	group, err := api.CreateGroup(ctx, "away", ids)
	if err != nil {
		return r, err
	}
	if err := pause(ctx, settleTime); err != nil {
		return r, err
	}
	before, err := w.cost()
	if err != nil {
		return r, err
	}
	sent := w.now()
	if _, err := api.Send(ctx, group.ID, uuid.Must(uuid.NewV7()), "a message"); err != nil {
		return r, err
	}
	select {
	case <-done:
	case <-ctx.Done():
		return r, ctx.Err()
	case <-time.After(5 * time.Minute):
		return r, fmt.Errorf("%d of %d devices were told", taken.Load(), n)
	}
	told := w.now()
	if err := pause(ctx, settleTime); err != nil { // what was sent is written; perhaps something is sent twice
		return r, err
	}
	after, err := w.cost()
	if err != nil {
		return r, err
	}
	if extra := int(taken.Load()) - n; extra > 0 {
		r.Errors["notifications sent again"] = extra
	}
	began := time.Duration(first.Load())
	r.add("first notification after s", (began - sent).Seconds())
	r.add("last notification after s", (told - sent).Seconds())
	r.add("notifications a second", float64(n)/(told-began).Seconds())
	r.perUnit("notification", after.since(before), n)
	return r, nil
}
