package faults

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/google/uuid"

	"parley/parleytest"
)

// The ids of requests that are no sends; those are known by their client_id.
const (
	syncID      = "sync"
	heartbeatID = "beat"
	markID      = "mark"
)

// take handles one frame.
func (c *Client) take(l *link, f frame) error {
	switch {
	case f.Type == "hello":
		return c.greeted(l, f.Data)
	case f.Type == "entry":
		var e parleytest.Entry
		if err := json.Unmarshal(f.Data, &e); err != nil {
			return strange("an entry that cannot be read: %v", err)
		}
		c.entry(l, e)
		return nil
	case f.Type == "receipt":
		return c.receipt(f.Data)
	case f.ID == syncID && f.Type == "reply":
		return c.caughtUp(l, f.Data)
	case f.ID == syncID && f.Error.Code == "unavailable":
		return errors.New("catching up is unavailable")
	case f.ID == heartbeatID, f.ID == markID: // marks are said again
		if f.Error.Code == "rate_limited" {
			return strange("a heartbeat or a mark was refused: %s", f.Error.Detail)
		}
		return nil
	case f.Type == "reply" || f.Type == "error":
		return c.answer(l, f)
	default:
		return nil // an event of no interest here
	}
}

// greeted begins to catch up, and afresh if this is another database.
func (c *Client) greeted(l *link, data []byte) error {
	var hello struct {
		Epoch string `json:"epoch"`
	}
	if err := json.Unmarshal(data, &hello); err != nil || hello.Epoch == "" {
		return strange("a hello that says %q", data)
	}
	c.mu.Lock()
	if c.epoch != "" && c.epoch != hello.Epoch {
		c.afresh()
	}
	c.epoch = hello.Epoch
	for _, r := range c.order {
		r.said = 0 // a crash forgets what was not written yet
	}
	c.mu.Unlock()
	return c.sync(l)
}

// afresh forgets what was seen of another database, and what it acknowledged later than
// what this one was restored to. What waits is sent again.
func (c *Client) afresh() {
	for _, r := range c.order {
		r.held, r.member = nil, false
	}
	c.live, c.reads, c.told, c.seen = nil, nil, nil, nil
	for _, s := range c.sends {
		acked := len(s.Acks) > 0
		s.Acks = slices.DeleteFunc(s.Acks, func(a Ack) bool { return a.At >= c.backedUp })
		if acked && len(s.Acks) == 0 {
			c.acks--
		}
		s.Former = len(s.Acks) == 0 && c.waiting[s.Client] == nil
	}
}

// entry takes a live entry: at once when caught up, later while catching up.
func (c *Client) entry(l *link, e parleytest.Entry) {
	s := l.streams[e.ConversationID]
	c.mu.Lock()
	defer c.mu.Unlock()
	if s == nil {
		s = &stream{conversation: e.ConversationID}
		l.streams[e.ConversationID] = s
		c.live = append(c.live, s)
	}
	s.entries = append(s.entries, observed(e))
	c.seen = append(c.seen, sighting{e.ConversationID, e.Seq, c.cfg.Clock()})
	if !l.caught {
		l.early = append(l.early, e)
		return
	}
	c.arrived(l, e)
}

// arrived applies a live entry, unless what is before it has to be fetched first.
// c.mu is held.
func (c *Client) arrived(l *link, e parleytest.Entry) {
	known := c.rooms[e.ConversationID] != nil
	switch r := c.room(e.ConversationID); {
	case r.late != nil:
		r.late = append(r.late, e)
	case known || e.Seq == 1:
		c.apply(r, e)
	default:
		r.late = append(r.late, e)
		go c.acquaint(l, r)
	}
}

// acquaint fetches what there is of a conversation that is new to the client and of which
// something later came first: who came back to a group may see an earlier stretch, of which
// a device that was away knows nothing, and of a group that one was put out of just before
// the sync there is only the entry that says so.
func (c *Client) acquaint(l *link, r *room) {
	if err := c.page(l.ctx, l.server, r.id); err != nil {
		c.suspect(err)
		// The next connection asks for it. What this one still brings has to wait until then.
		_ = l.ws.CloseNow()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range r.late {
		c.apply(r, e)
	}
	r.late = nil
}

// suspect notes an answer that no fault excuses: who asks for entries is or was a member.
func (c *Client) suspect(err error) {
	if p, ok := errors.AsType[*parleytest.Problem](err); ok && p.Status != http.StatusServiceUnavailable {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.strange = append(c.strange, err)
	}
}

// apply takes an entry that is new. A live one that the answer to sync had already is not:
// a commit may be read before it is delivered. A hole is left for the check to find.
// c.mu is held.
func (c *Client) apply(r *room, e parleytest.Entry) {
	if e.Seq > r.heldSeq() {
		c.belongs(r, e)
		r.held = append(r.held, observed(e))
	}
}

// belongs notes whether an entry lets the user in or out. c.mu is held.
func (c *Client) belongs(r *room, e parleytest.Entry) {
	me := c.cfg.Session.User.ID
	switch e.Kind {
	case "created", "member_added":
		for _, u := range append(e.UserIDs, e.UserID) {
			r.member = r.member || u == me
		}
	case "member_removed", "member_left":
		r.member = r.member && e.UserID != me
	}
}

func (r *room) heldSeq() int64 {
	if len(r.held) == 0 {
		return 0
	}
	return r.held[len(r.held)-1].Seq
}

// sayMarks says what the client has and has not said.
func (c *Client) sayMarks(l *link) error {
	var marks []Mark
	c.mu.Lock()
	if c.current == l {
		for _, r := range c.order {
			if held := r.heldSeq(); r.member && held > r.said {
				r.said = held
				marks = append(marks, Mark{c.cfg.Session.User.ID, r.id, held, c.cfg.Clock()})
			}
		}
	}
	c.said = append(c.said, marks...)
	c.mu.Unlock()
	for _, m := range marks {
		if err := l.write("receipt.delivered", markID, map[string]any{"conversation_id": m.Conversation, "seq": m.Seq}); err != nil {
			return err
		}
	}
	return nil
}

// receipt notes what the server says that somebody has.
func (c *Client) receipt(data []byte) error {
	var m struct {
		ConversationID uuid.UUID `json:"conversation_id"`
		UserID         uuid.UUID `json:"user_id"` // zero: everybody in the group
		DeliveredSeq   int64     `json:"delivered_seq"`
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return strange("a receipt that cannot be read: %v", err)
	}
	if m.UserID != uuid.Nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.told = append(c.told, Mark{m.UserID, m.ConversationID, m.DeliveredSeq, c.cfg.Clock()})
	}
	return nil
}
