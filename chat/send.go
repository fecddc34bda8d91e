package chat

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"parley/accounts"
	"parley/problem"
	"parley/text"
)

// check says what is wrong with a message before it costs anything.
func (m Outgoing) check() error {
	switch {
	case m.ConversationID.IsZero():
		return invalid("conversation_id", "is missing")
	case m.ClientID == uuid.Nil:
		return invalid("client_id", "is missing")
	case m.ReplyTo < 0:
		return invalid("reply_to", "is not a seq")
	}
	return checkText(m.Body, m.Mentions)
}

// checkText says what is wrong with the text of a message.
func checkText(body string, mentions []accounts.UserID) error {
	switch {
	case len(body) > MaxBody:
		return problem.Newf(problem.TooLarge, "The message is too long: %d bytes, where %d are allowed.", len(body), MaxBody)
	case !text.Visible(body):
		return invalid("body", "is empty")
	case !utf8.ValidString(body):
		return invalid("body", "is not UTF-8")
	case strings.ContainsRune(body, 0):
		return invalid("body", "contains a NUL character")
	case len(mentions) > MaxMentions:
		return problem.Newf(problem.TooLarge, "The message mentions %d people, where %d are allowed.", len(mentions), MaxMentions)
	}
	return nil
}

// invalid says what is wrong with a field of a message or an action.
func invalid(field, message string) error {
	p := problem.New(problem.Invalid, "This cannot be sent: "+field+" "+message+".")
	p.Fields = []problem.Field{{Location: field, Message: message}}
	return p
}

// Submit hands a message to the writer of its conversation and returns. done is called
// once, from another goroutine, after the message is stored for good or refused; it
// must not block. Messages submitted one after the other to one conversation are stored
// in that order.
func (s *Service) Submit(m Outgoing, done func(Sent, error)) {
	if err := m.check(); err != nil {
		done(Sent{}, err)
		return
	}
	if err := s.budget.takeMessage(m.SenderID, m.ConversationID, len(m.Body)); err != nil {
		done(Sent{}, err)
		return
	}
	p := &pending{Outgoing: m, since: time.Now(), done: done}
	if err := s.writerOf(m.ConversationID).put(p); err != nil {
		p.answer(Sent{}, err)
	}
}

// Send stores a message and returns where. A repeat (the same client_id by the same
// sender with the same body) gives the place of the first. Errors: ErrNotMember,
// ErrClientID, ErrNoReplied, ErrOverloaded (nothing was stored), ErrUnknown (send it
// again with the same client_id), and the codes invalid, too_large and rate_limited.
func (s *Service) Send(ctx context.Context, m Outgoing) (Sent, error) {
	type answer struct {
		sent Sent
		err  error
	}
	answers := make(chan answer, 1)
	s.Submit(m, func(sent Sent, err error) { answers <- answer{sent, err} })
	select {
	case a := <-answers:
		return a.sent, a.err
	case <-ctx.Done():
		return Sent{}, ErrUnknown.Because(ctx.Err())
	}
}
