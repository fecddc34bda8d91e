package chat

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"

	"parley/accounts"
	"parley/hub"
)

// Whatever data a client sends in an action's frame: what is not refused can be stored as it
// is, and has nothing in it but what belongs to its kind.
func FuzzActionFrame(f *testing.F) {
	ids := `"conversation_id":"019a0000-0000-7000-8000-000000000006","client_id":"019a0000-0000-7000-8000-000000000008"`
	for _, data := range []string{
		`{}`, `[]`, `null`, `{` + ids + `,"seq":2}`, `{` + ids + `,"seq":2,"body":"x"}`, `{` + ids + `,"seq":2,"emoji":"👍","remove":true}`,
		`{` + ids + `,"seq":-1}`, `{` + ids + `,"seq":1e99}`, `{` + ids + `,"seq":"2"}`, `{` + ids + `,"seq":2,"body":"a\u0000b","emoji":"\ud83d"}`,
		`{` + ids + `,"seq":2,"body":"x","mentions":["019a0000-0000-7000-8000-000000000001",null,"x"]}`,
		`{` + ids + `,"seq":2,"body":"x","mentions":[` + strings.TrimSuffix(strings.Repeat(`"019a0000-0000-7000-8000-000000000001",`, MaxMentions+1), ",") + `]}`,
		`{` + ids + `,"seq":2,"other":1}`, `{"conversation_id":{},"client_id":[]}`,
	} {
		f.Add(data)
	}
	me := accounts.UserID(uuid.MustParse("019a0000-0000-7000-8000-000000000001"))
	f.Fuzz(func(t *testing.T, data string) {
		if !json.Valid([]byte(data)) {
			return // the hub has seen to it
		}
		for _, kind := range []Kind{KindEdit, KindDelete, KindReactionAdded} {
			var d actionData
			if (&hub.Request{Data: json.RawMessage(data)}).Bind(&d) != nil {
				continue
			}
			a, err := d.action(kind, me)
			if err != nil || a.check() != nil {
				continue
			}
			isReaction := a.Kind == KindReactionAdded || a.Kind == KindReactionRemoved
			switch {
			case a.SenderID != me, a.ClientID == uuid.Nil, a.ConversationID.IsZero(), a.TargetSeq < 1,
				!utf8.ValidString(a.Body), strings.ContainsRune(a.Body, 0), len(a.Body) > MaxBody, len(a.Mentions) > MaxMentions,
				(a.Body != "") != (a.Kind == KindEdit), (a.Emoji != "") != isReaction, len(a.Mentions) > 0 && a.Kind != KindEdit,
				a.Kind != kind && (kind != KindReactionAdded || a.Kind != KindReactionRemoved):
				t.Errorf("%s with %s passes as %+v", kind, data, a)
			}
			if users := jsonIDs(a.Mentions); len(a.Mentions) > 0 {
				var back []accounts.UserID
				if err := json.Unmarshal([]byte(users), &back); err != nil || len(back) != len(a.Mentions) {
					t.Errorf("%v is written as %s", a.Mentions, users)
				}
			}
		}
	})
}
