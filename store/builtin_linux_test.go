package store

import (
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Root in a container usually lacks CAP_SYS_PTRACE, without which the kernel hides much of
// another user's process. The running server must be recognised all the same: what takes
// it for dead removes its lock file.
func TestServerIsRecognisedByRootWithFewRights(t *testing.T) {
	t.Parallel()
	needRoot(t)
	b := start(t, filepath.Join(openTempDir(t), "data"))
	data := b.srv.dir.data()
	pf, err := readPIDFile(data)
	if err != nil {
		t.Fatal(err)
	}
	type answer struct {
		own, other bool
		err        error
	}
	got := make(chan answer)
	go func() {
		runtime.LockOSThread() // for good: the thread ends without its rights
		err := dropTrace()
		got <- answer{isPostmaster(pf.pid, data), isPostmaster(pf.pid, filepath.Dir(data)), err}
	}()
	switch a := <-got; {
	case a.err != nil:
		t.Skip("rights cannot be dropped here: ", a.err)
	case !a.own:
		t.Error("the running server is taken for dead")
	case a.other:
		t.Error("the server is taken for that of another directory")
	}
}

// dropTrace takes CAP_SYS_PTRACE from this thread.
func dropTrace() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	data[0].Effective &^= 1 << unix.CAP_SYS_PTRACE
	return unix.Capset(&header, &data[0])
}
