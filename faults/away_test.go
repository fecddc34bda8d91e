package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// absence is how long somebody was away, and how much was written meanwhile.
type absence struct {
	name    string
	aged    string // interval of PostgreSQL
	entries int    // in each of touched conversations
	touched int
	pages   int // HTTP requests it may take, at most
}

var absences = []absence{
	{"a second", "1 second", 2, 5, 0},
	{"an hour", "1 hour", 20, 20, 0},
	{"30 days", "30 days", 2000, 10, 10*20 + 10},
}

// away lets somebody come back after a second, an hour, and 30 days: what was written
// meanwhile is in the database already, as old as that.
func away(ctx context.Context, t *testing.T, tr *trial) {
	c := newCluster(ctx, t, newDatabase(ctx, t, ""), shipped(t), 2)
	const conversations = 30
	people, err := c.replicas[0].SignUp(ctx, "away", conversations+1)
	if err != nil {
		t.Fatal(err)
	}
	me, others := people[0], people[1:]
	w := &world{cluster: c, size: size{devices: 1}, began: time.Now(), people: people, settle: func() {}}
	for _, o := range others {
		conv, err := c.replicas[0].Client(me.Token).OpenDirect(ctx, o.User.ID)
		if err != nil {
			t.Fatal(err)
		}
		w.conversations = append(w.conversations, conv.ID)
	}
	front := &Replicas{}
	for _, r := range c.replicas {
		front.add(r.Server)
	}
	client := NewClient(ClientConfig{Replicas: front, Session: me, Clock: w.now})
	w.clients = []*Client{client}

	visit := func() (time.Duration, int64) {
		began, before := time.Now(), client.pages.Load()
		ctx, leave := context.WithCancel(ctx)
		defer leave()
		w.running.Go(func() { client.Run(ctx) })
		w.await(ctx, "catching up", func() bool { return client.State().Connected })
		took := time.Since(began)
		leave()
		w.running.Wait()
		return took, client.pages.Load() - before
	}
	visit()
	var sends []Send
	for _, a := range absences {
		var slowest time.Duration
		var pages int64
		for range tr.times {
			tr.n++
			for i := range a.touched {
				sends = append(sends, w.written(ctx, w.conversations[i], others[i].User.ID, a.entries)...)
			}
			c.db.exec(ctx, `UPDATE entries SET created_at = created_at - $1::interval RETURNING ''`, a.aged)
			c.db.exec(ctx, `UPDATE sessions SET last_used_at = last_used_at - $1::interval RETURNING ''`, a.aged)
			took, asked := visit()
			tr.recovery = append(tr.recovery, took)
			slowest, pages = max(slowest, took), max(pages, asked)
			if asked > int64(a.pages) {
				t.Errorf("after %s it took %d pages", a.name, asked)
			}
		}
		tr.note("after %s: %d entries in %d of %d conversations with one sync and at most %d pages, in %s at most", a.name, a.touched*a.entries, a.touched, conversations, pages, ms(slowest))
	}
	w.stop = func() {}
	h := &History{Logs: map[uuid.UUID][]Entry{}, Sends: sends}
	w.readLogs(ctx, h)
	client.AddTo(h, true)
	r := Check(h)
	t.Logf("\n%v", r)
	if !r.Clean() {
		t.Error("a promise was broken")
	}
	tr.checks, tr.messages = r, len(sends)
}

// written puts messages into a log, as they would be there had they been sent.
func (w *world) written(ctx context.Context, conversation, sender uuid.UUID, n int) []Send {
	w.t.Helper()
	conn := w.db.connect(ctx)
	defer func() { _ = conn.Close(ctx) }()
	tx, err := conn.Begin(ctx)
	w.must(err)
	var last int64
	w.must(tx.QueryRow(ctx, `UPDATE conversations SET last_seq = last_seq + $2, last_entry_at = now() WHERE id = $1 RETURNING last_seq - $2`, conversation, n).Scan(&last))
	var sends []Send
	var rows [][]any
	for i := range n {
		id := uuid.Must(uuid.NewV7())
		body := fmt.Sprint(id, " was written ", rand.Int())
		sends = append(sends, Send{Conversation: conversation, Client: id, Sender: sender, Body: DigestOf(body), At: w.now()})
		rows = append(rows, []any{conversation, last + int64(i) + 1, "message", sender, id, time.Now(), body})
	}
	_, err = tx.CopyFrom(ctx, pgx.Identifier{"entries"}, []string{"conversation_id", "seq", "kind", "sender_id", "client_id", "created_at", "body"}, pgx.CopyFromRows(rows))
	w.must(err)
	w.must(tx.Commit(ctx))
	return sends
}
