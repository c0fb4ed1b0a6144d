package sync_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"defendersync/store"
	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"
)

// childEnv tells this test binary that it is to be a worker, and what for.
const childEnv = "DEFENDERSYNC_PROOF_CHILD"

// childJob is what it is told.
type childJob struct {
	DSN, URL string
	App      defendersim.Config
	Now      time.Time
	Dialect  defender.Dialect
	Days     int
	Hunts    []defsync.Hunt
	Stream   string
	Backfill *defsync.BackfillRequest // nil for a pass
	Patience time.Duration
}

// TestHelperChild is not a test: it is the process that the tests of points end,
// stop and signal. It does what the program does: the first SIGTERM cancels, and
// the exit code says how the pass ended.
func TestHelperChild(t *testing.T) {
	text := os.Getenv(childEnv)
	if text == "" {
		t.Skip("runs only as the worker of another test")
	}
	var job childJob
	if err := json.Unmarshal([]byte(text), &job); err != nil {
		t.Fatal(err)
	}
	os.Exit(job.work(t))
}

func (job *childJob) work(t *testing.T) int {
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r := &rig{clock: &clock{now: job.Now}, dsn: job.DSN, url: job.URL, app: job.App, opt: rigOptions{dialect: job.Dialect, start: job.Days,
		limits: defender.Limits{PerMinute: 1 << 20, PerHour: 1 << 20}, patience: job.Patience}}
	for _, h := range job.Hunts {
		hunt, err := h.Resolve()
		if err != nil {
			t.Fatal(err)
		}
		r.opt.hunts = append(r.opt.hunts, hunt)
	}
	r.store = r.openStore(t)
	defer r.store.Close()
	w := r.newWorker(t, r.store, fmt.Sprintf("process %d", os.Getpid()))
	if job.Backfill != nil {
		return told(w.Backfill(ctx, *job.Backfill))
	}
	return told(w.Sync(ctx, "", []string{job.Stream}))
}

// told prints how a pass ended, and returns the exit code that the program would.
func told(results []defsync.Result) (code int) {
	for _, res := range results {
		fmt.Printf("%s: %v\n", res.Outcome, res.Err)
		switch {
		case errors.Is(res.Err, store.ErrLeaseHeld) || errors.Is(res.Err, store.ErrFenced):
			code = 75
		case res.Outcome == defsync.OutcomeInterrupted:
			return 130
		case res.Outcome == defsync.OutcomeFailed:
			return 1
		case res.Outcome == defsync.OutcomePartial:
			code = 3
		}
	}
	return code
}

// child is a worker in a process of its own.
type child struct {
	cmd  *exec.Cmd
	says bytes.Buffer  // to be read when it has ended
	dead chan struct{} // closed then
}

// start begins the stream's pass, or the backfill, in a process.
func (s *stage) start(t testing.TB, job childJob) *child {
	t.Helper()
	job.DSN, job.URL, job.App, job.Now = s.throughGate, s.url, s.app, s.clock.Now()
	job.Dialect, job.Days = s.opt.dialect, s.opt.start
	for _, h := range s.opt.hunts {
		job.Hunts = append(job.Hunts, *h)
	}
	text, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(os.Args[0], "-test.run=^TestHelperChild$"), dead: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), childEnv+"="+string(text), "TMPDIR="+s.scratch)
	c.cmd.Stdout, c.cmd.Stderr = &c.says, &c.says
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.dead)
		_ = c.cmd.Wait() // how it ended is in its state
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // an error is that it has ended
		<-c.dead
	})
	return c
}

// ended waits for the child to end, by a bound that only a hang reaches.
func (c *child) ended(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	select {
	case <-c.dead:
	case <-ctx.Done():
		t.Fatal("the process does not end")
	}
}

// killed says whether a signal ended it.
func (c *child) killed() bool {
	status, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled()
}

// kill ends it with SIGKILL and returns when it is no more.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	<-c.dead
}

// told is what it said of its pass.
func (c *child) told() string { return strings.TrimSpace(c.says.String()) }
