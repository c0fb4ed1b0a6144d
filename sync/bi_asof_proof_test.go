package sync_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	defsync "defendersync/sync"
	"defendersync/sync/defendersim"

	gocmp "github.com/google/go-cmp/cmp"
)

// state is a row of defender.incidents_as_of.
type state struct {
	ID                               int64
	Redirect                         int64
	Name, Status, Severity, Assigned string
	Classification, Determination    string
	CustomTags, SystemTags           []string
	Recorded                         bool
}

// tracked is what the history keeps of a version.
func tracked(i defendersim.Incident) state {
	return state{i.ID, i.RedirectID, i.Name, i.Status, i.Severity, i.AssignedTo, i.Classification, i.Determination,
		listed(i.CustomTags), listed(i.SystemTags), false}
}

// TestIncidentsAsOf asks for every instant at which something was seen, and
// between: what comes back is the version of then.
func TestIncidentsAsOf(t *testing.T) {
	r := newRig(t, rigOptions{world: defendersim.WorldOptions{Seed: 5, Incidents: 40}})
	var w witness
	var times []time.Time
	for round := range 6 {
		r.sync(t)
		w.observe(r)
		times = append(times, r.clock.Now(), r.clock.Now().Add(time.Hour))
		r.clock.advance(2 * time.Hour)
		r.live(t, round)
		r.clock.advance(10 * time.Minute)
	}
	const asOf = `
		SELECT incident_id, coalesce(redirect_incident_id, 0), display_name, status, severity, coalesce(assigned_to, ''), classification, determination,
			coalesce(custom_tags, '{}'), coalesce(system_tags, '{}'), recorded
		FROM defender.incidents_as_of($1)`
	for _, at := range append(times, times[0].AddDate(0, 0, -20)) {
		want := map[int64]state{}
		for id, l := range w.incidents {
			was := tracked(l.first())
			was.Recorded = !at.Before(earliest(l.firstSeen, l.last().LastUpdate))
			for n, v := range l.versions {
				if n == 0 || v.LastUpdate.After(at) {
					continue
				}
				recorded := was.Recorded || !gocmp.Equal(tracked(l.versions[n-1]), tracked(v))
				was = tracked(v)
				was.Recorded = recorded
			}
			if !l.first().Created.After(at) {
				want[id] = was
			}
		}
		got := map[int64]state{}
		for _, s := range query[state](t, r.db, asOf, at) {
			got[s.ID] = s
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("as of %s (-world +function):\n%.3000s", at, diff)
		}
		if len(want) == 0 {
			t.Errorf("as of %s there is nothing to compare", at)
		}
	}
	known := slices.Sorted(maps.Keys(w.incidents))
	if n := value[int64](t, r.db, `SELECT count(*) FROM defender.incidents_as_of(now() + interval '9 years') WHERE recorded`); int(n) != len(known) {
		t.Errorf("%d of %d incidents are recorded in the end", n, len(known))
	}
}

// TestFreshness compares what a reader may rely on with what was read.
func TestFreshness(t *testing.T) {
	r := newRig(t, rigOptions{world: defendersim.WorldOptions{Seed: 5, Incidents: 40}})
	r.sync(t)
	const settled = `SELECT settled_until FROM bi.freshness WHERE stream = 'incidents'`
	first := value[time.Time](t, r.db, settled)
	if want := r.clock.Now().Add(-32 * time.Minute); !first.Equal(want) {
		t.Errorf("settled until %s, want %s: settle and overlap before now", first.UTC(), want)
	}
	r.exec(t, `INSERT INTO sync.coverage (tenant_id, stream, from_time, to_time, rows, calls, verdict, recorded_at)
		SELECT tenant_id, stream, start_time - interval '1 day', start_time, 0, 1, 'failed', now() FROM sync.checkpoints WHERE stream = 'incidents'`)
	r.exec(t, `UPDATE sync.checkpoints SET start_time = start_time - interval '1 day' WHERE stream = 'incidents'`)
	type row struct {
		Settled, Start time.Time
		Gaps           int64
	}
	got := query[row](t, r.db, `SELECT settled_until, start_time, gap_count FROM bi.freshness WHERE stream = 'incidents'`)[0]
	if got.Gaps != 1 || !got.Settled.Equal(got.Start) {
		t.Errorf("%+v: nothing is settled after a gap", got)
	}
}

// TestSettledWhileCatchingUp: a pass that is under way, or was cut off, settles
// nothing: what it has still to read may have happened on any of the days behind it.
func TestSettledWhileCatchingUp(t *testing.T) {
	r := newRig(t, rigOptions{world: defendersim.WorldOptions{Seed: 5, Incidents: 300}})
	const settled = `SELECT coalesce(max(settled_until), '-infinity') = '-infinity', coalesce(max(settled_until), '2000-01-01Z') FROM bi.freshness WHERE stream = 'incidents'`
	type until struct {
		None bool
		At   time.Time
	}
	cutOff := func() {
		t.Helper()
		off := r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultStatus, Endpoint: defendersim.Incidents, Status: 403, Skip: 2})
		defer off()
		if res := r.worker.Sync(t.Context(), "", []string{"incidents"})[0]; res.Outcome != defsync.OutcomeFailed || res.Inserted+res.Updated == 0 {
			t.Fatalf("the pass ended %+v", res)
		}
	}
	cutOff()
	if got := query[until](t, r.db, settled)[0]; !got.None {
		t.Errorf("settled until %s before a first pass has ended", got.At)
	}
	if n := value[int64](t, r.db, `SELECT count(*) FROM bi.incident_daily WHERE is_settled`); n != 0 {
		t.Errorf("%d days are settled before a first pass has ended", n)
	}
	r.sync(t)
	before := query[until](t, r.db, settled)[0]
	for range 20 {
		r.clock.advance(24 * time.Hour)
		r.world.StepN(12)
	}
	cutOff()
	if after := query[until](t, r.db, settled)[0]; after != before {
		t.Errorf("a pass that was cut off settled what lies before %s; the last that ended, before %s", after.At, before.At)
	}
	r.sync(t)
	if after, want := query[until](t, r.db, settled)[0], r.clock.Now().Add(-32*time.Minute); !after.At.Equal(want) {
		t.Errorf("settled until %s, want %s", after.At, want)
	}
}
