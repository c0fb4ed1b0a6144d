package sync_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	defsync "defendersync/sync"
	"defendersync/sync/defendersim"
)

// TestMisspeltColumns: a column that a setting names and the answer does not have
// stops the stream before a table is made. Rows would be folded, or what is private
// stored in clear.
func TestMisspeltColumns(t *testing.T) {
	const all = "DeviceProcessEvents"
	for name, h := range map[string]defsync.Hunt{
		"key":          {Name: "enc", Query: all, Key: []string{"DeviceId", "TimeStmp"}},
		"key, ranges":  {Name: "enc", Query: all, Mode: defsync.ModeSnapshot, Key: []string{"Nope"}},
		"key, replace": {Name: "enc", Query: all, Mode: defsync.ModeReplace, Key: []string{"Nope"}},
		"key, table":   {Name: all, Table: all, Key: []string{"DeviceId", "TimeStmp"}},
		"columns.hash": {Name: "enc", Query: all, Hash: []string{"DeviceNam"}},
		"columns.drop": {Name: "enc", Query: all, Drop: []string{"DeviceNam"}},
		"time_column":  {Name: "enc", Query: all, Key: []string{"DeviceId"}, TimeColumn: "TimeStmp"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newHuntRig(t, huntOptions{tables: manyProcesses(200), hunts: []defsync.Hunt{h}})
			res := r.worker.Sync(t.Context(), "", nil)[0]
			setting, _, _ := strings.Cut(name, ",")
			var unknown *defsync.UnknownColumnError
			if res.Outcome != defsync.OutcomeFailed || !errors.As(res.Err, &unknown) || unknown.Setting != setting || unknown.Stream != res.Stream {
				t.Errorf("the pass ended %+v", res)
			}
			if !strings.Contains(value[string](t, r.db, `SELECT error FROM sync.runs`), setting+" names "+unknown.Column+", which the answer does not have") {
				t.Errorf("sync.runs says %v", res.Err)
			}
			if n := value[int64](t, r.db, `SELECT (SELECT count(*) FROM pg_tables WHERE schemaname = 'hunting') + (SELECT count(*) FROM sync.hunting_parts)`); n != 0 {
				t.Errorf("%d tables or parts were stored", n)
			}
		})
	}
}

// TestKeyIsLeftOut: the service leaves a documented column of a table's key out,
// and serves it again. The stream goes on, every row is kept, and the runs and the
// status say what may be there twice.
func TestKeyIsLeftOut(t *testing.T) {
	for name, h := range map[string]defsync.Hunt{
		"documented": {Name: processTable.Name, Table: processTable.Name},
		"configured": {Name: processTable.Name, Table: processTable.Name, Key: []string{"DeviceId", "ReportId"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tables := defendersim.NewHunting()
			r := newHuntRig(t, huntOptions{tables: tables, hunts: []defsync.Hunt{h}})
			less := processTable
			less.Columns = less.Columns[:len(less.Columns)-1] // ReportId
			id := 0
			serve := func(table defendersim.HuntTable, warned bool) {
				t.Helper()
				r.clock.advance(6 * time.Hour) // what the last pass has read is not read again
				tables.AddTable(table)
				at := r.clock.Now().Add(-time.Hour)
				for i := range 200 {
					row := process(at, 7*(id+i/2)) // of one device, at one time, and each twice but for its ReportId
					row.Values[11] = int64(1000*id + i)
					row.Values = row.Values[:len(table.Columns)]
					tables.AddRows(table.Name, row)
				}
				id += 200
				for range 2 {
					r.clock.advance(time.Minute)
					res := r.sync(t)[0]
					if got := strings.Contains(res.Warning, "the service leaves out ReportId"); got != warned {
						t.Errorf("the run warns: %q", res.Warning)
					}
					all := r.huntWarnings(t)
					if (len(all) > 0) != warned || warned && all[0].Kind != defsync.WarningRun {
						t.Errorf("the status warns: %v", all)
					}
					if n := value[int64](t, r.db, `SELECT count(*) FROM hunting.device_process_events`); n != int64(id) {
						t.Errorf("%d rows are stored, want %d", n, id)
					}
				}
			}
			serve(processTable, false)
			serve(less, true)
			serve(processTable, false)
		})
	}
}

// TestKeyOfASnapshotIsLeftOut: the rows that are valid are those of the result,
// whatever of their key is in it.
func TestKeyOfASnapshotIsLeftOut(t *testing.T) {
	tables := defendersim.NewHunting()
	r := newHuntRig(t, huntOptions{tables: tables, hunts: []defsync.Hunt{{Name: inventoryTable.Name, Table: inventoryTable.Name}}})
	less := inventoryTable
	less.Columns = less.Columns[:2] // of the key
	for _, table := range []defendersim.HuntTable{inventoryTable, less, inventoryTable} {
		tables.AddTable(table)
		for _, row := range inventory(200) {
			row.Values = row.Values[:len(table.Columns)]
			tables.AddRows(table.Name, row)
		}
		r.clock.advance(5 * time.Minute)
		res := r.sync(t)[0]
		if warned := strings.Contains(res.Warning, "the service leaves out SoftwareName, SoftwareVersion"); warned != (len(table.Columns) == 2) {
			t.Errorf("the run warns: %q", res.Warning)
		}
		if n := value[int64](t, r.db, `SELECT count(*) FROM hunting.device_tvm_software_inventory_current`); n != 200 {
			t.Errorf("%d rows are valid, want 200", n)
		}
	}
}

// TestBackfillTellsOfTheKey: a backfill's readers meet the same answers.
func TestBackfillTellsOfTheKey(t *testing.T) {
	less := processTable
	less.Columns = less.Columns[:len(less.Columns)-1]
	tables := defendersim.NewHunting()
	tables.AddTable(less)
	r := newHuntRig(t, huntOptions{tables: tables, hunts: []defsync.Hunt{{Name: less.Name, Table: less.Name}}, rigOptions: rigOptions{start: 1}})
	now := r.clock.Now()
	res := r.worker.Backfill(t.Context(), defsync.BackfillRequest{Stream: "hunting/device_process_events", From: now.Add(-10 * 24 * time.Hour), To: now})[0]
	if strings.Count(res.Warning, "the service leaves out ReportId") != 1 {
		t.Errorf("the backfill ended %+v", res)
	}
}
