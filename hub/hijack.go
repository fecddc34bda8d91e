package hub

import (
	"bufio"
	"net"
	"net/http"
)

// hijacker hands the WebSocket library a wire, and a buffer for writing that holds one
// control frame: so each reaches the wire in one piece, and an idle connection keeps no
// larger one.
type hijacker struct {
	http.ResponseWriter
	wire *wire
}

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	// The switching-protocols answer may still wait in the server's writer.
	if err := rw.Flush(); err != nil {
		_ = conn.Close() // the error that counts is Flush's
		return nil, nil, err
	}
	h.wire = newWire(conn)
	return h.wire, bufio.NewReadWriter(rw.Reader, bufio.NewWriterSize(h.wire, maxControl)), nil
}
