package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"parley/parleytest"
)

// TestSameClientIDAtOnce sends the same message on eight sockets and twice over HTTP at
// the same time, again and again, and once more after a crash: it is stored once, and
// everybody is told the same seq.
func TestSameClientIDAtOnce(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	const rounds, sockets, posts = 200, 8, 2
	server := start(t)
	pairs, err := server.Pairs(ctx, "same", 1)
	if err != nil {
		t.Fatal(err)
	}
	b := &badInput{server: server, pair: pairs[0]}
	api := server.Client(b.pair.A.Token)

	dial := func() []*websocket.Conn {
		conns := make([]*websocket.Conn, sockets)
		for i := range conns {
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
				sent, err := api.Send(ctx, b.pair.Conversation, id, id.String())
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
	for range rounds {
		id := uuid.Must(uuid.NewV7())
		if seqs[id], err = everywhere(conns, id); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := server.Run(ctx); err != nil {
		t.Fatal(err)
	}
	conns = dial()
	for id, seq := range seqs {
		if again, err := everywhere(conns, id); err != nil || again != seq {
			t.Fatalf("%v had seq %d and has %d after a restart, %v", id, seq, again, err)
		}
	}

	var log []parleytest.Entry
	for {
		page, _, err := api.Entries(ctx, b.pair.Conversation, int64(len(log)), pageSize)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		log = append(log, page...)
	}
	if len(log) != rounds+1 { // and the entry that began the conversation
		t.Errorf("%d entries of %d messages", len(log), rounds)
	}
	for _, e := range log[1:] {
		if seqs[e.ClientID] != e.Seq {
			t.Errorf("%v is at %d, and was acknowledged at %d", e.ClientID, e.Seq, seqs[e.ClientID])
		}
	}
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
