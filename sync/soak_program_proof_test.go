//go:build soak && linux

package sync_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// soakConnections is database.max_connections of the workers.
const soakConnections = 4

// stopPromise is how soon a worker ends that is told to, whatever is broken
// around it: what an orchestrator waits by default before it kills.
const stopPromise = 30 * time.Second

// program is defendersync, built, with its configuration.
type program struct {
	dir, path, config string
}

func buildProgram(t *testing.T) *program {
	t.Helper()
	dir, err := os.MkdirTemp("", "defendersync-soak-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			os.RemoveAll(dir)
		}
	})
	p := &program{dir: dir, path: filepath.Join(dir, "defendersync"), config: filepath.Join(dir, "config.yaml")}
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", p.path, "defendersync/cmd/defendersync").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return p
}

const soakStreams = `
streams:
  defaults: {schedule: "@every 5s", start: 180d, overlap: 2m, settle: 1s}
  hunting:
    - {table: DeviceProcessEvents, schedule: "@every 10s", start: 29d, reconcile: "@every 45s"}
    - {table: AlertEvidence, schedule: "@every 10s", start: 29d, reconcile: "@every 1m"}
    - {name: shells, query: "EmailEvents | where Subject == 'cmd.exe'", schedule: "@every 15s", start: 29d, mode: events,
       key: [NetworkMessageId, RecipientEmailAddress, ReportId]}
    - {table: DeviceTvmSoftwareVulnerabilities, mode: snapshot, schedule: "@every 20s"}
`

// configure writes config.yaml, as somebody would who has these tenants.
func (p *program) configure(t *testing.T, tenants []*soakTenant) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "database: {url: \"${DATABASE_URL}\", max_connections: %d}\nserver: {listen: \"${LISTEN:-}\"}\ntenants:\n", soakConnections)
	for _, x := range tenants {
		app := x.sim.Config()
		url := "http://" + x.line.proxy.Listen
		fmt.Fprintf(&b, "  - name: %s\n    tenant_id: %s\n    client_id: %s\n    credential: {client_secret_file: %s}\n    api: %s\n",
			x.plan.name, app.TenantID, app.ClientID, x.secretFile, x.plan.dialect)
		fmt.Fprintf(&b, "    endpoints: {login: \"%[1]s\", graph: \"%[1]s\", defender: \"%[1]s\"}\n", url)
		fmt.Fprintf(&b, "    limits: {incidents_per_minute: %d, incidents_per_hour: %d, hunting_per_minute: %d}\n",
			x.plan.incidents, 60*x.plan.incidents, x.plan.hunting)
	}
	b.WriteString(soakStreams)
	if err := os.WriteFile(p.config, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// command is the program with arguments, on the database under a name of its own.
func (s *soak) command(ctx context.Context, name, listen string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.program.path, append([]string{"--config", s.program.config, "--log-format", "text"}, args...)...)
	cmd.Env = append(os.Environ(), "DATABASE_URL="+s.dsn+"&application_name="+name, "LISTEN="+listen)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// worker is `defendersync run`, through all its lives, as a supervisor keeps it.
type worker struct {
	s      *soak
	name   string
	listen string
	log    string
	ended  chan int // gets the exit code of the life that was told to end, or down

	mu    sync.Mutex
	lives int
	told  bool      // to end
	cmd   *exec.Cmd // nil between two lives
}

// down is what a worker ends with that was not there to be told.
const down = -3

func (s *soak) newWorker(name string) *worker {
	s.t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	defer free.Close()
	return &worker{s: s, name: name, listen: free.Addr().String(), log: filepath.Join(s.program.dir, name+".log")}
}

// address is where its HTTP is; empty before it is made.
func (w *worker) address() string {
	if w == nil {
		return ""
	}
	return w.listen
}

// start begins to keep the worker alive.
func (w *worker) start() {
	w.mu.Lock()
	w.told, w.ended = false, make(chan int, 1)
	w.mu.Unlock()
	go w.supervise()
}

// supervise starts the worker again when it ends by itself, which it may do
// only where it does not find its database when it starts.
func (w *worker) supervise() {
	runtime.LockOSThread() // the death of the thread that forks would be the process's
	for {
		cmd, from, err := w.live()
		if cmd == nil {
			if err != nil {
				w.s.t.Error(err)
			}
			w.ended <- down
			return
		}
		code := exitOf(cmd.Wait())
		w.s.watch.dead(w.name)
		w.mu.Lock()
		told := w.told
		w.cmd = nil
		w.mu.Unlock()
		said := w.said(from)
		switch {
		case told && code == -1 && said == "": // before it could listen to a signal
			w.ended <- down
			return
		case told:
			w.ended <- code
			return
		case code != 1 || strings.Contains(said, "worker started"):
			w.s.t.Errorf("%s ended by itself with %d; see %s", w.name, code, w.log)
		}
		w.s.journal.did("broke start of a worker")
		pause(w.s.t.Context(), time.Second)
	}
}

// live begins another life, which has a name of its own in the database, unless
// the worker was told to end. It also says where the life's log begins.
func (w *worker) live() (*exec.Cmd, int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.told {
		return nil, 0, nil
	}
	out, err := os.OpenFile(w.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, 0, err
	}
	defer out.Close()
	w.lives++
	fmt.Fprintf(out, "--- life %d of %s at %s\n", w.lives, w.name, time.Now().UTC().Format(time.RFC3339Nano))
	info, err := out.Stat()
	if err != nil {
		return nil, 0, err
	}
	cmd := w.s.command(context.Background(), fmt.Sprintf("%s-%d", w.name, w.lives), w.listen, "run")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, 0, err
	}
	w.cmd = cmd
	w.s.watch.alive(w.name, cmd.Process.Pid, w.listen, w.lives)
	return cmd, info.Size(), nil
}

// said is what the log has from there on.
func (w *worker) said(from int64) string {
	text, err := os.ReadFile(w.log)
	if err != nil || int64(len(text)) < from {
		return ""
	}
	return string(text[from:])
}

// signal sends one, if there is somebody to get it.
func (w *worker) signal(sig syscall.Signal, end bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = w.told || end
	if w.cmd != nil {
		_ = w.cmd.Process.Signal(sig) // an error is that it has just ended
	}
}

// kill ends it as a crash would.
func (w *worker) kill() {
	w.signal(syscall.SIGKILL, true)
	<-w.ended
}

// stop tells it to end, which it does in time and with 0.
func (w *worker) stop() {
	told := time.Now()
	w.signal(syscall.SIGTERM, true)
	select {
	case code := <-w.ended:
		if code != 0 && code != down {
			w.s.t.Errorf("%s ended with %d when it was told to stop; see %s", w.name, code, w.log)
		}
	case <-time.After(stopPromise):
		w.s.t.Errorf("%s did not end within %s of SIGTERM; see %s", w.name, stopPromise, w.log)
		w.signal(syscall.SIGQUIT, true) // which writes what it hangs in to its log
		<-w.ended
	}
	w.s.watch.stopped(time.Since(told))
}

// exitOf is a process's exit code, -1 when it was killed.
func exitOf(err error) int {
	if err == nil {
		return 0
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	return -2
}

// result is what came of a one-shot command.
type result struct {
	code           int
	stdout, stderr string
}

// run runs a command to its end, or until ctx ends, which kills it.
func (s *soak) run(ctx context.Context, args ...string) result {
	var stdout, stderr bytes.Buffer
	cmd := s.command(ctx, "oneshot", s.second.address(), args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	runtime.LockOSThread() // see start
	defer runtime.UnlockOSThread()
	code := exitOf(cmd.Run())
	s.journal.did(fmt.Sprintf("exit %s: %d", args[0], code))
	return result{code, stdout.String(), stderr.String()}
}

// crash is how Go tells of one.
var crash = regexp.MustCompile(`(?m)^(panic: |fatal error: |goroutine \d+ \[|WARNING: DATA RACE).*$`)

// crashes lists what the workers' logs have of them.
func (w *worker) crashes() []string {
	text, err := os.ReadFile(w.log)
	if err != nil {
		return []string{err.Error()}
	}
	return crash.FindAllString(string(text), 5)
}
