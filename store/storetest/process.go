package storetest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"parley/privilege/privilegetest"
	"parley/store"
)

// serverEnv, set to a serverConfig, makes a test binary the process of a Server.
const serverEnv = "PARLEY_STORETEST_SERVER"

type serverConfig struct {
	DataDir        string
	MaxConnections int
	Users          []string
}

// Server is a built-in PostgreSQL server in a process of its own, which is an ordinary
// user's also where the test is root's. It ends when the test's process does.
type Server struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	url   string
}

// Start starts the server of a data directory; it lets the user of this process connect.
// The directory's parent must let an ordinary user pass.
func Start(ctx context.Context, dataDir string, maxConnections int, log io.Writer) (*Server, error) {
	cfg := serverConfig{DataDir: dataDir, MaxConnections: maxConnections}
	cmd := exec.Command(self())
	cmd.Dir = "/"
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is the test's own
	if os.Geteuid() == 0 {
		user := privilegetest.User()
		cfg.Users = []string{"root"}
		cmd.SysProcAttr.Credential = privilegetest.Credential(user)
		if err := os.Mkdir(dataDir, 0o700); err == nil {
			err = os.Lchown(dataDir, user.UID, user.GID)
			if err != nil {
				return nil, fmt.Errorf("start test server: %w", err)
			}
		} else if !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("start test server: %w", err)
		}
	}
	b, err := json.Marshal(cfg)
	if err != nil {
		return nil, fmt.Errorf("start test server: %w", err)
	}
	cmd.Env = append(os.Environ(), serverEnv+"="+string(b))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start test server: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start test server: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start test server: %w", err)
	}
	s := &Server{cmd: cmd, stdin: stdin}
	kill := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	kill()
	url, ready := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if !ready {
		return nil, fmt.Errorf("start test server: it says %q: %w", line, errors.Join(err, ctx.Err(), s.Stop()))
	}
	s.url = url
	return s, nil
}

// URL is how to connect, as BuiltinConfig's role.
func (s *Server) URL() string { return s.url }

// Stop ends the server in order.
func (s *Server) Stop() error {
	_ = s.stdin.Close() // this tells it
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("stop test server: %w", err)
	}
	return nil
}

// Kill ends the server the hard way: every session is cut, and nothing more is written.
func (s *Server) Kill() {
	_, _ = io.WriteString(s.stdin, hardStop+"\n")
	_ = s.Stop() // it may complain, of a disk that is gone for instance
}

// hardStop is what a Server's process reads to be killed.
const hardStop = "kill"

// self is the test's binary, also where its folder is closed to other users.
func self() string {
	if runtime.GOOS == "linux" {
		return "/proc/self/exe"
	}
	return os.Args[0]
}

// serve is the whole of a Server's process.
func serve(config string) error {
	var cfg serverConfig
	if err := json.Unmarshal([]byte(config), &cfg); err != nil {
		return err
	}
	b, err := store.StartBuiltin(context.Background(), store.BuiltinConfig{
		DataDir: cfg.DataDir, MaxConnections: cfg.MaxConnections, Users: cfg.Users,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		fmt.Printf("error %q\n", err)
		return err
	}
	fmt.Println("ready", b.URL())
	line, _ := bufio.NewReader(os.Stdin).ReadString('\n') // until Stop, or the end of the test's process
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if strings.TrimSpace(line) == hardStop {
		cancel()
	}
	return b.Stop(ctx)
}
