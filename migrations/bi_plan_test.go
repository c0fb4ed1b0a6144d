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
	seedBI(t, pool, biSeed[:1], 5000)
	for sql, index := range map[string]string{
		`SELECT created_date_time FROM defender.incidents AS i WHERE i.tenant_id = '` + tenant + `' AND i.created_date_time >= now() - interval '30 days' AND i.redirect_incident_id IS NULL`: "Index Only Scan using incidents_created_root_idx",
		`SELECT incident_id, last_update_date_time FROM defender.incidents AS i
			WHERE i.tenant_id = '` + tenant + `' AND i.last_update_date_time >= now() - interval '30 days' AND i.status = 'resolved' AND i.redirect_incident_id IS NULL`: "Index Only Scan using incidents_resolved_idx",
	} {
		if plan := strings.Join(texts(t, pool, `EXPLAIN `+sql), "\n"); !strings.Contains(plan, index) {
			t.Errorf("want %s:\n%s", index, plan)
		}
	}
}
