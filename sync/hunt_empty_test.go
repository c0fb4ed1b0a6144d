package sync_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	defsync "defendersync/sync"
	"defendersync/sync/defendersim"
)

// inventoryTable is a documented table without a time.
var inventoryTable = defendersim.HuntTable{Name: "DeviceTvmSoftwareInventory", Columns: []defendersim.HuntColumn{
	{Name: "DeviceId", Type: "string"}, {Name: "SoftwareVendor", Type: "string"}, {Name: "SoftwareName", Type: "string"},
	{Name: "SoftwareVersion", Type: "string"}, {Name: "EndOfSupportStatus", Type: "string"},
}}

// inventory has n rows, each its own by the documented key.
func inventory(n int) []defendersim.HuntRow {
	var rows []defendersim.HuntRow
	for i := range n {
		rows = append(rows, defendersim.HuntRow{Values: []any{fmt.Sprintf("dev%d", i%7), "contoso", fmt.Sprintf("app%d", i), fmt.Sprintf("1.%d", i%5), "supported"}})
	}
	return rows
}

// TestEmptyResultIsWarnedOf: a whole result that had rows comes back empty, as it
// does when a licence has ended. What was said is stored, and is told as a
// silence is: by the run, by each one after it, and by the status.
func TestEmptyResultIsWarnedOf(t *testing.T) {
	for _, mode := range []defsync.Mode{defsync.ModeReplace, defsync.ModeSnapshot} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			tables := defendersim.NewHunting()
			tables.AddTable(inventoryTable)
			r := newHuntRig(t, huntOptions{tables: tables, hunts: []defsync.Hunt{{Name: inventoryTable.Name, Table: inventoryTable.Name, Mode: mode}}})
			warned := func(want bool) {
				t.Helper()
				for range 2 {
					r.clock.advance(5 * time.Minute)
					if res := r.sync(t)[0]; strings.Contains(res.Warning, "is empty, and had rows as late as") != want {
						t.Errorf("the run warns: %q", res.Warning)
					}
					if said := value[string](t, r.db, `SELECT coalesce(warning, '') FROM sync.runs ORDER BY started_at DESC LIMIT 1`); (said != "") != want {
						t.Errorf("sync.runs warns: %q", said)
					}
					if all := r.huntWarnings(t); (len(all) > 0) != want || want && all[0].Kind != defsync.WarningSilence {
						t.Errorf("the status warns: %v", all)
					}
				}
			}
			warned(false) // a new stream may be empty
			tables.AddRows(inventoryTable.Name, inventory(200)...)
			warned(false)
			tables.Replace(inventoryTable.Name)
			warned(true)
			if n := value[int64](t, r.db, `SELECT rows FROM sync.coverage ORDER BY from_time DESC LIMIT 1`); n != 0 {
				t.Errorf("the last result has %d rows", n)
			}
			tables.AddRows(inventoryTable.Name, inventory(1)...)
			warned(false)
		})
	}
}

// huntWarnings are those in the status of the rig's one hunting stream.
func (r *rig) huntWarnings(t *testing.T) []defsync.Warning {
	t.Helper()
	tenant := defsync.Tenant{Name: "contoso", ID: r.app.TenantID, Streams: r.huntStreams(defsync.Schedule{}, 0)}
	status, err := defsync.ReadStatus(t.Context(), r.store, []defsync.Tenant{tenant}, nil, r.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return status.Tenants[0].Streams[0].Warnings
}
