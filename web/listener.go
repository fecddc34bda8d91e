package web

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Listener accepts connections through outages: when no file can be opened any more, net/http
// would log each failure, or give up. It waits instead, and logs and counts an outage once.
type Listener struct {
	net.Listener
	log      *slog.Logger
	failures atomic.Int64
	failing  atomic.Bool

	once   sync.Once
	closed chan struct{}
}

// The time between attempts to accept a connection, which doubles up to the second.
const (
	firstAcceptPause = 5 * time.Millisecond
	maxAcceptPause   = time.Second
)

// NewListener makes a Listener of another one.
func NewListener(l net.Listener, log *slog.Logger) *Listener {
	return &Listener{Listener: l, log: log, closed: make(chan struct{})}
}

// Accept waits for the next connection. It fails only once the listener is closed.
func (l *Listener) Accept() (net.Conn, error) {
	for pause := firstAcceptPause; ; pause = min(2*pause, maxAcceptPause) {
		conn, err := l.Listener.Accept()
		if err == nil {
			if l.failing.CompareAndSwap(true, false) {
				l.log.Info("accepting connections works again", "failures", l.failures.Load())
			}
			return conn, nil
		}
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		l.failures.Add(1)
		if l.failing.CompareAndSwap(false, true) {
			l.log.Error("accepting connections fails; trying again", "err", err)
		}
		select {
		case <-l.closed:
			return nil, net.ErrClosed
		case <-time.After(pause):
		}
	}
}

// Close ends Accept, also while that waits.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// Failures is how many attempts to accept a connection failed so far.
func (l *Listener) Failures() int64 { return l.failures.Load() }

// Failing says whether the last attempt failed.
func (l *Listener) Failing() bool { return l.failing.Load() }
