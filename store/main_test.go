package store

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/privilege"
	"parley/privilege/privilegetest"
)

// helperEnv, set to a data directory, makes the test binary a process that starts the
// built-in server there, prints the outcome and stops when its input ends: a Parley that
// can be killed.
const helperEnv = "PARLEY_STORE_TEST_HELPER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperEnv); dir != "" {
		if err := limitDisk(dir); err != nil {
			fmt.Println("skip", err)
			os.Exit(1)
		}
		b, err := StartBuiltin(context.Background(), BuiltinConfig{DataDir: dir})
		if err != nil {
			fmt.Printf("error %q\n", err)
			os.Exit(1)
		}
		fmt.Println("ready", b.URL())
		_, _ = io.Copy(io.Discard, os.Stdin)
		if err := b.Stop(context.Background()); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Geteuid() == 0 {
		if err := leaveRoot(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m)
}

// leaveRoot makes root's tests an ordinary user's, as Parley does before it gets here.
func leaveRoot() error {
	flag.Parse()
	// The file is in a folder of root's; without it go test only does not cache the result.
	if err := flag.Set("test.testlogfile", ""); err != nil {
		return err
	}
	if err := privilege.Become(privilegetest.User()); err != nil {
		return err
	}
	return openProc()
}

// helper is a running helper process.
type helper struct {
	*exec.Cmd
	stdin io.Closer
	said  string // "ready <url>", "error <sentence>", or "skip <reason>"
}

// startHelper starts a helper and waits until it has said how its start went.
func startHelper(t *testing.T, dataDir string, attr *syscall.SysProcAttr, env ...string) *helper {
	t.Helper()
	self := os.Args[0]
	if runtime.GOOS == "linux" {
		self = "/proc/self/exe" // also where its folder is root's
	}
	var err error
	h := &helper{Cmd: exec.Command(self)}
	h.Env = append(slices.Clone(env), helperEnv+"="+dataDir, "PATH="+os.Getenv("PATH"))
	h.Stderr = os.Stderr
	h.SysProcAttr = attr
	if h.stdin, err = h.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := h.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Process.Kill(); _ = h.Wait() })
	h.said, _ = bufio.NewReader(out).ReadString('\n')
	h.said = strings.TrimSpace(h.said)
	return h
}

// openTempDir is a temporary directory with a short path, as t.TempDir's is not.
func openTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "parley-store-*")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove temporary directory: %v", err)
		}
	})
	return dir
}

// start starts the built-in server of a directory for the length of the test.
func start(t *testing.T, dataDir string) *Builtin {
	t.Helper()
	began := time.Now()
	b, err := StartBuiltin(t.Context(), BuiltinConfig{DataDir: dataDir, Logger: testLogger(t)})
	if err != nil {
		t.Fatalf("start built-in server: %v", err)
	}
	t.Logf("started in %v", time.Since(began).Round(time.Millisecond))
	t.Cleanup(func() { stop(t, b) })
	return b
}

func stop(t *testing.T, b *Builtin) {
	t.Helper()
	if err := b.Stop(context.Background()); err != nil {
		t.Errorf("stop built-in server: %v", err)
	}
}

// open gives a pool on a built-in server for the length of the test.
func open(t *testing.T, url string) *DB {
	t.Helper()
	db, err := Open(t.Context(), Config{URL: url, Logger: testLogger(t)})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(db.Close)
	return db
}

func testLogger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// eventually waits until what must come true is true.
func eventually(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}
