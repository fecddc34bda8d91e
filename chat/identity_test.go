package chat

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"parley/accounts"
	"parley/problem"
)

// vectors reads one of the files that the interface's tests read as well.
func vectors[T any](t *testing.T, name string) (v T) {
	t.Helper()
	b, err := os.ReadFile("../testdata/text-identity/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return decode[T](t, b)
}

func isInvalid(err error) bool {
	var p *problem.Error
	return errors.As(err, &p) && p.Code == problem.Invalid
}

func (b *bundle) react(user accounts.UserID, id ConversationID, seq Seq, emoji string, kind Kind) (Sent, error) {
	return b.Act(b.t.Context(), Action{Kind: kind, ConversationID: id, SenderID: user, ClientID: newClientID(), TargetSeq: seq, Emoji: emoji})
}

// reactions are those of the last message, as a page and as the log's entries in order give them.
func (b *bundle) reactions(user accounts.UserID, id ConversationID) []Reaction {
	b.t.Helper()
	c, err := b.Conversation(b.t.Context(), user, id)
	if err != nil {
		b.t.Fatal(err)
	}
	replayed := Message{Reactions: []Reaction{}}
	for _, e := range b.log(id) {
		switch {
		case e.TargetSeq != c.LastMessage.Seq:
		case e.Kind == KindReactionAdded:
			replayed.react(e.Emoji, e.SenderID)
		case e.Kind == KindReactionRemoved:
			replayed.unreact(e.Emoji, e.SenderID)
		}
	}
	if !reflect.DeepEqual(replayed.Reactions, c.LastMessage.Reactions) {
		b.t.Errorf("the page has %v, the log gives %v", c.LastMessage.Reactions, replayed.Reactions)
	}
	return c.LastMessage.Reactions
}

func TestReactionForms(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	v := vectors[struct {
		Same    [][]string
		Refused []string
	}](t, "emoji")
	t.Run("every_form_is_the_same_reaction", func(t *testing.T) {
		for _, forms := range v.Same {
			seq := b.send(ann, id, "x").Seq
			for i, form := range forms {
				if sent, err := b.react(ben, id, seq, form, KindReactionAdded); err != nil || sent.Repeat != (i > 0) {
					t.Errorf("%+q is added: %+v, %v", form, sent, err)
				}
			}
			if got := b.reactions(ann, id); len(got) != 1 || got[0].Emoji != forms[0] {
				t.Errorf("%+q gives %+v", forms, got)
			}
			if _, err := b.react(ben, id, seq, forms[len(forms)-1], KindReactionRemoved); err != nil || len(b.reactions(ann, id)) != 0 {
				t.Errorf("%+q is not taken back: %v", forms, err)
			}
		}
	})
	t.Run("what_is_no_emoji_is_refused", func(t *testing.T) {
		seq := b.send(ann, id, "x").Seq
		for _, s := range v.Refused {
			if _, err := b.react(ben, id, seq, s, KindReactionAdded); !isInvalid(err) {
				t.Errorf("%+q: %v", s, err)
			}
		}
	})
}

// The log of an earlier version has reactions in any form, and never changes.
func TestReactionsOfEarlierVersions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	seq := b.send(ann, id, "x").Seq
	client := newClientID()
	for i, emoji := range []string{"👍\ufe0f", "❤", "👍👍"} {
		if _, err := b.db.Exec(t.Context(), `WITH c AS (UPDATE conversations SET last_seq = last_seq + 1 WHERE id = $1 RETURNING last_seq)
			INSERT INTO entries (conversation_id, seq, kind, sender_id, client_id, created_at, body, target_seq)
			SELECT $1, last_seq, 'reaction_added', $2, CASE WHEN $5 = 0 THEN $6::uuid END, now(), $3, $4 FROM c`, id, ben, emoji, seq, i, client); err != nil {
			t.Fatal(err)
		}
	}
	if sent, err := b.react(ann, id, seq, "👍", KindReactionAdded); err != nil || sent.Repeat {
		t.Fatal(sent, err)
	}
	both, one := []accounts.UserID{ben, ann}, []accounts.UserID{ben}
	t.Run("are_one_chip_with_those_of_now", func(t *testing.T) {
		if got := b.reactions(ann, id); !reflect.DeepEqual(got, []Reaction{{"👍", both}, {"❤\ufe0f", one}, {"👍👍", one}}) {
			t.Errorf("%+v", got)
		}
	})
	t.Run("are_not_added_again_in_another_form", func(t *testing.T) {
		for _, form := range []string{"👍", "👍\ufe0f", "❤", "❤\ufe0f"} {
			if sent, err := b.react(ben, id, seq, form, KindReactionAdded); err != nil || !sent.Repeat {
				t.Errorf("%+q: %+v, %v", form, sent, err)
			}
		}
	})
	t.Run("are_repeated_by_their_client_id", func(t *testing.T) {
		sent, err := b.Act(t.Context(), Action{Kind: KindReactionAdded, ConversationID: id, SenderID: ben, ClientID: client, TargetSeq: seq, Emoji: "👍\ufe0f"})
		if err != nil || !sent.Repeat || sent.Seq != seq+1 {
			t.Errorf("%+v, %v", sent, err)
		}
	})
	t.Run("can_be_taken_back_in_any_form", func(t *testing.T) {
		for _, form := range []string{"👍", "❤\ufe0f", "👍👍"} {
			if sent, err := b.react(ben, id, seq, form, KindReactionRemoved); err != nil || sent.Repeat {
				t.Errorf("%+q: %+v, %v", form, sent, err)
			}
		}
		if got := b.reactions(ann, id); !reflect.DeepEqual(got, []Reaction{{"👍", []accounts.UserID{ann}}}) {
			t.Errorf("%+v are left", got)
		}
	})
	t.Run("count_once_against_the_limit", func(t *testing.T) {
		seq := b.send(ann, id, "y").Seq
		for _, form := range []string{"❤", "❤\ufe0f"} {
			if _, err := b.db.Exec(t.Context(), `WITH c AS (UPDATE conversations SET last_seq = last_seq + 1 WHERE id = $1 RETURNING last_seq)
				INSERT INTO entries (conversation_id, seq, kind, sender_id, created_at, body, target_seq)
				SELECT $1, last_seq, 'reaction_added', $2, now(), $3, $4 FROM c`, id, ben, form, seq); err != nil {
				t.Fatal(err)
			}
		}
		for i := range maxReactions {
			_, err := b.react(ben, id, seq, string(rune('😀'+i)), KindReactionAdded)
			if (err != nil) != (i == maxReactions-1) {
				t.Fatalf("%d more: %v", i+1, err)
			}
		}
	})
}

func TestNothingToSeeIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	seq := b.send(ann, id, "x").Seq
	v := vectors[struct{ Visible, Invisible []string }](t, "visible")
	names := vectors[struct {
		Kept    [][2]string
		Refused []string
	}](t, "names")
	group, err := b.CreateGroup(t.Context(), ann, "Climbers", []accounts.UserID{ben})
	if err != nil {
		t.Fatal(err)
	}
	say := func(body string) error {
		_, err := b.Send(t.Context(), Outgoing{ConversationID: id, SenderID: ann, ClientID: newClientID(), Body: body})
		return err
	}
	edit := func(body string) error {
		_, err := b.Act(t.Context(), Action{Kind: KindEdit, ConversationID: id, SenderID: ann, TargetSeq: seq, Body: body})
		return err
	}
	t.Run("as_a_message_and_as_an_edit", func(t *testing.T) {
		for _, s := range v.Invisible {
			if err := say(s); !isInvalid(err) {
				t.Errorf("%+q is sent: %v", s, err)
			}
			if err := edit(s); !isInvalid(err) {
				t.Errorf("%+q is the new text: %v", s, err)
			}
		}
		for _, s := range v.Visible {
			if err := errors.Join(say(s), edit(s)); err != nil {
				t.Errorf("%+q: %v", s, err)
			}
		}
	})
	t.Run("as_a_title", func(t *testing.T) {
		for _, s := range names.Refused {
			if err := b.UpdateGroup(t.Context(), ann, group.ID, GroupUpdate{Title: &s}); !isInvalid(err) {
				t.Errorf("%+q is the new title: %v", s, err)
			}
			if _, err := b.CreateGroup(t.Context(), ann, s, nil); !isInvalid(err) {
				t.Errorf("%+q is the title: %v", s, err)
			}
		}
		for _, n := range names.Kept {
			if err := b.UpdateGroup(t.Context(), ann, group.ID, GroupUpdate{Title: &n[0]}); err != nil {
				t.Errorf("%+q: %v", n[0], err)
			} else if c, err := b.Conversation(t.Context(), ben, group.ID); err != nil || c.Title != n[1] {
				t.Errorf("%+q is stored as %+q, %v", n[0], c.Title, err)
			}
		}
	})
}

func TestQuoteEndsWithAWholeCharacter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	const family = "👨‍👩‍👧‍👦" // 7 characters
	for said, want := range map[string]string{
		strings.Repeat("x", 196) + family:       strings.Repeat("x", 196),
		strings.Repeat("x", 193) + family + "y": strings.Repeat("x", 193) + family,
		strings.Repeat("x", 199) + "e\u0301":    strings.Repeat("x", 199),
		strings.Repeat("x", 199) + "👍🏽":         strings.Repeat("x", 199),
		strings.Repeat("🇩🇪", 101):               strings.Repeat("🇩🇪", 100),
		"x" + strings.Repeat("🇩🇪", 101):         "x" + strings.Repeat("🇩🇪", 99),
		"a" + strings.Repeat("\u0301", 5000):    "a" + strings.Repeat("\u0301", 199),
		strings.Repeat("x", 200):                strings.Repeat("x", 200),
		strings.Repeat("字", 201):                strings.Repeat("字", 200),
	} {
		seq := b.send(ann, id, said).Seq
		if _, err := b.Send(t.Context(), Outgoing{ConversationID: id, SenderID: ben, ClientID: newClientID(), Body: "yes", ReplyTo: seq}); err != nil {
			t.Fatal(err)
		}
		c, err := b.Conversation(t.Context(), ann, id)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.LastMessage.Quote.Body; got != want || utf8.RuneCountInString(got) > maxQuote {
			t.Errorf("%+q is quoted as %+q", said, got)
		}
	}
}
