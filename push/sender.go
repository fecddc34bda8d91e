package push

import (
	"context"
	"fmt"
	"time"

	"parley/chat"
	"parley/text"
)

// Sender hands notifications to a push service.
type Sender interface {
	// Send sends one, and says what the service made of it. It takes ten seconds at most.
	Send(ctx context.Context, to Target, n Notification) Answer
}

// Notification is what a device gets, as JSON: docs/PROTOCOL.md describes it.
type Notification struct {
	Type           string                `json:"type"` // message, read or test
	ConversationID chat.ConversationID   `json:"conversation_id,omitzero"`
	Seq            chat.Seq              `json:"seq,omitempty"`
	Title          string                `json:"title,omitempty"`
	Body           string                `json:"body,omitempty"`
	Count          int                   `json:"count,omitempty"`
	Unread         int                   `json:"unread"`
	Tag            string                `json:"tag,omitempty"`
	Read           []chat.ConversationID `json:"read,omitempty"`
	At             time.Time             `json:"at"`
}

// Outcome is what became of a notification.
type Outcome int

// The outcomes.
const (
	Later    Outcome = iota // not now, or not known: it is tried again
	Accepted                // the service has it
	Gone                    // the service knows the device no more
	Refused                 // the service finds fault with it; a shorter one, perhaps, it takes
)

// Answer is what a push service said.
type Answer struct {
	Outcome    Outcome
	Status     int           // of HTTP; 0: there was none
	RetryAfter time.Duration // not before; 0: the service did not say
	Reason     string        // in words, if it was not accepted; without what is secret
}

const (
	// life is how long a notification matters: push services keep it for as long.
	life = 7 * 24 * time.Hour
	// appName is what notifications are from that do not say more.
	appName = "Parley"
	// newMessage is what notifications without text say.
	newMessage = "New message"
	// countCap is how many messages of a conversation are counted.
	countCap = 100
	// maxText is how many characters of a message are shown. selectOwed reads one more, which
	// tells whether the last one is whole.
	maxText = 1000
)

// message is what a device is told of a conversation; generic leaves out who wrote what.
func (t *turn) message(j job, generic bool) Notification {
	n := Notification{
		Type: "message", ConversationID: j.conversation, Seq: j.seq, Count: j.count, Unread: t.unread,
		Title: appName, Body: newMessage, Tag: j.conversation.String(), At: j.at.UTC(),
	}
	for _, id := range t.read {
		if id != j.conversation && !t.silently() { // those are told by themselves
			n.Read = append(n.Read, id)
		}
	}
	several := ""
	if j.count > 1 {
		several = fmt.Sprintf("%d new messages", j.count)
		if j.count >= countCap {
			several = fmt.Sprintf("%d+ new messages", countCap-1)
		}
		n.Body = several
	}
	if generic {
		return n
	}
	n.Title = cut(j.sender, 200)
	body := cut(text.Cut(j.text, maxText), 1200)
	if j.group {
		n.Title, body = cut(j.title, 400), cut(j.sender, 200)+": "+body
	}
	if n.Body = body; several != "" {
		n.Body = several + "\n" + body
	}
	return n
}

// cut shortens a text to so many bytes, and not in the middle of an emoji.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return text.CutBytes(s, limit) + "…"
}
