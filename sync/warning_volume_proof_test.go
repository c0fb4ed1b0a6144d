package sync_test

import (
	"strings"
	"testing"
	"time"

	defsync "defendersync/sync"
	"defendersync/sync/defendersim"
)

// friday is when the rig of these tests begins: five weeks before the hour that
// stays empty, an hour before that of its kind.
var friday = time.Date(2026, 10, 16, 12, 0, 0, 0, time.UTC)

// busyHour lets an hour go by with twelve incidents of an alert each.
func (r *rig) busyHour() {
	for range 12 {
		r.world.AddIncident(1)
		r.clock.advance(5 * time.Minute)
	}
}

// warned checks that the status warns of each stream in these words, none for
// "", and that the last run says the same.
func (r *rig) warned(t *testing.T, want string) {
	t.Helper()
	for _, s := range r.status(t) {
		got := ""
		for _, w := range s.Warnings {
			if w.Kind == defsync.WarningVolume {
				got = w.Text
			}
		}
		text := strings.ReplaceAll(want, "STREAM", s.Stream)
		if !strings.HasPrefix(got, text) || (want == "") != (got == "") {
			t.Errorf("%s: the status says %q, want %q", s.Stream, got, text)
		}
		if got == "" && strings.Contains(s.LastRun.Warning, " between ") || !strings.Contains(s.LastRun.Warning, got) {
			t.Errorf("%s: the run says %q, the status %q", s.Stream, s.LastRun.Warning, got)
		}
	}
}

// TestEmptyHourIsOnRecord: on Fridays between 13:00 and 15:00 the tenant always
// has incidents, and otherwise hardly any. In the fifth week it has none then.
// That is said once the hour has settled, for as long as nothing comes, and in
// one sentence for both hours; before, at night and without those hours it is
// not. Whoever looks, a pass or the status, is told the same (P8).
func TestEmptyHourIsOnRecord(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{now: friday, world: defendersim.WorldOptions{Seed: 9, Incidents: 1}})
	r.sync(t)
	for range 4 {
		r.clock.advance(time.Hour)
		r.busyHour()
		r.busyHour()
		r.clock.advance(12 * time.Hour)
		r.sync(t)
		r.warned(t, "")
		r.clock.advance((7*24 - 15) * time.Hour)
	}
	r.clock.advance(2 * time.Hour) // 14:00
	r.sync(t)
	r.warned(t, "")
	r.clock.advance(20 * time.Minute)
	r.sync(t)
	r.warned(t, "") // it may still come
	r.clock.advance(13 * time.Minute)
	r.sync(t)
	const hour = "no STREAM between 2026-11-13 13:00 and 14:00 UTC, an hour of the week that had 12 on average and never fewer than 12 in the last four weeks: check that the app"
	r.warned(t, hour)
	r.clock.advance(17 * time.Minute)
	id := r.world.AddIncident(1) // within the overlap of the next pass, but too late for the hour before
	r.clock.advance(5 * time.Minute)
	r.sync(t)
	r.warned(t, hour)
	r.clock.advance(38 * time.Minute)
	r.sync(t)
	r.warned(t, "") // the newest hour holds something
	if _, err := r.db.Exec(t.Context(), `DELETE FROM defender.incidents WHERE incident_id = $1`, id); err != nil {
		t.Fatal(err)
	}
	if _, err := r.db.Exec(t.Context(), `DELETE FROM defender.alerts WHERE incident_id = $1`, id); err != nil {
		t.Fatal(err)
	}
	r.clock.advance(8 * time.Hour)
	r.sync(t)
	const both = "no STREAM between 2026-11-13 13:00 and 15:00 UTC, hours of the week that had 12 on average and never fewer than 12 in the last four weeks: "
	r.warned(t, both) // in the evening, too, of which nothing is expected
	if s := r.status(t)[0]; s.LastRun.Outcome != "ok" || s.Stale {
		t.Errorf("it is a warning and no failure: %+v", s)
	}
	r.clock.advance(18 * time.Hour)
	r.sync(t)
	r.warned(t, "")
}

// TestEmptyHourOfHunting does so with rows of hunting, which are given
// two hours to come. What comes later still, and is found by a comparison with
// the source, cures it.
func TestEmptyHourOfHunting(t *testing.T) {
	t.Parallel()
	tables := defendersim.NewHunting()
	tables.AddTable(processTable)
	now, n := time.Date(2026, 11, 20, 14, 40, 0, 0, time.UTC), 0
	add := func(hour time.Time, rows int) {
		for i := range rows {
			tables.AddRows(processTable.Name, process(hour.Add(time.Duration(i)*time.Minute), n))
			n++
		}
	}
	for week := range 4 {
		add(now.Add(-time.Duration(week+1)*7*24*time.Hour).Truncate(time.Hour).Add(-time.Hour), 10+week)
	}
	r := newHuntRig(t, huntOptions{rigOptions: rigOptions{now: now, overlap: 10 * time.Minute}, tables: tables,
		hunts: []defsync.Hunt{{Table: processTable.Name, Name: processTable.Name}}})
	r.sync(t)
	r.warned(t, "")
	r.clock.advance(time.Hour)
	r.sync(t)
	r.warned(t, "")
	r.clock.advance(35 * time.Minute)
	r.sync(t)
	r.warned(t, "no rows of STREAM between 2026-11-20 13:00 and 14:00 UTC, an hour of the week that had 12 on average and never fewer than 10 in the last four weeks: check that")
	add(now.Truncate(time.Hour).Add(-time.Hour), 1)
	compared := r.worker.Reconcile(t.Context(), defsync.ReconcileRequest{})
	if len(compared) != 1 || compared[0].Healed != 1 {
		t.Fatalf("%+v", compared)
	}
	r.warned(t, "")
}

// TestStaleStretchIsOnRecord: the pass that mends it says how long the stream
// had been stale, and the next one does not.
func TestStaleStretchIsOnRecord(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{world: defendersim.WorldOptions{Seed: 4, Incidents: 10}})
	r.sync(t)
	r.clock.advance(10 * time.Minute)
	for _, stale := range []bool{false, true, false} {
		for _, res := range r.sync(t) {
			if got := strings.Contains(res.Warning, "no pass had ended since 2026-11-20 12:10 UTC, though the schedule asks for one @every 5m"); got != stale {
				t.Errorf("%s: %q, stale %v", res.Stream, res.Warning, stale)
			}
		}
		if !stale {
			r.clock.advance(16 * time.Minute)
		}
	}
}
