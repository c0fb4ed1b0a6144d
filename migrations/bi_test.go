package migrations_test

import (
	"testing"

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

// The table of ATT&CK is consistent in itself, and knows what Defender's alerts
// are known to show.
func TestAttackTable(t *testing.T) {
	pool := connect(t, storetest.URL(t))
	for what, sql := range map[string]string{
		"ids that are none":        `SELECT technique_id FROM bi.attack_techniques WHERE technique_id !~ '^T[0-9]{4}(\.[0-9]{3})?$'`,
		"sub-techniques of nobody": `SELECT technique_id FROM bi.attack_techniques WHERE (technique_id LIKE '%.%') <> (parent_id IS NOT NULL) OR parent_id <> split_part(technique_id, '.', 1)`,
		"tactics that are none":    `SELECT technique_id FROM bi.attack_techniques WHERE NOT tactic_ids <@ (SELECT array_agg(tactic_id) FROM bi.attack_tactics) OR tactic_ids = '{}'`,
		"names that occur twice":   `SELECT name FROM bi.attack_techniques WHERE parent_id IS NULL GROUP BY name HAVING count(*) > 1`,
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
