package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// errDeaf is a listening connection that does not bring what this replica tells: somebody in
// between keeps it, or it is stuck.
var errDeaf = errors.New("nothing is heard on the listening connection, not even this replica itself")

// listen hears what replicas tell until ctx ends, on a connection that it replaces whenever it
// breaks or falls silent.
func (b *Bus) listen(ctx context.Context) {
	retry := backoff{}
	since := time.Now()
	for ctx.Err() == nil {
		err := b.listenOnce(ctx, &since, &retry)
		b.hearing.Store(false)
		if ctx.Err() != nil {
			return
		}
		if retry.first() {
			b.log.Warn("other replicas are not heard; what they store is looked for instead", "err", err)
		}
		retry.pause(ctx)
	}
}

// listenOnce listens on one connection until it fails. since is up to when nothing was missed.
func (b *Bus) listenOnce(ctx context.Context, since *time.Time, retry *backoff) error {
	conn, err := b.db.connect(ctx)
	if err != nil {
		return err
	}
	defer closeConn(ctx, conn)
	bounded, cancel := context.WithTimeout(ctx, sendTimeout)
	_, err = conn.Exec(bounded, "LISTEN "+channel)
	cancel()
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	b.miss(*since) // only now: what is told from here on is heard
	b.heard = time.Now()
	*since = b.heard
	b.live() // to hear soon whether it is so
	for {
		n, err := wait(ctx, conn, b.heard.Add(deafAfter))
		if err != nil {
			return err
		}
		own := b.receive(n.Payload)
		if !own {
			continue
		}
		b.heard = time.Now()
		*since = b.heard
		if b.hearing.Store(true); retry.over() {
			b.log.Info("other replicas are heard again")
		}
	}
}

// wait gives the next notification, or errDeaf when the deadline has passed.
func wait(ctx context.Context, conn *pgx.Conn, deadline time.Time) (*pgconn.Notification, error) {
	waiting, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	n, err := conn.WaitForNotification(waiting)
	switch {
	case err == nil:
		return n, nil
	case ctx.Err() == nil && waiting.Err() != nil:
		return nil, errDeaf
	}
	return nil, fmt.Errorf("wait for news: %w", err)
}

// receive gives what a replica told to the topics, and says whether it was this replica. A
// payload is whose it is, and a line for each piece of news; none is a sign of life.
func (b *Bus) receive(payload string) (own bool) {
	from, news, _ := strings.Cut(payload, "\n")
	if from == b.id.String() {
		return true
	}
	b.notAlone()
	for l := range strings.Lines(news) {
		name, data, _ := strings.Cut(l, " ")
		t := b.topics[name]
		if t == nil {
			continue // of a newer version
		}
		// A mistake in what one piece of news leads to does not cost the others.
		if err := b.db.failures.Do("hear news of "+name, func() error { return t.hear([]byte(data)) }); err != nil {
			b.log.Warn("a replica told something strange", "replica", from, "err", err)
		}
	}
	return false
}
