package sync_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// neighbour is a second tenant, which comes after the first in every order.
const neighbour = "ffffffff-ffff-4fff-8fff-ffffffffffff"

// addNeighbour gives the database a second tenant with everything that the first
// has, under the same numbers, keys and ids; but its incidents and alerts are all
// of low severity, what people read is called theirs, and what changed did so a
// moment later.
func (r *rig) addNeighbour(t *testing.T) {
	t.Helper()
	for _, table := range r.tenantTables(t) {
		columns := value[string](t, r.db, `SELECT string_agg(format('%I', attname), ', ') FROM pg_attribute
			WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attname <> 'tenant_id'`, table)
		r.exec(t, fmt.Sprintf(`INSERT INTO %s (tenant_id, %s) SELECT '%s', %[2]s FROM %[1]s`, table, columns, neighbour))
	}
	for _, sql := range []string{
		`UPDATE defender.incidents SET severity = 'low', display_name = 'theirs ' || display_name`,
		`UPDATE defender.alerts SET severity = 'low', title = 'theirs ' || title`,
		`UPDATE defender.entities SET name = 'theirs ' || name`,
		`UPDATE defender.entity_sightings SET name = 'theirs ' || name`,
		`UPDATE defender.incident_comments SET comment = 'theirs ' || comment`,
		`UPDATE defender.incident_history SET new_value = 'theirs ' || new_value, changed_at = changed_at + interval '7 milliseconds'`,
	} {
		r.exec(t, sql+` WHERE tenant_id = '`+neighbour+`'`)
	}
}

// tenantTables lists the tables that have tenants.
func (r *rig) tenantTables(t *testing.T) []string {
	t.Helper()
	rows, err := r.db.Query(t.Context(), `SELECT c.oid::regclass::text FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
		WHERE c.relnamespace::regnamespace::text IN ('defender', 'hunting', 'sync') AND c.relkind IN ('r', 'p') AND NOT c.relispartition`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(all) < 15 {
		t.Fatalf("%d tables, %v", len(all), err)
	}
	return all
}

// limit is that of a list, which among equals may take any; no less than ten, as
// smaller ones choose something.
var limit = regexp.MustCompile(`(?m)\bLIMIT \d\d+;?$`)

// sameWithoutNeighbour wants every query to return what it returns when the
// neighbour is gone, at the same time of the database's clock.
func (r *rig) sameWithoutNeighbour(t *testing.T, queries map[string]string) {
	t.Helper()
	tables := r.tenantTables(t) // before: the pool has one connection
	tx, err := r.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context())
	exec := func(sql string) {
		t.Helper()
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`SET LOCAL ROLE NONE`)
	both := answers(t, tx, queries)
	for _, table := range tables {
		exec(fmt.Sprintf(`DELETE FROM %s WHERE tenant_id = '%s'`, table, neighbour))
	}
	alone := answers(t, tx, queries)
	for name := range queries {
		if diff := cmp.Diff(alone[name], both[name]); diff != "" {
			t.Errorf("%s: with another tenant in the database (-alone +both):\n%s", name, diff)
		}
	}
}

// answers are the rows of each query, as texts and in the order of these.
func answers(t *testing.T, tx pgx.Tx, queries map[string]string) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for name, sql := range queries {
		rows, err := tx.Query(t.Context(), `SELECT q::text FROM (`+strings.TrimRight(limit.ReplaceAllString(sql, ""), "; \n")+`) AS q`)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if all[name], err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, sql)
		}
		slices.Sort(all[name])
	}
	return all
}
