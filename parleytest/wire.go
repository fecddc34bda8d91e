package parleytest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1" // RFC 6455 wants it; nothing depends on its strength
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
)

// Wire is one WebSocket connection (RFC 6455) of a load generator: text frames, no
// extensions, no fragments. A general library spends more on a frame than the server
// under test does, and the two share a machine; so this one does only what the load
// needs. What has to be correct in the face of faults is tested through a real library.
//
// One goroutine may Read while others Append and Flush.
type Wire struct {
	conn net.Conn
	in   *bufio.Reader
	long []byte // a payload that does not fit into in

	mu   sync.Mutex // guards what follows
	out  []byte     // frames not yet flushed
	mask *rand.PCG
}

// CloseError is the server's close frame.
type CloseError struct {
	Code   int // 1005 when the frame has none
	Reason string
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("closed by the server: %d %s", e.Code, e.Reason)
}

const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA

	readBuffer = 4 << 10
	maxPayload = 16 << 20 // a server that claims more is broken
)

// DialWire connects to a server at host:port, as the owner of the token (of none: without), and returns
// after the handshake; the server's hello is still to be read.
func DialWire(ctx context.Context, d *net.Dialer, addr, token string) (*Wire, error) {
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect to the socket: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	w := &Wire{
		conn: conn,
		in:   bufio.NewReaderSize(conn, readBuffer),
		mask: rand.NewPCG(rand.Uint64(), rand.Uint64()),
	}
	if err := w.handshake(addr, token); err != nil {
		_ = conn.Close() // the handshake's error is the one that counts
		return nil, fmt.Errorf("shake hands on the socket: %w", err)
	}
	if !stop() {
		return nil, ctx.Err()
	}
	return w, nil
}

func (w *Wire) handshake(addr, token string) error {
	var nonce [16]byte
	binary.LittleEndian.PutUint64(nonce[:], w.mask.Uint64())
	binary.LittleEndian.PutUint64(nonce[8:], w.mask.Uint64())
	authorization := ""
	if token != "" {
		authorization = "Authorization: Bearer " + token + "\r\n"
	}
	key := base64.StdEncoding.EncodeToString(nonce[:])
	_, err := fmt.Fprintf(w.conn, "GET /api/v1/socket HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Protocol: parley.v1\r\n%s\r\n",
		addr, key, authorization)
	if err != nil {
		return err
	}
	res, err := http.ReadResponse(w.in, nil)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusSwitchingProtocols {
		return readProblem(res)
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	if res.Header.Get("Sec-WebSocket-Accept") != base64.StdEncoding.EncodeToString(sum[:]) {
		return errors.New("the server's Sec-WebSocket-Accept does not fit the key")
	}
	if p := res.Header.Get("Sec-WebSocket-Protocol"); p != "parley.v1" {
		return fmt.Errorf("the server chose the subprotocol %q", p)
	}
	return nil
}

// Append queues a text frame; Flush sends what is queued, in one write.
func (w *Wire) Append(payload []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out = appendFrame(w.out, opText, payload, uint32(w.mask.Uint64()))
}

// Flush sends the queued frames.
func (w *Wire) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.out) == 0 {
		return nil
	}
	_, err := w.conn.Write(w.out)
	w.out = w.out[:0]
	return err
}

// Waiting says whether Read has something without waiting for the network.
func (w *Wire) Waiting() bool { return w.in.Buffered() > 0 }

// Read gives the next text frame's payload, valid until the next Read. It answers pings
// by itself. The server's close frame is a *CloseError.
func (w *Wire) Read() ([]byte, error) {
	for {
		op, payload, err := w.readFrame()
		if err != nil {
			return nil, err
		}
		switch op {
		case opText:
			return payload, nil
		case opPing:
			w.mu.Lock()
			w.out = appendFrame(w.out, opPong, payload, uint32(w.mask.Uint64()))
			w.mu.Unlock()
			if err := w.Flush(); err != nil {
				return nil, err
			}
		case opPong:
		case opClose:
			e := &CloseError{Code: 1005}
			if len(payload) >= 2 {
				e.Code, e.Reason = int(binary.BigEndian.Uint16(payload)), string(payload[2:])
			}
			return nil, e
		default:
			return nil, fmt.Errorf("a frame with opcode %#x, which the server never sends", op)
		}
	}
}

// Close cuts the connection, without a close frame: to the server a client that is gone.
func (w *Wire) Close() error { return w.conn.Close() }

// readFrame reads one unmasked, unfragmented frame.
func (w *Wire) readFrame() (op byte, payload []byte, err error) {
	head, err := w.in.Peek(2)
	if err != nil {
		return 0, nil, short(err, len(head))
	}
	op, size := head[0]&0x0F, uint64(head[1]&0x7F)
	if head[0]&0xF0 != 0x80 || head[1]&0x80 != 0 {
		return 0, nil, fmt.Errorf("a frame that begins %#x %#x: a fragment, an extension, or masked", head[0], head[1])
	}
	n := 2
	switch size {
	case 126:
		n = 4
	case 127:
		n = 10
	}
	if head, err = w.in.Peek(n); err != nil {
		return 0, nil, short(err, len(head))
	}
	switch n {
	case 4:
		size = uint64(binary.BigEndian.Uint16(head[2:]))
	case 10:
		size = binary.BigEndian.Uint64(head[2:])
	}
	if size > maxPayload {
		return 0, nil, fmt.Errorf("a frame of %d bytes", size)
	}
	if n+int(size) <= w.in.Size() {
		frame, err := w.in.Peek(n + int(size))
		if err != nil {
			return 0, nil, short(err, len(frame))
		}
		_, _ = w.in.Discard(len(frame)) // what was peeked can be discarded
		return op, frame[n:], nil
	}
	_, _ = w.in.Discard(n)
	if cap(w.long) < int(size) {
		w.long = make([]byte, size)
	}
	w.long = w.long[:size]
	if _, err := io.ReadFull(w.in, w.long); err != nil {
		return 0, nil, short(err, 1)
	}
	return op, w.long, nil
}

// short makes an end in the middle of a frame different from one between frames.
func short(err error, have int) error {
	if errors.Is(err, io.EOF) && have > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// appendFrame appends one masked frame, as a client has to send it.
func appendFrame(out []byte, op byte, payload []byte, mask uint32) []byte {
	out = append(out, 0x80|op)
	switch n := len(payload); {
	case n < 126:
		out = append(out, 0x80|byte(n))
	case n <= 0xFFFF:
		out = append(out, 0x80|126, byte(n>>8), byte(n))
	default:
		out = append(out, 0x80|127)
		out = binary.BigEndian.AppendUint64(out, uint64(n))
	}
	out = binary.LittleEndian.AppendUint32(out, mask)
	start := len(out)
	out = append(out, payload...)
	xor(out[start:], mask)
	return out
}

// xor masks b, eight bytes at a time.
func xor(b []byte, mask uint32) {
	wide := uint64(mask)<<32 | uint64(mask)
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(wide >> (8 * i))
	}
}

// AwaitHello reads up to and including hello, which follows the handshake.
func (w *Wire) AwaitHello() error {
	for {
		frame, err := w.Read()
		if err != nil {
			return fmt.Errorf("wait for hello: %w", err)
		}
		for key, value := range Members(frame) {
			if string(key) == "type" && bytes.Equal(value, []byte(`"hello"`)) {
				return nil
			}
		}
	}
}
