package chat

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parley/accounts"
)

// exec changes the database under the server.
func (b *bundle) exec(statements ...string) {
	b.t.Helper()
	for _, sql := range statements {
		if _, err := b.db.Exec(b.t.Context(), sql); err != nil {
			b.t.Fatal(err)
		}
	}
}

// onCommit makes every commit of an entry run a piece of PL/pgSQL, as its last act.
func (b *bundle) onCommit(code string) {
	b.t.Helper()
	b.exec(`CREATE FUNCTION on_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN `+code+` RETURN NULL; END $$`,
		`CREATE CONSTRAINT TRIGGER on_commit AFTER INSERT ON entries DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION on_commit()`)
}

// Both statements were answered, and then the commit fails: nothing is acknowledged.
func TestRefusedAtCommit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, _, id := b.pair()
	b.onCommit(`IF NEW.body = 'poison' THEN RAISE check_violation; END IF;`)
	_, err := b.Send(t.Context(), Outgoing{ConversationID: id, SenderID: ann, ClientID: newClientID(), Body: "poison"})
	if err == nil || errors.Is(err, ErrUnknown) || len(b.log(id)) != 1 {
		t.Fatalf("the refusal is %v, and the log has %d entries", err, len(b.log(id)))
	}
	b.send(ann, id, "fine")
}

// A commit that was given up happens after all, long after its sender was told that
// nobody knows: the other side gets it without anything further being said.
func TestCommitAfterGivingUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben, id := b.pair()
	b.onCommit(`BEGIN PERFORM pg_sleep(7); EXCEPTION WHEN query_canceled THEN PERFORM pg_sleep(3); END;`)
	c := b.connect(ben)
	_, err := b.Send(t.Context(), Outgoing{ConversationID: id, SenderID: ann, ClientID: newClientID(), Body: "late"})
	if !errors.Is(err, ErrUnknown) {
		t.Fatalf("the sender was told %v", err)
	}
	if e := c.entry(); e.Body != "late" {
		t.Fatalf("got %+v", e)
	}
}

// An error that does not say what became of the message is not passed on as a failure.
func TestRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, syntax := b.db.Exec(t.Context(), `SELEC`)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, cancelled := b.db.Exec(gone, `SELECT 1`)
	for err, want := range map[error]bool{
		nil: false, syntax: true, cancelled: false,
		errors.New("pipeline: no more results but expected ReadyForQuery"): false,
	} {
		if refused(err) != want {
			t.Errorf("refused(%v) is %v", err, !want)
		}
	}
}

// countingHandler counts log lines.
type countingHandler struct {
	slog.Handler
	n atomic.Int64
}

func (*countingHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *countingHandler) Handle(context.Context, slog.Record) error { h.n.Add(1); return nil }

// With the database gone a shutdown waits for it a while, but does not hammer at it.
func TestShutdownWithoutDatabase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, _, id := b.pair()
	attempts := &countingHandler{Handler: slog.DiscardHandler}
	s := &Service{cfg: b.cfg, q: b.q, w: b.w}
	s.cfg.Logger = slog.New(attempts)
	s.gates.init(s)
	w := newWriter(s)
	b.db.Close()
	answers := make(chan error, 2)
	m := &pending{Outgoing{ConversationID: id, SenderID: ann, ClientID: newClientID(), Body: "x"}, time.Now(), func(_ Sent, err error) { answers <- err }}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { w.run(ctx); close(ended) }()
	if err := w.put(m); err != nil {
		t.Fatal(err)
	}
	for attempts.n.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-ended
	if err := <-answers; !errors.Is(err, ErrUnknown) {
		t.Errorf("the sender was told %v", err)
	}
	if n := attempts.n.Load(); n > 2*int64(patience/(50*time.Millisecond)) {
		t.Errorf("%d attempts in %v", n, patience)
	}
	if err := w.put(m); !errors.Is(err, errStopped) {
		t.Errorf("after the end: %v", err)
	}
}

// Who waits behind messages that the database does not answer is told as soon as they are.
func TestPatienceInTheQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWriter(nil)
		var told []error
		put := func() {
			if err := w.put(&pending{Outgoing{ClientID: newClientID()}, time.Now(), func(_ Sent, err error) { told = append(told, err) }}); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 * batchLength {
			put()
		}
		time.Sleep(patience)
		put()
		w.fill()
		if len(told) != 2*batchLength || !errors.Is(told[0], ErrUnknown) || len(w.batch) != 1 {
			t.Errorf("%d were told, %d are written", len(told), len(w.batch))
		}
	})
}

// Every message put is answered, also one that comes while the writer ends.
func TestPutWhileEnding(t *testing.T) {
	t.Parallel()
	ended, over := context.WithCancel(t.Context())
	over()
	for range 500 {
		w := newWriter(nil)
		var taken, told atomic.Int64
		var all sync.WaitGroup
		all.Go(func() { w.run(ended) })
		for range 4 {
			all.Go(func() {
				for {
					// Too old to be written, so that no database is asked.
					if w.put(&pending{since: time.Now().Add(-patience), done: func(Sent, error) { told.Add(1) }}) != nil {
						return
					}
					taken.Add(1)
				}
			})
		}
		all.Wait()
		if taken.Load() != told.Load() {
			t.Fatalf("%d messages were taken, and %d answered", taken.Load(), told.Load())
		}
	}
}

// Sending counts as reading, also if only the repeat finds out that it was stored.
func TestSentIsToldOfRepeats(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := replica(t, b.db)
	ann, _, id := b.pair()
	told := make(chan Seq, 10)
	b.cfg.Sent = func(_ ConversationID, _ accounts.UserID, seq Seq) { told <- seq }
	m := Outgoing{ConversationID: id, SenderID: ann, ClientID: newClientID(), Body: "x"}
	if _, err := other.Send(t.Context(), m); err != nil { // the answer of which was lost
		t.Fatal(err)
	}
	if sent, err := b.Send(t.Context(), m); err != nil || !sent.Repeat {
		t.Fatalf("%+v, %v", sent, err)
	}
	b.send(ann, id, "y")
	if first := <-told; first != 2 {
		t.Errorf("the first to be told of is %d", first)
	}
}

// A conversation that was made without this replica being told, as when the answer to the
// commit was lost, or the other replica died, is looked for, and its members are let in.
func TestAdmittedUnheard(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := replica(t, b.db)
	ann, ben := b.user("ann"), b.user("ben")
	c := b.connect(ben)
	id := other.group(ann)
	if _, err := other.AddMembers(t.Context(), ann, id, []accounts.UserID{ben}); err != nil {
		t.Fatal(err)
	}
	other.send(ann, id, "welcome")
	b.gates.doubt()
	if f := c.next(); f.Type != "conversation" {
		t.Fatalf("ben got %s", f.Type)
	}
	for want := Seq(2); want <= 3; want++ {
		if e := c.entry(); e.Seq != want {
			t.Fatalf("ben got %+v, not entry %d", e, want)
		}
	}
	b.send(ann, id, "live")
	if e := c.entry(); e.Body != "live" {
		t.Fatalf("ben got %+v", e)
	}
}

// A gate that is made where nobody has heard of an entry begins after it, with what somebody
// read who connected. Whom the entry let in is let in all the same, and misses nothing.
func TestAdmittedBeforeTheGate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := replica(t, b.db)
	for b.gates.doubts.Swap(0) == 0 { // or a sweep finds them before there is a gate
		time.Sleep(time.Millisecond)
	}
	ann, ben, eve := b.user("ann"), b.user("ben"), b.user("eve")
	c, e := b.connect(ben), b.connect(eve)
	id := other.group(ann)
	if _, err := other.AddMembers(t.Context(), ann, id, []accounts.UserID{ben, eve}); err != nil {
		t.Fatal(err)
	}
	if err := other.RemoveMember(t.Context(), ann, id, eve); err != nil {
		t.Fatal(err)
	}
	const messages = holeShare + 10 // more than one read takes
	for i := range messages {
		other.send(ann, id, fmt.Sprint("message ", i))
	}
	a := b.connect(ann) // makes the gate
	b.gates.doubt()
	if f := c.next(); f.Type != "conversation" {
		t.Fatalf("ben got %s", f.Type)
	}
	for want := Seq(2); want <= 4+messages; want++ {
		if got := c.entry(); got.Seq != want {
			t.Fatalf("ben got %+v, not entry %d", got, want)
		}
	}
	b.send(ann, id, "live")
	for _, c := range []*client{a, c} {
		if got := c.entry(); got.Body != "live" {
			t.Fatalf("somebody got %+v", got)
		}
	}
	b.byUser.Publish(eve, []byte(`{"type":"end"}`))
	if f := e.next(); f.Type != "end" {
		t.Errorf("eve, who was put out again, got %s %s", f.Type, f.Data)
	}
}

// All connections of the user get a conversation also if the request that opened it is gone by then.
func TestOpenedConversationIsDelivered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, ben := b.user("ann"), b.user("ben")
	c := b.connect(ann)
	d, err := b.createDirect(t.Context(), ann, ben) // and nothing is read for her any more
	if err != nil {
		t.Fatal(err)
	}
	if f := c.next(); f.Type != "conversation" {
		t.Fatalf("ann got %s", f.Type)
	}
	if e := c.entry(); e.Kind != KindCreated || e.ConversationID != d.id {
		t.Fatalf("ann got %+v", e)
	}
}

// Who was connected before gets the first entry, however many connect while the
// conversation is made.
func TestFirstEntryWhileOthersConnect(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann := b.user("ann")
	a := b.connect(ann)
	for i := range 20 {
		friend := b.user("friend" + string(rune('a'+i)))
		stop := make(chan struct{})
		var connecting sync.WaitGroup
		for range 4 {
			connecting.Go(func() {
				for {
					_ = b.connect(friend).ws.CloseNow()
					select {
					case <-stop:
						return
					default:
					}
				}
			})
		}
		conversation, err := b.OpenDirect(t.Context(), ann, friend)
		close(stop)
		connecting.Wait()
		if err != nil {
			t.Fatal(err)
		}
		b.send(ann, conversation.ID, "hello")
		for seq := Seq(1); seq <= 2; seq++ {
			if e := a.entry(); e.ConversationID != conversation.ID || e.Seq != seq {
				t.Fatalf("ann got %+v, not entry %d", e, seq)
			}
		}
	}
}

// A log with a hole, which cannot be, is not read for ever.
func TestGateStopsAtAGap(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := replica(t, b.db)
	ann, ben, id := b.pair()
	b.connect(ben)
	for range 3 {
		other.send(ann, id, "x")
	}
	b.exec(`DELETE FROM entries WHERE seq = 2`)
	b.gates.hint(id, 4)
	gt := b.gate(id)
	deadline := time.Now().Add(5 * time.Second)
	for reading := true; reading; {
		gt.mu.Lock()
		reading = gt.reading
		if gt.delivered != 1 {
			t.Errorf("delivered up to %d", gt.delivered)
		}
		gt.mu.Unlock()
		if time.Now().After(deadline) {
			t.Fatal("the log is still being read")
		}
		time.Sleep(time.Millisecond)
	}
}
