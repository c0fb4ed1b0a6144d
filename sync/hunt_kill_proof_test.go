package sync_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"
)

// fillerEnv tells this test binary that it is to backfill, and what.
const fillerEnv = "DEFENDERSYNC_PROOF_BACKFILL"

// fillerJob is what a process that backfills is told.
type fillerJob struct {
	DSN, URL string
	App      defendersim.Config
	Now      time.Time
	Dialect  defender.Dialect
	Table    string
	Cap      int
	From, To time.Time
	Parallel int
	Days     int // back to where the stream begins; 0 is as far as the rigs' do
}

// TestHelperBackfill is not a test: it is the process that TestKilledBackfill kills.
func TestHelperBackfill(t *testing.T) {
	text := os.Getenv(fillerEnv)
	if text == "" {
		t.Skip("runs only as the worker of another test")
	}
	r, job := rigOf(t, text)
	w := r.newWorker(t, r.openStore(t), fmt.Sprintf("process %d", os.Getpid()))
	for _, res := range w.Backfill(t.Context(), defsync.BackfillRequest{Stream: defsync.HuntingStream(job.Table), From: job.From, To: job.To, Parallel: job.Parallel}) {
		if res.Outcome != defsync.OutcomeOK {
			t.Fatalf("%s ended %s: %v", res.Stream, res.Outcome, res.Err)
		}
	}
}

// rigOf is the rig of the process that was told text, without what is its parent's.
func rigOf(t *testing.T, text string) (*rig, fillerJob) {
	t.Helper()
	var job fillerJob
	if err := json.Unmarshal([]byte(text), &job); err != nil {
		t.Fatal(err)
	}
	hunt, err := defsync.Hunt{Name: job.Table, Table: job.Table, Cap: job.Cap, AutoMigrate: true}.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	return &rig{clock: &clock{now: job.Now}, dsn: job.DSN, url: job.URL, app: job.App,
		opt: rigOptions{dialect: job.Dialect, hunts: []*defsync.Hunt{hunt}, start: job.Days}}, job
}

// backfillProcess starts a backfill of the last 29 days in a process of its own.
func (r *rig) backfillProcess(t *testing.T, h *defsync.Hunt, parallel int) *exec.Cmd {
	t.Helper()
	now := r.clock.Now()
	job, err := json.Marshal(fillerJob{DSN: r.dsn, URL: r.url, App: r.app, Now: now, Dialect: r.opt.dialect, Table: h.Table, Cap: h.Cap,
		From: now.Add(-29 * 24 * time.Hour), To: now, Parallel: parallel})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperBackfill$")
	cmd.Env = append(os.Environ(), fillerEnv+"="+string(job))
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// backfillKills is how often a backfill is killed.
const backfillKills = 20

// TestKilledBackfill kills a backfill of 29 days at random instants, in crowded
// microseconds too, and lets another go on. Nothing is lost, nothing is there
// twice, and each kill costs each of its readers one request at most.
func TestKilledBackfill(t *testing.T) {
	for _, parallel := range []int{1, 2} {
		t.Run(fmt.Sprint(parallel), func(t *testing.T) {
			t.Parallel()
			d := dialects[parallel-1]
			calm := newHuntRig(t, huntOptions{rigOptions: rigOptions{dialect: d}, tables: filled(3, fewer(12_000, 12_000, 6_000)), hunts: threeHunts()[1:2], cap: 1000})
			calm.backfill(t, parallel)
			k := &killer{answered: make(chan struct{}, 1<<10)}
			opt := huntOptions{rigOptions: rigOptions{dialect: d}, tables: filled(3, fewer(12_000, 12_000, 6_000)), hunts: threeHunts()[1:2], cap: 1000}
			opt.sim.OnAnswer = func(int) { k.answered <- struct{}{} }
			r := newHuntRig(t, opt)
			dead := r.killBackfills(t, k, parallel)
			lost, wasted := r.uncommitted(t), calm.uncommitted(t)
			t.Logf("%d killed, %d requests, %d of them for nothing; %d without a kill", dead, r.sim.Calls(), lost, calm.sim.Calls())
			if dead < fewer(backfillKills, 12, 4) {
				t.Errorf("only %d were killed", dead)
			}
			if wasted > 0 {
				t.Errorf("%d requests led to no commit although nobody was killed", wasted)
			}
			if lost > dead*parallel {
				t.Errorf("a kill cost a reader more than one request")
			}
			r.huntEqualsSource(t)
			r.vouched(t)
			if again := r.backfill(t, parallel); again.Calls != 0 || again.Inserted+again.Updated != 0 {
				t.Errorf("a backfill that is done asked again: %+v", again)
			}
		})
	}
}

// uncommitted is how many requests of a backfill led to nothing: what each one
// says, be it rows, a count or that it asked for too much, is kept by a commit.
func (r *rig) uncommitted(t *testing.T) int {
	t.Helper()
	return r.sim.Calls() - int(value[int64](t, r.db, `SELECT revision FROM sync.checkpoints`))
}

func (r *rig) killBackfills(t *testing.T, k *killer, parallel int) (dead int) {
	t.Helper()
	chance := rand.New(rand.NewPCG(4, 9))
	for done := false; !done; {
		n, after := 1+chance.IntN(2), time.Duration(chance.IntN(10_000))*time.Microsecond // a fast machine does not get far
		if dead >= fewer(backfillKills, 12, 4) {
			n = 1 << 20
		}
		if done = k.kill(t, r.backfillProcess(t, r.opt.hunts[0], parallel), n, after); !done {
			dead++
		}
		r.expireLease(t)
		for len(k.answered) > 0 {
			<-k.answered
		}
	}
	return dead
}

// backfill fills the last 29 days of the only stream, and fails unless that is complete.
func (r *rig) backfill(t testing.TB, parallel int) defsync.Result {
	t.Helper()
	now := r.clock.Now()
	res := r.worker.Backfill(t.Context(), defsync.BackfillRequest{Stream: defsync.HuntingStream(r.opt.hunts[0].Name),
		From: now.Add(-29 * 24 * time.Hour), To: now, Parallel: parallel})
	if len(res) != 1 || res[0].Outcome != defsync.OutcomeOK {
		t.Fatalf("the backfill ended %+v", res)
	}
	return res[0]
}
