package sync_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"defendersync/store"
	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"
)

// dirs is a query of a user's own. Its last line is a comment without an end.
const dirs = `let wanted = "cmd.exe";
DeviceProcessEvents
| where FileName == wanted // the shell
| project Timestamp, DeviceId, ProcessCommandLine, ReportId // and no more`

// TestQueryIsSentAsWritten: what is sent ends in the user's bytes, begins with
// the window of each table, and on Graph has a Timespan around the same window.
func TestQueryIsSentAsWritten(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		r := newHuntRig(t, huntOptions{rigOptions: rigOptions{dialect: d}, tables: manyProcesses(700),
			hunts: []defsync.Hunt{{Name: "dirs", Query: dirs, Key: []string{"DeviceId", "Timestamp", "ReportId"}}}, cap: 100})
		r.sync(t)
		if n := value[int64](t, r.db, `SELECT count(*) FROM hunting.dirs`); n != 700 {
			t.Errorf("%d rows are stored, want 700", n)
		}
		r.vouched(t)
		for _, q := range r.huntCalls(0) {
			prelude, ok := strings.CutSuffix(q.Query, dirs)
			if !ok || !strings.HasPrefix(prelude, "let DeviceProcessEvents = DeviceProcessEvents | where Timestamp >= datetime(") {
				t.Errorf("sent %q", q.Query)
			}
			if (d == defender.Graph) != (q.Timespan != "") {
				t.Errorf("the Timespan is %q", q.Timespan)
			}
		}
	})
}

// TestRejectedPrelude: the service takes the query only as it was written. It is
// then windowed by its Timespan, which is found out once and recorded.
func TestRejectedPrelude(t *testing.T) {
	const devices = 7 // of manyProcesses
	for i, h := range []defsync.Hunt{
		{Name: "dirs", Query: dirs, Mode: defsync.ModeEvents},
		{Name: "dirs", Query: perDevice, Mode: defsync.ModeReplace},
		{Name: "dirs", Query: perDevice, Mode: defsync.ModeSnapshot},
	} {
		want := []int64{400, devices, devices}[i]
		t.Run(string(h.Mode), func(t *testing.T) {
			r := newHuntRig(t, huntOptions{rigOptions: rigOptions{sim: defendersim.Options{HuntRejectPrelude: true}}, tables: manyProcesses(400),
				hunts: []defsync.Hunt{h}, cap: 100})
			r.sync(t)
			r.clock.advance(time.Hour)
			r.worker = r.newWorker(t, r.openStore(t), "another")
			r.sync(t)
			if n := value[int64](t, r.db, `SELECT count(*) FROM hunting.dirs`); n != want {
				t.Errorf("%d rows are stored, want %d", n, want)
			}
			preludes := 0
			for _, q := range r.huntCalls(0) {
				if q.Query != h.Query {
					preludes++
				}
			}
			if preludes != 1 {
				t.Errorf("the prelude was tried %d times, want once", preludes)
			}
			if n := value[int64](t, r.db, `SELECT count(*) FROM sync.schema_changes WHERE change = 'prelude_rejected' AND object = 'hunting/dirs'`); n != 1 {
				t.Errorf("%d records of the rejected prelude, want one", n)
			}
			if h.Mode == defsync.ModeEvents {
				r.vouched(t)
			}
		})
	}
}

// TestRejectedPreludeAndTooMuch: that the query is too much for one answer when
// it is tried without its prelude says that the service takes it.
func TestRejectedPreludeAndTooMuch(t *testing.T) {
	r := newHuntRig(t, huntOptions{rigOptions: rigOptions{sim: defendersim.Options{HuntRejectPrelude: true}}, tables: manyProcesses(400),
		hunts: []defsync.Hunt{{Name: "dirs", Query: dirs}}, cap: 100})
	r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultStatus, Status: 400, Endpoint: defendersim.Hunting, Times: 1,
		Body:  `{"error":{"code":"BadRequest","message":"Query execution has exceeded the allowed result size. Optimize your query by limiting the amount of results and try again."}}`,
		Query: func(kql, _ string) bool { return kql == dirs }})
	r.sync(t)
	if n := value[int64](t, r.db, `SELECT count(*) FROM hunting.dirs`); n != 400 {
		t.Errorf("%d rows are stored, want 400", n)
	}
	r.vouched(t)
}

// TestOlderKnowsNoTimespan: there nothing but the prelude windows a query, and
// one without would answer with 30 days in place of each window.
func TestOlderKnowsNoTimespan(t *testing.T) {
	for _, h := range []defsync.Hunt{{Name: "dirs", Query: dirs}, {Name: "dirs", Query: perDevice, Mode: defsync.ModeReplace, Lookback: 24 * time.Hour}} {
		r := newHuntRig(t, huntOptions{rigOptions: rigOptions{dialect: defender.Older, sim: defendersim.Options{HuntRejectPrelude: true}},
			tables: manyProcesses(40), hunts: []defsync.Hunt{h}, cap: 100})
		res := r.worker.Sync(t.Context(), "", nil)[0]
		if res.Outcome != defsync.OutcomeFailed || !strings.Contains(res.Err.Error(), "rejects the query") || res.Read != 0 || res.Calls != 1 {
			t.Errorf("the pass ended %+v", res)
		}
	}
}

// TestTimeOutsideTheWindow: what a query calls its time need not be in the
// window that it was asked for, and says nothing about where to cut that.
func TestTimeOutsideTheWindow(t *testing.T) {
	r := newHuntRig(t, huntOptions{tables: manyProcesses(600), cap: 50,
		hunts: []defsync.Hunt{{Name: "shifted", Query: "DeviceProcessEvents\n| project Timestamp = Timestamp - 60d, ReportId"}}})
	r.sync(t)
	if n := value[int64](t, r.db, `SELECT count(*) FROM hunting.shifted`); n != 600 {
		t.Errorf("%d rows are stored, want 600", n)
	}
	if n := len(r.huntCalls(0)); n > 60 {
		t.Errorf("it took %d requests", n)
	}
}

// TestFullSecondOfAQueryIsFlagged: nothing may be added to a query, so that a
// microsecond with more rows than one answer holds cannot be told apart.
func TestFullSecondOfAQueryIsFlagged(t *testing.T) {
	tables := manyProcesses(50)
	at := newClock().Now().Add(-3 * time.Hour)
	for i := range 150 {
		tables.AddRows(processTable.Name, process(at, 1000+i))
	}
	r := newHuntRig(t, huntOptions{tables: tables, hunts: []defsync.Hunt{{Name: "dirs", Query: dirs}}, cap: 100})
	res := r.worker.Sync(t.Context(), "", nil)[0]
	if res.Outcome != defsync.OutcomePartial || res.Gaps != 1 {
		t.Errorf("the pass ended %+v", res)
	}
	if n := value[int64](t, r.db, `SELECT count(*) FROM hunting.dirs`); n != 150 {
		t.Errorf("%d rows are stored, want 50 and the 100 that one answer holds", n)
	}
	r.vouched(t)
}

const perDevice = `DeviceProcessEvents
| summarize Runs = count() by DeviceId`

// TestReplaceKeepsTheLastCompleteResult: the table is the last result that was
// complete; one that was not leaves it as it is.
func TestReplaceKeepsTheLastCompleteResult(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		tables := manyProcesses(70)
		r := newHuntRig(t, huntOptions{rigOptions: rigOptions{dialect: d}, tables: tables,
			hunts: []defsync.Hunt{{Name: "per_device", Query: perDevice, Mode: defsync.ModeReplace}}, cap: 100})
		r.sync(t)
		const read = `SELECT string_agg(device_id || ' ' || runs, ',' ORDER BY device_id) FROM hunting.per_device`
		if got := value[string](t, r.db, read); got != "dev0 10,dev1 10,dev2 10,dev3 10,dev4 10,dev5 10,dev6 10" {
			t.Errorf("the result is %s", got)
		}
		tables.Remove(processTable.Name, func(row defendersim.HuntRow) bool { return row.Values[1] == "dev3" })
		r.clock.advance(time.Minute)
		r.sync(t)
		want := "dev0 10,dev1 10,dev2 10,dev4 10,dev5 10,dev6 10"
		if got := value[string](t, r.db, read); got != want {
			t.Errorf("the second result is %s", got)
		}
		for i := range 120 {
			tables.AddRows(processTable.Name, defendersim.HuntRow{Ticks: int64(defendersim.TicksOf(r.clock.Now().Add(-time.Hour))), Values: []any{nil, fmt.Sprint("x", i)}})
		}
		r.clock.advance(time.Minute)
		if res := r.worker.Sync(t.Context(), "", nil)[0]; res.Outcome != defsync.OutcomeFailed || !strings.Contains(res.Err.Error(), "does not fit in one answer") {
			t.Errorf("a result that may be cut off ended %+v", res)
		}
		if got := value[string](t, r.db, read); got != want {
			t.Errorf("after a failure the result is %s", got)
		}
	})
}

// TestPartialResultReplacesNothing: the service says itself that rows are
// missing from a result. The one before stays.
func TestPartialResultReplacesNothing(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		r := newHuntRig(t, huntOptions{rigOptions: rigOptions{dialect: d}, tables: manyProcesses(70),
			hunts: []defsync.Hunt{{Name: "per_device", Query: perDevice, Mode: defsync.ModeReplace}}, cap: 100})
		r.sync(t)
		r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultPartial, Endpoint: endpointOf(d), Times: 1})
		r.clock.advance(time.Minute)
		if res := r.worker.Sync(t.Context(), "", nil)[0]; res.Outcome != defsync.OutcomeFailed || !strings.Contains(res.Err.Error(), "206") {
			t.Errorf("a partial result ended %+v", res)
		}
		if n := value[int64](t, r.db, `SELECT count(*) FROM hunting.per_device`); n != 7 {
			t.Errorf("%d devices are left of 7", n)
		}
	})
}

// weaknessTable has no time: each reading shows what is there now.
var weaknessTable = defendersim.HuntTable{Name: "DeviceTvmSoftwareVulnerabilities", Columns: []defendersim.HuntColumn{
	{Name: "DeviceId", Type: "string"}, {Name: "DeviceName", Type: "string"}, {Name: "OSPlatform", Type: "string"}, {Name: "OSVersion", Type: "string"},
	{Name: "SoftwareVendor", Type: "string"}, {Name: "SoftwareName", Type: "string"}, {Name: "SoftwareVersion", Type: "string"},
	{Name: "CveId", Type: "string"}, {Name: "VulnerabilitySeverityLevel", Type: "string"},
}}

func weakness(device, cve int, severity string) defendersim.HuntRow {
	return defendersim.HuntRow{Values: []any{fmt.Sprintf("dev%d", device), "host", "Windows11", "10.0", "contoso", "app", "1.0", fmt.Sprintf("CVE-2026-%04d", cve), severity}}
}

// TestSnapshotIsHistory reads a table without a time in slices, three times: rows
// that vanish are closed, that change are closed and opened, that return are
// opened anew, and those that stay are not touched.
func TestSnapshotIsHistory(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		tables := defendersim.NewHunting()
		tables.AddTable(weaknessTable)
		fill := func(from, to int, severity string) {
			var rows []defendersim.HuntRow
			for i := from; i < to; i++ {
				s := "Low"
				if i%10 == 0 {
					s = severity
				}
				rows = append(rows, weakness(i%7, i, s))
			}
			tables.Replace(weaknessTable.Name, rows...)
		}
		r := newHuntRig(t, huntOptions{rigOptions: rigOptions{dialect: d}, tables: tables,
			hunts: []defsync.Hunt{{Name: weaknessTable.Name, Table: weaknessTable.Name}}, cap: 100})
		pass := func(inserted, updated int64) {
			t.Helper()
			r.clock.advance(time.Hour)
			if res := r.sync(t)[0]; res.Inserted != inserted || res.Updated != updated {
				t.Errorf("%d inserted and %d updated, want %d and %d", res.Inserted, res.Updated, inserted, updated)
			}
		}
		const current = `SELECT count(*) FROM hunting.device_tvm_software_vulnerabilities_current`
		const versions = `SELECT count(*) FROM hunting.device_tvm_software_vulnerabilities`
		fill(0, 400, "Low")
		pass(400, 0)
		pass(0, 0)
		fill(0, 350, "High") // 50 vanish, 35 change
		r.clock.advance(time.Hour)
		r.sync(t)
		if c, v := value[int64](t, r.db, current), value[int64](t, r.db, versions); c != 350 || v != 435 {
			t.Errorf("%d current rows of %d versions, want 350 of 435", c, v)
		}
		fill(0, 400, "High") // 50 return
		r.clock.advance(time.Hour)
		r.sync(t)
		if c, v := value[int64](t, r.db, current), value[int64](t, r.db, versions); c != 400 || v != 485 {
			t.Errorf("%d current rows of %d versions, want 400 of 485", c, v)
		}
		r.vouched(t)
		off := r.sim.Inject(defendersim.Fault{Kind: defendersim.FaultPartial, Endpoint: endpointOf(d), Skip: 2})
		r.clock.advance(time.Hour)
		if res := r.worker.Sync(t.Context(), "", nil)[0]; res.Outcome != defsync.OutcomeFailed {
			t.Errorf("a reading that was not complete ended %+v", res)
		}
		off()
		if c := value[int64](t, r.db, current); c != 400 {
			t.Errorf("a reading that was not complete closed %d rows", 400-c)
		}
	})
}

// TestTableThatGrewIsReadInSlices: between its count and its reading a table
// grows over what one answer holds.
func TestTableThatGrewIsReadInSlices(t *testing.T) {
	tables := defendersim.NewHunting()
	tables.AddTable(weaknessTable)
	grow := func(from, to int) {
		for i := from; i < to; i++ {
			tables.AddRows(weaknessTable.Name, weakness(i%7, i, "Low"))
		}
	}
	grow(0, 80)
	opt := huntOptions{tables: tables, hunts: []defsync.Hunt{{Name: weaknessTable.Name, Table: weaknessTable.Name}}, cap: 100}
	opt.sim.OnAnswer = func(n int) {
		if n == 1 {
			grow(80, 250)
		}
	}
	r := newHuntRig(t, opt)
	r.sync(t)
	if n := value[int64](t, r.db, `SELECT count(*) FROM hunting.device_tvm_software_vulnerabilities_current`); n != 250 {
		t.Errorf("%d rows of 250 are stored", n)
	}
}

// TestNewColumns: a column that is new at the source is added, left out, or stops
// the stream, as the configuration says; values before it was there stay.
func TestNewColumns(t *testing.T) {
	for policy, want := range map[string]bool{"add": true, "ignore": false} {
		t.Run(policy, func(t *testing.T) {
			tables := manyProcesses(30)
			r := newHuntRig(t, huntOptions{tables: tables, hunts: []defsync.Hunt{{Name: processTable.Name, Table: processTable.Name, OnNewColumn: policy}}})
			r.sync(t)
			tables.AddColumn(processTable.Name, defendersim.HuntColumn{Name: "ProcessVersionInfo", Type: "string"})
			row := process(r.clock.Now().Add(time.Minute), 5000)
			row.Values = append(row.Values, "new")
			tables.AddRows(processTable.Name, row)
			r.clock.advance(time.Hour)
			r.sync(t)
			const has = `SELECT count(*) = 1 FROM information_schema.columns WHERE table_schema = 'hunting' AND column_name = 'process_version_info'`
			if got := value[bool](t, r.db, has); got != want {
				t.Errorf("the column is there: %v, want %v", got, want)
			}
			if n := value[int64](t, r.db, `SELECT count(*) FROM hunting.device_process_events`); n != 31 {
				t.Errorf("%d rows, want 31", n)
			}
			if n := value[int64](t, r.db, `SELECT count(*) FROM sync.schema_changes WHERE property LIKE '%ProcessVersionInfo%'`); n != 1 {
				t.Errorf("%d schema changes are recorded, want one", n)
			}
		})
	}
	t.Run("fail", func(t *testing.T) {
		tables := manyProcesses(30)
		r := newHuntRig(t, huntOptions{tables: tables, hunts: []defsync.Hunt{{Name: processTable.Name, Table: processTable.Name, OnNewColumn: "fail"}}})
		r.sync(t)
		tables.AddColumn(processTable.Name, defendersim.HuntColumn{Name: "ProcessVersionInfo", Type: "string"})
		r.clock.advance(time.Hour)
		res := r.worker.Sync(t.Context(), "", nil)[0]
		if _, ok := errors.AsType[*store.NewColumnError](res.Err); !ok || res.Outcome != defsync.OutcomeFailed {
			t.Errorf("the pass ended %+v", res)
		}
	})
}

// TestPrivateColumns: what is dropped is not even asked for, and what is hashed
// is nowhere in clear.
func TestPrivateColumns(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		r := newHuntRig(t, huntOptions{rigOptions: rigOptions{dialect: d}, tables: manyProcesses(30),
			hunts: []defsync.Hunt{{Name: processTable.Name, Table: processTable.Name, Drop: []string{"processcommandline"}, Hash: []string{"devicename"}}}})
		r.sync(t)
		for _, q := range r.huntCalls(0) {
			if fetches := !strings.Contains(q.Query, "summarize"); fetches && !strings.HasSuffix(q.Query, "| project-away ProcessCommandLine") {
				t.Errorf("sent %q", q.Query)
			}
		}
		if n := value[int64](t, r.db, `SELECT count(DISTINCT device_name) FROM hunting.device_process_events WHERE device_name ~ '^[0-9a-f]{64}$'`); n != 1 {
			t.Errorf("%d different hashes of one name", n)
		}
		if n := value[int64](t, r.db, `SELECT count(*) FROM information_schema.columns WHERE table_schema = 'hunting' AND column_name = 'process_command_line'`); n != 0 {
			t.Error("the dropped column is there")
		}
	})
}

// TestQueryAboutThePresent: a query that says ago(1h) cannot be asked about what
// is longer ago. After an outage that is told, and not stored as empty hours.
func TestQueryAboutThePresent(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		tables := manyProcesses(500)
		r := newHuntRig(t, huntOptions{rigOptions: rigOptions{dialect: d}, tables: tables,
			hunts: []defsync.Hunt{{Name: "recent", Query: "DeviceProcessEvents\n| where Timestamp > ago(1h)"}}})
		r.sync(t)
		left := r.clock.Now().Add(-2 * time.Minute)
		for i := range 72 {
			tables.AddRows(processTable.Name, process(r.clock.Now().Add(time.Duration(i)*time.Hour), 5000+i))
		}
		r.clock.advance(3 * 24 * time.Hour)
		res := r.worker.Sync(t.Context(), "", nil)[0]
		if res.Outcome != defsync.OutcomePartial || res.Gaps != 1 {
			t.Fatalf("the pass ended %+v", res)
		}
		gap := query[struct {
			From, To time.Time
			Reason   string
		}](t, r.db, `SELECT from_time, to_time, reason FROM sync.gaps`)[0]
		seen := r.clock.Now().Add(-time.Hour)
		if !gap.From.Equal(left) || gap.To.Before(seen) || gap.To.After(seen.Add(time.Second)) || !strings.Contains(gap.Reason, "ago() (line 2)") {
			t.Errorf("gap %v, want from %s to %s", gap, left, seen)
		}
		r.vouched(t)
		r.clock.advance(10 * time.Minute)
		if again := r.worker.Sync(t.Context(), "", nil)[0]; again.Gaps != 1 || again.Calls > 2 {
			t.Errorf("what cannot be seen was asked for again: %+v", again)
		}
	})
}

// TestSlicesOfDroppedColumns: rows that are equal in what is left of them are
// counted, and so have to come in one slice.
func TestSlicesOfDroppedColumns(t *testing.T) {
	tables := defendersim.NewHunting()
	tables.AddTable(evidenceTable)
	at := int64(defendersim.TicksOf(newClock().Now().Add(-time.Hour)))
	for i := range 300 {
		tables.AddRows(evidenceTable.Name, defendersim.HuntRow{Ticks: at, Values: []any{nil, fmt.Sprint("da", i%5), "File", "ab", int64(i), 1.5, nil}})
	}
	r := newHuntRig(t, huntOptions{tables: tables, hunts: []defsync.Hunt{{Name: evidenceTable.Name, Table: evidenceTable.Name, Drop: []string{"FileSize"}}}, cap: 100})
	r.sync(t)
	if n := value[int64](t, r.db, `SELECT count(*) FROM hunting.alert_evidence`); n != 300 {
		t.Errorf("%d rows are stored, want 300", n)
	}
}
