package history

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"parley/accounts"
	"parley/chat"
)

// A client that keeps more conversations than one sync can name asks in parts, by id. The
// parts tell together what one sync would, and nothing twice.
func TestSyncInParts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	held := map[chat.ConversationID]chat.Seq{}
	var ids []chat.ConversationID
	for i := range 7 {
		id, _ := b.conversation(fmt.Sprint("user", i), 2) // seqs 1 to 3
		ids = append(ids, id)
		if i != 5 { // of which the client does not know
			held[id] = chat.Seq(i%2)*2 + 1 // all of it, or one entry
		}
	}
	slices.SortFunc(ids, func(x, y chat.ConversationID) int { return bytes.Compare(x[:], y[:]) })
	sync := func(h Held) Missed {
		t.Helper()
		m, err := b.Sync(t.Context(), b.ann, h)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	whole := sync(Held{Conversations: held})
	if len(whole.Conversations) != 5 || len(whole.Entries) != 8 {
		t.Fatalf("%d conversations, %d entries", len(whole.Conversations), len(whole.Entries))
	}
	var told []chat.ConversationID
	entries := 0
	for from := 0; from < len(ids); from += 3 {
		h := Held{Conversations: map[chat.ConversationID]chat.Seq{}}
		part := ids[from:min(from+3, len(ids))]
		if from > 0 {
			h.After = ids[from-1]
		}
		if from+3 < len(ids) {
			h.UpTo = ids[from+2]
		}
		for _, id := range part {
			if seq, ok := held[id]; ok {
				h.Conversations[id] = seq
			}
		}
		m := sync(h)
		entries += len(m.Entries)
		for _, c := range m.Conversations {
			if !slices.Contains(part, c.ID) || slices.Contains(told, c.ID) {
				t.Errorf("the part from %d tells of %s", from, c.ID)
			}
			told = append(told, c.ID)
		}
	}
	if len(told) != len(whole.Conversations) || entries != len(whole.Entries) {
		t.Errorf("the parts tell of %d conversations and %d entries", len(told), entries)
	}
	if m := sync(Held{Conversations: held, After: ids[6]}); len(m.Conversations)+len(m.Entries)+len(m.More)+len(m.Reset) > 0 {
		t.Errorf("after the last id there is %+v", m)
	}
}

// Conversations are read until the answer is full, and not all that there could be room for.
func TestSyncReadsConversationsInSlices(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const friends = 2 * syncSlice
	for i := range friends {
		id, _ := b.conversation(fmt.Sprintf("friend%d", i), 0)
		b.say(id, 1, strings.Repeat("x", chat.MaxBody/2))
	}
	read := 0
	b.conversations = func(ctx context.Context, me accounts.UserID, ids []chat.ConversationID) ([]chat.Conversation, error) {
		read += len(ids)
		return b.chat.Conversations(ctx, me, ids)
	}
	m, err := b.Sync(t.Context(), b.ann, Held{})
	if err != nil || len(m.Conversations) == 0 || len(m.More) != friends {
		t.Fatalf("%d conversations, %d more, %v", len(m.Conversations), len(m.More), err)
	}
	if read != syncSlice {
		t.Errorf("%d conversations were read for the %d that fit", read, len(m.Conversations))
	}
}
