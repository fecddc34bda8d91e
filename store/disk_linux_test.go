package store

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// diskEnv gives a helper a disk of that size for its data directory, which nobody else
// sees and which goes with it.
const diskEnv = "PARLEY_STORE_TEST_DISK"

// openProc gives /proc/self, which is root's after a change of the user, to this one: who
// makes a namespace writes there.
func openProc() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0) }

func limitDisk(dir string) error {
	size := os.Getenv(diskEnv)
	if size == "" {
		return nil
	}
	return syscall.Mount("tmpfs", filepath.Dir(dir), "tmpfs", 0, "mode=0755,size="+size)
}

// In a namespace of its own an ordinary user may mount one.
func ownNamespace() *syscall.SysProcAttr {
	same := func(id int) []syscall.SysProcIDMap {
		return []syscall.SysProcIDMap{{ContainerID: id, HostID: id, Size: 1}}
	}
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: same(os.Getuid()), GidMappings: same(os.Getgid()),
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN},
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	probe := exec.Command("/bin/true")
	probe.SysProcAttr = ownNamespace()
	if err := probe.Run(); err != nil {
		t.Skipf("no disk of one's own can be mounted here: %v", err)
	}
	sizes := []string{"20m"} // unpacking fails, or initdb where there is nothing to unpack
	if packed, _ := fs.Glob(pgdist, "pgdist/*.zst"); packed != nil {
		sizes = append(sizes, "70m") // initdb fails
	}
	for _, size := range sizes {
		dir := filepath.Join(openTempDir(t), "data")
		h := startHelper(t, dir, ownNamespace(), diskEnv+"="+size)
		if reason, ok := strings.CutPrefix(h.said, "skip "); ok {
			t.Skip("no disk of one's own can be mounted here: " + reason)
		}
		if !strings.HasPrefix(h.said, `error "there is no room left on the disk that holds the data directory `+dir) {
			t.Errorf("on a disk of %s it says %s", size, h.said)
		}
	}
}
