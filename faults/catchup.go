package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/google/uuid"

	"parley/parleytest"
)

const syncID = "sync"

// sync asks for what was missed, right after hello.
func (c *Client) sync(ctx context.Context, l *link) error {
	c.mu.Lock()
	after := c.heldSeq()
	c.mu.Unlock()
	l.asked = Read{User: c.cfg.Session.User.ID, Conversation: c.cfg.Conversation, Began: c.cfg.Clock(), After: after}
	return write(ctx, l.ws, "sync", syncID, map[string]any{
		"conversations": map[string]int64{c.cfg.Conversation.String(): after},
	})
}

// caughtUp takes the answer to sync, pages what did not fit, then takes what came live
// meanwhile, and sends what waits.
func (c *Client) caughtUp(ctx context.Context, l *link, data []byte) error {
	var answer struct {
		Entries []parleytest.Entry `json:"entries"`
		More    []uuid.UUID        `json:"more"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return strange("an answer to sync that cannot be read: %v", err)
	}
	read := l.asked
	for _, e := range answer.Entries {
		if e.ConversationID == c.cfg.Conversation {
			read.Entries = append(read.Entries, observed(e))
		}
	}
	more := slices.Contains(answer.More, c.cfg.Conversation)
	read.Whole = !more
	c.mu.Lock()
	if len(read.Entries) > 0 || !more { // else it was left to paging altogether
		c.reads = append(c.reads, read)
	}
	c.held = append(c.held, read.Entries...)
	c.mu.Unlock()
	if more {
		if err := c.page(ctx); err != nil {
			return err
		}
	}

	c.mu.Lock()
	for _, e := range l.early {
		c.apply(e)
	}
	l.early, l.caught, c.current = nil, true, l.ws
	again := make([]*outgoing, 0, len(c.waiting))
	for _, o := range c.waiting {
		again = append(again, o)
	}
	c.mu.Unlock()
	for _, o := range again {
		if rand.IntN(4) == 0 {
			go c.post(ctx, l, o) // the other way in has to know the same client_ids
		} else if err := c.write(ctx, l.ws, o); err != nil {
			return err
		}
	}
	return c.fill(ctx)
}

// page reads on over HTTP until the end of the log.
func (c *Client) page(ctx context.Context) error {
	for {
		c.mu.Lock()
		after := c.heldSeq()
		c.mu.Unlock()
		read, err := c.read(ctx, after, pageSize)
		if err != nil {
			return fmt.Errorf("page what was missed: %w", err)
		}
		c.mu.Lock()
		c.held = append(c.held, read.Entries...)
		c.mu.Unlock()
		if read.Whole || len(read.Entries) == 0 {
			return nil
		}
	}
}

// read asks once for what follows after, and records the answer.
func (c *Client) read(ctx context.Context, after int64, limit int) (Read, error) {
	read := Read{User: c.cfg.Session.User.ID, Conversation: c.cfg.Conversation, Began: c.cfg.Clock(), After: after}
	entries, last, err := c.cfg.Server.Client(c.cfg.Session.Token).Entries(ctx, c.cfg.Conversation, after, limit)
	if err != nil {
		return read, err
	}
	end := after
	for _, e := range entries {
		read.Entries = append(read.Entries, observed(e))
		end = e.Seq
	}
	read.Whole = end >= last
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads = append(c.reads, read)
	return read, nil
}

// post sends a waiting message over HTTP.
func (c *Client) post(ctx context.Context, l *link, o *outgoing) {
	sent, err := c.cfg.Server.Client(c.cfg.Session.Token).Send(ctx, c.cfg.Conversation, o.send.Client, o.body)
	if err == nil {
		c.acked(o.send.Client, sent.Seq)
		_ = c.fill(ctx) // if the connection has ended, the next one fills
		return
	}
	code, detail := unreachable, err.Error()
	if p, ok := errors.AsType[*parleytest.Problem](err); ok {
		code, detail = p.Code, p.Detail
	}
	if err := c.refused(ctx, l, o.send.Client, code, detail); err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.strange = append(c.strange, err)
	}
}
