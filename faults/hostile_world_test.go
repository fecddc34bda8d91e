package faults

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"parley/parleytest"
)

// hostileWorld is a server with all its limits on, and the accounts of attackers.
type hostileWorld struct {
	*cluster
	server *parleytest.Server
	users  int
	canary *canary // of the attack that is arranged
}

func newHostileWorld(t *testing.T, limits string) *hostileWorld {
	t.Helper()
	server := start(t, "PARLEY_RATE_LIMITS="+limits, "PARLEY_MEMBERS_INVITE=true")
	w := &hostileWorld{server: server, cluster: &cluster{
		t: t, db: builtinOf(t, server), front: &Replicas{}, replicas: []*replica{{Server: server}}}}
	w.spread()
	return w
}

func (w *hostileWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// signUp makes a user, ten from each address.
func (w *hostileWorld) signUp(ctx context.Context, name string) parleytest.Session {
	w.t.Helper()
	api := &parleytest.Client{Base: w.server.URL(), HTTP: httpFrom(fmt.Sprintf("127.0.200.%d", 1+w.users/10))}
	w.users++
	s, err := api.SignUp(ctx, "", fmt.Sprintf("%s-%d", name, w.users))
	w.must(err)
	api.HTTP.CloseIdleConnections()
	return s
}

// direct opens the conversation of two users from both sides.
func (w *hostileWorld) direct(ctx context.Context, a, b parleytest.Session) uuid.UUID {
	w.t.Helper()
	_, err := w.server.Client(b.Token).OpenDirect(ctx, a.User.ID)
	w.must(err)
	c, err := w.server.Client(a.Token).OpenDirect(ctx, b.User.ID)
	w.must(err)
	return c.ID
}

// pair is a target with two users, and a conversation in which each has sent a message.
func (w *hostileWorld) pair(ctx context.Context, a, b parleytest.Session) target {
	w.t.Helper()
	t := target{Users: []parleytest.Session{a, b}, Conversation: w.direct(ctx, a, b)}
	for _, s := range t.Users {
		_, err := w.server.Client(s.Token).Send(ctx, t.Conversation, uuid.Must(uuid.NewV7()), "hello")
		w.must(err)
	}
	return t
}

// group adds a group of all users of a target, in which the first has sent a message.
func (w *hostileWorld) group(ctx context.Context, t target) target {
	w.t.Helper()
	var others []uuid.UUID
	for _, s := range t.Users[1:] {
		others = append(others, s.User.ID)
	}
	g, err := w.server.Client(t.Users[0].Token).CreateGroup(ctx, "group", others)
	w.must(err)
	_, err = w.server.Client(t.Users[0].Token).Send(ctx, g.ID, uuid.Must(uuid.NewV7()), "hello")
	w.must(err)
	t.Group = g.ID
	return t
}

// strangers are users without a password, who only have an id.
func (w *hostileWorld) strangers(ctx context.Context, n int) (ids []uuid.UUID) {
	w.t.Helper()
	for _, id := range w.db.exec(ctx, `INSERT INTO users (id, username, display_name, password_hash, role)
SELECT gen_random_uuid(), 'stranger-' || $2::int || '-' || n, 'Stranger', '', 'member' FROM generate_series(1, $1::int) n RETURNING id::text`, n, w.users) {
		ids = append(ids, uuid.MustParse(id))
	}
	return ids
}

// fill puts a user into groups with messages of 2 KB, as months of use would.
func (w *hostileWorld) fill(ctx context.Context, user parleytest.Session, groups, messages int) {
	w.t.Helper()
	ids := w.db.exec(ctx, `INSERT INTO conversations (id, kind, title, last_seq) SELECT gen_random_uuid(), 'group', 'Group ' || n, $2::int + 1
FROM generate_series(1, $1::int) n RETURNING id::text`, groups, messages)
	w.db.exec(ctx, `INSERT INTO members (conversation_id, user_id, role, from_seq, joined_seq)
SELECT id, $2::uuid, 'owner', 1, 1 FROM unnest($1::uuid[]) id RETURNING ''`, ids, user.User.ID)
	w.db.exec(ctx, `INSERT INTO entries (conversation_id, seq, kind, sender_id, created_at, body, client_id, detail)
SELECT id, n, CASE n WHEN 1 THEN 'created' ELSE 'message' END, $2::uuid, now(), CASE WHEN n > 1 THEN repeat('lorem ', 340) END,
       CASE WHEN n > 1 THEN gen_random_uuid() END, CASE n WHEN 1 THEN jsonb_build_object('user_ids', jsonb_build_array($2::text), 'title', 'Group') END
FROM unnest($1::uuid[]) id, generate_series(1, $3::int + 1) n RETURNING ''`, ids, user.User.ID.String(), messages)
}

// trail puts messages of the first user into a group, and behind them as many actions on
// each: ten edits for a reaction.
func (w *hostileWorld) trail(ctx context.Context, t target, messages, each int) {
	w.t.Helper()
	w.db.exec(ctx, `WITH c AS (UPDATE conversations SET last_seq = last_seq + $3::int * ($4::int + 1) WHERE id = $1 RETURNING last_seq - $3::int * ($4::int + 1) AS last)
INSERT INTO entries (conversation_id, seq, kind, sender_id, created_at, body, client_id, target_seq)
SELECT $1, c.last + n, CASE WHEN n <= $3::int THEN 'message' WHEN n % 11 > 0 THEN 'edit' ELSE 'reaction_added' END, $2, now(),
       CASE WHEN n > $3::int AND n % 11 = 0 THEN '👍' ELSE 'x' END, CASE WHEN n <= $3::int THEN gen_random_uuid() END, CASE WHEN n > $3::int THEN c.last + 1 + (n / 11) % $3::int END
FROM c, generate_series(1, $3::int * ($4::int + 1)) n RETURNING ''`, t.Group, t.Users[0].User.ID, messages, each)
}
