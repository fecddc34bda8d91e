package history

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"parley/accounts"
	"parley/chat"
)

const (
	// syncBytes bounds the conversations and entries of a sync's answer, as JSON. The
	// conversations get half of it at most, and one always fits.
	syncBytes = 256 << 10
	// syncConversations and syncEntries are how many are read at most, a little more than
	// could fit; syncSlice is how many conversations are read at a time.
	syncConversations = 400
	syncSlice         = 50
	syncEntries       = 1000
	// syncEach is how many entries of one conversation are read at most, so that the others
	// get their turn.
	syncEach = 500
	// syncMore is how many conversations More names at most.
	syncMore = 2000
)

// Held is what a client has: how far it got in each conversation that it keeps.
type Held struct {
	Conversations map[chat.ConversationID]chat.Seq `json:"conversations"`
	// LastEntries names the last entry held of some of Conversations, so that a log that went
	// another way is noticed.
	LastEntries map[chat.ConversationID]EntryMark `json:"last_entries"`
	KnownEpoch  uuid.UUID                         `json:"known_epoch"`
	// After and UpTo bound what is asked about by id, for a client that keeps more
	// conversations than one sync can name. Zero is no bound.
	After chat.ConversationID `json:"after"`
	UpTo  chat.ConversationID `json:"up_to"`
}

// isAbout says whether the client asks about a conversation.
func (h *Held) isAbout(id chat.ConversationID) bool {
	return bytes.Compare(id[:], h.After[:]) > 0 && (h.UpTo.IsZero() || bytes.Compare(id[:], h.UpTo[:]) <= 0)
}

// EntryMark tells an entry from every other that may ever have its seq: a failover to a standby
// that lacked entries may put others in their places.
type EntryMark struct {
	Seq       chat.Seq  `json:"seq"`
	CreatedAt time.Time `json:"created_at"`
}

// Missed is what a client lacks. Conversations has those that it does not know or that
// went on, most recent first; Entries is what is missing in those it keeps, in order
// within each; More names those that are not brought to their last_seq, or not in
// Conversations: their rest is paged over HTTP. Conversations that the client did not
// name have no entries here; of those that it names and the user is in no more there are
// entries alone. Reset names those of which the client holds entries that are not in the log:
// it drops them, and the rest of the answer is as if it had not named the conversation. All of
// it is bounded; a client that syncs again with what it has got by then gets what did not fit.
type Missed struct {
	Conversations []chat.Conversation   `json:"conversations"`
	Entries       []chat.Entry          `json:"entries"`
	More          []chat.ConversationID `json:"more"`
	Reset         []chat.ConversationID `json:"reset,omitempty"`
}

// Sync gives what a client missed. With another epoch than the server's it gives only
// the conversations, and the client starts afresh: what it holds may never have
// happened here.
func (s *Service) Sync(ctx context.Context, me accounts.UserID, held Held) (Missed, error) {
	m := Missed{Entries: []chat.Entry{}, More: []chat.ConversationID{}}
	afresh := held.KnownEpoch != uuid.Nil && held.KnownEpoch != s.cfg.Epoch
	if afresh {
		held.Conversations, held.LastEntries = nil, nil
	}
	heads, err := s.q.heads(ctx, me, held)
	if err != nil {
		return m, fmt.Errorf("sync: %w", err)
	}
	heads = slices.DeleteFunc(heads, func(h head) bool { return !held.isAbout(h.id) })
	for _, h := range heads {
		if have := held.Conversations[h.id]; h.diverged || have > h.last {
			if m.Reset == nil {
				held.Conversations = maps.Clone(held.Conversations)
			}
			m.Reset = append(m.Reset, h.id)
			delete(held.Conversations, h.id) // as if the client did not know it
		}
	}
	behind := slices.DeleteFunc(heads, func(h head) bool { // not known, or with something new
		have, known := held.Conversations[h.id]
		return known && have >= h.last
	})
	room := allowance(syncBytes / 2)
	if m.Conversations, err = s.faces(ctx, me, behind, &room); err != nil {
		return m, fmt.Errorf("sync: %w", err)
	}
	room += syncBytes / 2

	told := make(map[chat.ConversationID]bool, len(m.Conversations))
	for _, c := range m.Conversations {
		told[c.ID] = true
	}
	reached := make(map[chat.ConversationID]chat.Seq)
	var gaps []gap
	budget := chat.Seq(syncEntries)
	for _, h := range behind {
		have, known := held.Conversations[h.id]
		switch {
		case afresh && told[h.id]:
			reached[h.id] = h.last // there are to be no entries
		case known && (told[h.id] || h.former) && budget > 0:
			have = max(have, 0)
			upTo := min(h.last, have+min(budget, syncEach))
			budget -= upTo - have
			gaps = append(gaps, gap{h.id, have, upTo})
		}
	}
	if len(gaps) > 0 {
		err := s.q.missed(ctx, me, gaps, int(room), func(e chat.Entry) (bool, error) {
			fits, err := room.take(e)
			if fits {
				m.Entries = append(m.Entries, e)
				reached[e.ConversationID] = e.Seq
			}
			return fits, err
		})
		if err != nil {
			return m, fmt.Errorf("sync: %w", err)
		}
	}
	for _, h := range behind {
		if reached[h.id] < h.last && len(m.More) < syncMore {
			m.More = append(m.More, h.id)
		}
	}
	return m, nil
}

// faces describes as many conversations as there is room for. It reads them in slices, so that
// hardly more is read than fits.
func (s *Service) faces(ctx context.Context, me accounts.UserID, of []head, room *allowance) ([]chat.Conversation, error) {
	list := []chat.Conversation{}
	for part := range slices.Chunk(of[:min(len(of), syncConversations)], syncSlice) {
		ids := make([]chat.ConversationID, len(part))
		for i := range part {
			ids[i] = part[i].id
		}
		read, err := s.conversations(ctx, me, ids)
		if err != nil {
			return nil, err
		}
		for _, c := range read {
			fits, err := room.take(c)
			if err != nil || !fits {
				return list, err
			}
			list = append(list, c)
		}
	}
	return list, nil
}

// allowance is how many bytes of JSON still fit.
type allowance int

// take uses up what v needs, if it fits.
func (a *allowance) take(v any) (bool, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return false, fmt.Errorf("measure an answer: %w", err)
	}
	n := allowance(len(b) + 1) // the comma
	if n > *a {
		return false, nil
	}
	*a -= n
	return true, nil
}
