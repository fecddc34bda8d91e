package store

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// diskEnv gives a helper a disk of that size for its data directory, which nobody else
// sees and which goes with it.
const diskEnv = "PARLEY_STORE_TEST_DISK"

func limitDisk(dir string) error {
	size := os.Getenv(diskEnv)
	if size == "" {
		return nil
	}
	runtime.LockOSThread() // for good: the mounts are this thread's and its children's
	if err := syscall.Unshare(syscall.CLONE_NEWNS | syscall.CLONE_FS); err != nil {
		return err
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	return syscall.Mount("tmpfs", filepath.Dir(dir), "tmpfs", 0, "mode=0755,size="+size)
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	needRoot(t)
	sizes := []string{"20m"} // unpacking fails, or initdb where there is nothing to unpack
	if packed, _ := fs.Glob(pgdist, "pgdist/*.zst"); packed != nil {
		sizes = append(sizes, "70m") // initdb fails
	}
	for _, size := range sizes {
		dir := filepath.Join(openTempDir(t), "data")
		h := startHelper(t, dir, "", 0, diskEnv+"="+size)
		if reason, ok := strings.CutPrefix(h.said, "skip "); ok {
			t.Skip("no disk of one's own can be mounted here: " + reason)
		}
		if !strings.HasPrefix(h.said, `error "there is no room left on the disk that holds the data directory `+dir) {
			t.Errorf("on a disk of %s it says %s", size, h.said)
		}
	}
}
