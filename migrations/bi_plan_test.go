package migrations_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"defendersync/store/storetest"
)

// seedBI fills a database with the world that is measured, in small, by some of its
// statements.
func seedBI(t *testing.T, pool *pgxpool.Pool, statements []string, incidents int) {
	t.Helper()
	for _, sql := range statements {
		if strings.Contains(sql, "%") {
			sql = fmt.Sprintf(sql+" -- %[1]d", incidents)
		}
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%v: %.80s", err, sql)
		}
	}
	if _, err := pool.Exec(t.Context(), `VACUUM ANALYZE`); err != nil {
		t.Fatal(err)
	}
}

var scanned = regexp.MustCompile(`Seq Scan on (hunting_sightings|entity_sightings|entities|alerts)\b`)

// Whoever asks for an entity, with its tenant or without, alone or by a join, gets
// look-ups in both sources; a dashboard that wants alerts only does not read hunting
// at all.
func TestEntitiesAreLookedUp(t *testing.T) {
	pool := connect(t, storetest.URL(t))
	seedBI(t, pool, biSeed, 500)
	const both = "entity_sightings_entity_idx hunting_sightings_entity_idx"
	for sql, indexes := range map[string]string{
		`SELECT * FROM bi.entity_sightings WHERE entity_type = 'hash' AND entity_key = 'x' AND last_seen_at >= now() - interval '18 months' ORDER BY last_seen_at DESC`: both,
		`SELECT * FROM bi.entity_sightings WHERE tenant_id = '` + tenant + `' AND entity_type = 'hash' AND entity_key = 'x'`:                                            both,
		`SELECT s.incident_id, count(*) FROM bi.incident_entities AS h JOIN bi.entity_sightings AS s USING (tenant_id, entity_type, entity_key)
			WHERE h.tenant_id = '` + tenant + `' AND h.incident_id = 104 AND s.incident_id <> h.incident_id GROUP BY 1`: both,
		`SELECT * FROM bi.entities WHERE entity_type = 'hash' AND entity_key = 'x'`:                                            "entities_entity_key_idx",
		`SELECT entity_key FROM bi.entity_sightings WHERE source = 'alert' AND created_date_time >= now() - interval '2 days'`: "entity_sightings_pkey",
	} {
		plan := strings.Join(texts(t, pool, `EXPLAIN (COSTS OFF) `+sql), "\n")
		for _, index := range strings.Fields(indexes) {
			if !strings.Contains(plan, index) {
				t.Errorf("%s does not use %s:\n%s", sql, index, plan)
			}
		}
		if table := scanned.FindString(plan); table != "" {
			t.Errorf("%s: %s:\n%s", sql, table, plan)
		}
		if strings.Contains(sql, "'alert'") && strings.Contains(plan, "hunting_sightings") {
			t.Errorf("%s reads hunting:\n%s", sql, plan)
		}
	}
}

// What the page counts by day it finds in its indexes.
func TestPageCountsInIndexes(t *testing.T) {
	pool := connect(t, storetest.URL(t))
	seedBI(t, pool, biSeed[:3], 5000)
	for sql, index := range map[string]string{
		`SELECT created_date_time, incident_id FROM defender.incidents WHERE tenant_id = '` + tenant + `' AND created_date_time >= now() - interval '30 days'`:                           "Index Only Scan using incidents_created_date_time_idx",
		`SELECT first_synced_at, incident_id FROM defender.incidents WHERE tenant_id = '` + tenant + `' AND first_synced_at >= now() - interval '30 days' AND created_date_time IS NULL`: "Index Only Scan using incidents_not_created_idx",
		`SELECT resolved_before_sync_at, incident_id FROM defender.incidents WHERE tenant_id = '` + tenant + `' AND resolved_before_sync_at >= now() - interval '30 days'`:               "Index Only Scan using incidents_resolved_before_sync_idx",
		`SELECT changed_at FROM defender.incident_history WHERE tenant_id = '` + tenant + `' AND changed_at >= now() - interval '30 days' AND field = 'status'`:                          "incident_history_changed_at_idx",
	} {
		if plan := strings.Join(texts(t, pool, `EXPLAIN `+sql), "\n"); !strings.Contains(plan, index) {
			t.Errorf("want %s:\n%s", index, plan)
		}
	}
}
