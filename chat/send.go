package chat

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"parley/problem"
)

// check says what is wrong with a message before it costs anything.
func (m Outgoing) check() error {
	bad := func(field, message string) error {
		p := problem.New(problem.Invalid, "The message cannot be sent: "+field+" "+message+".")
		p.Fields = []problem.Field{{Location: field, Message: message}}
		return p
	}
	switch {
	case m.ConversationID.IsZero():
		return bad("conversation_id", "is missing")
	case m.ClientID == uuid.Nil:
		return bad("client_id", "is missing")
	case m.Body == "":
		return bad("body", "is empty")
	case len(m.Body) > MaxBody:
		return problem.Newf(problem.TooLarge, "The message is too long: %d bytes, where %d are allowed.", len(m.Body), MaxBody)
	case !utf8.ValidString(m.Body):
		return bad("body", "is not UTF-8")
	case strings.ContainsRune(m.Body, 0):
		return bad("body", "contains a NUL character")
	case m.ReplyTo < 0:
		return bad("reply_to", "is not a seq")
	}
	return nil
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
	if err := s.writerOf(m.ConversationID).put(&pending{m, time.Now(), done}); err != nil {
		done(Sent{}, err)
	}
}

// Send stores a message and returns where. A repeat (the same client_id by the same
// sender with the same body) gives the place of the first. Errors: ErrNotMember,
// ErrClientID, ErrNoReplied, ErrOverloaded (nothing was stored), ErrUnknown (send it
// again with the same client_id), and the codes invalid and too_large.
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
