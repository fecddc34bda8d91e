package faults

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// restored takes a backup, lets everybody go on, puts the backup back with a new epoch,
// and holds what comes after against the new history alone: nobody may mix the two, and
// what was acknowledged before the backup is there. Each time has people of its own: they
// begin afresh at the next one, and what they saw until then would not be looked at.
func restored(ctx context.Context, t *testing.T, tr *trial) {
	c := newCluster(ctx, t, newDatabase(ctx, t, ""), shipped(t), 2)
	for tr.more() {
		w := newWorld(ctx, t, c, usual())
		w.once(ctx, tr, restoreBackup)
		r := w.finish(ctx)
		tr.judge(t, w, r)
	}
}

func restoreBackup(ctx context.Context, w *world, _ randomness) time.Duration {
	data := filepath.Join(w.db.dataDir, "postgres")
	backup := filepath.Join(w.db.dataDir, "backup")
	backedUp := w.now()
	w.db.takeAway()
	w.must(os.RemoveAll(backup))
	w.must(copyTree(data, backup))
	w.db.bringBack(ctx)
	w.settled(ctx, w.now())
	w.calm(ctx)
	w.calm(ctx)

	for _, r := range w.replicas {
		w.must(r.Kill())
	}
	w.db.takeAway()
	w.must(os.RemoveAll(data))
	w.must(copyTree(backup, data))
	w.db.bringBack(ctx)
	w.db.exec(ctx, `UPDATE instance SET epoch = gen_random_uuid() RETURNING epoch::text`)
	w.undone = window{backedUp, w.now()}
	for _, c := range w.clients {
		c.BackedUp(backedUp)
	}
	for _, r := range w.replicas {
		w.must(r.Run(ctx))
	}
	return w.now()
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}
