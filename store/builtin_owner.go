package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"parley/privilege"
)

// ClaimDataDir decides, for root, which ordinary user Parley has to become for a data
// directory, and makes sure that the directory is that user's:
//
//   - the owner of the directory, or of the folder it is to be made in;
//   - where that is root, the owner of the database in it, or else the user parley, which
//     is created where it does not exist. The directory is made, or given to that user.
//
// The user is never nobody or postgres: data that an earlier version left to them is given
// to parley. Without makeDir nothing is made, and the directory may be missing.
//
// Invariant: root changes only what root alone controls, or by handles that no link and no
// race leads elsewhere; all other work on the directory is the new user's.
func ClaimDataDir(ctx context.Context, path string, makeDir bool, logger *slog.Logger) (privilege.User, error) {
	if path == "" {
		return privilege.User{}, errors.New("no data directory given")
	}
	place, err := privilege.Inspect(path)
	if err != nil {
		return privilege.User{}, fmt.Errorf("use the data directory %s as root: %w", path, err)
	}
	if len(place.Missing) > 0 {
		return claimMissing(place, makeDir, logger)
	}
	root, err := os.OpenRoot(place.Path)
	if err != nil {
		return privilege.User{}, fmt.Errorf("open the data directory: %w", err)
	}
	defer func() { _ = root.Close() }() // only a handle
	return claimExisting(ctx, root, place, logger)
}

// claimMissing finds the user for a directory that does not exist yet, and makes it where
// root controls the place. In a user's place that user makes it.
func claimMissing(place privilege.Place, makeDir bool, logger *slog.Logger) (privilege.User, error) {
	if place.Owner != 0 {
		user, err := privilege.Named(place.Owner, logger)
		if err == nil && user.Shared() {
			err = fmt.Errorf("Parley does not run as %s, who owns %s; choose another data directory", user, place.Path) //nolint:staticcheck // begins with a name
		}
		return user, err
	}
	user, err := privilege.System(logger)
	if err != nil || !makeDir {
		return user, err
	}
	dir := filepath.Join(append([]string{place.Path}, place.Missing...)...)
	if err := makeDataDir(dir); err != nil {
		return user, explain(dir, err)
	}
	// By the path: no other user can replace what root has just made there.
	if err := os.Lchown(dir, user.UID, user.GID); err != nil {
		return user, fmt.Errorf("give the data directory to %s: %w", user, err)
	}
	return user, nil
}

func claimExisting(ctx context.Context, root *os.Root, place privilege.Place, logger *slog.Logger) (privilege.User, error) {
	info, err := root.Stat(".")
	if err != nil {
		return privilege.User{}, fmt.Errorf("look at the data directory: %w", err)
	}
	owner := uidOf(info)
	switch {
	case owner != 0 && owner != place.Owner:
		return privilege.User{}, fmt.Errorf("the data directory %s was replaced just now", place.Path)
	case owner != 0 && !privilege.ByID(owner).Shared():
		return privilege.Named(owner, logger)
	case owner != 0:
		// Who can replace the whole directory would still have it after a change of its owner.
		if above, err := privilege.Inspect(filepath.Dir(place.Path)); err != nil || above.Owner != 0 {
			return privilege.User{}, errors.Join(fmt.Errorf("Parley does not run as %s, who owns %s; choose another data directory", privilege.ByID(owner), filepath.Dir(place.Path)), err) //nolint:staticcheck // begins with a name
		}
	case place.Owner != 0:
		return privilege.User{}, fmt.Errorf("the data directory %s belongs to root, and %s can replace it; give it to that user (chown -R %d %s), or choose another", place.Path, privilege.ByID(place.Owner), place.Owner, place.Path)
	}
	database, err := root.Lstat("postgres")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return privilege.User{}, fmt.Errorf("look for the database: %w", err)
	}
	if err := ours(root, place.Path, owner, database != nil); err != nil {
		return privilege.User{}, err
	}
	var user privilege.User
	if database != nil && uidOf(database) != 0 && !privilege.ByID(uidOf(database)).Shared() {
		user, err = privilege.Named(uidOf(database), logger)
	} else {
		user, err = privilege.System(logger)
	}
	if err != nil {
		return user, err
	}
	t := takeover{root: root, path: place.Path, to: user}
	if err := t.run(ctx, logger); err != nil {
		return user, fmt.Errorf("give the data directory %s to %s: %w", place.Path, user, err)
	}
	return user, nil
}

// ours makes sure that a directory of root's, or of a user shared with other programs, is
// Parley's before its owner is changed: what an earlier version made, or root's and empty.
func ours(root *os.Root, path string, owner int, hasDatabase bool) error {
	if lock, err := root.Lstat("lock"); err == nil && lock.Mode().IsRegular() && hasDatabase {
		return nil
	}
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return fmt.Errorf("look at the data directory: %w", err)
	}
	// An interrupted first start leaves some of these.
	made := []string{"lock", "postgres.log", "postgres-bin", "postgres-run", "lost+found"}
	others := slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return !slices.Contains(made, e.Name()) && !strings.HasPrefix(e.Name(), unfinishedPrefix)
	})
	if !others && owner == 0 {
		return nil
	}
	return fmt.Errorf("%s belongs to %s, as whom Parley does not run, and is not a data directory of Parley's; choose another, or give it to a user of its own (chown parley %s)", path, privilege.ByID(owner), path)
}

// takeover gives a data directory that an earlier version made to the user that Parley
// becomes: that version ran PostgreSQL as nobody or postgres, and the rest as root.
//
// Files go by their handles, after a look at them: a link, or a file with a second name,
// may be planted by another program of that user.
type takeover struct {
	root *os.Root
	path string
	to   privilege.User
	dry  bool // only look
}

func (t takeover) run(ctx context.Context, logger *slog.Logger) error {
	lock, err := t.lock()
	if err != nil {
		return err
	}
	if lock != nil {
		defer func() { _ = lock.Close() }() // unlocks; nothing was written
	}
	if err := t.stopServer(ctx, logger); err != nil {
		return err
	}
	files := []string{"lock", "postgres.log", "postgres.log.1", "postgres"}
	for _, t.dry = range []bool{true, false} {
		for _, name := range files {
			if err := t.entry(t.root, name, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	// These are made anew at every start, or unpacked again.
	gone := []string{"postgres-run", "postgres-bin"}
	if unfinished, err := fs.Glob(t.root.FS(), unfinishedPrefix+"*"); err == nil {
		gone = append(gone, unfinished...)
	}
	for _, name := range gone {
		if err := t.root.RemoveAll(name); err != nil {
			return err
		}
	}
	// Last: a takeover that was interrupted begins again.
	self, err := t.root.Open(".")
	if err != nil {
		return err
	}
	err = errors.Join(self.Chown(t.to.UID, t.to.GID), self.Chmod(0o700), self.Close())
	if err == nil {
		logger.InfoContext(ctx, "the data directory belongs to the user that Parley runs as now", "dir", t.path, "user", t.to.Name)
	}
	return err
}

// lock keeps a Parley of an earlier version from starting meanwhile, and finds one that runs.
func (t takeover) lock() (*os.File, error) {
	f, err := t.open(t.root, "lock")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // there is nothing to lock
	}
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // nothing was written
		return nil, fmt.Errorf("another Parley, of an earlier version, is using it; stop that first: %w", err)
	}
	return f, nil
}

// stopServer stops a server of an earlier version which outlived its Parley: only root can.
func (t takeover) stopServer(ctx context.Context, logger *slog.Logger) error {
	data := filepath.Join(t.path, "postgres")
	f, err := t.open(t.root, "postgres/postmaster.pid")
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	pid := readNumber(f)
	_ = f.Close() // nothing was written
	if pid == 0 || !isPostmaster(pid, data) {
		return nil
	}
	logger.InfoContext(ctx, "stopping a PostgreSQL server that an earlier version left running", "pid", pid)
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	return watchProcess(pid, data).shutdown(ctx)
}

// open opens a regular file or a directory that is the only name of it.
func (t takeover) open(dir *os.Root, name string) (*os.File, error) {
	info, err := dir.Lstat(name)
	if err != nil {
		return nil, err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, _ := dir.Readlink(name) // only for the operator
		return nil, fmt.Errorf("%s in it is a link to %s; give both to %s yourself (chown -R %s: %s %s)", name, target, t.to, t.to.Name, t.path, target)
	}
	if !info.Mode().IsRegular() && !info.IsDir() {
		return nil, fmt.Errorf("%s in it is no file; remove it", name)
	}
	f, err := dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	now, err := f.Stat()
	if err == nil && !os.SameFile(info, now) {
		err = fmt.Errorf("%s in it was replaced just now", name)
	}
	if err == nil && now.Mode().IsRegular() && now.Sys().(*syscall.Stat_t).Nlink != 1 {
		err = fmt.Errorf("%s in it has a second name (a hard link); remove one of them", name)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// entry gives a file, or a directory and what is in it, to the user. A directory goes
// first: from then on its former owner cannot change what is in it.
func (t takeover) entry(dir *os.Root, name, shown string) error {
	f, err := t.open(dir, name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // nothing was written
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := t.give(f, info, shown); err != nil || !info.IsDir() {
		return err
	}
	sub, err := dir.OpenRoot(name)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Close() }() // only a handle
	if now, err := sub.Stat("."); err != nil || !os.SameFile(info, now) {
		return errors.Join(fmt.Errorf("%s in it was replaced just now", shown), err)
	}
	names, err := f.Readdirnames(-1)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, n := range names {
		if err := t.entry(sub, n, shown+"/"+n); err != nil {
			return err
		}
	}
	return nil
}

// give changes the owner of what belongs to a shared user. What is root's stays root's but
// for what Parley made itself as root, at the top of the directory.
func (t takeover) give(f *os.File, info fs.FileInfo, shown string) error {
	switch owner := uidOf(info); {
	case owner == t.to.UID:
		return nil
	case owner == 0 && strings.Contains(shown, "/") && info.Mode().IsRegular():
		return nil
	case owner == 0 && shown != "postgres" && !info.IsDir(), privilege.ByID(owner).Shared():
		if t.dry {
			return nil
		}
		return f.Chown(t.to.UID, t.to.GID)
	default:
		return fmt.Errorf("%s in it belongs to %s; give it to %s yourself (chown -R %s: %s)", shown, privilege.ByID(owner), t.to, t.to.Name, t.path)
	}
}
