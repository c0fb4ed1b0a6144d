package sync_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"defendersync/store"
	defsync "defendersync/sync"
	"defendersync/sync/defendersim"
)

// TestGivenUpIsOnRecord lets every command wait in vain for a tenant that
// somebody else holds. Each stream that was asked for has a run that says so,
// and the status goes on to tell of the last pass that was made (P8).
func TestGivenUpIsOnRecord(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{world: defendersim.WorldOptions{Seed: 5, Incidents: 20}})
	r.sync(t)
	if _, err := r.store.Acquire(t.Context(), r.app.TenantID, "somebody", time.Hour); err != nil {
		t.Fatal(err)
	}
	now, ctx := r.clock.Now(), t.Context()
	var synced, filled []defsync.Result
	var compared []defsync.Reconciled
	var wg sync.WaitGroup
	wg.Go(func() { synced = r.worker.Sync(ctx, "", nil) })
	wg.Go(func() {
		filled = r.worker.Backfill(ctx, defsync.BackfillRequest{Stream: "incidents", From: now.AddDate(0, 0, -3), To: now})
	})
	wg.Go(func() { compared = r.worker.Reconcile(ctx, defsync.ReconcileRequest{Streams: []string{"alerts"}}) })
	wg.Wait()
	for _, res := range append(synced, filled...) {
		if res.Outcome != defsync.OutcomeLocked || !errors.Is(res.Err, store.ErrLeaseHeld) {
			t.Errorf("%s ended %s: %v", res.Stream, res.Outcome, res.Err)
		}
	}
	if len(compared) != 1 || !errors.Is(compared[0].Err, store.ErrLeaseHeld) {
		t.Errorf("compared %+v", compared)
	}
	if n := value[int64](t, r.db, `SELECT count(*) FROM sync.runs WHERE outcome = 'locked' AND error LIKE 'somebody holds the tenant until %'`); n != 4 {
		t.Errorf("%d runs are locked, want 2 of sync, 1 of backfill and 1 of reconcile", n)
	}
	streams := r.status(t)
	for _, s := range streams {
		if s.LastRun == nil || s.LastRun.Outcome != "ok" || s.Locked == nil || !strings.HasPrefix(s.Locked.Error, "somebody") || s.Stale {
			t.Errorf("%s: last run %+v, locked %+v, stale %v", s.Stream, s.LastRun, s.Locked, s.Stale)
		}
	}
	if s := streams[1]; s.Reconciled != nil {
		t.Errorf("compared: %+v", s.Reconciled)
	}
}
