package sync_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"defendersync/sync/defender"
	"defendersync/sync/defendersim"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// The rows below are what a test compares: the world's own knowledge on one
// side, what SQL finds on the other. Null and "" are one, as they are in the
// world, and times are cut to microseconds.

type incidentRow struct {
	IncidentID, Redirect, Root         int64
	DisplayName, Description, Summary  string
	Status, Severity                   string
	Classification, Determination      string
	AssignedTo, LastModifiedBy         string
	ResolvingComment                   string
	CustomTags, SystemTags             []string
	Priority                           int
	CreatedDateTime, LastUpdateDateTim time.Time
	Comments                           []commentRow `db:"-"`
}

type commentRow struct {
	Comment, By string
	At          time.Time
}

type alertRow struct {
	AlertID, ProviderAlertID                    string
	IncidentID                                  int64
	Title, Description, Category                string
	Status, Severity                            string
	Classification, Determination               string
	ServiceSource, DetectionSource              string
	InvestigationState, AssignedTo              string
	Actor, Threat, Family, DetectorID           string
	Created, LastUpdate, Resolved, First, Last  time.Time
	Techniques, ListedTechniques, EvidenceTypes []string
}

// contents is what a tenant holds, by id.
type contents struct {
	Incidents map[int64]incidentRow
	Alerts    map[string]alertRow
}

// equalsWorld fails with what differs unless the database holds the world:
// everything that the dialect serves of it, and not one row more.
func (r *rig) equalsWorld(t testing.TB) {
	t.Helper()
	if diff := r.difference(t, r.db); diff != "" {
		if len(diff) > 6000 {
			diff = diff[:6000] + "\n…"
		}
		t.Fatalf("the database is not the world (-world +database):\n%s", diff)
	}
}

// difference is what tells the database from the world; "" for nothing.
func (r *rig) difference(t testing.TB, db querier) string {
	t.Helper()
	diff := cmp.Diff(worldContents(r.world, r.opt.dialect), stored(t, db))
	return diff + strings.Join(orphans(t, db), "\n")
}

// worldContents is the world as the database should show it.
func worldContents(w *defendersim.World, d defender.Dialect) contents {
	c := contents{map[int64]incidentRow{}, map[string]alertRow{}}
	redirects := map[int64]int64{}
	for _, i := range w.Incidents() {
		redirects[i.ID] = i.RedirectID
	}
	for _, i := range w.Incidents() {
		c.Incidents[i.ID] = worldIncident(i, d, rootOf(redirects, i.ID))
	}
	for _, a := range w.Alerts() {
		c.Alerts[a.ID] = worldAlert(a, d)
	}
	return c
}

// rootOf follows merges to their end, and from a loop to its smallest member.
func rootOf(redirects map[int64]int64, id int64) int64 {
	var path []int64
	for at := id; ; {
		if i := slices.Index(path, at); i >= 0 {
			return slices.Min(path[i:])
		}
		path = append(path, at)
		next, known := redirects[at], false
		if _, known = redirects[next]; next == 0 || !known {
			return at
		}
		at = next
	}
}

func worldIncident(i defendersim.Incident, d defender.Dialect, root int64) incidentRow {
	row := incidentRow{IncidentID: i.ID, Redirect: i.RedirectID, Root: root, DisplayName: i.Name, Description: i.Description,
		Summary: i.Summary, Status: i.Status, Severity: i.Severity, Classification: i.Classification, Determination: i.Determination,
		AssignedTo: i.AssignedTo, LastModifiedBy: i.LastModifiedBy, ResolvingComment: i.ResolvingComment,
		CustomTags: listed(i.CustomTags), SystemTags: listed(i.SystemTags), Priority: i.Priority,
		CreatedDateTime: cut(i.Created), LastUpdateDateTim: cut(i.LastUpdate)}
	for _, c := range i.Comments {
		row.Comments = append(row.Comments, commentRow{c.Text, c.By, cut(c.At)})
	}
	if d == defender.Older { // which has no such properties
		row.Description, row.Summary, row.ResolvingComment, row.LastModifiedBy = "", "", "", ""
		row.SystemTags, row.Priority = []string{}, 0
	}
	return row
}

func worldAlert(a defendersim.Alert, d defender.Dialect) alertRow {
	row := alertRow{AlertID: a.ID, ProviderAlertID: a.ProviderID, IncidentID: a.IncidentID, Title: a.Title, Description: a.Description,
		Category: a.Category, Status: a.Status, Severity: a.Severity, Classification: a.Classification, Determination: a.Determination,
		ServiceSource: a.ServiceSource, DetectionSource: a.DetectionSource, InvestigationState: a.InvestigationState,
		AssignedTo: a.AssignedTo, Actor: a.Actor, Threat: a.Threat, Family: a.Family, DetectorID: a.DetectorID,
		Created: cut(a.Created), LastUpdate: cut(a.LastUpdate), Resolved: cut(a.Resolved), First: cut(a.First), Last: cut(a.Last),
		Techniques: sorted(a.Techniques), ListedTechniques: sorted(a.Techniques), EvidenceTypes: []string{}}
	if d == defender.Older {
		row.Threat = ""
	}
	for _, e := range a.Evidence {
		if d == defender.Graph || e.Older != "" {
			row.EvidenceTypes = append(row.EvidenceTypes, evidenceType(e))
		}
	}
	slices.Sort(row.EvidenceTypes)
	return row
}

// evidenceType is the column evidence_type: snake_case of Graph's name, which
// the older API's is translated to.
func evidenceType(e defendersim.Evidence) string {
	snake := ""
	for _, r := range e.Type {
		if r >= 'A' && r <= 'Z' {
			snake, r = snake+"_", r-'A'+'a'
		}
		snake += string(r)
	}
	return snake
}

func cut(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

func listed(s []string) []string { return append([]string{}, s...) }

func sorted(s []string) []string {
	s = listed(s)
	slices.Sort(s)
	return slices.Compact(s)
}

// stored is what the database holds of the tenant.
func stored(t testing.TB, db querier) contents {
	t.Helper()
	const incidents = `
		SELECT i.incident_id, coalesce(i.redirect_incident_id, 0), coalesce(x.root_incident_id, 0), coalesce(display_name, ''),
			coalesce(description, ''), coalesce(summary, ''), coalesce(status, ''), coalesce(severity, ''), coalesce(classification, ''),
			coalesce(determination, ''), coalesce(assigned_to, ''), coalesce(last_modified_by, ''), coalesce(resolving_comment, ''),
			coalesce(custom_tags, '{}'), coalesce(system_tags, '{}'), coalesce(priority_score, 0), created_date_time, last_update_date_time
		FROM defender.incidents AS i
		LEFT JOIN defender.incident_roots AS x USING (tenant_id, incident_id)`
	const comments = `
		SELECT incident_id, coalesce(comment, ''), coalesce(created_by_display_name, ''), created_date_time
		FROM defender.incident_comments
		ORDER BY incident_id, comment_no`
	const alerts = `
		SELECT a.alert_id, coalesce(provider_alert_id, ''), coalesce(incident_id, 0), coalesce(title, ''), coalesce(description, ''),
			coalesce(category, ''), coalesce(status, ''), coalesce(severity, ''), coalesce(classification, ''), coalesce(determination, ''),
			coalesce(service_source, ''), coalesce(detection_source, ''), coalesce(investigation_state, ''), coalesce(assigned_to, ''),
			coalesce(actor_display_name, ''), coalesce(threat_display_name, ''), coalesce(threat_family_name, ''), coalesce(detector_id, ''),
			created_date_time, last_update_date_time, coalesce(resolved_date_time, '0001-01-01Z'), coalesce(first_activity_date_time, '0001-01-01Z'),
			coalesce(last_activity_date_time, '0001-01-01Z'),
			array(SELECT technique FROM defender.alert_techniques AS k WHERE k.tenant_id = a.tenant_id AND k.alert_id = a.alert_id),
			coalesce(mitre_techniques, '{}'),
			array(SELECT evidence_type FROM defender.alert_evidence AS e WHERE e.tenant_id = a.tenant_id AND e.alert_id = a.alert_id)
		FROM defender.alerts AS a`
	c := contents{map[int64]incidentRow{}, map[string]alertRow{}}
	for _, i := range query[incidentRow](t, db, incidents) {
		i.CreatedDateTime, i.LastUpdateDateTim = i.CreatedDateTime.UTC(), i.LastUpdateDateTim.UTC()
		c.Incidents[i.IncidentID] = i
	}
	for _, row := range query[struct {
		IncidentID int64
		commentRow
	}](t, db, comments) {
		i := c.Incidents[row.IncidentID]
		row.At = row.At.UTC()
		i.Comments = append(i.Comments, row.commentRow)
		c.Incidents[row.IncidentID] = i
	}
	for _, a := range query[alertRow](t, db, alerts) {
		for _, at := range []*time.Time{&a.Created, &a.LastUpdate, &a.Resolved, &a.First, &a.Last} {
			*at = at.UTC()
		}
		a.Techniques, a.ListedTechniques = sorted(a.Techniques), sorted(a.ListedTechniques)
		slices.Sort(a.EvidenceTypes)
		c.Alerts[a.AlertID] = a
	}
	return c
}

// querier is a database, or a transaction in it.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// query collects the rows of a statement into structs, by position.
func query[T any](t testing.TB, db querier, sql string, args ...any) []T {
	t.Helper()
	rows, err := db.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[T])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// value is the one value of a statement.
func value[T any](t testing.TB, db querier, sql string, args ...any) T {
	t.Helper()
	var v T
	if err := db.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// orphans counts children without a parent, evidence that is not numbered from
// one, and rows of another tenant.
func orphans(t testing.TB, db querier) (found []string) {
	t.Helper()
	const count = `
		SELECT 'comments of no incident' AS what, count(*) FROM defender.incident_comments AS c
		WHERE NOT EXISTS (SELECT FROM defender.incidents AS i WHERE i.tenant_id = c.tenant_id AND i.incident_id = c.incident_id)
		UNION ALL
		SELECT 'evidence of no alert', count(*) FROM defender.alert_evidence AS c
		WHERE NOT EXISTS (SELECT FROM defender.alerts AS a WHERE a.tenant_id = c.tenant_id AND a.alert_id = c.alert_id)
		UNION ALL
		SELECT 'techniques of no alert', count(*) FROM defender.alert_techniques AS c
		WHERE NOT EXISTS (SELECT FROM defender.alerts AS a WHERE a.tenant_id = c.tenant_id AND a.alert_id = c.alert_id)
		UNION ALL
		SELECT 'alerts whose evidence is not numbered from one', count(*) FROM (
			SELECT FROM defender.alert_evidence GROUP BY tenant_id, alert_id HAVING min(evidence_no) <> 1 OR max(evidence_no) <> count(*)
		) AS x
		UNION ALL
		SELECT 'tenants too many', count(DISTINCT tenant_id) - 1 FROM defender.incidents HAVING count(*) > 0`
	for _, o := range query[struct {
		What  string
		Count int64
	}](t, db, count) {
		if o.Count != 0 {
			found = append(found, fmt.Sprintf("%d %s", o.Count, o.What))
		}
	}
	return found
}

// vouched fails unless every instant from a stream's start to its watermark is
// complete in sync.coverage or listed in sync.gaps. It works the ranges out by
// itself: sync.gaps is one of the things it judges.
func (r *rig) vouched(t testing.TB) {
	t.Helper()
	type point struct {
		Stream           string
		Start, Watermark time.Time
	}
	type stretch struct{ From, To time.Time }
	const checkpoints = `SELECT stream, start_time, watermark FROM sync.checkpoints ORDER BY stream`
	const known = `
		SELECT from_time, to_time FROM sync.coverage WHERE stream = $1 AND verdict = 'complete'
		UNION ALL
		SELECT from_time, to_time FROM sync.gaps WHERE stream = $1
		ORDER BY 1, 2`
	points := query[point](t, r.db, checkpoints)
	if len(points) == 0 {
		t.Error("no stream has a checkpoint")
	}
	for _, p := range points {
		at := p.Start
		for _, s := range query[stretch](t, r.db, known, p.Stream) {
			if s.From.After(at) {
				t.Errorf("%s: nothing is known of %s to %s", p.Stream, at.UTC(), s.From.UTC())
			}
			if s.To.After(at) {
				at = s.To
			}
		}
		if at.Before(p.Watermark) {
			t.Errorf("%s: nothing is known of %s to the watermark %s", p.Stream, at.UTC(), p.Watermark.UTC())
		}
	}
}

// dialects are the two ways to read a tenant.
var dialects = []defender.Dialect{defender.Graph, defender.Older}

// eachDialect runs a test through both.
func eachDialect(t *testing.T, test func(t *testing.T, d defender.Dialect)) {
	for _, d := range dialects {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			test(t, d)
		})
	}
}

func TestDatabaseEqualsWorld(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		r := newRig(t, rigOptions{dialect: d, world: defendersim.WorldOptions{Seed: 7, Incidents: 300}})
		for _, res := range r.sync(t) {
			t.Logf("%s: %d read, %d inserted in %d calls, %s", res.Stream, res.Read, res.Inserted, res.Calls, res.Elapsed.Round(time.Millisecond))
		}
		r.equalsWorld(t)
		r.vouched(t)
		if n := len(stored(t, r.db).Alerts); n < 300 {
			t.Errorf("only %d alerts: the comparison compares too little", n)
		}
		if kinds := slices.Collect(maps.Keys(r.evidenceKinds(t))); len(kinds) < 10 {
			t.Errorf("only %v: the world shows too little", kinds)
		}
	})
}

// TestRecordsAtTheBeginOfAWindow serves records of exactly the instants at which
// windows begin: where the stream does, and where so many share a time that no
// answer holds them all.
func TestRecordsAtTheBeginOfAWindow(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		r := newRig(t, rigOptions{dialect: d, world: defendersim.WorldOptions{Seed: 7, Incidents: 20}})
		start, tie := r.clock.Now().Add(-180*24*time.Hour), r.clock.Now().Add(-50*time.Hour)
		for i, at := range append(slices.Repeat([]time.Time{tie}, 120), start) {
			raw := fmt.Sprintf(`{"id":"%d","displayName":"edge","lastUpdateDateTime":"%%s"}`, 900_000+i)
			r.sim.Add(listOf(d), at, badRecord{raw: raw}.bytes(d, at))
		}
		r.sync(t)
		if n := value[int64](t, r.db, `SELECT count(*) FROM defender.incidents WHERE display_name = 'edge'`); n != 121 {
			t.Errorf("%d of 121 records are stored", n)
		}
		r.vouched(t)
	})
}

// evidenceKinds counts the stored evidence by type.
func (r *rig) evidenceKinds(t testing.TB) map[string]int64 {
	t.Helper()
	kinds := map[string]int64{}
	for _, k := range query[struct {
		Type  string
		Count int64
	}](t, r.db, `SELECT evidence_type, count(*) FROM defender.alert_evidence GROUP BY 1`) {
		kinds[k.Type] = k.Count
	}
	return kinds
}

// TestComparisonSees proves the proof: whatever is changed in the database, the
// comparison with the world finds.
func TestComparisonSees(t *testing.T) {
	r := newRig(t, rigOptions{world: defendersim.WorldOptions{Seed: 7, Incidents: 40}})
	r.sync(t)
	r.equalsWorld(t)
	for _, change := range []string{
		`UPDATE defender.alerts SET incident_id = incident_id + 1 WHERE alert_id = (SELECT max(alert_id) FROM defender.alerts)`,
		`UPDATE defender.alerts SET title = NULL WHERE alert_id = (SELECT max(alert_id) FROM defender.alerts)`,
		`UPDATE defender.alerts SET last_update_date_time = last_update_date_time + '1 microsecond'
			WHERE alert_id = (SELECT max(alert_id) FROM defender.alerts)`,
		`DELETE FROM defender.alerts WHERE alert_id = (SELECT max(alert_id) FROM defender.alerts)`,
		`INSERT INTO defender.alerts (tenant_id, alert_id, created_date_time, last_update_date_time, raw, content_hash, first_synced_at, synced_at)
			SELECT tenant_id, alert_id || 'x', created_date_time, last_update_date_time, raw, content_hash, first_synced_at, synced_at
			FROM defender.alerts LIMIT 1`,
		`UPDATE defender.incidents SET custom_tags = array_append(custom_tags, 'more') WHERE incident_id = (SELECT max(incident_id) FROM defender.incidents)`,
		`UPDATE defender.incidents SET redirect_incident_id = 1 WHERE incident_id = (SELECT max(incident_id) FROM defender.incidents)`,
		`DELETE FROM defender.alert_evidence WHERE (alert_id, evidence_no) = (SELECT alert_id, evidence_no FROM defender.alert_evidence LIMIT 1)`,
		`DELETE FROM defender.alert_techniques WHERE (alert_id, technique) = (SELECT alert_id, technique FROM defender.alert_techniques LIMIT 1)`,
		`DELETE FROM defender.incident_comments WHERE (incident_id, comment_no) = (SELECT incident_id, comment_no FROM defender.incident_comments LIMIT 1)`,
		`INSERT INTO defender.alert_evidence (tenant_id, alert_id, evidence_no, evidence_type, raw)
			SELECT tenant_id, 'nobody', 1, 'user', '{}' FROM defender.alerts LIMIT 1`,
	} {
		tx, err := r.db.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if tag, err := tx.Exec(t.Context(), change); err != nil || tag.RowsAffected() != 1 {
			t.Errorf("%v, %v: %s", tag, err, change)
		} else if r.difference(t, tx) == "" {
			t.Errorf("not seen: %s", change)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
