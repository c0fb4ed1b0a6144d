package store_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
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

// Names that meet, names of our own, and names that nobody should give a column.
func TestHuntColumnNames(t *testing.T) {
	h := newHunter(t, store.HuntSpec{AutoMigrate: true})
	evil := "it's \\ a \"name\"\n-- +goose Down\nDROP TABLE x;"
	long := strings.Repeat("VeryLong", 12)
	cols := columns("LogonId", "Int64", "LogonID", "Int64", "TenantId", "String", "RowKey", "String", "Extra", "Object", "ValidFrom", "DateTime",
		evil, "String", long, "String", long+"er", "String", "", "String", "user", "String", "Twice", "String", "Twice", "String", "Ctid", "String")
	h.answer(cols, row{"LogonId": "1", "LogonID": "2", "TenantId": `"theirs"`, "RowKey": `"k"`, "Extra": `{}`, evil: `"e"`, long: `"l"`, long + "er": `"m"`, "": `"none"`, "user": `"u"`, "Twice": `"t"`, "Ctid": `"c"`})
	h.want(`SELECT logon_id, logon_id_2, tenant_id::text, tenant_id_2, row_key_2, extra_2::text, extra IS NULL, "column", "user", twice, ctid_2 FROM hunting.device_events`,
		"1 2 "+tenant+" theirs k {} true none u t c")
	h.want(`SELECT col_description('hunting.device_events'::regclass, attnum) FROM pg_attribute WHERE attrelid = 'hunting.device_events'::regclass
		AND attname IN ('logon_id_2', 'tenant_id_2', 'valid_from') ORDER BY attname`, "LogonID", "TenantId", "ValidFrom")
	h.want(`SELECT count(*) FROM pg_attribute WHERE attrelid = 'hunting.device_events'::regclass AND attnum > 0 AND attname <> 'column'
		AND col_description(attrelid, attnum) IS NULL`, "0")
	if got := h.query(`SELECT served_name FROM sync.hunting_columns WHERE served_name LIKE 'it%'`); !slices.Equal(got, []string{evil}) {
		t.Errorf("served name %q", got)
	}
	h.want(`SELECT col_description('hunting.device_events'::regclass, attnum) FROM pg_attribute WHERE attrelid = 'hunting.device_events'::regclass
		AND attname LIKE 'it%'`, evil)
	h.want(`SELECT length(column_name) FROM sync.hunting_columns WHERE served_name LIKE 'VeryLong%' ORDER BY 1`, "63", "63")
}

// A column that comes is added, kept in extra, or refused; each is recorded once.
func TestHuntNewColumn(t *testing.T) {
	more := append(slices.Clone(deviceColumns), store.HuntColumn{Name: "LogonID", Type: "Int64"})
	wide := event(1, "1", "a.exe")
	wide["LogonID"] = "7"
	start := func(t *testing.T, mode string) *hunter {
		spec := device
		spec.OnNewColumn = mode
		h := newHunter(t, spec)
		h.answer(deviceColumns, event(1, "1", "a.exe"))
		h.want(`SELECT count(*) FROM sync.schema_changes`, "0")
		return h
	}
	t.Run("add", func(t *testing.T) {
		h := start(t, "")
		if got, want := h.answer(more, wide), (store.Counts{Updated: 1}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		h.answer(more, wide)
		h.want(`SELECT logon_id FROM hunting.device_events`, "7")
		h.want(`SELECT object, property, change, detail FROM sync.schema_changes`, "hunting.device_events LogonID new_property added as logon_id bigint for Int64")
		h.want(`SELECT name FROM sync.hunting_migrations ORDER BY version`, "00001_device_events.sql", "00002_device_events_columns.sql")
		// The answers before it are taken, too, and do not lose the value.
		if got, want := h.answer(deviceColumns, event(2, "2", "b")), (store.Counts{Inserted: 1}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
	t.Run("ignore", func(t *testing.T) {
		h := start(t, "ignore")
		for _, want := range []store.Counts{{Updated: 1}, {Unchanged: 1}} {
			if got := h.answer(more, wide); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		}
		h.want(`SELECT extra::text FROM hunting.device_events`, `{"LogonID": 7}`)
		h.want(`SELECT property, change, detail FROM sync.schema_changes`, "LogonID new_property Int64 kept in extra (on_new_column: ignore)")
	})
	t.Run("fail", func(t *testing.T) {
		h := start(t, "fail")
		err := h.rows.Begin(t.Context(), more)
		var refused *store.NewColumnError
		if !errors.As(err, &refused) || refused.Table != "hunting.device_events" || !slices.Equal(refused.Columns, []string{"LogonID"}) {
			t.Fatalf("error %v", err)
		}
		h.want(`SELECT count(*) FROM sync.hunting_migrations`, "1")
	})
	t.Run("all NULL", func(t *testing.T) {
		h := start(t, "add")
		if got, want := h.answer(more, event(1, "1", "a.exe")), (store.Counts{Unchanged: 1}); got != want {
			t.Errorf("a column without a value changes rows: %+v, want %+v", got, want)
		}
	})
}

// What a table must not get a column for goes to extra; nothing private does, nor
// what has no value, and a key may name it.
func TestHuntIgnoredColumns(t *testing.T) {
	spec := store.HuntSpec{TimeColumn: "Timestamp", Key: []string{"ReportId"}, KeyOnly: true, OnNewColumn: "ignore", AutoMigrate: true}
	made := newHunter(t, spec)
	made.answer(columns("Timestamp", "DateTime", "ReportId", "Int64"))
	spec.Key = append(spec.Key, "Part")
	spec.Drop, spec.Hash = []string{"sid"}, []string{"upn"}
	h := hunterOn(made.worker, spec)
	h.cp = made.cp
	more := columns("Upn", "String", "Timestamp", "DateTime", "Sid", "String", "ReportId", "Int64", "Part", "Int64", "Note", "String", "Note", "String")
	person := row{"Timestamp": `"2026-11-01T00:00:01Z"`, "ReportId": "1", "Part": "1", "Upn": `"p"`, "Sid": `"S-1"`, "Note": `""`}
	second := maps.Clone(person)
	second["Part"] = "2"
	for _, want := range []store.Counts{{Inserted: 2}, {Unchanged: 2}} {
		if got := h.answer(more, person, second); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	mac := hmac.New(sha256.New, []byte(tenant))
	mac.Write([]byte("p"))
	digest := hex.EncodeToString(mac.Sum(nil))
	h.want(`SELECT report_id, extra::text FROM hunting.device_events ORDER BY 2`, `1 {"Upn": "`+digest+`", "Part": 1}`, `1 {"Upn": "`+digest+`", "Part": 2}`)
	// The key is the same once there is a column for it.
	spec.OnNewColumn = "add"
	wide := hunterOn(h.worker, spec)
	wide.cp = h.cp
	if got, want := wide.answer(more, person, second), (store.Counts{Updated: 2}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	h.want(`SELECT upn = '`+digest+`', part, extra FROM hunting.device_events ORDER BY part`, "true 1 <nil>", "true 2 <nil>")
}

// A name that differs from a column's in case only is another's where both are
// served.
func TestHuntNewColumnDiffersInCase(t *testing.T) {
	h := newHunter(t, store.HuntSpec{Key: []string{"N"}, AutoMigrate: true})
	h.answer(columns("N", "Int32", "LogonID", "Int64"), row{"N": "1", "LogonID": "10"})
	for range 2 {
		h.answer(columns("N", "Int32", "LogonId", "Int64", "LogonID", "Int64"), row{"N": "2", "LogonId": "21", "LogonID": "20"})
	}
	h.want(`SELECT n, logon_id, logon_id_2 FROM hunting.device_events ORDER BY n`, "1 10 <nil>", "2 20 21")
}

// A type that changes loses nothing, and is recorded once.
func TestHuntTypeChange(t *testing.T) {
	h := newHunter(t, device)
	h.answer(deviceColumns, event(1, "1", "a"))
	changed := slices.Clone(deviceColumns)
	changed[2].Type = "String"
	text := event(2, `"two"`, "b")
	for range 2 {
		h.answer(changed, text, event(3, `"3"`, "c"))
	}
	h.want(`SELECT report_id, extra::text FROM hunting.device_events ORDER BY "timestamp"`, "1 <nil>", `<nil> {"ReportId": "two"}`, "3 <nil>")
	h.want(`SELECT property, change, detail FROM sync.schema_changes`, "ReportId type_changed expected Int64, got String")
	h.want(`SELECT count(*) FROM sync.hunting_migrations`, "1")
}

// The API that serves another case, another order or another type of the same
// value serves the same rows.
func TestHuntOtherDialect(t *testing.T) {
	h := newHunter(t, device)
	h.answer(deviceColumns, event(1, "1", "a"))
	other := columns("fileName", "string", "reportId", "long", "timestamp", "datetime", "deviceId", "string")
	e := event(1, "1", "a")
	counts := h.answer(other, row{"timestamp": e["Timestamp"], "deviceId": e["DeviceId"], "reportId": e["ReportId"], "fileName": e["FileName"]})
	if want := (store.Counts{Unchanged: 1}); counts != want {
		t.Errorf("%+v, want %+v", counts, want)
	}
	h.want(`SELECT count(*) FROM sync.schema_changes`, "0")
}

// Without auto_migrate nothing is touched; what the operator applies is what was
// asked for, and then the stream goes on.
func TestHuntSchemaPending(t *testing.T) {
	spec := device
	spec.AutoMigrate = false
	h := newHunter(t, spec)
	pending := func(cols []store.HuntColumn) *store.SchemaPendingError {
		t.Helper()
		var e *store.SchemaPendingError
		if err := h.rows.Begin(t.Context(), cols); !errors.As(err, &e) {
			t.Fatalf("error %v", err)
		}
		return e
	}
	for range 2 {
		e := pending(deviceColumns)
		if e.Table != "hunting.device_events" || !strings.Contains(e.SQL, "CREATE TABLE") || strings.Count(e.SQL, "INSERT INTO sync.goose_hunting_version") != 1 {
			t.Fatalf("%+v", e)
		}
	}
	h.want(`SELECT to_regclass('hunting.device_events') IS NULL, (SELECT count(*) FROM sync.hunting_migrations)`, "true 1")
	if current, err := migrations.Current(t.Context(), h.Pool()); !current || err != nil {
		t.Errorf("a pending hunting table makes the schema stale: %v, %v", current, err)
	}
	more := append(slices.Clone(deviceColumns), store.HuntColumn{Name: "LogonID", Type: "Int64"})
	e := pending(more)
	if strings.Count(e.SQL, "INSERT INTO sync.goose_hunting_version") != 2 {
		t.Errorf("the column is not asked for: %s", e.SQL)
	}
	h.exec(e.SQL)
	h.answer(more, event(1, "1", "a"))
	h.want(`SELECT logon_id, report_id FROM hunting.device_events`, "<nil> 1")
	if applied, err := migrations.Up(t.Context(), h.Pool()); len(applied) > 0 || err != nil {
		t.Errorf("applied again: %q, %v", applied, err)
	}
	// With it, what another worker left pending is applied.
	spec.Name = "Later"
	later := hunterOn(h.worker, spec)
	if err := later.rows.Begin(t.Context(), deviceColumns); err == nil {
		t.Fatal("no error")
	}
	spec.AutoMigrate = true
	hunterOn(h.worker, spec).answer(deviceColumns, event(1, "1", "a"))
	h.want(`SELECT count(*) FROM hunting.later`, "1")
	h.want(`SELECT count(*) FROM sync.hunting_migrations`, "3")
}

// What was to make a table is written anew when it is to be one of another mode,
// or was dropped before it was widened: neither is in the way of the stream.
func TestHuntMigrationOfNoUse(t *testing.T) {
	h := newHunter(t, device)
	asked := func(spec store.HuntSpec, columns []store.HuntColumn) {
		t.Helper()
		spec.AutoMigrate = false
		if err := hunterOn(h.worker, spec).rows.Begin(t.Context(), columns); err == nil {
			t.Fatal("no error")
		}
	}
	spec := device
	spec.Name, spec.Mode = "Lists", store.HuntSnapshot
	h.exec(`CREATE TABLE hunting.lists_current (tenant_id uuid)`)
	asked(spec, deviceColumns[:2])
	asked(spec, deviceColumns)
	h.want(`SELECT name FROM sync.hunting_migrations ORDER BY version`, "00001_lists.sql", "00002_lists_columns.sql")
	spec.Mode = store.HuntReplace
	replaced := hunterOn(h.worker, spec)
	if err := replaced.rows.Begin(t.Context(), deviceColumns); err != nil {
		t.Fatal(err)
	}
	h.want(`SELECT name FROM sync.hunting_migrations ORDER BY version`, "00003_lists.sql")
	h.want(`SELECT count(*) FROM hunting.lists`, "0")

	if err := h.rows.Begin(t.Context(), deviceColumns[:2]); err != nil {
		t.Fatal(err)
	}
	asked(device, deviceColumns)
	h.exec(`DROP TABLE hunting.device_events`)
	if err := hunterOn(h.worker, device).rows.Begin(t.Context(), deviceColumns); err != nil {
		t.Fatal(err)
	}
	h.want(`SELECT report_id FROM hunting.device_events`)
	h.want(`SELECT count(*) FROM sync.hunting_migrations AS m
		WHERE NOT EXISTS (SELECT FROM sync.goose_hunting_version AS v WHERE v.version_id = m.version)`, "0")
}

// Workers that meet a table at once make it once, each over one connection.
func TestHuntBeginAtOnce(t *testing.T) {
	url := storetest.URL(t)
	var all sync.WaitGroup
	var stores []*store.Store
	for range 6 {
		s, err := store.OpenWith(t.Context(), url, func(c *pgxpool.Config) { c.MaxConns = 1 })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		stores = append(stores, s)
	}
	for n, s := range stores {
		all.Go(func() {
			spec := device
			spec.TenantID, spec.Name, spec.Mode = tenant, "DeviceEvents", store.HuntEvents
			r := s.NewHuntRows(spec)
			if err := r.Begin(context.WithoutCancel(t.Context()), deviceColumns[:2+n%3]); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	w := workerOn(t, mustOpen(t, url))
	w.want(`SELECT count(*) FROM sync.hunting_migrations WHERE name LIKE '%events.sql'`, "1")
	w.want(`SELECT count(*) = count(DISTINCT column_name) AND count(*) = 4 FROM sync.hunting_columns`, "true")
	w.want(`SELECT count(*) = (SELECT count(*) + 1 FROM sync.hunting_migrations) FROM sync.goose_hunting_version`, "true")
}

func mustOpen(t *testing.T, url string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), url, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// A table dropped by hand is made again; one of another mode is refused.
func TestHuntTableDroppedOrOfAnotherMode(t *testing.T) {
	h := newHunter(t, device)
	h.answer(deviceColumns, event(1, "1", "a"))
	spec := device
	spec.Mode = store.HuntSnapshot
	if err := hunterOn(h.worker, spec).rows.Begin(t.Context(), deviceColumns); err == nil || !strings.Contains(err.Error(), "another mode") {
		t.Errorf("error %v", err)
	}
	h.exec(`DROP TABLE hunting.device_events`)
	spec.Name = "device_events"
	again := hunterOn(h.worker, spec)
	again.cp = h.cp
	again.answer(deviceColumns[:3], row{"DeviceId": `"d"`})
	h.want(`SELECT device_id FROM hunting.device_events_current`, "d")
	h.want(`SELECT column_name FROM sync.hunting_columns ORDER BY 1`, "device_id", "report_id", "timestamp")
	// Under a worker that knows it already.
	h.cp = again.cp
	live := hunterOn(h.worker, device)
	live.rows, live.cp = h.NewHuntRows(store.HuntSpec{TenantID: tenant, Name: "Live", Mode: store.HuntEvents, AutoMigrate: true}), h.cp
	live.answer(deviceColumns, event(1, "1", "a"))
	h.exec(`DROP TABLE hunting.live`)
	live.add(deviceColumns, event(1, "1", "a"))
	c := live.next()
	c.Hunt = live.rows
	if _, _, err := h.Store.Commit(t.Context(), c); err == nil {
		t.Fatal("no error")
	}
	live.answer(deviceColumns, event(1, "1", "a"))
	h.want(`SELECT report_id FROM hunting.live`, "1")
}

// Every column of a view says what it is, in a new view, in a wider one, in one
// whose widening was taken back, and in one of a version that wrote no comments.
func TestHuntViewsAreDescribed(t *testing.T) {
	spec := device
	spec.Mode = store.HuntSnapshot
	h := newHunter(t, spec)
	described := func(when string, columns ...string) {
		t.Helper()
		const of = `SELECT attname || ' ' || coalesce(col_description(attrelid, attnum), '-') FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attname`
		view, table := h.query(of, `hunting.device_events_current`), h.query(of, `hunting.device_events`)
		if diff := cmp.Diff(table, view); diff != "" {
			t.Errorf("%s (-table +view):\n%s", when, diff)
		}
		for _, c := range columns {
			if !slices.Contains(view, c) {
				t.Errorf("%s: %q is not among %q", when, c, view)
			}
		}
	}
	h.answer(deviceColumns, event(1, "1", "a"))
	described("new", "report_id ReportId", "synced_at When this version of the row was stored.")
	more := append(slices.Clone(deviceColumns), store.HuntColumn{Name: "LogonID", Type: "Int64"})
	h.answer(more, event(1, "1", "a"))
	described("wider", "report_id ReportId", "logon_id LogonID")
	if _, err := migrations.Down(t.Context(), h.Pool()); err != nil {
		t.Fatal(err)
	}
	described("narrow again", "report_id ReportId")
	h.exec(`COMMENT ON COLUMN hunting.device_events_current.report_id IS NULL; COMMENT ON COLUMN hunting.device_events_current.tenant_id IS NULL`)
	h.answer(deviceColumns, event(1, "1", "a"))
	described("older", "report_id ReportId")
}

func TestHuntSpecIsChecked(t *testing.T) {
	h := newHunter(t, device)
	for _, spec := range []store.HuntSpec{{Name: "X", Mode: "perhaps"}, {Name: "", Mode: store.HuntEvents}, {Name: strings.Repeat("x", 56), Mode: store.HuntEvents}} {
		spec.TenantID = tenant
		if err := h.NewHuntRows(spec).Begin(t.Context(), deviceColumns); err == nil {
			t.Errorf("%+v is taken", spec)
		}
	}
	if err := h.NewHuntRows(device).Add(nil, nil); err == nil {
		t.Error("a row before Begin is taken")
	}
}

// Two tenants share a table, and neither sees the other's rows.
func TestHuntTwoTenants(t *testing.T) {
	w := newWorker(t)
	a := hunterOn(w, device)
	other := *w
	lease, err := w.Acquire(t.Context(), otherTenant, "worker", ttl)
	if err != nil {
		t.Fatal(err)
	}
	other.lease = lease
	b := hunterOn(&other, device)
	a.answer(deviceColumns, event(1, "1", "a"))
	if got, want := b.answer(deviceColumns, event(1, "1", "b")), (store.Counts{Inserted: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	a.answer(deviceColumns, event(1, "1", "c"))
	w.want(`SELECT tenant_id::text, file_name FROM hunting.device_events ORDER BY 1`, tenant+" c", otherTenant+" b")
	w.want(`SELECT count(*) FROM sync.hunting_migrations`, "1")
}

// What query --check prints is what is made, of a table and of what it lacks.
func TestHuntPlan(t *testing.T) {
	for _, mode := range []store.HuntMode{store.HuntEvents, store.HuntReplace, store.HuntSnapshot} {
		spec := device
		spec.TenantID, spec.Name, spec.Mode = tenant, "DeviceEvents", mode
		more := append(slices.Clone(deviceColumns), columns("LogonID", "Int64", "Note", "String")...)
		byHand, made := newWorker(t), newHunter(t, spec)
		for _, cols := range [][]store.HuntColumn{deviceColumns, more} {
			plan := planned(t, made.Store, spec, cols)
			made.answer(cols)
			if _, err := byHand.Pool().Exec(t.Context(), plan.SQL); err != nil {
				t.Fatal(err)
			}
			const describe = `SELECT attname, format_type(atttypid, atttypmod), attnotnull, col_description(attrelid, attnum), (SELECT count(*) FROM pg_index WHERE indrelid = attrelid)
				FROM pg_attribute WHERE attrelid = 'hunting.device_events'::regclass AND attnum > 0 ORDER BY attnum`
			if diff := cmp.Diff(byHand.query(describe), made.query(describe)); diff != "" {
				t.Errorf("%s (-printed +made):\n%s", mode, diff)
			}
			if plan = planned(t, made.Store, spec, cols); !plan.Exists || plan.SQL != "" || plan.Refused != nil {
				t.Errorf("%s: a table that is as it should be: %+v", mode, plan)
			}
		}
	}
}

func planned(t *testing.T, s *store.Store, spec store.HuntSpec, cols []store.HuntColumn) store.HuntPlan {
	t.Helper()
	plan, err := s.PlanHunt(t.Context(), spec, cols)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// A plan knows the table that is there: its columns are what they are, and one that
// it lacks is added, kept in extra or refused.
func TestHuntPlanOfATable(t *testing.T) {
	h := newHunter(t, device)
	h.answer(deviceColumns, event(1, "1", "a"))
	other := columns("ReportId", "String", "FileName", "Int64", "Sid", "String", "New", "Int64")
	for mode, want := range map[string]struct {
		sql, refused string
		column       string
	}{
		"add":    {"ALTER TABLE \"hunting\".\"device_events\"\n    ADD COLUMN \"new\" bigint;", "", "new bigint"},
		"ignore": {"", "", " "},
		"fail":   {"", "hunting.device_events has no column for New", " "},
	} {
		spec := h.spec
		spec.OnNewColumn, spec.Drop, spec.Hash = mode, []string{"sid"}, []string{"filename"}
		plan := planned(t, h.Store, spec, other)
		if !strings.HasPrefix(plan.SQL, want.sql) || (want.sql == "") != (plan.SQL == "") {
			t.Errorf("%s: prints %s", mode, plan.SQL)
		}
		if want.refused == "" && plan.Refused != nil || want.refused != "" && (plan.Refused == nil || !strings.HasPrefix(plan.Refused.Error(), want.refused)) {
			t.Errorf("%s: refuses by %v", mode, plan.Refused)
		}
		var got []string
		for _, c := range plan.Columns {
			got = append(got, fmt.Sprintf("%s: %s %s fits=%v dropped=%v hashed=%v", c.Name, c.Column, c.Kind, c.Fits, c.Dropped, c.Hashed))
		}
		fits := mode == "add"
		all := []string{"ReportId: report_id bigint fits=false dropped=false hashed=false", "FileName: file_name text fits=true dropped=false hashed=true",
			"Sid:   fits=false dropped=true hashed=false", fmt.Sprintf("New: %s fits=%v dropped=false hashed=false", want.column, fits)}
		if diff := cmp.Diff(all, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", mode, diff)
		}
	}
	ranges := h.spec
	ranges.Mode = store.HuntSnapshot
	if plan := planned(t, h.Store, ranges, deviceColumns); plan.Refused == nil || plan.SQL != "" {
		t.Errorf("a table of another mode: %+v", plan)
	}
	h.want(`SELECT count(*) FROM sync.hunting_migrations`, "1")
}

// What is pending is part of the plan, and nothing else becomes so.
func TestHuntPlanOfPendingColumns(t *testing.T) {
	spec := device
	spec.AutoMigrate = false
	h := newHunter(t, spec)
	if err := h.rows.Begin(t.Context(), deviceColumns); err == nil {
		t.Fatal("no error")
	}
	plan := planned(t, h.Store, h.spec, append(slices.Clone(deviceColumns), columns("New", "Int64")...))
	for _, column := range []string{`"new" bigint`, `"report_id" bigint`} {
		if plan.Exists || strings.Count(plan.SQL, column) != 1 {
			t.Errorf("prints %s", plan.SQL)
		}
	}
	h.want(`SELECT count(*) FROM sync.hunting_migrations`, "1")
}
