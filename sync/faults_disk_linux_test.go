package sync_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"defendersync/store/pglocal"
	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"
)

// smallDisk is a directory on a disk of its own.
func smallDisk(t *testing.T, megabytes int) string {
	t.Helper()
	dir := scratch(t)
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0755", megabytes))
	if errors.Is(err, syscall.EPERM) {
		t.Skip("a disk that can be filled takes the right to mount one: root's, with CAP_SYS_ADMIN")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
		os.Remove(dir)
	})
	return dir
}

// fillDisk takes what is left of a disk but for a few pages, and returns how to give it back.
func fillDisk(t *testing.T, dir string, leave uint64) (free func()) {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "filler")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, int64(st.Bavail*uint64(st.Bsize)-leave)); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Error(err)
		}
	}
}

// TestDiskFull fills the disk of the database under a pass, which ends it in
// PostgreSQL's words. The server then crashes. What was committed before stays,
// nothing is half there, and when there is room again the next pass is complete.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, 160)
	start := ownServer(t, filepath.Join(disk, "postgres"))
	server := start()
	opt := rigOptions{world: defendersim.WorldOptions{Seed: 6, Incidents: 260}, limits: defender.Limits{PerMinute: 1 << 20, PerHour: 1 << 20}}
	var full func()
	opt.sim.OnAnswer = func(n int) {
		if n == 3 {
			full()
		}
	}
	r := newRig(t, opt)
	r.moveTo(t, server.URL(pglocal.Database))
	var free func()
	full = func() { free = fillDisk(t, disk, 64<<10) }
	failed := 0
	for _, res := range r.worker.Sync(t.Context(), "", nil) {
		if res.Outcome != defsync.OutcomeOK {
			failed++
			if res.Outcome != defsync.OutcomeFailed || res.Err == nil {
				t.Errorf("%s ended %s: %v", res.Stream, res.Outcome, res.Err)
			}
			if !strings.Contains(res.Err.Error(), "No space left on device") {
				t.Errorf("%s says nothing of the disk: %v", res.Stream, res.Err)
			}
		}
	}
	if failed == 0 {
		t.Error("the disk was full and no pass failed")
	}
	free()
	halt(t, server, true)
	start()
	r.db = r.openPool(t)
	r.vouched(t)
	r.expireLease(t)
	r.store = r.openStore(t)
	r.worker = r.newWorker(t, r.store, "roomy")
	r.sync(t)
	r.whole(t)
}
