package store

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Bus carries news between the replicas that serve one database, by NOTIFY on one channel.
// It is fast, and promises nothing: news may come twice, late or never, and whoever needs to be
// sure looks at the database as well. A Topic is one kind of news.
//
// NOTIFY inside the transaction of a message would serialise all commits of the database, so
// news is sent afterwards, by a connection of its own, with commits that do not wait for the disk.
// While one is being sent the next gather: alone when idle, many under load. A second connection
// listens. Neither comes from the pool, and a pooler that gives a connection to somebody else
// after each transaction cannot carry the listening one.
//
// A replica that is alone tells nothing. It knows of the others by a lease that each renews in
// the database, and by hearing them.
type Bus struct {
	db     *DB
	log    *slog.Logger
	id     uuid.UUID
	topics map[string]topic
	missed []func(since time.Time)

	wake chan struct{} // holds one when there is something to send
	beat chan struct{} // holds one when the others should hear of this replica at once

	mu sync.Mutex // guards what waits in the topics

	known   map[uuid.UUID]bool // the other replicas, as last seen; keepLease alone touches it
	heard   time.Time          // when this replica last heard itself; the listener alone touches it
	hearing atomic.Bool

	began  time.Time
	others atomic.Int64 // until when there may be other replicas, in ns since began
	looked atomic.Int64 // when it was last seen who is there, in ns since began
}

// topic is a Topic of whatever it is about.
type topic interface {
	take()
	encode(lines [][]byte) [][]byte
	settle(sent bool)
	hear(data []byte) error
}

const (
	channel = "parley"
	// gather is the shortest time between two NOTIFYs: at most some three hundred a second,
	// each of which wakes every replica.
	gather = 3 * time.Millisecond
	// maxPayload keeps below PostgreSQL's limit of 8,000 bytes.
	maxPayload = 7000
	// beatEvery is how often a replica renews its lease and says so on the channel.
	beatEvery = 2 * time.Second
	// leaseTime is how long a replica counts as there after it last said so.
	leaseTime = 10 * time.Second
	// deafAfter is how long a replica may not hear itself before its listening connection is
	// given up.
	deafAfter = 6 * time.Second
	// company is how long after the last sign of another replica this one goes on as if there
	// were one.
	company = 30 * time.Second
	// sendTimeout bounds one NOTIFY, and one beat.
	sendTimeout = 4 * time.Second
	// fullQueue is from how full PostgreSQL's queue of notifications is on that it is warned of:
	// it holds 8 GB that somebody has not read, and when it is full commits with a NOTIFY fail.
	fullQueue = 0.25
)

// NewBus makes the bus of a replica. Make the topics before it runs.
func NewBus(db *DB) *Bus {
	b := &Bus{
		db: db, log: db.logger, id: uuid.New(), topics: make(map[string]topic),
		began: time.Now(), wake: make(chan struct{}, 1), beat: make(chan struct{}, 1), known: make(map[uuid.UUID]bool),
	}
	b.notAlone() // until it has been seen that there is nobody
	return b
}

// OnMissed has f called whenever news may have been missed, with since when: after listening
// began, or began again, and when another replica is gone, which may have had something left
// to tell. It must not block.
func (b *Bus) OnMissed(f func(since time.Time)) {
	if b != nil {
		b.missed = append(b.missed, f)
	}
}

// Alone says that there is no other replica, so that there is nobody to tell and nothing to
// miss: a look just now found nobody, and nobody was heard of for a while. On a nil Bus it is
// true.
func (b *Bus) Alone() bool {
	if b == nil {
		return true
	}
	now := int64(time.Since(b.began))
	return now > b.others.Load() && now-b.looked.Load() < int64(leaseTime)
}

func (b *Bus) notAlone() { b.others.Store(int64(time.Since(b.began) + company)) }

// Hearing says whether this replica hears what is told. Where it does not, everything is still
// delivered, but later: by looking at the database.
func (b *Bus) Hearing() bool { return b.hearing.Load() }

// Run sends and listens until ctx ends; then it sends what is left, and is off the list.
func (b *Bus) Run(ctx context.Context) error {
	var beside sync.WaitGroup
	beside.Go(func() { b.db.failures.Loop(ctx, "hear other replicas", b.listen) })
	beside.Go(func() { b.db.failures.Loop(ctx, "keep the replica's lease", b.keepLease) })
	retry := backoff{}
	for ctx.Err() == nil {
		err := b.db.failures.Do("tell other replicas", func() error { return b.connectAndSend(ctx, &retry) })
		if err != nil && ctx.Err() == nil {
			b.settle(false)
			if retry.first() {
				b.log.Warn("telling other replicas fails; trying again", "err", err)
			}
			retry.pause(ctx)
		}
	}
	beside.Wait()
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
	defer cancel()
	if _, err := b.db.pool.Exec(leaving, deleteReplica, b.id); err != nil {
		return fmt.Errorf("end the lease of this replica: %w", err)
	}
	return nil
}

// connectAndSend sends by a connection of its own until ctx ends, or something fails.
func (b *Bus) connectAndSend(ctx context.Context, retry *backoff) error {
	conn, err := b.db.connect(ctx)
	if err != nil {
		return err
	}
	defer closeConn(ctx, conn)
	return b.send(ctx, conn, retry)
}

func (b *Bus) rouse() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// send sends until ctx ends, or something fails.
func (b *Bus) send(ctx context.Context, conn *pgx.Conn, retry *backoff) error {
	for {
		select {
		case <-ctx.Done():
			return b.flush(conn)
		case <-b.beat:
			// Whose it is, and no news: this replica lives.
			if err := b.tell(conn, b.id.String()); err != nil {
				return err
			}
			if retry.over() {
				b.log.Info("telling other replicas works again")
			}
		case <-b.wake:
			if err := b.flush(conn); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
			case <-time.After(gather):
			}
		}
	}
}

// tell sends payloads, in one transaction. What was begun is finished, also at the end.
func (b *Bus) tell(conn *pgx.Conn, payloads ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), sendTimeout)
	defer cancel()
	if _, err := conn.Exec(ctx, notify, channel, payloads); err != nil {
		return fmt.Errorf("send news: %w", err)
	}
	return nil
}

// flush sends what waits. After an error it is not known whether that happened.
func (b *Bus) flush(conn *pgx.Conn) error {
	b.take()
	var lines [][]byte
	for _, t := range b.topics {
		lines = t.encode(lines)
	}
	if len(lines) == 0 {
		return nil
	}
	if err := b.tell(conn, b.payloads(lines)...); err != nil {
		return err
	}
	b.settle(true)
	return nil
}

func (b *Bus) take() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.topics {
		t.take()
	}
}

// settle says whether what was taken was sent. If that is not sure, it is sent again.
func (b *Bus) settle(sent bool) {
	b.settleTopics(sent)
	if !sent {
		b.rouse()
	}
}

func (b *Bus) settleTopics(sent bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.topics {
		t.settle(sent)
	}
}

// payloads packs lines, each payload beginning with whose it is.
func (b *Bus) payloads(lines [][]byte) (payloads []string) {
	var p bytes.Buffer
	p.WriteString(b.id.String())
	for _, l := range lines {
		if p.Len()+1+len(l) > maxPayload {
			payloads = append(payloads, p.String())
			p.Truncate(len(b.id.String()))
		}
		p.WriteByte('\n')
		p.Write(l)
	}
	return append(payloads, p.String())
}

// keepLease renews the lease of this replica, and looks who else is there, until ctx ends. By
// the pool: whoever can store messages can be seen.
func (b *Bus) keepLease(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	looked := time.Now()
	for {
		began := time.Now()
		switch err := b.renew(ctx, looked); {
		case err == nil:
			looked = began
		case ctx.Err() != nil:
			return
		default:
			b.notAlone() // for all that can be said
			b.log.Debug("renewing the lease of this replica fails; trying again", "err", err)
		}
		b.live()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// live has it said on the channel that this replica lives.
func (b *Bus) live() {
	select {
	case b.beat <- struct{}{}:
	default:
	}
}

// renew renews the lease of this replica and finds out who else is there, which it last did at
// looked.
func (b *Bus) renew(ctx context.Context, looked time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	var (
		others []uuid.UUID
		queue  float64
	)
	if err := b.db.pool.QueryRow(ctx, renewLease, b.id, leaseTime.Seconds()).Scan(&others, &queue); err != nil {
		return fmt.Errorf("renew the lease of this replica: %w", err)
	}
	first := b.looked.Swap(int64(time.Since(b.began))) == 0
	if queue > fullQueue {
		b.log.Warn("PostgreSQL's queue of notifications fills up: a session that listens is stuck in a transaction", "full", queue)
	}
	if len(others) > 0 {
		b.notAlone()
	}
	changed := false
	for id := range b.known {
		if !slices.Contains(others, id) {
			b.log.Info("another replica is gone", "replica", id)
			delete(b.known, id)
			changed = true
		}
	}
	for _, id := range others {
		if !b.known[id] {
			if first { // it may be what this one was before a crash
				b.log.Info("another replica is there, or was until a moment ago", "replica", id)
			} else {
				b.log.Info("another replica is there", "replica", id)
			}
			b.known[id] = true
			changed = true
		}
	}
	if changed { // one that is gone may have had something left to tell, one that is there may have told it before
		b.miss(looked)
	}
	return nil
}

// margin is how long before news is told what it tells of may have been written.
const margin = leaseTime + beatEvery

// miss says that news may have been missed since then.
func (b *Bus) miss(since time.Time) {
	for _, f := range b.missed {
		f(since.Add(-margin))
	}
}

// backoff is how long to wait before the next attempt, with full jitter.
type backoff struct{ failures int }

const (
	firstPause = 100 * time.Millisecond
	maxPause   = 5 * time.Second
)

// first counts a failure, and says whether it is the first one.
func (r *backoff) first() bool {
	r.failures++
	return r.failures == 1
}

// over says whether there were failures, until now.
func (r *backoff) over() bool {
	failed := r.failures > 0
	r.failures = 0
	return failed
}

func (r *backoff) pause(ctx context.Context) {
	limit := min(maxPause, firstPause<<min(r.failures, 10))
	select {
	case <-ctx.Done():
	case <-time.After(rand.N(limit)):
	}
}
