package receipts

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"parley/accounts"
	"parley/chat"
	"parley/store"
	"parley/store/storetest"
)

// Whatever people send, get, read and delete on whichever of their devices, whoever is removed
// and comes back, and whenever connections break, writes fail and the server is killed with marks
// it has not written: marks never go back on any device, and once everybody has connected and
// said again what their devices have, all of them know the same, and the unread counts are exact.
// That a user has sent, no device says again.
func TestAnyInterleaving(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	rapid.Check(t, func(t *rapid.T) {
		w := newInterleaving(t, db)
		defer w.close()
		t.Repeat(map[string]func(*rapid.T){
			"send":       w.send,
			"deliver":    w.deliver,
			"read":       w.read,
			"write":      func(*rapid.T) { w.r.write() },
			"fail":       w.fail,
			"disconnect": w.disconnect,
			"connect":    w.connect,
			"delete":     w.delete,
			"remove":     w.remove,
			"add":        w.add,
			"crash":      w.crash,
			"listen":     func(*rapid.T) { w.listen() },
		})
		w.settle()
	})
}

// interleaving is one conversation, in a run of the property.
type interleaving struct {
	t        *rapid.T
	store    *store.DB
	r        *replica
	id       chat.ConversationID
	isDirect bool
	members  []accounts.UserID
	devices  []*device
	joined   map[accounts.UserID]chat.Seq // of the members
	sent     map[accounts.UserID]chat.Seq // the last message of each
	log      []entry
}

// entry is one of the log; only a message that is there has a sender.
type entry struct{ sender accounts.UserID }

// device is what one client knows.
type device struct {
	user     accounts.UserID
	conn     *client // nil: not connected
	have     marks   // what it has got and its owner has read on it: said again after a break
	mine     marks   // as the server says
	theirs   marks   // of the other side of a direct conversation
	everyone chat.Seq
}

func newInterleaving(t *rapid.T, db *store.DB) *interleaving {
	w := &interleaving{
		t: t, store: db, r: newReplica(t, db), isDirect: rapid.Bool().Draw(t, "direct"),
		joined: map[accounts.UserID]chat.Seq{}, sent: map[accounts.UserID]chat.Seq{}, log: []entry{{}},
	}
	n := 3
	if w.isDirect {
		n = 2
	}
	for range n {
		user := w.r.user("u" + strings.ReplaceAll(uuid.NewString(), "-", "")[:20])
		w.members = append(w.members, user)
		w.joined[user] = 1
		w.devices = append(w.devices, &device{user: user}, &device{user: user})
	}
	if w.isDirect {
		w.id = w.r.direct(w.members[0], w.members[1])
	} else {
		w.id = w.r.group(w.members...)
	}
	for _, d := range w.devices {
		w.dial(d)
	}
	return w
}

func (w *interleaving) close() {
	for _, d := range w.devices {
		w.drop(d)
	}
	w.r.stop()
}

// one draws a device of a member that is connected, or is not.
func (w *interleaving) one(t *rapid.T, connected bool) *device {
	var fit []int
	for i, d := range w.devices {
		if (d.conn != nil) == connected && w.joined[d.user] > 0 {
			fit = append(fit, i)
		}
	}
	if len(fit) == 0 {
		t.Skip("there is none")
	}
	return w.devices[rapid.SampledFrom(fit).Draw(t, "device")]
}

func (w *interleaving) seq(t *rapid.T) chat.Seq {
	return chat.Seq(rapid.IntRange(1, len(w.log)).Draw(t, "seq"))
}

// append notes an entry of the log.
func (w *interleaving) append(e entry) chat.Seq {
	w.log = append(w.log, e)
	return chat.Seq(len(w.log))
}

func (w *interleaving) send(t *rapid.T) {
	d := w.one(t, true)
	seq := w.r.send(d.user, w.id)
	if want := w.append(entry{d.user}); seq != want {
		t.Fatalf("the message has the seq %d, not %d", seq, want)
	}
	w.sent[d.user] = seq // sending is reading
}

// delete takes back a message of a member.
func (w *interleaving) delete(t *rapid.T) {
	var fit []int
	for i, e := range w.log {
		if w.joined[e.sender] > 0 && w.joined[e.sender] <= chat.Seq(i+1) {
			fit = append(fit, i)
		}
	}
	if len(fit) == 0 {
		t.Skip("there is none")
	}
	i := rapid.SampledFrom(fit).Draw(t, "message")
	w.r.erase(w.log[i].sender, w.id, chat.Seq(i+1))
	w.log[i] = entry{}
	w.append(entry{})
}

// someone draws a user beside the owner who is a member, or is not.
func (w *interleaving) someone(t *rapid.T, in bool) accounts.UserID {
	var fit []int
	for i, user := range w.members[1:] {
		if (w.joined[user] > 0) == in && !w.isDirect {
			fit = append(fit, i+1)
		}
	}
	if len(fit) == 0 {
		t.Skip("there is none")
	}
	return w.members[rapid.SampledFrom(fit).Draw(t, "user")]
}

func (w *interleaving) remove(t *rapid.T) {
	user := w.someone(t, true)
	w.r.write() // of a former member no mark is written
	w.r.remove(w.members[0], w.id, user)
	w.joined[user] = 0
	w.append(entry{})
}

// add lets a user come back, whose devices say again what they have.
func (w *interleaving) add(t *rapid.T) {
	user := w.someone(t, false)
	w.r.add(w.members[0], w.id, user)
	w.joined[user] = w.append(entry{})
	for _, d := range w.devices {
		if d.user == user && d.conn != nil {
			w.say(d)
		}
	}
}

func (w *interleaving) deliver(t *rapid.T) {
	d := w.one(t, true)
	d.have.delivered = max(d.have.delivered, w.seq(t))
	w.say(d)
}

func (w *interleaving) read(t *rapid.T) {
	d := w.one(t, true)
	d.have.read = max(d.have.read, w.seq(t))
	d.have.delivered = max(d.have.delivered, d.have.read)
	w.say(d)
}

// say tells the server what a device has.
func (w *interleaving) say(d *device) {
	for kind, seq := range map[string]chat.Seq{"receipt.delivered": d.have.delivered, "receipt.read": d.have.read} {
		if seq == 0 {
			continue
		}
		answer, told := d.conn.ask(kind, frameData(w.id, seq))
		if answer != "{}" {
			w.t.Fatalf("%s: %s", kind, answer)
		}
		for _, e := range told {
			w.merge(d, e)
		}
	}
}

// fail is a write that fails, or whose answer is lost.
func (w *interleaving) fail(t *rapid.T) {
	if rapid.Bool().Draw(t, "its answer is lost") {
		w.r.db.forgets = true
	} else {
		w.r.db.refuses = true
	}
	_ = w.r.flush(context.Background()) // there may be nothing to write
	w.r.db.forgets, w.r.db.refuses = false, false
}

func (w *interleaving) disconnect(t *rapid.T) { w.drop(w.one(t, true)) }

func (w *interleaving) drop(d *device) {
	if d.conn != nil {
		_ = d.conn.ws.CloseNow()
		d.conn = nil
	}
}

func (w *interleaving) connect(t *rapid.T) { w.dial(w.one(t, false)) }

// dial connects a device. It reads how things are, and says again what it has.
func (w *interleaving) dial(d *device) {
	d.conn = w.r.connect(d.user)
	if w.joined[d.user] == 0 {
		return
	}
	c := w.r.face(d.user, w.id)
	w.merge(d, Event{w.id, d.user, c.DeliveredSeq, c.ReadSeq})
	if w.isDirect {
		w.merge(d, Event{w.id, w.other(d.user), c.OthersDeliveredSeq, c.OthersReadSeq})
	} else {
		w.merge(d, Event{ConversationID: w.id, DeliveredSeq: c.OthersDeliveredSeq})
	}
	w.say(d)
}

func (w *interleaving) other(user accounts.UserID) accounts.UserID {
	if user == w.members[0] {
		return w.members[1]
	}
	return w.members[0]
}

// crash is the end of the server: what it has not written is gone. The next one sweeps.
func (w *interleaving) crash(*rapid.T) {
	for _, d := range w.devices {
		w.drop(d)
	}
	w.r.stop()
	w.r = newReplica(w.t, w.store)
	w.sweep()
}

func (w *interleaving) sweep() {
	if _, err := w.r.sweepSome(context.Background(), &sweepRound{}, time.Now()); err != nil {
		w.t.Fatal(err)
	}
}

// listen lets all devices take what they were told.
func (w *interleaving) listen() {
	for _, d := range w.devices {
		if d.conn != nil {
			for _, e := range d.conn.told() {
				w.merge(d, e)
			}
		}
	}
}

// merge takes what a device is told, which never goes back.
func (w *interleaving) merge(d *device, e Event) {
	told := marks{e.DeliveredSeq, e.ReadSeq}
	rises := func(m *marks) {
		if told.delivered < m.delivered || told.read < m.read || told.read > told.delivered {
			w.t.Fatalf("a device that knows of %+v is told %+v", *m, told)
		}
		*m = told
	}
	switch e.UserID {
	case d.user:
		rises(&d.mine)
	case accounts.UserID{}:
		if e.DeliveredSeq < d.everyone {
			w.t.Fatalf("a device that knows of %d by everybody is told %d", d.everyone, e.DeliveredSeq)
		}
		d.everyone = e.DeliveredSeq
	default:
		rises(&d.theirs)
	}
}

// settle lets everybody connect and everything be written, and compares all that is known.
func (w *interleaving) settle() {
	for _, d := range w.devices {
		if d.conn == nil {
			w.dial(d)
		}
	}
	w.sweep()
	w.r.write()
	w.listen()
	want := make(map[accounts.UserID]marks)
	for _, d := range w.devices {
		m, sent := want[d.user], w.sent[d.user]
		want[d.user] = marks{max(m.delivered, d.have.delivered, sent), max(m.read, d.have.read, sent)}
	}
	lowest, moved := chat.Seq(len(w.log)), false
	for user, m := range want {
		if joined := w.joined[user]; joined > 0 {
			lowest, moved = min(lowest, max(m.delivered, joined)), moved || m != marks{}
		}
	}
	for _, user := range w.members {
		if w.joined[user] == 0 {
			continue
		}
		unread := 0
		for i, e := range w.log {
			if chat.Seq(i+1) > max(want[user].read, w.joined[user]) && !e.sender.IsZero() && e.sender != user {
				unread++
			}
		}
		c := w.r.face(user, w.id)
		if got := (marks{c.DeliveredSeq, c.ReadSeq}); got != want[user] || c.Unread != unread {
			w.t.Fatalf("%v has %+v and %d unread, not %+v and %d", user, got, c.Unread, want[user], unread)
		}
		others := fmt.Sprint(lowest, 0)
		if w.isDirect {
			o := want[w.other(user)]
			others = fmt.Sprint(o.delivered, o.read)
		}
		if got := fmt.Sprint(c.OthersDeliveredSeq, c.OthersReadSeq); got != others && (w.isDirect || moved) {
			w.t.Fatalf("%v sees %s of the others, not %s", user, got, others)
		}
	}
	for _, d := range w.devices {
		if w.joined[d.user] == 0 {
			continue
		}
		if d.mine != want[d.user] || w.isDirect && d.theirs != want[w.other(d.user)] {
			w.t.Fatalf("a device knows of %+v and %+v, not %+v", d.mine, d.theirs, want)
		}
	}
}
