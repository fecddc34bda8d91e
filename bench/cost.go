package main

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"

	"parley/parleytest"
)

// cost is what had been used at a moment, since the processes began.
type cost struct {
	at                       time.Time
	server, database, client time.Duration // CPU
}

func (w *world) cost() (c cost, err error) {
	for _, s := range append(slices.Clone(w.others), w.server) {
		used, err := parleytest.FamilyCPU(s.PID())
		if err != nil {
			return c, err
		}
		c.server += used
	}
	postmaster, err := parleytest.PostgresPID(w.server.DataDir())
	if err != nil {
		return c, err
	}
	if c.database, err = parleytest.FamilyCPU(postmaster); err != nil {
		return c, err
	}
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return c, fmt.Errorf("read the generator's own CPU time: %w", err)
	}
	c.client = time.Duration(self.Utime.Nano() + self.Stime.Nano())
	c.at = time.Now()
	return c, nil
}

func (c cost) since(before cost) cost {
	return cost{server: c.server - before.server, database: c.database - before.database, client: c.client - before.client}
}

// perUnit adds the CPU microseconds that n of something cost the server.
func (r *result) perUnit(what string, c cost, n int) {
	us := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(n) }
	r.add("CPU µs a "+what+": server", us(c.server))
	r.add("CPU µs a "+what+": database", us(c.database))
	r.add("CPU µs a "+what, us(c.server+c.database))
}

// written is what the database had written at a moment.
type written struct {
	transactions int64 // that wrote something: each takes one transaction id
	log          int64 // bytes of write-ahead log
}

const selectWritten = `
SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint, (pg_current_wal_insert_lsn() - '0/0')::bigint`

func (w *world) written(ctx context.Context) (n written, err error) {
	conn, err := parleytest.ConnectDatabase(ctx, w.server.DataDir())
	if err != nil {
		return n, err
	}
	defer func() { _ = conn.Close(ctx) }()
	if err := conn.QueryRow(ctx, selectWritten).Scan(&n.transactions, &n.log); err != nil {
		return n, fmt.Errorf("ask what the database wrote: %w", err)
	}
	return n, nil
}
