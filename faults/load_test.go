package faults

import (
	"context"
	"strconv"
	"testing"
	"time"
)

// busy is a world in which there is always a commit under way.
func busy() size {
	s := usual()
	s.inFlight, s.pause, s.away = 2, 100*time.Millisecond, 0
	return s
}

// wide is a world of few people in many small groups, who write so much to all of them
// that batches have many conversations in common.
func wide() size {
	return size{people: 16, devices: 1, groups: 32, joined: 3, inFlight: 24, pause: 100 * time.Millisecond, moves: 100 * time.Millisecond}
}

// deadlocks counts those that PostgreSQL found.
func (w *world) deadlocks(ctx context.Context) int {
	// The statistics of a session are told when it ends, or every second.
	sleep(ctx, 1500*time.Millisecond)
	n, err := strconv.Atoi(w.db.exec(ctx, `SELECT deadlocks::text FROM pg_stat_database WHERE datname = 'parley'`)[0])
	w.must(err)
	return n
}

// crowded lets batches of both replicas meet in the same conversations.
func crowded(ctx context.Context, t *testing.T, tr *trial) {
	w := newWorld(ctx, t, newCluster(ctx, t, newDatabase(ctx, t, ""), shipped(t), 2), wide())
	w.repeat(ctx, tr, awhile)
	r := w.finish(ctx)
	tr.n, tr.unit = w.acked(), "messages"
	deadlocks := w.deadlocks(ctx)
	if deadlocks > 0 {
		t.Errorf("%d deadlocks", deadlocks)
	}
	tr.note("%d deadlocks, and %d sends told to try again", deadlocks, w.refused())
	tr.judge(t, w, r)
}
