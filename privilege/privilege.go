// Package privilege lets a program that root started become an ordinary user, for good.
//
// Invariant: root acts only on paths that no other user can change; see Inspect.
package privilege

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
)

// User is a user of the operating system.
type User struct {
	UID, GID int
	Name     string // "" if the system knows no name for UID
}

func (u User) String() string {
	if u.Name == "" {
		return fmt.Sprintf("the user with id %d", u.UID)
	}
	return u.Name
}

// Current is the user that this process runs as.
func Current() User {
	return User{os.Geteuid(), os.Getegid(), ByID(os.Geteuid()).Name}
}

// Shared reports whether unrelated programs run as this user, so that a data directory of
// its own would be theirs too.
func (u User) Shared() bool {
	return u.UID == 65534 || slices.Contains([]string{"nobody", "postgres"}, u.Name)
}

// Become makes the whole process an ordinary user: its groups, group and user, no
// capabilities, and no way for it or its children to gain privileges by an exec. An error
// leaves the process in between; it has to end then.
func Become(u User) error {
	if u.UID <= 0 || u.GID <= 0 {
		return fmt.Errorf("%s (group %d) is not an ordinary user", u, u.GID)
	}
	// With root's capabilities these set the real, effective and saved ids, of all threads.
	for _, step := range []func() error{
		func() error { return syscall.Setgroups([]int{u.GID}) },
		func() error { return syscall.Setgid(u.GID) },
		func() error { return syscall.Setuid(u.UID) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("become %s: %w (a container without the right to change users?); start Parley as an ordinary user instead", u, err)
		}
	}
	if err := dropCapabilities(); err != nil {
		return fmt.Errorf("become %s: %w", u, err)
	}
	return verify(u)
}

// verify makes sure that nothing of root is left.
func verify(u User) error {
	if os.Getuid() != u.UID || os.Geteuid() != u.UID || os.Getgid() != u.GID || os.Getegid() != u.GID {
		return fmt.Errorf("become %s: the process still has other ids", u)
	}
	groups, err := os.Getgroups()
	if err != nil || slices.ContainsFunc(groups, func(g int) bool { return g != u.GID }) {
		return fmt.Errorf("become %s: the process still has the groups %v: %w", u, groups, err)
	}
	if syscall.Setuid(0) == nil || syscall.Setgid(0) == nil {
		return errors.New("root's rights could be regained after giving them up")
	}
	return noCapabilities()
}
