package storetest

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"defendersync/store/pglocal"
)

const (
	// roomNeeded is the free space that makes memory good enough: a
	// container's /dev/shm has 64 MiB unless somebody asked for more.
	roomNeeded = 1 << 30

	keptFor = 24 * time.Hour

	// young is the age below which a directory may be one whose server is
	// about to take its lock.
	young = time.Minute
)

// local is a throwaway server of this process's own.
type local struct {
	server *pglocal.Server
	undead io.Writer // what is written here keeps the directory after this process
	once   sync.Once
}

func startLocal(ctx context.Context) (*local, error) {
	scratch := os.TempDir()
	if room("/dev/shm") > roomNeeded {
		scratch = "/dev/shm"
	}
	sweepDirs(scratch)
	dir, err := os.MkdirTemp(scratch, dirPattern)
	if err != nil {
		return nil, fmt.Errorf("make a directory for the server: %w", err)
	}
	undertaker, err := bury(dir)
	if err != nil {
		return nil, err
	}
	server, err := pglocal.Start(ctx, pglocal.Options{Dir: dir, Throwaway: true})
	if err != nil {
		return nil, err
	}
	return &local{server: server, undead: undertaker}, nil
}

const dirPattern = "defendersync-test-*"

// bury starts a process that outlives this one only to end its server and to
// remove the directory, unless it was told anything. The death of this process,
// of whatever cause, closes the pipe between them.
func bury(dir string) (io.Writer, error) {
	const script = `
		word=$(cat)
		for pid in "$0"/pg*/postmaster.pid; do
			[ -e "$pid" ] && kill -INT "$(head -n 1 "$pid")" 2>/dev/null
			for i in 1 2 3 4 5 6 7 8 9 10; do
				[ -e "$pid" ] && sleep 0.2
			done
		done
		if [ -n "$word" ]; then : >"$0/kept"; else rm -rf -- "$0"; fi`
	c := exec.Command("/bin/sh", "-c", script, dir)
	c.SysProcAttr = detached()
	pipe, err := c.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("start the process that cleans up: %w", err)
	}
	return pipe, nil
}

// keep lets the directory outlive this process and returns a command that
// opens the database again.
func (l *local) keep(database string) string {
	l.once.Do(func() { _, _ = io.WriteString(l.undead, "keep\n") }) // without a reader, nobody removes it either
	return fmt.Sprintf("go run defendersync/store/storetest/open %s %s", l.server.Dir, database)
}

// sweepDirs removes what processes left that could not clean up, as after a
// power cut or a killed container. What cannot be removed is another account's.
func sweepDirs(scratch string) {
	dirs, _ := filepath.Glob(filepath.Join(scratch, dirPattern))
	for _, dir := range dirs {
		limit, mark := young, dir
		if _, err := os.Stat(filepath.Join(dir, "kept")); err == nil {
			limit, mark = keptFor, filepath.Join(dir, "kept")
		}
		if fi, err := os.Stat(mark); err == nil && time.Since(fi.ModTime()) > limit {
			_, _ = pglocal.Remove(dir)
		}
	}
}
