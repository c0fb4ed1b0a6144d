package sync_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"defendersync/store"
	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"
)

// An incident that makes every answer with its alerts fail must not stop its
// stream, nor hide another record. These are what a pass over these small
// tenants, and finding one such incident, may cost in requests.
const (
	passCalls      = 50
	isolationCalls = 80
)

// poisonRig is a tenant some of whose incidents are poison. victims chooses them
// from all incidents, which are in order of their last update.
func poisonRig(t *testing.T, opt rigOptions, alertsToo bool, victims func([]defendersim.Incident) []defendersim.Incident) (*rig, []string) {
	t.Helper()
	r := newRig(t, opt)
	all := r.world.Incidents()
	slices.SortFunc(all, func(a, b defendersim.Incident) int { return a.LastUpdate.Compare(b.LastUpdate) })
	var ids []string
	for _, i := range victims(all) {
		ids = append(ids, strconv.FormatInt(i.ID, 10))
	}
	for _, id := range ids {
		r.sim.Poison(id, alertsToo)
	}
	return r, ids
}

// places of poison among the incidents.
var places = map[string]func([]defendersim.Incident) []defendersim.Incident{
	"alone": func(all []defendersim.Incident) []defendersim.Incident { return all[77:78] },
	"first": func(all []defendersim.Incident) []defendersim.Incident { return all[:1] },
	"last":  func(all []defendersim.Incident) []defendersim.Incident { return all[len(all)-1:] },
	"several": func(all []defendersim.Incident) []defendersim.Incident {
		return []defendersim.Incident{all[3], all[90], all[91]}
	},
	"tied": tiedIncidents,
}

// tiedIncidents are two of those that share one last update.
func tiedIncidents(all []defendersim.Incident) []defendersim.Incident {
	for i := 2; i < len(all); i++ {
		if cut(all[i].LastUpdate).Equal(cut(all[i-2].LastUpdate)) {
			return all[i-1 : i+1]
		}
	}
	return nil
}

// On Graph the alerts are had by a call of their own: nothing is missing.
func TestPoisonedExpand(t *testing.T) {
	for place, victims := range places {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			r, ids := poisonRig(t, rigOptions{world: defendersim.WorldOptions{Seed: 11, Incidents: 150, Tie: 9}}, false, victims)
			if len(ids) == 0 {
				t.Fatal("the world has no such place")
			}
			r.sync(t)
			r.equalsWorld(t)
			r.vouched(t)
			r.fewCalls(t, len(ids))
		})
	}
}

// A poison inside a tie that is wider than a page.
func TestPoisonInWideTie(t *testing.T) {
	t.Parallel()
	r, _ := poisonRig(t, rigOptions{world: defendersim.WorldOptions{Seed: 12, Incidents: 90, Tie: 60}}, false, tiedIncidents)
	r.sync(t)
	r.equalsWorld(t)
	r.vouched(t)
}

// Where the alerts' own call fails as well, the incident is stored, its alerts
// come with the alerts stream, and the quarantine says what could not be read.
func TestPoisonedAlerts(t *testing.T) {
	for place, victims := range places {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			r, ids := poisonRig(t, rigOptions{world: defendersim.WorldOptions{Seed: 13, Incidents: 150, Tie: 9}}, true, victims)
			for _, res := range r.worker.Sync(t.Context(), "", nil) {
				if incomplete := res.Outcome == defsync.OutcomePartial; res.Err != nil || incomplete != (res.Stream == defsync.IncidentsStream) {
					t.Errorf("%s ended %s: %v", res.Stream, res.Outcome, res.Err)
				}
			}
			r.equalsWorld(t) // the stream of alerts has them all
			r.vouched(t)
			r.fewCalls(t, len(ids))
			r.quarantined(t, "incident_alerts", ids)
			for _, id := range ids {
				r.sim.Heal(id)
			}
			r.replayAll(t)
			r.equalsWorld(t)
			r.sync(t)
		})
	}
}

// Alerts that were cut off from their incident are asked for again by later
// passes, an hour after the last attempt, and nobody has to tell them to.
func TestCutOffAlertsAreReadAgain(t *testing.T) {
	t.Parallel()
	r, ids := poisonRig(t, rigOptions{world: defendersim.WorldOptions{Seed: 13, Incidents: 150, Tie: 9}}, true, places["first"])
	if len(ids) == 0 {
		t.Fatal("the world has no such place")
	}
	attempts := func(rested string) int { // by the database's clock, which no test moves
		const rest = `UPDATE sync.quarantine SET last_attempt_at = clock_timestamp() - $1::interval`
		if _, err := r.db.Exec(t.Context(), rest, rested); err != nil {
			t.Fatal(err)
		}
		before := r.sim.Calls()
		res := r.worker.Sync(t.Context(), "", []string{defsync.IncidentsStream})[0]
		if calls := int64(r.sim.Calls() - before); res.Calls != calls {
			t.Errorf("%d calls are on record of %d", res.Calls, calls)
		}
		return value[int](t, r.db, `SELECT coalesce(max(attempts), 0) FROM sync.quarantine`)
	}
	for i, want := range []int{1, 1, 2} {
		if got := attempts([]string{"0", "59 min", "60 min"}[i]); got != want {
			t.Errorf("pass %d: %d attempts, want %d", i+1, got, want)
		}
	}
	for _, id := range ids {
		r.sim.Heal(id)
	}
	attempts("60 min")
	r.sync(t)
	r.equalsWorld(t)
}

// The older API cannot leave the alerts out: the record is asked for alone, by
// its place in its microsecond, and stepped over. Everything else is stored,
// and the record too once it is served.
func TestPoisonOnOlderAPI(t *testing.T) {
	for place, victims := range places {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			opt := rigOptions{dialect: defender.Older, world: defendersim.WorldOptions{Seed: 14, Incidents: 150, Tie: 9}}
			r, ids := poisonRig(t, opt, false, victims)
			for _, res := range r.worker.Sync(t.Context(), "", nil) {
				if res.Outcome != defsync.OutcomePartial {
					t.Errorf("%s ended %s: %v", res.Stream, res.Outcome, res.Err)
				}
			}
			r.vouched(t)
			r.fewCalls(t, len(ids))
			r.allBut(t, ids)
			for _, id := range ids {
				r.sim.Heal(id)
			}
			r.replayAll(t)
			r.equalsWorld(t)
			r.sync(t)
			r.equalsWorld(t)
		})
	}
}

// fewCalls fails where isolating cost more than it should.
func (r *rig) fewCalls(t testing.TB, poisoned int) {
	t.Helper()
	n := r.sim.Calls()
	t.Logf("%d requests for %d poisoned", n, poisoned)
	if most := passCalls + isolationCalls*poisoned; n > most {
		t.Errorf("%d requests, want no more than %d", n, most)
	}
}

// allBut fails unless exactly the given incidents, with their alerts, are missing.
func (r *rig) allBut(t testing.TB, ids []string) {
	t.Helper()
	want, got := worldContents(r.world, r.opt.dialect), stored(t, r.db)
	for id := range want.Incidents {
		_, found := got.Incidents[id]
		if poison := slices.Contains(ids, fmt.Sprint(id)); found == poison {
			t.Errorf("incident %d: stored %v, poison %v", id, found, poison)
		}
	}
	for id, a := range want.Alerts {
		_, found := got.Alerts[id]
		if poison := slices.Contains(ids, fmt.Sprint(a.IncidentID)); found == poison {
			t.Errorf("alert %s of incident %d: stored %v, poison %v", id, a.IncidentID, found, poison)
		}
	}
}

// quarantined fails unless the quarantine holds these keys under this kind, and
// nothing else.
func (r *rig) quarantined(t testing.TB, kind string, keys []string) {
	t.Helper()
	var got []string
	for _, q := range r.quarantine(t) {
		got = append(got, q.Kind+" "+q.Key)
	}
	want := make([]string, len(keys))
	for i, k := range keys {
		want[i] = kind + " " + k
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("in quarantine: %q, want %q", got, want)
	}
}

// quarantine is everything in quarantine, with its bytes.
func (r *rig) quarantine(t testing.TB) []store.QuarantineRow {
	t.Helper()
	list, err := r.store.QuarantineList(t.Context(), store.QuarantineFilter{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if list[i], err = r.store.QuarantineGet(t.Context(), list[i].ID); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// replayAll stores everything that is in quarantine, and fails unless that
// leaves it empty. What was stepped over is a gap, too, which passes heal.
func (r *rig) replayAll(t testing.TB) {
	t.Helper()
	r.clock.advance(time.Minute)
	for _, res := range r.worker.Replay(t.Context(), r.quarantine(t)) {
		if !res.Stored {
			t.Errorf("replay of %s: %v", res.ID, res.Err)
		}
	}
	if left := r.quarantine(t); len(left) != 0 {
		t.Errorf("%d records are still in quarantine: %v", len(left), left[0].Reason)
	}
}
