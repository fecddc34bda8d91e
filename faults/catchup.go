package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/google/uuid"

	"parley/parleytest"
)

// sync asks for what was missed, right after hello.
func (c *Client) sync(l *link) error {
	c.mu.Lock()
	l.asked = map[uuid.UUID]Read{}
	after := map[string]int64{}
	for _, r := range c.order {
		after[r.id.String()] = r.heldSeq()
		l.asked[r.id] = Read{User: c.cfg.Session.User.ID, Conversation: r.id, Began: c.cfg.Clock(), After: r.heldSeq()}
	}
	epoch := c.epoch
	c.mu.Unlock()
	return l.write("sync", syncID, map[string]any{"conversations": after, "known_epoch": epoch})
}

// caughtUp takes the answer to sync, pages what did not fit, then takes what came live
// meanwhile, and sends what waits.
func (c *Client) caughtUp(l *link, data []byte) error {
	var answer struct {
		Conversations []parleytest.Conversation `json:"conversations"`
		Entries       []parleytest.Entry        `json:"entries"`
		More          []uuid.UUID               `json:"more"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return strange("an answer to sync that cannot be read: %v", err)
	}
	more := answer.More
	c.mu.Lock()
	for _, conv := range answer.Conversations {
		if _, known := l.asked[conv.ID]; !known && !slices.Contains(more, conv.ID) {
			more = append(more, conv.ID)
		}
	}
	for _, e := range answer.Entries {
		read, known := l.asked[e.ConversationID]
		if !known {
			c.mu.Unlock()
			return strange("sync brought an entry of %v, for which it was not asked", e.ConversationID)
		}
		read.Entries = append(read.Entries, observed(e))
		l.asked[e.ConversationID] = read
		c.apply(c.room(e.ConversationID), e)
	}
	for id, read := range l.asked {
		read.Whole = !slices.Contains(more, id)
		if len(read.Entries) > 0 || read.Whole { // else it was left to paging altogether
			c.reads = append(c.reads, read)
		}
	}
	c.mu.Unlock()
	for _, id := range more {
		if err := c.page(l.ctx, l.server, id); err != nil {
			return err
		}
	}

	c.mu.Lock()
	for _, e := range l.early {
		c.arrived(l, e)
	}
	l.early, l.caught, c.current = nil, true, l
	c.spans = append(c.spans, span{up: c.cfg.Clock(), server: l.server})
	again := make([]*outgoing, 0, len(c.waiting))
	for _, o := range c.waiting {
		again = append(again, o)
	}
	c.mu.Unlock()
	for _, o := range again {
		if rand.IntN(4) == 0 {
			go c.post(l, o) // the other way in has to know the same client_ids
		} else if err := c.write(l, o); err != nil {
			return err
		}
	}
	return c.fill()
}

// page reads a conversation on over HTTP until the end of the log.
func (c *Client) page(ctx context.Context, server *parleytest.Server, id uuid.UUID) error {
	for {
		c.mu.Lock()
		after := c.room(id).heldSeq()
		c.mu.Unlock()
		c.pages.Add(1)
		read, entries, err := c.read(ctx, server, id, after, pageSize)
		if err != nil {
			return fmt.Errorf("page what was missed: %w", err)
		}
		c.mu.Lock()
		for _, e := range entries {
			c.apply(c.room(id), e)
		}
		c.mu.Unlock()
		if read.Whole || len(entries) == 0 {
			return nil
		}
	}
}

// read asks once for what follows after, and records the answer.
func (c *Client) read(ctx context.Context, server *parleytest.Server, id uuid.UUID, after int64, limit int) (Read, []parleytest.Entry, error) {
	c.mu.Lock()
	epoch := c.epoch
	c.mu.Unlock()
	read := Read{User: c.cfg.Session.User.ID, Conversation: id, Began: c.cfg.Clock(), After: after}
	entries, last, err := server.Client(c.cfg.Session.Token).Entries(ctx, id, after, limit)
	if err != nil {
		return read, nil, err
	}
	end := after
	for _, e := range entries {
		read.Entries = append(read.Entries, observed(e))
		end = e.Seq
	}
	read.Whole = end >= last
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch == epoch { // else of a database that is no more
		c.reads = append(c.reads, read)
	}
	return read, entries, nil
}
