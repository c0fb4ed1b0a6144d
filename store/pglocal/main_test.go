//go:build unix

package pglocal

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// workerEnv makes the test binary a worker that holds a private server of the
// named directory until its standard input closes or it is killed.
const workerEnv = "PGLOCAL_TEST_WORKER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(workerEnv); dir != "" {
		os.Exit(work(dir))
	}
	os.Exit(m.Run())
}

func work(dir string) int {
	s, err := Start(context.Background(), Options{Dir: dir, Throwaway: true})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(s.How)
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := s.Stop(context.Background()); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// worker is another process that uses a private server.
type worker struct {
	cmd   *exec.Cmd
	stdin io.Closer
	lines *bufio.Reader
}

func startWorker(t *testing.T, dir string) *worker {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe, "-test.run=^$")
	c.Env = append(os.Environ(), workerEnv+"="+dir)
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	w := &worker{cmd: c, stdin: in, lines: bufio.NewReader(out)}
	t.Cleanup(w.kill)
	return w
}

// how waits until the worker has its server.
func (w *worker) how(t *testing.T) How {
	t.Helper()
	line, err := w.lines.ReadString('\n')
	if err != nil {
		t.Fatalf("worker said %q: %v", line, err)
	}
	return How(strings.TrimSpace(line))
}

func (w *worker) kill() {
	_ = w.cmd.Process.Kill() // an error means that it is gone
	_ = w.cmd.Wait()
}

// finish ends the worker the polite way.
func (w *worker) finish(t *testing.T) {
	t.Helper()
	w.stdin.Close()
	if err := w.cmd.Wait(); err != nil {
		t.Errorf("worker: %v", err)
	}
}

// stateDir is a directory that the server's account can come to, which
// t.TempDir is not for root.
func stateDir(t *testing.T) string {
	t.Helper()
	parent, err := os.MkdirTemp("/tmp", "pglocal-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(parent); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(parent, 0o755); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(parent, "state")
}

func mustStart(t *testing.T, dir string) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := Start(ctx, Options{Dir: dir, Throwaway: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustStop(t, s) })
	return s
}

func mustStop(t *testing.T, s *Server) {
	t.Helper()
	if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}

func query(t *testing.T, s *Server, sql string) string {
	t.Helper()
	c, err := pgx.Connect(t.Context(), s.URL(Database))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(t.Context()))
	var out string
	if err := c.QueryRow(t.Context(), sql).Scan(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// remember and remembers show that the data of one server is the next one's.
func remember(t *testing.T, s *Server) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), s.URL(Database))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(t.Context()))
	if _, err := c.Exec(t.Context(), "SET synchronous_commit = on; CREATE TABLE kept AS SELECT 'still here' AS note"); err != nil {
		t.Fatal(err)
	}
}

func remembers(t *testing.T, s *Server) {
	t.Helper()
	if got := query(t, s, "SELECT note FROM kept"); got != "still here" {
		t.Errorf("data of the last server: %q", got)
	}
}

func wantHow(t *testing.T, got, want How) {
	t.Helper()
	if got != want {
		t.Errorf("server was %s, want %s", got, want)
	}
}

// waitGone waits until no process serves the directory.
func waitGone(t *testing.T, in *instance) {
	t.Helper()
	waitFor(t, "the server to end", func() bool { return !in.anyProcess() })
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}

func killServer(t *testing.T, in *instance) {
	t.Helper()
	pid := in.postmaster()
	if pid <= 0 {
		t.Fatal("no postmaster to kill")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// instanceOf looks at a directory from outside, as no owner.
func instanceOf(t *testing.T, dir string) *instance {
	t.Helper()
	in, err := newInstance(Options{Dir: dir, Throwaway: true})
	if err != nil {
		t.Fatal(err)
	}
	return in
}
