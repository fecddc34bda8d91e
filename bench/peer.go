package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"parley/parleytest"
)

// stampSize is what the time of sending takes at the start of a text, and as a request's
// id: so neither side needs a table of what is under way.
const stampSize = 16

// sample is one message's latency.
type sample struct {
	sent, took time.Duration
	seq        int64 // of what was received
}

// peer is one connection in one conversation. Its run is the only goroutine that reads,
// and in a closed loop the only one that writes.
type peer struct {
	wire         *parleytest.Wire
	conversation string
	user         string
	now          func() time.Duration
	measures     bool // what comes from others
	measuresOwn  bool // and what comes back
	closed       bool // loop: every answer begins the next send
	most         int  // messages to send in all; 0: no limit
	begun        int  // sends so far
	rnd          *rand.PCG
	filler       string
	frame        []byte // of the last send, for its memory

	stopping *atomic.Bool // of all peers

	waiting atomic.Int64 // sends not answered
	seen    atomic.Int64 // seq of the last entry
	highest atomic.Int64 // seq acknowledged

	// What run alone touches, to be read when it has returned.
	last     time.Duration // stamp of the last send, which are all different
	acked    []sample
	received []sample
	errors   map[string]int
	entries  int
	receipts int

	acknowledged int64 // seq said to be had and read
}

func newPeer(w *world, wire *parleytest.Wire, conversation uuid.UUID, side parleytest.Session, stopping *atomic.Bool) *peer {
	return &peer{
		wire: wire, conversation: conversation.String(), user: side.User.ID.String(),
		now: w.now, stopping: stopping,
		rnd:    rand.NewPCG(rand.Uint64(), rand.Uint64()),
		filler: strings.Repeat("x", w.o.text-stampSize),
		errors: map[string]int{},
	}
}

// send queues one message.
func (p *peer) send() {
	sent := max(p.now(), p.last+1)
	p.last = sent
	b := p.frame[:0]
	b = append(b, `{"type":"message.send","id":"`...)
	b = appendStamp(b, sent)
	b = append(b, `","data":{"conversation_id":"`...)
	b = append(b, p.conversation...)
	b = append(b, `","client_id":"`...)
	b = p.appendClientID(b)
	b = append(b, `","body":"`...)
	b = appendStamp(b, sent)
	b = append(b, p.filler...)
	b = append(b, `"}}`...)
	p.frame = b
	p.begun++
	p.waiting.Add(1)
	p.wire.Append(b)
}

// appendClientID appends a UUIDv7, made without the lock and system calls of a general
// library.
func (p *peer) appendClientID(b []byte) []byte {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:], uint64(time.Now().UnixMilli())<<16|p.rnd.Uint64()&0x0FFF|0x7000)
	binary.BigEndian.PutUint64(id[8:], p.rnd.Uint64()&(1<<62-1)|1<<63)
	var text [36]byte
	hex.Encode(text[:], id[:4])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	hex.Encode(text[9:], id[4:6])
	hex.Encode(text[14:], id[6:8])
	hex.Encode(text[19:], id[8:10])
	hex.Encode(text[24:], id[10:])
	return append(b, text[:]...)
}

func appendStamp(b []byte, t time.Duration) []byte {
	var raw [8]byte
	binary.BigEndian.PutUint64(raw[:], uint64(t))
	return hex.AppendEncode(b, raw[:])
}

// stamp reads what appendStamp wrote at the start of b.
func stamp(b []byte) (time.Duration, bool) {
	var raw [8]byte
	if len(b) < stampSize {
		return 0, false
	}
	if _, err := hex.Decode(raw[:], b[:stampSize]); err != nil {
		return 0, false
	}
	return time.Duration(binary.BigEndian.Uint64(raw[:])), true
}

// run sends the first inFlight messages, then handles what comes until the connection
// ends, and says how it did. What is queued is flushed when there is nothing more to read: answers that came
// together are followed by sends that leave together.
func (p *peer) run(inFlight int) error {
	p.closed = inFlight > 0
	for range inFlight {
		p.send()
	}
	for {
		if !p.wire.Waiting() {
			if err := p.wire.Flush(); err != nil {
				return err
			}
		}
		frame, err := p.wire.Read()
		if err != nil {
			return err
		}
		p.handle(frame)
	}
}

func (p *peer) handle(frame []byte) {
	var kind, id, data, problem []byte
	for key, value := range parleytest.Members(frame) {
		switch string(key) {
		case "type":
			kind = parleytest.Text(value)
		case "id":
			id = parleytest.Text(value)
		case "data":
			data = value
		case "error":
			problem = value
		}
	}
	switch string(kind) {
	case "reply":
		if string(id) != markID {
			p.answered(id, data)
		}
	case "entry":
		p.entry(data)
	case "receipt":
		p.receipts++
	case "error":
		p.refused(problem)
		if string(id) != markID {
			p.next()
		}
	}
}

// markID is the id of all requests that raise a mark.
const markID = "mark"

// acknowledge queues up to where this side has the conversation and has read it, if that is
// news.
func (p *peer) acknowledge() {
	seq := p.seen.Load()
	if seq == p.acknowledged {
		return
	}
	p.acknowledged = seq
	for _, kind := range []string{"receipt.delivered", "receipt.read"} {
		p.wire.Append(fmt.Appendf(nil, `{"type":%q,"id":%q,"data":{"conversation_id":%q,"seq":%d}}`, kind, markID, p.conversation, seq))
	}
}

func (p *peer) answered(id, data []byte) {
	sent, ok := stamp(id)
	if !ok {
		p.errors["a reply to nothing that was asked"]++
		return
	}
	p.acked = append(p.acked, sample{sent: sent, took: p.now() - sent})
	for key, value := range parleytest.Members(data) {
		if string(key) == "seq" {
			if seq := parleytest.Number(value); seq > p.highest.Load() {
				p.highest.Store(seq)
			}
		}
	}
	p.next()
}

func (p *peer) refused(problem []byte) {
	for key, value := range parleytest.Members(problem) {
		if string(key) == "code" {
			p.errors["refused as "+string(parleytest.Text(value))]++
		}
	}
}

func (p *peer) next() {
	p.waiting.Add(-1)
	if p.closed && !p.stopping.Load() && (p.most == 0 || p.begun < p.most) {
		p.send()
	}
}

func (p *peer) entry(data []byte) {
	now := p.now()
	var seq int64
	var body, sender []byte
	for key, value := range parleytest.Members(data) {
		switch string(key) {
		case "seq":
			seq = parleytest.Number(value)
		case "body":
			body = parleytest.Text(value)
		case "sender_id":
			sender = parleytest.Text(value)
		}
	}
	p.entries++
	if before := p.seen.Load(); before != 0 && seq != before+1 {
		p.errors[fmt.Sprintf("an entry %+d steps after the one before", seq-before)]++
	}
	p.seen.Store(seq)
	if !p.measures || !p.measuresOwn && string(sender) == p.user {
		return
	}
	sent, ok := stamp(body)
	if !ok {
		p.errors["an entry with another text than was sent"]++
		return
	}
	p.received = append(p.received, sample{sent, now - sent, seq})
}
