package sync_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"
)

// manyProcesses is a table of n processes, evenly spread over the last 20 days.
func manyProcesses(n int) *defendersim.HuntTables {
	tables := defendersim.NewHunting()
	tables.AddTable(processTable)
	now := newClock().Now()
	for i := range n {
		tables.AddRows(processTable.Name, process(now.Add(-10*time.Minute-time.Duration(i)*20*24*time.Hour/time.Duration(n)), i))
	}
	return tables
}

// endpointOf is where the dialect's queries go.
func endpointOf(d defender.Dialect) defendersim.Endpoint {
	if d == defender.Older {
		return defendersim.OlderHunting
	}
	return defendersim.Hunting
}

// TestOversizeSplits: an answer that would be too large is an error of the
// service, and asking for less is the cure.
func TestOversizeSplits(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		r := newHuntRig(t, huntOptions{rigOptions: rigOptions{dialect: d, sim: defendersim.Options{HuntMaxBytes: 40_000}},
			tables: manyProcesses(900), hunts: threeHunts()[:1], cap: 1000})
		r.sync(t)
		r.huntEqualsSource(t)
		r.vouched(t)
	})
}

// TestTimeoutsNarrow: three times what is asked for takes too long. The windows
// get narrower and the stream goes on.
func TestTimeoutsNarrow(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		r := newHuntRig(t, huntOptions{rigOptions: rigOptions{dialect: d}, tables: manyProcesses(900), hunts: threeHunts()[:1], cap: 1000})
		r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultStatus, Endpoint: endpointOf(d), Status: 504, Match: fetches, Times: 3})
		r.sync(t)
		r.huntEqualsSource(t)
		r.vouched(t)
	})
}

// TestServiceDownFailsThePass: where not even a count of nothing is answered, it
// is the service, and nothing may be recorded of a window.
func TestServiceDownFailsThePass(t *testing.T) {
	for _, status := range []int{500, 503, 504} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			r := newHuntRig(t, huntOptions{tables: manyProcesses(300), hunts: threeHunts()[:1], cap: 1000})
			off := r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultStatus, Endpoint: defendersim.Hunting, Status: status})
			for _, res := range r.worker.Sync(t.Context(), "", nil) {
				if res.Outcome != defsync.OutcomeFailed || res.Err == nil {
					t.Errorf("the pass ended %s: %v", res.Outcome, res.Err)
				}
			}
			if n := value[int64](t, r.db, `SELECT count(*) FROM sync.coverage`); n != 0 {
				t.Errorf("%d ranges were recorded of a service that did not answer", n)
			}
			off()
			r.sync(t)
			r.huntEqualsSource(t)
		})
	}
}

// TestBadWindowIsFlagged: one stretch of time makes the service fail whatever is
// asked of it. It is isolated and listed, everything else is stored, and when
// the service has mended a later pass fills it.
func TestBadWindowIsFlagged(t *testing.T) {
	r := newHuntRig(t, huntOptions{tables: manyProcesses(300), hunts: threeHunts()[:1], cap: 1000})
	bad := newClock().Now().Add(-5 * 24 * time.Hour).Truncate(time.Hour).Add(time.Microsecond)
	off := r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultStatus, Endpoint: defendersim.Hunting, Status: 500, Match: holds(bad)})
	results := r.worker.Sync(t.Context(), "", nil)
	if results[0].Outcome != defsync.OutcomePartial || results[0].Gaps != 1 {
		t.Fatalf("the pass ended %+v", results[0])
	}
	gaps := query[struct{ From, To time.Time }](t, r.db, `SELECT from_time, to_time FROM sync.gaps`)
	if len(gaps) != 1 || !gaps[0].From.Equal(bad) || gaps[0].To.Sub(gaps[0].From) != time.Microsecond {
		t.Errorf("gaps %v, want the microsecond of %s", gaps, bad)
	}
	r.vouched(t)
	off()
	r.sync(t)
	r.huntEqualsSource(t)
}

// TestAnswersThatBreakOff are read again, and leave nothing twice: not where a key
// would fold it, nor where equal rows are counted.
func TestAnswersThatBreakOff(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		for _, kind := range []defendersim.FaultKind{defendersim.FaultCut, defendersim.FaultCutHalf, defendersim.FaultTruncated,
			defendersim.FaultNotJSON, defendersim.FaultDuplicate, defendersim.FaultThrottle} {
			r := newHuntRig(t, huntOptions{rigOptions: rigOptions{dialect: d}, tables: manyProcesses(200), hunts: threeHunts()[:1], cap: 100})
			r.sim.Inject(defendersim.Fault{Kind: kind, Endpoint: endpointOf(d), Skip: 1, Times: 2})
			r.sync(t)
			r.huntEqualsSource(t)
			r.vouched(t)
		}
		for _, kind := range []defendersim.FaultKind{defendersim.FaultCut, defendersim.FaultCutHalf, defendersim.FaultTruncated} {
			r := newHuntRig(t, huntOptions{rigOptions: rigOptions{dialect: d}, tables: filled(3, 200), hunts: threeHunts()[1:2], cap: 1000})
			r.sim.Inject(defendersim.Fault{Kind: kind, Endpoint: endpointOf(d), Skip: 1, Times: 2})
			r.sync(t)
			r.huntEqualsSource(t)
			r.vouched(t)
		}
	})
}

// TestPartialHuntIsNotComplete: the service says with 206 that rows are missing.
func TestPartialHuntIsNotComplete(t *testing.T) {
	r := newHuntRig(t, huntOptions{tables: manyProcesses(50), hunts: threeHunts()[:1], cap: 1000})
	off := r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultPartial, Endpoint: defendersim.Hunting, Match: fetches})
	if res := r.worker.Sync(t.Context(), "", nil)[0]; res.Outcome != defsync.OutcomePartial || res.Gaps == 0 {
		t.Errorf("the pass ended %+v", res)
	}
	off()
	r.sync(t)
	r.huntEqualsSource(t)
}

// TestProcessingIsUsedUp: the service says that its processing is used up for a
// quarter of an hour. The pass says so, and no query is sent before.
func TestProcessingIsUsedUp(t *testing.T) {
	r := newHuntRig(t, huntOptions{tables: manyProcesses(50), hunts: threeHunts()[:1], cap: 1000})
	r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultStatus, Endpoint: defendersim.Hunting, Status: 429, Times: 1,
		Body: `{"error":{"code":"TooManyRequests","message":"You have exceeded processing resources allocated to this tenant. You can run queries again in 14 minutes."}}`})
	res := r.worker.Sync(t.Context(), "", nil)[0]
	if res.Outcome != defsync.OutcomeFailed || !strings.Contains(res.Err.Error(), "processing resources") {
		t.Errorf("the pass ended %+v", res)
	}
	sent := len(r.huntCalls(0))
	if res := r.worker.Sync(t.Context(), "", nil)[0]; res.Outcome != defsync.OutcomeFailed || len(r.huntCalls(0)) != sent {
		t.Errorf("%d queries were sent before the quarter of an hour was over", len(r.huntCalls(0))-sent)
	}
}

// TestBeyondTheEdgeIsFlagged: a worker that was away for longer than the service
// looks back has lost something, and says what.
func TestBeyondTheEdgeIsFlagged(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		r := newHuntRig(t, huntOptions{rigOptions: rigOptions{dialect: d}, tables: manyProcesses(50), hunts: threeHunts()[:1], cap: 1000})
		r.sync(t)
		left := r.clock.Now().Add(-2 * time.Minute)
		r.clock.advance(45 * 24 * time.Hour)
		res := r.worker.Sync(t.Context(), "", nil)[0]
		if res.Outcome != defsync.OutcomePartial || res.Gaps != 1 {
			t.Fatalf("the pass ended %+v", res)
		}
		gap := query[struct {
			From, To time.Time
			Reason   string
		}](t, r.db, `SELECT from_time, to_time, reason FROM sync.gaps`)[0]
		edge := r.clock.Now().Add(-30 * 24 * time.Hour)
		if gap.From.After(left) || gap.From.Before(left.Add(-time.Hour)) || gap.To.Before(edge) || gap.To.After(edge.Add(time.Hour)) || !strings.Contains(gap.Reason, "30 days") {
			t.Errorf("gap %v, want from %s to %s", gap, left, edge)
		}
		r.vouched(t)
	})
}

// TestMissingTableIsNamed: a workload that is not licensed looks like a typo.
func TestMissingTableIsNamed(t *testing.T) {
	r := newHuntRig(t, huntOptions{tables: manyProcesses(5), hunts: []defsync.Hunt{{Name: "EmailEvents", Table: "EmailEvents"}, threeHunts()[0]}})
	results := r.worker.Sync(t.Context(), "", nil)
	if err := results[0].Err; err == nil || !strings.Contains(err.Error(), "the tenant has no table EmailEvents") {
		t.Errorf("the error is %v", err)
	}
	if results[1].Outcome != defsync.OutcomeOK {
		t.Errorf("the other stream ended %s: %v", results[1].Outcome, results[1].Err)
	}
}
