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

	"github.com/jackc/pgx/v5"
)

// The whole, as an ordinary user: root's part is in all the other tests.
func TestOrdinaryUser(t *testing.T) {
	t.Parallel()
	needRoot(t)
	const uid = 65534 // nobody
	parent := openTempDir(t)
	if err := os.Chown(parent, uid, uid); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(parent, "data")
	for range 2 { // fresh and existing
		h := startHelper(t, dir, parent, uid)
		url, ok := strings.CutPrefix(h.said, "ready ")
		if !ok {
			t.Fatalf("helper says %s", h.said)
		}
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close(t.Context())
		if found, running, err := FindBuiltin(dir); err != nil || !running || found != url {
			t.Errorf("FindBuiltin as root: %q, running %v, err %v", found, running, err)
		}
		_ = h.stdin.Close()
		if err := h.Wait(); err != nil {
			t.Errorf("helper: %v", err)
		}
		// Root may use it in between, and leaves it to its owner.
		b := start(t, dir)
		if got := b.srv.dir.user.uid; got != uid {
			t.Errorf("root runs the server as %d, not as the owner", got)
		}
		stop(t, b)
	}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		info, statErr := os.Lstat(path)
		if statErr == nil && ownerOf(info) != uid {
			t.Errorf("%s belongs to %d", path, ownerOf(info))
		}
		return errors.Join(err, statErr)
	})
	if err != nil {
		t.Error(err)
	}

	// Another user's directory.
	if err := os.Chown(parent, 0, 0); err != nil {
		t.Fatal(err)
	}
	h := startHelper(t, dir, parent, 12345)
	if !strings.Contains(h.said, "belongs to nobody") {
		t.Errorf("to another user it says %s", h.said)
	}
}

func TestPermissionIsExplainedByTheOwnerOnlyWhereThatIsAnother(t *testing.T) {
	t.Parallel()
	dir := openTempDir(t)
	d := &dataDir{root: dir, user: serverUser{name: "somebody"}}
	if err := d.explain(fs.ErrPermission); !strings.Contains(err.Error(), "belongs to "+ownerName(dir)+", and Parley runs as somebody") {
		t.Errorf("another's directory: %v", err)
	}
	d.user.name = ownerName(dir)
	if err := d.explain(fs.ErrPermission); strings.Contains(err.Error(), "belongs to") {
		t.Errorf("one's own directory: %v", err)
	}
}

func TestRootInFoldersThatOthersCannotEnter(t *testing.T) {
	t.Parallel()
	needRoot(t)
	closed := t.TempDir() // its parent is root's alone
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	// The working directory does not matter.
	h := startHelper(t, filepath.Join(openTempDir(t), "data"), closed, 0)
	if !strings.HasPrefix(h.said, "ready ") {
		t.Errorf("in a closed working directory it says %s", h.said)
	}
	_ = h.stdin.Close()
	if err := h.Wait(); err != nil {
		t.Errorf("helper: %v", err)
	}
	// The data directory does.
	_, err := StartBuiltin(t.Context(), BuiltinConfig{DataDir: filepath.Join(closed, "data"), Logger: testLogger(t)})
	if err == nil || !strings.Contains(err.Error(), "cannot enter "+filepath.Dir(closed)+";") {
		t.Errorf("with the data in a closed folder it says: %v", err)
	}
}

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
