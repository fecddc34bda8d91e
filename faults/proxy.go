package faults

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// Proxy stands between a replica and PostgreSQL and understands as much of the protocol
// (PostgreSQL 18, chapter 54) as it takes to lose the answer of a commit, or the commit,
// to drop notifications, and to find the connection that listens for them.
type Proxy struct {
	listener net.Listener
	target   string // path of the server's socket
	running  sync.WaitGroup

	mu    sync.Mutex // guards what follows
	wake  *sync.Cond // when any of it changes
	conns map[*proxied]struct{}
	// What is being done to the traffic.
	muteToServer, muteToClient bool
	dropHints                  bool
	fate                       Fate
	doomed                     int // so many commits more meet their fate
	spared                     int // so many go well before the next that does not
	met                        int // so many have
	hints                      int // dropped
}

// Fate is what becomes of a commit.
type Fate int

const (
	// AnswerLost lets it happen and cuts the connection before its answer.
	AnswerLost Fate = iota
	// NeverMade cuts the connection after the statements' answers, before it is asked for.
	NeverMade
)

// proxied is one connection through the proxy. Its lock is taken before the proxy's.
type proxied struct {
	p              *Proxy
	client, server net.Conn

	mu         sync.Mutex // guards what follows
	toServer   *bufio.Writer
	names      map[string]bool // prepared statements that store entries
	inTx       bool            // a transaction was begun
	storing    bool            // what the next commit commits are entries
	awaited    bool            // the answer under way is that of a doomed commit
	withheld   bool            // the commit was not passed on
	unanswered int             // statements
	listening  bool
	pid        uint32 // of the server's process for it
}

// NewProxy listens on an address, such as 127.0.0.1:0 for any port, for a server on a Unix
// socket.
func NewProxy(ctx context.Context, socket, addr string) (*Proxy, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for a replica: %w", err)
	}
	p := &Proxy{listener: ln, target: socket, conns: map[*proxied]struct{}{}}
	p.wake = sync.NewCond(&p.mu)
	p.running.Go(p.accept)
	return p, nil
}

// URL is how the replica is to connect.
func (p *Proxy) URL() string {
	return "postgres://parley@" + p.listener.Addr().String() + "/parley?sslmode=disable"
}

// Close ends everything.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.Mute(false, false)
	p.Cut(false)
	p.running.Wait()
	return err
}

// Cut ends all connections, by a reset or in order.
func (p *Proxy) Cut(reset bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if tcp, ok := c.client.(*net.TCPConn); ok && reset {
			_ = tcp.SetLinger(0)
		}
		c.cut()
	}
	p.wake.Broadcast()
}

// Mute keeps what is sent in one direction, or both, from arriving, on new connections
// too; nothing is lost by it, only late.
func (p *Proxy) Mute(toServer, toClient bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.muteToServer, p.muteToClient = toServer, toClient
	p.wake.Broadcast()
}

// DropHints keeps notifications from arriving.
func (p *Proxy) DropHints(drop bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropHints = drop
}

// HintsDropped counts them.
func (p *Proxy) HintsDropped() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hints
}

// Doom gives n of the next commits that store entries a fate, each after some that go well.
func (p *Proxy) Doom(n int, fate Fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doomed, p.fate, p.spared = n, fate, 0
}

// mercy is how many commits go well between two doomed ones: with none, senders would run
// out of patience.
const mercy = 2

// Met counts the commits that met their fate.
func (p *Proxy) Met() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.met
}

// Listener is the server's process for the connection that listens; 0 if there is none.
func (p *Proxy) Listener() int {
	p.mu.Lock()
	conns := slices.Collect(maps.Keys(p.conns))
	p.mu.Unlock() // before theirs
	for _, c := range conns {
		c.mu.Lock()
		pid, listening := c.pid, c.listening
		c.mu.Unlock()
		if listening {
			return int(pid)
		}
	}
	return 0
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.running.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := (&net.Dialer{Timeout: 5 * time.Second}).Dial("unix", p.target)
	if err != nil {
		return // as if refused
	}
	c := &proxied{p: p, client: client, server: server, names: map[string]bool{}}
	c.toServer = bufio.NewWriter(server)
	p.mu.Lock()
	p.conns[c] = struct{}{}
	p.mu.Unlock()
	var pumps sync.WaitGroup
	pumps.Go(func() { c.pumpToServer(); c.cut() })
	pumps.Go(func() { c.pumpToClient(); c.cut() })
	pumps.Wait()
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

func (c *proxied) cut() {
	_ = c.client.Close()
	_ = c.server.Close()
	c.p.wake.Broadcast()
}

// pass waits while its direction is mute.
func (p *Proxy) pass(mute *bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for *mute {
		p.wake.Wait()
	}
}

// message reads one message: its type, and all of it.
func message(in *bufio.Reader, buf []byte) (byte, []byte, error) {
	head, err := in.Peek(5)
	if err != nil {
		return 0, buf, err
	}
	size := int(binary.BigEndian.Uint32(head[1:])) + 1
	if size < 5 || size > 64<<20 {
		return 0, buf, errors.New("a message of an impossible size")
	}
	if cap(buf) < size {
		buf = make([]byte, size)
	}
	buf = buf[:size]
	_, err = io.ReadFull(in, buf)
	return buf[0], buf, err
}

// text0 cuts a zero-terminated string off a message's body.
func text0(b []byte) (string, []byte) {
	s, rest, _ := bytes.Cut(b, []byte{0})
	return string(s), rest
}

// pumpToServer passes on what the replica sends.
func (c *proxied) pumpToServer() {
	in := bufio.NewReaderSize(c.client, 32<<10)
	// The first message has no type.
	head, err := in.Peek(4)
	if err != nil {
		return
	}
	if _, err := io.CopyN(c.server, in, int64(binary.BigEndian.Uint32(head))); err != nil {
		return
	}
	var msg []byte
	for {
		var kind byte
		if kind, msg, err = message(in, msg); err != nil {
			return
		}
		c.p.pass(&c.p.muteToServer)
		c.mu.Lock()
		passed := c.fromClient(kind, msg[5:])
		if passed {
			_, err = c.toServer.Write(msg)
		}
		if err == nil && (in.Buffered() == 0 || !passed) {
			err = c.toServer.Flush()
		}
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// fromClient looks at a message of the replica's and says whether to pass it on.
func (c *proxied) fromClient(kind byte, body []byte) bool {
	if c.withheld {
		return false
	}
	switch kind {
	case 'P': // Parse: name, statement
		name, rest := text0(body)
		sql, _ := text0(rest)
		c.names[name] = stores(sql)
		c.listens(sql)
	case 'B': // Bind: portal, name
		_, rest := text0(body)
		name, _ := text0(rest)
		c.storing = c.storing || c.names[name]
	case 'E': // Execute
		c.unanswered++
	case 'Q': // Query
		sql, _ := text0(body)
		c.listens(sql)
		ends := sql == "commit" || sql == "rollback"
		c.inTx = !ends && (c.inTx || strings.HasPrefix(sql, "begin"))
		if ends {
			return c.commit(sql == "commit")
		}
		c.unanswered++
	case 'S': // Sync: the commit of what was pipelined, if no transaction was begun
		return c.inTx || c.commit(true)
	}
	return true
}

func stores(sql string) bool { return strings.Contains(sql, "INSERT INTO entries") }

func (c *proxied) listens(sql string) {
	c.listening = c.listening || strings.HasPrefix(strings.ToLower(strings.TrimSpace(sql)), "listen")
}

// commit decides what becomes of the end of a transaction, and says whether to pass it on.
func (c *proxied) commit(commits bool) bool {
	commits, c.storing = commits && c.storing, false
	p := c.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if !commits || p.doomed == 0 {
		return true
	}
	if p.spared > 0 {
		p.spared--
		return true
	}
	p.doomed--
	p.spared = mercy
	if p.fate == AnswerLost {
		c.awaited = true
		return true
	}
	p.met++
	c.withheld = true
	if c.unanswered == 0 {
		c.cut()
		return false
	}
	// Flush: the statements' answers are wanted, and no commit.
	_, _ = c.toServer.Write([]byte{'H', 0, 0, 0, 4}) // an error shows at the next write
	return false
}

// pumpToClient passes on what the server sends.
func (c *proxied) pumpToClient() {
	in := bufio.NewReaderSize(c.server, 32<<10)
	out := bufio.NewWriter(c.client)
	var msg []byte
	for {
		var kind byte
		var err error
		if kind, msg, err = message(in, msg); err != nil {
			return
		}
		c.p.pass(&c.p.muteToClient)
		if c.fromServer(kind, msg[5:]) {
			if _, err := out.Write(msg); err != nil {
				return
			}
		}
		c.mu.Lock()
		done := c.withheld && c.unanswered == 0
		lost := c.awaited && kind == 'Z'
		c.mu.Unlock()
		if lost {
			c.p.mu.Lock()
			c.p.met++
			c.p.mu.Unlock()
			return // with what waits in out
		}
		if in.Buffered() == 0 || done {
			if err := out.Flush(); err != nil {
				return
			}
		}
		if done {
			return
		}
	}
}

// fromServer looks at a message of the server's and says whether to pass it on.
func (c *proxied) fromServer(kind byte, body []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch kind {
	case 'A': // NotificationResponse
		c.p.mu.Lock()
		defer c.p.mu.Unlock()
		if c.p.dropHints {
			c.p.hints++
			return false
		}
	case 'K': // BackendKeyData
		c.pid = binary.BigEndian.Uint32(body)
	case 'C', 'E': // CommandComplete, ErrorResponse
		c.unanswered = max(0, c.unanswered-1)
	case 'Z': // ReadyForQuery
		c.unanswered = 0
	}
	return true
}
