package chat

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"parley/accounts"
	"parley/hub"
	"parley/store/storetest"
)

// open opens a direct conversation from one side.
func (b *bundle) open(me, other accounts.UserID) ConversationID {
	b.t.Helper()
	c, err := b.OpenDirect(b.t.Context(), me, other)
	if err != nil {
		b.t.Fatal(err)
	}
	return c.ID
}

// gets checks the next frames of a connection: "conversation", or the seq of an entry.
func (c *client) gets(want ...any) {
	c.t.Helper()
	for _, w := range want {
		if f := c.next(); said(c.t, f) != fmt.Sprint(w) {
			c.t.Fatalf("got %s %s, want %v", f.Type, f.Data, w)
		}
	}
}

// said is a frame in short: the seq of an entry, or else its type.
func said(t *testing.T, f frame) string {
	if f.Type == "entry" {
		return fmt.Sprint(decode[Entry](t, f.Data).Seq)
	}
	return f.Type
}

// hasNothing checks that nothing waits for the user's only connection to this replica.
func (b *bundle) hasNothing(c *client, user accounts.UserID) {
	b.t.Helper()
	b.byUser.Publish(user, []byte(`{"type":"end"}`))
	c.gets("end")
}

func (b *bundle) listed(user accounts.UserID) (n int) {
	b.t.Helper()
	list, _, err := b.List(b.t.Context(), user, "", 100)
	if err != nil {
		b.t.Fatal(err)
	}
	return len(list)
}

// A direct conversation in which no message was sent exists for the side that opened it alone.
func TestDirectIsHiddenUntilItsFirstMessage(t *testing.T) {
	t.Parallel()

	t.Run("nothing_announces_it_and_the_first_message_brings_all_of_it", func(t *testing.T) {
		t.Parallel()
		db := storetest.New(t)
		one, two := linked(t, db), linked(t, db)
		ann, ben := one.user("ann"), one.user("ben")
		anns := []*client{one.connect(ann), two.connect(ann)}
		bens := []*client{one.connect(ben), two.connect(ben)}
		id := one.open(ann, ben)
		for i, b := range []*bundle{one, two} {
			anns[i].gets("conversation", 1) // so this replica has delivered it
			b.hasNothing(bens[i], ben)
		}
		if a, b := one.listed(ann), one.listed(ben); a != 1 || b != 0 {
			t.Errorf("ann's list has %d conversations, ben's %d", a, b)
		}
		two.send(ann, id, "hello")
		two.send(ann, id, "ben")
		for i := range bens {
			bens[i].gets("conversation", 1, 2, 3)
			anns[i].gets(2, 3)
		}
		if n := one.listed(ben); n != 1 {
			t.Errorf("then ben's list has %d conversations", n)
		}
	})

	t.Run("a_member_who_connects_between_gets_all_of_it", func(t *testing.T) {
		t.Parallel()
		db := storetest.New(t)
		one, two := linked(t, db), linked(t, db)
		ann, ben := one.user("ann"), one.user("ben")
		id := one.open(ann, ben)
		bens := []*client{one.connect(ben), two.connect(ben)}
		one.send(ann, id, "hello")
		for _, c := range bens {
			c.gets("conversation", 1, 2)
		}
	})

	t.Run("lost_hints_cost_latency_only", func(t *testing.T) {
		t.Parallel()
		db := storetest.New(t)
		b, other := replica(t, db), replica(t, db) // which tells b of nothing
		ann, ben := b.user("ann"), b.user("ben")
		c := b.connect(ben)
		id := other.open(ann, ben)
		if err := b.gates.sweepAdmitted(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		b.exec(`UPDATE members SET added_at = '-infinity'`) // as after five minutes
		for range 3 {
			b.gates.prune()
		}
		b.hasNothing(c, ben)
		other.send(ann, id, "hello")
		if err := b.gates.sweepGates(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.gets("conversation", 1, 2)
	})

	t.Run("the_first_message_does_not_pass_without_the_first_entry", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		ann, ben := b.user("ann"), b.user("ben")
		c := b.connect(ben)
		id := b.open(ann, ben)
		b.exec(`CREATE TABLE away AS SELECT * FROM entries`, `DELETE FROM entries`) // it cannot be read
		b.send(ann, id, "hello")
		gt := b.gate(id)
		for begin, tried := time.Now(), false; !tried; time.Sleep(time.Millisecond) {
			gt.mu.Lock()
			if tried = gt.known == 2 && !gt.reading; gt.delivered > 1 {
				t.Error("it passed")
			}
			gt.mu.Unlock()
			if time.Since(begin) > 20*time.Second {
				t.Fatal("nothing is read")
			}
		}
		b.exec(`INSERT INTO entries SELECT * FROM away`)
		nudge(b.gates.look)
		c.gets("conversation", 1, 2)
	})

	t.Run("the_other_side_sees_it_from_opening_it_too", func(t *testing.T) {
		t.Parallel()
		db := storetest.New(t)
		one, two := linked(t, db), linked(t, db)
		ann, ben := one.user("ann"), one.user("ben")
		bens := []*client{one.connect(ben), two.connect(ben)}
		id := one.open(ann, ben)
		if again := two.open(ben, ann); again != id {
			t.Fatal("there are two conversations of one pair")
		}
		two.open(ben, ann) // the second time nothing changes, and nothing is told
		for _, c := range bens {
			c.gets("conversation", 1)
		}
		if n := one.listed(ben); n != 1 {
			t.Errorf("ben's list has %d conversations", n)
		}
		one.send(ann, id, "hello")
		for _, c := range bens {
			c.gets(2)
		}
	})

	t.Run("a_first_message_of_the_other_side_shows_it_to_both", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		ann, ben := b.user("ann"), b.user("ben")
		a, c := b.connect(ann), b.connect(ben)
		id := b.open(ann, ben)
		b.send(ben, id, "by id, which is not secret") // a member may
		a.gets("conversation", 1, 2)
		c.gets("conversation", 1, 2)
	})

	t.Run("a_group_is_never_hidden", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		ann, ben := b.user("ann"), b.user("ben")
		c := b.connect(ben)
		id := b.group(ann, ben)
		c.gets("conversation", 1)
		b.send(ann, id, "hello")
		c.gets(2)
	})
}

// recorder is a connection and what it got.
type recorder struct {
	name  string
	of    accounts.UserID
	after Seq // the log reached so far when it had its hello; 0: there was no conversation
	ws    *websocket.Conn
	got   []string
	done  chan struct{} // closed when it got the end
}

// record opens a connection that listens until the end. It is for goroutines, which may not
// stop the test.
func (b *bundle) record(user accounts.UserID, name string) (*recorder, error) {
	ws, _, err := websocket.Dial(b.t.Context(), strings.Replace(b.srv.URL, "http", "ws", 1), &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"Bearer " + user.String()}}, Subprotocols: []string{hub.Subprotocol},
	})
	if err != nil {
		return nil, err
	}
	read := func() (f frame, err error) {
		ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
		defer cancel()
		_, msg, err := ws.Read(ctx)
		if err == nil {
			err = json.Unmarshal(msg, &f)
		}
		return f, err
	}
	if f, err := read(); err != nil || f.Type != "hello" {
		return nil, fmt.Errorf("the first frame is %q: %w", f.Type, err)
	}
	r := &recorder{name: name, of: user, ws: ws, done: make(chan struct{})}
	err = b.db.QueryRow(b.t.Context(), `SELECT coalesce(max(c.last_seq), 0) FROM conversations c JOIN members m ON m.conversation_id = c.id
		WHERE m.user_id = $1`, user).Scan(&r.after)
	if err != nil {
		return nil, err
	}
	go func() {
		defer close(r.done)
		for {
			f, err := read()
			if err != nil {
				r.got = append(r.got, err.Error())
				return
			}
			r.got = append(r.got, said(b.t, f))
			if f.Type == "entry" && decode[Entry](b.t, f.Data).Body == theEnd {
				return
			}
		}
	}()
	return r, nil
}

// check compares what a connection got with the log of last entries. hidden: nothing may have
// announced the conversation to it before the first message.
func (r *recorder) check(last Seq, hidden bool) error {
	from := r.after + 1
	whole := r.after == 0 || hidden && r.after == 1
	if whole {
		from = 1
	}
	var entries, want []string
	for _, s := range r.got {
		if s != "conversation" {
			entries = append(entries, s)
		}
	}
	if !whole && len(entries) > 0 {
		for from > 1 && entries[0] != fmt.Sprint(from) {
			from-- // committed before its hello, and delivered after
		}
	}
	for seq := from; seq <= last; seq++ {
		want = append(want, fmt.Sprint(seq))
	}
	if !slices.Equal(entries, want) || whole && r.got[0] != "conversation" {
		return fmt.Errorf("%s, whose hello came after %d, got %v", r.name, r.after, r.got)
	}
	return nil
}

// However the opening of a direct conversation by one side or both, first messages and new
// connections interleave, on the replica where it happens and on one that may miss any hint,
// every connection gets every entry once and in order, announced to both sides.
func TestFirstMessagesInAnyInterleaving(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	pairs := [][2]*bundle{{linked(t, db), linked(t, db)}, {replica(t, db), replica(t, db)}}
	for round := range 40 {
		one, two := pairs[round/2%2][0], pairs[round/2%2][1]
		ann, ben := one.user(fmt.Sprintf("ann%d", round)), one.user(fmt.Sprintf("ben%d", round))
		bothOpen := round%2 == 1
		var (
			mu        sync.Mutex // guards recorders
			recorders []*recorder
			all       []func()
		)
		connect := func(on *bundle, name string, user accounts.UserID) func() {
			return func() {
				r, err := on.record(user, fmt.Sprintf("round %d, a connection of %s to the first replica: %v", round, name, on == one))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				recorders = append(recorders, r)
			}
		}
		for _, on := range []*bundle{one, two} {
			connect(on, "ann", ann)()
			connect(on, "ben", ben)()
			for range 2 {
				all = append(all, connect(on, "ann", ann), connect(on, "ben", ben))
			}
		}
		send := func(on *bundle, from, to accounts.UserID) {
			c, err := on.OpenDirect(t.Context(), from, to)
			if err != nil {
				t.Error(err)
				return
			}
			for range 2 {
				if _, err := on.Send(t.Context(), Outgoing{ConversationID: c.ID, SenderID: from, ClientID: newClientID(), Body: "x"}); err != nil {
					t.Error(err)
				}
			}
		}
		all = append(all, func() { send(one, ann, ben) })
		if bothOpen {
			on := []*bundle{one, two}[rand.N(2)]
			all = append(all, func() { send(on, ben, ann) })
		}
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		atOnce(all...)
		id := one.open(ann, ben)
		last := one.send(ann, id, theEnd).Seq
		for _, on := range []*bundle{one, two} {
			if rand.N(2) == 0 { // of an unlinked one the sweep has to find it
				on.gates.hint(id, last)
			}
			on.gates.doubt()
			nudge(on.gates.look)
		}
		for _, r := range recorders {
			<-r.done
			if err := r.check(last, r.of == ben && !bothOpen); err != nil {
				t.Error(err)
			}
			_ = r.ws.CloseNow()
		}
		if t.Failed() {
			return
		}
	}
}
