package chat

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"parley/accounts"
	"parley/hub"
	"parley/store"
	"parley/store/storetest"
)

// BenchmarkSend stores messages of 128 bytes in 200 conversations, with a number of
// them under way at a time. No sockets: what the log itself costs.
func BenchmarkSend(b *testing.B) {
	for _, inFlight := range []int{1, 16, 200, 1600} {
		b.Run(fmt.Sprintf("%d in flight", inFlight), func(b *testing.B) {
			db := storetest.New(b)
			log := slog.New(slog.DiscardHandler)
			s := New(Config{DB: db, Hub: hub.New(hub.Config{Logger: log, Translate: store.Problem}), Logger: log})
			ctx, stop := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() { defer close(done); _ = s.Run(ctx) }()
			defer func() { stop(); <-done }()

			const pairs = 200
			ann := store.NewID[accounts.User]()
			ids := make([]ConversationID, pairs)
			for i := range pairs {
				ids[i] = store.NewID[Conversation]()
				_, err := db.Exec(b.Context(), `WITH c AS (INSERT INTO conversations (id, kind) VALUES ($1, 'group')),
					u AS (INSERT INTO users (id, username, display_name, password_hash, role) VALUES ($2, 'ann', '', '', 'member') ON CONFLICT DO NOTHING)
					INSERT INTO members (conversation_id, user_id, role, from_seq) SELECT $1, $2, 'member', 1`, ids[i], ann)
				if err != nil {
					b.Fatal(err)
				}
			}
			body := strings.Repeat("x", 128)
			slots := make(chan struct{}, inFlight)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				slots <- struct{}{}
				s.Submit(Outgoing{ConversationID: ids[i%pairs], SenderID: ann, ClientID: newClientID(), Body: body}, func(_ Sent, err error) {
					if err != nil {
						b.Error(err)
					}
					<-slots
				})
			}
			for range inFlight {
				slots <- struct{}{}
			}
		})
	}
}
