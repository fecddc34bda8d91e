package web

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
)

// scripted is a listener whose attempts end as a script says: nil is a connection.
type scripted struct {
	net.Listener
	script []error
}

func (s *scripted) Accept() (net.Conn, error) {
	err := s.script[0]
	s.script = s.script[1:]
	if err != nil {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: err}
	}
	ours, theirs := net.Pipe()
	_ = theirs.Close()
	return ours, nil
}

func (s *scripted) Close() error { return nil }

func TestListener(t *testing.T) {
	t.Parallel()
	t.Run("goes on after outages, and logs each once", func(t *testing.T) {
		t.Parallel()
		var out bytes.Buffer
		l := NewListener(&scripted{script: []error{
			nil, syscall.EMFILE, syscall.EMFILE, syscall.ENFILE, nil, nil, syscall.ECONNABORTED, nil, net.ErrClosed,
		}}, slog.New(slog.NewTextHandler(&out, nil)))
		for range 4 {
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if l.Failing() {
				t.Error("it counts as failing although it works")
			}
			_ = conn.Close()
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed, it gives %v", err)
		}
		if fails, works := strings.Count(out.String(), "level=ERROR"), strings.Count(out.String(), "works again"); fails != 2 || works != 2 || l.Failures() != 4 {
			t.Errorf("%d outages of 2, %d ends, %d failures of 4: %s", fails, works, l.Failures(), &out)
		}
	})
	t.Run("closing it ends an outage", func(t *testing.T) {
		t.Parallel()
		l := NewListener(&scripted{script: []error{syscall.EMFILE}}, slog.New(slog.DiscardHandler))
		_ = l.Close() // while it waits for the next attempt, or before
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}
