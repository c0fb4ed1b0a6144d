package sync_test

import (
	"testing"

	"defendersync/sync/defendersim"
)

// idleWAL is what a pass that finds nothing new may write to the database's
// log: its own record, coverage and checkpoint, and the vacuums of others.
const idleWAL = 256 << 10

// TestIdlePassWritesNothing compares every row of defender.* before and after a
// pass over an unchanged tenant, with the marks that even a lock leaves on a
// row (P9). It is alone on the server, so that the log is the pass's own.
func TestIdlePassWritesNothing(t *testing.T) {
	for _, d := range dialects {
		t.Run(string(d), func(t *testing.T) {
			r := newRig(t, rigOptions{dialect: d, world: defendersim.WorldOptions{Seed: 3, Incidents: 200, Tie: 60}})
			first := r.wal(t)
			r.sync(t)
			first = r.wal(t) - first
			before := r.marks(t)
			second := r.wal(t)
			results := r.sync(t)
			second = r.wal(t) - second
			third := r.wal(t)
			r.rereadAll(t)
			third = r.wal(t) - third
			t.Logf("WAL: %d bytes for the first pass, %d for an idle one, %d for reading everything again", first, second, third)
			for _, res := range results {
				if res.Inserted+res.Updated != 0 {
					t.Errorf("%s: %d inserted, %d updated", res.Stream, res.Inserted, res.Updated)
				}
			}
			if max(second, third) > idleWAL {
				t.Errorf("an idle pass wrote %d and %d bytes of WAL", second, third)
			}
			for table, mark := range r.marks(t) {
				if before[table] != mark {
					t.Errorf("rows of %s were touched", table)
				}
			}
			r.unmarked(t)
		})
	}
}

// rereadAll makes a pass that reads the whole history again, as if it were one
// long overlap.
func (r *rig) rereadAll(t testing.TB) {
	t.Helper()
	if _, err := r.db.Exec(t.Context(), `UPDATE sync.checkpoints SET next_from = start_time`); err != nil {
		t.Fatal(err)
	}
	for _, res := range r.sync(t) {
		if res.Read == 0 || res.Inserted+res.Updated != 0 {
			t.Errorf("%s read again: %d read, %d inserted, %d updated", res.Stream, res.Read, res.Inserted, res.Updated)
		}
	}
}

// wal is how much the server has written to its log.
func (r *rig) wal(t testing.TB) int64 {
	t.Helper()
	return value[int64](t, r.db, `SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint`)
}

// marks is a digest of each table of defender.*: where each row version is and
// which transactions made, ended or locked it.
func (r *rig) marks(t testing.TB) map[string]string {
	t.Helper()
	marks := map[string]string{}
	for _, table := range []string{"incidents", "incident_comments", "incident_history", "alerts", "alert_evidence", "alert_techniques", "alert_history", "entities", "entity_sightings"} {
		marks[table] = value[string](t, r.db,
			`SELECT count(*) || ' ' || coalesce(md5(string_agg(format('%s %s %s', ctid, xmin, xmax), ',' ORDER BY ctid)), '') FROM defender.`+table)
	}
	return marks
}
