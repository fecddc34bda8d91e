package hub

import (
	"encoding/binary"
	"sync"
)

// What RFC 6455 says of a frame, as far as it is written here.
const (
	final      = 0x80 // the first byte's highest bit: not a fragment
	opcode     = 0x0F // the first byte's lower half
	opText     = 0x1
	opClose    = 0x8
	maxHeader  = 10
	maxControl = 2 + 125 // bytes of a whole control frame
)

// appendHeader begins a text frame, whole and, being from a server, unmasked.
func appendHeader(b []byte, size int) []byte {
	b = append(b, final|opText)
	switch {
	case size < 126:
		return append(b, byte(size))
	case size <= 0xFFFF:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(size))
	default:
		return binary.BigEndian.AppendUint64(append(b, 127), uint64(size))
	}
}

// chunk is frames on their way out: as many as its buffer holds, or a longer one.
type chunk struct {
	buf  []byte // for its memory
	head []byte // in buf: what is not written yet
	tail []byte // payload of a long frame, not copied; its header is head
}

// chunkSize is more than waits for a client that keeps up. Each worker has one chunk, and
// each connection that is written to by a goroutine of its own.
const chunkSize = 32 << 10

var chunks = sync.Pool{New: func() any { return &chunk{buf: make([]byte, 0, chunkSize)} }}

func newChunk() *chunk { return chunks.Get().(*chunk) }

func (ch *chunk) free() {
	ch.head, ch.tail = nil, nil
	chunks.Put(ch)
}

// fill takes the first of some items, as many as fit, and gives how many, and their bytes.
func (ch *chunk) fill(items []item) (taken, size int) {
	b := ch.buf[:0]
	ch.tail = nil
	for i := range items {
		f := items[i].frame
		if len(b)+maxHeader+len(f) > cap(b) {
			if taken > 0 {
				break
			}
			ch.head, ch.tail = appendHeader(b, len(f)), f
			return 1, len(f)
		}
		b = append(appendHeader(b, len(f)), f...)
		taken++
		size += len(f)
	}
	ch.head = b
	return taken, size
}

// next is what to write next: nothing once all of it is written.
func (ch *chunk) next() []byte {
	if len(ch.head) > 0 {
		return ch.head
	}
	return ch.tail
}

// took notes that n bytes of next were written.
func (ch *chunk) took(n int) {
	if len(ch.head) > 0 {
		ch.head = ch.head[n:]
	} else {
		ch.tail = ch.tail[n:]
	}
}
