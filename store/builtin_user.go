package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// serverUser is the user the server runs as. PostgreSQL refuses to run as root.
type serverUser struct {
	uid, gid uint32
	name     string
	switched bool // another user than ours: we are root and the server is not
}

// findServerUser chooses the user for a data directory; see StartBuiltin.
func findServerUser(root string) (serverUser, error) {
	if euid := os.Geteuid(); euid != 0 {
		return serverUser{uint32(euid), uint32(os.Getegid()), userName(uint32(euid)), false}, nil
	}
	for _, path := range []string{filepath.Join(root, "postgres"), root} {
		info, err := os.Lstat(path)
		if err != nil {
			continue // no data yet
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != 0 {
			return serverUser{st.Uid, st.Gid, userName(st.Uid), true}, nil
		}
	}
	for _, name := range []string{"parley", "postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		gid, gerr := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil || gerr != nil || uid == 0 {
			continue
		}
		return serverUser{uint32(uid), uint32(gid), name, true}, nil
	}
	return serverUser{}, errors.New("PostgreSQL does not run as root, and there is no user parley, postgres or nobody to run it as; add one (useradd --system parley), or run Parley as an ordinary user")
}

func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "the user with id " + id
}

func ownerOf(info fs.FileInfo) uint32 { return info.Sys().(*syscall.Stat_t).Uid }

// ownerName names the owner of path, or of the nearest parent that can be looked at.
func ownerName(path string) string {
	for {
		if info, err := os.Lstat(path); err == nil {
			return userName(ownerOf(info))
		}
		if filepath.Dir(path) == path {
			return "its owner"
		}
		path = filepath.Dir(path)
	}
}

// own gives the server's user a file that root made for it.
func (u serverUser) own(path string) error {
	if !u.switched {
		return nil
	}
	return os.Lchown(path, int(u.uid), int(u.gid))
}

// mkdir makes a directory that belongs to the server's user.
func (u serverUser) mkdir(path string, mode fs.FileMode) error {
	if err := os.Mkdir(path, mode); err != nil {
		return err
	}
	return u.own(path)
}

// command prepares a PostgreSQL program to run as the server's user, in a directory that
// user can enter, and away from our terminal: Ctrl-C must reach Parley alone, which then
// stops the server after everything that uses it.
func (u serverUser) command(bin binaries, dir, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(bin.dir, program), args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if u.switched {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: u.uid, Gid: u.gid}
	}
	// Nothing of our own environment: PGDATA, PGPORT and the like would change what the
	// programs do, and secrets are no business of theirs.
	cmd.Env = []string{"PATH=" + bin.dir + ":/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", "PWD=" + dir}
	if bin.libDir != "" {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+bin.libDir)
	}
	return cmd
}

// run runs a program to its end and returns what it printed, shortened to its end.
func (u serverUser) run(ctx context.Context, bin binaries, dir, program string, args ...string) (string, error) {
	cmd := u.command(bin, dir, program, args...)
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

// blocked says which folder on the way to path the server's user cannot enter, if any.
// The outermost is the one to deal with.
func (u serverUser) blocked(path string) error {
	if parent := filepath.Dir(path); parent != path {
		if err := u.blocked(parent); err != nil {
			return err
		}
	}
	if info, err := os.Stat(path); err != nil || u.enters(info) {
		return nil
	}
	return fmt.Errorf("PostgreSQL runs as %s, who cannot enter %s; choose another data directory (the usual one for root is %s), or let others enter that folder (chmod o+x)", u.name, path, DefaultDataDir())
}

func (u serverUser) enters(info fs.FileInfo) bool {
	st := info.Sys().(*syscall.Stat_t)
	switch {
	case st.Uid == u.uid:
		return info.Mode()&0o100 != 0
	case st.Gid == u.gid:
		return info.Mode()&0o010 != 0
	}
	return info.Mode()&0o001 != 0
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
