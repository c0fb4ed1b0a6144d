package migrations_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"defendersync/migrations"
	"defendersync/store/storetest"
)

// texts returns the first column of a query.
func texts(t *testing.T, pool *pgxpool.Pool, sql string) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// as returns a pool whose connections act as role.
func as(t *testing.T, url, role string) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, "SET ROLE "+pgx.Identifier{role}.Sanitize())
		return err
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// withRole makes a role that lasts as long as the test.
func withRole(t *testing.T, pool *pgxpool.Pool, role string) {
	t.Helper()
	name := pgx.Identifier{role}.Sanitize()
	exec := func(sql string) {
		t.Helper()
		if _, err := pool.Exec(context.Background(), sql); err != nil { // also when t's own has ended
			t.Fatal(err)
		}
	}
	exec("DROP ROLE IF EXISTS " + name)
	exec("CREATE ROLE " + name)
	t.Cleanup(func() { exec("DROP OWNED BY " + name); exec("DROP ROLE " + name) })
}

// notGoose leaves goose's own tables out; notTenants also the two that describe the shape of
// the hunting tables, which is not a tenant's.
const (
	notGoose   = ` AND table_name NOT IN ('goose_db_version', 'goose_hunting_version') `
	notTenants = notGoose + ` AND table_name NOT IN ('hunting_migrations', 'hunting_columns') `
)

// The schema distributes by tenant as it is: every table and every key begins
// with tenant_id, and there is nothing that works on one node only. No other
// index of a large table does: see 00002.
func TestSchemaDistributesByTenant(t *testing.T) {
	pool := connect(t, storetest.URL(t))
	for what, sql := range map[string]string{
		"keys that do not begin with tenant_id": `
			SELECT i.indexrelid::regclass::text
			FROM pg_index AS i
			JOIN pg_class AS c ON c.oid = i.indrelid
			JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
			WHERE c.relnamespace::regnamespace::text IN ('defender', 'sync') AND c.relname NOT LIKE 'goose%' AND c.relname NOT LIKE 'hunting%'
				AND i.indisunique AND a.attname <> 'tenant_id'`,
		"indexes of defender that begin with tenant_id": `
			SELECT i.indexrelid::regclass::text
			FROM pg_index AS i
			JOIN pg_class AS c ON c.oid = i.indrelid
			JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
			WHERE c.relnamespace::regnamespace::text = 'defender' AND NOT i.indisunique AND a.attname = 'tenant_id'`,
		"tables without a primary key": `
			SELECT c.oid::regclass::text
			FROM pg_class AS c
			WHERE c.relnamespace::regnamespace::text IN ('defender', 'sync') AND c.relkind IN ('r', 'p')
				AND NOT EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary)`,
		"tables and views that do not begin with tenant_id": `
			SELECT table_name::text FROM information_schema.columns
			WHERE table_schema IN ('defender', 'sync')` + notTenants + `
				AND ordinal_position = 1 AND (column_name <> 'tenant_id' OR data_type <> 'uuid')`,
		"sequences": `
			SELECT sequence_name::text FROM information_schema.sequences
			WHERE sequence_schema IN ('defender', 'sync') AND sequence_name NOT LIKE 'goose%'`,
		"foreign keys and triggers": `
			SELECT conname::text FROM pg_constraint
			WHERE connamespace::regnamespace::text IN ('defender', 'sync') AND contype IN ('f', 't')`,
		"times without a zone": `
			SELECT column_name::text FROM information_schema.columns
			WHERE table_schema IN ('defender', 'sync')` + notGoose + ` AND data_type LIKE '%without time zone'`,
	} {
		if found := texts(t, pool, sql); len(found) > 0 {
			t.Errorf("%s: %q", what, found)
		}
	}
}

func TestStatusOnlyReads(t *testing.T) {
	pool := connect(t, storetest.Empty(t))
	all, err := migrations.Status(t.Context(), pool)
	if err != nil || len(all) == 0 {
		t.Fatalf("%v, %v", all, err)
	}
	last := int64(0)
	for _, m := range all {
		if m.Version <= last || !m.AppliedAt.IsZero() {
			t.Errorf("%+v after %d", m, last)
		}
		last = m.Version
	}
	if current, err := migrations.Current(t.Context(), pool); current || err != nil {
		t.Errorf("current %v, %v", current, err)
	}
	if made := texts(t, pool, `SELECT nspname FROM pg_namespace WHERE nspname IN ('defender', 'sync')`); len(made) > 0 {
		t.Errorf("looking made %q", made)
	}
}

// Workers that start together migrate once, each over a single connection.
func TestUpAtOnce(t *testing.T) {
	url := storetest.Empty(t)
	const workers = 4
	applied := make([][]string, workers)
	var all sync.WaitGroup
	for n := range workers {
		config, err := pgxpool.ParseConfig(url)
		if err != nil {
			t.Fatal(err)
		}
		config.MaxConns = 1
		pool, err := pgxpool.NewWithConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		all.Go(func() {
			var err error
			if applied[n], err = migrations.Up(t.Context(), pool); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	pool := connect(t, url)
	known, err := migrations.Status(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, m := range known {
		want = append(want, m.Name)
		if m.AppliedAt.IsZero() {
			t.Errorf("%s is pending", m.Name)
		}
	}
	if diff := cmp.Diff(want, slices.Concat(applied...)); diff != "" {
		t.Errorf("applied by all together (-want +got):\n%s", diff)
	}
}

// Migrating by hand leads to the same schema and the same ledger.
func TestSQL(t *testing.T) {
	ctx, pool := t.Context(), connect(t, storetest.Empty(t))
	text, err := migrations.SQL(ctx, pool)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(ctx, text); err != nil { // without arguments, many statements may go at once
		t.Fatal(err)
	}
	byGoose := connect(t, storetest.URL(t))
	if diff := cmp.Diff(schema(t, byGoose), schema(t, pool)); diff != "" {
		t.Errorf("(-goose +by hand):\n%s", diff)
	}
	versions := `SELECT version_id::text || is_applied FROM sync.goose_db_version ORDER BY id`
	if diff := cmp.Diff(texts(t, byGoose, versions), texts(t, pool, versions)); diff != "" {
		t.Errorf("ledger (-goose +by hand):\n%s", diff)
	}
	if again, err := migrations.SQL(ctx, pool); again != "" || err != nil {
		t.Errorf("still to do: %q, %v", again, err)
	}
	if applied, err := migrations.Up(ctx, pool); len(applied) > 0 || err != nil {
		t.Errorf("applied %q, %v", applied, err)
	}
	if last, err := migrations.Down(ctx, pool); last.Name == "" || err != nil {
		t.Fatalf("took back %+v, %v", last, err)
	}
	if text, err := migrations.SQL(ctx, pool); strings.Count(text, "is_applied) VALUES (") != 1 || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}

// What a newer program has migrated is left alone.
func TestNewerSchemaIsRefused(t *testing.T) {
	ctx, pool := t.Context(), connect(t, storetest.URL(t))
	all, err := migrations.Status(ctx, pool)
	if err != nil {
		t.Fatal(err)
	}
	newest := all[len(all)-1].Version
	if _, err := pool.Exec(ctx, `INSERT INTO sync.goose_db_version (version_id, is_applied) VALUES ($1, true), ($2, true)`, newest+1, newest+7); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("the database's schema (version %d) is newer than this program's (%d): use the newer program", newest+7, newest)
	for name, try := range map[string]func() error{
		"status":  func() error { _, err := migrations.Status(ctx, pool); return err },
		"current": func() error { _, err := migrations.Current(ctx, pool); return err },
		"sql":     func() error { _, err := migrations.SQL(ctx, pool); return err },
		"up":      func() error { _, err := migrations.Up(ctx, pool); return err },
		"down":    func() error { _, err := migrations.Down(ctx, pool); return err },
		"down to": func() error { _, err := migrations.DownTo(ctx, pool, 0); return err },
	} {
		if err := try(); err == nil || err.Error() != want {
			t.Errorf("%s: error %v, want %s", name, err, want)
		}
	}
}

func TestUpSaysWhichGrantIsMissing(t *testing.T) {
	url := storetest.Empty(t)
	owner := connect(t, url)
	withRole(t, owner, "defendersync test migrator")
	pool := as(t, url, "defendersync test migrator")
	_, err := migrations.Up(t.Context(), pool)
	if err == nil || !strings.Contains(err.Error(), `GRANT CREATE ON DATABASE `) || !strings.Contains(err.Error(), ` TO "defendersync test migrator"`) {
		t.Errorf("error %v", err)
	}
	if _, err := migrations.Up(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	if _, err := migrations.Down(t.Context(), pool); err == nil || !strings.Contains(err.Error(), "does not own the schemas") || strings.Contains(err.Error(), "ON DATABASE") {
		t.Errorf("error %v", err)
	}
}

func TestGrantRead(t *testing.T) {
	ctx, url := t.Context(), storetest.URL(t)
	owner := connect(t, url)
	const role = `defendersync "test" reader`
	if err := migrations.GrantRead(ctx, owner, role); err == nil || !strings.Contains(err.Error(), `CREATE ROLE "defendersync ""test"" reader"`) {
		t.Errorf("error %v", err)
	}
	withRole(t, owner, role)
	reader := as(t, url, role)
	if err := migrations.GrantRead(ctx, owner, role); err != nil {
		t.Fatal(err)
	}
	if _, err := owner.Exec(ctx, `CREATE TABLE defender.later (tenant_id uuid)`); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"defender.incidents", "defender.incident_roots", "sync.gaps", "sync.runs", "defender.later"} {
		if _, err := reader.Exec(ctx, "SELECT FROM "+table); err != nil {
			t.Errorf("%s: %v", table, err)
		}
	}
	if _, err := reader.Exec(ctx, "DELETE FROM defender.incidents"); err == nil {
		t.Error("the reader may delete")
	}
	if current, err := migrations.Current(ctx, reader); !current || err != nil {
		t.Errorf("current %v, %v", current, err)
	}
	withRole(t, owner, "defendersync test early")
	empty := connect(t, storetest.Empty(t))
	if err := migrations.GrantRead(ctx, empty, "defendersync test early"); err == nil || !strings.Contains(err.Error(), "migrate up first") {
		t.Errorf("error %v", err)
	}
}

// The invariants that no program's mistake may break.
func TestChecks(t *testing.T) {
	ctx, pool := t.Context(), connect(t, storetest.URL(t))
	const tenant = `'` + tenant + `'`
	for constraint, sql := range map[string]string{
		"coverage_range_check":         `INSERT INTO sync.coverage VALUES (%s, 's', '2026-01-02', '2026-01-02', 0, 0, 'complete', NULL, NULL, now())`,
		"coverage_verdict_check":       `INSERT INTO sync.coverage VALUES (%s, 's', '2026-01-01', '2026-01-02', 0, 0, 'perhaps', NULL, NULL, now())`,
		"coverage_counts_check":        `INSERT INTO sync.coverage VALUES (%s, 's', '2026-01-01', '2026-01-02', -1, 0, 'failed', NULL, NULL, now())`,
		"checkpoints_watermark_check":  `INSERT INTO sync.checkpoints (tenant_id, stream, start_time, watermark, next_from, revision, window_width, rows, changed, updated_at) VALUES (%s, 's', '2026-01-02', '2026-01-01', now(), 1, '0', 0, 0, now())`,
		"reconciliations_hour_check":   `INSERT INTO sync.reconciliations VALUES (%s, 's', '2026-01-01 00:30:00+00', 1, 2, now(), NULL)`,
		"reconciliations_counts_check": `INSERT INTO sync.reconciliations VALUES (%s, 's', '2026-01-01 00:00:00+00', 2, 2, now(), NULL)`,
		"leases_fence_check":           `INSERT INTO sync.leases VALUES (%s, 'o', now(), 0, NULL)`,
		"runs_outcome_check":           `INSERT INTO sync.runs VALUES (%s, gen_random_uuid(), 's', 'c', now(), now(), 'fine', 0, 0, 0, 0, 0, 0, NULL, NULL, 1)`,
		"runs_finished_check":          `INSERT INTO sync.runs VALUES (%s, gen_random_uuid(), 's', 'c', now(), NULL, 'failed', 0, 0, 0, 0, 0, 0, NULL, NULL, 1)`,
		"incidents_resolved_before_sync_check": `INSERT INTO defender.incidents (tenant_id, incident_id, last_update_date_time, raw, content_hash, first_synced_at, synced_at, acknowledged_before_sync_at, resolved_before_sync_at, resolved_before_sync_from)
			SELECT %s, 1, now(), '{}', gen_random_uuid(), now(), now(), now(), now(), NULL`,
		"alert_evidence_evidence_no_check": `INSERT INTO defender.alert_evidence (tenant_id, alert_id, evidence_no, evidence_type, raw) VALUES (%s, 'a', 0, 'ip', '{}')`,
	} {
		_, err := pool.Exec(ctx, fmt.Sprintf(sql, tenant))
		if err == nil || !strings.Contains(err.Error(), constraint) {
			t.Errorf("%s: error %v", constraint, err)
		}
	}
}
