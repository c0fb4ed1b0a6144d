package sync_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"defendersync/sync/defender"
	"defendersync/sync/defendersim"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// A witness looks at the world at each sync, as the worker does, and keeps what
// it saw: the truth that the views of bi are measured by. It knows of no SQL.
type witness struct {
	incidents map[int64]*life
	alerts    map[string]defendersim.Alert
}

// life is one incident in the versions that were seen of it.
type life struct {
	firstSeen time.Time // by the worker's clock
	versions  []defendersim.Incident
}

// observe is to be called when a sync has ended and the world has not moved since.
func (w *witness) observe(r *rig) {
	if w.incidents == nil {
		w.incidents = map[int64]*life{}
	}
	for _, i := range r.world.Incidents() {
		i.Created, i.LastUpdate = cut(i.Created), cut(i.LastUpdate)
		l := w.incidents[i.ID]
		if l == nil {
			l = &life{firstSeen: r.clock.Now()}
			w.incidents[i.ID] = l
		}
		if n := len(l.versions); n == 0 || !l.versions[n-1].LastUpdate.Equal(i.LastUpdate) {
			l.versions = append(l.versions, i)
		}
	}
	w.alerts = map[string]defendersim.Alert{}
	for _, a := range r.world.Alerts() {
		w.alerts[a.ID] = a
	}
}

func (l *life) first() defendersim.Incident { return l.versions[0] }
func (l *life) last() defendersim.Incident  { return l.versions[len(l.versions)-1] }

func open(status string) bool { return status != "resolved" && status != "redirected" }

// root of an incident, and of what is merged into each.
func (w *witness) roots() (root map[int64]int64, merged map[int64][]int64) {
	redirects := map[int64]int64{}
	for id, l := range w.incidents {
		redirects[id] = l.last().RedirectID
	}
	root, merged = map[int64]int64{}, map[int64][]int64{}
	for id := range redirects {
		if root[id] = rootOf(redirects, id); root[id] != id {
			merged[root[id]] = append(merged[root[id]], id)
		}
	}
	for _, ids := range merged {
		slices.Sort(ids)
	}
	return root, merged
}

// biIncident is a row of bi.incidents, as far as the truth of it is known.
type biIncident struct {
	ID                         int64
	Status, Severity, Assigned string
	IsOpen                     bool
	Acknowledged               time.Time
	AcknowledgedFrom           string
	Resolved                   time.Time
	ResolvedFrom               string
	ToAcknowledge, ToResolve   time.Duration // 0 for NULL
	Age                        time.Duration
	Reopened, Alerts, Open     int64
	SLABreached                string // "true", "false", "" for NULL
	Merged                     []int64
}

// truth is what bi.incidents should hold at now, and the transitions it follows from.
func (w *witness) truth(now time.Time) map[int64]biIncident {
	root, merged := w.roots()
	alerts, unresolved := map[int64]int64{}, map[int64]int64{}
	for _, a := range w.alerts {
		alerts[root[a.IncidentID]]++
		if a.Status != "resolved" {
			unresolved[root[a.IncidentID]]++
		}
	}
	target := map[string]time.Duration{"high": 24 * time.Hour, "medium": 72 * time.Hour, "low": 168 * time.Hour}
	all := map[int64]biIncident{}
	for id, l := range w.incidents {
		if root[id] != id {
			continue
		}
		i := l.last()
		b := biIncident{ID: id, Status: i.Status, Severity: i.Severity, Assigned: i.AssignedTo, IsOpen: open(i.Status),
			Alerts: alerts[id], Open: unresolved[id], Merged: append([]int64{}, merged[id]...)}
		b.Acknowledged, b.AcknowledgedFrom = w.acknowledged(l)
		b.Resolved, b.ResolvedFrom = w.resolved(l)
		b.Reopened = int64(len(l.reopened()))
		if b.AcknowledgedFrom != "" {
			b.ToAcknowledge = b.Acknowledged.Sub(i.Created)
		}
		end := now
		if b.ResolvedFrom != "" {
			b.ToResolve, end = b.Resolved.Sub(i.Created), b.Resolved
		}
		if b.IsOpen {
			b.Age = now.Sub(i.Created)
		}
		if d, ok := target[i.Severity]; ok && i.Status != "redirected" {
			b.SLABreached = fmt.Sprint(end.After(i.Created.Add(d)))
		}
		all[id] = b
	}
	return all
}

// earliest of those that are not zero.
func earliest(times ...time.Time) (t time.Time) {
	for _, u := range times {
		if !u.IsZero() && (t.IsZero() || u.Before(t)) {
			t = u
		}
	}
	return t
}

// acknowledged is when somebody took the incident, and how that is known.
func (w *witness) acknowledged(l *life) (time.Time, string) {
	taken := func(i defendersim.Incident) bool { return i.Status != "active" || i.AssignedTo != "" }
	if taken(l.first()) {
		var change time.Time
		for n := 1; n < len(l.versions) && change.IsZero(); n++ {
			if a, b := l.versions[n-1], l.versions[n]; a.Status != b.Status || a.AssignedTo != b.AssignedTo {
				change = b.LastUpdate
			}
		}
		return earliest(l.firstSeen, l.last().LastUpdate, change), "first_sync"
	}
	for _, v := range l.versions {
		if taken(v) && v.Status != "redirected" {
			return v.LastUpdate, "history"
		}
	}
	return time.Time{}, ""
}

// resolved is when the incident was resolved for the last time.
func (w *witness) resolved(l *life) (time.Time, string) {
	if l.last().Status != "resolved" {
		return time.Time{}, ""
	}
	for n := len(l.versions) - 1; n > 0; n-- {
		if l.versions[n].Status == "resolved" && l.versions[n-1].Status != "resolved" {
			return l.versions[n].LastUpdate, "history"
		}
	}
	var last time.Time
	for _, a := range w.alerts {
		if a.IncidentID != l.last().ID {
			continue
		}
		if a.Status != "resolved" || a.Resolved.IsZero() {
			return l.last().LastUpdate, "last_update"
		}
		if at := cut(a.Resolved); at.After(last) {
			last = at
		}
	}
	if last.IsZero() || last.After(l.last().LastUpdate) {
		return l.last().LastUpdate, "last_update"
	}
	if last.Before(l.last().Created) {
		last = l.last().Created
	}
	return last, "alerts"
}

// reopened is when the incident went from resolved to open.
func (l *life) reopened() (at []time.Time) {
	for n := 1; n < len(l.versions); n++ {
		if l.versions[n-1].Status == "resolved" && open(l.versions[n].Status) {
			at = append(at, l.versions[n].LastUpdate)
		}
	}
	return at
}

// closed is when it went from open to closed, the time before it was first seen included.
func (w *witness) closed(l *life) (at []time.Time) {
	if !open(l.first().Status) {
		if t, from := w.resolved(l); from == "alerts" || from == "last_update" {
			at = append(at, t)
		} else {
			var change time.Time
			for n := 1; n < len(l.versions) && change.IsZero(); n++ {
				if l.versions[n-1].Status != l.versions[n].Status {
					change = l.versions[n].LastUpdate
				}
			}
			at = append(at, earliest(l.firstSeen, l.last().LastUpdate, change))
		}
	}
	for n := 1; n < len(l.versions); n++ {
		if open(l.versions[n-1].Status) && !open(l.versions[n].Status) {
			at = append(at, l.versions[n].LastUpdate)
		}
	}
	return at
}

// daily is what bi.incident_daily should hold.
type daily struct {
	Day, Severity                       string
	Opened, Resolved, Reopened, Backlog int64
}

func (w *witness) daily(now time.Time) (all []daily) {
	root, _ := w.roots()
	type key struct{ day, severity string }
	counts := map[key]*daily{}
	day := func(t time.Time) string { return t.UTC().Format(time.DateOnly) }
	severities := map[string]bool{"high": true, "medium": true, "low": true, "informational": true}
	first, last := day(now), day(now)
	count := func(t time.Time, severity string, add func(*daily)) {
		k := key{day(t), severity}
		if counts[k] == nil {
			counts[k] = &daily{}
		}
		add(counts[k])
		severities[severity] = true
		first, last = min(first, k.day), max(last, k.day)
	}
	for id, l := range w.incidents {
		if root[id] != id {
			continue
		}
		severity := l.last().Severity
		count(l.last().Created, severity, func(d *daily) { d.Opened++ })
		for _, t := range l.reopened() {
			count(t, severity, func(d *daily) { d.Reopened++ })
		}
		for _, t := range w.closed(l) {
			count(t, severity, func(d *daily) { d.Resolved++ })
		}
	}
	for severity := range severities {
		backlog := int64(0)
		at, _ := time.Parse(time.DateOnly, first)
		for ; day(at) <= last; at = at.AddDate(0, 0, 1) {
			d := daily{Day: day(at), Severity: severity}
			if c := counts[key{d.Day, severity}]; c != nil {
				d.Opened, d.Resolved, d.Reopened = c.Opened, c.Resolved, c.Reopened
			}
			backlog += d.Opened + d.Reopened - d.Resolved
			d.Backlog = backlog
			all = append(all, d)
		}
	}
	slices.SortFunc(all, func(a, b daily) int { return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.Severity, b.Severity)) })
	return all
}

const (
	selectIncidents = `
		SELECT
			incident_id, coalesce(status, ''), coalesce(severity, ''), coalesce(assigned_to, ''), is_open,
			coalesce(acknowledged_at, '0001-01-01Z'), coalesce(acknowledged_from, ''), coalesce(resolved_at, '0001-01-01Z'), coalesce(resolved_from, ''),
			coalesce(time_to_acknowledge, '0'), coalesce(time_to_resolve, '0'), coalesce(age, '0'), reopen_count, alert_count, open_alert_count,
			coalesce(sla_breached::text, ''), merged_incident_ids
		FROM bi.incidents`
	selectDaily = `
		SELECT day::text, severity, opened, resolved, reopened, backlog
		FROM bi.incident_daily
		ORDER BY day, severity COLLATE "C"`
)

// matches compares the views with what the witness saw, in one snapshot of the database.
func (w *witness) matches(t *testing.T, db querier) {
	t.Helper()
	now := value[time.Time](t, db, `SELECT now()`).UTC()
	got := map[int64]biIncident{}
	for _, i := range query[biIncident](t, db, selectIncidents) {
		i.Acknowledged, i.Resolved = i.Acknowledged.UTC(), i.Resolved.UTC()
		got[i.ID] = i
	}
	if diff := gocmp.Diff(w.truth(now), got); diff != "" {
		t.Fatalf("bi.incidents is not the world (-world +view):\n%.6000s", diff)
	}
	if diff := gocmp.Diff(w.daily(now), query[daily](t, db, selectDaily)); diff != "" {
		t.Fatalf("bi.incident_daily is not the world (-world +view):\n%.6000s", diff)
	}
	w.sums(t, db)
}

// sums compares what several views say about the same.
func (w *witness) sums(t *testing.T, db querier) {
	t.Helper()
	root, _ := w.roots()
	type row struct {
		ID       string
		Incident int64
	}
	got, want := map[string]int64{}, map[string]int64{}
	for _, r := range query[row](t, db, `SELECT alert_id, incident_id FROM bi.alerts`) {
		got[r.ID] = r.Incident
	}
	for id, a := range w.alerts {
		want[id] = root[a.IncidentID]
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Fatalf("bi.alerts has other incidents (-world +view):\n%.3000s", diff)
	}
	for what, sql := range map[string]string{
		"backlog is not what is open": `
			SELECT count(*) FROM (SELECT severity, sum(backlog) AS n FROM bi.incident_daily WHERE day = (SELECT max(day) FROM bi.incident_daily) GROUP BY 1) AS d
			FULL JOIN (SELECT coalesce(severity, 'unknown') AS severity, count(*) AS n FROM bi.incidents WHERE is_open GROUP BY 1) AS i USING (severity)
			WHERE coalesce(d.n, 0) <> coalesce(i.n, 0)`,
		"workload is not what is open": `
			SELECT count(*) FROM (SELECT sum(open_count) AS n FROM bi.workload) AS w, (SELECT count(*) AS n FROM bi.incidents WHERE is_open) AS i WHERE w.n <> i.n`,
		"sightings are not what the evidence names": `
			SELECT count(*) FROM (
				(SELECT tenant_id, alert_id, entity_type, entity_key, first_seen_at, last_seen_at, roles FROM defender.entity_sightings
				EXCEPT SELECT tenant_id, alert_id, entity_type, entity_key, first_seen_at, last_seen_at, roles FROM defender.alert_entities)
				UNION ALL
				(SELECT tenant_id, alert_id, entity_type, entity_key, first_seen_at, last_seen_at, roles FROM defender.alert_entities
				EXCEPT SELECT tenant_id, alert_id, entity_type, entity_key, first_seen_at, last_seen_at, roles FROM defender.entity_sightings)
			) AS x`,
		"entities are not the sum of their sightings": `
			SELECT count(*) FROM bi.entities AS e
			FULL JOIN (SELECT entity_type, entity_key, count(*) AS n, min(first_seen_at) AS f, max(last_seen_at) AS l
				FROM bi.entity_sightings GROUP BY 1, 2) AS s USING (entity_type, entity_key)
			WHERE (e.alert_count, e.first_seen_at, e.last_seen_at) IS DISTINCT FROM (s.n, s.f, s.l)`,
		"open incidents of entities": `
			SELECT count(*) FROM bi.entities AS e
			LEFT JOIN (SELECT s.entity_type, s.entity_key, count(DISTINCT s.incident_id) AS n, count(*) FILTER (WHERE s.status <> 'resolved') AS a FROM bi.entity_sightings AS s
				JOIN bi.incidents AS i USING (tenant_id, incident_id) WHERE i.is_open GROUP BY 1, 2) AS s USING (entity_type, entity_key)
			WHERE (e.open_incident_count, e.open_alert_count) IS DISTINCT FROM (coalesce(s.n, 0), coalesce(s.a, 0))`,
		"entities of incidents": `
			SELECT count(*) FROM bi.incidents AS i
			LEFT JOIN (SELECT incident_id, count(DISTINCT (entity_type, entity_key)) AS n FROM bi.entity_sightings GROUP BY 1) AS s USING (incident_id)
			WHERE i.entity_count <> coalesce(s.n, 0)`,
		"entities by incident": `
			SELECT count(*) FROM bi.incident_entities AS e
			FULL JOIN (SELECT incident_id, entity_type, entity_key, count(*) AS n FROM bi.entity_sightings GROUP BY 1, 2, 3) AS s USING (incident_id, entity_type, entity_key)
			WHERE e.alert_count IS DISTINCT FROM s.n`,
		"devices and users are not the entities": `
			SELECT count(*) FROM (SELECT count(*) AS n FROM bi.devices) AS d, (SELECT count(*) AS n FROM bi.users) AS u,
				(SELECT count(*) AS n FROM bi.entities WHERE entity_type IN ('host', 'user')) AS e WHERE d.n + u.n <> e.n`,
		"devices without properties": `SELECT count(*) FROM bi.devices WHERE mde_device_id IS NULL AND device NOT IN (
			SELECT lower(host_name) FROM defender.alert_evidence WHERE evidence_type <> 'device' AND host_name IS NOT NULL)`,
		"techniques": `
			SELECT count(*) FROM bi.techniques AS t
			FULL JOIN (SELECT technique_id, coalesce(tactic_id, '') AS tactic, count(*) AS n, count(DISTINCT incident_id) AS i FROM bi.alert_techniques GROUP BY 1, 2) AS a
				ON a.technique_id = t.technique_id AND a.tactic = coalesce(t.tactic_id, '')
			WHERE (t.alert_count, t.incident_count) IS DISTINCT FROM (a.n, a.i) OR t.technique_name IS NULL`,
		"techniques lost": `SELECT count(*) FROM defender.alert_techniques WHERE technique NOT IN (SELECT technique_id FROM bi.techniques)`,
	} {
		if n := value[int64](t, db, sql); n != 0 {
			t.Errorf("%s: %d rows", what, n)
		}
	}
}

// inZone runs f in one snapshot with the session in a time zone.
func (r *rig) inZone(t *testing.T, zone string, f func(db pgx.Tx)) {
	t.Helper()
	tx, err := r.db.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context())
	if _, err := tx.Exec(t.Context(), `SELECT set_config('TimeZone', $1, true)`, zone); err != nil {
		t.Fatal(err)
	}
	f(tx)
}

// TestBIEqualsWorld lets a tenant live while it is read: incidents are merged,
// reopened and handed on, alerts move and find evidence. After each pass the
// views hold what a witness of the same versions worked out, whatever the
// session's time zone.
func TestBIEqualsWorld(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		r := newRig(t, rigOptions{dialect: d, world: defendersim.WorldOptions{Seed: 21, Incidents: 70, Span: 90 * 24 * time.Hour}})
		var w witness
		zones := []string{"UTC", "Pacific/Kiritimati", "America/Los_Angeles"}
		for round := range 8 {
			r.sync(t)
			r.equalsWorld(t)
			w.observe(r)
			r.inZone(t, zones[round%len(zones)], func(db pgx.Tx) { w.matches(t, db) })
			if t.Failed() {
				return
			}
			r.clock.advance(7 * time.Hour)
			r.live(t, round)
			r.clock.advance(10 * time.Minute)
		}
		w.wasWorthIt(t)
	})
}

// live changes the world at random, and on purpose in the ways that matter here.
func (r *rig) live(t *testing.T, round int) {
	t.Helper()
	r.world.StepN(15)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var resolved, active, others []int64
	for _, i := range r.world.Incidents() {
		switch i.Status {
		case "resolved":
			resolved = append(resolved, i.ID)
		case "active":
			active = append(active, i.ID)
		case "inProgress", "awaitingAction":
			others = append(others, i.ID)
		}
	}
	must(r.world.Edit(resolved[round%len(resolved)], func(i *defendersim.Incident) { i.Status = "inProgress" }))
	must(r.world.Edit(active[round%len(active)], func(i *defendersim.Incident) { i.AssignedTo = "ann@woodgrovebank.com" }))
	must(r.world.Edit(others[round%len(others)], func(i *defendersim.Incident) { i.Status, i.AssignedTo = "resolved", "bob@woodgrovebank.com" }))
	must(r.world.Merge(active[len(active)-1], others[len(others)-1]))
	alerts := r.world.Alerts()
	if _, err := r.world.MoveAlert(alerts[(31*round)%len(alerts)].ID, 0, round%2 == 0); err != nil {
		t.Fatal(err)
	}
	must(r.world.AddEvidence(alerts[(17*round)%len(alerts)].ID))
}

// wasWorthIt fails when the world was too quiet to prove anything.
func (w *witness) wasWorthIt(t *testing.T) {
	t.Helper()
	from, reopened, merged := map[string]int{}, 0, 0
	for _, i := range w.truth(time.Now()) {
		from["acknowledged "+i.AcknowledgedFrom]++
		from["resolved "+i.ResolvedFrom]++
		reopened += int(i.Reopened)
		merged += len(i.Merged)
	}
	quiet := map[string]bool{}
	for _, d := range w.daily(time.Now()) {
		quiet[d.Day] = quiet[d.Day] || d.Opened > 0
	}
	without := 0
	for _, busy := range quiet {
		if !busy {
			without++
		}
	}
	t.Logf("%v, reopened %d times, %d merged, %d days without incidents", from, reopened, merged, without)
	for _, what := range []string{"acknowledged history", "acknowledged first_sync", "resolved history", "resolved alerts", "resolved last_update"} {
		if from[what] == 0 {
			t.Errorf("none %s: the world shows too little", what)
		}
	}
	if reopened == 0 || merged == 0 || without == 0 {
		t.Errorf("reopened %d, merged %d, %d days without incidents: the world shows too little", reopened, merged, without)
	}
}

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
	r.exec(t, `UPDATE sync.checkpoints SET passed_at = NULL`)
	if n := value[int64](t, r.db, `SELECT count(*) FROM bi.freshness WHERE settled_until IS NOT NULL`); n != 0 {
		t.Error("settled before a first pass has ended")
	}
	if n := value[int64](t, r.db, `SELECT count(*) FROM bi.incident_daily WHERE is_settled`); n != 0 {
		t.Error("days are settled before a first pass has ended")
	}
}
