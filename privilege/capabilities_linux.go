package privilege

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Variables of the package, so that their addresses stay the same during the calls.
var (
	capHeader  = unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	noneOfThem [2]unix.CapUserData
)

// dropCapabilities empties the sets of capabilities and sets no_new_privs. The kernel has
// emptied most of them with the change of the user, unless securebits say otherwise.
func dropCapabilities() error {
	if err := everyThread(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	err := everyThread(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL)
	if err != nil && !errors.Is(err, unix.EINVAL) { // a kernel without ambient capabilities
		return fmt.Errorf("drop ambient capabilities: %w", err)
	}
	//nolint:gosec // package unix has no call for all threads
	if err := everyThread(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&capHeader)), uintptr(unsafe.Pointer(&noneOfThem[0]))); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return nil
}

// everyThread does a system call on all threads. A build with cgo, which no release is,
// cannot: it does the call on this thread, and a new user has lost its capabilities anyway.
func everyThread(call, a, b uintptr) error {
	_, _, errno := syscall.AllThreadsSyscall6(call, a, b, 0, 0, 0, 0)
	if errno == syscall.ENOTSUP {
		_, _, errno = syscall.RawSyscall6(call, a, b, 0, 0, 0, 0)
	}
	if errno != 0 {
		return errno
	}
	return nil
}

func noCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	if data != ([2]unix.CapUserData{}) {
		return fmt.Errorf("capabilities are left: %+v", data)
	}
	return nil
}
