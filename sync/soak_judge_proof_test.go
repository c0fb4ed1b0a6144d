//go:build soak && linux

package sync_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"defendersync/sync/defendersim"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
)

// judge compares what is stored with what the tenants are, and looks at what
// the workers did all along.
func (s *soak) judge() {
	for _, w := range []*worker{s.first, s.second} {
		for _, line := range w.crashes() {
			s.t.Errorf("%s: %s; see %s", w.name, line, w.log)
		}
	}
	s.flat()
	for _, x := range s.tenants {
		x.keptLimits()
		x.keptWaits()
	}
	for what, count := range map[string]string{
		"gaps":                 `SELECT count(*) FROM sync.gaps`,
		"records quarantined":  `SELECT count(*) FROM sync.quarantine`,
		"runs still under way": `SELECT count(*) FROM sync.runs WHERE outcome = 'running'`,
	} {
		if n := value[int64](s.t, s.admin, count); n != 0 {
			s.t.Errorf("%d %s are left", n, what)
		}
	}
	for _, x := range s.tenants {
		x.equalsDatabase()
	}
}

// equalsDatabase compares the tenant with what a reader of this tenant alone can
// see, so that a row under another tenant is one that is missing.
func (x *soakTenant) equalsDatabase() {
	t, r := x.s.t, &rig{db: x.reader()}
	world, database := worldContents(x.world, x.plan.dialect), stored(t, r.db)
	differ := x.compared("incidents", len(world.Incidents), unlike(world.Incidents, database.Incidents))
	differ += x.compared("alerts", len(world.Alerts), unlike(world.Alerts, database.Alerts))
	if differ > 0 {
		t.Errorf("%s: the database is not the world (-world +database):\n%.6000s", x.plan.name, cmp.Diff(world, database))
	}
	for _, o := range orphans(t, r.db) {
		t.Errorf("%s: %s", x.plan.name, o)
	}
	shells, current := mailTable, softwareTable
	shells.Name = "shells"
	current.Name += "_current"
	processes := slices.Compact(x.served(processTable, nil)) // a key folds what is told twice
	x.compareRows(r, processTable, processes)
	x.compareRows(r, evidenceTable, x.served(evidenceTable, nil))
	x.compareRows(r, shells, x.served(mailTable, func(row defendersim.HuntRow) bool { return row.Values[3] == "cmd.exe" }))
	x.compareRows(r, current, x.served(softwareTable, nil))
	r.vouched(t)
}

// compared notes how many records were compared, and how many are not alike.
func (x *soakTenant) compared(what string, of, differ int) int {
	x.s.journal.did(fmt.Sprintf("compared %s %s %d of %d", x.plan.name, what, differ, of))
	for range differ {
		x.s.journal.did("differs")
	}
	return differ
}

// unlike counts the records that are not the same on both sides.
func unlike[K comparable, V any](a, b map[K]V) (n int) {
	for k, v := range a {
		if w, ok := b[k]; !ok || !cmp.Equal(v, w) {
			n++
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			n++
		}
	}
	return n
}

// compareRows compares a hunting table with the rows that it is to hold.
func (x *soakTenant) compareRows(r *rig, table defendersim.HuntTable, want []string) {
	have := r.storedRows(x.s.t, table)
	count := map[string]int{}
	for _, row := range want {
		count[row]++
	}
	for _, row := range have {
		count[row]--
	}
	differ := 0
	for _, n := range count {
		differ += max(n, -n)
	}
	x.compared(table.Name, len(want), differ)
	sameRows(x.s.t, x.plan.name+" "+table.Name, have, want)
}

// served are the rows that a query would find now.
func (x *soakTenant) served(table defendersim.HuntTable, which func(defendersim.HuntRow) bool) []string {
	var want []string
	for _, row := range x.tables.Rows(table.Name, x.s.clock.Now()) {
		if which == nil || which(row) {
			want = append(want, canonical(table, row))
		}
	}
	slices.Sort(want)
	return want
}

// reader is a connection that sees the rows of this tenant only.
func (x *soakTenant) reader() *pgxpool.Pool {
	s, role := x.s, "soak_"+x.plan.name
	if _, err := s.admin.Exec(s.t.Context(), `CREATE ROLE `+role); err != nil {
		s.t.Fatal(err)
	}
	s.finally("migrate", "up", "--grant-read", role, "--tenant", x.plan.name)
	return s.pool(role)
}

// keptLimits fails where a window of a minute holds more calls than the tenant
// allows, or where a call came in that is not on record. A worker that was
// stopped between the record and the wire sends when it goes on, and by then
// another has counted its call as one of long ago.
func (x *soakTenant) keptLimits() {
	x.face.mu.Lock()
	defer x.face.mu.Unlock()
	for family, limit := range map[string]int{"incidents": x.plan.incidents, "hunting": x.plan.hunting} {
		var at []time.Time
		for _, c := range x.face.calls {
			if c.family == family {
				at = append(at, c.at)
			}
		}
		n, when := busiest(at)
		x.s.journal.did(fmt.Sprintf("most in a minute %s %s %d of %d", x.plan.name, family, n, limit))
		if n > limit && !x.s.journal.disturbed(x.plan.name, when.Add(-2*time.Minute), when, "freeze") {
			x.s.t.Errorf("%s: %d calls for %s in the minute to %s, where %d are allowed", x.plan.name, n, family, when, limit)
		}
		const recorded = `SELECT coalesce(sum(calls), 0) FROM sync.quota WHERE tenant_id = $1 AND family = $2`
		on := value[int](x.s.t, x.s.admin, recorded, x.world.TenantID(), family)
		x.s.journal.did(fmt.Sprintf("calls on record %s %s %d for %d", x.plan.name, family, on, len(at)))
		_, crashes := x.s.journal.of("broke PostgreSQL stopped at once")
		lost := 5 * crashes                                         // each forgets the last fraction of a second, which the record does not wait for
		if on+lost < len(at) && time.Since(x.s.began) < time.Hour { // for which they are kept
			x.s.t.Errorf("%s: %d calls for %s came in, and only %d are on record", x.plan.name, len(at), family, on)
		}
	}
}

// busiest is the most of some times, which are in order, within one minute, and when that was.
func busiest(at []time.Time) (most int, when time.Time) {
	for first, i := 0, 0; i < len(at); i++ {
		for at[i].Sub(at[first]) >= time.Minute {
			first++
		}
		if n := i - first + 1; n > most {
			most, when = n, at[i]
		}
	}
	return most, when
}

// keptWaits fails where a call came in before a wait was over that had been
// served, unless the answer may have been lost on its way, or the worker with
// it, before it was on record. Calls that were on their way already are none.
func (x *soakTenant) keptWaits() {
	x.face.mu.Lock()
	defer x.face.mu.Unlock()
	const onTheWay = 2 * time.Second
	judged := 0
	for _, wait := range x.face.waits {
		end := wait.at.Add(wait.length)
		if wait.length <= onTheWay || x.s.journal.disturbed(x.plan.name, wait.at, end, "freeze") ||
			x.s.journal.disturbed(x.plan.name, wait.at.Add(-time.Second), wait.at.Add(onTheWay), "kill", "stop", "terminate", "database", "database line", "line", "lock") {
			continue
		}
		judged++
		for _, c := range x.face.calls {
			if c.family == wait.family && c.at.After(wait.at.Add(onTheWay)) && c.at.Before(end) {
				x.s.t.Errorf("%s: a call for %s came at %s, although the service had asked at %s for %s of silence",
					x.plan.name, c.family, c.at.Format(time.StampMilli), wait.at.Format(time.StampMilli), wait.length)
			}
		}
	}
	x.s.journal.did(fmt.Sprintf("waits %s %d served, %d judged", x.plan.name, len(x.face.waits), judged))
}

// flat fails where the worker that lived on has grown. It compares the last
// third of its life with the middle one: the first is for filling up.
func (s *soak) flat() {
	all := s.watch.workers["second"].samples
	third := len(all) / 3
	for _, c := range []struct {
		what  string
		of    func(sample) float64
		slack float64
	}{
		{"MiB of memory", func(x sample) float64 { return x.rss }, 8},
		{"goroutines", func(x sample) float64 { return x.goroutines }, 10},
		{"open files", func(x sample) float64 { return x.files }, 5},
	} {
		before, after := middle(all[third:2*third], c.of), middle(all[2*third:], c.of)
		if after > 1.25*before+c.slack {
			s.t.Errorf("%s have grown from %.0f to %.0f: %s", c.what, before, after, tenNumbers(all, c.of))
		}
	}
	for name, w := range s.watch.workers {
		over := 0
		for _, x := range w.samples {
			if over++; x.connects <= soakConnections {
				over = 0
			}
			if over == 10 {
				s.t.Errorf("%s has had more than %d connections for ten looks: %s", name, soakConnections, tenNumbers(w.samples, func(x sample) float64 { return x.connects }))
				break
			}
		}
	}
}

// middle is the median of what could be seen; 0 of nothing.
func middle(samples []sample, of func(sample) float64) float64 {
	var all []float64
	for _, x := range samples {
		if v := of(x); v >= 0 {
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// tenNumbers are medians of a tenth of the time each.
func tenNumbers(samples []sample, of func(sample) float64) string {
	var ten []string
	for i := range 10 {
		ten = append(ten, fmt.Sprintf("%.0f", middle(samples[i*len(samples)/10:(i+1)*len(samples)/10], of)))
	}
	return strings.Join(ten, " ")
}
