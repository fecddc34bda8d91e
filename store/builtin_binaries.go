package store

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// pgdist holds PostgreSQL for the platform the binary is built for: <os>-<arch>.tar.zst
// and the digest of the tar in it, written by pgpack. Both are missing in a build
// without.
//
//go:embed all:pgdist
var pgdist embed.FS

// binaries is a PostgreSQL installation.
type binaries struct {
	dir     string // holds postgres and initdb
	libDir  string // its shared libraries, if they are not where the system finds them
	version string // as in 18.4
	major   int
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) ((\d+)\S*)`)

// findBinaries gives the PostgreSQL to run: the packed one, or the newest installed one
// that will do. Data that is there already needs its own major version.
func (d *dataDir) findBinaries(ctx context.Context, major int, logger *slog.Logger) (binaries, error) {
	var found []string
	var problems []error
	consider := func(bin binaries) (binaries, bool) {
		bin, err := d.identify(ctx, bin)
		if err != nil {
			problems = append(problems, err)
			return binaries{}, false
		}
		found = append(found, fmt.Sprintf("%s in %s", bin.version, bin.dir))
		return bin, bin.major == major || major == 0 && bin.major >= minVersion/10000
	}
	packed, err := d.unpack(logger)
	switch {
	case err == nil:
		if bin, ok := consider(packed); ok {
			return bin, nil
		}
		if ctx.Err() != nil {
			return binaries{}, ctx.Err()
		}
		logger.WarnContext(ctx, "the PostgreSQL that this build brings along cannot be used; looking for an installed one", "err", errors.Join(problems...))
	case errors.Is(err, errNotPacked):
	default:
		return binaries{}, err
	}
	for _, dir := range d.installed() {
		if bin, ok := consider(binaries{dir: dir}); ok {
			return bin, nil
		}
	}
	what := "PostgreSQL 15 or later"
	if major != 0 {
		what = fmt.Sprintf("PostgreSQL %d, which made the database in %s,", major, d.data())
	}
	have := "none at all"
	if len(found) > 0 {
		have = "only " + strings.Join(found, ", ")
	}
	return binaries{}, errors.Join(append([]error{
		fmt.Errorf("%s is needed, and there is %s. Install it, use a build of Parley that brings it along, or set DATABASE_URL to a database server of your own", what, have),
	}, problems...)...)
}

// identify runs the server's binary to learn its version, which also shows that it runs
// here at all.
func (d *dataDir) identify(ctx context.Context, bin binaries) (binaries, error) {
	if _, err := os.Stat(filepath.Join(bin.dir, "initdb")); err != nil {
		return bin, fmt.Errorf("use PostgreSQL in %s: %w", bin.dir, err)
	}
	out, err := bin.run(ctx, d.root, "postgres", "--version")
	if err != nil {
		return bin, fmt.Errorf("use PostgreSQL in %s: %w %s", bin.dir, err, out)
	}
	m := versionPattern.FindStringSubmatch(out)
	if m == nil {
		return bin, fmt.Errorf("use PostgreSQL in %s: unknown version %q", bin.dir, out)
	}
	bin.version = m[1]
	bin.major, err = strconv.Atoi(m[2])
	return bin, err
}

// installed lists the folders where a PostgreSQL may be: the one on the PATH, then the
// usual places of distributions, newest version first.
func installed() []string {
	var dirs []string
	add := func(dir string) {
		if real, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres")); err == nil {
			if dir = filepath.Dir(real); !slices.Contains(dirs, dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		add(filepath.Dir(path))
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",                      // Debian, Ubuntu
		"/usr/pgsql-*/bin",                               // PGDG on Red Hat
		"/usr/libexec/postgresql*",                       // Alpine
		"/usr/bin",                                       // Fedora, Arch
		"/opt/homebrew/opt/postgresql@*/bin",             // Homebrew on Apple silicon
		"/usr/local/opt/postgresql@*/bin",                // Homebrew on Intel
		"/Applications/Postgres.app/Contents/Versions/*", // has bin below
		"/usr/local/pgsql/bin",                           // built from source
	} {
		matches, _ := filepath.Glob(pattern) // the patterns are well-formed
		slices.SortFunc(matches, func(a, b string) int { return lastNumber(b) - lastNumber(a) })
		for _, m := range matches {
			add(m)
			add(filepath.Join(m, "bin"))
		}
	}
	return dirs
}

var numberPattern = regexp.MustCompile(`\d+`)

func lastNumber(s string) int {
	all := numberPattern.FindAllString(s, -1)
	if all == nil {
		return 0
	}
	n, _ := strconv.Atoi(all[len(all)-1]) // digits
	return n
}

var errNotPacked = errors.New("this build brings no PostgreSQL along")

// unpack gives the packed PostgreSQL, unpacked once into a folder named by its digest:
// beside its place first, so that a folder of that name is complete.
func (d *dataDir) unpack(logger *slog.Logger) (binaries, error) {
	platform := runtime.GOOS + "-" + runtime.GOARCH
	digest, err := fs.ReadFile(d.packed, "pgdist/"+platform+".sha256")
	if err != nil {
		return binaries{}, errNotPacked
	}
	want := strings.TrimSpace(string(digest))
	parent := d.path("postgres-bin")
	target := filepath.Join(parent, want[:16])
	bin := binaries{dir: filepath.Join(target, "bin"), libDir: filepath.Join(target, "lib")}
	if info, err := os.Lstat(parent); err == nil && !info.IsDir() {
		return binaries{}, fmt.Errorf("unpack PostgreSQL: %s is not a directory", parent)
	}
	if _, err := os.Stat(target); err == nil {
		return bin, nil
	}
	logger.Info("unpacking the built-in PostgreSQL", "dir", target)
	if err := os.Mkdir(parent, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return binaries{}, fmt.Errorf("unpack PostgreSQL: %w", err)
	}
	if err := os.Chmod(parent, 0o755); err != nil { // whatever the umask was
		return binaries{}, fmt.Errorf("unpack PostgreSQL: %w", err)
	}
	staging := filepath.Join(parent, "unpacking")
	if err := os.RemoveAll(staging); err != nil {
		return binaries{}, fmt.Errorf("unpack PostgreSQL: %w", err)
	}
	archive, err := d.packed.Open("pgdist/" + platform + ".tar.zst")
	if err != nil {
		return binaries{}, fmt.Errorf("unpack PostgreSQL: %w", err)
	}
	defer func() { _ = archive.Close() }() // in memory
	got, err := extract(archive, staging)
	if err == nil && got != want {
		err = errors.New("the packed archive is damaged")
	}
	if err == nil {
		err = syncTree(staging)
	}
	if err == nil {
		err = os.Rename(staging, target)
	}
	if err == nil {
		err = syncDir(parent)
	}
	if err != nil {
		_ = os.RemoveAll(staging) // so that a full disk has its room back
		return binaries{}, fmt.Errorf("unpack PostgreSQL: %w", err)
	}
	return bin, nil
}

// extract writes a zstd tar of folders, files and relative links below dir, readable by
// everybody, and gives the SHA-256 of the tar.
func extract(r io.Reader, dir string) (digest string, err error) {
	z, err := zstd.NewReader(r)
	if err != nil {
		return "", fmt.Errorf("read archive: %w", err)
	}
	defer z.Close()
	sum := sha256.New()
	in := io.TeeReader(z, sum)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	if err := root.Chmod(".", 0o755); err != nil {
		return "", err
	}
	archive := tar.NewReader(in)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", fmt.Errorf("read archive: %w", err)
		}
		if err := extractEntry(root, h, archive); err != nil {
			return "", err
		}
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return "", fmt.Errorf("read archive: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func extractEntry(root *os.Root, h *tar.Header, content io.Reader) error {
	mode := h.FileInfo().Mode().Perm()
	switch h.Typeflag {
	case tar.TypeDir:
		if err := root.Mkdir(h.Name, mode); err != nil {
			return err
		}
	case tar.TypeSymlink:
		return root.Symlink(h.Linkname, h.Name)
	case tar.TypeReg:
		f, err := root.OpenFile(h.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, content)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	default:
		return fmt.Errorf("archive has an entry of unknown type: %s", h.Name)
	}
	return root.Chmod(h.Name, mode) // whatever the umask
}

// unpackedName is what unpack names folders. Whatever else lies there is not ours.
var unpackedName = regexp.MustCompile(`^([0-9a-f]{16}|unpacking)$`)

// removeOldBinaries removes what earlier builds unpacked. Nothing runs from there: this
// server is the only one of the data directory, and it runs from bin.
func (d *dataDir) removeOldBinaries(bin binaries, logger *slog.Logger) {
	if bin.libDir == "" {
		return // an installed one runs; what is unpacked may do again when that is gone
	}
	root, err := os.OpenRoot(d.root) // which follows no link out of the data directory
	if err != nil {
		return // the next start tries again
	}
	defer func() { _ = root.Close() }() // only a handle
	const parent = "postgres-bin"
	entries, err := fs.ReadDir(root.FS(), parent)
	if err != nil {
		return
	}
	for _, e := range entries {
		name := filepath.Join(parent, e.Name())
		if !unpackedName.MatchString(e.Name()) || strings.HasPrefix(bin.dir, d.path(name)+string(filepath.Separator)) {
			continue
		}
		if err := root.RemoveAll(name); err != nil {
			logger.Warn("cannot remove an old unpacked PostgreSQL", "dir", d.path(name), "err", err)
		}
	}
}
