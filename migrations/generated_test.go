package migrations_test

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"defendersync/migrations"
	"defendersync/store"
	"defendersync/store/storetest"
)

const tenant = "11111111-1111-4111-8111-111111111111"

// meet has a store meet an answer of the table with these columns, all texts.
func meet(t *testing.T, s *store.Store, auto bool, table string, columns ...string) error {
	t.Helper()
	mode := store.HuntEvents
	if strings.HasSuffix(table, "Inventory") {
		mode = store.HuntSnapshot
	}
	rows := s.NewHuntRows(store.HuntSpec{TenantID: tenant, Name: table, Mode: mode, TimeColumn: "Timestamp", AutoMigrate: auto})
	defer rows.Close()
	served := []store.HuntColumn{{Name: "Timestamp", Type: "DateTime"}}
	for _, c := range columns {
		served = append(served, store.HuntColumn{Name: c, Type: "String"})
	}
	return rows.Begin(t.Context(), served)
}

func mustMeet(t *testing.T, s *store.Store, table string, columns ...string) {
	t.Helper()
	if err := meet(t, s, true, table, columns...); err != nil {
		t.Fatal(err)
	}
}

// generated lists what is generated, and whether it is applied.
func generated(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	all, err := migrations.Status(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range all {
		if strings.HasPrefix(m.Name, "hunting/") {
			if m.AppliedAt.IsZero() {
				m.Name += " pending"
			}
			names = append(names, m.Name)
		}
	}
	return names
}

func wantGenerated(t *testing.T, pool *pgxpool.Pool, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, generated(t, pool)); diff != "" {
		t.Errorf("generated (-want +got):\n%s", diff)
	}
}

const (
	events   = "hunting/00001_device_events.sql"
	software = "hunting/00002_software_inventory.sql"
	columns  = "hunting/00003_software_inventory_columns.sql"
)

// Generated migrations go down like the files, newest first, and with what is
// known of them: the next answer makes the table anew.
func TestGeneratedDownAndUp(t *testing.T) {
	s := storetest.New(t)
	ctx, pool := t.Context(), s.Pool()
	mustMeet(t, s, "DeviceEvents", "Name")
	mustMeet(t, s, "SoftwareInventory", "Name")
	mustMeet(t, s, "SoftwareInventory", "Name", "Vendor")
	wantGenerated(t, pool, events, software, columns)
	want := schema(t, pool)
	for _, name := range []string{columns, software} {
		if undone, err := migrations.Down(ctx, pool); undone.Name != name || undone.AppliedAt.IsZero() || err != nil {
			t.Fatalf("took back %+v, %v", undone, err)
		}
	}
	wantGenerated(t, pool, events)
	if there := texts(t, pool, `SELECT relname::text FROM pg_class WHERE relname LIKE 'software%'`); len(there) > 0 {
		t.Errorf("%q stays", there)
	}
	if applied, err := migrations.Up(ctx, pool); len(applied) > 0 || err != nil {
		t.Errorf("applied %q, %v", applied, err)
	}
	mustMeet(t, s, "SoftwareInventory", "Name")
	mustMeet(t, s, "SoftwareInventory", "Name", "Vendor")
	if diff := cmp.Diff(want, schema(t, pool)); diff != "" {
		t.Errorf("down and up (-want +got):\n%s", diff)
	}
	for range 3 {
		if _, err := migrations.Down(ctx, pool); err != nil {
			t.Fatal(err)
		}
	}
	wantGenerated(t, pool)
	if undone, err := migrations.Down(ctx, pool); undone.Name == "" || strings.HasPrefix(undone.Name, "hunting/") || err != nil {
		t.Errorf("then took back %+v, %v: the files' turn has come", undone, err)
	}
}

// With the schema hunting goes what was generated in it, from wherever the files
// are taken back.
func TestDownTakesGeneratedTables(t *testing.T) {
	s := storetest.New(t)
	ctx, pool := t.Context(), s.Pool()
	want := schema(t, pool)
	all, err := migrations.Status(ctx, pool)
	if err != nil {
		t.Fatal(err)
	}
	made := slices.IndexFunc(all, func(m migrations.Migration) bool { return m.Name == "00007_hunting.sql" })
	for _, m := range all[:made+1] {
		mustMeet(t, s, "DeviceEvents", "Name")
		mustMeet(t, s, "SoftwareInventory", "Name")
		mustMeet(t, s, "SoftwareInventory", "Name", "Vendor")
		if _, err := migrations.DownTo(ctx, pool, m.Version-1); err != nil {
			t.Fatal(err)
		}
		if _, err := migrations.Up(ctx, pool); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, schema(t, pool)); diff != "" {
			t.Errorf("down to before %s and up again (-want +got):\n%s", m.Name, diff)
		}
		wantGenerated(t, pool)
	}
}

// What is printed and applied by hand is what Up applies, ledger and all.
func TestGeneratedByHand(t *testing.T) {
	ctx := t.Context()
	prepare := func() *store.Store {
		s := storetest.New(t)
		for _, table := range []string{"DeviceEvents", "SoftwareInventory"} {
			for _, columns := range [][]string{{"Name"}, {"Name", "Vendor"}} {
				var pending *store.SchemaPendingError
				if err := meet(t, s, false, table, columns...); !errors.As(err, &pending) {
					t.Fatalf("error %v", err)
				}
			}
		}
		return s
	}
	up, hand := prepare(), prepare()
	text, err := migrations.SQL(ctx, hand.Pool())
	if err != nil || !strings.HasPrefix(text, "BEGIN;\n") || !strings.HasSuffix(text, "COMMIT;\n") {
		t.Fatalf("%q, %v", text, err)
	}
	if _, err := hand.Pool().Exec(ctx, text); err != nil {
		t.Fatal(err)
	}
	if applied, err := migrations.Up(ctx, up.Pool()); len(applied) != 4 || err != nil {
		t.Fatalf("applied %q, %v", applied, err)
	}
	if diff := cmp.Diff(schema(t, up.Pool()), schema(t, hand.Pool())); diff != "" {
		t.Errorf("(-Up +by hand):\n%s", diff)
	}
	for _, ledger := range []string{
		`SELECT version_id::text || is_applied FROM sync.goose_hunting_version ORDER BY id`,
		`SELECT c::text FROM sync.hunting_columns AS c ORDER BY 1`,
	} {
		if diff := cmp.Diff(texts(t, up.Pool(), ledger), texts(t, hand.Pool(), ledger)); diff != "" {
			t.Errorf("%s (-Up +by hand):\n%s", ledger, diff)
		}
	}
	if again, err := migrations.SQL(ctx, hand.Pool()); again != "" || err != nil {
		t.Errorf("still to do: %q, %v", again, err)
	}
	if again, err := migrations.HuntingSQL(ctx, hand.Pool(), "device_events"); again != "" || err != nil {
		t.Errorf("still to do for one: %q, %v", again, err)
	}
	if applied, err := migrations.Up(ctx, hand.Pool()); len(applied) > 0 || err != nil {
		t.Errorf("applied %q, %v", applied, err)
	}
	mustMeet(t, hand, "SoftwareInventory", "Name", "Vendor")
}

// An operator may begin with any table; the others are applied after it.
func TestGeneratedOutOfOrder(t *testing.T) {
	s := storetest.New(t)
	ctx, pool := t.Context(), s.Pool()
	for _, table := range []string{"DeviceEvents", "SoftwareInventory"} {
		if err := meet(t, s, false, table); err == nil {
			t.Fatal("no error")
		}
	}
	text, err := migrations.HuntingSQL(ctx, pool, "software_inventory")
	if err != nil || strings.Contains(text, "device_events") {
		t.Fatalf("%q, %v", text, err)
	}
	if _, err := pool.Exec(ctx, text); err != nil {
		t.Fatal(err)
	}
	wantGenerated(t, pool, events+" pending", software)
	if applied, err := migrations.Up(ctx, pool); !slices.Equal(applied, []string{events}) || err != nil {
		t.Errorf("applied %q, %v", applied, err)
	}
}

// Workers that start together apply each once, each over a single connection.
func TestUpHuntingAtOnce(t *testing.T) {
	url := storetest.URL(t)
	s, err := store.Open(t.Context(), url, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	for _, table := range []string{"DeviceEvents", "SoftwareInventory"} {
		if err := meet(t, s, false, table); err == nil {
			t.Fatal("no error")
		}
	}
	up := func(pool *pgxpool.Pool, n int) (err error) {
		if n%2 == 0 {
			_, err = migrations.Up(t.Context(), pool)
			return err
		}
		return errors.Join(migrations.UpHunting(t.Context(), pool, "device_events"), migrations.UpHunting(t.Context(), pool, "software_inventory"))
	}
	var all sync.WaitGroup
	for n := range 4 {
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
			if err := up(pool, n); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	wantGenerated(t, s.Pool(), events, software)
	ledger := texts(t, s.Pool(), `SELECT version_id::text FROM sync.goose_hunting_version WHERE version_id > 0 ORDER BY 1`)
	if diff := cmp.Diff([]string{"1", "2"}, ledger); diff != "" {
		t.Errorf("the ledger (-want +got):\n%s", diff)
	}
}

// withParameter adds a setting of the session to a URL.
func withParameter(t *testing.T, address, name, value string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}

// A reader may read hunting tables, those made later included.
func TestGrantReadOfHunting(t *testing.T) {
	url := storetest.URL(t)
	s, err := store.Open(t.Context(), url, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	const role = "defendersync test hunter"
	withRole(t, s.Pool(), role)
	mustMeet(t, s, "DeviceEvents")
	if err := migrations.GrantRead(t.Context(), s.Pool(), role); err != nil {
		t.Fatal(err)
	}
	mustMeet(t, s, "SoftwareInventory", "Name")
	mustMeet(t, s, "SoftwareInventory", "Name", "Vendor")
	reader := as(t, url, role)
	for _, table := range []string{"hunting.device_events", "hunting.software_inventory", "hunting.software_inventory_current", "sync.hunting_columns"} {
		if _, err := reader.Exec(t.Context(), "SELECT FROM "+table); err != nil {
			t.Errorf("%s: %v", table, err)
		}
	}
}

// The tables made are like the ones in files: every key begins with the tenant,
// every column has a comment.
func TestGeneratedTables(t *testing.T) {
	s := storetest.New(t)
	mustMeet(t, s, "DeviceEvents", "Name")
	mustMeet(t, s, "SoftwareInventory", "Name")
	mustMeet(t, s, "SoftwareInventory", "Name", "Vendor")
	var got []string
	for _, line := range schema(t, s.Pool()) {
		if strings.HasPrefix(line, "table hunting.") || strings.HasPrefix(line, "view hunting.") || len(got) > 0 && strings.HasPrefix(line, "  ") {
			got = append(got, line)
		} else if len(got) > 0 {
			break
		}
	}
	want := []string{
		"table hunting.device_events -- DeviceEvents: every distinct row ever returned.",
		"  column tenant_id uuid NOT NULL -- The tenant, as configured: its Microsoft Entra tenant id.",
		"  column row_key uuid NOT NULL -- Digest of what identifies the row; begins with its time where that is part of it.",
		"  column row_hash uuid NOT NULL -- Digest of the content: an equal row is not written again.",
		`  column "timestamp" timestamp with time zone -- Timestamp`,
		"  column name text -- Name",
		"  column extra jsonb -- Values that do not fit their columns, and members that no column is for, as served; by name.",
		"  column synced_at timestamp with time zone NOT NULL -- When this version of the row was stored.",
		"  constraint device_events_pkey PRIMARY KEY (tenant_id, row_key)",
		`  index CREATE INDEX device_events_timestamp_idx ON hunting.device_events USING brin ("timestamp") WITH (autosummarize='on')`,
		"table hunting.software_inventory -- SoftwareInventory: complete results as validity ranges.",
		"  column tenant_id uuid NOT NULL -- The tenant, as configured: its Microsoft Entra tenant id.",
		"  column row_key uuid NOT NULL -- Digest of what identifies the row; begins with its time where that is part of it.",
		"  column row_hash uuid NOT NULL -- Digest of the content: an equal row is not written again.",
		"  column valid_from timestamp with time zone NOT NULL -- When the row was first seen with this content.",
		"  column valid_to timestamp with time zone -- When a complete result had it no more, or with another content; NULL while it is valid.",
		`  column "timestamp" timestamp with time zone -- Timestamp`,
		"  column name text -- Name",
		"  column extra jsonb -- Values that do not fit their columns, and members that no column is for, as served; by name.",
		"  column synced_at timestamp with time zone NOT NULL -- When this version of the row was stored.",
		"  column vendor text -- Vendor",
		"  constraint software_inventory_check CHECK ((valid_from <= valid_to))",
		"  constraint software_inventory_pkey PRIMARY KEY (tenant_id, row_key, valid_from)",
		"  index CREATE INDEX software_inventory_timestamp_idx ON hunting.software_inventory USING brin (\"timestamp\") WITH (autosummarize='on')",
		"  index CREATE UNIQUE INDEX software_inventory_tenant_id_row_key_idx ON hunting.software_inventory USING btree (tenant_id, row_key) WHERE (valid_to IS NULL)",
		"view hunting.software_inventory_current -- The rows of hunting.software_inventory that the last complete result has.",
		"  column tenant_id uuid -- The tenant, as configured: its Microsoft Entra tenant id.",
		"  column row_key uuid -- Digest of what identifies the row; begins with its time where that is part of it.",
		"  column row_hash uuid -- Digest of the content: an equal row is not written again.",
		"  column valid_from timestamp with time zone -- When the row was first seen with this content.",
		"  column valid_to timestamp with time zone -- When a complete result had it no more, or with another content; NULL while it is valid.",
		`  column "timestamp" timestamp with time zone -- Timestamp`,
		"  column name text -- Name",
		"  column extra jsonb -- Values that do not fit their columns, and members that no column is for, as served; by name.",
		"  column synced_at timestamp with time zone -- When this version of the row was stored.",
		"  column vendor text -- Vendor",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
