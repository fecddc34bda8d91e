package chat

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"parley/accounts"
	"parley/problem"
)

// However often a message was edited, who reads it gets one text, and not every one there was.
func TestManyEditsAreReadOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	seq := b.send(ann, id, "first").Seq
	b.exec(`INSERT INTO entries (conversation_id, seq, kind, sender_id, created_at, body, target_seq)
		SELECT e.conversation_id, e.seq + n, 'edit', e.sender_id, now(), repeat('x', 16000) || n, e.seq
		FROM entries e, generate_series(1, 2000) n WHERE e.body = 'first'`,
		`UPDATE conversations SET last_seq = last_seq + 2000`)
	c, err := b.Conversation(t.Context(), ben, id)
	if err != nil || !strings.HasSuffix(c.LastMessage.Body, "x2000") {
		t.Fatalf("%.20s… %v", c.LastMessage.Body, err)
	}
	var bytes int
	err = b.db.QueryRow(t.Context(), `WITH v AS (SELECT $1::uuid AS id, $2::uuid AS user_id), e AS (SELECT $3::bigint AS seq)
		SELECT length(f.actions::text) FROM v CROSS JOIN e CROSS JOIN LATERAL (`+actionsOn+`) f`, id, ben, seq).Scan(&bytes)
	if err != nil || bytes > 20_000 {
		t.Errorf("%d bytes for a text of 16,000, %v", bytes, err)
	}
}

// One person can do so much to a message, and then no more; others still can.
func TestActionLimits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	seq := b.send(ann, id, "x").Seq
	react := func(user accounts.UserID, kind Kind) error {
		_, err := b.Act(t.Context(), Action{Kind: kind, ConversationID: id, SenderID: user, TargetSeq: seq, Emoji: "👍"})
		return err
	}
	for i := range maxToggles {
		if err := react(ben, []Kind{KindReactionAdded, KindReactionRemoved}[i%2]); err != nil {
			t.Fatal(i, err)
		}
	}
	var refused *problem.Error
	if err := react(ben, KindReactionAdded); !errors.As(err, &refused) || refused.Code != problem.TooLarge {
		t.Errorf("one more: %v", err)
	}
	if err := react(ann, KindReactionAdded); err != nil {
		t.Error(err)
	}
	edit := func(i int) error {
		_, err := b.Act(t.Context(), Action{Kind: KindEdit, ConversationID: id, SenderID: ann, TargetSeq: seq, Body: fmt.Sprint("text ", i)})
		return err
	}
	for i := range maxEdits {
		if err := edit(i); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := edit(maxEdits); !errors.As(err, &refused) || refused.Code != problem.TooLarge {
		t.Errorf("one edit more: %v", err)
	}
	if err := edit(maxEdits - 1); err != nil {
		t.Errorf("the last edit again: %v", err)
	}
	if _, err := b.Act(t.Context(), Action{Kind: KindDelete, ConversationID: id, SenderID: ann, TargetSeq: seq}); err != nil {
		t.Errorf("deleting what was edited so often: %v", err)
	}
}

// What one user does to messages is bounded for all conversations together, beside what they send.
func TestActionBudget(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	seq := b.send(ann, id, "x").Seq
	b.budget = newBudgets(nil)
	if err := b.budget.actions.Take(ann, actionsBurst); err != nil {
		t.Fatal(err)
	}
	edit := Action{Kind: KindEdit, ConversationID: id, SenderID: ann, TargetSeq: seq, Body: "y"}
	var refused *problem.Error
	if _, err := b.Act(t.Context(), edit); !errors.As(err, &refused) || refused.Code != problem.RateLimited || refused.RetryAfter <= 0 {
		t.Errorf("beyond the budget: %v", err)
	}
	b.send(ann, id, "still sent")
	if _, err := b.Act(t.Context(), Action{Kind: KindReactionAdded, ConversationID: id, SenderID: ben, TargetSeq: seq, Emoji: "👍"}); err != nil {
		t.Errorf("another user: %v", err)
	}
	// An action is a message's worth as well.
	if err := b.budget.messages.Take(ben, messagesBurst-1); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Act(t.Context(), Action{Kind: KindReactionRemoved, ConversationID: id, SenderID: ben, TargetSeq: seq, Emoji: "👍"}); !errors.As(err, &refused) || refused.Code != problem.RateLimited {
		t.Errorf("beyond what a user sends: %v", err)
	}
}

// Many who act on one message at once take no more connections than one of them would: the
// pool is there for everybody else.
func TestActionsLeaveThePoolAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	seq := b.send(ann, id, "x").Seq
	// The row is locked: what waits for it, waits until the end.
	tx, err := b.db.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }() // after a commit this does nothing
	if _, err := tx.Exec(t.Context(), lockConversations, []ConversationID{id}); err != nil {
		t.Fatal(err)
	}
	var acting sync.WaitGroup
	for range 200 {
		acting.Go(func() {
			if _, err := b.Act(t.Context(), Action{Kind: KindReactionAdded, ConversationID: id, SenderID: ben, TargetSeq: seq, Emoji: "👍"}); err != nil {
				t.Error(err)
			}
		})
	}
	for range 50 { // would wait for a connection, if those who act had them all
		if _, err := b.Conversation(t.Context(), ann, id); err != nil {
			t.Fatal(err)
		}
		if n := b.db.Pool().Stat().AcquiredConns(); n > 4 {
			t.Fatalf("%d connections are taken", n)
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	acting.Wait()
}

// Reads that hold every connection there is for them delay nothing that is stored.
func TestReadsDoNotDelayWriting(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	eve, group := b.user("eve"), b.group(ann, ben)
	for range b.db.Pool().Config().MaxConns {
		conn, err := b.db.Pool().Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Release()
	}
	seq := b.send(ann, id, "hello").Seq
	if _, err := b.Act(t.Context(), Action{Kind: KindReactionAdded, ConversationID: id, SenderID: ben, TargetSeq: seq, Emoji: "👍"}); err != nil {
		t.Error(err)
	}
	if _, err := b.AddMembers(t.Context(), ann, group, []accounts.UserID{eve}); err != nil {
		t.Error(err)
	}
}

// An edit that names other people changes whom the message names, with the same text, too.
func TestEditOfMentions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	seq := b.send(ann, id, "@ben").Seq
	edit := func(mentions ...accounts.UserID) Sent {
		t.Helper()
		sent, err := b.Act(t.Context(), Action{Kind: KindEdit, ConversationID: id, SenderID: ann, TargetSeq: seq, Body: "@ben", Mentions: mentions})
		if err != nil {
			t.Fatal(err)
		}
		return sent
	}
	if sent := edit(); !sent.Repeat {
		t.Errorf("the same again: %+v", sent)
	}
	if sent := edit(ben); sent.Repeat || sent.Seq != seq+1 {
		t.Errorf("with a mention: %+v", sent)
	}
	if sent := edit(ben); !sent.Repeat || sent.Seq != seq+1 {
		t.Errorf("with it again: %+v", sent)
	}
	if sent := edit(); sent.Repeat || sent.Seq != seq+2 {
		t.Errorf("without: %+v", sent)
	}
}
