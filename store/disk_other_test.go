//go:build !linux

package store

func limitDisk(string) error { return nil }
func openProc() error        { return nil }
