// Package privilegetest gives tests that run as root an ordinary user, without creating
// one on the machine.
package privilegetest

import (
	"os/user"
	"strconv"
	"syscall"

	"parley/privilege"
)

// User is an ordinary user with a name. Every system has one of these.
func User() privilege.User {
	for _, name := range []string{"daemon", "bin", "parley"} {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(found.Uid)
		gid, gidErr := strconv.Atoi(found.Gid)
		if err == nil && gidErr == nil && uid > 0 && gid > 0 {
			return privilege.User{UID: uid, GID: gid, Name: name}
		}
	}
	panic("this system has no user daemon, bin or parley, whom tests that run as root need")
}

// Credential starts a process as the user.
func Credential(u privilege.User) *syscall.Credential {
	return &syscall.Credential{Uid: uint32(u.UID), Gid: uint32(u.GID)}
}
