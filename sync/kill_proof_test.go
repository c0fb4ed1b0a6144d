package sync_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"
)

// helperEnv tells this test binary that it is to be a worker, and what for.
const helperEnv = "DEFENDERSYNC_PROOF_WORKER"

// TestHelperWorker is not a test: it is the process that other tests kill. It
// makes one pass of one stream and says whether that was complete.
func TestHelperWorker(t *testing.T) {
	f := strings.Split(os.Getenv(helperEnv), "\n")
	if len(f) != 8 {
		t.Skip("runs only as the worker of another test")
	}
	now, err := time.Parse(time.RFC3339Nano, f[5])
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{clock: &clock{now: now}, dsn: f[0], url: f[1], app: defendersim.Config{TenantID: f[2], ClientID: f[3], Secret: f[4]},
		opt: rigOptions{dialect: defender.Dialect(f[6])}}
	w := r.newWorker(t, r.openStore(t), fmt.Sprintf("process %d", os.Getpid()))
	for _, res := range w.Sync(t.Context(), "", []string{f[7]}) {
		if res.Outcome != defsync.OutcomeOK {
			t.Fatalf("%s ended %s: %v", res.Stream, res.Outcome, res.Err)
		}
	}
}

// process starts a worker in a process of its own.
func (r *rig) process(t *testing.T, stream string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperWorker$")
	cmd.Env = append(os.Environ(), helperEnv+"="+strings.Join([]string{r.dsn, r.url, r.app.TenantID, r.app.ClientID, r.app.Secret,
		r.clock.Now().Format(time.RFC3339Nano), string(r.opt.dialect), stream}, "\n"))
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// expireLease does at once what waiting for a dead worker's lease would do.
func (r *rig) expireLease(t testing.TB) {
	t.Helper()
	if _, err := r.db.Exec(t.Context(), `UPDATE sync.leases SET until = clock_timestamp()`); err != nil {
		t.Fatal(err)
	}
}

// killer counts the requests of the process that is alive, and tells when it
// is to die.
type killer struct {
	answered chan struct{}
}

// kill ends the process a moment after it was answered for the n-th time,
// unless it ends by itself. It says whether the process finished its work.
func (k *killer) kill(t *testing.T, cmd *exec.Cmd, n int, after time.Duration) (finished bool) {
	t.Helper()
	exit := make(chan error, 1)
	go func() { exit <- cmd.Wait() }()
	for range n {
		select {
		case <-k.answered:
		case err := <-exit:
			return exited(t, err)
		case <-time.After(time.Minute):
			t.Fatal("the worker neither asks nor ends")
		}
	}
	select {
	case err := <-exit:
		return exited(t, err)
	case <-time.After(after): // the instant
	}
	_ = cmd.Process.Kill() // an error is that it has just ended
	return exited(t, <-exit)
}

func exited(t *testing.T, err error) bool {
	t.Helper()
	if err == nil {
		return true
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() >= 0 {
		t.Fatalf("the worker failed by itself: %v", err)
	}
	return false
}

// kills is how often workers are killed, for each dialect.
const kills = 30

// TestKilledWorkers kills workers with SIGKILL at random instants, and lets
// others go on. Nothing is lost and nothing is there twice (P1), no kill costs
// more than one request (P7), and the ledger has no hole (P3).
func TestKilledWorkers(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		calm := newRig(t, rigOptions{dialect: d, world: killedWorld})
		calm.sync(t)
		k := &killer{answered: make(chan struct{}, 1<<10)}
		opt := rigOptions{dialect: d, world: killedWorld}
		opt.sim.OnAnswer = func(int) { k.answered <- struct{}{} }
		r := newRig(t, opt)
		dead, calls := r.killAll(t, k)
		t.Logf("%d killed, %d requests, %d without a kill", dead, calls, calm.sim.Calls())
		if dead < fewer(kills, 15, 5) {
			t.Errorf("only %d workers were killed", dead)
		}
		if calls > calm.sim.Calls()+dead {
			t.Errorf("more than one request was repeated for a kill")
		}
		r.equalsWorld(t)
		r.vouched(t)
		r.unmarked(t)
	})
}

// killAll syncs a tenant by workers that are killed one after the other, and
// counts the requests that this took. When enough are dead, the next may finish.
func (r *rig) killAll(t *testing.T, k *killer) (dead, calls int) {
	t.Helper()
	chance := rand.New(rand.NewPCG(1, 9))
	for _, stream := range r.streams() {
		for done := false; !done; {
			n, after := 1+chance.IntN(2), time.Duration(chance.IntN(50_000))*time.Microsecond
			another := r.passEnded(t, stream) // the last one died between its last commit and its exit
			if another || dead >= fewer(kills, 15, 5) {
				n = 1 << 20
			}
			before := r.sim.Calls()
			if done = k.kill(t, r.process(t, stream), n, after); !done {
				dead++
			}
			if !another { // a second pass repeats nothing: it reads the overlap again, as each pass does
				calls += r.sim.Calls() - before
			}
			r.expireLease(t)
			for len(k.answered) > 0 {
				<-k.answered
			}
		}
	}
	return dead, calls
}

// passEnded says whether the stream's pass has committed all that it had to.
func (r *rig) passEnded(t *testing.T, stream string) bool {
	t.Helper()
	var ended bool
	err := r.db.QueryRow(t.Context(), `SELECT count(*) > 0 FROM sync.checkpoints
		WHERE stream = $1 AND resume_point IS NULL AND passed_at IS NOT NULL`, stream).Scan(&ended)
	if err != nil {
		t.Fatal(err)
	}
	return ended
}

// killedWorld has a tie that takes both dialects several pages.
var killedWorld = defendersim.WorldOptions{Seed: 1, Incidents: 600, Tie: 130}

// streams are the names of the streams that the dialect has.
func (r *rig) streams() []string {
	if r.opt.dialect == defender.Older {
		return []string{defsync.IncidentsStream}
	}
	return []string{defsync.IncidentsStream, defsync.AlertsStream}
}

// unmarked fails where reading an unchanged tenant more than once has left a
// mark: a history of what never changed, ranges that overlap, a run under way.
func (r *rig) unmarked(t testing.TB) {
	t.Helper()
	for what, count := range map[string]string{
		"changes of incidents": `SELECT count(*) FROM defender.incident_history`,
		"changes of alerts":    `SELECT count(*) FROM defender.alert_history`,
		"records quarantined":  `SELECT count(*) FROM sync.quarantine`,
		"runs still under way": `SELECT count(*) FROM sync.runs WHERE outcome = 'running'`,
		"ranges that overlap": `SELECT count(*) FROM sync.coverage AS a JOIN sync.coverage AS b USING (tenant_id, stream)
			WHERE a.from_time < b.from_time AND b.from_time < a.to_time`,
		"passes not ended": `SELECT count(*) FROM sync.checkpoints WHERE resume_point IS NOT NULL OR passed_at IS NULL`,
	} {
		if n := value[int64](t, r.db, count); n != 0 {
			t.Errorf("%d %s", n, what)
		}
	}
}

// TestDeadWorkersTenantIsTakenOver waits out the lease of a worker that was
// killed, as the next one does: a minute is the promise.
func TestDeadWorkersTenantIsTakenOver(t *testing.T) {
	t.Parallel()
	k := &killer{answered: make(chan struct{}, 1<<10)}
	opt := rigOptions{world: defendersim.WorldOptions{Incidents: 200}}
	opt.sim.OnAnswer = func(int) { k.answered <- struct{}{} }
	r := newRig(t, opt)
	if k.kill(t, r.process(t, defsync.IncidentsStream), 2, 0) {
		t.Fatal("the worker was not killed")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, res := range r.worker.Sync(ctx, "", nil) {
		if res.Outcome != defsync.OutcomeOK {
			t.Errorf("%s ended %s: %v", res.Stream, res.Outcome, res.Err)
		}
	}
	r.equalsWorld(t)
	if n := value[int64](t, r.db, `SELECT count(*) FROM sync.runs WHERE outcome = 'interrupted'`); n != 1 {
		t.Errorf("%d runs are marked as interrupted, want the dead worker's", n)
	}
}
