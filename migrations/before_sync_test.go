package migrations_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"defendersync/migrations"
	"defendersync/store/storetest"
)

// What is known of incidents that were stored by a version without these columns
// is filled in: of those that have not changed since exactly, of the others as
// well as their history tells.
func TestBeforeFirstSyncIsFilledIn(t *testing.T) {
	ctx, pool := t.Context(), connect(t, storetest.URL(t))
	if _, err := migrations.DownTo(ctx, pool, 15); err != nil {
		t.Fatal(err)
	}
	const world = `
		INSERT INTO defender.incidents (tenant_id, incident_id, status, assigned_to, created_date_time, last_update_date_time, first_synced_at, synced_at, raw, content_hash)
		SELECT '` + tenant + `', i.id, i.status, i.owner, '2026-01-02Z', i.changed::timestamptz, '2026-01-20Z', now(), '{}', gen_random_uuid()
		FROM (VALUES
			(1, 'active', NULL, '2026-01-10Z'),
			(2, 'active', 'ann', '2026-01-10Z'),
			(3, 'resolved', NULL, '2026-01-10Z'), -- with alerts
			(4, 'resolved', NULL, '2026-01-10Z'), -- with one that is open
			(5, 'resolved', NULL, '2026-01-25Z'), -- tagged since, with alerts
			(6, 'resolved', NULL, '2026-01-25Z'), -- tagged since
			(7, 'resolved', NULL, '2026-01-25Z'), -- was active, and nobody's
			(8, 'active', NULL, '2026-01-25Z'), -- was resolved, with alerts
			(9, 'resolved', 'ann', '2026-01-25Z'), -- was renamed early, by a clock that is ahead of ours
			(10, 'active', 'ann', '2026-01-25Z'), -- had no owner, and had
			(11, 'redirected', NULL, '2026-01-10Z'),
			(12, 'resolved', NULL, '2026-01-01Z') -- before it was created
		) AS i (id, status, owner, changed);
		INSERT INTO defender.incident_history (tenant_id, incident_id, changed_at, field, old_value, new_value) VALUES
			('` + tenant + `', 7, '2026-01-25Z', 'status', 'active', 'resolved'),
			('` + tenant + `', 8, '2026-01-24Z', 'status', 'resolved', 'inProgress'),
			('` + tenant + `', 8, '2026-01-25Z', 'status', 'inProgress', 'active'),
			('` + tenant + `', 9, '2026-01-15Z', 'display_name', 'a', 'b'),
			('` + tenant + `', 10, '2026-01-24Z', 'assigned_to', NULL, 'bob'),
			('` + tenant + `', 10, '2026-01-25Z', 'assigned_to', 'bob', 'ann');
		INSERT INTO defender.alerts (tenant_id, alert_id, incident_id, status, resolved_date_time, last_update_date_time, first_synced_at, synced_at, raw, content_hash)
		SELECT '` + tenant + `', a.id || '-' || a.status, a.id, a.status, a.resolved::timestamptz, now(), now(), now(), '{}', gen_random_uuid()
		FROM (VALUES (3, 'resolved', '2026-01-09Z'), (4, 'resolved', '2026-01-09Z'), (4, 'new', NULL), (5, 'resolved', '2026-01-08Z'),
			(6, 'resolved', '2026-01-22Z'), (8, 'resolved', '2026-01-07Z'), (11, 'resolved', '2026-01-09Z')) AS a (id, status, resolved)`
	if _, err := pool.Exec(ctx, world); err != nil {
		t.Fatal(err)
	}
	if _, err := migrations.Up(ctx, pool); err != nil {
		t.Fatal(err)
	}
	got := texts(t, pool, `SELECT concat_ws(' ', incident_id, date_part('day', acknowledged_before_sync_at AT TIME ZONE 'UTC'), date_part('day', resolved_before_sync_at AT TIME ZONE 'UTC'), resolved_before_sync_from)
		FROM defender.incidents ORDER BY incident_id`)
	want := []string{"1", "2 10", "3 9 9 alerts", "4 10 10 last_update", "5 8 8 alerts", "6 20 20 last_update", "7", "8 7 7 alerts", "9 15 15 last_update", "10",
		"11 10 10 last_update", "12 2 2 last_update"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A duration says days where it has days, and less than 24 hours beside them.
func TestMedianOfDurations(t *testing.T) {
	ctx, pool := t.Context(), connect(t, storetest.URL(t))
	const world = `
		INSERT INTO defender.incidents (tenant_id, incident_id, status, created_date_time, last_update_date_time, first_synced_at, synced_at, raw, content_hash,
			acknowledged_before_sync_at, resolved_before_sync_at, resolved_before_sync_from)
		SELECT '` + tenant + `', i.id, 'resolved', now() - i.took, now(), now(), now(), '{}', gen_random_uuid(), now(), now(), 'last_update'
		FROM (VALUES (1, interval '3 days 23 hours'), (2, interval '4 days 9 hours')) AS i (id, took);
		INSERT INTO sync.checkpoints (tenant_id, stream, start_time, watermark, next_from, revision, window_width, rows, changed, updated_at)
		VALUES ('` + tenant + `', 's', '2026-01-01Z', '2026-02-01Z', '2026-02-01Z', 1, '0', 0, 0, now());
		INSERT INTO sync.coverage (tenant_id, stream, from_time, to_time, rows, calls, verdict, recorded_at) VALUES
			('` + tenant + `', 's', '2026-01-01Z', '2026-01-02 20:00Z', 0, 1, 'failed', now()),
			('` + tenant + `', 's', '2026-01-02 20:00Z', '2026-01-04Z', 0, 1, 'complete', now()),
			('` + tenant + `', 's', '2026-01-04Z', '2026-01-05 20:00Z', 0, 1, 'failed', now()),
			('` + tenant + `', 's', '2026-01-05 20:00Z', '2026-02-01Z', 0, 1, 'complete', now())`
	if _, err := pool.Exec(ctx, world); err != nil {
		t.Fatal(err)
	}
	for sql, want := range map[string]string{
		`SELECT median_time_to_resolve_30d::text FROM bi.workload`: "4 days 04:00:00",
		`SELECT gap_time::text FROM bi.freshness`:                  "3 days 16:00:00",
	} {
		if got := texts(t, pool, sql); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %s", sql, got, want)
		}
	}
}
