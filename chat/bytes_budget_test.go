package chat

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"parley/problem"
)

// How much text a user sends to a conversation, and to all, is bounded; edits count.
func TestBytesBudget(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	seq := b.send(ann, id, "x").Seq
	b.budget = newBudgets(nil)
	page := strings.Repeat("x", MaxBody)
	send := func(to ConversationID) error {
		_, err := b.Send(t.Context(), Outgoing{ConversationID: to, SenderID: ann, ClientID: uuid.Must(uuid.NewV7()), Body: page})
		return err
	}
	limited := func(what string, err error) {
		t.Helper()
		var p *problem.Error
		if !errors.As(err, &p) || p.Code != problem.RateLimited || p.RetryAfter <= 0 {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := b.budget.bytes.Take(mine{ann, id}, bytesBurst); err != nil {
		t.Fatal(err)
	}
	limited("a message", send(id))
	_, err := b.Act(t.Context(), Action{Kind: KindEdit, ConversationID: id, SenderID: ann, TargetSeq: seq, Body: page})
	limited("an edit", err)
	if _, err := b.Act(t.Context(), Action{Kind: KindReactionAdded, ConversationID: id, SenderID: ann, TargetSeq: seq, Emoji: "👍"}); err != nil {
		t.Errorf("a reaction, which has no text: %v", err)
	}
	other, err := b.CreateGroup(t.Context(), ann, "Other", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := send(other.ID); err != nil {
		t.Errorf("a message to another conversation: %v", err)
	}
	if err := b.budget.allBytes.Take(ann, allBytesBurst-len(page)); err != nil {
		t.Fatal(err)
	}
	limited("a message beyond what all conversations may get", send(other.ID))
	if _, err := b.Send(t.Context(), Outgoing{ConversationID: id, SenderID: ben, ClientID: uuid.Must(uuid.NewV7()), Body: page}); err != nil {
		t.Errorf("another user: %v", err)
	}
}
