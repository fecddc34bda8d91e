package history

import (
	"slices"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"parley/accounts"
	"parley/chat"
)

// A direct conversation is announced to a side that opened it, and to both from its first
// message on: in the list and in a sync, whoever does what in whatever order.
//
// It does not run in parallel: TestModel changes how often rapid checks.
func TestHiddenDirectModel(t *testing.T) {
	b := setup(t)
	rapid.Check(t, func(rt *rapid.T) {
		ctx := t.Context()
		name := func() string { return "u" + uuid.NewString()[24:] }
		sides := []accounts.UserID{b.user(name()), b.user(name())}
		var id chat.ConversationID
		opened, last := [2]bool{}, chat.Seq(0)
		for range rapid.IntRange(1, 5).Draw(rt, "steps") {
			me := rapid.IntRange(0, 1).Draw(rt, "side")
			if last == 0 || rapid.Bool().Draw(rt, "opens") {
				c, err := b.chat.OpenDirect(ctx, sides[me], sides[1-me])
				if err != nil || !id.IsZero() && c.ID != id {
					rt.Fatalf("%v, %v", c.ID, err)
				}
				id, opened[me], last = c.ID, true, max(last, 1)
			} else {
				sent, err := b.chat.Send(ctx, chat.Outgoing{ConversationID: id, SenderID: sides[me], ClientID: uuid.Must(uuid.NewV7()), Body: "x"})
				if err != nil {
					rt.Fatal(err)
				}
				last = sent.Seq
			}
			for i, user := range sides {
				shown := opened[i] || last > 1
				list, _, err := b.chat.List(ctx, user, "", 100)
				if err != nil || (len(list) == 1) != shown {
					rt.Fatalf("side %d lists %d conversations, %v", i, len(list), err)
				}
				fresh, err := b.Sync(ctx, user, Held{})
				if err != nil || (len(fresh.Conversations) == 1) != shown || slices.Contains(fresh.More, id) != shown || len(fresh.Entries) > 0 {
					rt.Fatalf("side %d, who knows nothing, syncs %+v, %v", i, fresh, err)
				}
				// By id, as a client asks that had it before.
				held, err := b.Sync(ctx, user, Held{Conversations: map[chat.ConversationID]chat.Seq{id: 0}})
				want := last
				if !shown {
					want = 0
				}
				if err != nil || len(held.Entries) != int(want) {
					rt.Fatalf("side %d, who knows the id, syncs %d entries of %d, %v", i, len(held.Entries), want, err)
				}
				log, reaches, err := b.Entries(ctx, user, id, 0, 100)
				if err != nil || reaches != last || len(log) != int(last) {
					rt.Fatalf("side %d reads %d entries of %d, %v", i, len(log), last, err)
				}
			}
		}
	})
}
