//go:build !linux

package store

import (
	"os"
	"path/filepath"
	"syscall"
)

// setUserTimeout does nothing: only Linux has TCP_USER_TIMEOUT. Keepalive, statement
// timeouts and the deadlines of calls remain.
func setUserTimeout(string, string, syscall.RawConn) error { return nil }

// shortName gives a directory a short path for as long as it is not released: a link in a
// private directory with a random name.
func shortName(dir string) (name string, release func(), err error) {
	private, err := os.MkdirTemp("/tmp", "parley-*")
	if err != nil {
		return "", nil, err
	}
	release = func() { _ = os.RemoveAll(private) } // a link, which nothing needs any more
	name = filepath.Join(private, "s")
	if err := os.Symlink(dir, name); err != nil {
		release()
		return "", nil, err
	}
	return name, release, nil
}
