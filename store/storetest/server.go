package storetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// watchEnv, set to a directory, makes a test binary the keeper of the shared server there.
const watchEnv = "PARLEY_STORETEST_KEEPER"

// linger is how long the server stays after the last test process: go test starts the
// next package's a moment later.
const linger = 5 * time.Second

// The shared directory holds:
//
//	users    every test process holds a shared flock on it for as long as it lives, kill -9
//	         included; the keeper ends when it can have it alone
//	start    flocked by the process that is starting the server
//	url      the server's URL, written when it is ready
//	server/  the server's data directory
//	log      what the keeper had to say
type sharedDir string

func (d sharedDir) path(name string) string { return filepath.Join(string(d), name) }

func init() {
	// The keeper's server has the keeper's environment, so this comes first.
	if config := os.Getenv(serverEnv); config != "" {
		if err := serve(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if dir := os.Getenv(watchEnv); dir != "" {
		if err := keep(sharedDir(dir)); err != nil {
			fmt.Fprintln(os.Stderr, err) // into the log
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// users holds this process's lock on the shared server until the process ends: the
// variable keeps the file from being closed when it would be collected.
var users *os.File //nolint:unused // what it does, it does by being held

// sharedServer gives the URL of the server that all test processes of this user share,
// and starts it if need be.
func sharedServer(ctx context.Context) (string, error) {
	dir := sharedDir(filepath.Join(os.TempDir(), fmt.Sprintf("parley-storetest-%d", os.Getuid())))
	if err := dir.make(); err != nil {
		return "", err
	}
	var err error
	if users, err = dir.flock(ctx, "users", syscall.LOCK_SH); err != nil {
		return "", err
	}
	start, err := dir.flock(ctx, "start", syscall.LOCK_EX)
	if err != nil {
		return "", err
	}
	defer func() { _ = start.Close() }() // gives the lock back
	if url, err := dir.running(ctx); err == nil {
		return url, nil
	}
	return dir.startKeeper(ctx)
}

// make makes the directory. Where it is root's, it must let the server's user pass.
func (d sharedDir) make() error {
	if err := os.Mkdir(string(d), 0o711); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make directory for the test server: %w", err)
	}
	info, err := os.Lstat(string(d))
	if err != nil {
		return fmt.Errorf("make directory for the test server: %w", err)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !info.IsDir() || !ok || int(st.Uid) != os.Getuid() {
		return fmt.Errorf("%s is not a directory of this user", d)
	}
	return nil
}

// flock opens a file and waits for a lock on it, until ctx ends.
func (d sharedDir) flock(ctx context.Context, name string, how int) (*os.File, error) {
	f, err := os.OpenFile(d.path(name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock test server: %w", err)
	}
	for {
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock test server: %w", err), f.Close())
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("lock test server: %w", ctx.Err()), f.Close())
		}
	}
}

// running gives the URL of the server if it is up.
func (d sharedDir) running(ctx context.Context) (string, error) {
	b, err := os.ReadFile(d.path("url"))
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, string(b))
	if err != nil {
		return "", err
	}
	return string(b), conn.Close(ctx)
}

// startKeeper runs this test binary once more as the keeper and waits for the server.
func (d sharedDir) startKeeper(ctx context.Context) (string, error) {
	if err := os.Remove(d.path("url")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("start test server: %w", err)
	}
	log, err := os.Create(d.path("log"))
	if err != nil {
		return "", fmt.Errorf("start test server: %w", err)
	}
	defer func() { _ = log.Close() }() // the keeper has its own
	cmd := exec.Command(self())
	cmd.Dir = string(d)
	cmd.Env = append(os.Environ(), watchEnv+"="+string(d))
	// Not our output: go test waits until everybody has let go of it. Not our session:
	// Ctrl-C must not reach the keeper before its work is done.
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start test server: %w", err)
	}
	for {
		if url, err := d.running(ctx); err == nil {
			return url, nil
		}
		// Asked, not waited for in a goroutine: the keeper outlives this process, and the
		// goroutine would be a leak in every test that looks for one.
		ended, _ := syscall.Wait4(cmd.Process.Pid, nil, syscall.WNOHANG, nil)
		if ended != 0 || ctx.Err() != nil {
			b, _ := os.ReadFile(d.path("log")) // as much as there is
			return "", fmt.Errorf("start test server: it did not come up:\n%s", b)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// keep runs the shared server until no test process is left, and removes it then.
func keep(d sharedDir) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	dataDir := d.path("server")
	start := func() (*Server, error) { return Start(ctx, dataDir, 400, os.Stderr) }
	// What a keeper that was killed left behind is worth nothing, but its server may
	// still run: the next one takes it over, so that it can be stopped.
	if _, err := os.Stat(dataDir); err == nil {
		if left, err := start(); err == nil {
			if err := left.Stop(); err != nil {
				return err
			}
		}
		if err := os.RemoveAll(dataDir); err != nil {
			return err
		}
	}
	server, err := start()
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.path("url.new"), []byte(server.URL()), 0o600); err != nil {
		return errors.Join(err, server.Stop())
	}
	if err := os.Rename(d.path("url.new"), d.path("url")); err != nil {
		return errors.Join(err, server.Stop())
	}
	for idle := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		alone, err := d.alone()
		switch {
		case err != nil:
			return errors.Join(err, server.Stop())
		case alone == nil:
			idle = time.Now()
		case time.Since(idle) < linger:
			_ = alone.Close() // gives the lock back
		default:
			// A test process that starts now waits for the lock, and then finds no server.
			return errors.Join(os.Remove(d.path("url")), server.Stop(),
				os.RemoveAll(dataDir), alone.Close())
		}
	}
}

// alone gives the users lock for oneself; nil if there are users.
func (d sharedDir) alone() (*os.File, error) {
	f, err := os.OpenFile(d.path("users"), os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	_ = f.Close() // no lock on it
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, err
}
