package parleytest

import "syscall"

// isolated keeps the terminal's interrupt from the server, so that a test which is
// interrupted can end it in order, and ends it when the test is killed.
func isolated() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
