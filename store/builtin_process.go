package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// server is how to run PostgreSQL on a data directory.
type server struct {
	dir            *dataDir
	bin            binaries
	socketDir      string
	maxConnections int
	logger         *slog.Logger
}

// args are the settings Parley insists on. Given on the command line they beat the
// files in the data directory, where a person may set everything else.
func (s *server) args() []string {
	args := []string{"-D", s.dir.data()}
	for _, setting := range []string{
		"listen_addresses=",
		"port=5432", // only the socket's name
		`unix_socket_directories="` + s.socketSetting() + `"`,
		"unix_socket_permissions=0700",
		"max_connections=" + strconv.Itoa(s.maxConnections),
		"fsync=on",
		"full_page_writes=on",
		"synchronous_commit=on",
		"jit=off",
		"logging_collector=off",
		"log_destination=stderr",
		"log_line_prefix=%m [%p] ",
		"log_timezone=UTC",
		// Without the details of an error: they quote the row, and so people's messages.
		"log_error_verbosity=terse",
		"log_min_error_statement=panic",
		"log_statement=none",
		"log_min_duration_statement=-1",
	} {
		args = append(args, "-c", setting)
	}
	return args
}

// start gives a server that takes connections: one that a killed Parley left running, if
// it was started in the same way, or else a new one.
func (s *server) start(ctx context.Context) (*process, error) {
	proc, err := s.adopt(ctx)
	if err != nil {
		return nil, err
	}
	for proc == nil {
		if proc, err = s.spawn(); err != nil {
			return nil, err
		}
		err = s.waitReady(ctx, proc)
		if err == nil {
			return proc, nil
		}
		if !proc.gone() { // so it was ctx that ended
			stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
			defer cancel()
			return nil, errors.Join(err, proc.shutdown(stopCtx))
		}
		// The server was killed and some of its processes are still on their way out.
		if !strings.Contains(err.Error(), "is still in use") {
			return nil, err
		}
		proc = nil
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return nil, err
		}
	}
	return proc, nil
}

// adopt takes over a server that is running on the data. Nil if there is none, or none
// any more: one with other binaries or settings than ours is stopped.
func (s *server) adopt(ctx context.Context) (*process, error) {
	data := s.dir.data()
	pf, err := readPIDFile(data)
	if err == nil && isPostmaster(pf.pid, data) {
		proc := watchProcess(pf.pid, data)
		opts, _ := os.ReadFile(filepath.Join(data, "postmaster.opts")) // missing: not ours
		if string(opts) == s.commandLine() && pf.socketDir == s.socketDir {
			s.logger.InfoContext(ctx, "taking over the built-in PostgreSQL server that was left running", "pid", pf.pid)
			// It may have read who can connect from the files of an earlier version.
			_ = syscall.Kill(pf.pid, syscall.SIGHUP) // gone: waitReady notices
			err := s.waitReady(ctx, proc)
			if err == nil {
				return proc, nil
			}
			if !proc.gone() {
				return nil, fmt.Errorf("take over the PostgreSQL server left running (process %d): %w", pf.pid, err)
			}
		} else {
			s.logger.InfoContext(ctx, "stopping a PostgreSQL server that was left running with other settings", "pid", pf.pid)
			stopCtx, cancel := context.WithTimeout(ctx, stopTimeout)
			defer cancel()
			if err := proc.shutdown(stopCtx); err != nil {
				return nil, err
			}
		}
	}
	return nil, nil
}

// removeStaleLocks helps PostgreSQL, which clears away what a dead server left except
// where its process id still exists: as a zombie that nobody reaps, or given to another
// process of the same user, both common in containers. Processes of the dead server that
// are still busy are noticed without the lock file too, by their shared memory.
func (s *server) removeStaleLocks() error {
	data := s.dir.data()
	for _, stale := range []string{
		filepath.Join(data, "postmaster.pid"),
		filepath.Join(s.socketDir, ".s.PGSQL.5432.lock"),
	} {
		if pid := firstNumber(stale); pid > 0 && alive(pid) && !isPostmaster(pid, data) {
			s.logger.Warn("removing a stale lock file of PostgreSQL", "file", stale, "pid", pid)
			if err := os.Remove(stale); err != nil {
				return fmt.Errorf("remove a stale lock file: %w", err)
			}
		}
	}
	return nil
}

// commandLine is what PostgreSQL writes into postmaster.opts when started by spawn.
func (s *server) commandLine() string {
	var b strings.Builder
	b.WriteString(filepath.Join(s.bin.dir, "postgres"))
	for _, a := range s.args() {
		b.WriteString(` "` + a + `"`)
	}
	b.WriteByte('\n')
	return b.String()
}

// spawn starts the server process.
func (s *server) spawn() (*process, error) {
	if err := s.removeStaleLocks(); err != nil {
		return nil, err
	}
	s.boundLog()
	log, err := os.OpenFile(s.logPath(), os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the database server's log: %w", err)
	}
	defer func() { _ = log.Close() }() // the server has its own
	logStart, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("open the database server's log: %w", err)
	}
	cmd := s.bin.command(s.dir.data(), "postgres", s.args()...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the PostgreSQL server: %w", err)
	}
	proc := childProcess(cmd)
	proc.logStart = logStart
	return proc, nil
}

// waitReady waits until the server takes connections: this one, not another whose lock
// file was lost and that keeps it from starting.
func (s *server) waitReady(ctx context.Context, proc *process) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	report := time.NewTicker(10 * time.Second)
	defer report.Stop()
	for {
		conn, err := connect(ctx, s.socketDir, "postgres")
		if err == nil {
			if err = conn.Close(ctx); err != nil {
				return err
			}
			pf, pidErr := readPIDFile(s.dir.data())
			if pidErr == nil && pf.pid == proc.pid && pf.ready {
				return nil
			}
			err = errors.Join(errors.New("another PostgreSQL server answers in its place"), pidErr)
		}
		select {
		case <-proc.done:
			return fmt.Errorf("the PostgreSQL server did not start; its log %s ends with:\n%s", s.logPath(), s.logTail(proc))
		case <-ctx.Done():
			return fmt.Errorf("the PostgreSQL server does not take connections (%w): %w\nits log %s ends with:\n%s", ctx.Err(), err, s.logPath(), s.logTail(proc))
		case <-report.C:
			s.logger.InfoContext(ctx, "still waiting for the built-in PostgreSQL server", "err", err)
		case <-tick.C:
		}
	}
}

func connect(ctx context.Context, socketDir, database string) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return connectURL(ctx, socketURL(socketDir, database))
}

// createDatabase makes Parley's database if it is not there.
func (s *server) createDatabase(ctx context.Context) error {
	conn, err := connect(ctx, s.socketDir, "postgres")
	if err != nil {
		return fmt.Errorf("connect to the built-in PostgreSQL server: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }() // done with
	var exists bool
	if err := conn.QueryRow(ctx, selectDatabaseExists, databaseName).Scan(&exists); err != nil {
		return fmt.Errorf("look for the database: %w", err)
	}
	if exists {
		return nil
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+databaseName); err != nil {
		return fmt.Errorf("create the database: %w", err)
	}
	return nil
}

func (s *server) logPath() string { return s.dir.path("postgres.log") }

// maxLog is the size in bytes beyond which the log starts anew; one older is kept.
const maxLog = 8 << 20

// boundLog keeps the log from growing for ever. Its end is copied and the log cut, not
// renamed: the server keeps writing to the file it was given, always at its end.
func (s *server) boundLog() {
	info, err := os.Stat(s.logPath())
	if err != nil || info.Size() < maxLog {
		return
	}
	err = func() error {
		from, err := os.OpenFile(s.logPath(), os.O_RDWR|syscall.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		defer func() { _ = from.Close() }()
		old := s.logPath() + ".1"
		to, err := os.OpenFile(old, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return err
		}
		if _, err = from.Seek(-maxLog, io.SeekEnd); err == nil {
			_, err = io.Copy(to, from)
		}
		return errors.Join(err, to.Close(), from.Truncate(0))
	}()
	if err != nil {
		s.logger.Warn("cannot shorten the built-in PostgreSQL server's log", "err", err)
	}
}

// logTail is the end of what a server process has written to the log.
func (s *server) logTail(proc *process) string {
	f, err := os.Open(s.logPath())
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }() // only read
	if info, err := f.Stat(); err == nil {
		from := proc.logStart
		if from > info.Size() {
			from = 0 // boundLog has cut it
		}
		_, _ = f.Seek(max(from, info.Size()-4096), io.SeekStart) // or else from the beginning
	}
	b, _ := io.ReadAll(f) // as much as there is
	return tail(string(b))
}

// process is a running postmaster, our child or one that was left over.
type process struct {
	pid      int
	started  time.Time
	done     chan struct{} // closed when it is gone
	logStart int64         // where its part of the log begins; 0 if unknown
}

func childProcess(cmd *exec.Cmd) *process {
	p := &process{pid: cmd.Process.Pid, started: time.Now(), done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(p.done)
	}()
	return p
}

// watchProcess watches a process that is not our child.
func watchProcess(pid int, data string) *process {
	p := &process{pid: pid, started: time.Now(), done: make(chan struct{})}
	go func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for isPostmaster(pid, data) {
			<-tick.C
		}
		close(p.done)
	}()
	return p
}

func (p *process) gone() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// shutdown ends the server: first "fast" (sessions are rolled back, everything is
// written), then, when ctx ends, "immediate" (as in a crash, without loss).
func (p *process) shutdown(ctx context.Context) error {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		if p.gone() { // its process id may belong to another by now
			return nil
		}
		if err := syscall.Kill(p.pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop the PostgreSQL server (process %d): %w", p.pid, err)
		}
		if signal != syscall.SIGINT {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), hardStopTimeout)
			defer cancel()
		}
		select {
		case <-p.done:
			return nil
		case <-ctx.Done():
		}
	}
	return fmt.Errorf("the PostgreSQL server (process %d) does not end", p.pid)
}

// pidFile is what a running server writes into its data directory.
type pidFile struct {
	pid       int
	socketDir string
	ready     bool // to take connections
}

func readPIDFile(data string) (pidFile, error) {
	b, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return pidFile{}, fmt.Errorf("look for a running PostgreSQL server: %w", err)
	}
	lines := strings.Split(string(b), "\n")
	pid, err := strconv.Atoi(lines[0])
	if err != nil || pid <= 0 || len(lines) < 5 {
		return pidFile{}, fmt.Errorf("look for a running PostgreSQL server: postmaster.pid is incomplete: %w", os.ErrNotExist)
	}
	socketDir := lines[4]
	if socketDir != "" && !filepath.IsAbs(socketDir) { // see socketSetting
		socketDir = filepath.Join(data, socketDir)
	}
	return pidFile{pid, socketDir, len(lines) > 7 && strings.TrimSpace(lines[7]) == "ready"}, nil
}

// firstNumber is the number on the first line of a file; 0 if there is none.
func firstNumber(path string) int {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }() // only read
	return readNumber(f)
}

func readNumber(r io.Reader) int {
	b, _ := io.ReadAll(io.LimitReader(r, 4096)) // as much as there is
	line, _, _ := strings.Cut(string(b), "\n")
	n, _ := strconv.Atoi(strings.TrimSpace(line))
	return max(n, -n) // a stand-alone backend writes its id negated
}

func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// isPostmaster tells whether pid is a PostgreSQL server on the data directory. A zombie,
// which an init process that reaps nobody leaves behind, is not.
func isPostmaster(pid int, data string) bool {
	if !alive(pid) {
		return false
	}
	if runtime.GOOS != "linux" {
		out, err := exec.Command("ps", "-o", "comm=", "-p", strconv.Itoa(pid)).Output()
		return err == nil && filepath.Base(strings.TrimSpace(string(out))) == "postgres"
	}
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil || strings.TrimSpace(string(comm)) != "postgres" {
		return false
	}
	resolved, err := filepath.EvalSymlinks(data)
	if err != nil {
		return false
	}
	cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)) // fails for a zombie
	if errors.Is(err, fs.ErrPermission) {
		// Root without CAP_SYS_PTRACE, as in most containers, does not see that of another
		// user's process. The arguments everybody sees; a zombie has none.
		args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		return err == nil && strings.Contains(string(args), "\x00-D\x00"+resolved+"\x00")
	}
	return err == nil && cwd == resolved
}
