package hub

import (
	"golang.org/x/sys/unix"
)

// unsent is how many bytes the kernel holds that the client has not taken yet.
func (w *wire) unsent() (n int, ok bool) {
	if w.raw == nil {
		return 0, false
	}
	err := w.raw.Control(func(fd uintptr) {
		var failed error
		n, failed = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
		ok = failed == nil
	})
	return n, ok && err == nil
}
