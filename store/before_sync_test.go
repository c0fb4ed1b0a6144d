package store_test

import (
	"fmt"
	"testing"

	"defendersync/store"
)

// owned, created and by give an incident what tells of the time before its first sync.
func owned(i *store.Incident) { i.AssignedTo = ptr("ann") }

func created(minute int) func(*store.Incident) {
	return func(i *store.Incident) { i.CreatedDateTime = ptr(at(minute)) }
}

// of puts an alert into an incident, resolved at a minute, or not with 0.
func of(incident int64, minute int) func(*store.Alert) {
	return func(a *store.Alert) {
		if a.IncidentID = &incident; minute > 0 {
			a.Status, a.ResolvedDateTime = ptr("resolved"), ptr(at(minute))
		}
	}
}

// selectBefore has minutes of the tests' time.
const selectBefore = `
	SELECT concat_ws(' ', incident_id, date_part('minute', acknowledged_before_sync_at), date_part('minute', resolved_before_sync_at), resolved_before_sync_from)
	FROM defender.incidents ORDER BY incident_id`

// What had become of an incident before its first version was stored is known
// from that version and the alerts that came with it, and nothing that comes
// later changes it.
func TestBeforeFirstSync(t *testing.T) {
	w := newWorker(t)
	old := created(1)
	w.commit(
		incident(1, 20, old), // nobody's
		incident(2, 20, old, owned),
		incident(3, 20, old, status("inProgress")),
		incident(4, 20, old, status("resolved")), alert("4", 9, of(4, 8)), alert("4b", 9, of(4, 9)),
		incident(5, 20, old, status("resolved")), alert("5", 9, of(5, 8)), alert("5b", 9, of(5, 0)),
		incident(6, 20, old, status("resolved")),                            // its alert comes later
		incident(7, 20, old, status("resolved")), alert("7", 22, of(7, 21)), // resolved after the version
		incident(8, 20, old, status("redirected")), alert("8", 9, of(8, 8)), // not its own any more
		incident(9, 20, created(10), status("resolved")), alert("9", 9, of(9, 8)),
		incident(10, 20, old, status("resolved"), func(i *store.Incident) { i.SyncedAt = at(18) }),        // by a clock that is behind
		incident(11, 20, old, status("resolved")), alert("11", 9, of(11, 0)), alert("11", 10, of(11, 10)), // twice: the newest counts
		incident(12, 20, old, status("resolved")), alert("12", 9, of(12, 8), func(a *store.Alert) { a.ResolvedDateTime = nil }),
		incident(13, 20, old, status("")),
		incident(14, 20, status("resolved")), alert("14", 9, of(14, 8)), // opened when it is stored
	)
	want := []string{"1", "2 20", "3 20", "4 9 9 alerts", "5 20 20 last_update", "6 20 20 last_update", "7 20 20 last_update", "8 20 20 last_update",
		"9 10 10 alerts", "10 18 18 last_update", "11 10 10 alerts", "12 20 20 last_update", "13", "14 21 21 alerts"}
	w.want(selectBefore, want...)
	for n, change := range []func(*store.Incident){owned, status("active"), status("resolved"), status("resolved")} {
		for _, minute := range []int{30 + n, 15} { // a new version, and a stale one
			var rows []any
			for id := range int64(14) {
				rows = append(rows, incident(id+1, minute, old, change), alert(fmt.Sprint(id+1), minute, of(id+1, 5)))
			}
			w.commit(rows...)
			w.want(selectBefore, want...)
		}
	}
}

// Where a page is taken apart because PostgreSQL refuses one of its records, and
// where one is replayed from the quarantine, the alerts tell as ever.
func TestBeforeFirstSyncApart(t *testing.T) {
	w := newWorker(t)
	old := created(1)
	c := w.next()
	c.Incidents = []store.Incident{incident(1, 20, old, status("resolved")), incident(2, 20, old, status("resolved\x00")), incident(3, 20, old, status("resolved"))}
	c.Alerts = []store.Alert{alert("1", 9, of(1, 8)), alert("2", 9, of(2, 8)), alert("3", 9, of(3, 0))}
	w.must(c)
	w.want(selectBefore, "1 8 8 alerts", "3 20 20 last_update")
	_, err := w.Replay(t.Context(), store.Replay{
		Lease: w.lease, ID: w.mustList(store.QuarantineFilter{})[0].ID,
		Incidents: []store.Incident{incident(1, 10, old), incident(2, 20, old, status("resolved")), incident(3, 25, old, owned)},
		Alerts:    []store.Alert{alert("2", 9, of(2, 8)), alert("3", 9, of(3, 7))},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.want(selectBefore, "1 8 8 alerts", "2 8 8 alerts", "3 20 20 last_update")
	w.want(`SELECT status FROM defender.incidents ORDER BY incident_id`, "resolved", "resolved", "active")
}
