package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"parley/parleytest"
)

// world is a cluster with people talking on it: directly and in groups, in which people
// come and go; some of them go away and come back.
type world struct {
	*cluster
	size          size
	began         time.Time
	people        []parleytest.Session
	conversations []uuid.UUID
	groups        []group
	clients       []*Client
	changes       []Change // of members; while people come and go, for move alone
	undone        window   // from a backup until it was restored: what was changed then may be or not

	tolerant        bool // what clients find strange is no failure of the test
	running, moving sync.WaitGroup
	stop, settle    context.CancelFunc
}

// group is a group's owner, who stays, and those who come and go.
type group struct {
	id       uuid.UUID
	owner    parleytest.Session
	floating []uuid.UUID
}

// size is how much goes on in a world.
type size struct {
	people, devices        int // devices each
	direct, groups, joined int // conversations, and members of a group
	pause                  time.Duration
	inFlight               int
	away                   int // a share of clients who are away at times, in percent
	moves                  time.Duration
}

func (s size) String() string {
	moving := "nobody comes to a group or goes"
	if s.moves > 0 && s.groups > 0 {
		moving = fmt.Sprintf("somebody comes to a group or goes every %v", s.moves)
	}
	return fmt.Sprintf("%d conversations, %d clients of %d people, %d %% of them away at times, each with at most %d of its sends under way and about %v between two, %s",
		s.direct+s.groups, s.people*s.devices, s.people, s.away, s.inFlight, s.pause, moving)
}

// The long form is of full size; the short one fits beside other tests.
func usual() size {
	if *long {
		return size{people: 100, devices: 2, direct: 30, groups: 20, joined: 6, pause: time.Second, inFlight: 1, away: 20, moves: 200 * time.Millisecond}
	}
	return size{people: 24, devices: 2, direct: 9, groups: 6, joined: 5, pause: 700 * time.Millisecond, inFlight: 1, away: 20, moves: 200 * time.Millisecond}
}

// newWorld makes people and conversations and lets everybody go.
func newWorld(ctx context.Context, t *testing.T, c *cluster, s size) *world {
	t.Helper()
	w := &world{cluster: c, size: s, began: time.Now()}
	var err error
	if w.people, err = c.replicas[0].SignUp(ctx, fmt.Sprintf("p%d-", rand.IntN(1e6)), s.people); err != nil {
		t.Fatal(err)
	}
	if err := w.converse(ctx); err != nil {
		t.Fatal(err)
	}
	w.connect()
	w.run(ctx)
	all, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	w.await(all, "connections of everybody", func() bool { return !slices.ContainsFunc(w.clients, func(c *Client) bool { return !c.Settled(0) }) })
	return w
}

// converse makes the conversations. Everybody is in some.
func (w *world) converse(ctx context.Context) error {
	w.conversations = make([]uuid.UUID, w.size.direct+w.size.groups)
	w.groups = make([]group, w.size.groups)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	n := len(w.people)
	for i := range w.size.direct {
		g.Go(func() error {
			a, b := w.people[2*i%n], w.people[(2*i+1+2*i/n)%n]
			// From both sides: until its first message it would be hidden from the other.
			if _, err := w.replicas[0].Client(b.Token).OpenDirect(ctx, a.User.ID); err != nil {
				return err
			}
			conv, err := w.replicas[0].Client(a.Token).OpenDirect(ctx, b.User.ID)
			w.conversations[i] = conv.ID
			return err
		})
	}
	for i := range w.size.groups {
		g.Go(func() error {
			at := func(k int) parleytest.Session { return w.people[(i*w.size.joined+k)%n] }
			gr := group{owner: at(0)}
			var others []uuid.UUID
			for k := 1; k < w.size.joined; k++ {
				others = append(others, at(k).User.ID)
			}
			gr.floating = append(slices.Clone(others[len(others)/2:]), at(w.size.joined).User.ID, at(w.size.joined+1).User.ID)
			conv, err := w.replicas[0].Client(gr.owner.Token).CreateGroup(ctx, fmt.Sprint("group ", i), others)
			gr.id = conv.ID
			w.groups[i], w.conversations[w.size.direct+i] = gr, conv.ID
			return err
		})
	}
	return g.Wait()
}

// connect makes the clients; they learn of their conversations as they catch up.
func (w *world) connect() {
	for i, p := range w.people {
		for d := range w.size.devices {
			cfg := ClientConfig{
				Replicas: w.front, Session: p, InFlight: w.size.inFlight, Pause: w.size.pause,
				Clock: w.now,
			}
			if (i*w.size.devices+d)%100 < w.size.away {
				cfg.Stay, cfg.Away = 6*time.Second, 2*time.Second
			}
			w.clients = append(w.clients, NewClient(cfg))
		}
	}
}

func (w *world) now() time.Duration { return time.Since(w.began) }

// run lets all clients go, and people come and go.
func (w *world) run(ctx context.Context) {
	ctx, w.stop = context.WithCancel(ctx)
	for _, c := range w.clients {
		w.running.Go(func() { c.Run(ctx) })
	}
	moving, settle := context.WithCancel(ctx)
	w.settle = settle
	if len(w.groups) > 0 && w.size.moves > 0 {
		w.moving.Go(func() { w.move(moving) })
	}
	w.t.Cleanup(func() { w.stop(); w.running.Wait(); w.moving.Wait() })
}

// move lets people into groups and puts them out, and notes what was acknowledged. Whether
// another change happened is for the log to say.
func (w *world) move(ctx context.Context) {
	for ctx.Err() == nil {
		sleep(ctx, rand.N(2*w.size.moves))
		g := w.groups[rand.IntN(len(w.groups))]
		user := g.floating[rand.IntN(len(g.floating))]
		// Not cut off at the end: what became of it would be decided after the log is read.
		call, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
		api := w.front.Pick(nil).Client(g.owner.Token)
		change := Change{Conversation: g.id, User: user, In: rand.IntN(2) == 0}
		var err error
		if change.In {
			err = api.AddMembers(call, g.id, user)
		} else {
			err = api.RemoveMember(call, g.id, user)
		}
		cancel()
		if p, ok := errors.AsType[*parleytest.Problem](err); ok {
			switch {
			case p.Status == http.StatusNotFound && !change.In:
				err = nil // out already
			case p.Status != http.StatusServiceUnavailable:
				w.t.Errorf("a change of members was refused: %v", p)
			}
		}
		change.At, change.Doubt = w.now(), err != nil
		w.changes = append(w.changes, change)
	}
}

// acked is how many sends have been acknowledged.
func (w *world) acked() (n int) {
	for _, c := range w.clients {
		n += c.State().Acked
	}
	return n
}

// refused counts the sends that were answered unavailable.
func (w *world) refused() (n int) {
	for _, c := range w.clients {
		n += c.Refusals()["unavailable"]
	}
	return n
}

// await polls until a condition holds.
func (w *world) await(ctx context.Context, what string, holds func() bool) {
	w.t.Helper()
	if !until(ctx, holds) {
		w.t.Fatalf("%s did not come about: %v", what, ctx.Err())
	}
}

func until(ctx context.Context, holds func() bool) bool {
	for !holds() {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
	return true
}

// calm is a window without a fault: until there was load again, and a moment that is
// never the same.
func (w *world) calm(ctx context.Context) {
	w.t.Helper()
	before := w.acked()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	w.await(ctx, "load", func() bool { return w.acked() >= before+len(w.clients)/2 })
	sleep(ctx, rand.N(300*time.Millisecond))
}

// finish lets everything begun come to its end, reads everything, and checks it all. What
// does not come to its end in time is for the checks to report.
func (w *world) finish(ctx context.Context) Report {
	w.t.Helper()
	w.settle()
	w.moving.Wait()
	for _, c := range w.clients {
		c.Cease()
	}
	// A reply that never came must not be made good by the connection being reaped, which
	// takes 75 seconds, and another one asking again.
	answered, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if !until(answered, func() bool {
		return !slices.ContainsFunc(w.clients, func(c *Client) bool { s := c.State(); return !s.Connected || s.Waiting > 0 })
	}) {
		w.t.Log("not every send was acknowledged in the end")
	}
	h := &History{Logs: map[uuid.UUID][]Entry{}}
	for _, c := range w.changes {
		c.Doubt = c.Doubt || c.At >= w.undone.from && c.At < w.undone.to
		h.Changes = append(h.Changes, c)
	}
	w.readLogs(ctx, h)
	// What is acknowledged is delivered a moment later.
	may := sights(h.Members)
	caughtUp, enough := context.WithTimeout(ctx, 10*time.Second)
	defer enough()
	until(caughtUp, func() bool {
		return !slices.ContainsFunc(w.clients, func(c *Client) bool {
			return slices.ContainsFunc(w.conversations, func(id uuid.UUID) bool {
				return c.Held(id) < may[member{id, c.cfg.Session.User.ID}].upTo(int64(len(h.Logs[id])))
			})
		})
	})
	w.finalReads(ctx)
	w.stop()
	w.running.Wait()
	for _, c := range w.clients {
		c.AddTo(h, true)
		if err := c.Strange(); err != nil && !w.tolerant {
			w.t.Errorf("a client of %v: %v", c.cfg.Session.User.Username, err)
		}
	}
	return Check(h)
}

// finalReads lets everybody read the end of what they have, over HTTP.
func (w *world) finalReads(ctx context.Context) {
	var g errgroup.Group
	g.SetLimit(4)
	for i := 0; i < len(w.clients); i += w.size.devices {
		g.Go(func() error {
			c := w.clients[i]
			for _, id := range w.conversations {
				if held := c.Held(id); held > 0 {
					if _, _, err := c.read(ctx, w.front.Pick(nil), id, max(0, held-20), pageSize); err != nil && !w.tolerant {
						w.t.Errorf("a read when no fault is on: %v", err)
					}
				}
			}
			return nil
		})
	}
	_ = g.Wait() // what failed has failed the test
}

// readLogs reads the final logs, who may see what of them, and who is said to have what,
// from the database itself.
func (w *world) readLogs(ctx context.Context, h *History) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	conn := w.db.connect(ctx)
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, `
SELECT e.conversation_id, e.seq, e.kind, e.sender_id, coalesce(e.client_id, '00000000-0000-0000-0000-000000000000'), coalesce(e.body, ''),
       coalesce(e.detail->>'user_id', '00000000-0000-0000-0000-000000000000')::uuid, coalesce(e.detail->'user_ids', '[]')
FROM entries e WHERE e.conversation_id = ANY($1) ORDER BY e.conversation_id, e.seq`, w.conversations)
	if err != nil {
		w.t.Fatal(err)
	}
	logs := map[uuid.UUID][]parleytest.Entry{}
	var e parleytest.Entry
	if _, err := pgx.ForEachRow(rows, []any{&e.ConversationID, &e.Seq, &e.Kind, &e.SenderID, &e.ClientID, &e.Body, &e.UserID, &e.UserIDs}, func() error {
		e.UserIDs = slices.Clone(e.UserIDs)
		logs[e.ConversationID] = append(logs[e.ConversationID], e)
		h.Logs[e.ConversationID] = append(h.Logs[e.ConversationID], observed(e))
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	for id, log := range logs {
		h.Members = append(h.Members, MembershipsOf(id, log)...)
	}
	rows, err = conn.Query(ctx, `SELECT conversation_id, user_id, delivered_seq FROM receipts WHERE conversation_id = ANY($1)`, w.conversations)
	if err != nil {
		w.t.Fatal(err)
	}
	m := Mark{At: 1 << 62}
	if _, err := pgx.ForEachRow(rows, []any{&m.Conversation, &m.User, &m.Seq}, func() error {
		h.Told = append(h.Told, m)
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
}
