//go:build !linux

package parleytest

import (
	"context"
	"net"
	"syscall"
)

func dialAs(context.Context, uint32, string, string) (net.Conn, error) { return nil, errOtherSystem }

// isolated keeps the terminal's interrupt from the server, so that a test which is
// interrupted can end it in order.
func isolated() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
