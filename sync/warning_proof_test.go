package sync_test

import (
	"strings"
	"testing"
	"time"

	defsync "defendersync/sync"
	"defendersync/sync/defendersim"
)

// TestSilenceIsOnRecord: the source falls silent, as it does when a role or a
// licence is taken away. The passes are complete, and their results, sync.runs
// and the status say that this is not usual.
func TestSilenceIsOnRecord(t *testing.T) {
	r := newRig(t, rigOptions{world: defendersim.WorldOptions{Seed: 4, Incidents: 300}})
	for _, res := range r.sync(t) {
		if res.Warning != "" {
			t.Errorf("%s: a living source is warned of: %s", res.Stream, res.Warning)
		}
	}
	r.clock.advance(time.Hour)
	r.sync(t) // reads the last records once more, for the overlap
	r.clock.advance(90 * 24 * time.Hour)
	for _, res := range r.sync(t) {
		if !strings.Contains(res.Warning, "no "+res.Stream+" in the last") {
			t.Errorf("%s: the result says %q", res.Stream, res.Warning)
		}
	}
	tenant := defsync.Tenant{Name: "contoso", ID: r.app.TenantID, Streams: []defsync.Stream{{Name: defsync.IncidentsStream}}}
	status, err := defsync.ReadStatus(t.Context(), r.store, []defsync.Tenant{tenant}, nil, r.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	if last := status.Tenants[0].Streams[0].LastRun; last == nil || !strings.Contains(last.Warning, "no incidents in the last") {
		t.Errorf("the status says %+v", last)
	}
}

// TestLongSilenceIsNoticed: a quiet tenant falls silent for good. However many
// passes find nothing, and however the ledger is tidied, it is said in the end.
func TestLongSilenceIsNoticed(t *testing.T) {
	r := newRig(t, rigOptions{world: defendersim.WorldOptions{Seed: 3, Incidents: 300}})
	r.sync(t)
	for day := 1; ; day++ {
		r.clock.advance(24 * time.Hour)
		results := r.sync(t)
		if strings.Contains(results[0].Warning, "no incidents in the last") {
			if day < 5 {
				t.Errorf("a tenant with two incidents a day is called silent after %d days", day)
			}
			return
		}
		if day == 60 {
			t.Fatal("60 days of silence were not noticed")
		}
	}
}
