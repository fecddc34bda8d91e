package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/coder/websocket"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"parley/parleytest"
)

// sameIDs sends the same message on eight sockets and twice over HTTP at the same time,
// half of them to the other replica, again and again, and once more after a crash: it is
// stored once, and everybody is told the same seq.
func sameIDs(ctx context.Context, t *testing.T, tr *trial) {
	const sockets, posts = 8, 2
	c := newCluster(ctx, t, newDatabase(ctx, t, ""), shipped(t), 2)
	pairs, err := c.replicas[0].Pairs(ctx, "same", 1)
	if err != nil {
		t.Fatal(err)
	}
	b := &badInput{pair: pairs[0]}
	of := func(i int) *parleytest.Server { return c.replicas[i%len(c.replicas)].Server }

	dial := func() []*websocket.Conn {
		conns := make([]*websocket.Conn, sockets)
		for i := range conns {
			b.server = of(i)
			conns[i] = b.dial(ctx, t, b.pair.A.Token)
		}
		return conns
	}
	// everywhere sends one message on all ways at once and gives the seq they agree on.
	everywhere := func(conns []*websocket.Conn, id uuid.UUID) (int64, error) {
		seqs := make([]int64, sockets+posts)
		g, ctx := errgroup.WithContext(ctx)
		for i, ws := range conns {
			g.Go(func() (err error) {
				seqs[i], err = ask(ctx, ws, sendFrame(b.pair.Conversation, id, id.String()))
				return err
			})
		}
		for i := range posts {
			g.Go(func() error {
				sent, err := of(i).Client(b.pair.A.Token).Send(ctx, b.pair.Conversation, id, id.String())
				seqs[sockets+i] = sent.Seq
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return 0, err
		}
		for _, s := range seqs {
			if s == 0 || s != seqs[0] {
				return 0, fmt.Errorf("%v was given the seqs %v", id, seqs)
			}
		}
		return seqs[0], nil
	}

	conns := dial()
	seqs := map[uuid.UUID]int64{}
	for tr.more() {
		id := uuid.Must(uuid.NewV7())
		if seqs[id], err = everywhere(conns, id); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range c.replicas {
		if err := c.restart(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	conns = dial()
	again := 0
	for id, seq := range seqs { // in any order
		if got, err := everywhere(conns, id); err != nil || got != seq {
			t.Fatalf("%v had seq %d and has %d after a restart, %v", id, seq, got, err)
		}
		if again++; again == 1000 {
			break
		}
	}
	var log []parleytest.Entry
	for {
		page, _, err := of(0).Client(b.pair.B.Token).Entries(ctx, b.pair.Conversation, int64(len(log)), pageSize)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		log = append(log, page...)
	}
	if len(log) != tr.n+1 { // and the entry that began the conversation
		t.Errorf("%d entries of %d messages", len(log), tr.n)
	}
	for _, e := range log[1:] {
		if seqs[e.ClientID] != e.Seq {
			t.Errorf("%v is at %d, and was acknowledged at %d", e.ClientID, e.Seq, seqs[e.ClientID])
		}
	}
	// What is not so has failed the test by now.
	tr.messages, tr.checks = len(log)-1, Report{{Check: "C1", N: tr.n}, {Check: "C2", N: tr.n}}
	tr.note("each sent %d times at once, %d of them once more after kill -9 of both replicas: %d entries", sockets+posts, again, len(log)-1)
}

// ask sends a message.send frame and gives the seq of the reply.
func ask(ctx context.Context, ws *websocket.Conn, text string) (int64, error) {
	if err := ws.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		return 0, err
	}
	for {
		_, raw, err := ws.Read(ctx)
		if err != nil {
			return 0, err
		}
		var f frame
		if err := json.Unmarshal(raw, &f); err != nil {
			return 0, err
		}
		switch f.Type {
		case "reply":
			var sent parleytest.Sent
			err := json.Unmarshal(f.Data, &sent)
			return sent.Seq, err
		case "error":
			return 0, fmt.Errorf("refused: %s: %s", f.Error.Code, f.Error.Detail)
		}
	}
}
