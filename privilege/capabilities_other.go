//go:build !linux

package privilege

// Only Linux has capabilities and no_new_privs.
func dropCapabilities() error { return nil }
func noCapabilities() error   { return nil }
