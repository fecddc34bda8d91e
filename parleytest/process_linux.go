package parleytest

import (
	"context"
	"net"
	"runtime"
	"syscall"
)

// dialAs connects as another user: the kernel notes whose thread it was.
func dialAs(ctx context.Context, uid uint32, network, addr string) (conn net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		const keep = ^uintptr(0)
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, keep, uintptr(uid), keep); errno != 0 {
			err = errno
			return
		}
		conn, err = (&net.Dialer{}).DialContext(ctx, network, addr)
	}()
	<-done
	return conn, err
}

// isolated keeps the terminal's interrupt from the server, so that a test which is
// interrupted can end it in order, and ends it when the test is killed.
func isolated() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
