package chat

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"parley/accounts"
	"parley/store"
)

const (
	// queueLength is how many messages may wait for one writer: about a quarter of a
	// second's work. Beyond, a sender is told to try again, instead of everybody
	// waiting ever longer.
	queueLength = 4096
	// batchLength is how many messages one transaction holds at most. Beyond 256 a
	// commit costs no less per message, only longer.
	batchLength = 256
	// patience is how long a message waits for a database that does not answer. Then its
	// sender is told that the outcome is unknown, as soon as the attempt under way ends.
	patience = 5 * time.Second
	// attemptTimeout bounds one round trip to the database.
	attemptTimeout = 5 * time.Second
)

// Outgoing is a message on its way into the log.
type Outgoing struct {
	ConversationID ConversationID
	SenderID       accounts.UserID
	ClientID       uuid.UUID
	Body           string
	ReplyTo        Seq               // 0: none
	Mentions       []accounts.UserID // those of them who are no members are left out
}

// Sent says where a message is in the log.
type Sent struct {
	ConversationID ConversationID `json:"conversation_id"`
	Seq            Seq            `json:"seq" minimum:"1"`
	ClientID       uuid.UUID      `json:"client_id,omitzero"`
	CreatedAt      time.Time      `json:"created_at"`
	Repeat         bool           `json:"-"` // it was there already
}

// pending is an Outgoing with whom to tell, and since when it waits.
type pending struct {
	Outgoing
	since time.Time
	done  func(Sent, error) // nil once it was called
}

// answer calls done, once: after a panic a batch is answered that may be answered in part.
func (p *pending) answer(sent Sent, err error) {
	if done := p.done; done != nil {
		p.done = nil
		done(sent, err)
	}
}

// writer stores the messages of the conversations that fall to it. Whatever has queued
// since its last commit becomes the next batch: alone when idle, which is the lowest
// latency, and many under load, which is the lowest cost (group commit).
type writer struct {
	s     *Service
	queue chan *pending
	stop  chan struct{} // closed when nothing more is taken
	ended chan struct{} // closed when nobody writes any more

	acting chan struct{} // holds one while something else is done to one of its conversations

	batch    []*pending
	results  []result
	inBatch  map[key]struct{}
	heldOver []*pending // same key as one in the batch; waits for what becomes of that
	failing  bool       // the last attempt's outcome is unknown

	delivering sync.Mutex // held while a committed batch is answered and delivered

	began time.Time
	// unacknowledged is since when messages have waited without any answer of the database, in
	// nanoseconds after began; 0: none do.
	unacknowledged atomic.Int64
}

type key struct {
	conversation ConversationID
	client       uuid.UUID
}

func (p *pending) key() key { return key{p.ConversationID, p.ClientID} }

func newWriter(s *Service) *writer {
	return &writer{
		s:       s,
		queue:   make(chan *pending, queueLength),
		stop:    make(chan struct{}),
		ended:   make(chan struct{}),
		acting:  make(chan struct{}, 1),
		inBatch: make(map[key]struct{}, batchLength),
		began:   time.Now(),
	}
}

// writerOf gives the writer of a conversation: always the same, so that messages of one
// connection to one conversation are stored in the order they came.
func (s *Service) writerOf(id ConversationID) *writer { return s.writers[int(id[15])%len(s.writers)] }

// put queues a message. It never blocks.
func (w *writer) put(p *pending) error {
	select {
	case <-w.stop:
		return errStopped
	default:
	}
	select {
	case w.queue <- p:
	default:
		return ErrOverloaded
	}
	select {
	case <-w.ended: // while p was on its way into the queue
		w.refuse()
	default:
	}
	return nil
}

// refuse answers what waits in the queue when nobody will write it.
func (w *writer) refuse() {
	for {
		select {
		case p := <-w.queue:
			p.answer(Sent{}, errStopped)
		default:
			return
		}
	}
}

// run writes until ctx ends and the queue is empty.
func (w *writer) run(ctx context.Context) {
	for w.next(ctx) {
	}
	w.finish()
}

// next takes what waits and writes it. It waits for a message, and says whether one came before
// ctx ended.
func (w *writer) next(ctx context.Context) (more bool) {
	defer w.goOn()
	more = true //nolint:wastedassign // the result of a panic, too
	if len(w.batch) == 0 && len(w.heldOver) == 0 {
		select {
		case p := <-w.queue:
			w.take(p)
		case <-ctx.Done():
			return false
		}
	}
	if w.fill(); len(w.batch) > 0 {
		w.write()
	}
	return true
}

// goOn ends a panic of the writer, whose batch has an unknown outcome then: its senders are told
// so, the sweep delivers what was stored, and the writer goes on with the next. Defer it.
func (w *writer) goOn() {
	v := recover()
	if v == nil {
		return
	}
	failed := w.s.cfg.Failures.Panicked("writer", v)
	w.s.gates.doubt()
	batch := slices.Clone(w.batch)
	w.clear()
	w.unacknowledged.Store(0)
	for _, p := range batch {
		_ = w.s.cfg.Failures.Do("writer", func() error { p.answer(Sent{}, ErrUnknown.Because(failed)); return nil }) // counted
	}
}

// finish commits what was taken before the end. It takes no longer than patience and an
// attempt: by then every message was stored or given up.
func (w *writer) finish() {
	close(w.stop)
	for w.writeMore() {
	}
	close(w.ended)
	w.refuse()
}

// writeMore is next at the end: it does not wait for messages.
func (w *writer) writeMore() (more bool) {
	defer w.goOn()
	more = true //nolint:wastedassign // the result of a panic, too
	if w.fill(); len(w.batch) == 0 {
		return false
	}
	w.write()
	return true
}

// fill takes what waits, up to a batch.
func (w *writer) fill() {
	held := w.heldOver
	w.heldOver = nil
	for _, p := range held {
		w.take(p)
	}
	for len(w.batch)+len(w.heldOver) < batchLength {
		select {
		case p := <-w.queue:
			w.take(p)
		default:
			return
		}
	}
}

// take adds a message to the batch, unless it has waited too long already, behind others
// that the database did not answer. A second one with the same key waits for the next
// batch, where the database answers it as it answers every repeat.
func (w *writer) take(p *pending) {
	if time.Since(p.since) >= patience {
		p.answer(Sent{}, ErrUnknown)
		return
	}
	k := p.key()
	if _, twice := w.inBatch[k]; twice {
		w.heldOver = append(w.heldOver, p)
		return
	}
	w.inBatch[k] = struct{}{}
	w.batch = append(w.batch, p)
}

// write makes one attempt at the batch. What may yet succeed stays in it.
func (w *writer) write() {
	w.unacknowledged.CompareAndSwap(0, int64(time.Since(w.began)))
	err := w.attempt(w.batch)
	if refused(err) {
		err = w.oneByOne(err)
	} else if err == nil {
		w.settle(w.batch)
		w.clear()
	}
	if w.failing != (err != nil) { // an outage is two lines, not ten a second
		w.failing = err != nil
		if w.failing {
			w.s.cfg.Logger.Warn("storing messages fails; trying again", "messages", len(w.batch), "err", err)
		} else {
			w.s.cfg.Logger.Info("storing messages works again")
		}
	}
	if err == nil {
		w.unacknowledged.Store(0)
		return
	}
	// Unknown, not failed: the commit may have happened and only its answer been lost. The
	// same batch again finds out, because known client_ids keep their place.
	w.s.gates.doubt()
	w.giveUp(err)
	if len(w.batch)+len(w.heldOver)+len(w.queue) == 0 {
		w.unacknowledged.Store(0) // readiness is found out by the next message
	}
	if len(w.batch) > 0 {
		// Also during a shutdown: a database that is gone fails at once, every time.
		retryPause()
	}
}

// retryPause keeps a database that fails at once from being asked all the time.
func retryPause() { time.Sleep(50*time.Millisecond + rand.N(100*time.Millisecond)) }

// refused says that the database answered, and that the answer to the same will be the
// same: nothing was stored. What any other error leaves behind is unknown.
func refused(err error) bool {
	_, answered := errors.AsType[*pgconn.PgError](err)
	return answered && !store.Transient(err)
}

// giveUp answers those who have waited long enough.
func (w *writer) giveUp(err error) {
	w.batch = slices.DeleteFunc(w.batch, func(p *pending) bool {
		if time.Since(p.since) < patience {
			return false
		}
		delete(w.inBatch, p.key())
		p.answer(Sent{}, ErrUnknown.Because(err))
		return true
	})
}

// oneByOne finds the messages that the database will not have, so that they alone fail.
// An error says that the outcome of the first that is still in the batch is unknown.
func (w *writer) oneByOne(why error) error {
	for i, p := range w.batch {
		one, err := w.batch[i:i+1], why
		if len(w.batch) > 1 {
			err = w.attempt(one)
		}
		switch {
		case err == nil:
			w.settle(one)
		case refused(err):
			p.answer(Sent{}, fmt.Errorf("store a message: %w", err))
		default:
			for _, p := range w.batch[:i] {
				delete(w.inBatch, p.key())
			}
			w.batch = slices.Delete(w.batch, 0, i)
			return err
		}
	}
	w.clear()
	return nil
}

func (w *writer) clear() {
	clear(w.batch)
	w.batch = w.batch[:0]
	clear(w.inBatch)
}

func (w *writer) attempt(batch []*pending) error {
	// Not cut short by a shutdown: what was begun is finished.
	ctx, cancel := context.WithTimeout(context.Background(), attemptTimeout)
	defer cancel()
	var err error
	w.results, err = w.s.w.append(ctx, batch, w.results[:0])
	return err
}

// unacknowledgedLimit is how long messages may wait for the database before the replica is not
// ready any more.
const unacknowledgedLimit = 3 * time.Second

// Ready reports whether messages are stored. The error says for how long none was.
func (s *Service) Ready() error {
	for _, w := range s.writers {
		since := w.unacknowledged.Load()
		if age := time.Since(w.began) - time.Duration(since); since != 0 && age > unacknowledgedLimit {
			return fmt.Errorf("messages have waited %s to be stored", age.Round(time.Millisecond))
		}
	}
	return nil
}

// settle tells the senders of a committed batch, and delivers.
func (w *writer) settle(batch []*pending) {
	w.delivering.Lock()
	defer w.delivering.Unlock()
	s := w.s
	for i, p := range batch {
		r := w.results[i]
		if err := r.outcome.err(); err != nil {
			p.answer(Sent{}, err)
			continue
		}
		sent := Sent{p.ConversationID, r.seq, p.ClientID, r.at, r.outcome == repeated}
		if sent.Repeat {
			p.answer(sent, nil)
			// Perhaps stored by an attempt whose answer was lost, and nobody was told.
			s.gates.news.Tell(p.ConversationID, hint{Seq: r.seq})
			s.gates.hint(p.ConversationID, r.seq)
			s.sent(p, r.seq)
			continue
		}
		e := Entry{
			ConversationID: p.ConversationID, Seq: r.seq, Kind: KindMessage, SenderID: p.SenderID,
			ClientID: p.ClientID, CreatedAt: r.at, Body: p.Body, ReplyTo: p.ReplyTo,
		}
		if r.detail != nil {
			e.Detail = *r.detail
		}
		// Encoded first: the sender's reply and entry then reach the outbox one right after
		// the other, and the network in one write.
		frame := s.gates.encode(e)
		p.answer(sent, nil)
		s.gates.deliver(e, frame)
		s.sent(p, r.seq)
		if r.accepts {
			s.errand(func(ctx context.Context) { s.showAccepted(ctx, mine{p.SenderID, p.ConversationID}) })
		}
	}
}

// FinishDelivery returns once every message that was answered before the call is delivered to
// the connections here, or left to the reading of the log.
func (s *Service) FinishDelivery() {
	for _, w := range s.writers {
		w.delivering.Lock()
		w.delivering.Unlock() //nolint:staticcheck // only waits
	}
}

func (s *Service) sent(p *pending, seq Seq) {
	if s.cfg.Sent != nil {
		s.cfg.Sent(p.ConversationID, p.SenderID, seq)
	}
}
