package sync_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"
)

// TestBackfillMovesTheStartBack: a stream that began late is filled back to where
// it could have begun, in either order, and equals one that always read all of it.
func TestBackfillMovesTheStartBack(t *testing.T) {
	for _, newest := range []bool{false, true} {
		r := newHuntRig(t, huntOptions{rigOptions: rigOptions{start: 2}, tables: filled(8, 500), hunts: threeHunts()[1:2], cap: 200})
		r.sync(t)
		if n := value[int64](t, r.db, `SELECT count(*) FROM hunting.alert_evidence`); n > 200 {
			t.Fatalf("%d rows before the backfill: the stream did not begin late", n)
		}
		sent := len(r.sim.Requests())
		from := r.clock.Now().Add(-29 * 24 * time.Hour)
		res := r.worker.Backfill(t.Context(), defsync.BackfillRequest{Stream: "hunting/alert_evidence", From: from, To: r.clock.Now(), NewestFirst: newest, Parallel: 1})
		if res[0].Outcome != defsync.OutcomeOK || res[0].Inserted == 0 {
			t.Fatalf("the backfill ended %+v", res[0])
		}
		var began []time.Time
		for _, q := range r.huntCalls(sent) {
			if at, ok := windowOf(q.Query); ok {
				began = append(began, at)
			}
		}
		if first := began[0]; first.Equal(from) == newest {
			t.Errorf("newest first is %v, and the first window began at %s", newest, first)
		}
		r.huntEqualsSource(t)
		r.vouched(t)
		if cp := value[time.Time](t, r.db, `SELECT start_time FROM sync.checkpoints`); !cp.Equal(from) {
			t.Errorf("the stream begins at %s, want %s", cp, from)
		}
	}
}

// TestBackfillLeavesAPassWhereItIs: a pass that was cut off resumes where it was,
// whatever was filled in between.
func TestBackfillLeavesAPassWhereItIs(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		r := newHuntRig(t, huntOptions{rigOptions: rigOptions{dialect: d, start: 10}, tables: filled(8, 500), hunts: threeHunts()[1:2], cap: 200})
		off := r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultStatus, Endpoint: endpointOf(d), Status: 403, Skip: 3})
		if res := r.worker.Sync(t.Context(), "", nil)[0]; res.Outcome != defsync.OutcomeFailed {
			t.Fatalf("the pass ended %+v", res)
		}
		off()
		const resume = `SELECT resume_point->>'cursor' FROM sync.checkpoints`
		before := value[string](t, r.db, resume)
		r.worker.Backfill(t.Context(), defsync.BackfillRequest{Stream: "hunting/alert_evidence",
			From: r.clock.Now().Add(-20 * 24 * time.Hour), To: r.clock.Now().Add(-9 * 24 * time.Hour)})
		if after := value[string](t, r.db, resume); after != before {
			t.Errorf("the pass would resume at %s, and was cut off at %s", after, before)
		}
		r.sync(t)
		r.vouched(t)
	})
}

// TestBackfillAheadOfThePass: what the first pass has not come to yet is missing like
// anything else. It is read once, and what was read is not asked for again.
func TestBackfillAheadOfThePass(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		r := newHuntRig(t, huntOptions{rigOptions: rigOptions{dialect: d, start: 29}, tables: filled(8, 500), hunts: threeHunts()[1:2], cap: 200})
		off := r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultStatus, Endpoint: endpointOf(d), Status: 403, Skip: 4})
		if res := r.worker.Sync(t.Context(), "", nil)[0]; res.Outcome != defsync.OutcomeFailed {
			t.Fatalf("the pass ended %+v", res)
		}
		off()
		if n := value[int64](t, r.db, `SELECT count(*) FROM sync.checkpoints WHERE watermark < $1`, r.clock.Now().Add(-8*24*time.Hour)); n != 1 {
			t.Fatal("the pass did not begin, or came too far to be overtaken")
		}
		ahead := defsync.BackfillRequest{Stream: "hunting/alert_evidence", From: r.clock.Now().Add(-8 * 24 * time.Hour), To: r.clock.Now().Add(-2 * 24 * time.Hour)}
		if plan := r.worker.PlanBackfill(t.Context(), ahead)[0]; plan.Missing != 6*24*time.Hour || plan.Held != 0 {
			t.Errorf("the plan is %+v", plan)
		}
		if res := r.worker.Backfill(t.Context(), ahead)[0]; res.Outcome != defsync.OutcomeOK || res.Inserted == 0 {
			t.Errorf("the backfill ended %+v", res)
		}
		if plan := r.worker.PlanBackfill(t.Context(), ahead)[0]; plan.Missing != 0 || plan.Held != 6*24*time.Hour {
			t.Errorf("then the plan is %+v", plan)
		}
		if res := r.worker.Backfill(t.Context(), ahead)[0]; res.Outcome != defsync.OutcomeOK || res.Read != 0 || res.Calls != 0 {
			t.Errorf("the same again ended %+v", res)
		}
		r.sync(t)
		r.huntEqualsSource(t)
		r.vouched(t)
	})
}

// TestBackfillIsStartedAgainLater: an age is another instant by then. What it began
// with is read, too; and what was never asked for does not make it partial.
func TestBackfillIsStartedAgainLater(t *testing.T) {
	for later, left := range map[time.Duration]int64{7 * time.Second: 0, 3 * time.Hour: 1} {
		r := newHuntRig(t, huntOptions{rigOptions: rigOptions{start: 2}, tables: filled(8, 500), hunts: threeHunts()[1:2], cap: 200})
		r.sync(t)
		again := func() defsync.Result {
			now := r.clock.Now()
			return r.worker.Backfill(t.Context(), defsync.BackfillRequest{Stream: "hunting/alert_evidence", From: now.Add(-20 * 24 * time.Hour), To: now.Add(-24 * time.Hour)})[0]
		}
		off := r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultStatus, Endpoint: defendersim.Hunting, Status: 403})
		if res := again(); res.Outcome != defsync.OutcomeFailed {
			t.Fatalf("the backfill ended %+v", res)
		}
		off()
		r.clock.advance(later)
		if res := again(); res.Outcome != defsync.OutcomeOK || res.Inserted == 0 {
			t.Errorf("%s later it ended %+v", later, res)
		}
		if n := value[int64](t, r.db, `SELECT count(*) FROM sync.gaps`); n != left {
			t.Errorf("%s later %d gaps are left, want %d", later, n, left)
		}
		r.vouched(t)
	}
}

// TestBackfillSaysWhatIsOutOfReach: before the edge there is nothing to be had.
func TestBackfillSaysWhatIsOutOfReach(t *testing.T) {
	r := newHuntRig(t, huntOptions{tables: filled(8, 100), hunts: threeHunts()[:1]})
	now := r.clock.Now()
	res := r.worker.Backfill(t.Context(), defsync.BackfillRequest{Stream: "hunting/device_process_events", From: now.Add(-60 * 24 * time.Hour), To: now})[0]
	if res.Outcome != defsync.OutcomePartial || res.Beyond < 30*24*time.Hour || !strings.Contains(res.Warning, "30 days of the range are older") {
		t.Errorf("the backfill ended %+v", res)
	}
	r.huntEqualsSource(t)
}

// TestBackfillRefusesWhatHasNoPast: a query about the present would store empty
// hours, and a snapshot shows what is there now.
func TestBackfillRefusesWhatHasNoPast(t *testing.T) {
	for want, h := range map[string]defsync.Hunt{
		"ago()":         {Name: "recent", Query: "DeviceProcessEvents\n| where Timestamp > ago(1h)"},
		"mode snapshot": {Name: weaknessTable.Name, Table: weaknessTable.Name},
	} {
		r := newHuntRig(t, huntOptions{tables: filled(8, 10), hunts: []defsync.Hunt{h}})
		res := r.worker.Backfill(t.Context(), defsync.BackfillRequest{Stream: defsync.HuntingStream(h.Name), From: r.clock.Now().Add(-time.Hour), To: r.clock.Now()})[0]
		if res.Outcome != defsync.OutcomeFailed || res.Err == nil || !strings.Contains(res.Err.Error(), want) || res.Calls > 0 {
			t.Errorf("the backfill ended %+v, want an error about %s", res, want)
		}
	}
}

// TestBackfillByTimespan is complete to its end, whatever the fraction of the
// second is: a Timespan has whole seconds.
func TestBackfillByTimespan(t *testing.T) {
	r := newHuntRig(t, huntOptions{tables: manyProcesses(400), hunts: []defsync.Hunt{{Name: "dirs", Query: dirs, Window: defsync.WindowTimespan}}, cap: 100})
	r.clock.advance(345678 * time.Microsecond)
	now := r.clock.Now()
	res := r.worker.Backfill(t.Context(), defsync.BackfillRequest{Stream: "hunting/dirs", From: now.Add(-10 * 24 * time.Hour), To: now})[0]
	if res.Outcome != defsync.OutcomeOK || res.Inserted != 200 {
		t.Errorf("the backfill ended %+v", res)
	}
	r.vouched(t)
}

// TestBackfillHasTwoReaders: of one stretch, too, two windows are asked for at a time.
func TestBackfillHasTwoReaders(t *testing.T) {
	var mu sync.Mutex
	inFlight, most := 0, 0
	count := func(n int) func(int) {
		return func(int) {
			mu.Lock()
			defer mu.Unlock()
			inFlight += n
			most = max(most, inFlight)
		}
	}
	opt := huntOptions{tables: manyProcesses(3000), hunts: threeHunts()[:1], cap: 100}
	opt.sim.OnRequest, opt.sim.OnAnswer = count(1), count(-1)
	r := newHuntRig(t, opt)
	r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultSlow, Endpoint: defendersim.Hunting, Delay: 20 * time.Millisecond})
	now := r.clock.Now()
	r.worker.Backfill(t.Context(), defsync.BackfillRequest{Stream: "hunting/device_process_events", From: now.Add(-25 * 24 * time.Hour), To: now})
	if most != 2 {
		t.Errorf("at most %d requests were in flight, want 2", most)
	}
	r.huntEqualsSource(t)
	r.vouched(t)
}

// TestBackfillClockAhead: this machine calls the past what is still to come at
// the service, and vouches for none of it.
func TestBackfillClockAhead(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		r := newHuntRig(t, huntOptions{rigOptions: rigOptions{dialect: d}, tables: manyProcesses(100), hunts: threeHunts()[:1], cap: 1000})
		served := r.clock.Now()
		r.clock = &clock{now: served.Add(3 * time.Hour)} // the worker's, not the service's
		w := r.newWorker(t, r.openStore(t), "ahead")
		res := w.Backfill(t.Context(), defsync.BackfillRequest{Stream: "hunting/device_process_events", From: served.Add(-24 * time.Hour), To: r.clock.Now()})[0]
		if res.Outcome != defsync.OutcomePartial {
			t.Errorf("the backfill ended %+v", res)
		}
		if to := value[time.Time](t, r.db, `SELECT max(to_time) FROM sync.coverage WHERE verdict = 'complete'`); to.After(served.Add(-2 * time.Minute)) {
			t.Errorf("complete up to %s, and the service has only come to %s", to, served)
		}
		r.vouched(t)
	})
}

// TestPlanIsWhatHappens: the plan stores nothing and asks for counts alone; then
// the backfill reads the rows that it said, in about as many requests.
func TestPlanIsWhatHappens(t *testing.T) {
	r := newHuntRig(t, huntOptions{tables: manyProcesses(5000), hunts: threeHunts()[:1], cap: 1000})
	req := defsync.BackfillRequest{Stream: "hunting/device_process_events", From: r.clock.Now().Add(-25 * 24 * time.Hour), To: r.clock.Now(), Parallel: 1}
	plan := r.worker.PlanBackfill(t.Context(), req)[0]
	if plan.Err != nil || plan.Rows < 4950 || plan.Rows > 5050 || plan.Counted != 1 || plan.Held != 0 || plan.Disk == 0 {
		t.Fatalf("the plan is %+v", plan)
	}
	if n := value[int64](t, r.db, `SELECT count(*) FROM sync.checkpoints`); n != 0 {
		t.Error("the plan stored a checkpoint")
	}
	res := r.worker.Backfill(t.Context(), req)[0]
	if res.Read != 5000 || res.Calls > plan.Calls+plan.Calls/2 || res.Calls < plan.Calls/2 {
		t.Errorf("%d rows in %d calls, planned were %d in %d", res.Read, res.Calls, plan.Rows, plan.Calls)
	}
	if again := r.worker.PlanBackfill(t.Context(), req)[0]; again.Rows != 0 || again.Calls != 0 || again.Missing != 0 || again.Held == 0 {
		t.Errorf("after the backfill the plan is %+v", again)
	}
}

// TestIncidentsAreBackfilledAndCompared: the older part of incidents and alerts is
// filled, and what vanished from the copy is found by the source's own count.
func TestIncidentsAreBackfilledAndCompared(t *testing.T) {
	r := newRig(t, rigOptions{world: defendersim.WorldOptions{Seed: 3, Incidents: 200}, start: 5})
	r.sync(t)
	now := r.clock.Now()
	for _, stream := range []string{"incidents", "alerts"} {
		plan := r.worker.PlanBackfill(t.Context(), defsync.BackfillRequest{Stream: stream, From: now.Add(-170 * 24 * time.Hour), To: now})[0]
		if plan.Err != nil || plan.Rows == 0 {
			t.Errorf("the plan of %s is %+v", stream, plan)
		}
		res := r.worker.Backfill(t.Context(), defsync.BackfillRequest{Stream: stream, From: now.Add(-170 * 24 * time.Hour), To: now})[0]
		if res.Outcome != defsync.OutcomeOK {
			t.Fatalf("the backfill of %s ended %+v", stream, res)
		}
	}
	r.equalsWorld(t)
	r.vouched(t)
	if _, err := r.db.Exec(t.Context(), `DELETE FROM defender.incidents WHERE incident_id IN (
		SELECT incident_id FROM defender.incidents WHERE last_update_date_time < $1 ORDER BY last_update_date_time DESC LIMIT 3)`, now.Add(-48*time.Hour)); err != nil {
		t.Fatal(err)
	}
	results := r.reconcile(t, defsync.ReconcileRequest{Streams: []string{"incidents", "alerts"}})
	if i := results[0]; i.Source-i.Stored != 3 || i.Differing == 0 || i.Healed != i.Differing {
		t.Errorf("incidents: %+v", i)
	}
	if a := results[1]; a.Differing != 0 || a.Checked != 29 {
		t.Errorf("alerts: %+v", a)
	}
	r.equalsWorld(t)
}

// TestRangeOfAComparisonIsWidened: a range that is not of whole days is compared with
// the days that it touches, and not with fewer or none.
func TestRangeOfAComparisonIsWidened(t *testing.T) {
	r := newRig(t, rigOptions{world: defendersim.WorldOptions{Seed: 3, Incidents: 100}, start: 20})
	r.sync(t)
	now := r.clock.Now()
	for _, c := range []struct {
		from, to time.Duration // ago
		checked  int
	}{
		{48 * time.Hour, 24 * time.Hour, 2}, {30 * time.Hour, 29 * time.Hour, 1}, {48 * time.Hour, 0, 2}, {3 * time.Hour, 0, 0},
	} {
		q := defsync.ReconcileRequest{Streams: []string{"incidents"}, From: now.Add(-c.from), To: now.Add(-c.to), DryRun: true}
		got := r.reconcile(t, q)[0]
		if got.Checked != c.checked || (got.Skipped == "") != (c.checked > 0) {
			t.Errorf("from %s to %s ago: %+v", c.from, c.to, got)
		}
		if c.checked > 0 && (got.From.After(q.From) || got.To.Before(q.To) && c.to > 0) {
			t.Errorf("from %s to %s ago: compared from %s to %s", c.from, c.to, got.From, got.To)
		}
	}
}

// TestOlderIncidentsCannotBeCompared says so, and does not call that agreement.
func TestOlderIncidentsCannotBeCompared(t *testing.T) {
	r := newRig(t, rigOptions{dialect: defender.Older, world: defendersim.WorldOptions{Incidents: 20}})
	r.sync(t)
	results := r.reconcile(t, defsync.ReconcileRequest{})
	if len(results) != 1 || !strings.Contains(results[0].Skipped, "does not count") {
		t.Errorf("%+v", results)
	}
	if !slices.Equal(r.streams(), []string{"incidents"}) {
		t.Error("the older API has another stream")
	}
}
