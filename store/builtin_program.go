package store

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// command prepares a PostgreSQL program to run in a directory and away from our terminal:
// Ctrl-C must reach Parley alone, which then stops the server after everything that uses it.
func (bin binaries) command(dir, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(bin.dir, program), args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	// Nothing of our own environment: PGDATA, PGPORT and the like would change what the
	// programs do, and secrets are no business of theirs.
	cmd.Env = []string{"PATH=" + bin.dir + ":/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", "PWD=" + dir}
	if bin.libDir != "" {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+bin.libDir)
	}
	return cmd
}

// run runs a program to its end and returns what it printed, shortened to its end.
func (bin binaries) run(ctx context.Context, dir, program string, args ...string) (string, error) {
	cmd := bin.command(dir, program, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Start()
	if err == nil {
		kill := context.AfterFunc(ctx, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }) // its children too
		err = cmd.Wait()
		kill()
	}
	if ctx.Err() != nil {
		err = ctx.Err() // not "killed"
	}
	return tail(out.String()), err
}

// tail is the end of a program's output, short enough for an error.
func tail(s string) string {
	s = strings.TrimSpace(s)
	const most = 1000
	if len(s) <= most {
		return s
	}
	s = s[len(s)-most:]
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		s = s[i+1:]
	}
	return s
}
