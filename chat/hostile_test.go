package chat

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
	"github.com/jackc/pgx/v5/pgtype"

	"parley/accounts"
	"parley/failures"
	"parley/hub"
)

// slowMember is a connection for which the network holds little. It reads when it is told to.
type slowMember struct {
	ws      *websocket.Conn
	held    Seq
	markers int
}

// read goes on until the member knows of a seq, and holds up that each entry is the next, or
// follows a marker.
func (m *slowMember) read(ctx context.Context, until Seq) error {
	for m.held < until {
		_, b, err := m.ws.Read(ctx)
		if err != nil {
			return fmt.Errorf("after seq %d and %d markers: %w", m.held, m.markers, err)
		}
		var f struct {
			Type string
			Data struct {
				Seq     Seq `json:"seq"`
				LastSeq Seq `json:"last_seq"`
			}
		}
		if err := json.Unmarshal(b, &f); err != nil {
			return err
		}
		switch {
		case f.Type == "entry" && f.Data.Seq != m.held+1:
			return fmt.Errorf("entry %d follows %d", f.Data.Seq, m.held)
		case f.Type == "entry":
			m.held++
		case f.Type == "behind":
			m.held = f.Data.LastSeq
			m.markers++
		}
	}
	return nil
}

// TestMessagesFasterThanMembersRead sends 109 messages of 16 KB to a group of 450 connected
// members of which none reads fast enough: it threw all their connections off once.
func TestMessagesFasterThanMembersRead(t *testing.T) {
	t.Parallel()
	const members, messages = 450, 109
	b := setup(t)
	owner := b.user("owner")
	var others []accounts.UserID
	for i := range members {
		others = append(others, b.user(fmt.Sprint("member", i)))
	}
	c, err := b.CreateGroup(t.Context(), owner, "Group", others)
	if err != nil {
		t.Fatal(err)
	}
	narrow := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(64 << 10)
		}
		return conn, err
	}}}
	var list []*slowMember
	for _, user := range others {
		ws, _, err := websocket.Dial(t.Context(), b.srv.URL, &websocket.DialOptions{
			HTTPHeader: http.Header{"Authorization": {"Bearer " + user.String()}}, Subprotocols: []string{hub.Subprotocol}, HTTPClient: narrow,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = ws.CloseNow() }()
		ws.SetReadLimit(1 << 20)
		if _, _, err := ws.Read(t.Context()); err != nil { // hello
			t.Fatal(err)
		}
		list = append(list, &slowMember{ws: ws, held: 1})
	}
	var last Seq
	for i := range messages {
		last = b.send(owner, c.ID, fmt.Sprint(i, strings.Repeat("x", MaxBody-10))).Seq
	}
	if n := len(b.byConv.Conns(c.ID)); n != members {
		t.Fatalf("%d of %d connections are left", n, members)
	}
	var reading sync.WaitGroup
	for _, m := range list {
		reading.Go(func() {
			if err := m.read(t.Context(), last); err != nil {
				t.Error(err)
			}
		})
	}
	reading.Wait()
	markers := 0
	for _, m := range list {
		markers += m.markers
	}
	if markers == 0 {
		t.Error("all of them kept up: the test does not show what it should")
	}
	last = b.send(owner, c.ID, "live again").Seq
	for _, m := range list {
		if err := m.read(t.Context(), last); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(b.byConv.Conns(c.ID)); n != members {
		t.Errorf("%d of %d connections are left", n, members)
	}
}

// extremes are times that a timestamptz can hold and JSON cannot express, and the bounds of
// those that it can.
var extremes = []string{
	"infinity", "-infinity", "294276-12-31 23:59:59.999999+00", "4714-11-24 00:00:00+00 BC",
	"10000-01-01 00:00:00+00", "9999-12-31 23:59:59.999999-15:59", "0001-01-01 00:00:00+15:59", "0001-01-01 00:00:00+00",
}

// poison sets every time of a conversation.
func (b *bundle) poison(id ConversationID, at string) {
	b.t.Helper()
	for _, sql := range []string{
		`UPDATE entries SET created_at = $2::text::timestamptz WHERE conversation_id = $1`,
		`UPDATE conversations SET created_at = $2::text::timestamptz, last_entry_at = $2::text::timestamptz WHERE id = $1`,
		`UPDATE members SET added_at = $2::text::timestamptz, muted_until = $2::text::timestamptz WHERE conversation_id = $1`,
	} {
		if _, err := b.db.Exec(b.t.Context(), sql, id, at); err != nil {
			b.t.Fatal(err)
		}
	}
}

// Every kind of entry and every view of a conversation is encoded, whatever its columns hold:
// also what an earlier version stored.
func TestEventsWithExtremeValues(t *testing.T) {
	t.Parallel()
	for _, at := range extremes {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(c *Config) { c.Failures = failures.New(slog.New(slog.DiscardHandler)) })
			ann, ben := b.user("ann"), b.user("ben")
			c, err := b.CreateGroup(t.Context(), ann, strings.Repeat("T", 190), []accounts.UserID{ben})
			if err != nil {
				t.Fatal(err)
			}
			b.send(ann, c.ID, "x"+strings.Repeat("\u2028", MaxBody/3-1))
			_, err = b.db.Exec(t.Context(), `
INSERT INTO entries (conversation_id, seq, kind, sender_id, client_id, created_at, body, reply_to, target_seq, detail)
SELECT $1, 2 + k.n, k.kind, $2, gen_random_uuid(), now(), $3, 9223372036854775807, 2, jsonb_build_object(
    'mentions', $4::jsonb, 'user_ids', $4::jsonb, 'user_id', $2::uuid, 'role', 'owner', 'title', $3::text)
FROM unnest($5::text[]) WITH ORDINALITY AS k(kind, n)`,
				c.ID, ann, "x"+strings.Repeat("\u2028", MaxBody/3-1), `["`+ann.String()+`"]`,
				[]string{"message", "edit", "delete", "reaction_added", "reaction_removed", "created", "member_added", "member_removed", "member_left", "role_changed", "title_changed"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.db.Exec(t.Context(), `UPDATE conversations SET last_seq = 13 WHERE id = $1`, c.ID); err != nil {
				t.Fatal(err)
			}
			b.poison(c.ID, at)
			for _, e := range b.log(c.ID) {
				if b.event("entry", e) == nil {
					t.Errorf("an entry of kind %s cannot be encoded", e.Kind)
				}
			}
			views, err := b.q.conversationFor(t.Context(), c.ID, []accounts.UserID{ann, ben})
			if err != nil || len(views) != 2 {
				t.Fatalf("%d views: %v", len(views), err)
			}
			for _, view := range views {
				if b.event("conversation", view) == nil {
					t.Error("a conversation cannot be encoded")
				}
			}
			if n := b.cfg.Failures.Total("encode the event entry") + b.cfg.Failures.Total("encode the event conversation"); n > 0 {
				t.Errorf("%d failures", n)
			}
		})
	}
}

// A stored time that JSON cannot express holds up no delivery: not of its conversation, and not
// of the others that the same statement reads.
func TestDeliveryOfExtremeValues(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	other := b.direct(ann, b.user("carl"))
	c := b.connect(ben)
	reader := b.connect(ann)
	for i, at := range extremes {
		seq := Seq(i + 2)
		if _, err := b.db.Exec(t.Context(), `
WITH raised AS (UPDATE conversations SET last_seq = $2 WHERE id = $1)
INSERT INTO entries (conversation_id, seq, kind, sender_id, created_at, body) VALUES ($1, $2, 'message', $3, $4::text::timestamptz, 'x')`,
			id, seq, ann, at); err != nil {
			t.Fatal(err)
		}
		b.gates.hint(id, seq)
		b.gates.hint(other, b.send(ann, other, "beside it").Seq)
		if e := c.entry(); e.Seq != seq {
			t.Fatalf("got entry %d, not %d", e.Seq, seq)
		}
		for seen := map[ConversationID]bool{}; len(seen) < 2; {
			seen[reader.entry().ConversationID] = true
		}
	}
}

// FuzzStoredEntry drives entries with whatever a row can hold through delivery: they arrive, or
// leave a gap, and what comes in other conversations arrives all the same.
func FuzzStoredEntry(f *testing.F) {
	f.Add(int64(math.MaxInt64), "message", "\u0001😀\u2028", int64(-1), int64(math.MaxInt64), byte(1))
	f.Add(int64(math.MinInt64), "member_removed", "x", int64(0), int64(math.MinInt64), byte(3))
	f.Add(int64(-211813488000000000), "", "", int64(0), int64(0), byte(2))
	f.Add(int64(0), "created", "👍", int64(0), int64(0), byte(4))
	details := []string{"", `{}`, `null`, `{"user_id":null,"user_ids":null,"title":"\u2028","mentions":[]}`, `{"user_ids":5}`, `[1]`, `"x"`}
	f.Fuzz(func(t *testing.T, at int64, kind, body string, replyTo, target int64, detail byte) {
		for _, s := range []string{kind, body} {
			if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
				t.Skip("no text of PostgreSQL's")
			}
		}
		b := setup(t)
		ann, ben, bad := b.pair()
		good := b.direct(b.user("carl"), ben)
		c := b.connect(ben)
		_, err := b.db.Exec(t.Context(), `
WITH raised AS (UPDATE conversations SET last_seq = 2 WHERE id = $1)
INSERT INTO entries (conversation_id, seq, kind, sender_id, created_at, body, reply_to, target_seq, detail)
VALUES ($1, 2, $2, $3, $4, $5, $6, $7, nullif($8, '')::jsonb)`,
			bad, kind, ann, pgtype.Timestamptz{Time: time.UnixMicro(at), InfinityModifier: infinityOf(at), Valid: true}, body, replyTo, target, details[int(detail)%len(details)])
		if err != nil {
			t.Skip("no row of PostgreSQL's: ", err)
		}
		b.gates.hint(bad, 2)
		_, err = b.db.Exec(t.Context(), `
WITH raised AS (UPDATE conversations SET last_seq = 2 WHERE id = $1)
INSERT INTO entries (conversation_id, seq, kind, sender_id, created_at, body) VALUES ($1, 2, 'message', $2, now(), 'good')`, good, ben)
		if err != nil {
			t.Fatal(err)
		}
		b.gates.hint(good, 2)
		for {
			if e := c.entry(); e.ConversationID == good && e.Seq == 2 {
				return
			}
		}
	})
}

// infinityOf makes the ends of the numbers the ends of time.
func infinityOf(at int64) pgtype.InfinityModifier {
	switch at {
	case math.MaxInt64:
		return pgtype.Infinity
	case math.MinInt64:
		return pgtype.NegativeInfinity
	}
	return pgtype.Finite
}
