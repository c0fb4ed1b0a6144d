package sync_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"defendersync/store"
	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"
)

// TestTwoWorkersShareATenant lets two workers follow one schedule on one tenant
// that changes. One of them makes each pass: never two at once, and not twice
// the calls (P6).
func TestTwoWorkersShareATenant(t *testing.T) {
	t.Parallel()
	opt := rigOptions{going: true, schedule: "@every 1s", world: defendersim.WorldOptions{Seed: 5, Incidents: 60}}
	opt.sim.ChangeEvery = 1
	r := newRig(t, opt)
	workers := []*defsync.Worker{r.worker, r.newWorker(t, r.openStore(t), "second")}
	const long = 8 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	var wg sync.WaitGroup
	for _, w := range workers {
		wg.Go(func() { w.Run(ctx) })
	}
	wg.Wait()
	const overlapping = `
		SELECT count(*) FROM sync.runs AS a JOIN sync.runs AS b USING (tenant_id)
		WHERE a.fence < b.fence AND b.started_at < coalesce(a.finished_at, 'infinity')`
	if n := value[int64](t, r.db, overlapping); n != 0 {
		t.Errorf("%d runs of two workers at once", n)
	}
	passes := value[int64](t, r.db, `SELECT count(*) FROM sync.runs WHERE stream = 'incidents'`)
	t.Logf("%d passes and %d calls in %s", passes, r.sim.Calls(), long)
	if most := int64(long/time.Second) + 2; passes > most || passes < 3 {
		t.Errorf("%d passes of incidents in %s, want one a second and no more than %d", passes, long, most)
	}
	if n := value[int64](t, r.db, `SELECT count(*) FROM sync.runs WHERE outcome NOT IN ('ok', 'interrupted')`); n != 0 {
		t.Errorf("%d passes failed", n)
	}
	r.world.Freeze()
	r.clock.advance(10 * time.Minute)
	r.sync(t)
	r.equalsWorld(t)
	r.vouched(t)
}

// said is a log of which each line is sent.
type said chan string

func (s said) Write(line []byte) (int, error) {
	s <- string(line)
	return len(line), nil
}

// TestStandingByIsSaid: a worker that never gets the tenant says so, and who has it,
// once, and not at each of its firings.
func TestStandingByIsSaid(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{going: true, schedule: "@every 1s", world: defendersim.WorldOptions{Incidents: 5}})
	for _, owner := range []string{"second", "third"} {
		r.expireLease(t)
		if _, err := r.store.Acquire(t.Context(), r.app.TenantID, owner, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	log := make(said, 100)
	w, err := defsync.NewWorker(defsync.WorkerConfig{Store: r.store, Tenants: []defsync.Tenant{r.tenant}, Owner: "first", Command: "run", Now: r.clock.Now,
		Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan struct{})
	go func() { defer close(ended); w.Run(ctx) }()
	var standing []string
	for line := range log {
		if strings.Contains(line, "standing by") {
			standing = append(standing, line)
			time.AfterFunc(3*time.Second, func() { cancel(); <-ended; close(log) }) // a few firings later
		}
	}
	if len(standing) != 1 || !strings.Contains(standing[0], "holder=third") {
		t.Errorf("it said %q", standing)
	}
}

// TestPausedWorkerCannotWrite takes the tenant from a worker between its
// request and its commit, as a pause of a minute does. It writes nothing more,
// and says why it ended (P6).
func TestPausedWorkerCannotWrite(t *testing.T) {
	t.Parallel()
	taken := make(chan store.Lease, 1)
	var r *rig
	opt := rigOptions{world: defendersim.WorldOptions{Seed: 5, Incidents: 300}}
	opt.sim.OnAnswer = func(n int) {
		if n != 3 {
			return
		}
		r.expireLease(t)
		lease, err := r.store.Acquire(t.Context(), r.app.TenantID, "second", time.Minute)
		if err != nil {
			t.Error(err)
		}
		taken <- lease
	}
	r = newRig(t, opt)
	results := r.worker.Sync(t.Context(), "", nil)
	for _, res := range results {
		if !errors.Is(res.Err, store.ErrFenced) || res.Outcome != defsync.OutcomeInterrupted {
			t.Errorf("%s ended %s: %v, want it fenced", res.Stream, res.Outcome, res.Err)
		}
	}
	if calls := r.sim.Calls(); calls != 3 {
		t.Errorf("the worker asked %d times, want no more after the third answer", calls)
	}
	const stored = `SELECT count(*) FROM defender.incidents`
	if n := value[int64](t, r.db, stored); n != 99 && n != 100 {
		t.Errorf("%d incidents stored, want those of two pages", n)
	}
	if err := r.store.Release(t.Context(), <-taken); err != nil {
		t.Fatal(err)
	}
	for _, res := range r.newWorker(t, r.openStore(t), "third").Sync(t.Context(), "", nil) {
		if res.Outcome != defsync.OutcomeOK {
			t.Errorf("%s ended %s: %v", res.Stream, res.Outcome, res.Err)
		}
	}
	r.equalsWorld(t)
	r.vouched(t)
}

// TestCallsOfAnotherWorkerCount hands a tenant over in the middle of a minute.
// What the first worker has used of the limit the second one has not (P5): it
// waits, and the service never has to refuse a call.
func TestCallsOfAnotherWorkerCount(t *testing.T) {
	t.Parallel()
	const limit = 20
	opt := rigOptions{going: true, limits: defender.Limits{PerMinute: limit, PerHour: 1000},
		world: defendersim.WorldOptions{Seed: 6, Incidents: 400}}
	r := newRig(t, opt)
	r.sync(t)
	first := r.sim.Calls()
	if first < limit/2 || first >= limit {
		t.Fatalf("the first pass made %d calls: this test wants more than half the limit", first)
	}
	if _, err := r.db.Exec(t.Context(), `UPDATE sync.checkpoints SET next_from = start_time`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	second := r.newWorker(t, r.openStore(t), "second").Sync(ctx, "", nil)
	if n := r.sim.Calls(); n <= first || n > limit {
		t.Errorf("two workers made %d calls in one minute, %d of them the first: want no more than the %d that are allowed", n, first, limit)
	}
	if got := second[len(second)-1].Outcome; got != defsync.OutcomeInterrupted {
		t.Errorf("the second worker's last pass ended %s, want it waiting until it is told to stop", got)
	}
}
