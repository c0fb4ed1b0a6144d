package store_test

import (
	"testing"
	"time"

	"defendersync/store"
)

var device = store.HuntSpec{TimeColumn: "Timestamp", Key: []string{"DeviceId", "Timestamp", "ReportId"}, AutoMigrate: true}

var deviceColumns = columns("Timestamp", "DateTime", "DeviceId", "String", "ReportId", "Int64", "FileName", "String")

// event makes a row of deviceColumns.
func event(second int, report, file string) row {
	return row{
		"Timestamp": quoted(t0.Add(time.Duration(second) * time.Second).Format("2006-01-02T15:04:05.0000007Z")),
		"DeviceId":  `"d1"`, "ReportId": report, "FileName": quoted(file),
	}
}

// A row is stored once, again when it has changed, and not again when it has not.
func TestHuntEvents(t *testing.T) {
	h := newHunter(t, device)
	if got, want := h.answer(deviceColumns, event(1, "1", "a.exe"), event(2, "2", `c:\b.exe`)), (store.Counts{Inserted: 2}); got != want {
		t.Errorf("first: %+v, want %+v", got, want)
	}
	h.want(`SELECT "timestamp", device_id, report_id, file_name, extra IS NULL FROM hunting.device_events ORDER BY report_id`,
		`2026-11-01 00:00:01 +0000 UTC d1 1 a.exe true`, `2026-11-01 00:00:02 +0000 UTC d1 2 c:\b.exe true`)
	if got, want := h.answer(deviceColumns, event(1, "1", "a.exe"), event(2, "2", `c.exe`), event(3, "3", "")), (store.Counts{Inserted: 1, Updated: 1, Unchanged: 1}); got != want {
		t.Errorf("again: %+v, want %+v", got, want)
	}
	h.want(`SELECT report_id, file_name FROM hunting.device_events ORDER BY report_id`, "1 a.exe", "2 c.exe", "3 ")
	h.want(`SELECT rows, revision FROM sync.checkpoints`, "3 2")
}
