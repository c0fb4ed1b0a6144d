package sync_test

import (
	"context"
	"testing"
	"time"

	"defendersync/store"
	"defendersync/store/storetest"
	defsync "defendersync/sync"
	"defendersync/sync/defender"
)

// stubbornSource is a tenant without records that fails wherever a window holds
// one instant.
type stubbornSource struct {
	fails time.Time // the zero time for nowhere
	now   time.Time
}

func (s *stubbornSource) Alerts(_ context.Context, req defender.Request) (*defender.Page, error) {
	if !s.fails.Before(req.Since) && s.fails.Before(req.Until) {
		return nil, &defender.StatusError{Status: 500, Message: "fake"}
	}
	return &defender.Page{ServerTime: s.now}, nil
}

func (s *stubbornSource) Incidents(ctx context.Context, req defender.Request) (*defender.Page, error) {
	return s.Alerts(ctx, req)
}

func (s *stubbornSource) IncidentAlerts(context.Context, string, string) (*defender.Page, error) {
	return &defender.Page{ServerTime: s.now}, nil
}

// What could not be read is a gap and in quarantine. Once a later pass has read
// it, neither is left, and the pass is complete (P8).
func TestAnswerLeavesQuarantineWithItsGap(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.Context(), storetest.URL(t), 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	source := &stubbornSource{now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}
	every, err := defsync.ParseSchedule("@every 5m")
	if err != nil {
		t.Fatal(err)
	}
	w, err := defsync.NewWorker(defsync.WorkerConfig{Store: s, Owner: "w", Command: "sync", Now: func() time.Time { return source.now },
		Tenants: []defsync.Tenant{{Name: "contoso", ID: "11111111-1111-4111-8111-111111111111", Dialect: defender.Graph, Source: source,
			Streams: []defsync.Stream{{Name: defsync.AlertsStream, Schedule: every, Start: defsync.Start{Age: 30 * 24 * time.Hour},
				Overlap: 30 * time.Minute, Settle: 2 * time.Minute}}}}})
	if err != nil {
		t.Fatal(err)
	}
	for i, step := range []struct {
		fails             time.Time
		gaps, quarantined int
	}{
		{source.now.Add(-20 * 24 * time.Hour), 1, 1}, // far behind what the next pass reads
		{time.Time{}, 0, 0},
		{source.now.Add(-4 * time.Minute), 0, 1}, // within it, and read before
		{time.Time{}, 0, 0},
	} {
		source.fails = step.fails
		r := w.Sync(t.Context(), "", nil)[0]
		if r.Err != nil || r.Gaps != step.gaps || r.Quarantined != step.quarantined {
			t.Errorf("pass %d: %d gaps, %d in quarantine, %v; want %d and %d", i, r.Gaps, r.Quarantined, r.Err, step.gaps, step.quarantined)
		}
		source.now = source.now.Add(time.Minute)
	}
}
