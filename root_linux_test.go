package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"parley/parleytest"
	"parley/privilege/privilegetest"
)

const nobody = 65534

// needRoot skips what only root can arrange.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to start Parley as root and to own files as other users")
	}
}

// status reads fields of /proc/PID/status; of a thread, with PID/task/TID.
func status(t *testing.T, of string) map[string]string {
	t.Helper()
	b, err := os.ReadFile("/proc/" + of + "/status")
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.Join(strings.Fields(value), " ")
	}
	return fields
}

// checkOrdinary makes sure that no thread of a process has anything left of root.
func checkOrdinary(t *testing.T, pid, uid, gid int) {
	t.Helper()
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("threads of %d: %v", pid, err)
	}
	four := func(id int) string { return strings.TrimSpace(strings.Repeat(strconv.Itoa(id)+" ", 4)) }
	for _, thread := range threads {
		got := status(t, fmt.Sprintf("%d/task/%s", pid, thread.Name()))
		for name, want := range map[string]string{
			"Uid": four(uid), "Gid": four(gid), "Groups": strconv.Itoa(gid), "NoNewPrivs": "1",
			"CapInh": strings.Repeat("0", 16), "CapPrm": strings.Repeat("0", 16),
			"CapEff": strings.Repeat("0", 16), "CapAmb": strings.Repeat("0", 16),
		} {
			if got[name] != want {
				t.Errorf("thread %s of %s has %s: %s, not %s", thread.Name(), got["Name"], name, got[name], want)
			}
		}
	}
}

// lowAddr is a free address with a port that only root can bind.
func lowAddr(t *testing.T) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 600+rand.IntN(400))
		if ln, err := net.Listen("tcp", addr); err == nil {
			_ = ln.Close()
			return addr
		}
	}
	t.Fatal("no free port below 1024")
	return ""
}

func TestStartedAsRoot(t *testing.T) {
	t.Parallel()
	needRoot(t)
	bin := build(t)
	s, err := parleytest.Start(t.Context(), parleytest.Config{Binary: bin, Addr: lowAddr(t)}) // a port below 1024 is bound
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	user := privilegetest.User()
	postgres, err := parleytest.PostgresPID(s.DataDir())
	if err != nil {
		t.Fatal(err)
	}

	t.Run("nothing_of_root_is_left", func(t *testing.T) {
		checkOrdinary(t, s.PID(), user.UID, user.GID)
		checkOrdinary(t, postgres, user.UID, user.GID)
	})
	t.Run("the_whole_data_directory_is_the_users", func(t *testing.T) {
		owned(t, s.DataDir(), user.UID)
		if info, err := os.Stat(s.DataDir()); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("its mode is %v, %v", info.Mode(), err)
		}
	})
	t.Run("a_command_of_roots_becomes_the_user", func(t *testing.T) {
		cmd := exec.CommandContext(t.Context(), bin, "user", "list")
		cmd.Env = append(os.Environ(), "PARLEY_DATA_DIR="+s.DataDir(), "DATABASE_URL=")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "USERNAME") {
			t.Errorf("%v: %s", err, out)
		}
		owned(t, s.DataDir(), user.UID)
	})
	t.Run("the_database_accepts_only_the_user", func(t *testing.T) {
		conn, err := parleytest.ConnectDatabase(t.Context(), s.DataDir())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close(t.Context())
		if _, err := parleytest.ConnectDatabaseAs(t.Context(), s.DataDir(), nobody); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("to nobody the folder says: %v", err)
		}
		// And if the folders and the socket were open to all.
		for path, mode := range map[string]os.FileMode{"..": 0o755, "": 0o755, "postgres-run": 0o755, "postgres-run/.s.PGSQL.5432": 0o777} {
			if err := os.Chmod(filepath.Join(s.DataDir(), path), mode); err != nil {
				t.Fatal(err)
			}
		}
		for _, uid := range []uint32{nobody, 0} {
			conn, err := parleytest.ConnectDatabaseAs(t.Context(), s.DataDir(), uid)
			if err == nil {
				_ = conn.Close(t.Context())
			}
			if err == nil || !strings.Contains(err.Error(), "Peer authentication failed") {
				t.Errorf("to the user with id %d the database says: %v", uid, err)
			}
		}
	})
}

// owned makes sure that everything in a directory belongs to a user.
func owned(t *testing.T, dir string, uid int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // PostgreSQL removes files all the time
			err = nil
		}
		if info, statErr := os.Lstat(path); statErr == nil && int(info.Sys().(*syscall.Stat_t).Uid) != uid {
			t.Errorf("%s belongs to %d, not %d", path, info.Sys().(*syscall.Stat_t).Uid, uid)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// chownTree gives a tree to a user, as earlier versions and operators did.
func chownTree(t *testing.T, dir string, uid int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, uid)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// machine is a view of this machine in which the users can be changed, and a data
// directory of root's for a Parley in there.
type machine struct {
	t            *testing.T
	bin, etc     string
	within       []string // command with arguments that becomes the binary
	dir, dataDir string
}

// newMachine gives one without a user parley.
func newMachine(t *testing.T) *machine {
	t.Helper()
	needRoot(t)
	if out, err := exec.CommandContext(t.Context(), "unshare", "-m", "true").CombinedOutput(); err != nil {
		t.Skipf("needs a mount namespace, which cannot be had here: %v %s", err, out)
	}
	m := &machine{t: t, bin: build(t), etc: filepath.Join(t.TempDir(), "etc"), dir: openDir(t)}
	m.dataDir = filepath.Join(m.dir, "data")
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", "/etc", m.etc).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, file := range []string{"passwd", "group", "shadow", "gshadow"} {
		path := filepath.Join(m.etc, file)
		b, err := os.ReadFile(path)
		if err != nil {
			continue // not every system has all of them
		}
		b = regexp.MustCompile(`(?m)^parley:.*\n`).ReplaceAll(b, nil)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.within = []string{"unshare", "-m", "sh", "-c", `mount --bind "$0" /etc && exec "$@"`, m.etc}
	t.Cleanup(func() {
		if err := parleytest.EndPostgres(m.dataDir); err != nil {
			t.Error(err)
		}
	})
	return m
}

// start starts Parley in there.
func (m *machine) start() *parleytest.Server {
	m.t.Helper()
	s, err := parleytest.Start(m.t.Context(), parleytest.Config{Binary: m.bin, Within: m.within, Env: []string{"PARLEY_DATA_DIR=" + m.dataDir}})
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			m.t.Error(err)
		}
	})
	return s
}

// run runs a command of Parley's, which starts and stops the database if none runs.
func (m *machine) run(args ...string) (out string, err error) {
	m.t.Helper()
	cmd := exec.CommandContext(m.t.Context(), m.within[0], append(append(m.within[1:len(m.within):len(m.within)], m.bin), args...)...)
	cmd.Env = append(os.Environ(), "PARLEY_DATA_DIR="+m.dataDir, "DATABASE_URL=")
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	err = cmd.Run()
	return both.String(), err
}

// user is the user parley in there.
func (m *machine) user() (uid, gid int) {
	m.t.Helper()
	b, err := os.ReadFile(filepath.Join(m.etc, "passwd"))
	if err != nil {
		m.t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^parley:[^:]*:(\d+):(\d+):`).FindStringSubmatch(string(b))
	if found == nil {
		m.t.Fatal("there is no user parley")
	}
	uid, _ = strconv.Atoi(found[1])
	gid, _ = strconv.Atoi(found[2])
	return uid, gid
}

func TestRootWithoutPreparation(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	s := m.start()
	uid, gid := m.user() // it was created
	checkOrdinary(t, s.PID(), uid, gid)
	owned(t, m.dataDir, uid)
	if n := strings.Count(s.Log(), "created a system user"); n != 1 {
		t.Errorf("the log says %d times that a user was created", n)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	// The user is gone, as from a container that was made anew; the directory has its id.
	if err := exec.CommandContext(t.Context(), "sed", "-i", "/^parley:/d", m.etc+"/passwd", m.etc+"/group", m.etc+"/shadow", m.etc+"/gshadow").Run(); err != nil {
		t.Fatal(err)
	}
	if out, err := m.run("user", "list"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if again, _ := m.user(); again != uid {
		t.Errorf("the user has the id %d now, not %d", again, uid)
	}
}

// victim is a file of root's that another user must not get by Parley, nor see changed.
type victim struct {
	t    *testing.T
	path string
	was  string
}

func newVictim(t *testing.T, path string) victim {
	t.Helper()
	v := victim{t: t, path: path}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("root's secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	v.was = v.now()
	return v
}

func (v victim) now() string {
	v.t.Helper()
	info, err := os.Lstat(v.path)
	if err != nil {
		v.t.Fatal(err)
	}
	b, err := os.ReadFile(v.path)
	if err != nil {
		v.t.Fatal(err)
	}
	return fmt.Sprintf("%v %d %q", info.Mode(), info.Sys().(*syscall.Stat_t).Uid, b)
}

func (v victim) check() {
	v.t.Helper()
	if now := v.now(); now != v.was {
		v.t.Errorf("%s was %s and is %s", v.path, v.was, now)
	}
}

// The owner of the data directory puts links to root's files where root's Parley writes.
func TestRootFollowsNoLinkOfAnotherUser(t *testing.T) {
	t.Parallel()
	needRoot(t)
	bin := build(t)
	mallory := privilegetest.User()
	for name, plant := range map[string]func(dir string, v victim) error{
		"hard_link_for_the_lock": func(dir string, v victim) error { return os.Link(v.path, dir+"/lock") },
		"hard_link_for_the_log":  func(dir string, v victim) error { return os.Link(v.path, dir+"/postgres.log") },
		"link_for_the_log":       func(dir string, v victim) error { return os.Symlink(v.path, dir+"/postgres.log") },
		"link_for_the_socket":    func(dir string, v victim) error { return os.Symlink(filepath.Dir(v.path), dir+"/postgres-run") },
		"link_for_the_binaries":  func(dir string, v victim) error { return os.Symlink(filepath.Dir(v.path), dir+"/postgres-bin") },
		"link_for_the_database":  func(dir string, v victim) error { return os.Symlink(filepath.Dir(v.path), dir+"/postgres") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parent := openDir(t)
			dir := filepath.Join(parent, "data")
			v := newVictim(t, filepath.Join(parent, "roots", "secret"))
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := plant(dir, v); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(dir, mallory.UID, mallory.GID); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), bin, "user", "list") // does all that a start does
			cmd.Env = append(os.Environ(), "PARLEY_DATA_DIR="+dir, "DATABASE_URL=")
			if out, err := cmd.CombinedOutput(); err == nil {
				t.Errorf("it uses what is planted: %s", out)
			}
			v.check()
		})
	}

	// While root's Parley unpacks, the owner exchanges the folder and a link back and forth.
	t.Run("folder_replaced_while_unpacking", func(t *testing.T) {
		t.Parallel()
		parent := openDir(t)
		dir := filepath.Join(parent, "data")
		victims := []victim{}
		for _, name := range []string{"unpacking/bin/postgres", "unpacking/bin/initdb", "unpacking/lib/libpq.so.5", "unpacking/share/postgres.bki"} {
			victims = append(victims, newVictim(t, filepath.Join(parent, "roots", name)))
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(parent, "roots"), dir+"/link"); err != nil {
			t.Fatal(err)
		}
		chownTree(t, dir, mallory.UID)
		ctx, cancel := context.WithCancel(t.Context())
		exchanged := make(chan int)
		go func() {
			n := 0
			for ctx.Err() == nil {
				if unix.Renameat2(unix.AT_FDCWD, dir+"/link", unix.AT_FDCWD, dir+"/postgres-bin", unix.RENAME_EXCHANGE) == nil {
					n++
				}
			}
			exchanged <- n
		}()
		for range 3 {
			cmd := exec.CommandContext(t.Context(), bin, "user", "list")
			cmd.Env = append(os.Environ(), "PARLEY_DATA_DIR="+dir, "DATABASE_URL=")
			_ = cmd.Run() // mallory's Parley may fail
		}
		cancel()
		if n := <-exchanged; n == 0 {
			t.Error("nothing was exchanged: the attack did not happen")
		}
		for _, v := range victims {
			v.check()
		}
		for _, dir := range []string{"roots", "roots/unpacking", "roots/unpacking/bin"} {
			if info, err := os.Lstat(filepath.Join(parent, dir)); err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
				t.Errorf("%s is root's no more: %v", dir, err)
			}
		}
	})
}
