package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// dataDir is Parley's data directory, as far as the built-in server is concerned:
//
//	lock            flocked by the Parley that uses it; holds its process id
//	postgres/       PostgreSQL's own data, made by initdb, never deleted from here
//	postgres.new-*/ the same while initdb is at it; worth nothing until it is renamed
//	postgres-bin/   the unpacked binaries, a folder for each build of them
//	postgres-run/   the socket, unless this path is too long for one
//	postgres.log    what the server prints, and postgres.log.1 before that
type dataDir struct {
	root      string
	user      serverUser
	packed    fs.FS           // where pgpack's archive is, if this build has one
	installed func() []string // folders to look for PostgreSQL in otherwise
}

func (d *dataDir) path(name string) string { return filepath.Join(d.root, name) }
func (d *dataDir) data() string            { return d.path("postgres") }

// openDataDir makes the directory if need be and finds the user to run the server as.
func openDataDir(root string) (*dataDir, error) {
	if root == "" {
		return nil, errors.New("no data directory given")
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("resolve data directory: %w", err)
	}
	if strings.ContainsAny(root, "\"'$`\\\n") {
		return nil, fmt.Errorf("the data directory %q has a quote, a dollar sign, a backslash or a line break in its path, which PostgreSQL's tools do not take; choose another", root)
	}
	mode := fs.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o711 // the server's user passes through; what is inside is private by itself
	}
	if _, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
			return nil, fmt.Errorf("make data directory: %w", err)
		}
		if err := errors.Join(os.Mkdir(root, mode), os.Chmod(root, mode)); err != nil { // whatever the umask
			return nil, fmt.Errorf("make data directory: %w", err)
		}
	}
	// PostgreSQL reports its paths resolved; ours must compare equal.
	if root, err = filepath.EvalSymlinks(root); err != nil {
		return nil, fmt.Errorf("resolve data directory: %w", err)
	}
	user, err := findServerUser(root)
	if err != nil {
		return nil, err
	}
	return &dataDir{root, user, pgdist, installed}, nil
}

// explain adds what is behind an error of starting the server, where that shows only
// from outside.
func (d *dataDir) explain(err error) error {
	var disk syscall.Statfs_t
	full := errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		strings.Contains(err.Error(), "No space left on device") // in what PostgreSQL printed
	if !full && syscall.Statfs(d.root, &disk) == nil {
		full = disk.Bavail*uint64(disk.Bsize) < 1<<20
	}
	switch {
	case full:
		return fmt.Errorf("there is no room left on the disk that holds the data directory %s: %w", d.root, err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("the data directory %s is on a disk that can only be read: %w", d.root, err)
	case errors.Is(err, syscall.EPERM) && d.user.switched:
		return fmt.Errorf("PostgreSQL does not run as root, and this root may not start it as %s (a container without that right?); run Parley as an ordinary user: %w", d.user.name, err)
	case errors.Is(err, fs.ErrPermission) && !d.user.switched && ownerName(d.root) != d.user.name:
		return fmt.Errorf("the data directory %s belongs to %s, and Parley runs as %s; run it as the owner, or give it a data directory of its own: %w", d.root, ownerName(d.root), d.user.name, err)
	}
	return err
}

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
	err = errors.Join(d.user.own(f.Name()), f.Truncate(0))
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock data directory: %w", err), f.Close())
	}
	return f, nil
}

// prepare finds or makes everything the server needs, short of starting it.
func (d *dataDir) prepare(ctx context.Context, logger *slog.Logger, maxConnections int) (*server, error) {
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
	socketDir, err := d.socketDir()
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
	if owner := ownerOf(info); owner != d.user.uid {
		return 0, unfitData(data, fmt.Sprintf("it belongs to %s, but PostgreSQL is to run as %s", ownerName(data), d.user.name))
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

// initialise makes a new database cluster beside its place and moves it there when it is
// complete, so that an interrupted initdb leaves nothing that looks like data.
func (d *dataDir) initialise(ctx context.Context, bin binaries) error {
	const unfinished = "postgres.new-*"
	left, _ := filepath.Glob(filepath.Join(d.root, unfinished)) // the pattern is well-formed
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove an unfinished database: %w", err)
		}
	}
	// A new name each time: the initdb of a Parley that was killed may still be writing.
	staging, err := os.MkdirTemp(d.root, unfinished)
	if err == nil {
		err = d.user.own(staging)
	}
	if err != nil {
		return fmt.Errorf("make the database's directory: %w", err)
	}
	args := []string{
		"--pgdata", staging, "--username", roleName, "--encoding", "UTF8", "--data-checksums",
		// Nobody but the server's user and root can enter the socket's folder.
		"--auth-local", "trust", "--auth-host", "reject",
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
		if out, err = d.user.run(ctx, bin, d.root, "initdb", append(args, locale...)...); err == nil {
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

// maxSocketPath is what fits a socket address on every Unix, less the terminating zero.
const maxSocketPath = 103

// socketDir makes the private directory that holds the server's socket.
func (d *dataDir) socketDir() (string, error) {
	dir := d.path("postgres-run")
	if len(dir)+len("/.s.PGSQL.5432") > maxSocketPath {
		sum := sha256.Sum256([]byte(d.root))
		dir = fmt.Sprintf("/tmp/parley-%d-%s", d.user.uid, hex.EncodeToString(sum[:8]))
	}
	err := d.user.mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		// Under /tmp anybody could have made it.
		info, err := os.Lstat(dir)
		if err != nil {
			return "", fmt.Errorf("make the socket's directory: %w", err)
		}
		if !info.IsDir() || ownerOf(info) != d.user.uid || info.Mode().Perm() != 0o700 {
			return "", fmt.Errorf("%s is where the database's socket goes, and must be a directory that belongs to %s alone (mode 0700); remove it", dir, d.user.name)
		}
		return dir, nil
	}
	if err != nil {
		return "", fmt.Errorf("make the socket's directory: %w", err)
	}
	return dir, nil
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
