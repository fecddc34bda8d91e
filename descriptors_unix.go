//go:build unix

package main

import (
	"math"

	"golang.org/x/sys/unix"
)

// descriptorLimit is how many files this process may have open; 0: there is no limit. Go has
// raised it to the hard limit.
func descriptorLimit() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > math.MaxInt32 {
		return 0
	}
	return int(limit.Cur) // bounded above
}
