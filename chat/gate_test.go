package chat

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/jackc/pgx/v5"

	"parley/accounts"
	"parley/hub"
	"parley/problem"
)

// group makes a group of its owner and others.
func (b *bundle) group(owner accounts.UserID, others ...accounts.UserID) ConversationID {
	b.t.Helper()
	c, err := b.CreateGroup(b.t.Context(), owner, "Group", others)
	if err != nil {
		b.t.Fatal(err)
	}
	return c.ID
}

// Somebody is added while nobody of the group is connected, and a message is committed before
// the entry that lets them in has passed the gate: they get it all the same.
func TestMessageRightAfterBeingAdded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := replica(t, b.db) // commits what b delivers, step by step
	ann, ben := b.user("ann"), b.user("ben")
	id := b.group(ann)
	c := b.connect(ben)
	b.gates.watch(id, 1) // as a change does before its commit
	if _, err := other.AddMembers(t.Context(), ann, id, []accounts.UserID{ben}); err != nil {
		t.Fatal(err)
	}
	other.send(ann, id, "welcome")
	if _, err := other.Act(t.Context(), Action{Kind: KindReactionAdded, ConversationID: id, SenderID: ann, TargetSeq: 3, Emoji: "👋"}); err != nil {
		t.Fatal(err)
	}
	log := b.log(id)
	var frames [][]byte
	for _, e := range log {
		frames = append(frames, b.gates.encode(e)) // before ben is let in: nobody would get them
	}
	b.gates.deliverChanges(t.Context(), log[1:2])
	for i, e := range log[2:] {
		b.gates.deliver(e, frames[i+2])
	}
	b.send(ann, id, "and live")
	var got []Seq
	for len(got) == 0 || got[len(got)-1] < 5 {
		got = append(got, c.entry().Seq)
	}
	if !slices.Equal(got, []Seq{2, 3, 4, 5}) {
		t.Errorf("ben got %v", got)
	}
}

// Who is put out and comes back is told what the conversation looks like before its entries
// go on, also where both are read from the log at once.
func TestGreetedOnComingBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b2 := replica(t, b.db)
	ann, ben := b.user("ann"), b.user("ben")
	id := b.group(ann, ben)
	c := b2.connect(ben)
	if err := b.RemoveMember(t.Context(), ann, id, ben); err != nil {
		t.Fatal(err)
	}
	if _, err := b.AddMembers(t.Context(), ann, id, []accounts.UserID{ben}); err != nil {
		t.Fatal(err)
	}
	b2.gates.hint(id, 3)
	var got []string
	for range 3 {
		f := c.next()
		got = append(got, fmt.Sprint(f.Type, " ", decode[Entry](t, f.Data).Kind))
	}
	if want := []string{"entry member_removed", "conversation group", "entry member_added"}; !slices.Equal(got, want) {
		t.Errorf("ben hears %q", got)
	}
}

// stretch is a membership: from the entry that began it to the one that ended it, or to the
// end of everything.
type stretch struct{ joined, until Seq }

// stretches reads from a log when somebody was a member.
func stretches(log []Entry, user accounts.UserID) (all []stretch) {
	for _, e := range log {
		switch {
		case slices.Contains(e.admitted(), user):
			all = append(all, stretch{e.Seq, math.MaxInt64})
		case e.UserID == user && (e.Kind == KindMemberRemoved || e.Kind == KindMemberLeft):
			all[len(all)-1].until = e.Seq
		}
	}
	return all
}

// stretches gives somebody's memberships as the database has them.
func (b *bundle) stretches(id ConversationID, user accounts.UserID) []stretch {
	b.t.Helper()
	rows, err := b.db.Query(b.t.Context(), `SELECT joined_seq, coalesce(until_seq, $3) FROM members WHERE conversation_id = $1 AND user_id = $2 ORDER BY 1`,
		id, user, int64(math.MaxInt64))
	if err != nil {
		b.t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (s stretch, err error) {
		err = r.Scan(&s.joined, &s.until)
		return s, err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

// listener is a connection that was opened sometime, and what it heard of a conversation.
type listener struct {
	name  string
	user  accounts.UserID
	ws    *websocket.Conn
	after Seq // the log reached so far when it had its hello
	heard []Seq
	ended bool          // it heard the end, and was not closed before
	done  chan struct{} // closed when it listens no more
}

const theEnd = "the end"

// listen opens a connection that listens until it hears the end or is closed. It is for
// goroutines, which may not stop the test.
func (b *bundle) listen(id ConversationID, user accounts.UserID, name string) (*listener, error) {
	ws, _, err := websocket.Dial(b.t.Context(), strings.Replace(b.srv.URL, "http", "ws", 1), &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"Bearer " + user.String()}}, Subprotocols: []string{hub.Subprotocol},
	})
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(1 << 20)
	read := func() (f frame, err error) {
		_, msg, err := ws.Read(b.t.Context())
		if err == nil {
			err = json.Unmarshal(msg, &f)
		}
		return f, err
	}
	if f, err := read(); err != nil || f.Type != "hello" {
		return nil, fmt.Errorf("the first frame is %q: %w", f.Type, err)
	}
	heads, err := b.q.lastSeqs(b.t.Context(), []ConversationID{id})
	if err != nil {
		return nil, err
	}
	l := &listener{name: name, user: user, ws: ws, after: heads[0].last, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for !l.ended {
			f, err := read()
			if err != nil {
				return // closed by the test, or else it did not hear the end
			}
			var e Entry
			if f.Type != "entry" || json.Unmarshal(f.Data, &e) != nil {
				continue
			}
			l.heard = append(l.heard, e.Seq)
			l.ended = e.Body == theEnd
		}
	}()
	return l, nil
}

// check compares what a connection heard with what it should have: the entries of its user's
// memberships, one after the other, from no later than the first one after its hello.
func (l *listener) check(log []Entry) error {
	var readable []Seq
	for _, s := range stretches(log, l.user) {
		for seq := s.joined; seq <= min(s.until, Seq(len(log))); seq++ {
			readable = append(readable, seq)
		}
	}
	from, _ := slices.BinarySearch(readable, l.after+1) // the first one that it must hear
	if len(l.heard) > 0 && l.heard[0] < l.after+1 {
		from, _ = slices.BinarySearch(readable, l.heard[0]) // committed before its hello, and passed the gate after
	}
	want := readable[from:]
	if !l.ended {
		want = want[:min(len(want), len(l.heard))]
	}
	if !slices.Equal(l.heard, want) {
		return fmt.Errorf("%s, whose hello came after %d, heard\n%v, not\n%v\nof %v", l.name, l.after, l.heard, want, stretches(log, l.user))
	}
	return nil
}

// While people are added and removed and connections are opened all the time, each connection
// hears exactly the entries of its user's memberships that come after its hello, in order, and
// none from outside: on the replica where it happens, with somebody there all along or with
// nobody, and on one that only learns of it by hints, which come late, twice or not at all.
func TestConnectingWhileMembersComeAndGo(t *testing.T) {
	t.Parallel()
	for _, observed := range []bool{true, false} {
		b := setup(t)
		b2 := replica(t, b.db)
		ann, bea := b.user("ann"), b.user("bea")
		people := []accounts.UserID{b.user("carl"), b.user("dora"), b.user("eve"), b.user("fay")}
		id := b.group(ann, bea)
		if _, err := b.SetRole(t.Context(), ann, id, bea, RoleOwner); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex // guards listeners
		var listeners []*listener
		var opening sync.WaitGroup
		open := func(on *bundle, user accounts.UserID) {
			name := fmt.Sprintf("observed %v, replica %v, connection of %v", observed, on == b2, user)
			opening.Go(func() {
				l, err := on.listen(id, user, name)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				listeners = append(listeners, l)
			})
		}
		open(b2, bea) // the other replica has a gate
		if observed {
			open(b, bea)
		}
		opening.Wait()

		// Two owners add, remove and talk; and everybody comes and goes.
		act := func(me accounts.UserID) {
			for range 100 {
				who := people[rand.N(len(people))]
				var err error
				switch rand.N(5) {
				case 0, 1:
					_, err = b.AddMembers(t.Context(), me, id, []accounts.UserID{who, people[rand.N(len(people))]})
				case 2:
					err = b.RemoveMember(t.Context(), me, id, who)
				case 3:
					err = b.RemoveMember(t.Context(), who, id, who)
				case 4:
					_, err = b.Send(t.Context(), Outgoing{ConversationID: id, SenderID: me, ClientID: newClientID(), Body: "x"})
				}
				if err != nil && problem.From(err).Code != problem.NotFound {
					t.Error(err)
				}
				if heads, err := b.q.lastSeqs(t.Context(), []ConversationID{id}); err != nil {
					t.Error(err)
				} else if rand.N(2) == 0 {
					b2.gates.hint(id, heads[0].last-Seq(rand.N(3)))
				}
				open([]*bundle{b, b2}[rand.N(2)], people[rand.N(len(people))])
				if rand.N(3) == 0 {
					mu.Lock()
					if l := listeners[rand.N(len(listeners))]; l.user != bea {
						_ = l.ws.CloseNow()
					}
					mu.Unlock()
				}
			}
		}
		atOnce(func() { act(ann) }, func() { act(bea) })
		opening.Wait()

		if _, err := b.AddMembers(t.Context(), ann, id, people); err != nil {
			t.Fatal(err)
		}
		end := b.send(ann, id, theEnd).Seq
		b2.gates.hint(id, end)
		log := b.log(id)
		for _, user := range people {
			if got, want := b.stretches(id, user), stretches(log, user); !slices.Equal(got, want) {
				t.Errorf("%v has the memberships %v, and by the log %v", user, got, want)
			}
		}
		ended := 0
		for _, l := range listeners {
			select {
			case <-l.done:
			case <-time.After(20 * time.Second):
				_ = l.ws.CloseNow()
				<-l.done
				t.Errorf("%s, whose hello came after %d, did not hear the end; it heard %v", l.name, l.after, l.heard)
			}
			if err := l.check(log); err != nil {
				t.Error(err)
			}
			if l.ended {
				ended++
			}
			_ = l.ws.CloseNow()
		}
		if ended < 20 {
			t.Errorf("only %d connections of %d lived to the end", ended, len(listeners))
		}
	}
}

// Whether a group shares its history is no entry: everybody who is connected is told.
func TestSharingIsToldToMembers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben := b.user("ann"), b.user("ben")
	id := b.group(ann, ben)
	c := b.connect(ben)
	share := true
	for range 2 { // the second time nothing changes, and nothing is told
		if err := b.UpdateGroup(t.Context(), ann, id, GroupUpdate{ShareHistory: &share}); err != nil {
			t.Fatal(err)
		}
	}
	b.send(ann, id, "and now")
	if f := c.next(); f.Type != "conversation" || !decode[Conversation](t, f.Data).ShareHistory {
		t.Fatalf("ben got %s %s", f.Type, f.Data)
	}
	if f := c.next(); f.Type != "entry" {
		t.Errorf("then ben got %s", f.Type)
	}
}
