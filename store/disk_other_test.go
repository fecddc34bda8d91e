//go:build !linux

package store

func limitDisk(string) error { return nil }
