// Package failures keeps the process alive when a part of it panics, without hiding it: the
// panic is logged with its stack and counted, the loop goes on, and a part that fails again
// and again makes the replica degraded.
//
// A user's data may lead to a mistake in this program. It must cost that user's request, or
// one round of a loop, and never the connections of all others.
package failures

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// repeatedLimit failures of one part within repeatedWindow make the replica degraded.
	repeatedLimit  = 3
	repeatedWindow = time.Minute
	// loggedLimit is how many failures of one part are logged within repeatedWindow. The rest
	// are counted: a loop that fails at once must not fill the disk.
	loggedLimit = 10
	// firstPause and maxPause bound the time before a loop that panicked runs again.
	firstPause = 50 * time.Millisecond
	maxPause   = 5 * time.Second
)

// Log counts the failures of this process, by the part that failed. A nil Log recovers too; it
// logs to slog.Default and counts nothing.
type Log struct {
	logger *slog.Logger
	now    func() time.Time

	mu    sync.Mutex // guards parts
	parts map[string]*part
}

type part struct {
	total    int
	unlogged int
	recent   []time.Time // of the last loggedLimit failures, the oldest first
}

// New makes a Log that logs to a logger.
func New(logger *slog.Logger) *Log {
	return &Log{logger: logger, now: time.Now, parts: make(map[string]*part)}
}

// panicError is a recovered panic.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// Unwrap gives the error that the code panicked with, if it was one.
func (e *panicError) Unwrap() error {
	err, _ := e.value.(error)
	return err
}

// Recover ends a panic and counts it for a part. Defer it directly: `defer l.Recover("part")`.
func (l *Log) Recover(part string) {
	if v := recover(); v != nil {
		_ = l.Panicked(part, v)
	}
}

// Panicked counts a panic that the caller recovered, and gives it as an error.
func (l *Log) Panicked(part string, value any) error {
	err := &panicError{value, debug.Stack()}
	l.Report(part, err)
	return err
}

// Do runs f. A panic of f is counted, and becomes its error.
func (l *Log) Do(part string, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = l.Panicked(part, v)
		}
	}()
	return f()
}

// Loop runs a part until it returns. After a panic it runs again, a little later each time,
// until ctx ends.
func (l *Log) Loop(ctx context.Context, part string, run func(context.Context)) {
	pause := firstPause
	for {
		began := time.Now()
		if err := l.Do(part, func() error { run(ctx); return nil }); err == nil {
			return
		}
		if time.Since(began) > repeatedWindow {
			pause = firstPause
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, maxPause)
	}
}

// Report counts and logs a failure that is a mistake in this program: a panic, or a value that
// cannot be encoded.
func (l *Log) Report(name string, err error) {
	if l == nil {
		slog.Default().Error("internal failure", "part", name, "err", err, "stack", Stack(err))
		return
	}
	l.mu.Lock()
	p := l.parts[name]
	if p == nil {
		p = &part{}
		l.parts[name] = p
	}
	now := l.now()
	p.total++
	logged := len(p.recent) < loggedLimit || now.Sub(p.recent[0]) > repeatedWindow
	if len(p.recent) == loggedLimit {
		p.recent = slices.Delete(p.recent, 0, 1)
	}
	p.recent = append(p.recent, now)
	total, unlogged := p.total, p.unlogged
	if logged {
		p.unlogged = 0
	} else {
		p.unlogged++
	}
	l.mu.Unlock()
	if logged {
		l.logger.Error("internal failure; the server goes on", "part", name, "err", err, "count", total, "not_logged_before", unlogged, "stack", Stack(err))
	}
}

// Stack gives the stack of the panic in err's chain, or that of the caller.
func Stack(err error) string {
	if p, ok := errors.AsType[*panicError](err); ok {
		return string(p.stack)
	}
	return string(debug.Stack())
}

// Total is how many failures a part had.
func (l *Log) Total(name string) int {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.parts[name]; p != nil {
		return p.total
	}
	return 0
}

// Degraded says in a sentence which parts failed repeatedly within the last minute; "" if none did.
func (l *Log) Degraded() string {
	if l == nil {
		return ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var names []string
	for name, p := range l.parts {
		n := len(p.recent)
		if n >= repeatedLimit && l.now().Sub(p.recent[n-repeatedLimit]) <= repeatedWindow {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	return "Internal failures repeat in: " + strings.Join(names, ", ") + ". The server's log has the stacks."
}
