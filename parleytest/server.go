package parleytest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"parley/privilege/privilegetest"
)

// Config says how to run the server.
type Config struct {
	Binary string   // see Build
	Env    []string // NAME=value, over the settings for tests
	Addr   string   // host:port to listen on; empty: a free port of 127.0.0.1
	Within []string // command with arguments that becomes the binary, such as ip netns exec; may be empty
}

// Server is one server with its data directory, over as many lives of the process as
// the test wants. Its methods are for one goroutine; URL, Addr and Client for any.
type Server struct {
	cfg  Config
	addr string
	root string // of everything that is deleted in the end

	http   *http.Client
	log    *os.File // standard error of every life
	cmd    *exec.Cmd
	exited chan struct{}
	state  error // of the process after exited

	mu    sync.Mutex // guards setup
	setup string
}

const (
	startTimeout = 60 * time.Second // the first start makes a database
	stopTimeout  = 30 * time.Second
	callTimeout  = 30 * time.Second // of one HTTP call
)

// Start runs the server in a new temporary directory with sign-up open and without rate
// limits, and waits until it is ready. Close it also when only the context has ended.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	root, err := os.MkdirTemp("", "parley-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the server: %w", err)
	}
	s := &Server{cfg: cfg, root: root, http: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 64},
		Timeout:   callTimeout,
	}}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) prepare(ctx context.Context) error {
	var err error
	if s.log, err = os.Create(filepath.Join(s.root, "server.log")); err != nil {
		return fmt.Errorf("make the server's log: %w", err)
	}
	if err := GiveToUser(s.root); err != nil {
		return err
	}
	if s.addr = s.cfg.Addr; s.addr == "" {
		if s.addr, err = freeAddr(ctx); err != nil {
			return err
		}
	}
	return s.Run(ctx)
}

// GiveToUser gives root's directory to an ordinary user, whom a Parley that root starts
// with its data in there becomes. Without root's rights it does nothing.
func GiveToUser(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	user := privilegetest.User()
	if err := os.Chown(dir, user.UID, user.GID); err != nil {
		return fmt.Errorf("give the server's directory to an ordinary user: %w", err)
	}
	return nil
}

// freeAddr finds a port to which a client's own end of a connection is never bound: the
// server has to get it again at every restart, and a client that calls a closed port of
// the ephemeral range now and then connects to itself.
func freeAddr(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 18000+rand.IntN(12000))
		if ln, err := lc.Listen(ctx, "tcp", addr); err == nil {
			return addr, ln.Close()
		}
	}
	return "", errors.New("no free port between 18000 and 30000")
}

// Run starts the process, again after Kill or Stop, on the same port and data, and waits
// until it is ready.
func (s *Server) Run(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	return s.awaitReady(ctx)
}

func (s *Server) begin(ctx context.Context) error {
	command := append(slices.Clone(s.cfg.Within), s.cfg.Binary)
	s.cmd = exec.CommandContext(context.WithoutCancel(ctx), command[0], command[1:]...) // ctx bounds only the start
	s.cmd.Env = append(os.Environ(),
		"PARLEY_LISTEN="+s.addr,
		"PARLEY_DATA_DIR="+s.DataDir(),
		"PARLEY_SIGNUP=open",
		"PARLEY_RATE_LIMITS=off",
		"DATABASE_URL=",
	)
	s.cmd.Env = append(s.cmd.Env, s.cfg.Env...)
	s.cmd.Dir = s.root
	s.cmd.Stderr = s.log
	s.cmd.SysProcAttr = isolated()
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		return fmt.Errorf("start the server: %w", err)
	}
	cmd, exited := s.cmd, make(chan struct{})
	s.exited = exited
	go func() {
		s.readOutput(stdout)
		s.state = cmd.Wait()
		close(exited)
	}()
	return nil
}

func (s *Server) readOutput(r io.Reader) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if _, rest, ok := strings.Cut(lines.Text(), "/setup#"); ok {
			token, _, _ := strings.Cut(rest, " ")
			s.mu.Lock()
			s.setup = token
			s.mu.Unlock()
		}
	}
	_, _ = io.Copy(io.Discard, r) // a line too long for the scanner must not block the server
}

// awaitReady polls GET /readyz.
func (s *Server) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/readyz", nil)
		if err != nil {
			return fmt.Errorf("ask whether the server is ready: %w", err)
		}
		req.Close = true
		res, err := s.http.Do(req)
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-s.exited:
			return fmt.Errorf("the server ended at start: %w\n%s", s.state, s.LogTail())
		case <-ctx.Done():
			return fmt.Errorf("the server did not become ready: %w\n%s", ctx.Err(), s.LogTail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// URL is the server's base URL, without a slash at the end.
func (s *Server) URL() string { return "http://" + s.addr }

// Addr is the server's host:port.
func (s *Server) Addr() string { return s.addr }

// DataDir is the server's data directory.
func (s *Server) DataDir() string { return filepath.Join(s.root, "data") }

// PID is the running process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Client is an API client for a token.
func (s *Server) Client(token string) *Client {
	return &Client{Base: s.URL(), Token: token, HTTP: s.http}
}

// SetupToken is the token of the set-up link that the server printed; empty if none was
// printed yet.
func (s *Server) SetupToken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.setup
}

// Log is what the server logged so far, in all its lives.
func (s *Server) Log() string {
	b, err := os.ReadFile(s.log.Name())
	if err != nil {
		return "no log: " + err.Error()
	}
	return string(b)
}

// LogTail is the end of the log, up to 8 KB.
func (s *Server) LogTail() string {
	log := s.Log()
	return log[max(0, len(log)-8<<10):]
}

// Kill ends the process with SIGKILL, as a crash would; the database is left to itself.
func (s *Server) Kill() error {
	if err := s.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill the server: %w", err)
	}
	<-s.exited
	return nil
}

// Stop ends the process with SIGTERM and waits. An exit status other than 0 is an error.
func (s *Server) Stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop the server: %w", err)
	}
	select {
	case <-s.exited:
	case <-time.After(stopTimeout):
		return fmt.Errorf("the server has not ended %v after SIGTERM\n%s", stopTimeout, s.LogTail())
	}
	if s.state != nil {
		return fmt.Errorf("the server ended badly: %w\n%s", s.state, s.LogTail())
	}
	return nil
}

// SetBinary makes the next Run start another binary: an upgrade.
func (s *Server) SetBinary(path string) { s.cfg.Binary = path }

// Signal sends the running process a signal.
func (s *Server) Signal(sig syscall.Signal) error {
	if err := s.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("signal the server: %w", err)
	}
	return nil
}

// running says whether the process of the last Run still runs.
func (s *Server) running() bool {
	if s.cmd == nil {
		return false
	}
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// Close ends the server, its built-in database too, and deletes its data.
func (s *Server) Close() error {
	s.http.CloseIdleConnections()
	var errs []error
	if s.running() {
		if err := s.Stop(); err != nil {
			errs = append(errs, err)
			_ = s.cmd.Process.Kill() // it has had its chance
			<-s.exited
		}
	}
	if err := EndPostgres(s.DataDir()); err != nil {
		errs = append(errs, err)
	}
	if s.log != nil {
		_ = s.log.Close() // nothing of it is needed any more
	}
	if err := os.RemoveAll(s.root); err != nil {
		errs = append(errs, fmt.Errorf("delete the server's directory: %w", err))
	}
	return errors.Join(errs...)
}

// EndPostgres ends the built-in database of a data directory at once, if it runs.
func EndPostgres(dataDir string) error {
	pid, err := PostgresPID(dataDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	family, err := Family(pid)
	if err != nil {
		return err
	}
	for _, p := range family {
		_ = syscall.Kill(p.PID, syscall.SIGKILL) // one that ended meanwhile is no error
	}
	deadline := time.Now().Add(stopTimeout)
	for _, p := range family {
		for _, err := FindProcess(p.PID); err == nil; _, err = FindProcess(p.PID) {
			if time.Now().After(deadline) {
				return fmt.Errorf("database process %d survives SIGKILL", p.PID)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return nil
}
