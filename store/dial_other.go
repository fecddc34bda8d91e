//go:build !linux

package store

import "syscall"

// setUserTimeout does nothing: only Linux has TCP_USER_TIMEOUT. Keepalive, statement
// timeouts and the deadlines of calls remain.
func setUserTimeout(string, string, syscall.RawConn) error { return nil }
