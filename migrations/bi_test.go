package migrations_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"defendersync/migrations"
	"defendersync/store/storetest"
)

// Every view of bi is of a tenant's rows and begins with it; what is the same for
// all tenants is in tables, each with a key.
func TestViewsForAnalystsKeepTheTenant(t *testing.T) {
	pool := connect(t, storetest.URL(t))
	for what, sql := range map[string]string{
		"views that do not begin with tenant_id": `
			SELECT c.table_name::text FROM information_schema.columns AS c
			JOIN information_schema.views AS v USING (table_schema, table_name)
			WHERE c.table_schema = 'bi' AND c.ordinal_position = 1 AND (c.column_name <> 'tenant_id' OR c.data_type <> 'uuid')`,
		"tables with a tenant, or without a key": `
			SELECT c.relname::text FROM pg_class AS c
			WHERE c.relnamespace::regnamespace::text = 'bi' AND c.relkind = 'r' AND (
				EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id')
				OR NOT EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary))`,
		"times without a zone": `
			SELECT table_name || '.' || column_name FROM information_schema.columns
			WHERE table_schema = 'bi' AND data_type LIKE '%without time zone'`,
	} {
		if found := texts(t, pool, sql); len(found) > 0 {
			t.Errorf("%s: %q", what, found)
		}
	}
}

// The table of ATT&CK is consistent in itself, and whole: it has as many techniques
// and sub-techniques as MITRE counts in version 18, in all and under each tactic.
func TestAttackTable(t *testing.T) {
	pool := connect(t, storetest.URL(t))
	for what, sql := range map[string]string{
		"ids that are none":        `SELECT technique_id FROM bi.attack_techniques WHERE technique_id !~ '^T[0-9]{4}(\.[0-9]{3})?$'`,
		"sub-techniques of nobody": `SELECT technique_id FROM bi.attack_techniques WHERE (technique_id LIKE '%.%') <> (parent_id IS NOT NULL) OR parent_id <> split_part(technique_id, '.', 1)`,
		"parents that are not here, or of other tactics": `SELECT s.technique_id FROM bi.attack_techniques AS s LEFT JOIN bi.attack_techniques AS p ON p.technique_id = s.parent_id
			WHERE s.parent_id IS NOT NULL AND (p.parent_id IS NOT NULL OR p.tactic_ids IS DISTINCT FROM s.tactic_ids)`,
		"tactics that are none":  `SELECT technique_id FROM bi.attack_techniques WHERE NOT tactic_ids <@ (SELECT array_agg(tactic_id) FROM bi.attack_tactics) OR tactic_ids = '{}'`,
		"names that occur twice": `SELECT name FROM bi.attack_techniques WHERE parent_id IS NULL GROUP BY name HAVING count(*) > 1`,
	} {
		if found := texts(t, pool, sql); len(found) > 0 {
			t.Errorf("%s: %q", what, found)
		}
	}
	if got := texts(t, pool, `SELECT k.name || ' of ' || string_agg(c.name, ', ' ORDER BY c.position) FROM bi.attack_techniques AS k
		JOIN bi.attack_tactics AS c ON c.tactic_id = ANY (k.tactic_ids) WHERE technique_id = 'T1078.004' GROUP BY k.name`); len(got) != 1 ||
		got[0] != "Cloud Accounts of Initial Access, Persistence, Privilege Escalation, Defense Evasion" {
		t.Errorf("T1078.004 is %q", got)
	}
	want := []string{"216 techniques", "475 sub-techniques", "45 of TA0043", "47 of TA0042", "22 of TA0001", "46 of TA0002", "126 of TA0003", "109 of TA0004",
		"215 of TA0005", "67 of TA0006", "49 of TA0007", "23 of TA0008", "41 of TA0009", "45 of TA0011", "19 of TA0010", "33 of TA0040"}
	got := texts(t, pool, `SELECT v.n || v.what FROM (
			SELECT -1 AS position, ' techniques' AS what, count(*) AS n FROM bi.attack_techniques WHERE parent_id IS NULL
			UNION ALL SELECT 0, ' sub-techniques', count(*) FROM bi.attack_techniques WHERE parent_id IS NOT NULL
			UNION ALL SELECT c.position, ' of ' || c.tactic_id, count(*) FROM bi.attack_tactics AS c JOIN bi.attack_techniques AS k ON c.tactic_id = ANY (k.tactic_ids) GROUP BY 1, 2
		) AS v ORDER BY v.position`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("other than in version 18 (-want +got):\n%s", diff)
	}
}

// An alert that still says that it is in an incident that was merged, as between
// two syncs, counts for the incident that holds it now, in every view.
func TestAlertsOfMergedIncidentsCountForTheRoot(t *testing.T) {
	pool := connect(t, storetest.URL(t))
	twoTenants(t, pool)
	for _, sql := range []string{
		`INSERT INTO defender.incidents (tenant_id, incident_id, status, severity, created_date_time, last_update_date_time, raw, content_hash, first_synced_at, synced_at)
			SELECT tenant_id, 9, 'active', 'high', now(), now(), '{}', gen_random_uuid(), now(), now() FROM defender.incidents WHERE incident_id = 1`,
		`UPDATE defender.incidents SET redirect_incident_id = 9, status = 'redirected' WHERE incident_id = 1`,
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	const of = ` WHERE tenant_id = '` + tenant + `'`
	for sql, want := range map[string]string{
		`SELECT string_agg(DISTINCT incident_id::text, ' ') FROM bi.alerts` + of:                                                 "9",
		`SELECT string_agg(DISTINCT incident_id::text, ' ') FROM bi.alert_techniques` + of:                                       "9",
		`SELECT string_agg(DISTINCT incident_id::text, ' ') FROM bi.entity_sightings` + of:                                       "9",
		`SELECT string_agg(DISTINCT incident_id::text, ' ') FROM bi.incident_entities` + of:                                      "9",
		`SELECT count(*)::text FROM bi.alerts` + of + ` AND incident_id = 9`:                                                     "1",
		`SELECT string_agg(open_incident_count::text, ' ') FROM bi.entities` + of + ` AND alert_count > 0`:                       "1 1",
		`SELECT string_agg(entity_key, ' ') FROM bi.entities` + of + ` AND alert_count = 0 AND open_incident_count = 0`:          "ws-2",
		`SELECT format('%s %s %s', alert_count, open_alert_count, entity_count) FROM bi.incidents` + of + ` AND incident_id = 9`: "1 1 2",
		`SELECT string_agg(incident_id::text, ' ' ORDER BY incident_id) FROM bi.incidents` + of:                                  "2 9",
		`SELECT max(incident_count)::text FROM bi.techniques` + of:                                                               "1",
	} {
		if got := texts(t, pool, sql); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %s", sql, got, want)
		}
	}
}

// Somebody who missed a technique may have put it in: the way up corrects the row,
// and the way back leaves what was there before.
func TestAttackTableGrowsAndShrinks(t *testing.T) {
	pool := connect(t, storetest.URL(t))
	const whole = 18
	const count = `SELECT count(*) || ' ' || count(*) FILTER (WHERE technique_id = 'T1656') FROM bi.attack_techniques`
	if _, err := migrations.DownTo(t.Context(), pool, whole-1); err != nil {
		t.Fatal(err)
	}
	if got := texts(t, pool, count); got[0] != "426 0" {
		t.Errorf("before: %q", got)
	}
	for _, sql := range []string{
		`INSERT INTO bi.attack_techniques (technique_id, name, tactic_ids, attack_version) VALUES ('T1656', 'ours', '{TA0001}', 'ours')`,
		`INSERT INTO bi.attack_techniques (technique_id, name, tactic_ids, attack_version) VALUES ('T1583.001', 'ours', '{TA0001}', 'ours')`,
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := migrations.Up(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	got := texts(t, pool, `SELECT concat_ws(' ', technique_id, name, parent_id, tactic_ids, attack_version) FROM bi.attack_techniques WHERE technique_id IN ('T1656', 'T1583.001') ORDER BY 1`)
	if want := []string{"T1583.001 Domains T1583 {TA0042} 18", "T1656 Impersonation {TA0005} 18"}; !cmp.Equal(got, want) {
		t.Errorf("after: %q, want %q", got, want)
	}
}

// TestDaysOfATenantWithoutIncidents: none is zero on each day since the stream begins,
// and not nothing at all.
func TestDaysOfATenantWithoutIncidents(t *testing.T) {
	pool := connect(t, storetest.URL(t))
	const world = `
		INSERT INTO sync.checkpoints (tenant_id, stream, start_time, watermark, next_from, revision, window_width, passed_at, settled_until, rows, changed, updated_at)
		VALUES ('` + tenant + `', 'incidents', now() - interval '9 days', now(), now(), 1, '0', now(), now() - interval '1 hour', 0, 0, now());
		INSERT INTO sync.coverage (tenant_id, stream, from_time, to_time, rows, calls, verdict, recorded_at)
		VALUES ('` + tenant + `', 'incidents', now() - interval '9 days', now(), 0, 1, 'complete', now())`
	if _, err := pool.Exec(t.Context(), world); err != nil {
		t.Fatal(err)
	}
	const days = `
		SELECT concat_ws(' ', count(*), count(DISTINCT severity), count(DISTINCT day), sum(opened + resolved + reopened + backlog),
			min(day) = ((now() - interval '9 days') AT TIME ZONE 'UTC')::date, max(day) = (now() AT TIME ZONE 'UTC')::date, bool_or(is_settled))
		FROM bi.incident_daily`
	if got := texts(t, pool, days); got[0] != "40 4 10 0 t t t" {
		t.Errorf("%q", got)
	}
}
