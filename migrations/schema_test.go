package migrations_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"defendersync/migrations"
	"defendersync/store/storetest"
)

var update = flag.Bool("update", false, "write schema.txt instead of comparing with it")

// describe lists what the catalogs say of our schemas, one line for each thing.
// pg_dump would differ from one version of PostgreSQL to the next, and is not
// everywhere. The text of a view is left out for the same reason.
const describe = `
	WITH ours AS (
		SELECT c.oid, c.relkind, c.relname, format('%I.%I', n.nspname, c.relname) AS name
		FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname IN ('defender', 'hunting', 'sync', 'bi')
	), lines (object, kind, position, line) AS (
		SELECT name, 0, 0, CASE relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' ELSE 'table ' END
			|| name || coalesce(' -- ' || obj_description(oid, 'pg_class'), '')
		FROM ours WHERE relkind IN ('r', 'p', 'v', 'm')
		UNION ALL
		SELECT o.name, 1, a.attnum, '  column ' || quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod)
			|| CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
			|| CASE WHEN a.attidentity <> '' THEN ' GENERATED AS IDENTITY' ELSE '' END
			|| CASE WHEN a.attgenerated <> '' THEN ' GENERATED AS ' || pg_get_expr(d.adbin, d.adrelid)
				ELSE coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '') END
			|| coalesce(' -- ' || col_description(o.oid, a.attnum), '')
		FROM ours o
		JOIN pg_catalog.pg_attribute a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
		LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = o.oid AND d.adnum = a.attnum
		WHERE o.relkind IN ('r', 'p', 'v', 'm')
		UNION ALL
		SELECT o.name, 2, 0, '  constraint ' || quote_ident(c.conname) || ' ' || pg_get_constraintdef(c.oid)
		FROM ours o JOIN pg_catalog.pg_constraint c ON c.conrelid = o.oid AND c.contype <> 'n'
		UNION ALL
		SELECT o.name, 3, 0, '  index ' || pg_get_indexdef(i.indexrelid)
		FROM ours o JOIN pg_catalog.pg_index i ON i.indrelid = o.oid
		WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.conindid = i.indexrelid)
		UNION ALL
		SELECT p.oid::regprocedure::text, 0, 0, 'function ' || p.oid::regprocedure || ' RETURNS ' || pg_get_function_result(p.oid)
			|| coalesce(' -- ' || obj_description(p.oid, 'pg_proc'), '')
		FROM pg_catalog.pg_proc p
		JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
		WHERE n.nspname IN ('defender', 'hunting', 'sync', 'bi')
	)
	SELECT line FROM lines
	ORDER BY object COLLATE "C", kind, position, line COLLATE "C"`

func schema(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), describe)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func connect(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// A change of the schema shows in review as a change of schema.txt.
func TestSchema(t *testing.T) {
	got := strings.Join(schema(t, connect(t, storetest.URL(t))), "\n") + "\n"
	if *update {
		if err := os.WriteFile("schema.txt", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile("schema.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("the migrations make another schema than schema.txt has; run make schema and review it (-want +got):\n%s", diff)
	}
}

// From wherever migrations are taken back to, the way up leads to the same
// schema; all the way down leaves nothing but goose's ledger.
func TestSchemaSurvivesDownAndUp(t *testing.T) {
	pool := connect(t, storetest.URL(t))
	want := schema(t, pool)
	all, err := migrations.Status(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if _, err := migrations.DownTo(t.Context(), pool, m.Version-1); err != nil {
			t.Fatal(err)
		}
		if m.Version == all[0].Version {
			onlyLedger(t, schema(t, pool))
		}
		if _, err := migrations.Up(t.Context(), pool); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, schema(t, pool)); diff != "" {
			t.Errorf("down to before %s and up again (-want +got):\n%s", m.Name, diff)
		}
	}
}

func onlyLedger(t *testing.T, lines []string) {
	t.Helper()
	for _, line := range lines {
		if !strings.HasPrefix(line, "  ") && line != ledger {
			t.Errorf("all migrations taken back leave %s", line)
		}
	}
}

// ledger is goose's own table, without the comment that a migration gives it.
const ledger = "table sync.goose_db_version"

func TestEveryTableAndColumnHasAComment(t *testing.T) {
	object := ""
	for _, line := range schema(t, connect(t, storetest.URL(t))) {
		if !strings.HasPrefix(line, "  ") {
			object = line
		}
		described := strings.HasPrefix(line, "  constraint") || strings.HasPrefix(line, "  index")
		if !described && !strings.Contains(line, " -- ") {
			t.Errorf("no comment on %s in %s", strings.TrimSpace(line), object)
		}
	}
}
