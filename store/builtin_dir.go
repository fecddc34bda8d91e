package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"parley/privilege"
)

// dataDir is Parley's data directory, as far as the built-in server is concerned:
//
//	lock            flocked by the Parley that uses it; holds its process id
//	postgres/       PostgreSQL's own data, made by initdb, never deleted from here
//	postgres.new-*/ the same while initdb is at it; worth nothing until it is renamed
//	postgres-bin/   the unpacked binaries, a folder for each build of them
//	postgres-run/   the socket
//	postgres.log    what the server prints, and postgres.log.1 before that
type dataDir struct {
	root      string
	packed    fs.FS           // where pgpack's archive is, if this build has one
	installed func() []string // folders to look for PostgreSQL in otherwise
}

func (d *dataDir) path(name string) string { return filepath.Join(d.root, name) }
func (d *dataDir) data() string            { return d.path("postgres") }

// openDataDir makes the directory if need be.
func openDataDir(root string) (*dataDir, error) {
	if root == "" {
		return nil, errors.New("no data directory given")
	}
	if os.Geteuid() == 0 {
		return nil, errors.New("PostgreSQL does not run as root, and neither does what starts it")
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("resolve data directory: %w", err)
	}
	if strings.ContainsAny(root, "\"'$`\\\n,") {
		return nil, fmt.Errorf("the data directory %q has a quote, a comma, a dollar sign, a backslash or a line break in its path, which PostgreSQL's tools do not take; choose another", root)
	}
	if _, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) {
		if err := makeDataDir(root); err != nil {
			return nil, explain(root, err)
		}
	}
	// PostgreSQL reports its paths resolved; ours must compare equal.
	resolved, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, explain(root, fmt.Errorf("resolve data directory: %w", err))
	}
	return &dataDir{resolved, pgdist, installed}, nil
}

// makeDataDir makes a directory that only its owner can enter, and the way to it.
func makeDataDir(root string) error {
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	if err := errors.Join(os.Mkdir(root, 0o700), os.Chmod(root, 0o700)); err != nil { // whatever the umask
		return fmt.Errorf("make data directory: %w", err)
	}
	return nil
}

// explain adds what is behind an error of starting the server, where that shows only
// from outside.
func explain(root string, err error) error {
	var disk syscall.Statfs_t
	full := errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		strings.Contains(err.Error(), "No space left on device") // in what PostgreSQL printed
	if !full && syscall.Statfs(root, &disk) == nil {
		full = disk.Bavail*uint64(disk.Bsize) < 1<<20
	}
	switch {
	case full:
		return fmt.Errorf("there is no room left on the disk that holds the data directory %s: %w", root, err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("the data directory %s is on a disk that can only be read: %w", root, err)
	case !errors.Is(err, fs.ErrPermission):
		return err
	}
	user := privilege.Current()
	if closed := closedFolder(root); closed != "" {
		return fmt.Errorf("Parley runs as %s, who cannot enter %s; choose another data directory (the usual one for root is %s), or let others enter that folder (chmod o+x): %w", user, closed, rootDataDir, err) //nolint:staticcheck // begins with a name
	}
	if owner := ownerOf(root); owner.UID != user.UID {
		return fmt.Errorf("the data directory %s belongs to %s, and Parley runs as %s; start it as %s, or give it a data directory of its own: %w", root, owner, user, ownerOrRoot(owner), err)
	}
	return err
}

// closedFolder is the outermost folder on the way to path that this process cannot enter,
// "" if there is none.
func closedFolder(path string) string {
	if parent := filepath.Dir(path); parent != path {
		if closed := closedFolder(parent); closed != "" {
			return closed
		}
	}
	if unix.Access(path, unix.X_OK) != nil && ownerOf(path).UID != os.Geteuid() {
		if info, err := os.Lstat(path); err == nil && info.IsDir() {
			return path
		}
	}
	return ""
}

// ownerOf is the owner of path, or of the nearest parent that can be looked at.
func ownerOf(path string) privilege.User {
	for ; ; path = filepath.Dir(path) {
		if info, err := os.Lstat(path); err == nil {
			return privilege.ByID(uidOf(info))
		}
	}
}

// ownerOrRoot names the users that can start Parley where the directory is the owner's.
func ownerOrRoot(owner privilege.User) string {
	if owner.UID == 0 {
		return "root"
	}
	return owner.String() + " or as root"
}

func uidOf(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }

// acquire locks the directory against a second Parley. The kernel drops the lock with
// the process, however it ends; the server does not inherit it.
func (d *dataDir) acquire() (*os.File, error) {
	// Who may open it may hold the lock, and so keep Parley from starting.
	f, err := os.OpenFile(d.path("lock"), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder := "another Parley"
		if b, _ := os.ReadFile(f.Name()); len(b) > 0 {
			holder += " (process " + strings.TrimSpace(string(b)) + ")"
		}
		_ = f.Close() // nothing was written
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s is using the data directory %s; stop it first, or give this one a data directory of its own", holder, d.root)
		}
		return nil, fmt.Errorf("lock data directory %s: %w", d.root, err)
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock data directory: %w", err), f.Close())
	}
	return f, nil
}

// prepare finds or makes everything the server needs, short of starting it.
func (d *dataDir) prepare(ctx context.Context, logger *slog.Logger, maxConnections int, users []string) (*server, error) {
	major, err := d.dataVersion()
	if err != nil {
		return nil, err
	}
	bin, err := d.findBinaries(ctx, major, logger)
	if err != nil {
		return nil, err
	}
	if major == 0 {
		logger.InfoContext(ctx, "making the built-in PostgreSQL database", "version", bin.version, "dir", d.data())
		if err := d.initialise(ctx, bin); err != nil {
			return nil, err
		}
	}
	if _, err := os.Lstat(filepath.Join(d.data(), "global", "pg_control")); errors.Is(err, fs.ErrNotExist) {
		return nil, unfitData(d.data(), "it has no global/pg_control, so it is no complete PostgreSQL data directory")
	}
	socketDir, err := d.makeSocketDir()
	if err == nil {
		err = d.writeAccess(users)
	}
	if err != nil {
		return nil, err
	}
	return &server{dir: d, bin: bin, socketDir: socketDir, maxConnections: maxConnections, logger: logger}, nil
}

// dataVersion is the major version of the data; 0 if there is none yet.
func (d *dataDir) dataVersion() (int, error) {
	data := d.data()
	info, err := os.Lstat(data)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // none yet
	}
	if err != nil {
		return 0, fmt.Errorf("look for the database: %w", err)
	}
	if !info.IsDir() {
		return 0, unfitData(data, "it is not a directory")
	}
	if user := privilege.Current(); uidOf(info) != user.UID {
		return 0, unfitData(data, fmt.Sprintf("it belongs to %s, but PostgreSQL is to run as %s (chown -R %s %s)", ownerOf(data), user, user.Name, data))
	}
	b, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		entries, err := os.ReadDir(data)
		if err == nil && len(entries) == 0 {
			return 0, nil // an empty folder holds no data; initdb's result replaces it
		}
		return 0, unfitData(data, "it has files in it but no PG_VERSION, so it is no complete PostgreSQL data directory")
	}
	if err != nil {
		return 0, fmt.Errorf("read the database's version: %w", err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || major == 0 {
		return 0, unfitData(data, fmt.Sprintf("its PG_VERSION holds %q", strings.TrimSpace(string(b))))
	}
	return major, nil
}

func unfitData(data, why string) error {
	return fmt.Errorf("the database in %s cannot be used: %s. Nothing in it was changed; put it right, or move it away to begin with an empty database", data, why)
}

// unfinishedPrefix begins the name of a database that initdb is at.
const unfinishedPrefix = "postgres.new-"

// initialise makes a new database cluster beside its place and moves it there when it is
// complete, so that an interrupted initdb leaves nothing that looks like data.
func (d *dataDir) initialise(ctx context.Context, bin binaries) error {
	left, _ := filepath.Glob(d.path(unfinishedPrefix + "*")) // the pattern is well-formed
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove an unfinished database: %w", err)
		}
	}
	// A new name each time: the initdb of a Parley that was killed may still be writing.
	staging, err := os.MkdirTemp(d.root, unfinishedPrefix+"*")
	if err != nil {
		return fmt.Errorf("make the database's directory: %w", err)
	}
	args := []string{
		"--pgdata", staging, "--username", roleName, "--encoding", "UTF8", "--data-checksums",
		// Until writeAccess has replaced what initdb writes.
		"--auth-local", "peer", "--auth-host", "reject",
		"--no-locale", "--no-instructions",
	}
	// Text must sort the same on every operating system and after every upgrade of it,
	// or indexes break. Before version 17 that leaves the order of bytes ("C", which for
	// UTF-8 is the order of code points, as in C.UTF-8), with the case of non-ASCII
	// letters from the operating system where it has that locale.
	attempts := [][]string{{"--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"}}
	if bin.major < 17 {
		attempts = [][]string{{"--lc-ctype", "C.UTF-8"}, {}}
	}
	var out string
	for _, locale := range attempts {
		if out, err = bin.run(ctx, d.root, "initdb", append(args, locale...)...); err == nil {
			break
		}
	}
	if err != nil {
		_ = os.RemoveAll(staging) // so that a full disk has its room back
		return fmt.Errorf("make the database with initdb: %w\n%s", err, out)
	}
	if err := os.Rename(staging, d.data()); err != nil {
		return fmt.Errorf("put the new database in its place: %w", err)
	}
	return syncDir(d.root)
}

// syncDir makes a rename in dir survive a power cut.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}
