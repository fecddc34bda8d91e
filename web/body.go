package web

import (
	"errors"
	"io"
	"net/http"
	"time"

	"parley/problem"
	"parley/strictjson"
)

const (
	// maxRead is how many bytes of a body are read: the longest with every character escaped.
	maxRead = strictjson.MaxGrowth * MaxBody
	// After the refusal of a body what follows of it is read and dropped, up to these bounds.
	// A client that has yet to send it would otherwise see a reset in place of the answer.
	dropBytes   = 4 << 20
	dropTimeout = 5 * time.Second
)

var errBodyTooLarge = problem.Newf(problem.TooLarge, "The request body is over %d bytes.", MaxBody)

// tooLarge reports whether reading a body failed for its size.
func tooLarge(err error) bool {
	var e *http.MaxBytesError
	return errors.As(err, &e)
}

// limitBody refuses a body over MaxBody, before it is read where its length says so.
func (s *Server) limitBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		b := &bodyReader{body: r.Body, room: MaxBody, left: maxRead, header: w.Header()}
		if r.ContentLength > maxRead {
			b.refuse()
			s.fail(w, r, errBodyTooLarge)
		} else {
			r.Body = b
			next.ServeHTTP(w, r)
		}
		if b.refused && r.Header.Get("Expect") == "" { // else the client waited for the answer
			drop(w, b.body)
		}
	})
}

// drop sends the answer, and reads what the client still sends. Failing of it means that
// the client is gone.
func drop(w http.ResponseWriter, body io.Reader) {
	c := http.NewResponseController(w)
	if c.Flush() == nil && c.SetReadDeadline(time.Now().Add(dropTimeout)) == nil {
		_, _ = io.CopyN(io.Discard, body, dropBytes)
	}
}

// bodyReader reads a body until it is certain to be over MaxBody. As in a frame of the
// socket, an escape such as \u0001 counts as the character that it stands for: the longest
// message fits with all its characters escaped. What passes is counted exactly when it is
// decoded.
type bodyReader struct {
	body    io.ReadCloser
	room    int // bytes that still fit
	left    int // bytes that are read at most: an escaped backslash takes two, and makes room for more
	header  http.Header
	refused bool
}

func (b *bodyReader) refuse() {
	b.refused = true
	b.header.Set("Connection", "close") // or the server would read on before it answers
}

func (b *bodyReader) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	b.room -= n
	b.left -= n
	for _, c := range p[:n] {
		if c == '\\' {
			b.room += strictjson.MaxGrowth - 1
		}
	}
	if b.room < 0 || b.left < 0 {
		b.refuse()
		return n, &http.MaxBytesError{Limit: MaxBody}
	}
	return n, err
}

// Close leaves the body open, for drop.
func (b *bodyReader) Close() error { return nil }
