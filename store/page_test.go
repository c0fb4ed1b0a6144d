package store_test

import (
	"fmt"
	"testing"
	"time"

	"defendersync/store"

	"github.com/google/go-cmp/cmp"
)

// TestIncidentFigures counts what package web's known world does not: another
// tenant, and a record without the times it should have.
func TestIncidentFigures(t *testing.T) {
	w := newWorker(t)
	w.query(`
		INSERT INTO defender.incidents (tenant_id, incident_id, status, severity, created_date_time, last_update_date_time, raw, content_hash, first_synced_at, synced_at,
			acknowledged_before_sync_at, resolved_before_sync_at, resolved_before_sync_from)
		SELECT i.tenant::uuid, i.id, i.status, i.severity, i.created::timestamptz, i.changed::timestamptz, '{}', gen_random_uuid(), i.changed::timestamptz, now(),
			i.resolved::timestamptz, i.resolved::timestamptz, CASE WHEN i.resolved IS NOT NULL THEN 'last_update' END
		FROM (VALUES
			($1, 1, 'active', 'high', '2026-11-03 23:30-01:00', '2026-11-04Z', NULL), -- the 4th in UTC
			($1, 2, 'active', NULL, NULL, '2026-11-05Z', NULL), -- opened when it was first stored
			($1, 3, 'resolved', 'low', NULL, '2026-11-04 01:00Z', '2026-11-04 02:00Z'),
			($1, 4, NULL, 'low', '2026-11-02 23:59:59.999999Z', '2026-11-09Z', NULL),
			($2, 1, 'active', 'high', '2026-11-04Z', '2026-11-04Z', NULL),
			($2, 2, 'resolved', 'high', '2026-11-04Z', '2026-11-04Z', '2026-11-04Z')
		) AS i (tenant, id, status, severity, created, changed, resolved)`, tenant, otherTenant)
	w.query(`
		INSERT INTO defender.incident_history (tenant_id, incident_id, changed_at, field, old_value, new_value)
		VALUES ($1, 1, '2026-11-06Z', 'status', 'active', 'resolved')`, otherTenant)
	days, backlog, err := w.IncidentFigures(t.Context(), tenant, time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	fourth := time.Date(2026, 11, 4, 0, 0, 0, 0, time.UTC)
	utc := cmp.Transformer("UTC", func(t time.Time) string { return t.UTC().String() })
	if diff := cmp.Diff([]store.IncidentDay{{Day: fourth, Opened: 2, Resolved: 1}, {Day: fourth.AddDate(0, 0, 1), Opened: 1}}, days, utc); diff != "" {
		t.Error(diff)
	}
	// What has no status, or one that nobody has heard of, is open, as in bi.incidents.
	want := []store.Backlog{{Severity: "high", Open: 1, Oldest: fourth.Add(30 * time.Minute)},
		{Severity: "low", Open: 1, Oldest: time.Date(2026, 11, 2, 23, 59, 59, 999_999_000, time.UTC)}, {Severity: "other", Open: 1, Oldest: fourth.AddDate(0, 0, 1)}}
	if diff := cmp.Diff(want, backlog, utc); diff != "" {
		t.Error(diff)
	}
}

// TestRecentRuns says that the newest come first, over all streams that are
// asked for and no other.
func TestRecentRuns(t *testing.T) {
	w := newWorker(t)
	for i, stream := range []string{"incidents", "alerts", "incidents", "hunting/gone", "incidents", "alerts"} {
		r := store.Run{RunID: fmt.Sprintf("01900000-0000-7000-8000-%012d", i), Stream: stream, Command: "run", StartedAt: at(i)}
		if err := w.StartRun(t.Context(), w.lease, r); err != nil {
			t.Fatal(err)
		}
	}
	runs, err := w.RecentRuns(t.Context(), tenant, []string{"alerts", "incidents", "hunting/new"}, 4)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range runs {
		got = append(got, fmt.Sprintf("%s %s", r.Stream, r.StartedAt.UTC().Format("04")))
	}
	if diff := cmp.Diff([]string{"alerts 05", "incidents 04", "incidents 02", "alerts 01"}, got); diff != "" {
		t.Error(diff)
	}
	if runs, err = w.RecentRuns(t.Context(), tenant, nil, 4); err != nil || len(runs) != 0 {
		t.Errorf("of no stream: %d runs, %v", len(runs), err)
	}
}
