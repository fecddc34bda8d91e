package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"parley/parleytest"
	"parley/privilege/privilegetest"
)

// An earlier version accepted every connection on its socket, in a folder of one user.
const trust = "local all all trust\nhost all all 127.0.0.1/32 reject\n"

// earlier makes a data directory as an earlier version, which stayed root, left it: the
// database and what goes with it are a shared user's, the rest is root's.
func (m *machine) earlier(uid int) {
	m.t.Helper()
	template := usedDataDir(m.t)
	if err := errors.Join(os.Mkdir(m.dataDir, 0o711), os.MkdirAll(m.dataDir+"/postgres-bin/0123456789abcdef/bin", 0o755)); err != nil {
		m.t.Fatal(err)
	}
	for _, name := range []string{"postgres", "postgres-run", "postgres.log", "lock"} {
		if out, err := exec.CommandContext(m.t.Context(), "cp", "-a", filepath.Join(template, name), m.dataDir).CombinedOutput(); err != nil {
			m.t.Fatalf("%v: %s", err, out)
		}
		chownTree(m.t, filepath.Join(m.dataDir, name), uid)
	}
	data := filepath.Join(m.dataDir, "postgres")
	err := errors.Join(
		os.WriteFile(data+"/pg_hba.conf", []byte(trust), 0o600),
		os.Remove(data+"/pg_ident.conf"),
		os.WriteFile(data+"/pg_ident.conf", nil, 0o600),
		os.Chown(data+"/pg_ident.conf", uid, uid),
	)
	if err != nil {
		m.t.Fatal(err)
	}
}

var makeDataDir = sync.OnceValues(func() (string, error) {
	bin, err := buildOnce()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(sharedDir, "used")
	err = errors.Join(os.Chmod(sharedDir, 0o755), os.Mkdir(dir, 0o700), parleytest.GiveToUser(dir))
	if err != nil {
		return "", err
	}
	cmd := exec.Command(bin, "user", "create", "ann", "--generate")
	cmd.Env = append(os.Environ(), "PARLEY_DATA_DIR="+dir, "DATABASE_URL=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return dir, os.Chmod(dir, 0o755) // so that other users can run the programs in there
})

// usedDataDir is a data directory with a user ann, of an ordinary user.
func usedDataDir(t *testing.T) string {
	t.Helper()
	dir, err := makeDataDir()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestUpgradeFromRoot(t *testing.T) {
	t.Parallel()
	t.Run("data_of_nobody_becomes_parleys", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.earlier(nobody)
		s := m.start()
		uid, gid := m.user()
		checkOrdinary(t, s.PID(), uid, gid)
		owned(t, m.dataDir, uid)
		for _, name := range []string{"pg_hba.conf", "pg_ident.conf"} {
			b, err := os.ReadFile(filepath.Join(m.dataDir, "postgres", name))
			if err != nil || strings.Contains(string(b), "trust") || !strings.Contains(string(b), "parley") {
				t.Errorf("%s is %q, %v", name, b, err)
			}
		}
		if out, err := m.run("user", "list"); err != nil || !strings.Contains(out, "ann") {
			t.Errorf("who was there: %v: %s", err, out)
		}
	})
	t.Run("data_of_an_ordinary_user_stays_with_it", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		user := privilegetest.User()
		m.earlier(user.UID)
		if out, err := m.run("user", "list"); err != nil || !strings.Contains(out, "ann") {
			t.Fatalf("%v: %s", err, out)
		}
		owned(t, m.dataDir, user.UID)
	})
	t.Run("a_whole_directory_of_nobodys", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.earlier(nobody)
		chownTree(t, m.dataDir, nobody)
		if out, err := m.run("user", "list"); err != nil || !strings.Contains(out, "ann") {
			t.Fatalf("%v: %s", err, out)
		}
		uid, _ := m.user()
		owned(t, m.dataDir, uid)
	})
	t.Run("a_server_left_running_is_stopped", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.earlier(nobody)
		bins, err := filepath.Glob(usedDataDir(t) + "/postgres-bin/*/bin/postgres")
		if err != nil || len(bins) != 1 {
			t.Skip("this build brings no PostgreSQL along")
		}
		old := exec.Command(bins[0], "-D", m.dataDir+"/postgres", "-c", "listen_addresses=", "-c", "unix_socket_directories="+m.dataDir+"/postgres-run")
		old.Dir = m.dataDir + "/postgres"
		old.Env = []string{"LD_LIBRARY_PATH=" + filepath.Dir(filepath.Dir(bins[0])) + "/lib"}
		old.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		if err := old.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- old.Wait() }()
		eventually(t, "the old server runs", func() bool { _, err := parleytest.PostgresPID(m.dataDir); return err == nil })
		if out, err := m.run("user", "list"); err != nil || !strings.Contains(out, "ann") {
			t.Errorf("%v: %s", err, out)
		}
		if err := <-ended; err != nil {
			t.Errorf("the old server ended with %v", err)
		}
	})
	// What a shared user may have planted is refused, with the way out, and is not given away.
	for name, c := range map[string]struct {
		plant func(m *machine, v victim) error
		want  string
	}{
		"hard_link": {func(m *machine, v victim) error { return os.Link(v.path, m.dataDir+"/postgres/base/planted") }, "hard link"},
		"link":      {func(m *machine, v victim) error { return os.Symlink(v.path, m.dataDir+"/postgres/pg_wal/planted") }, "chown -R parley:"},
		"another_users_file": {func(m *machine, _ victim) error {
			return os.Chown(m.dataDir+"/postgres/PG_VERSION", 2, 2)
		}, "belongs to bin"},
		"another_parley_runs": {func(m *machine, _ victim) error {
			f, err := os.Open(m.dataDir + "/lock")
			if err == nil {
				m.t.Cleanup(func() { _ = f.Close() })
				err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
			}
			return err
		}, "stop that first"},
	} {
		t.Run("refuses_"+name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.earlier(nobody)
			v := newVictim(t, filepath.Join(m.dir, "roots", "secret"))
			if err := c.plant(m, v); err != nil {
				t.Fatal(err)
			}
			before := listing(t, m.dataDir)
			if out, err := m.run("user", "list"); err == nil || !strings.Contains(out, c.want) {
				t.Errorf("%v: %s", err, out)
			}
			v.check()
			if after := listing(t, m.dataDir); after != before {
				t.Errorf("it was changed from\n%s\nto\n%s", before, after)
			}
		})
	}
}

// listing is what is in a directory, and whose it is.
func listing(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "find", dir, "-printf", `%p %M %U %G %l\n`).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// A directory that is not Parley's is not given away, whatever a typing mistake says.
func TestRootRefusesOtherDirectories(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		make func(m *machine) error
		want string
	}{
		"roots_with_files": {func(m *machine) error {
			return errors.Join(os.Mkdir(m.dataDir, 0o755), os.WriteFile(m.dataDir+"/lock", nil, 0o600), os.WriteFile(m.dataDir+"/important", nil, 0o600))
		}, "is not a data directory of Parley's"},
		"nobodys": {func(m *machine) error {
			return errors.Join(os.Mkdir(m.dataDir, 0o755), os.Chown(m.dataDir, nobody, nobody))
		}, "belongs to nobody, as whom Parley does not run"},
		"a_place_of_nobodys":         {func(m *machine) error { return os.Chown(m.dir, nobody, nobody) }, "does not run as nobody"},
		"a_place_that_all_can_write": {func(m *machine) error { return os.Chmod(m.dir, 0o777) }, "chmod go-w"},
		"roots_in_a_users_place": {func(m *machine) error {
			return errors.Join(os.Mkdir(m.dataDir, 0o755), os.Chown(m.dir, 1, 1))
		}, "chown -R 1 "},
		"a_users_in_anothers_place": {func(m *machine) error {
			return errors.Join(os.Mkdir(m.dataDir, 0o755), os.Chown(m.dataDir, 2, 2), os.Chown(m.dir, 1, 1))
		}, "daemon can replace it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			if err := c.make(m); err != nil {
				t.Fatal(err)
			}
			before := listing(t, m.dir)
			cmd := exec.CommandContext(t.Context(), m.within[0], append(m.within[1:len(m.within):len(m.within)], m.bin)...)
			cmd.Env = append(os.Environ(), "PARLEY_DATA_DIR="+m.dataDir, "DATABASE_URL=", "PARLEY_LISTEN=127.0.0.1:0")
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.want) {
				t.Errorf("%v: %s", err, out)
			}
			if after := listing(t, m.dir); after != before {
				t.Errorf("it was changed from\n%s\nto\n%s", before, after)
			}
		})
	}
}
