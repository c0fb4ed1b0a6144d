package migrations_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"defendersync/migrations"
	"defendersync/store/storetest"
)

// What was recorded under the old names of outcomes is there under the new, and
// back; what the older program has no name for goes.
func TestOutcomesAreRenamed(t *testing.T) {
	ctx, pool := t.Context(), connect(t, storetest.URL(t))
	add := func(outcome string) {
		t.Helper()
		const run = `INSERT INTO sync.runs VALUES ($1, gen_random_uuid(), $2, 'c', now(), CASE WHEN $2 <> 'running' THEN now() END, $2, 0, 0, 0, 0, 0, 0, NULL, NULL, 1)`
		if _, err := pool.Exec(ctx, run, tenant, outcome); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, texts(t, pool, `SELECT stream || ' ' || outcome FROM sync.runs ORDER BY stream`)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if _, err := migrations.DownTo(ctx, pool, 11); err != nil {
		t.Fatal(err)
	}
	for _, old := range strings.Fields("complete failed incomplete interrupted running") {
		add(old)
	}
	if _, err := migrations.Up(ctx, pool); err != nil {
		t.Fatal(err)
	}
	check("complete ok", "failed failed", "incomplete partial", "interrupted interrupted", "running running")
	add("locked")
	if _, err := migrations.DownTo(ctx, pool, 11); err != nil {
		t.Fatal(err)
	}
	check("complete complete", "failed failed", "incomplete incomplete", "interrupted interrupted", "running running")
}

// How the last pass of a stream ended is not hidden by one that was given up.
func TestFreshnessLooksPastLocked(t *testing.T) {
	ctx, pool := t.Context(), connect(t, storetest.URL(t))
	const world = `
		INSERT INTO sync.checkpoints (tenant_id, stream, start_time, watermark, next_from, revision, window_width, rows, changed, updated_at)
		VALUES ('` + tenant + `', 's', '2026-01-01Z', '2026-01-02Z', '2026-01-02Z', 1, '0', 0, 0, now());
		INSERT INTO sync.runs VALUES
			('` + tenant + `', gen_random_uuid(), 's', 'c', '2026-01-02Z', '2026-01-02Z', 'failed', 0, 0, 0, 0, 0, 0, 'why', NULL, 1),
			('` + tenant + `', gen_random_uuid(), 's', 'c', '2026-01-03Z', '2026-01-03Z', 'locked', 0, 0, 0, 0, 0, 0, 'who', NULL, 1)`
	if _, err := pool.Exec(ctx, world); err != nil {
		t.Fatal(err)
	}
	if got := texts(t, pool, `SELECT last_outcome || ' ' || last_error FROM bi.freshness`); len(got) != 1 || got[0] != "failed why" {
		t.Errorf("%q", got)
	}
}
