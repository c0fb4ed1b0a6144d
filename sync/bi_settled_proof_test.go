package sync_test

import (
	"testing"
	"time"

	"defendersync/sync/defender"
	"defendersync/sync/defendersim"

	gocmp "github.com/google/go-cmp/cmp"
)

// times is what bi.incidents says about when an incident was taken and resolved.
type times struct {
	ID                             int64
	Acknowledged, AcknowledgedFrom string
	Resolved, ResolvedFrom         string
}

const selectTimes = `
	SELECT incident_id, coalesce(acknowledged_at::text, ''), coalesce(acknowledged_from, ''), coalesce(resolved_at::text, ''), coalesce(resolved_from, '')
	FROM bi.incidents`

func (r *rig) times(t *testing.T) map[int64]times {
	t.Helper()
	all := map[int64]times{}
	for _, i := range query[times](t, r.db, selectTimes) {
		all[i.ID] = i
	}
	return all
}

// settledDays are the numbers that are not to change any more.
func (r *rig) settledDays(t *testing.T) map[string]string {
	t.Helper()
	type row struct{ Day, Numbers string }
	all := map[string]string{}
	for _, d := range query[row](t, r.db, `
		SELECT day || ' ' || severity, format('opened %s, resolved %s, reopened %s, backlog %s', opened, resolved, reopened, backlog)
		FROM bi.incident_daily WHERE is_settled`) {
		all[d.Day] = d.Numbers
	}
	return all
}

// touches are what may happen to an incident later, but for a merge and a change of severity.
var touches = []struct {
	name   string
	status bool // it is open then, or resolved anew
	touch  func(w *defendersim.World, i defendersim.Incident) error
}{
	{"tag", false, func(w *defendersim.World, i defendersim.Incident) error {
		return w.Edit(i.ID, func(i *defendersim.Incident) { i.CustomTags = append(i.CustomTags, "seen") })
	}},
	{"comment", false, func(w *defendersim.World, i defendersim.Incident) error {
		return w.Edit(i.ID, func(i *defendersim.Incident) {
			i.Comments = append(i.Comments, defendersim.Comment{Text: "and?", By: "ann@woodgrovebank.com", At: i.LastUpdate})
		})
	}},
	{"owner", false, func(w *defendersim.World, i defendersim.Incident) error {
		return w.Edit(i.ID, func(i *defendersim.Incident) { i.AssignedTo = "nora@woodgrovebank.com" })
	}},
	{"alerts opened", false, func(w *defendersim.World, i defendersim.Incident) error {
		for _, id := range i.AlertIDs {
			if err := w.EditAlert(id, func(a *defendersim.Alert) { a.Status, a.Resolved = "inProgress", time.Time{} }); err != nil {
				return err
			}
		}
		return nil
	}},
	{"alerts resolved", false, func(w *defendersim.World, i defendersim.Incident) error {
		for _, id := range i.AlertIDs {
			if err := w.EditAlert(id, func(a *defendersim.Alert) { a.Status, a.Resolved = "resolved", a.Created.Add(time.Minute) }); err != nil {
				return err
			}
		}
		return nil
	}},
	{"an alert less", false, func(w *defendersim.World, i defendersim.Incident) error {
		if len(i.AlertIDs) == 0 {
			return nil
		}
		_, err := w.MoveAlert(i.AlertIDs[0], 0, true)
		return err
	}},
	{"another alert", true, func(w *defendersim.World, i defendersim.Incident) error {
		if _, err := w.AddAlert(i.ID); err != nil {
			return err
		}
		return w.Edit(i.ID, func(now *defendersim.Incident) { now.Severity = i.Severity })
	}},
	{"resolved once more", true, func(w *defendersim.World, i defendersim.Incident) error {
		return w.Edit(i.ID, func(i *defendersim.Incident) { i.Status = "resolved" })
	}},
	{"reopened", true, func(w *defendersim.World, i defendersim.Incident) error {
		return w.Edit(i.ID, func(i *defendersim.Incident) { i.Status = "inProgress" })
	}},
	{"resolved again", true, func(w *defendersim.World, i defendersim.Incident) error {
		return w.Edit(i.ID, func(i *defendersim.Incident) { i.Status = "resolved" })
	}},
	{"tag again", false, func(w *defendersim.World, i defendersim.Incident) error {
		return w.Edit(i.ID, func(i *defendersim.Incident) { i.CustomTags = append(i.CustomTags, "seen again") })
	}},
}

// TestBISettledStaysAsItWas touches every incident in every way, each at a later
// sync: what the views said about the time before stays, on settled days and of
// each incident.
func TestBISettledStaysAsItWas(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		r := newRig(t, rigOptions{dialect: d, world: defendersim.WorldOptions{Seed: 11, Incidents: 60, Span: 60 * 24 * time.Hour}})
		r.sync(t)
		r.notLate(t)
		was, days := r.times(t), r.settledDays(t)
		if len(days) < 100 {
			t.Fatalf("only %d rows are settled", len(days))
		}
		for _, c := range touches {
			r.clock.advance(26 * time.Hour)
			before := r.times(t)
			for _, i := range r.world.Incidents() {
				if i.Status != "redirected" && before[i.ID].AcknowledgedFrom != "" {
					if err := c.touch(r.world, i); err != nil {
						t.Fatal(err)
					}
				}
			}
			r.clock.advance(time.Hour)
			r.sync(t)
			now := r.settledDays(t)
			for day, numbers := range days {
				if now[day] != numbers {
					t.Errorf("%s: the settled day %s had %s and has %s", c.name, day, numbers, now[day])
				}
			}
			days = now
			r.sameTimes(t, c.name, c.status, was, before)
			r.notLate(t)
			if t.Failed() {
				return
			}
		}
	})
}

// sameTimes compares the times of incidents with those of the first sync, and of
// the one before.
func (r *rig) sameTimes(t *testing.T, name string, status bool, first, before map[int64]times) {
	t.Helper()
	resolved := 0
	for id, is := range r.times(t) {
		was, known := first[id]
		if !known {
			continue // an alert has left for it
		}
		if was.AcknowledgedFrom != "" && (is.Acknowledged != was.Acknowledged || is.AcknowledgedFrom != was.AcknowledgedFrom) {
			t.Errorf("%s: incident %d was acknowledged at %s by %s, and now %s by %s", name, id, was.Acknowledged, was.AcknowledgedFrom, is.Acknowledged, is.AcknowledgedFrom)
		}
		if is.ResolvedFrom != "" {
			resolved++
		}
		if diff := gocmp.Diff(before[id], is); !status && diff != "" {
			t.Errorf("%s: incident %d (-before +now):\n%s", name, id, diff)
		}
	}
	if (resolved == 0) != (name == "reopened" || name == "another alert") {
		t.Errorf("%s: %d incidents are resolved: the world shows too little", name, resolved)
	}
}

// notLate finds what was taken after it was resolved, by what is known of the time before the first sync.
func (r *rig) notLate(t *testing.T) {
	t.Helper()
	for _, i := range query[times](t, r.db, selectTimes+` WHERE acknowledged_at > resolved_at AND acknowledged_from = 'first_sync'`) {
		t.Errorf("incident %d was acknowledged at %s, after it was resolved at %s (%s)", i.ID, i.Acknowledged, i.Resolved, i.ResolvedFrom)
	}
}
