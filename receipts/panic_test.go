package receipts

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"parley/failures"
	"parley/store"
)

// panicking is a database that panics when it is told to.
type panicking struct {
	store.Querier
	batch, query atomic.Bool
}

func (d *panicking) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if d.batch.CompareAndSwap(true, false) {
		panic("a poisoned mark")
	}
	return d.Querier.SendBatch(ctx, b)
}

func (d *panicking) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if d.query.CompareAndSwap(true, false) {
		panic("a poisoned row")
	}
	return d.Querier.Query(ctx, sql, args...)
}

// A panic while marks are written, or while lost ones are looked for, loses no mark.
func TestPanics(t *testing.T) {
	t.Parallel()
	r := setup(t)
	ann, ben := r.user("ann"), r.user("ben")
	id := r.direct(ann, ben)
	counts := failures.New(slog.New(slog.DiscardHandler))
	db := &panicking{Querier: r.db}
	s := New(Config{DB: r.cfg.DB, Logger: r.cfg.Logger, ByConversation: r.cfg.ByConversation, ByUser: r.cfg.ByUser, Failures: counts})
	s.q.db = db
	db.batch.Store(true)
	db.query.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	s.Read(id, ben, 1)
	read := func() (seq int) {
		if err := r.db.QueryRow(t.Context(), `SELECT coalesce(max(read_seq), 0) FROM receipts WHERE user_id = $1`, ben).Scan(&seq); err != nil {
			t.Fatal(err)
		}
		return seq
	}
	deadline := time.Now().Add(20 * time.Second)
	for read() != 1 || counts.Total("write receipts") != 1 || counts.Total("sweep for lost receipts") != 1 {
		if time.Now().After(deadline) {
			t.Fatalf("the mark is %d, with %d and %d failures", read(), counts.Total("write receipts"), counts.Total("sweep for lost receipts"))
		}
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
