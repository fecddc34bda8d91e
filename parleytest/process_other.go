//go:build !linux

package parleytest

import "syscall"

// isolated keeps the terminal's interrupt from the server, so that a test which is
// interrupted can end it in order.
func isolated() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
