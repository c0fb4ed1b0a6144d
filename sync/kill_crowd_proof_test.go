package sync_test

import (
	"context"
	"strings"
	"testing"
	"time"

	defsync "defendersync/sync"
)

// TestCrowdIsKeptBeforeItIsCounted stops a pass while it counts a microsecond
// that one answer does not hold. The next one goes on with the count, and does
// not ask for the whole microsecond again (P7).
func TestCrowdIsKeptBeforeItIsCounted(t *testing.T) {
	at := newClock().Now().Add(-3 * time.Hour)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var r *rig
	opt := huntOptions{tables: crowdOf(300, at), hunts: threeHunts()[:1], cap: 100}
	opt.sim.OnRequest = func(int) {
		calls := r.huntCalls(0)
		if q := calls[len(calls)-1].Query; strings.Contains(q, "summarize Rows") && isTick(q) {
			stop()
		}
	}
	r = newHuntRig(t, opt)
	if res := r.worker.Sync(ctx, "", nil)[0]; res.Outcome != defsync.OutcomeInterrupted {
		t.Fatalf("the pass ended %s: %v", res.Outcome, res.Err)
	}
	r.sync(t)
	whole := 0
	for _, q := range r.huntCalls(0) {
		if isTick(q.Query) && !strings.Contains(q.Query, "summarize Rows") && !isSlice(q.Query, "") {
			whole++
		}
	}
	if whole != 1 {
		t.Errorf("the whole microsecond was asked for %d times, want 1", whole)
	}
	r.huntEqualsSource(t)
	r.vouched(t)
}

// isTick says whether a query is about one microsecond.
func isTick(query string) bool {
	since, until, ok := windowIn(query)
	return ok && until.Sub(since) == time.Microsecond
}
