package sync_test

import (
	"context"
	"testing"

	defsync "defendersync/sync"
	"defendersync/sync/defendersim"
)

// A pass that does not come to its end tells that it is over, once and last.
func TestProgressTellsTheEndOfAPass(t *testing.T) {
	r := newRig(t, rigOptions{world: defendersim.WorldOptions{Seed: 7, Incidents: 300}})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var told []defsync.Progress
	tenant := r.tenant
	tenant.Streams = tenant.Streams[:1]
	w, err := defsync.NewWorker(defsync.WorkerConfig{Store: r.store, Tenants: []defsync.Tenant{tenant}, Owner: "second", Command: "sync", Now: r.clock.Now,
		Progress: func(p defsync.Progress) { told = append(told, p); stop() }})
	if err != nil {
		t.Fatal(err)
	}
	if res := w.Sync(ctx, "", nil)[0]; res.Outcome != defsync.OutcomeInterrupted {
		t.Fatalf("the pass ended %s: %v", res.Outcome, res.Err)
	}
	for i, p := range told {
		if p.Tenant != "contoso" || p.Stream != defsync.IncidentsStream || p.Ended != (i == len(told)-1) {
			t.Errorf("%d of %d: %+v", i, len(told), p)
		}
	}
	if len(told) < 2 {
		t.Errorf("told %+v", told)
	}
}
