package sync_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	defsync "defendersync/sync"
	"defendersync/sync/defendersim"
)

// overlapping chooses the queries whose window touches [from, to).
func overlapping(from, to time.Time) func(*http.Request) bool {
	return func(req *http.Request) bool {
		since, until, ok := windowIn(queryOf(req))
		return ok && since.Before(to) && until.After(from)
	}
}

// windowIn reads the window of a query, whether it fetches or counts.
func windowIn(text string) (since, until time.Time, ok bool) {
	_, a, found := strings.Cut(text, ">= datetime(")
	_, b, also := strings.Cut(text, "< datetime(")
	if !found || !also {
		return since, until, false
	}
	since, err := time.Parse(time.RFC3339Nano, a[:strings.Index(a, ")")])
	if err == nil {
		until, err = time.Parse(time.RFC3339Nano, b[:strings.Index(b, ")")])
	}
	return since, until, err == nil
}

// passes makes passes until one does not fail, at most most.
func (r *rig) passes(t *testing.T, most int) (res defsync.Result, made int) {
	t.Helper()
	for made < most {
		made++
		if res = r.worker.Sync(t.Context(), "", nil)[0]; res.Err == nil {
			break
		}
	}
	return res, made
}

// TestBadStretchIsPassed: the service fails over an hour of time, counts of it
// included, whatever is asked. The stream comes past it for some dozens of
// requests, not for one in each of its microseconds, and flags it; when the
// service has mended, it is filled.
func TestBadStretchIsPassed(t *testing.T) {
	for _, status := range []int{500, 504} {
		r := newHuntRig(t, huntOptions{tables: manyProcesses(100), hunts: threeHunts()[:1], cap: 1000})
		bad := newClock().Now().Add(-5 * 24 * time.Hour)
		off := r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultStatus, Endpoint: defendersim.Hunting, Status: status, Match: overlapping(bad, bad.Add(time.Hour))})
		res, made := r.passes(t, 40)
		if res.Outcome != defsync.OutcomePartial || r.sim.Calls() > 300 {
			t.Errorf("%d: after %d passes and %d requests it ended %+v", status, made, r.sim.Calls(), res)
		}
		flagged := value[float64](t, r.db, `SELECT extract(epoch FROM sum(to_time - from_time))::float8 FROM sync.gaps`)
		if flagged < 3600 || flagged > 3*3600 {
			t.Errorf("%d: %.0f s are flagged, of one bad hour", status, flagged)
		}
		r.completeIsStored(t)
		r.vouched(t)
		off()
		for range 10 { // each heals some of the gaps
			res = r.worker.Sync(t.Context(), "", nil)[0]
		}
		if res.Outcome != defsync.OutcomeOK {
			t.Errorf("%d: when the service has mended it ended %+v", status, res)
		}
		r.huntEqualsSource(t)
	}
}

// TestBadCrowdIsPassed: a microsecond is not to be had in slices either.
func TestBadCrowdIsPassed(t *testing.T) {
	for name, f := range map[string]defendersim.Fault{
		"fails":       {Status: 500},
		"takes long":  {Status: 504},
		"is too much": {Status: 400, Body: `{"error":{"code":"BadRequest","message":"Query was preempted."}}`},
	} {
		r := newHuntRig(t, huntOptions{tables: crowdOf(300, newClock().Now().Add(-3*time.Hour)), hunts: threeHunts()[:1], cap: 100})
		f.Kind, f.Endpoint, f.Query = defendersim.FaultStatus, defendersim.Hunting, isSlice
		off := r.sim.Inject(f)
		res, made := r.passes(t, 10)
		if res.Outcome != defsync.OutcomePartial || res.Gaps != 1 || r.sim.Calls() > 80 {
			t.Errorf("one that %s: after %d passes and %d requests it ended %+v", name, made, r.sim.Calls(), res)
		}
		off()
		r.sync(t)
		r.huntEqualsSource(t)
		r.vouched(t)
	}
}

// TestCountsThatFail: a stream that cannot be counted is read all the same.
func TestCountsThatFail(t *testing.T) {
	for _, status := range []int{500, 504} {
		r := newHuntRig(t, huntOptions{tables: manyProcesses(100), hunts: threeHunts()[:1], cap: 1000})
		r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultStatus, Endpoint: defendersim.Hunting, Status: status,
			Match: func(req *http.Request) bool { return !fetches(req) }})
		r.sync(t)
		r.huntEqualsSource(t)
	}
}

// TestProbeOfAnotherTable: whether the service is there is asked with a table
// that this tenant does not have. To say so it has to be there.
func TestProbeOfAnotherTable(t *testing.T) {
	r := newHuntRig(t, huntOptions{tables: manyProcesses(200), hunts: []defsync.Hunt{{Name: "dirs", Query: dirs}}, cap: 1000})
	r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultStatus, Endpoint: defendersim.Hunting, Status: 504, Times: 1})
	r.sync(t)
	r.vouched(t)
}

// TestRetentionDoesNotWait: a gap that is not to be had keeps no old rows.
func TestRetentionDoesNotWait(t *testing.T) {
	h := threeHunts()[0]
	h.Retention = 10 * 24 * time.Hour
	r := newHuntRig(t, huntOptions{tables: manyProcesses(100), hunts: []defsync.Hunt{h}, cap: 1000})
	r.sync(t)
	if _, err := r.db.Exec(t.Context(), `UPDATE sync.coverage SET verdict = 'failed', reason = 'test'`); err != nil {
		t.Fatal(err)
	}
	r.clock.advance(5 * 24 * time.Hour)
	r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultStatus, Endpoint: defendersim.Hunting, Status: 403,
		Match: overlapping(time.Time{}, newClock().Now().Add(-3*time.Hour))})
	if res := r.worker.Sync(t.Context(), "", nil)[0]; res.Outcome != defsync.OutcomeFailed {
		t.Fatalf("the gap was to be had: %+v", res)
	}
	oldest := value[time.Time](t, r.db, `SELECT min("timestamp") FROM hunting.device_process_events`)
	if kept := r.clock.Now().Sub(oldest); kept > h.Retention {
		t.Errorf("a row of %s ago is kept", kept)
	}
}

// TestReplayOfAWindow: what the quarantine has of a window that was left out is
// read again on demand, and once it is there leaves it.
func TestReplayOfAWindow(t *testing.T) {
	r := newHuntRig(t, huntOptions{tables: manyProcesses(300), hunts: threeHunts()[:1], cap: 1000})
	bad := newClock().Now().Add(-5 * 24 * time.Hour).Truncate(time.Hour).Add(time.Microsecond)
	off := r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultStatus, Endpoint: defendersim.Hunting, Status: 500, Match: holds(bad)})
	if res := r.worker.Sync(t.Context(), "", nil)[0]; res.Quarantined != 1 {
		t.Fatalf("the pass ended %+v", res)
	}
	if still := r.worker.Replay(t.Context(), r.quarantine(t))[0]; still.Stored || !strings.Contains(still.Err.Error(), "does not give all of the window") {
		t.Errorf("while the service fails: %+v", still)
	}
	off()
	if mended := r.worker.Replay(t.Context(), r.quarantine(t))[0]; !mended.Stored {
		t.Errorf("when it has mended: %+v", mended)
	}
	if left := r.quarantine(t); len(left) != 0 {
		t.Errorf("still in quarantine: %+v", left)
	}
	r.huntEqualsSource(t)
	r.vouched(t)
}
