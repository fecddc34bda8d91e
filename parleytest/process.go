package parleytest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is what /proc tells of a process.
type Process struct {
	PID, Parent int
	// CPU is user and system time of the process; Reaped that of its children that have
	// ended and been waited for. To the kernel's tick of 10 ms.
	CPU, Reaped time.Duration
}

// tick is the unit of times in /proc/PID/stat: USER_HZ is 100 on every architecture Go
// runs on.
const tick = 10 * time.Millisecond

// FindProcess reads /proc/PID/stat. For a process that is gone, or was and waits to be
// reaped, the error is fs.ErrNotExist.
func FindProcess(pid int) (Process, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Process{}, fmt.Errorf("read process %d: %w", pid, gone(err))
	}
	return parseStat(b)
}

// gone makes ESRCH, which reading the file of a process that ends just then gives, the
// same as a missing file.
func gone(err error) error {
	if errors.Is(err, syscall.ESRCH) {
		return fs.ErrNotExist
	}
	return err
}

func parseStat(b []byte) (Process, error) {
	// The command is in parentheses and may itself hold spaces and parentheses.
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return Process{}, fmt.Errorf("no command in the process state %q", b)
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(b[:open])))
	if err != nil {
		return Process{}, fmt.Errorf("no pid in the process state %q", b)
	}
	// What follows the command: state, parent, … with the times at 11 to 14.
	fields := strings.Fields(string(b[end+1:]))
	if len(fields) < 15 {
		return Process{}, fmt.Errorf("a process state of %d fields", len(fields))
	}
	if fields[0] == "Z" {
		return Process{}, fmt.Errorf("process %d has ended: %w", pid, fs.ErrNotExist)
	}
	var n [5]int64
	for i, field := range []int{1, 11, 12, 13, 14} {
		if n[i], err = strconv.ParseInt(fields[field], 10, 64); err != nil {
			return Process{}, fmt.Errorf("field %d of a process state: %w", field, err)
		}
	}
	return Process{PID: pid, Parent: int(n[0]), CPU: time.Duration(n[1]+n[2]) * tick, Reaped: time.Duration(n[3]+n[4]) * tick}, nil
}

// Family is a process and its children; empty if it does not run.
func Family(pid int) ([]Process, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var family []Process
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it ended
		}
		if p, err := parseStat(b); err == nil && (p.PID == pid || p.Parent == pid) {
			family = append(family, p)
		}
	}
	return family, nil
}

// FamilyCPU is the time a process has used together with its children, those that have
// ended included. Children of children count once their parent has ended.
func FamilyCPU(pid int) (time.Duration, error) {
	family, err := Family(pid)
	var sum time.Duration
	for _, p := range family {
		sum += p.CPU + p.Reaped
	}
	return sum, err
}

// Memory is what a process has resident now, and had at most, in bytes.
func Memory(pid int) (now, peak int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, fmt.Errorf("read the memory of process %d: %w", pid, gone(err))
	}
	return parseMemory(string(b))
}

func parseMemory(status string) (now, peak int64, err error) {
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		var dest *int64
		switch name {
		case "VmRSS":
			dest = &now
		case "VmHWM":
			dest = &peak
		default:
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("read %s of a process: %w", name, err)
		}
		*dest = kib << 10
	}
	if now == 0 || peak == 0 {
		return 0, 0, errors.New("a process state without memory")
	}
	return now, peak, nil
}

// PostgresPID is the postmaster of the built-in database in a data directory of Parley:
// fs.ErrNotExist if none runs.
func PostgresPID(dataDir string) (int, error) {
	path := filepath.Join(dataDir, "postgres", "postmaster.pid")
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("find the database: %w", err)
	}
	first, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	if _, err := FindProcess(pid); err != nil {
		return 0, fmt.Errorf("find the database: %w", err)
	}
	return pid, nil
}
