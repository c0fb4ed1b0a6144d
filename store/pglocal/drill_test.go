//go:build unix

package pglocal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// linuxOnly: elsewhere no signal ties the server to its starter, and only
// PostgreSQL's own checks look at pid files.
func linuxOnly(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("needs the parent-death signal and /proc of Linux")
	}
}

func TestStartStopStart(t *testing.T) {
	dir := stateDir(t)
	s := mustStart(t, dir)
	wantHow(t, s.How, Started)
	remember(t, s)
	if got := query(t, s, "SELECT current_user || '@' || current_database() || ' ' || current_setting('listen_addresses')"); got != "defendersync@defendersync " {
		t.Errorf("serves %q", got)
	}
	mustStop(t, s)
	<-s.Done()
	waitGone(t, &s.instance)

	again := mustStart(t, dir)
	wantHow(t, again.How, Started)
	remembers(t, again)
}

func TestSocketFolderIsPrivate(t *testing.T) {
	s := mustStart(t, stateDir(t))
	for _, dir := range []string{s.Dir, s.instance.socket, s.instance.data} {
		fi, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v", dir, fi.Mode())
		}
	}
}

func TestPSQLOpensTheDatabase(t *testing.T) {
	s := mustStart(t, filepath.Join(stateDir(t), "it's a folder"))
	query(t, s, "SELECT 'answers'") // the address bears odd characters too
	program, _, _ := strings.Cut(s.PSQL(), " ")
	if exec.Command(program, "--version").Run() != nil {
		t.Skip("no psql here: npm's copy of the server comes without")
	}
	out, err := exec.Command("sh", "-c", s.PSQL()+" -XAtc 'SELECT current_database()'").CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != Database {
		t.Errorf("%s: %v\n%s", s.PSQL(), err, out)
	}
}

func TestDeepDirectoryGetsAShortSocket(t *testing.T) {
	dir := filepath.Join(stateDir(t), strings.Repeat("deep/", 20))
	s := mustStart(t, dir)
	t.Cleanup(func() { os.RemoveAll(s.instance.socket) })
	if len(s.instance.socket) > socketPathMax || strings.HasPrefix(s.instance.socket, dir) {
		t.Errorf("socket in %s", s.instance.socket)
	}
	query(t, s, "SELECT 'answers'")
}

func TestKilledWorkerTakesTheServerAlong(t *testing.T) {
	linuxOnly(t)
	dir := stateDir(t)
	w := startWorker(t, dir)
	wantHow(t, w.how(t), Started)
	in := instanceOf(t, dir)
	if !in.anyProcess() {
		t.Fatal("the worker's server is not seen")
	}
	w.kill()
	waitGone(t, in)
}

func TestKilledWorkerIsFollowedAtOnce(t *testing.T) {
	linuxOnly(t)
	dir := stateDir(t)
	w := startWorker(t, dir)
	w.how(t)
	other := mustStart(t, dir)
	wantHow(t, other.How, Attached)
	remember(t, other)
	w.kill()
	<-other.Done()
	next := mustStart(t, dir) // the old server may be shutting down still
	wantHow(t, next.How, Started)
	remembers(t, next)
}

func TestKilledPostmaster(t *testing.T) {
	dir := stateDir(t)
	s := mustStart(t, dir)
	remember(t, s)
	killServer(t, &s.instance)
	<-s.Done()
	mustStop(t, s)
	next := mustStart(t, dir)
	wantHow(t, next.How, Started)
	remembers(t, next)
}

func TestKilledWorkerAndPostmaster(t *testing.T) {
	linuxOnly(t)
	dir := stateDir(t)
	w := startWorker(t, dir)
	w.how(t)
	in := instanceOf(t, dir)
	killServer(t, in)
	w.kill()
	next := mustStart(t, dir)
	wantHow(t, next.How, Started)
}

// A killed server's children keep the data open, and starting beside them
// destroys it. Nothing in the directory tells of them; the lock does.
func TestChildrenOfAKilledServerAreWaitedFor(t *testing.T) {
	dir := stateDir(t)
	s := mustStart(t, dir)
	mustStop(t, s)
	child, err := tryLock(dir, serverLock)
	if err != nil || child == nil {
		t.Fatalf("a stopped server's lock: %v, %v", child, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if s, err := Start(ctx, Options{Dir: dir, Throwaway: true}); err == nil {
		mustStop(t, s)
		t.Fatalf("server was %s beside a child of the last", s.How)
	}
	child.release()
	wantHow(t, mustStart(t, dir).How, Started)
}

func TestRunningServerHoldsItsLock(t *testing.T) {
	s := mustStart(t, stateDir(t))
	if l, err := tryLock(s.Dir, serverLock); err != nil || l != nil {
		t.Errorf("took the lock of a running server: %v, %v", l, err)
	}
}

// The locks cannot know a server that somebody started by hand.
func TestServerStartedByHandIsAdopted(t *testing.T) {
	dir := stateDir(t)
	s := mustStart(t, dir)
	mustStop(t, s)
	byHand := s.instance.command(context.Background(), &lock{os.Stderr}, "postgres", s.instance.serverArgs()...)
	if err := byHand.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = byHand.Wait() })
	waitFor(t, "the server to work in its directory", func() bool { return s.instance.serves(byHand.Process.Pid) })
	wantHow(t, mustStart(t, dir).How, Adopted)
}

func TestStalePidFiles(t *testing.T) {
	linuxOnly(t)
	dir := stateDir(t)
	s := mustStart(t, dir)
	in := &s.instance
	// PostgreSQL knows by itself that another account's process is not its own.
	stranger, zombie := exec.Command("sleep", "600"), exec.Command("true")
	for _, c := range []*exec.Cmd{stranger, zombie} {
		c.SysProcAttr = in.account.attributes()
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	}
	lines, err := os.ReadFile(in.pidFiles()[0])
	if err != nil {
		t.Fatal(err)
	}
	mustStop(t, s)

	for name, pid := range map[string]int{"stranger": stranger.Process.Pid, "zombie": zombie.Process.Pid, "nobody": 4194303} {
		t.Run(name, func(t *testing.T) {
			_, rest, _ := strings.Cut(string(lines), "\n")
			stale := []byte(strconv.Itoa(pid) + "\n" + rest)
			for _, f := range in.pidFiles()[:2] {
				if err := os.WriteFile(f, stale, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chown(f, in.account.uid, in.account.gid); err != nil {
					t.Fatal(err)
				}
			}
			next := mustStart(t, dir)
			wantHow(t, next.How, Started)
			mustStop(t, next)
		})
	}
}

func TestWorkerKilledDuringInitdb(t *testing.T) {
	dir := stateDir(t)
	w := startWorker(t, dir)
	waitFor(t, "initdb to begin", func() bool {
		half, _ := filepath.Glob(filepath.Join(dir, "new-pg*", "base"))
		return len(half) > 0
	})
	w.kill()
	s := mustStart(t, dir)
	wantHow(t, s.How, Started)
	if left, _ := filepath.Glob(filepath.Join(dir, "new-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestOrphanIsAdoptedAndStopped(t *testing.T) {
	dir := stateDir(t)
	s := mustStart(t, dir)
	remember(t, s)
	mustStop(t, s)

	free, err := tryLock(dir, serverLock)
	if err != nil || free == nil {
		t.Fatalf("a stopped server's lock: %v, %v", free, err)
	}
	orphan := s.instance.command(context.Background(), free, "postgres", s.instance.serverArgs()...)
	orphan.SysProcAttr = s.instance.account.attributes() // no death signal
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	free.release()
	ended := make(chan error, 1)
	go func() { ended <- orphan.Wait() }()

	heir := mustStart(t, dir)
	wantHow(t, heir.How, Adopted)
	remembers(t, heir)
	mustStop(t, heir)
	<-heir.Done()
	if err := <-ended; err != nil {
		t.Errorf("the orphan ended badly: %v", err)
	}
}

func TestSecondProcessAttachesAndLeavesItRunning(t *testing.T) {
	dir := stateDir(t)
	owner := mustStart(t, dir)
	w := startWorker(t, dir)
	wantHow(t, w.how(t), Attached)
	w.finish(t)
	select {
	case <-owner.Done():
		t.Fatal("the guest stopped its host's server")
	default:
		query(t, owner, "SELECT 'answers'")
	}
}

func TestFiveColdStartsAtOnce(t *testing.T) {
	dir := stateDir(t)
	var workers []*worker
	for range 5 {
		workers = append(workers, startWorker(t, dir))
	}
	count := map[How]int{}
	for _, w := range workers {
		count[w.how(t)]++
	}
	if count[Started] != 1 || count[Attached] != 4 {
		t.Errorf("five cold starts: %v", count)
	}
	for _, w := range workers {
		w.kill()
	}
	waitGone(t, instanceOf(t, dir))
}

func TestForeignVersionIsRefusedAndUntouched(t *testing.T) {
	dir := stateDir(t)
	data := dataDir(dir, 9)
	if err := os.MkdirAll(data, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("9\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	before := listing(t, dir)
	_, err := Start(t.Context(), Options{Dir: dir})
	var version *VersionError
	if !errors.As(err, &version) || version.Found != 9 {
		t.Errorf("foreign data: %v", err)
	}
	if after := listing(t, dir); after != before {
		t.Errorf("touched: before\n%safter\n%s", before, after)
	}
}

// listing says everything that stat does of every file below dir.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(&b, p, fi.Mode(), fi.Size(), fi.ModTime(), ownerOf(fi).Uid)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRemoveLeavesALiveServerAlone(t *testing.T) {
	dir := stateDir(t)
	s := mustStart(t, dir)
	if removed, err := Remove(dir); removed || err != nil {
		t.Fatalf("removed under a running server: %v, %v", removed, err)
	}
	query(t, s, "SELECT 'answers'")
	mustStop(t, s)
	if removed, err := Remove(dir); !removed || err != nil {
		t.Errorf("a stopped server's directory: %v, %v", removed, err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("still there: %v", err)
	}
}
