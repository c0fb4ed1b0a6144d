package sync_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"
)

// TestEdgeMovesOn: while an answer is waited for, the service forgets the begin
// of its window. What it had forgotten when it answered is not called complete.
func TestEdgeMovesOn(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		tables := defendersim.NewHunting()
		tables.AddTable(processTable)
		now := newClock().Now()
		for i := range 40 * 24 * 6 {
			tables.AddRows(processTable.Name, process(now.Add(40*24*time.Hour-time.Duration(i)*10*time.Minute), i))
		}
		r := newHuntRig(t, huntOptions{rigOptions: rigOptions{dialect: d, changing: 25 * time.Minute, start: 1}, tables: tables, hunts: threeHunts()[:1], cap: 1000})
		r.worker.Sync(t.Context(), "", nil)
		r.clock.advance(34 * 24 * time.Hour)
		r.worker.Sync(t.Context(), "", nil)
		r.completeIsStored(t)
		r.vouched(t)
	})
}

// completeIsStored fails for each process that is not stored although its time
// is called complete.
func (r *rig) completeIsStored(t *testing.T) {
	t.Helper()
	complete := query[struct{ From, To time.Time }](t, r.db, `SELECT from_time, to_time FROM sync.coverage WHERE verdict = 'complete'`)
	stored := map[time.Time]bool{}
	for _, row := range query[struct{ At time.Time }](t, r.db, `SELECT "timestamp" FROM hunting.device_process_events`) {
		stored[row.At.UTC()] = true
	}
	if len(complete) == 0 || len(stored) == 0 {
		t.Fatal("nothing was read")
	}
	for _, row := range r.opt.sim.Hunting.Rows(processTable.Name, r.clock.Now()) {
		at := defendersim.HuntTicks(row.Ticks).Time()
		for _, c := range complete {
			if !at.Before(c.From) && at.Before(c.To) && !stored[at] {
				t.Errorf("the row of %s is missing, and %s to %s is called complete", at, c.From, c.To)
			}
		}
	}
}

// TestCrowdOverTheEdge: a microsecond that was left half read is no longer to be
// had when it is gone on with. The slices that are left would be empty.
func TestCrowdOverTheEdge(t *testing.T) {
	at := newClock().Now().Add(-3 * time.Hour)
	r := newHuntRig(t, huntOptions{tables: crowdOf(300, at), hunts: threeHunts()[:1], cap: 100})
	off := r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultStatus, Status: 403, Endpoint: defendersim.Hunting, Skip: 1, Query: isSlice})
	if res := r.worker.Sync(t.Context(), "", nil)[0]; res.Outcome != defsync.OutcomeFailed {
		t.Fatalf("the pass ended %+v", res)
	}
	off()
	r.clock.advance(31 * 24 * time.Hour)
	if res := r.worker.Sync(t.Context(), "", nil)[0]; res.Outcome != defsync.OutcomePartial {
		t.Errorf("the pass ended %+v", res)
	}
	if v := value[string](t, r.db, `SELECT verdict FROM sync.coverage WHERE from_time <= '`+at.Format(time.RFC3339)+`' AND to_time > '`+at.Format(time.RFC3339)+`'`); v != "failed" {
		t.Errorf("the microsecond is %s, and most of it was never read", v)
	}
	r.vouched(t)
}

// crowdOf is a few processes, and n in one microsecond.
func crowdOf(n int, at time.Time) *defendersim.HuntTables {
	tables := manyProcesses(50)
	for i := range n {
		tables.AddRows(processTable.Name, process(at, 1000+i))
	}
	return tables
}

func isSlice(text, _ string) bool { return strings.Contains(text, "hash(tostring(") }

// TestPartialSlice: the service says of one slice that rows are missing. The
// microsecond is not complete, although all the other slices are.
func TestPartialSlice(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		r := newHuntRig(t, huntOptions{rigOptions: rigOptions{dialect: d}, tables: crowdOf(300, newClock().Now().Add(-3*time.Hour)), hunts: threeHunts()[:1], cap: 100})
		r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultPartial, Endpoint: endpointOf(d), Times: 1, Query: isSlice})
		if res := r.worker.Sync(t.Context(), "", nil)[0]; res.Outcome != defsync.OutcomePartial || res.Gaps != 1 {
			t.Errorf("the pass ended %+v", res)
		}
		r.sync(t)
		r.huntEqualsSource(t)
		r.vouched(t)
	})
}

// TestFullSliceIsHalved: how many rows a microsecond holds cannot be counted, so
// the slices that it is read in are too few, and their answers full.
func TestFullSliceIsHalved(t *testing.T) {
	r := newHuntRig(t, huntOptions{tables: crowdOf(900, newClock().Now().Add(-3*time.Hour)), hunts: threeHunts()[:1], cap: 100})
	r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultStatus, Endpoint: defendersim.Hunting, Status: 500,
		Match: func(req *http.Request) bool { return !fetches(req) }})
	r.sync(t)
	r.huntEqualsSource(t)
	r.vouched(t)
}

// TestOutageInACrowd: the service goes down while a microsecond is read in
// slices. That fails the pass, and says nothing about the microsecond.
func TestOutageInACrowd(t *testing.T) {
	r := newHuntRig(t, huntOptions{tables: crowdOf(300, newClock().Now().Add(-3*time.Hour)), hunts: threeHunts()[:1], cap: 100})
	var down atomic.Bool
	off := r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultStatus, Endpoint: defendersim.Hunting, Status: 500,
		Match: func(req *http.Request) bool {
			if isSlice(queryOf(req), "") {
				down.Store(true)
			}
			return down.Load()
		}})
	if res := r.worker.Sync(t.Context(), "", nil)[0]; res.Outcome != defsync.OutcomeFailed || res.Quarantined > 0 {
		t.Errorf("the pass ended %+v", res)
	}
	if n := value[int64](t, r.db, `SELECT count(*) FROM sync.coverage WHERE verdict <> 'complete'`); n != 0 {
		t.Errorf("%d ranges are called incomplete by an outage", n)
	}
	off()
	r.sync(t)
	r.huntEqualsSource(t)
	r.vouched(t)
}
