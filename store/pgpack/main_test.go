package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// npmPackage makes the folders of an installed npm package.
func npmPackage(t *testing.T, files map[string]string) (modules string) {
	t.Helper()
	modules = t.TempDir()
	for name, content := range files {
		path := filepath.Join(modules, "@embedded-postgres", "linux-x64", "native", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return modules
}

var files = map[string]string{
	"bin/postgres": "the server", "bin/initdb": "initdb", "bin/pg_ctl": "not needed",
	"lib/libpq.so.5.18": "a library", "lib/libpq.a": "not needed", "lib/pkgconfig/libpq.pc": "not needed",
	"lib/postgresql/plpgsql.so": "a module", "lib/postgresql/pgxs/x.mk": "not needed",
	"share/postgresql/postgres.bki": "the catalogue",
	"pg-symlinks.json":              `[{"source":"native/lib/libpq.so.5.18","target":"native/lib/libpq.so.5"}]`,
}

func TestPack(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	stale := filepath.Join(out, "darwin-arm64.tar.zst")
	if err := os.WriteFile(stale, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(npmPackage(t, files), out, "linux", "amd64"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) {
		t.Error("another platform's archive is still there")
	}
	archive, err := os.ReadFile(filepath.Join(out, "linux-amd64.tar.zst"))
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(plain)
	if digest, err := os.ReadFile(filepath.Join(out, "linux-amd64.sha256")); err != nil || strings.TrimSpace(string(digest)) != hex.EncodeToString(sum[:]) {
		t.Errorf("the digest is %s, err %v", digest, err)
	}
	var got []string
	for r := tar.NewReader(bytes.NewReader(plain)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(time.Unix(0, 0)) || h.Uid != 0 || h.Uname != "" {
			t.Errorf("%s tells of the machine: %v", h.Name, h)
		}
		got = append(got, h.FileInfo().Mode().String()+" "+h.Name+" "+h.Linkname+string(content))
	}
	want := []string{
		"drwxr-xr-x bin ",
		"-rwxr-xr-x bin/initdb initdb",
		"-rwxr-xr-x bin/postgres the server",
		"drwxr-xr-x lib ",
		"Lrwxrwxrwx lib/libpq.so.5 libpq.so.5.18",
		"-rw-r--r-- lib/libpq.so.5.18 a library",
		"drwxr-xr-x lib/postgresql ",
		"-rw-r--r-- lib/postgresql/plpgsql.so a module",
		"drwxr-xr-x share ",
		"drwxr-xr-x share/postgresql ",
		"-rw-r--r-- share/postgresql/postgres.bki the catalogue",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("packed\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	// The same again, from a package whose install script has made the links.
	modules := npmPackage(t, files)
	if err := os.Symlink("libpq.so.5.18", filepath.Join(modules, "@embedded-postgres", "linux-x64", "native", "lib", "libpq.so.5")); err != nil {
		t.Fatal(err)
	}
	if err := run(modules, out, "linux", "amd64"); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(filepath.Join(out, "linux-amd64.tar.zst")); err != nil || !bytes.Equal(again, archive) {
		t.Errorf("the archive differs the second time, err %v", err)
	}
}

func TestPackWithoutThePackage(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	stale := filepath.Join(out, "linux-amd64.tar.zst")
	if err := os.WriteFile(stale, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(t.TempDir(), out, "linux", "amd64"); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(out); err != nil || len(left) != 0 {
		t.Errorf("it left %v, err %v", left, err)
	}
}

func TestPackRefusesLinksThatLeaveTheFolder(t *testing.T) {
	t.Parallel()
	bad := map[string]string{"bin/postgres": "x", "pg-symlinks.json": `[{"source":"native/../../etc/passwd","target":"native/lib/x"}]`}
	if err := run(npmPackage(t, bad), t.TempDir(), "linux", "amd64"); err == nil {
		t.Error("it was packed")
	}
}
