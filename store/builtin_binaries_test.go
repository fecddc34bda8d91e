package store

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

func TestInstalledPostgreSQL(t *testing.T) {
	t.Parallel()
	places := installed()
	if len(places) == 0 {
		t.Skip("no PostgreSQL is installed on this machine")
	}
	dir := filepath.Join(openTempDir(t), "data")
	d, err := openDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	d.packed = fstest.MapFS{}
	b, err := d.start(t.Context(), BuiltinConfig{Logger: testLogger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, b) })
	db := open(t, b.URL())
	var order string
	if err := db.QueryRow(t.Context(), `SELECT string_agg(x, '' ORDER BY x) FROM unnest('{ä,b,Z,a}'::text[]) x`).Scan(&order); err != nil {
		t.Fatal(err)
	}
	if order != "Zabä" {
		t.Errorf("text sorts as %q, not by code point", order)
	}
	db.Close()
	stop(t, b)

	// A build that brings another major version along uses the installed one for this data.
	b = start(t, dir)
	if b.srv.bin.major != majorOf(t, d) {
		t.Errorf("data of version %d runs on %s", majorOf(t, d), b.srv.bin.version)
	}
}

func majorOf(t *testing.T, d *dataDir) int {
	t.Helper()
	major, err := d.dataVersion()
	if err != nil {
		t.Fatal(err)
	}
	return major
}

func TestNoPostgreSQLAtAll(t *testing.T) {
	t.Parallel()
	d, err := openDataDir(filepath.Join(openTempDir(t), "data"))
	if err != nil {
		t.Fatal(err)
	}
	d.packed = fstest.MapFS{}
	d.installed = func() []string { return nil }
	_, err = d.start(t.Context(), BuiltinConfig{Logger: testLogger(t)})
	if err == nil || !strings.Contains(err.Error(), "PostgreSQL 15 or later is needed, and there is none at all. Install it") {
		t.Errorf("it says: %v", err)
	}
	if _, err := os.Stat(d.data()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a database folder was made: %v", err)
	}
}

func TestDamagedArchive(t *testing.T) {
	t.Parallel()
	d, err := openDataDir(filepath.Join(openTempDir(t), "data"))
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{}
	if err := fs.WalkDir(pgdist, "pgdist", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := fs.ReadFile(pgdist, path)
		files[path] = &fstest.MapFile{Data: b}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if len(files) < 2 {
		t.Skip("this build brings no PostgreSQL along")
	}
	for path, f := range files {
		if strings.HasSuffix(path, ".tar.zst") {
			files[path] = &fstest.MapFile{Data: f.Data[:len(f.Data)/2]}
		}
	}
	d.packed = files
	if _, err := d.unpack(slog.New(slog.DiscardHandler)); err == nil {
		t.Error("half an archive was unpacked")
	}
	if left, _ := os.ReadDir(d.path("postgres-bin")); len(left) != 0 {
		t.Errorf("it left %v", left)
	}
}
