package faults

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/google/uuid"

	"parley/parleytest"
)

// answer takes the answer to a send.
func (c *Client) answer(l *link, f frame) error {
	id, err := uuid.Parse(f.ID)
	if err != nil {
		return strange("an answer to nothing that was asked: %s %q: %s", f.Type, f.ID, f.Error.Detail)
	}
	if f.Type == "error" {
		return c.refused(l, id, f.Error.Code, f.Error.Detail)
	}
	var sent parleytest.Sent
	if err := json.Unmarshal(f.Data, &sent); err != nil || sent.Seq == 0 || sent.ClientID != id {
		return strange("a reply to a send that says %q", f.Data)
	}
	c.acked(id, sent.Seq)
	if sent.Seq%readEvery == 0 {
		c.mu.Lock()
		s := c.sent[id]
		c.mu.Unlock()
		if s != nil {
			go func() {
				// Wherever: the other replica has to see it too.
				if _, _, err := c.read(l.ctx, c.cfg.Replicas.Pick(nil), s.Conversation, sent.Seq-1, 2); err != nil {
					c.suspect(err)
				}
			}()
		}
	}
	if c.cfg.Pause == 0 {
		return c.fill()
	}
	time.AfterFunc(rand.N(2*c.cfg.Pause), func() {
		_ = c.fill() // if the connection has ended, the next one fills
	})
	return nil
}

func (c *Client) acked(id uuid.UUID, seq int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sent[id]; s != nil {
		s.Acks = append(s.Acks, Ack{seq, c.cfg.Clock()})
	}
	if c.waiting[id] != nil {
		c.acks++
		delete(c.waiting, id)
	}
}

// refused tries again what the server asks to try again.
func (c *Client) refused(l *link, id uuid.UUID, code, detail string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.waiting[id]
	if o == nil {
		return nil // acknowledged by another way meanwhile
	}
	switch code {
	case "unavailable", unreachable:
		c.refusals[code]++
		o.send.Doubts++
		time.AfterFunc(100*time.Millisecond+rand.N(200*time.Millisecond), func() {
			// On a connection that has ended meanwhile nothing is sent, and the next one
			// sends everything that waits.
			_ = c.write(l, o)
		})
		return nil
	case "not_found": // put out of the group meanwhile: for the check to judge
		o.send.Refused = true
		delete(c.waiting, id)
		time.AfterFunc(rand.N(2*c.cfg.Pause+time.Millisecond), func() { _ = c.fill() })
		return nil
	default:
		delete(c.waiting, id)
		return strange("a send was refused: %s: %s", code, detail)
	}
}

func (c *Client) write(l *link, o *outgoing) error {
	return l.write("message.send", o.send.Client.String(), map[string]any{
		"conversation_id": o.send.Conversation, "client_id": o.send.Client, "body": o.body,
	})
}

// post sends a waiting message over HTTP.
func (c *Client) post(l *link, o *outgoing) {
	sent, err := l.server.Client(c.cfg.Session.Token).Send(l.ctx, o.send.Conversation, o.send.Client, o.body)
	if err == nil {
		c.acked(o.send.Client, sent.Seq)
		_ = c.fill() // if the connection has ended, the next one fills
		return
	}
	code, detail := unreachable, err.Error()
	if p, ok := errors.AsType[*parleytest.Problem](err); ok {
		code, detail = p.Code, p.Detail
	}
	if err := c.refused(l, o.send.Client, code, detail); err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.strange = append(c.strange, err)
	}
}

// fill begins as many sends as InFlight allows.
func (c *Client) fill() error {
	for {
		o, l := c.next()
		if o == nil {
			return nil
		}
		if err := c.write(l, o); err != nil {
			return err
		}
	}
}

// next begins a send in any conversation, if there is a connection to send it on: when
// that breaks, the one after it finds the message among those that wait.
func (c *Client) next() (*outgoing, *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil || c.ceased || len(c.waiting) >= c.cfg.InFlight {
		return nil, nil
	}
	for _, i := range rand.Perm(len(c.order)) {
		if r := c.order[i]; r.member {
			id := uuid.Must(uuid.NewV7())
			body := id.String() + strings.Repeat(" lorem", bodyBytes/6)
			s := &Send{
				Conversation: r.id, Client: id, Sender: c.cfg.Session.User.ID,
				Body: DigestOf(body), At: c.cfg.Clock(),
			}
			c.sends = append(c.sends, s)
			c.sent[id] = s
			o := &outgoing{s, body}
			c.waiting[id] = o
			return o, c.current
		}
	}
	return nil, nil
}
