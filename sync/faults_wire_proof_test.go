package sync_test

import (
	"fmt"
	"testing"

	"defendersync/store"
	"defendersync/store/storetest"
	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"
)

// through opens the rig's database by another address, until it is closed.
func (r *rig) through(t testing.TB, url, owner string) (*defsync.Worker, *store.Store) {
	t.Helper()
	s, err := store.Open(t.Context(), url, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return r.newWorker(t, s, owner), s
}

// empty empties the database, down to the tables that were generated.
func (r *rig) empty(t testing.TB) {
	t.Helper()
	r.admin(t, `DO $$ DECLARE name text; BEGIN
		FOR name IN SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'hunting' LOOP
			EXECUTE 'DROP TABLE ' || name || ' CASCADE';
		END LOOP;
		FOR name IN SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ('defender', 'sync') AND tablename NOT LIKE 'goose%' LOOP
			EXECUTE 'DELETE FROM ' || name;
		END LOOP;
		IF to_regclass('sync.goose_hunting_version') IS NOT NULL THEN
			DELETE FROM sync.goose_hunting_version WHERE version_id > 0;
		END IF;
	END $$`)
}

// TestWireCutUnderThePass cuts the wire to the database at every write of a
// whole pass from the lease to its end, with the migration of a hunting table
// that it makes, before the write lands and after. The pass fails, or was
// complete; the next one, of another worker, ends with the tenant's content.
func TestWireCutUnderThePass(t *testing.T) {
	for _, landed := range []bool{false, true} {
		t.Run(fmt.Sprintf("incidents/landed=%v", landed), func(t *testing.T) {
			t.Parallel()
			cutEverywhere(t, newRig(t, rigOptions{world: defendersim.WorldOptions{Seed: 8, Incidents: 5},
				limits: defender.Limits{PerMinute: 1 << 20, PerHour: 1 << 20}}), landed)
		})
		t.Run(fmt.Sprintf("hunting/landed=%v", landed), func(t *testing.T) {
			t.Parallel()
			cutEverywhere(t, newHuntRig(t, huntOptions{tables: manyProcesses(30), hunts: threeHunts()[:1], cap: 20,
				rigOptions: rigOptions{limits: defender.Limits{PerMinute: 1 << 20, PerHour: 1 << 20}}}), landed)
		})
	}
}

func cutEverywhere(t *testing.T, r *rig, landed bool) {
	wire := storetest.NewWire(t, r.dsn)
	failed := 0
	for n := int64(0); ; n += int64(fewer(1, 3, 15)) {
		r.empty(t)
		w, s := r.through(t, wire.URL(wire.Addr), fmt.Sprintf("cut %d", n))
		cut := wire.Cut(n, landed)
		for _, res := range w.Sync(t.Context(), "", nil) {
			switch {
			case res.Outcome == defsync.OutcomeFailed && res.Err != nil:
				failed++
			case res.Outcome != defsync.OutcomeOK:
				t.Fatalf("cut at write %d: %s ended %s: %v", n, res.Stream, res.Outcome, res.Err)
			}
		}
		wire.Heal()
		s.Close()
		select {
		case <-cut:
		default:
			t.Logf("%d writes cut, %d passes failed", n, failed)
			if n < 30 || failed == 0 {
				t.Errorf("a pass took %d writes only, and %d passes failed: the sweep is not one", n, failed)
			}
			return
		}
		r.admin(t, `UPDATE sync.leases SET until = clock_timestamp()`)
		r.sync(t)
		r.whole(t)
		if t.Failed() {
			t.Fatalf("cut at write %d", n)
		}
	}
}
