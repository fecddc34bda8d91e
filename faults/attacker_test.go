package faults

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley/parleytest"
)

// attackEnv names the attack that a process of this test binary is. It is a process of its own,
// and of low priority, so that what the attacker computes is not taken from the server.
const attackEnv = "PARLEY_TEST_ATTACK"

// target is what an attacker knows: the server, accounts of their own, and what they share with others.
type target struct {
	Addr         string
	Users        []parleytest.Session
	Conversation uuid.UUID   // of the first user
	Group        uuid.UUID   // of the first user, who owns it
	Strangers    []uuid.UUID // users to add to groups
	Victim       string      // a username
}

// attack is one kind of abuse, by a bounded number of clients that keep to a pace.
type attack struct {
	row  string   // of the table
	does string   // for the report
	want []string // what the attacker is refused with, at least one of each
	// arrange makes what the attack needs. Prepare runs in the attacker's process, before the
	// first period; run is one period of the attack, until ctx ends.
	arrange func(context.Context, *hostileWorld) target
	prepare func(context.Context, *attacker) error
	run     func(context.Context, *attacker)
}

// attacker is the process that attacks.
type attacker struct {
	target
	life    context.Context // of the process, for connections that stay
	clients sync.WaitGroup  // of the period
	periods int

	mu     sync.Mutex // guards what follows
	counts map[string]int
	wires  []*parleytest.Wire // that stay
	https  map[string]*http.Client
}

// runAttack is the process: after the target it reads the length of each period from standard
// input, and writes what came of it.
func runAttack(name string, in io.Reader, out io.Writer) error {
	attack, ok := attackNamed(name)
	if !ok {
		return fmt.Errorf("there is no attack %q", name)
	}
	life, end := context.WithCancel(context.Background())
	defer end()
	a := &attacker{life: life, counts: map[string]int{}, https: map[string]*http.Client{}}
	lines, answers := bufio.NewScanner(in), json.NewEncoder(out)
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() {
		return errors.New("no target")
	}
	if err := json.Unmarshal(lines.Bytes(), &a.target); err != nil {
		return fmt.Errorf("read the target: %w", err)
	}
	if attack.prepare != nil {
		if err := attack.prepare(life, a); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	for more := true; more; more = lines.Scan() {
		if text := lines.Text(); text[0] != '{' {
			length, err := time.ParseDuration(text)
			if err != nil {
				return fmt.Errorf("read the length of a period: %w", err)
			}
			a.periods++
			ctx, stop := context.WithTimeout(life, length)
			attack.run(ctx, a)
			a.clients.Wait()
			stop()
		}
		a.mu.Lock()
		err := answers.Encode(a.counts)
		clear(a.counts)
		a.mu.Unlock()
		if err != nil {
			return fmt.Errorf("write what came of it: %w", err)
		}
	}
	return nil
}

func (a *attacker) count(outcome string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts[outcome]++
}

// clients lets n clients do something again and again, each after a pause, until ctx ends.
func (a *attacker) each(ctx context.Context, n int, pause time.Duration, do func(client, turn int)) {
	for i := range n {
		a.clients.Go(func() {
			sleep(ctx, pause*time.Duration(i)/time.Duration(n))
			for turn := 0; ctx.Err() == nil; turn++ {
				do(i, turn)
				sleep(ctx, pause)
			}
		})
	}
}

// moving is the address of a client: two in a period, ten in all for each 20 clients.
func (a *attacker) moving(client int) string {
	return address(10*(client/20) + 2*(a.periods%5) + client%2)
}

// address is one of the attacker's; canaries have 127.0.0.1.
func address(i int) string { return fmt.Sprintf("127.0.%d.%d", 1+i/200, 2+i%200) }

func dialerFrom(address string) *net.Dialer {
	return &net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
}

func httpFrom(address string) *http.Client {
	return &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{DialContext: dialerFrom(address).DialContext, MaxIdleConnsPerHost: 16}}
}

// call makes a request from an address, and counts the answer. A body is sent as it is.
func (a *attacker) call(ctx context.Context, address, token, method, path, body string) {
	a.mu.Lock()
	h := a.https[address]
	if h == nil {
		h = httpFrom(address)
		a.https[address] = h
	}
	a.mu.Unlock()
	api := &parleytest.Client{Base: "http://" + a.Addr, Token: token, HTTP: h}
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	res, err := api.Raw(ctx, method, path, content)
	if err != nil {
		if ctx.Err() == nil {
			a.count("no answer")
		}
		return
	}
	defer func() { _ = res.Body.Close() }()
	b, _ := io.ReadAll(res.Body) // what cannot be read has no code
	if res.StatusCode/100 == 2 {
		a.count("ok")
		return
	}
	var p parleytest.Problem
	_ = json.Unmarshal(b, &p) // an answer without a code is counted as such
	if p.Code == "" {
		p.Code = fmt.Sprint("status ", res.StatusCode)
	}
	a.count(p.Code)
}

// dial opens a socket from an address and counts what its frames are answered with until it ends.
// nil: it was refused, which is counted.
func (a *attacker) dial(ctx context.Context, address, token string) *parleytest.Wire {
	w, err := parleytest.DialWire(ctx, dialerFrom(address), a.Addr, token)
	if err != nil {
		var p *parleytest.Problem
		switch {
		case errors.As(err, &p):
			a.count(p.Code)
		case ctx.Err() == nil:
			a.count("no connection")
		}
		return nil
	}
	go a.read(w)
	return w
}

func (a *attacker) read(w *parleytest.Wire) {
	for {
		frame, err := w.Read()
		if err != nil {
			if c, ok := errors.AsType[*parleytest.CloseError](err); ok {
				a.count(fmt.Sprint("closed ", c.Code))
				_ = w.Close() // the attacker's own end
			}
			return
		}
		switch {
		case bytes.HasPrefix(frame, []byte(`{"type":"reply"`)):
			a.count("ok")
		case bytes.HasPrefix(frame, []byte(`{"type":"error"`)):
			var e frameError
			_ = json.Unmarshal(frame, &e) // an error without a code is counted as such
			a.count(e.Error.Code)
		case bytes.HasPrefix(frame, []byte(`{"type":"behind"`)):
			a.count("behind")
		}
	}
}

type frameError struct {
	Error struct {
		Code string `json:"code"`
	} `json:"error"`
}

// sockets opens n that stay while the process does, spread over addresses and users.
func (a *attacker) sockets(ctx context.Context, n, addresses int) error {
	for i := range n {
		w := a.dial(ctx, address(i%addresses), a.Users[i%len(a.Users)].Token)
		if w == nil {
			return fmt.Errorf("socket %d was refused: %v", i, a.counts)
		}
		a.wires = append(a.wires, w)
	}
	return nil
}

// send writes a frame; an attacker does not mind an end.
func send(w *parleytest.Wire, frame string) {
	w.Append([]byte(frame))
	_ = w.Flush()
}

func frameOf(frameType, data string) string {
	return fmt.Sprintf(`{"type":%q,"id":"x","data":%s}`, frameType, data)
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// isAttacker runs the attack that the environment names, if it names one.
func isAttacker() bool {
	name := os.Getenv(attackEnv)
	if name == "" {
		return false
	}
	if err := runAttack(name, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

// TestAttacksHaveNames: a process finds its attack by the row.
func TestAttacksHaveNames(t *testing.T) {
	t.Parallel()
	for _, a := range attacks {
		if found, ok := attackNamed(a.row); !ok || found.does != a.does {
			t.Errorf("%q is not found", a.row)
		}
	}
}
