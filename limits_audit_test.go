package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"parley/accounts"
)

// A limit that a user hits is in the audit table, once a minute at most, and an admin reads it.
func TestLimitsAreAudited(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	page := strings.Repeat("x", 16<<10)
	h.untilRefused(70, func() answer {
		return h.from(h.eve, "POST", "/conversations/"+h.evesBen+"/messages", message(page))
	})
	for range 50 { // refused as well
		h.from(h.eve, "POST", "/conversations/"+h.evesBen+"/messages", message(page))
	}
	ws := h.connect(h.eve)
	for range 300 {
		frame := fmt.Sprintf(`{"type":"message.react","id":"1","data":{"conversation_id":%q,"client_id":%q,"seq":1,"emoji":"👍"}}`, h.evesBen, uuid.New())
		if err := ws.Write(t.Context(), websocket.MessageText, []byte(frame)); err != nil {
			t.Fatal(err)
		}
	}
	h.untilRefused(60, func() answer {
		return h.from(h.eve, "POST", "/conversations", `{"kind":"group","title":"Spam","member_ids":[]}`)
	})
	h.untilRefused(60, func() answer { return h.from(h.eve, "POST", "/invites", "{}") })
	var rows, times int
	const query = `SELECT count(*), coalesce(sum(count), 0) FROM audit_events WHERE kind = 'limit_hit' AND user_id = $1 AND detail = $2`
	for _, limit := range []string{"bytes", "frames", "conversations", "invites"} {
		eventually(t, "the limit "+limit+" in the audit table", func() bool {
			if err := h.db.QueryRow(t.Context(), query, h.eve.id, limit).Scan(&rows, &times); err != nil {
				t.Fatal(err)
			}
			return rows > 0
		})
	}
	if err := h.db.QueryRow(t.Context(), query, h.eve.id, "bytes").Scan(&rows, &times); err != nil || rows > 2 || times < 20 {
		t.Errorf("%d rows of %d refusals, %v", rows, times, err)
	}
	if err := h.db.QueryRow(t.Context(), `SELECT count(*) FROM audit_events WHERE kind = 'limit_hit' AND user_id <> $1`, h.eve.id).Scan(&rows); err != nil || rows > 0 {
		t.Errorf("%d rows of others, %v", rows, err)
	}
	admin := h.person("admin", accounts.RoleAdmin)
	if a := h.from(admin, "GET", "/audit?kind=limit_hit", ""); a.code != "ok" {
		t.Errorf("an admin reads them: %+v", a)
	}
}
