package sync_test

import (
	"fmt"
	"testing"
	"time"

	"defendersync/sync/defender"
	"defendersync/sync/defendersim"
)

// TestVersionsInAnyOrder serves three versions of each of six incidents and
// alerts, each in another order, one version a pass. The newest of those seen
// so far is what is stored (P2).
func TestVersionsInAnyOrder(t *testing.T) {
	orders := [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}
	r := newRig(t, rigOptions{world: defendersim.WorldOptions{Seed: 31, Incidents: 20}})
	var incidents []int64
	for range orders {
		incidents = append(incidents, r.world.AddIncident(1))
	}
	alerts := map[int64]string{}
	for _, a := range r.world.Alerts() {
		alerts[a.IncidentID] = a.ID
	}
	version := func(v int) string {
		return r.clock.Now().Add(time.Duration(v) * time.Microsecond).Format(time.RFC3339Nano)
	}
	served := [3]string{version(0), version(1), version(2)}
	r.clock.advance(5 * time.Minute)
	for pass := range 3 {
		for i, id := range incidents {
			v := orders[i][pass]
			alert := fmt.Sprintf(`{"id":%q,"incidentId":"%d","title":"version %d","lastUpdateDateTime":%q,"evidence":[%s]}`,
				alerts[id], id, v, served[v], `{"@odata.type":"#microsoft.graph.security.userEvidence"}`)
			r.sim.Overlay(fmt.Sprint(id), fmt.Appendf(nil, `{"id":"%d","displayName":"version %d","lastUpdateDateTime":%q,"alerts":[%s]}`, id, v, served[v], alert))
			r.sim.Overlay(alerts[id], []byte(alert))
		}
		r.sync(t)
		for i, id := range incidents {
			newest := 0
			for _, v := range orders[i][:pass+1] {
				newest = max(newest, v)
			}
			want := fmt.Sprintf("version %d version %d", newest, newest)
			const stored = `
				SELECT i.display_name || ' ' || a.title FROM defender.incidents AS i JOIN defender.alerts AS a USING (tenant_id, incident_id)
				WHERE i.incident_id = $1`
			if got := value[string](t, r.db, stored, id); got != want {
				t.Errorf("order %v after pass %d: %q, want %q", orders[i], pass+1, got, want)
			}
		}
	}
}

// TestMovedAndMerged moves alerts without touching their own last update, and
// merges incidents in chains, between passes.
func TestMovedAndMerged(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		r := newRig(t, rigOptions{dialect: d, world: defendersim.WorldOptions{Seed: 32, Incidents: 30}})
		var ids []int64
		for range 6 {
			ids = append(ids, r.world.AddIncident(3))
		}
		settle := func() {
			t.Helper()
			r.clock.advance(5 * time.Minute)
			r.sync(t)
			r.equalsWorld(t)
		}
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		settle()
		byIncident := map[int64][]string{}
		for _, i := range r.world.Incidents() {
			byIncident[i.ID] = i.AlertIDs
		}
		for _, touch := range []bool{false, true} { // there and back
			for i, id := range ids[:3] {
				to := ids[i+3]
				if touch {
					to = id
				}
				_, err := r.world.MoveAlert(byIncident[id][0], to, touch)
				check(err)
			}
			settle()
		}
		check(r.world.Merge(ids[0], ids[1]))
		check(r.world.Merge(ids[1], ids[2])) // a chain in one pass
		settle()
		check(r.world.Merge(ids[2], ids[3])) // and one more link in the next
		settle()
		const roots = `SELECT count(*) FROM defender.incident_roots WHERE root_incident_id = $1`
		if n := value[int](t, r.db, roots, ids[3]); n != 4 {
			t.Errorf("%d incidents lead to the last of the chain, want 4", n)
		}
		const moves = `SELECT count(*) FROM defender.alert_history WHERE field = 'incident_id'`
		if n := value[int](t, r.db, moves); n < 6+3 {
			t.Errorf("the history knows %d moves of alerts", n)
		}
	})
}
