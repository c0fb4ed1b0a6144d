package migrations_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"defendersync/migrations"
	"defendersync/store"
	"defendersync/store/storetest"
)

const otherTenant = "22222222-2222-4222-8222-222222222222"

// twoTenants fills every table of defender and what bi reads of sync for both.
func twoTenants(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	for _, id := range []string{tenant, otherTenant} {
		for _, sql := range []string{
			`INSERT INTO defender.incidents (tenant_id, incident_id, status, severity, created_date_time, last_update_date_time, raw, content_hash, first_synced_at, synced_at)
				VALUES ('%[1]s', 1, 'active', 'high', now(), now(), '{}', gen_random_uuid(), now(), now()),
					('%[1]s', 2, 'resolved', 'low', now() - interval '2 days', now(), '{}', gen_random_uuid(), now(), now())`,
			`INSERT INTO defender.incident_history VALUES ('%s', 2, now(), 'status', 'active', 'resolved')`,
			`INSERT INTO defender.alerts (tenant_id, alert_id, incident_id, status, created_date_time, last_update_date_time, raw, content_hash, first_synced_at, synced_at)
				VALUES ('%s', 'a', 1, 'new', now(), now(), '{}', gen_random_uuid(), now(), now())`,
			`INSERT INTO defender.alert_techniques VALUES ('%s', 'a', 'T1566.002')`,
			`INSERT INTO defender.alert_evidence (tenant_id, alert_id, evidence_no, evidence_type, host_name, user_principal_name, raw) VALUES ('%s', 'a', 1, 'device', 'ws-1', 'ann@x.example', '{}')`,
			`INSERT INTO defender.hunting_sightings VALUES ('%s', '2026-11-01', 'device_events', 'host', 'ws-2', '2026-11-01 01:00Z', '2026-11-01 02:00Z', '{device_name}')`,
			`INSERT INTO defender.entities VALUES ('%s', 'host', 'ws-2', 'WS-2', NULL, NULL, 0, '2026-11-01 01:00Z', '2026-11-01 02:00Z')`,
			`INSERT INTO sync.checkpoints (tenant_id, stream, start_time, watermark, next_from, revision, window_width, rows, changed, updated_at) VALUES ('%s', 'incidents', now(), now(), now(), 1, '0', 0, 0, now())`,
		} {
			if _, err := pool.Exec(t.Context(), fmt.Sprintf(sql, id)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, sql := range []string{
		`INSERT INTO defender.entity_sightings SELECT tenant_id, alert_id, entity_type, entity_key, name, first_seen_at, last_seen_at, evidence_count, properties, evidence_types, roles, verdicts FROM defender.alert_entities`,
		`INSERT INTO defender.entities SELECT tenant_id, entity_type, entity_key, name, first_seen_at, last_seen_at, 1 FROM defender.entity_sightings`,
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
}

// relations lists tables or views of our schemas, with what columns they have.
func relations(t *testing.T, pool *pgxpool.Pool, where string) []string {
	t.Helper()
	return texts(t, pool, `SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
		WHERE n.nspname IN ('bi', 'defender', 'hunting', 'sync') AND c.relkind IN ('r', 'p', 'v') AND `+where+` ORDER BY 1`)
}

const withTenant = `EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id')`

// A reader reads every table and view there is, and writes none.
func TestReaderReadsAllAndWritesNothing(t *testing.T) {
	url := storetest.URL(t)
	owner := connect(t, url)
	twoTenants(t, owner)
	const role = "defendersync test analyst"
	withRole(t, owner, role)
	if err := migrations.GrantRead(t.Context(), owner, role); err != nil {
		t.Fatal(err)
	}
	readsOnly(t, owner, as(t, url, role))
	// Whoever was granted all of it by an older program loses it when granted again.
	if _, err := owner.Exec(t.Context(), `GRANT SELECT ON sync.quarantine TO "`+role+`"`); err != nil {
		t.Fatal(err)
	}
	if err := migrations.GrantRead(t.Context(), owner, role); err != nil {
		t.Fatal(err)
	}
	readsOnly(t, owner, as(t, url, role))
	if n := texts(t, as(t, url, role), `SELECT count(*)::text FROM bi.incidents`); n[0] != "4" {
		t.Errorf("%s incidents", n[0])
	}
	if _, err := as(t, url, role).Exec(t.Context(), `SELECT FROM defender.incidents_as_of(now())`); err != nil {
		t.Error(err)
	}
}

// readsAll reads every column, but for the bytes in quarantine.
func readsAll(t *testing.T, owner, reader *pgxpool.Pool, name string) error {
	t.Helper()
	_, err := reader.Exec(t.Context(), "SELECT * FROM "+name+" LIMIT 1")
	if name != "sync.quarantine" {
		return err
	}
	if _, payload := reader.Exec(t.Context(), "SELECT payload FROM "+name); err == nil || payload == nil {
		t.Error("the bytes in quarantine may be read")
	}
	others := texts(t, owner, `SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
		WHERE attrelid = '`+name+`'::regclass AND attnum > 0 AND NOT attisdropped AND attname <> 'payload'`)[0]
	_, err = reader.Exec(t.Context(), "SELECT "+others+" FROM "+name)
	return err
}

func readsOnly(t *testing.T, owner, reader *pgxpool.Pool) {
	t.Helper()
	all := relations(t, owner, "true")
	if len(all) < 30 {
		t.Errorf("only %q", all)
	}
	for _, name := range all {
		if err := readsAll(t, owner, reader, name); err != nil {
			t.Errorf("read %s: %v", name, err)
		}
		for _, sql := range []string{"INSERT INTO %s SELECT * FROM %[1]s", "UPDATE %s SET tenant_id = NULL", "DELETE FROM %s", "TRUNCATE %s", "DROP TABLE %s", "CREATE INDEX ON %s ((1))"} {
			if _, err := reader.Exec(t.Context(), fmt.Sprintf(sql, name)); err == nil {
				t.Errorf("the reader may %s", fmt.Sprintf(sql, name))
			}
		}
	}
	for _, schema := range []string{"bi", "defender", "hunting", "sync"} {
		if _, err := reader.Exec(t.Context(), "CREATE TABLE "+schema+".mine ()"); err == nil {
			t.Errorf("the reader may create tables in %s", schema)
		}
	}
}

// A reader of one tenant sees that tenant in every table and view, also in views
// that a migration has replaced since, and nothing at all of tables made since.
// Others go on as before.
func TestReaderOfOneTenant(t *testing.T) {
	url := storetest.URL(t)
	owner := connect(t, url)
	if texts(t, owner, `SELECT (current_setting('server_version_num')::int < 150000)::text`)[0] == "true" {
		t.Skip("before PostgreSQL 15 it is refused")
	}
	s, err := store.Open(t.Context(), url, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	mustMeet(t, s, "SoftwareInventory", "Name")
	twoTenants(t, owner)
	const role, free = `defendersync "test" tenant %`, "defendersync test free"
	withRole(t, owner, role)
	withRole(t, owner, free)
	for _, err := range []error{
		migrations.GrantRead(t.Context(), owner, free),
		migrations.GrantRead(t.Context(), owner, role), // which is taken back
		migrations.GrantReadTenant(t.Context(), owner, role, tenant),
		migrations.GrantReadTenant(t.Context(), owner, role, tenant), // again is no harm
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	reader := as(t, url, role)
	readsOnly(t, owner, reader)
	onlyTenant(t, owner, reader)
	for _, view := range []string{"bi.incidents", "bi.alerts", "bi.incident_daily", "bi.techniques", "bi.devices", "bi.users", "bi.entities", "bi.entity_sightings", "bi.workload", "bi.freshness"} {
		if n := texts(t, reader, `SELECT count(*)::text FROM `+view)[0]; n == "0" {
			t.Errorf("%s is empty", view)
		}
	}
	if got := texts(t, reader, `SELECT DISTINCT tenant_id::text FROM defender.incidents_as_of(now())`); !cmp.Equal(got, []string{tenant}) {
		t.Errorf("incidents_as_of shows %q", got)
	}
	if n := texts(t, as(t, url, free), `SELECT count(DISTINCT tenant_id)::text FROM bi.incidents`)[0]; n != "2" {
		t.Errorf("another reader sees %s tenants", n)
	}

	mustMeet(t, s, "SoftwareInventory", "Name", "Vendor") // replaces its view
	mustMeet(t, s, "DeviceEvents")                        // is new
	if n := relations(t, owner, `c.relkind = 'v' AND NOT coalesce('security_invoker=true' = ANY (c.reloptions), false)`); len(n) > 0 {
		t.Errorf("views that show their owner's rows: %q", n)
	}
	if _, err := reader.Exec(t.Context(), `SELECT FROM hunting.device_events`); err == nil {
		t.Error("a table without a policy may be read")
	}
	if err := migrations.GrantReadTenant(t.Context(), owner, role, tenant); err != nil {
		t.Fatal(err)
	}
	if _, err := owner.Exec(t.Context(), `INSERT INTO hunting.device_events (tenant_id, row_key, row_hash, synced_at)
		VALUES ('`+tenant+`', gen_random_uuid(), gen_random_uuid(), now()), ('`+otherTenant+`', gen_random_uuid(), gen_random_uuid(), now())`); err != nil {
		t.Fatal(err)
	}
	onlyTenant(t, owner, reader)
	// By hand it is the same.
	if _, err := owner.Exec(t.Context(), `DELETE FROM sync.goose_db_version WHERE version_id = 10`); err != nil {
		t.Fatal(err)
	}
	if text, err := migrations.SQL(t.Context(), owner); err != nil || !strings.Contains(text, "ALTER VIEW IF EXISTS bi.incidents SET (security_invoker = true);") {
		t.Errorf("%.100s, %v", text, err)
	}
}

// onlyTenant looks into everything that has a tenant.
func onlyTenant(t *testing.T, owner, reader *pgxpool.Pool) {
	t.Helper()
	for _, name := range relations(t, owner, withTenant) {
		if seen := texts(t, reader, `SELECT DISTINCT tenant_id::text FROM `+name+` WHERE tenant_id <> '`+tenant+`'`); len(seen) > 0 {
			t.Errorf("%s shows %q", name, seen)
		}
	}
}

func TestReaderOfOneTenantIsHeld(t *testing.T) {
	owner := connect(t, storetest.URL(t))
	const role = "defendersync test bypass"
	withRole(t, owner, role)
	if _, err := owner.Exec(t.Context(), `ALTER ROLE "`+role+`" BYPASSRLS`); err != nil {
		t.Fatal(err)
	}
	const maker = "defendersync test maker"
	withRole(t, owner, maker)
	before16 := texts(t, owner, `SELECT (current_setting('server_version_num')::int < 160000)::text`)[0] == "true"
	if _, err := owner.Exec(t.Context(), `ALTER ROLE "`+maker+`" CREATEROLE`); err != nil {
		t.Fatal(err)
	}
	if err := migrations.GrantReadTenant(t.Context(), owner, maker, tenant); before16 != (err != nil && strings.Contains(err.Error(), `run ALTER ROLE "`+maker+`" NOCREATEROLE`)) {
		t.Errorf("of one that makes roles: error %v", err)
	}
	for who, want := range map[string]string{
		role:     "BYPASSRLS: row-level security does not hold it",
		"nobody": "there is no role nobody; run CREATE ROLE",
	} {
		if err := migrations.GrantReadTenant(t.Context(), owner, who, tenant); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", who, err, want)
		}
	}
}

// A role that is a member of one that reads more than the tenant is refused, and
// told which and what to do.
func TestReaderOfOneTenantIsNoMemberOfOthers(t *testing.T) {
	owner := connect(t, storetest.URL(t))
	if texts(t, owner, `SELECT (current_setting('server_version_num')::int < 150000)::text`)[0] == "true" {
		t.Skip("before PostgreSQL 15 it is refused")
	}
	const role, group, all, theirs, colleague = "defendersync test member", "defendersync test group", "defendersync test all", "defendersync test theirs", "defendersync test colleague"
	for _, r := range []string{role, group, all, theirs, colleague} {
		withRole(t, owner, r)
	}
	for _, err := range []error{
		migrations.GrantRead(t.Context(), owner, all),
		migrations.GrantReadTenant(t.Context(), owner, theirs, otherTenant),
		migrations.GrantReadTenant(t.Context(), owner, colleague, tenant),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	exec := func(sql string) {
		t.Helper()
		if _, err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	try := func(grant, want string) {
		t.Helper()
		exec(grant)
		err := migrations.GrantReadTenant(t.Context(), owner, role, tenant)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: error %v, want %q", grant, err, want)
		}
	}
	try(`GRANT "`+all+`" TO "`+role+`"`, "is a member of role "+all+`, which may read more than the tenant, and with SET ROLE so may it; run REVOKE "`+all+`" FROM "`+role+`"`)
	exec(`REVOKE "` + all + `" FROM "` + role + `"`)
	try(`GRANT "`+theirs+`" TO "`+role+`"`, "is a member of role "+theirs)
	exec(`REVOKE "` + theirs + `" FROM "` + role + `"`)
	exec(`GRANT pg_read_all_data TO "` + group + `"`)
	try(`ALTER ROLE "`+role+`" NOINHERIT; GRANT "`+group+`" TO "`+role+`"`, "is a member of role "+group)
	exec(`REVOKE pg_read_all_data FROM "` + group + `"`)
	try(`GRANT "`+all+`" TO "`+group+`"; ALTER ROLE "`+group+`" NOINHERIT`, "is a member of role "+all+`, which may read more than the tenant, and with SET ROLE so may it; run REVOKE "`+group+`" FROM "`+role+`"`)
	try(`REVOKE "`+all+`" FROM "`+group+`"`, "")
	try(`GRANT "`+colleague+`" TO "`+role+`"`, "")
	try(`GRANT SELECT (tenant_id) ON defender.incidents TO "`+group+`"`, "is a member of role "+group)
	try(`REVOKE SELECT (tenant_id) ON defender.incidents FROM "`+group+`"; ALTER ROLE "`+group+`" BYPASSRLS`, "is a member of role "+group)
	try(`ALTER ROLE "`+group+`" NOBYPASSRLS`, "")
	exec(`CREATE VIEW bi.mine AS SELECT * FROM defender.incidents`)
	try(`GRANT SELECT ON bi.mine TO "`+group+`"`, "is a member of role "+group)
	exec(`DROP VIEW bi.mine`)
	exec(`GRANT USAGE, CREATE ON SCHEMA defender TO "` + group + `"`)
	try(`CREATE TABLE defender.theirs (); ALTER TABLE defender.theirs OWNER TO "`+group+`"`, "or is a member of the role that does")
}

// Readers of one tenant that there are go on reading when the sightings of hunting
// come to a view of theirs, and see their tenant's.
func TestReaderOfOneTenantSeesTheNewSightings(t *testing.T) {
	url := storetest.URL(t)
	owner := connect(t, url)
	if texts(t, owner, `SELECT (current_setting('server_version_num')::int < 150000)::text`)[0] == "true" {
		t.Skip("before PostgreSQL 15 there are none")
	}
	const role, other = `defendersync "test" old reader`, "defendersync test other reader"
	withRole(t, owner, role)
	withRole(t, owner, other)
	if _, err := migrations.DownTo(t.Context(), owner, 12); err != nil {
		t.Fatal(err)
	}
	for r, id := range map[string]string{role: tenant, other: otherTenant} {
		if err := migrations.GrantReadTenant(t.Context(), owner, r, id); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := migrations.Up(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	twoTenants(t, owner)
	for r, id := range map[string]string{role: tenant, other: otherTenant} {
		for _, sql := range []string{
			`SELECT DISTINCT tenant_id::text FROM bi.entity_sightings WHERE source = 'hunting'`,
			`SELECT DISTINCT tenant_id::text FROM bi.entities WHERE hunting_first_seen_at IS NOT NULL`,
		} {
			if got := texts(t, as(t, url, r), sql); !cmp.Equal(got, []string{id}) {
				t.Errorf("%s: %s: %q, want %s", r, sql, got, id)
			}
		}
	}
}

// A view that somebody else made does not keep a worker from starting that may
// not change it.
func TestViewOfSomebodyElse(t *testing.T) {
	address := storetest.URL(t)
	owner := connect(t, address)
	if texts(t, owner, `SELECT (current_setting('server_version_num')::int < 150000)::text`)[0] == "true" {
		t.Skip("before PostgreSQL 15 there are no readers of one tenant")
	}
	const reader, worker = "defendersync test one of two", "defendersync test two of two"
	withRole(t, owner, reader)
	withRole(t, owner, worker)
	if err := migrations.GrantReadTenant(t.Context(), owner, reader, tenant); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`CREATE VIEW hunting.by_hand AS SELECT 1 AS one`,
		`GRANT USAGE ON SCHEMA sync TO "` + worker + `"`,
		`GRANT SELECT ON ALL TABLES IN SCHEMA sync TO "` + worker + `"`,
	} {
		if _, err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := migrations.UpFiles(t.Context(), as(t, address, worker)); err != nil {
		t.Error(err)
	}
}
