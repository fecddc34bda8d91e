package receipts

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"parley/accounts"
	"parley/chat"
	"parley/store"
	"parley/store/storetest"
)

// Whatever people send, get and read on whichever of their devices, and whenever connections
// break, writes fail and the server crashes with marks it has not written: marks never go back
// on any device, and once everybody has connected and said again what they have, all of them
// know the same, and the unread counts are exact.
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
	senders  []accounts.UserID // of the entries, the first of which is no message
}

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
	w := &interleaving{t: t, store: db, r: newReplica(t, db), isDirect: rapid.Bool().Draw(t, "direct")}
	n := 3
	if w.isDirect {
		n = 2
	}
	for range n {
		user := w.r.user("u" + strings.ReplaceAll(uuid.NewString(), "-", "")[:20])
		w.members = append(w.members, user)
		w.devices = append(w.devices, &device{user: user}, &device{user: user})
	}
	if w.isDirect {
		w.id = w.r.direct(w.members[0], w.members[1])
	} else {
		w.id = w.r.group(w.members...)
	}
	w.senders = append(w.senders, accounts.UserID{})
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

// one draws a device that is connected, or is not.
func (w *interleaving) one(t *rapid.T, connected bool) *device {
	var fit []int
	for i, d := range w.devices {
		if (d.conn != nil) == connected {
			fit = append(fit, i)
		}
	}
	if len(fit) == 0 {
		t.Skip("there is none")
	}
	return w.devices[rapid.SampledFrom(fit).Draw(t, "device")]
}

func (w *interleaving) seq(t *rapid.T) chat.Seq {
	return chat.Seq(rapid.IntRange(1, len(w.senders)).Draw(t, "seq"))
}

func (w *interleaving) send(t *rapid.T) {
	d := w.one(t, true)
	seq := w.r.send(d.user, w.id)
	if int(seq) != len(w.senders)+1 {
		t.Fatalf("the message has the seq %d after %d", seq, len(w.senders))
	}
	w.senders = append(w.senders, d.user)
	d.have = marks{seq, seq} // sending is reading
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

// crash is the end of the server: what it has not written is gone.
func (w *interleaving) crash(*rapid.T) {
	for _, d := range w.devices {
		w.drop(d)
	}
	w.r.stop()
	w.r = newReplica(w.t, w.store)
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
	w.r.write()
	w.listen()
	want := make(map[accounts.UserID]marks)
	for _, d := range w.devices {
		m := want[d.user]
		want[d.user] = marks{max(m.delivered, d.have.delivered), max(m.read, d.have.read)}
	}
	lowest, moved := chat.Seq(len(w.senders)), false
	for _, m := range want {
		lowest, moved = min(lowest, max(m.delivered, 1)), moved || m != marks{}
	}
	if !moved {
		lowest = 0
	}
	for _, user := range w.members {
		unread := 0
		for i, sender := range w.senders[1:] {
			if chat.Seq(i+2) > want[user].read && sender != user {
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
		if got := fmt.Sprint(c.OthersDeliveredSeq, c.OthersReadSeq); got != others {
			w.t.Fatalf("%v sees %s of the others, not %s", user, got, others)
		}
	}
	for _, d := range w.devices {
		if d.mine != want[d.user] || w.isDirect && d.theirs != want[w.other(d.user)] {
			w.t.Fatalf("a device knows of %+v and %+v, not %+v", d.mine, d.theirs, want)
		}
	}
}
