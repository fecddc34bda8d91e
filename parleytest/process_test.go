package parleytest

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, stat string
		want       Process
	}{
		{"plain", "42 (postgres) S 41 42 42 0 -1 4194560 100 200 0 0 7 3 11 9 20 0 1 0 5", Process{42, 41, 100 * time.Millisecond, 200 * time.Millisecond}},
		{"a name like fields", "42 (x) S 1 (2)) R 41 42 42 0 -1 4194560 100 200 0 0 7 3 11 9 20 0 1 0 5", Process{42, 41, 100 * time.Millisecond, 200 * time.Millisecond}},
	} {
		if got, err := parseStat([]byte(c.stat)); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
	for _, bad := range []string{"", "42", "42 (a", "x (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15", "42 (a) S 1 2", "42 (a) S 1 2 3 4 5 6 7 8 9 10 x 12 13 14 15"} {
		if got, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was read as %+v", bad, got)
		}
	}
	if _, err := parseStat([]byte("42 (a) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a zombie: %v", err)
	}
}

func TestParseMemory(t *testing.T) {
	t.Parallel()
	now, peak, err := parseMemory("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n")
	if err != nil || now != 1<<20 || peak != 2<<20 {
		t.Errorf("read %d and %d, %v", now, peak, err)
	}
	for _, bad := range []string{"", "VmRSS: 10 kB\n", "VmRSS: x kB\nVmHWM: 1 kB\n"} {
		if _, _, err := parseMemory(bad); err == nil {
			t.Errorf("no error for %q", bad)
		}
	}
}

// TestFamilyCPU burns a known amount in a child that lives and one that has ended.
func TestFamilyCPU(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	// The shell has one child that ended, one that still runs
	// and waits for input.
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `burn() { i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; }
		(burn); (burn; echo burnt; read x); true`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	family, err := Family(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(family, func(p Process) bool { return p.PID == cmd.Process.Pid })
	if i < 0 || len(family) < 2 {
		t.Fatalf("the shell's family is %+v", family)
	}
	if family[i].Parent != os.Getpid() || family[i].Reaped == 0 {
		t.Errorf("the shell is %+v", family[i])
	}
	sum, err := FamilyCPU(cmd.Process.Pid)
	if living := family[1-i].CPU; err != nil || living == 0 || sum < family[i].Reaped+living {
		t.Errorf("the family used %v, %v; its members %+v", sum, err, family)
	}
	now, peak, err := Memory(cmd.Process.Pid)
	if err != nil || now <= 0 || peak < now {
		t.Errorf("the shell has %d bytes, at most %d, %v", now, peak, err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // read fails at the end of input; no matter
	if _, err := FindProcess(cmd.Process.Pid); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an ended process: %v", err)
	}
}
