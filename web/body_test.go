package web

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func named(name string) string { return `{"name":"` + name + `"}` }

func TestBodySize(t *testing.T) {
	t.Parallel()
	s, _ := newTest(t, nil, builtUI)
	const fits = MaxBody - 11 // bytes of a name; it is refused for its length, as invalid
	for name, c := range map[string]struct {
		body string
		want int
	}{
		"64 KiB":                           {named(strings.Repeat("x", fits)), http.StatusBadRequest},
		"a byte more":                      {named(strings.Repeat("x", fits+1)), http.StatusRequestEntityTooLarge},
		"64 KiB in escapes of six bytes":   {named(strings.Repeat(`\u0061`, fits)), http.StatusBadRequest},
		"a byte more in escapes":           {named(strings.Repeat(`\u0061`, fits+1)), http.StatusRequestEntityTooLarge},
		"64 KiB in quotes":                 {named(strings.Repeat(`\"`, fits)), http.StatusBadRequest},
		"a byte more in quotes":            {named(strings.Repeat(`\"`, fits+1)), http.StatusRequestEntityTooLarge},
		"64 KiB in surrogate pairs":        {named("xxxx"[:fits%4] + strings.Repeat(`\ud83d\udc4d`, fits/4)), http.StatusBadRequest},
		"a pair more":                      {named(strings.Repeat(`\ud83d\udc4d`, fits/4+1)), http.StatusRequestEntityTooLarge},
		"70 KB of white space":             {named("alice") + strings.Repeat(" ", 70_000), http.StatusRequestEntityTooLarge},
		"70 KB that is not JSON":           {strings.Repeat("x", 70_000), http.StatusRequestEntityTooLarge},
		"ten times as much":                {named(strings.Repeat("x", 10*MaxBody)), http.StatusRequestEntityTooLarge},
		"ten times as much in backslashes": {strings.Repeat(`\`, 10*MaxBody), http.StatusRequestEntityTooLarge},
		"backslashes outside of a text":    {strings.Repeat(`\`, 70_000), http.StatusRequestEntityTooLarge},
	} {
		for _, length := range []string{"announced", "not announced"} {
			t.Run(name+", "+length, func(t *testing.T) {
				t.Parallel()
				r := httptest.NewRequest(http.MethodPost, "/api/v1/echo", strings.NewReader(c.body))
				if length == "not announced" {
					r.ContentLength = -1
				}
				w := httptest.NewRecorder()
				s.Handler().ServeHTTP(w, r)
				if w.Code != c.want || strings.Contains(w.Body.String(), "too_large") != (c.want == http.StatusRequestEntityTooLarge) {
					t.Errorf("status %d, want %d: %.300s", w.Code, c.want, w.Body)
				}
			})
		}
	}
}

// A client that sends all of a large body before it reads gets the answer, and the end of
// the connection in order: a reset could overtake the answer.
func TestRefusedBodyIsReadOn(t *testing.T) {
	t.Parallel()
	s, _ := newTest(t, nil, builtUI)
	srv := s.HTTPServer()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
	const size = 3 << 20
	body := strings.Repeat("x", size)
	for name, request := range map[string]string{
		"announced":     fmt.Sprintf("Content-Length: %d\r\n\r\n%s", size, body),
		"not announced": fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", size, body),
		"backslashes":   fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", size, strings.Repeat(`\`, size)),
		"little more":   fmt.Sprintf("Content-Length: %d\r\n\r\n%s", maxRead-1, body[:maxRead-1]),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			// Of the client's kernel, so that it does not take all of the body by itself.
			if err := conn.(*net.TCPConn).SetWriteBuffer(16 << 10); err != nil {
				t.Fatal(err)
			}
			if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, "POST /api/v1/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+request); err != nil {
				t.Fatalf("the server cut the connection: %v", err)
			}
			in := bufio.NewReader(conn)
			res, err := http.ReadResponse(in, nil)
			if err != nil || res.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(text(t, res), "too_large") {
				t.Fatalf("answered %+v, %v", res, err)
			}
			if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
				t.Errorf("after the answer came %q, and %v", rest, err)
			}
		})
	}
}
