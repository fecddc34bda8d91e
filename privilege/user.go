package privilege

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// systemUser is the user that Parley becomes where no other owns its data.
const systemUser = "parley"

const commandTimeout = 30 * time.Second

// ByID finds a user. The name is empty if the system has none for the id, and the group
// is 0 then.
func ByID(uid int) User {
	u := User{UID: uid}
	id := strconv.Itoa(uid)
	if found, err := user.LookupId(id); err == nil {
		u.GID, _ = strconv.Atoi(found.Gid) // 0, which Become refuses
		u.Name = found.Username
		return u
	}
	// Without cgo, package user reads /etc/passwd only. getent also asks LDAP and the like.
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, tool("getent"), "passwd", id).Output()
	if fields := strings.Split(string(out), ":"); err == nil && len(fields) > 3 {
		u.GID, _ = strconv.Atoi(fields[3])
		u.Name = fields[0]
	}
	return u
}

// System finds the user parley, and creates it if the system has none.
func System(logger *slog.Logger) (User, error) { return system(logger, 0) }

// Named is a user who has a name: where the system knows none for the id, as after a
// container was made anew, the user parley is created with that id.
func Named(uid int, logger *slog.Logger) (User, error) {
	if u := ByID(uid); u.Name != "" {
		return u, nil
	}
	u, err := system(logger, uid)
	if err == nil && u.UID != uid {
		err = fmt.Errorf("%s has no name on this system, and the user %s has the id %d", User{UID: uid}, u, u.UID)
	}
	return u, err
}

func system(logger *slog.Logger, uid int) (User, error) {
	if u, err := byName(systemUser); err == nil {
		return u, nil
	}
	createErr := create(systemUser, uid)
	u, err := byName(systemUser) // also if another process has just created it
	if err != nil {
		return User{}, fmt.Errorf("Parley does not run as root, and the user %q could not be created; create it (useradd --system %s), or start Parley as an ordinary user: %w", //nolint:staticcheck // begins with a name
			systemUser, systemUser, errors.Join(createErr, err))
	}
	logger.Info("created a system user for Parley to run as", "user", u.Name, "uid", u.UID)
	return u, nil
}

func byName(name string) (User, error) {
	found, err := user.Lookup(name)
	if err != nil {
		return User{}, err
	}
	uid, err := strconv.Atoi(found.Uid)
	gid, gidErr := strconv.Atoi(found.Gid)
	if err := errors.Join(err, gidErr); err != nil {
		return User{}, err
	}
	return User{uid, gid, name}, nil
}

// create makes a system user who cannot sign in, with the tool of the distribution.
func create(name string, uid int) error {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	const home, shell = "/nonexistent", "/usr/sbin/nologin"
	useradd := []string{"--system", "--user-group", "--no-create-home", "--home-dir", home, "--shell", shell}
	busybox := []string{"-S", "-D", "-H", "-h", home, "-s", "/sbin/nologin", "-G", name}
	if uid != 0 {
		useradd = append(useradd, "--uid", strconv.Itoa(uid))
		busybox = append(busybox, "-u", strconv.Itoa(uid))
	}
	run := func(program string, args ...string) error {
		out, err := exec.CommandContext(ctx, tool(program), append(args, name)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w %s", program, err, strings.TrimSpace(string(out)))
		}
		return nil
	}
	err := run("useradd", useradd...)
	if errors.Is(err, exec.ErrNotFound) {
		if err = run("addgroup", "-S"); err == nil {
			err = run("adduser", busybox...)
		}
	}
	return err
}

// tool finds a program of the system, also where PATH has no folders for root's.
func tool(name string) string {
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/bin", "/bin"} {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return name
}
