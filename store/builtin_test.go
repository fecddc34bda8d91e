package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestBuiltinKeepsItsData(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dir := filepath.Join(openTempDir(t), "data")
	if _, running, err := FindBuiltin(dir); err != nil || running {
		t.Fatalf("FindBuiltin before the first start: running %v, err %v", running, err)
	}
	b := start(t, dir)
	db := open(t, b.URL())

	for name, want := range map[string]string{
		"listen_addresses": "", "data_checksums": "on", "fsync": "on", "full_page_writes": "on",
		"synchronous_commit": "on", "jit": "off", "server_encoding": "UTF8",
	} {
		if got := setting(t, db, name); got != want {
			t.Errorf("%s is %q, not %q", name, got, want)
		}
	}
	var order string
	if err := db.QueryRow(ctx, `SELECT string_agg(x, '' ORDER BY x) || lower('ÄB') FROM unnest('{ä,b,Z,a}'::text[]) x`).Scan(&order); err != nil {
		t.Fatal(err)
	}
	if order != "Zabääb" {
		t.Errorf("text sorts and folds as %q, not by code point and with all letters", order)
	}
	pf, err := readPIDFile(filepath.Join(dir, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(fmt.Sprintf("/proc/%d", pf.pid), &st); err == nil && st.Uid == 0 {
		t.Error("the server runs as root")
	}
	for _, private := range []string{"postgres", "postgres-run"} {
		if info, err := os.Stat(filepath.Join(dir, private)); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: mode %v, err %v; it must be closed to others", private, info.Mode(), err)
		}
	}

	if info, err := os.Stat(filepath.Join(dir, "lock")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("lock: mode %v, err %v; others could hold it", info.Mode(), err)
	}
	if _, err := db.Exec(ctx, `CREATE TABLE kept AS SELECT 'still here' AS what`); err != nil {
		t.Fatal(err)
	}
	if url, running, err := FindBuiltin(dir); err != nil || !running || url != b.URL() {
		t.Errorf("FindBuiltin beside it: %q, running %v, err %v", url, running, err)
	}
	_, err = StartBuiltin(ctx, BuiltinConfig{DataDir: dir, Logger: testLogger(t)})
	if err == nil || !strings.Contains(err.Error(), "another Parley (process "+strconv.Itoa(os.Getpid())+") is using the data directory") {
		t.Errorf("a second start says: %v", err)
	}

	db.Close()
	stop(t, b)
	if _, running, err := FindBuiltin(dir); err != nil || running {
		t.Errorf("FindBuiltin after the stop: running %v, err %v", running, err)
	}
	// What an interrupted first start or an older build may have left.
	for _, junk := range []string{"postgres.new-1/base", "postgres-bin/0123456789abcdef/bin"} {
		if err := os.MkdirAll(filepath.Join(dir, junk), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	again := start(t, dir)
	if again.URL() != b.URL() {
		t.Errorf("the URL has changed from %s to %s", b.URL(), again.URL())
	}
	db = open(t, again.URL())
	var what string
	if err := db.QueryRow(ctx, `SELECT what FROM kept`).Scan(&what); err != nil || what != "still here" {
		t.Errorf("after a restart: %q, err %v", what, err)
	}
	if again.srv.bin.libDir != "" {
		if _, err := os.Stat(filepath.Join(dir, "postgres-bin/0123456789abcdef")); !errors.Is(err, os.ErrNotExist) {
			t.Error("old binaries are still there")
		}
	}
}

func setting(t *testing.T, db *DB, name string) string {
	t.Helper()
	var v string
	if err := db.QueryRow(t.Context(), `SELECT current_setting($1)`, name).Scan(&v); err != nil {
		t.Fatalf("read setting %s: %v", name, err)
	}
	return v
}

func TestServerThatDiesIsStartedAgain(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dir := filepath.Join(openTempDir(t), "data")
	b := start(t, dir)
	db := open(t, b.URL())
	if _, err := db.Exec(ctx, `CREATE TABLE kept AS SELECT 1 AS n`); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		killServer(t, dir)
		killed := time.Now()
		eventually(t, 20*time.Second, "the same pool works on the restarted server", func() bool {
			var n int
			return db.QueryRow(ctx, `SELECT n FROM kept`).Scan(&n) == nil && n == 1
		})
		t.Logf("back after %v", time.Since(killed).Round(time.Millisecond))
	}
}

// killServer kills the server's main process and waits until there is another.
func killServer(t *testing.T, dataDir string) {
	t.Helper()
	data := filepath.Join(dataDir, "postgres")
	before, err := readPIDFile(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(before.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "there is a new server", func() bool {
		now, err := readPIDFile(data)
		return err == nil && now.pid != before.pid
	})
}

func TestOrphanIsTakenOver(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openTempDir(t), "data")
	orphan := func() (pid int) {
		h := startHelper(t, dir, nil)
		if !strings.HasPrefix(h.said, "ready ") {
			t.Fatalf("helper says %s", h.said)
		}
		pf, err := readPIDFile(filepath.Join(dir, "postgres"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = StartBuiltin(t.Context(), BuiltinConfig{DataDir: dir, Logger: testLogger(t)})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("another Parley (process %d)", h.Process.Pid)) {
			t.Fatalf("a second start beside the helper says: %v", err)
		}
		if err := h.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = h.Wait() // "signal: killed"
		if !isPostmaster(pf.pid, filepath.Join(dir, "postgres")) {
			t.Fatal("the server died with the helper")
		}
		return pf.pid
	}

	pid := orphan()
	b := start(t, dir)
	if pf, err := readPIDFile(filepath.Join(dir, "postgres")); err != nil || pf.pid != pid {
		t.Errorf("the server is process %d now, not %d; err %v", pf.pid, pid, err)
	}
	db := open(t, b.URL())
	if err := db.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	db.Close()
	stop(t, b)
	if isPostmaster(pid, b.srv.dir.data()) {
		t.Error("the orphan survived Stop")
	}

	// One with other settings is replaced.
	pid = orphan()
	b, err := StartBuiltin(t.Context(), BuiltinConfig{DataDir: dir, Logger: testLogger(t), MaxConnections: 42})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, b) })
	if isPostmaster(pid, b.srv.dir.data()) {
		t.Error("the orphan with other settings still runs")
	}
	if got := setting(t, open(t, b.URL()), "max_connections"); got != "42" {
		t.Errorf("max_connections is %s", got)
	}
}

func TestOrphanThatDiesIsTakenOverToo(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openTempDir(t), "data")
	h := startHelper(t, dir, nil)
	if !strings.HasPrefix(h.said, "ready ") {
		t.Fatalf("helper says %s", h.said)
	}
	if err := h.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = h.Wait() // "signal: killed"
	b := start(t, dir)
	db := open(t, b.URL())
	killServer(t, dir)
	eventually(t, 20*time.Second, "the database is back", func() bool { return db.Ready(t.Context()) == nil })
}

func TestUnfitDataIsRefusedAndUntouched(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(data string) error
		want    string
	}{
		"files but no version": {func(data string) error { return os.WriteFile(filepath.Join(data, "letters"), []byte("x"), 0o600) }, "no PG_VERSION"},
		"another version":      {func(data string) error { return os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("9\n"), 0o600) }, "PostgreSQL 9, which made the database in"},
		"nonsense":             {func(data string) error { return os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("x"), 0o600) }, `PG_VERSION holds "x"`},
		"incomplete": {func(data string) error {
			d, err := openDataDir(filepath.Dir(data))
			if err != nil {
				return err
			}
			bin, err := d.findBinaries(t.Context(), 0, testLogger(t))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte(strconv.Itoa(bin.major)), 0o600)
		}, "no global/pg_control"},
		"a file": {func(data string) error { return errors.Join(os.Remove(data), os.WriteFile(data, nil, 0o600)) }, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := openTempDir(t)
			data := filepath.Join(dir, "postgres")
			if err := errors.Join(os.Mkdir(data, 0o700), c.prepare(data)); err != nil {
				t.Fatal(err)
			}
			before := listing(t, data)
			b, err := StartBuiltin(t.Context(), BuiltinConfig{DataDir: dir, Logger: testLogger(t)})
			if err == nil {
				stop(t, b)
				t.Fatal("it was taken")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("it says %q, without %q", err, c.want)
			}
			if after := listing(t, data); after != before {
				t.Errorf("the data was changed: before\n%s\nafter\n%s", before, after)
			}
		})
	}
}

// listing shows what is in a folder, with times.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && path != dir {
			fmt.Fprintln(&b, path, info.Mode(), info.Size(), info.ModTime())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestStaleLockFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openTempDir(t), "data")
	b := start(t, dir)
	srv := b.srv
	stop(t, b)
	// The process id has gone to another process of the server's user.
	other := binaries{dir: "/bin"}.command("/", "sleep", "60")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Process.Kill(); _ = other.Wait() })
	ended := binaries{dir: "/bin"}.command("/", "sleep", "0")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	for name, pid := range map[string]int{"alive": other.Process.Pid, "dead": ended.Process.Pid} {
		pidFile := filepath.Join(dir, "postgres", "postmaster.pid")
		socketLock := filepath.Join(srv.socketDir, ".s.PGSQL.5432.lock")
		for _, f := range []string{pidFile, socketLock} {
			content := fmt.Sprintf("%d\n%s\n1700000000\n5432\n%s\n\n  1234567         7\nready   \n", pid, filepath.Join(dir, "postgres"), srv.socketDir)
			if err := os.WriteFile(f, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		b, err := StartBuiltin(t.Context(), BuiltinConfig{DataDir: dir, Logger: testLogger(t)})
		if err != nil {
			t.Fatalf("with the process id of a process that is %s: %v", name, err)
		}
		stop(t, b)
	}
	if err := syscall.Kill(other.Process.Pid, 0); err != nil {
		t.Errorf("the process with the stale id was touched: %v", err)
	}
}

func TestLongPath(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openTempDir(t), strings.Repeat("a rather long name with spaces; ", 5))
	b := start(t, dir)
	if err := open(t, b.URL()).Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if url, running, err := FindBuiltin(dir); err != nil || !running || url != b.URL() {
		t.Errorf("FindBuiltin: %q, running %v, err %v", url, running, err)
	}
	if rest, ok := strings.CutPrefix(b.srv.socketDir, dir+"/"); !ok {
		t.Errorf("the socket is in %s, outside of the data directory", b.srv.socketDir)
	} else if rest != socketFolder {
		t.Errorf("the socket is in %s of the data directory", rest)
	}
	stop(t, b)
	if err := os.Chmod(b.srv.socketDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := StartBuiltin(t.Context(), BuiltinConfig{DataDir: dir, Logger: testLogger(t)}); err == nil || !strings.Contains(err.Error(), "mode 0700") {
		t.Errorf("a socket folder that is open to others: %v", err)
	}
}

// Only what Parley put there is removed from beside the binaries, and nothing elsewhere.
func TestOldBinariesAreRemovedAndNothingElse(t *testing.T) {
	t.Parallel()
	d, err := openDataDir(filepath.Join(openTempDir(t), "data"))
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := openTempDir(t)
	names := func(dir string) string {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, e := range entries {
			out = append(out, e.Name())
		}
		return strings.Join(out, " ")
	}
	const current, old = "0123456789abcdef", "fedcba9876543210"
	parent := d.path("postgres-bin")
	for _, dir := range []string{parent, elsewhere} {
		for _, name := range []string{current, old, "unpacking", "letters"} {
			if err := os.MkdirAll(filepath.Join(dir, name, "bin"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	bin := binaries{dir: filepath.Join(parent, current, "bin"), libDir: "lib"}
	d.removeOldBinaries(bin, testLogger(t))
	if left := names(parent); left != current+" letters" {
		t.Errorf("it left %s", left)
	}
	if err := errors.Join(os.RemoveAll(parent), os.Symlink(elsewhere, parent)); err != nil {
		t.Fatal(err)
	}
	d.removeOldBinaries(bin, testLogger(t))
	if left := names(elsewhere); left != current+" "+old+" letters unpacking" {
		t.Errorf("through a link it left %s", left)
	}
	if _, err := d.unpack(testLogger(t)); err == nil || !strings.Contains(err.Error(), "not a directory") && !errors.Is(err, errNotPacked) {
		t.Errorf("unpacking through a link: %v", err)
	}
}

func TestPathThatInitdbCannotTake(t *testing.T) {
	t.Parallel()
	for _, name := range []string{`a"b`, "a,b"} {
		_, err := StartBuiltin(t.Context(), BuiltinConfig{DataDir: filepath.Join(openTempDir(t), name), Logger: testLogger(t)})
		if err == nil || !strings.Contains(err.Error(), "in its path") {
			t.Errorf("of %s it says: %v", name, err)
		}
	}
}

func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	d, err := openDataDir(filepath.Join(openTempDir(t), "data"))
	if err != nil {
		t.Fatal(err)
	}
	s := &server{dir: d, logger: testLogger(t)}
	line := strings.Repeat("x", 99) + "\n"
	if err := os.WriteFile(s.logPath(), []byte(strings.Repeat(line, 2*maxLog/len(line))+"the end\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := s.logTail(&process{}); !strings.HasSuffix(got, "the end") || len(got) > 1000 {
		t.Errorf("the tail is %q", got)
	}
	s.boundLog()
	kept, err := os.ReadFile(s.logPath() + ".1")
	if err != nil || len(kept) != maxLog || !strings.HasSuffix(string(kept), "the end\n") {
		t.Errorf("%d bytes are kept, err %v", len(kept), err)
	}
	if info, err := os.Stat(s.logPath()); err != nil || info.Size() != 0 {
		t.Errorf("the log is %v, err %v", info.Size(), err)
	}
}

// A process of the dead server that is still at work must be gone before the next server
// touches the data, whether or not the dead server's lock file is there.
func TestRestartWaitsForBusyProcesses(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dir := filepath.Join(openTempDir(t), "data")
	b := start(t, dir)
	data := filepath.Join(dir, "postgres")
	conn, err := connect(ctx, b.srv.socketDir, databaseName)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }() // the server will be gone
	backend := int(conn.PgConn().PID())
	busy := make(chan error)
	go func() {
		_, err := conn.Exec(ctx, `SET statement_timeout = '3s'; DO $$ BEGIN LOOP END LOOP; END $$`)
		busy <- err
	}()
	db := open(t, b.URL())
	eventually(t, 5*time.Second, "the process is busy", func() bool {
		var n int
		err := db.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND state = 'active' AND query LIKE '%LOOP END LOOP%'`, backend).Scan(&n)
		return err == nil && n == 1
	})
	before, err := readPIDFile(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(before.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(data, "postmaster.pid")); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the database is back", func() bool {
		now, err := readPIDFile(data)
		if err != nil || now.pid == before.pid {
			return false
		}
		running := isPostmaster(backend, data)
		up := db.Ready(ctx) == nil
		if up && running {
			t.Fatal("a new server runs beside a process of the old one")
		}
		return up
	})
	<-busy // an error: its timeout, or the lost server
}
