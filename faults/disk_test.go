package faults

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// disk is an ext4 file system of its own in a file, on a loop device.
type disk struct {
	t            *testing.T
	image, mount string
}

// newDisk makes and mounts one. If the machine does not let us, it says why.
func newDisk(ctx context.Context, t *testing.T, megabytes int64) (*disk, string) {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return nil, "needs root on Linux, for a file system of its own"
	}
	dir, err := os.MkdirTemp("", "parley-disk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	d := &disk{t: t, image: filepath.Join(dir, "image"), mount: filepath.Join(dir, "disk")}
	f, err := os.Create(d.image)
	if err == nil {
		err = f.Truncate(megabytes << 20)
	}
	if err == nil {
		err = f.Close()
	}
	if err == nil {
		err = os.Mkdir(d.mount, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	// Without a part that is kept for root: full is full.
	if out, err := exec.CommandContext(ctx, "mkfs.ext4", "-q", "-m", "0", d.image).CombinedOutput(); err != nil {
		return nil, fmt.Sprintf("cannot make a file system: %v %s", err, out)
	}
	if out, err := exec.CommandContext(ctx, "mount", "-o", "loop", d.image, d.mount).CombinedOutput(); err != nil {
		return nil, fmt.Sprintf("cannot mount a file system: %v %s", err, out)
	}
	t.Cleanup(func() { d.unmount() })
	return d, ""
}

// unmount waits until nobody is on it any more.
func (d *disk) unmount() {
	d.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		out, err := exec.Command("umount", d.mount).CombinedOutput()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			d.t.Errorf("unmount: %v %s", err, out)
			return
		}
	}
}

func (d *disk) remount() {
	d.t.Helper()
	if out, err := exec.Command("mount", "-o", "loop", d.image, d.mount).CombinedOutput(); err != nil {
		d.t.Fatalf("mount again: %v %s", err, out)
	}
}

// ballast fills the disk to the last block.
func (d *disk) ballast() (path string) {
	d.t.Helper()
	path = filepath.Join(d.mount, "ballast")
	f, err := os.Create(path)
	if err != nil {
		d.t.Fatal(err)
	}
	for size := 1 << 20; size >= 4<<10; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	_ = f.Sync() // full
	_ = f.Close()
	return path
}

// powerCut puts the database on a disk that stops, with nothing written that was not
// written by then, and starts it again from what is there.
func powerCut(ctx context.Context, t *testing.T, tr *trial) {
	d, w := onDisk(ctx, t, tr, 512, shipped(t), busy())
	if w == nil {
		return
	}
	w.repeat(ctx, tr, d.cutPower)
	r := w.finish(ctx)
	tr.judge(t, w, r)
}

// onDisk makes a world whose database is on a disk of its own; nil if it cannot be.
func onDisk(ctx context.Context, t *testing.T, tr *trial, megabytes int64, binary string, s size) (*disk, *world) {
	t.Helper()
	d, why := newDisk(ctx, t, megabytes)
	if d == nil {
		tr.skipped = why
		return nil, nil
	}
	return d, newWorld(ctx, t, newCluster(ctx, t, newDatabase(ctx, t, d.mount), binary, 2), s)
}

func (d *disk) cutPower(ctx context.Context, w *world, _ randomness) time.Duration {
	if err := shutDown(d.mount); err != nil {
		w.t.Fatalf("stop the disk: %v", err)
	}
	cut := w.now()
	w.db.takeAway()
	d.unmount()
	d.remount()
	w.db.bringBack(ctx)
	return cut
}

// fullDisk fills the disk under the database until sends are refused, and some time longer.
func fullDisk(ctx context.Context, t *testing.T, tr *trial) {
	d, w := onDisk(ctx, t, tr, 384, shipped(t), busy())
	if w == nil {
		return
	}
	told := 0
	w.repeat(ctx, tr, func(ctx context.Context, w *world, _ randomness) time.Duration {
		before := w.refused()
		ballast := d.ballast()
		full, cancel := context.WithTimeout(ctx, 90*time.Second)
		defer cancel()
		w.await(full, "a send that is refused because the disk is full", func() bool { return w.refused() > before })
		sleep(ctx, 3*time.Second)
		told += w.refused() - before
		if err := os.Remove(ballast); err != nil {
			w.t.Fatal(err)
		}
		return w.now()
	})
	tr.note("%d sends were answered `unavailable`, none otherwise", told)
	r := w.finish(ctx)
	tr.judge(t, w, r)
}
