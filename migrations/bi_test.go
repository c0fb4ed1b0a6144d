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
