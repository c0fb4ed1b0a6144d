package sync_test

import (
	"net/http"
	"testing"
	"time"

	defsync "defendersync/sync"
	"defendersync/sync/defendersim"
)

// TestPartialIsNoExplanation: what a comparison reads again is not whole. That
// the hour still differs then explains nothing, and the next one reads it again.
func TestPartialIsNoExplanation(t *testing.T) {
	tables := manyProcesses(200)
	r := newHuntRig(t, huntOptions{tables: tables, hunts: threeHunts()[:1], cap: 1000})
	r.sync(t)
	for i := range 3 {
		tables.AddRows(processTable.Name, process(r.clock.Now().Add(-50*time.Hour+time.Duration(i)*time.Second), 9000+i))
	}
	off := r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultPartial, Endpoint: defendersim.Hunting, Match: fetches})
	if first := r.reconcile(t, defsync.ReconcileRequest{})[0]; first.Unexplained() != 1 {
		t.Errorf("the first comparison: %+v", first)
	}
	off()
	if second := r.reconcile(t, defsync.ReconcileRequest{})[0]; second.Healed != 1 {
		t.Errorf("the second comparison: %+v", second)
	}
	r.huntEqualsSource(t)
}

// TestDateOfThePastIsNoExplanation: an answer with a Date of before the hour that is
// read again ends the reading half-way.
func TestDateOfThePastIsNoExplanation(t *testing.T) {
	tables := manyProcesses(200)
	r := newHuntRig(t, huntOptions{tables: tables, hunts: threeHunts()[:1], cap: 100})
	r.sync(t)
	for i := range 150 {
		tables.AddRows(processTable.Name, process(r.clock.Now().Add(-50*time.Hour+time.Duration(i)*time.Second), 9000+i))
	}
	off := r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultSlow, Endpoint: defendersim.Hunting, Match: fetches, DateOff: -240 * time.Hour})
	if first := r.reconcile(t, defsync.ReconcileRequest{})[0]; first.Unexplained() != 1 {
		t.Errorf("the first comparison: %+v", first)
	}
	off()
	if second := r.reconcile(t, defsync.ReconcileRequest{})[0]; second.Healed != 1 {
		t.Errorf("the second comparison: %+v", second)
	}
	r.huntEqualsSource(t)
}

// TestExplanationIsForgotten: an hour that differed for a reason, and no longer
// does, has no reason left when it differs again by as much.
func TestExplanationIsForgotten(t *testing.T) {
	tables := manyProcesses(200)
	r := newHuntRig(t, huntOptions{tables: tables, hunts: threeHunts()[:1], cap: 1000})
	r.sync(t)
	at := r.clock.Now().Add(-50 * time.Hour)
	twice := process(at, 9000)
	tables.AddRows(processTable.Name, twice, twice) // the key folds them
	r.reconcile(t, defsync.ReconcileRequest{})
	tables.Remove(processTable.Name, func(row defendersim.HuntRow) bool { return row.Values[11] == int64(9000) })
	tables.AddRows(processTable.Name, twice)
	if equal := r.reconcile(t, defsync.ReconcileRequest{})[0]; equal.Differing != 0 {
		t.Errorf("the counts agree: %+v", equal)
	}
	tables.AddRows(processTable.Name, process(at.Add(time.Second), 9001)) // late
	if again := r.reconcile(t, defsync.ReconcileRequest{})[0]; again.Healed != 1 {
		t.Errorf("a late row: %+v", again)
	}
	r.huntEqualsSource(t)
}

// TestExplanationBeyondTheEdgeIsForgotten: what the service no longer shows is not
// compared again, and what was remembered of it would be kept for ever.
func TestExplanationBeyondTheEdgeIsForgotten(t *testing.T) {
	tables := manyProcesses(200)
	r := newHuntRig(t, huntOptions{tables: tables, hunts: threeHunts()[:1], cap: 1000})
	r.sync(t)
	twice := process(r.clock.Now().Add(-50*time.Hour), 9000)
	tables.AddRows(processTable.Name, twice, twice)
	for _, step := range []struct {
		days int
		want int64
	}{{0, 1}, {27, 1}, {2, 0}} {
		r.clock.advance(time.Duration(step.days) * 24 * time.Hour)
		r.sync(t)
		r.reconcile(t, defsync.ReconcileRequest{})
		if n := value[int64](t, r.db, `SELECT count(*) FROM sync.reconciliations`); n != step.want {
			t.Errorf("%d days later %d hours are remembered, want %d", step.days, n, step.want)
		}
	}
}

// TestRowsThatComeMeanwhile: rows that come between the count and the reading
// are no difference.
func TestRowsThatComeMeanwhile(t *testing.T) {
	tables := manyProcesses(200)
	r := newHuntRig(t, huntOptions{rigOptions: rigOptions{changing: time.Minute}, tables: tables, hunts: threeHunts()[:1], cap: 1000})
	r.sync(t)
	at := r.clock.Now().Add(-50 * time.Hour)
	second := process(at.Add(time.Second), 9001)
	second.Visible = r.clock.Now().Add(30 * time.Second) // the count is made at once, the reading a minute later
	tables.AddRows(processTable.Name, process(at, 9000), second)
	if res := r.reconcile(t, defsync.ReconcileRequest{})[0]; res.Differing != 1 || res.Unexplained() != 0 {
		t.Errorf("%+v", res)
	}
	r.huntEqualsSource(t)
}

// TestRowThatComesAfterTheReading: an hour still differs after it was read again,
// for a reason, and when the source is counted once more a row has come that was
// not there to be read. That is no reason to leave it alone.
func TestRowThatComesAfterTheReading(t *testing.T) {
	tables := manyProcesses(200)
	r := newHuntRig(t, huntOptions{rigOptions: rigOptions{changing: time.Minute}, tables: tables, hunts: threeHunts()[:1], cap: 1000})
	r.sync(t)
	at := r.clock.Now().Add(-50 * time.Hour)
	twice, late := process(at, 9000), process(at.Add(time.Second), 9001)
	late.Visible = r.clock.Now().Add(90 * time.Second) // the count is made at once, the reading a minute later, and the second count after two
	tables.AddRows(processTable.Name, twice, twice, late)
	if first := r.reconcile(t, defsync.ReconcileRequest{})[0]; first.Unexplained() != 1 {
		t.Errorf("the first comparison: %+v", first)
	}
	r.reconcile(t, defsync.ReconcileRequest{})
	r.huntEqualsSource(t)
}

// TestCountInParts: the count of a month takes too long, that of a week does not.
func TestCountInParts(t *testing.T) {
	tables := manyProcesses(200)
	r := newHuntRig(t, huntOptions{tables: tables, hunts: threeHunts()[:1], cap: 1000})
	r.sync(t)
	tables.AddRows(processTable.Name, process(r.clock.Now().Add(-50*time.Hour), 9000))
	r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultStatus, Endpoint: defendersim.Hunting, Status: 504,
		Match: func(req *http.Request) bool {
			since, until, ok := windowIn(queryOf(req))
			return ok && !fetches(req) && until.Sub(since) > 8*24*time.Hour
		}})
	res := r.reconcile(t, defsync.ReconcileRequest{})[0]
	if res.Healed != 1 || res.Calls > 8 || res.Checked != 695 {
		t.Errorf("%+v", res)
	}
	r.huntEqualsSource(t)
}

// TestPassAndComparisonTakeTurns: a worker compares a stream while a pass of it
// is due. Both move its checkpoint, and neither may fail by it.
func TestPassAndComparisonTakeTurns(t *testing.T) {
	tables := manyProcesses(3000)
	r := newHuntRig(t, huntOptions{tables: tables, hunts: threeHunts()[:1], cap: 100})
	r.sync(t)
	if _, err := r.db.Exec(t.Context(), `UPDATE sync.checkpoints SET next_from = start_time`); err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		tables.AddRows(processTable.Name, process(r.clock.Now().Add(-time.Duration(30+7*i)*time.Hour), 9000+i))
	}
	done := make(chan defsync.Result)
	go func() { done <- r.worker.Sync(t.Context(), "", nil)[0] }()
	compared := r.worker.Reconcile(t.Context(), defsync.ReconcileRequest{})[0]
	if passed := <-done; passed.Err != nil || compared.Err != nil {
		t.Errorf("the pass: %v; the comparison: %v", passed.Err, compared.Err)
	}
	r.huntEqualsSource(t)
}
