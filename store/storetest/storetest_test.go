package storetest_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley/store"
	"parley/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEachTestHasItsOwnDatabase(t *testing.T) {
	t.Parallel()
	for _, db := range []*store.DB{storetest.New(t), storetest.New(t)} {
		if _, err := db.Exec(t.Context(), `INSERT INTO login_failures (subject) VALUES ('x')`); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := db.QueryRow(t.Context(), `SELECT count(*) FROM login_failures`).Scan(&n); err != nil || n != 1 {
			t.Errorf("%d rows, err %v", n, err)
		}
	}
}

func TestDatabaseIsDroppedWithItsTest(t *testing.T) {
	t.Parallel()
	outer := storetest.New(t)
	var name string
	t.Run("inner", func(t *testing.T) {
		db := storetest.New(t)
		if err := db.QueryRow(t.Context(), `SELECT current_database()`).Scan(&name); err != nil {
			t.Fatal(err)
		}
	})
	var exists bool
	if err := outer.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&exists); err != nil || exists || name == "" {
		t.Errorf("database %q exists: %v, err %v", name, exists, err)
	}
}

// holdEnv makes TestServerEndsWithItsLastUser one of those users.
const holdEnv = "PARLEY_STORETEST_HOLD"

// The server outlives one of two users, and ends after both, though they were killed.
func TestServerEndsWithItsLastUser(t *testing.T) {
	t.Parallel()
	if os.Getenv(holdEnv) != "" {
		fmt.Printf("\n%s\n", storetest.URL(t))
		time.Sleep(time.Hour) // until it is killed
	}
	if os.Getenv("PARLEY_TEST_DATABASE_URL") != "" {
		t.Skip("the tests run on a server that is not theirs to stop")
	}
	dir, err := os.MkdirTemp("", "parley-storetest-*")
	if err == nil {
		err = os.Chmod(dir, 0o755) // the server's user has to pass
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	hold := func() (p *exec.Cmd, server string) {
		p = exec.Command(os.Args[0], "-test.run=^TestServerEndsWithItsLastUser$")
		p.Env = append(os.Environ(), holdEnv+"=1", "TMPDIR="+dir)
		out, err := p.StdoutPipe()
		if err == nil {
			err = p.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Process.Kill(); _ = p.Wait() })
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if _, s, ok := strings.Cut(lines.Text(), "host="); ok {
				return p, s
			}
		}
		t.Fatal("it gave no URL")
		return nil, ""
	}
	first, server := hold()
	second, same := hold()
	if server != same {
		t.Errorf("two servers, %s and %s", server, same)
	}
	pidFiles, err := filepath.Glob(filepath.Join(dir, "*", "server", "postgres", "postmaster.pid"))
	if err != nil || len(pidFiles) != 1 {
		t.Fatalf("%v, err %v", pidFiles, err)
	}
	b, err := os.ReadFile(pidFiles[0])
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range []*exec.Cmd{first, second} {
		if err := syscall.Kill(pid, 0); err != nil {
			t.Error("the server has ended before its users")
		}
		if err := user.Process.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	gone := func() bool {
		_, err := os.Stat(filepath.Dir(filepath.Dir(pidFiles[0])))
		return os.IsNotExist(err)
	}
	for deadline := time.Now().Add(30 * time.Second); !gone(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the server is still there")
		}
	}
	if err := syscall.Kill(pid, 0); err == nil {
		if stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); !strings.Contains(string(stat), ") Z ") {
			t.Error("the server's process is still there")
		}
	}
}
