package sync_test

import (
	"testing"
	"time"

	"defendersync/store"
	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

const (
	selectIncidents = `
		SELECT
			incident_id, coalesce(status, ''), coalesce(severity, ''), coalesce(assigned_to, ''), is_open,
			coalesce(acknowledged_at, '0001-01-01Z'), coalesce(acknowledged_from, ''), coalesce(resolved_at, '0001-01-01Z'), coalesce(resolved_from, ''),
			coalesce(time_to_acknowledge, '0'), coalesce(time_to_resolve, '0'), coalesce(age, '0'), reopen_count, alert_count, open_alert_count,
			coalesce(sla_breached::text, ''), coalesce(sla_acknowledge_breached::text, ''), merged_incident_ids
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
	consistent(t, db)
}

// consistent compares what the views say about the same.
func consistent(t *testing.T, db querier) {
	t.Helper()
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
			FULL JOIN (SELECT entity_type, entity_key, count(alert_id) AS n, min(first_seen_at) AS f, max(last_seen_at) AS l,
					min(first_seen_at) FILTER (WHERE source = 'alert') AS af, max(last_seen_at) FILTER (WHERE source = 'alert') AS al,
					min(first_seen_at) FILTER (WHERE source = 'hunting') AS hf, max(last_seen_at) FILTER (WHERE source = 'hunting') AS hl
				FROM bi.entity_sightings GROUP BY 1, 2) AS s USING (entity_type, entity_key)
			WHERE (e.alert_count, e.first_seen_at, e.last_seen_at) IS DISTINCT FROM (s.n, s.f, s.l)
				OR (e.alert_first_seen_at, e.alert_last_seen_at, e.hunting_first_seen_at, e.hunting_last_seen_at) IS DISTINCT FROM (s.af, s.al, s.hf, s.hl)`,
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
			FULL JOIN (SELECT incident_id, entity_type, entity_key, count(*) AS n FROM bi.entity_sightings WHERE alert_id IS NOT NULL GROUP BY 1, 2, 3) AS s USING (incident_id, entity_type, entity_key)
			WHERE e.alert_count IS DISTINCT FROM s.n`,
		"devices and users are not the entities": `
			SELECT count(*) FROM (SELECT count(*) AS n FROM bi.devices) AS d, (SELECT count(*) AS n FROM bi.users) AS u,
				(SELECT count(*) AS n FROM bi.entities WHERE entity_type IN ('host', 'user') AND alert_count > 0) AS e WHERE d.n + u.n <> e.n`,
		"times of devices are not those of evidence": `
			SELECT count(*) FROM bi.devices AS d JOIN bi.entities AS e ON e.entity_type = 'host' AND e.entity_key = d.device
			WHERE (d.first_seen_at, d.last_seen_at) IS DISTINCT FROM (e.alert_first_seen_at, e.alert_last_seen_at)`,
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
			r.pageCountsAlike(t)
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

// pageCountsAlike compares the days of the page with those of the views.
func (r *rig) pageCountsAlike(t *testing.T) {
	t.Helper()
	const n = 100
	got, err := defsync.ReadIncidents(t.Context(), r.store, []defsync.Tenant{r.tenant}, n, r.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	want := query[store.IncidentDay](t, r.db, `
		SELECT day::timestamp AT TIME ZONE 'UTC', sum(opened)::bigint, sum(resolved)::bigint
		FROM bi.incident_daily WHERE day BETWEEN $1::date - ($2::int - 1) AND $1::date GROUP BY day ORDER BY day`,
		r.clock.Now().UTC().Format(time.DateOnly), n)
	days := got[r.tenant.ID].Days
	if diff := gocmp.Diff(want, days[max(0, len(days)-len(want)):], gocmp.Comparer(time.Time.Equal)); diff != "" || len(want) < 60 {
		t.Fatalf("the page counts other days (-view +page):\n%.3000s", diff)
	}
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
