//go:build !linux

package hub

// unsent is known on Linux alone.
func (w *wire) unsent() (n int, ok bool) { return 0, false }
