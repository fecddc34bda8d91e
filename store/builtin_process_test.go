package store

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A server whose lock file somebody removed keeps a new one from starting. Its answers are
// not those of the new one.
func TestServerWithoutItsLockFileIsNotTakenForAnother(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openTempDir(t), "data")
	h := startHelper(t, dir, nil)
	if !strings.HasPrefix(h.said, "ready ") {
		t.Fatalf("helper says %s", h.said)
	}
	data := filepath.Join(dir, "postgres")
	pf, err := readPIDFile(data)
	if err == nil {
		err = errors.Join(h.Process.Kill(), os.Remove(filepath.Join(data, "postmaster.pid")))
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = h.Wait() // "signal: killed"
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if b, err := StartBuiltin(ctx, BuiltinConfig{DataDir: dir, Logger: testLogger(t)}); err == nil {
		stop(t, b)
		t.Error("another server was taken for the one just started")
	} else if !strings.Contains(err.Error(), "still in use") && ctx.Err() == nil { // the time may end in the middle of a try
		t.Errorf("it says: %v", err)
	}
	if err := syscall.Kill(pf.pid, syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the old server is gone", func() bool { return !isPostmaster(pf.pid, data) })
	start(t, dir)
}

func TestStopWithoutPatience(t *testing.T) {
	t.Parallel()
	b := start(t, filepath.Join(openTempDir(t), "data"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	if err := b.Stop(ctx); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// However long the orderly stop took, each harder way has its own time.
func TestStopGivesEachWayItsTime(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command("sh", "-c", `trap '' INT; trap 'sleep 0.5; echo tidied up; exit' QUIT; echo ready; while :; do sleep 0.05; done`)
	cmd.Stdout = w
	if err := errors.Join(cmd.Start(), w.Close()); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(r)
	if line, err := out.ReadString('\n'); line != "ready\n" {
		t.Fatal(line, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), hardStopTimeout+100*time.Millisecond)
	defer cancel()
	if err := childProcess(cmd).shutdown(ctx); err != nil {
		t.Error(err)
	}
	if line, err := out.ReadString('\n'); line != "tidied up\n" {
		t.Errorf("it was killed while it was tidying up: %q, %v", line, err)
	}
}
