//go:build unix

package pglocal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	stopTimeout = 10 * time.Second // of an immediate shutdown, after the polite one was cut short
	logMax      = 4 << 20          // bytes of server.log that are carried into the next start
)

// makeData makes the data directory unless it is there. initdb works beside
// the final place, under a name that choose does not look at: a half-made
// directory cannot be taken for a whole one.
func (in *instance) makeData(ctx context.Context, free *lock) error {
	if _, err := os.Stat(filepath.Join(in.data, "PG_VERSION")); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	half := filepath.Join(in.dir, "new-"+filepath.Base(in.data))
	if err := os.RemoveAll(half); err != nil {
		return fmt.Errorf("clear a half-made data directory: %w", err)
	}
	in.log.Info("making a private PostgreSQL", "dir", in.dir, "version", in.install.major)
	// "trust", because whoever reaches the socket already owns its folder.
	args := []string{"-D", half, "-U", Database, "-A", "trust", "-E", "UTF8", "--no-locale", "--data-checksums"}
	if in.throwaway {
		args = append(args, "--no-sync")
	}
	c := in.command(ctx, free, "initdb", args...)
	runtime.LockOSThread() // see spawn
	out, err := c.CombinedOutput()
	runtime.UnlockOSThread()
	if err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, bytes.TrimSpace(out))
	}
	if err := os.Rename(half, in.data); err != nil {
		return fmt.Errorf("put the data directory in place: %w", err)
	}
	return nil
}

// command runs one of the server's programs as the account, until this process
// ends. Its descendants hold the lock open for as long as one of them lives,
// which no kill of any of them can falsify.
func (in *instance) command(ctx context.Context, free *lock, name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, filepath.Join(in.install.binDir, name), args...)
	c.Env = environment()
	c.Dir = in.dir
	c.ExtraFiles = []*os.File{free.file}
	c.SysProcAttr = in.account.attributes()
	dieWithParent(c.SysProcAttr)
	return c
}

// serverArgs configure the server from outside, so that data that is reused
// follows the program that uses it.
func (in *instance) serverArgs() []string {
	settings := []string{
		"listen_addresses=",
		"unix_socket_directories=" + in.socket,
		"unix_socket_permissions=0700",
		"max_connections=50",
		"shared_buffers=64MB",
		"logging_collector=off",
		"log_timezone=UTC",
		"timezone=UTC",
		"log_checkpoints=off",
	}
	if in.throwaway {
		settings = append(settings,
			"fsync=off", "synchronous_commit=off", "full_page_writes=off",
			"wal_level=minimal", "max_wal_senders=0", "autovacuum=off",
			"max_wal_size=4GB", "checkpoint_timeout=1h")
	}
	args := []string{"-D", in.data, "-p", strconv.Itoa(port)}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	return args
}

// spawn starts the server as our child. The death signal that ties it to us is
// tied by the kernel to the thread that forks, so that thread stays for as
// long as the server does.
func (s *Server) spawn(free *lock) error {
	in := &s.instance
	out, err := in.openLog()
	if err != nil {
		return err
	}
	defer out.Close()
	c := in.command(context.Background(), free, "postgres", in.serverArgs()...)
	c.Stdout, c.Stderr = out, out
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := c.Start()
		started <- err
		if err != nil {
			return
		}
		_ = c.Wait() // how it ended is in its log
		close(s.done)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	s.pid = c.Process.Pid
	return nil
}

// waitReady returns when the server answers, has ended, or ctx has.
func (s *Server) waitReady(ctx context.Context) error {
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		err := s.instance.ping(ctx, "postgres")
		if err == nil {
			return nil
		}
		select {
		case <-s.done:
			return errors.New("the server ended while starting")
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w", err)
		case <-time.After(wait):
		}
	}
}

// watch closes done when a server that is not our child is gone.
func (s *Server) watch(pid int) {
	defer close(s.done)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for s.instance.serves(pid) {
		select {
		case <-s.quit:
			return
		case <-tick.C:
		}
	}
}

// Stop ends the server, unless another process owns it: politely, and at once
// when ctx ends. Done is closed afterwards in either case. Later calls do
// nothing.
func (s *Server) Stop(ctx context.Context) (err error) {
	s.stop.Do(func() {
		if s.owner == nil {
			close(s.quit)
			<-s.done
			return
		}
		err = s.end(ctx)
		s.owner.release()
	})
	return err
}

// end asks for a fast shutdown, which cuts connections and writes a
// checkpoint, then for an immediate one, after which the next start recovers.
func (s *Server) end(ctx context.Context) error {
	if s.signal(ctx, syscall.SIGINT) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if s.signal(ctx, syscall.SIGQUIT) {
		return nil
	}
	return fmt.Errorf("private PostgreSQL: process %d does not end", s.pid)
}

// signal reports whether the server ended before ctx did.
func (s *Server) signal(ctx context.Context, sig syscall.Signal) bool {
	select {
	case <-s.done: // its pid may be somebody else's by now
		return true
	default:
	}
	_ = syscall.Kill(s.pid, sig) // it may end by itself in between
	select {
	case <-s.done:
		return true
	case <-ctx.Done():
		return false
	}
}

// postmaster is the process that postmaster.pid names, or 0. Whether it still
// is a server, and this directory's, is for serves to say.
func (in *instance) postmaster() int {
	b, err := os.ReadFile(filepath.Join(in.data, "postmaster.pid"))
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return 0
	}
	return pid
}

// removeStale removes the pid files of a server that was killed: one in the
// data, one beside the socket. PostgreSQL refuses to start over a pid that is a
// zombie which nobody reaps or by now belongs to another program, both common
// in containers. It is safe here alone: we hold both locks, so no process of
// the old server is left.
func (in *instance) removeStale() error {
	for _, f := range in.pidFiles() {
		if err := os.Remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove a stale pid file: %w", err)
		}
	}
	return nil
}

func (in *instance) pidFiles() []string {
	socket := filepath.Join(in.socket, ".s.PGSQL."+strconv.Itoa(port))
	return []string{filepath.Join(in.data, "postmaster.pid"), socket + ".lock", socket}
}

// openLog opens the server's log for appending, once it has put a long one
// aside.
func (in *instance) openLog() (*os.File, error) {
	path := filepath.Join(in.dir, "server.log")
	if fi, err := os.Stat(path); err == nil && fi.Size() > logMax {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, fmt.Errorf("rotate the server's log: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the server's log: %w", err)
	}
	return f, nil
}

// logTail is the end of the server's log, for an error's text.
func (in *instance) logTail() []byte {
	b, _ := os.ReadFile(filepath.Join(in.dir, "server.log")) // without it, the error stands alone
	if i := len(b) - 2000; i > 0 {
		b = b[i:]
	}
	return bytes.TrimSpace(b)
}
