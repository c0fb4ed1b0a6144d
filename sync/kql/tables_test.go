package kql

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// TestTablesAreAsDocumented compares the table with the reference that was
// collected from the documentation.
func TestTablesAreAsDocumented(t *testing.T) {
	var documented map[string]struct {
		Kind    string
		Time    string
		Key     []string
		Mutable any
		Columns [][]string
	}
	if err := json.Unmarshal(sharedFile(t, "..", "reference", "hunting_tables.json"), &documented); err != nil {
		t.Fatal(err)
	}
	var want []Table
	documented["GraphApiAuditEvents"] = documented["GraphAPIAuditEvents"] // which is spelled in two ways
	for name, d := range documented {
		var columns []string
		for _, c := range d.Columns {
			columns = append(columns, c[0])
		}
		if diff := gocmp.Diff(columns, Columns(name)); diff != "" {
			t.Errorf("the columns of %s are not as documented (-documented +ours):\n%s", name, diff)
		}
		want = append(want, Table{Name: name, Time: d.Time, Key: d.Key, Mutable: d.Mutable != nil, Snapshot: d.Kind == "snapshot" || d.Kind == "kb"})
	}
	slices.SortFunc(want, func(a, b Table) int { return cmp.Compare(a.Name, b.Name) })
	if diff := gocmp.Diff(want, Tables()); diff != "" {
		t.Errorf("the tables are not as documented (-documented +ours):\n%s", diff)
	}
}

func TestTablesHoldTogether(t *testing.T) {
	all := Tables()
	if !slices.IsSortedFunc(all, func(a, b Table) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the tables are not in the order that Lookup searches by")
	}
	timeless := 0
	for _, table := range all {
		if found, ok := Lookup(table.Name); !ok || found.Name != table.Name {
			t.Errorf("Lookup(%q) = %v, %v", table.Name, found, ok)
		}
		if table.Time == "" {
			timeless++
			if !table.Snapshot {
				t.Errorf("%s has no time and is not a snapshot: it could not be read at all", table.Name)
			}
		}
		for _, c := range append(slices.Clone(table.Key), table.Time) {
			if c != "" && !slices.Contains(Columns(table.Name), c) {
				t.Errorf("%s has no column %s", table.Name, c)
			}
		}
		if !plain(table.Name) || table.Time != "" && !plain(table.Time) {
			t.Errorf("%s or its time %q would be written in brackets", table.Name, table.Time)
		}
	}
	if timeless != 15 || len(all) != 66 {
		t.Errorf("%d tables, %d without a time; want 66 and 15", len(all), timeless)
	}
}

func TestLookup(t *testing.T) {
	for name, want := range map[string]Table{
		"DeviceProcessEvents":    {Name: "DeviceProcessEvents", Time: "Timestamp", Key: []string{"DeviceId", "Timestamp", "ReportId"}},
		"CallActivityEvents":     {Name: "CallActivityEvents", Time: "ActivityTimestamp", Key: []string{"ActivityId"}},
		"AlertEvidence":          {Name: "AlertEvidence", Time: "Timestamp"},
		"ExposureGraphNodes":     {Name: "ExposureGraphNodes", Key: []string{"NodeId"}, Snapshot: true},
		"DeviceTvmInfoGathering": {Name: "DeviceTvmInfoGathering", Time: "Timestamp", Key: []string{"DeviceId"}, Snapshot: true},
		"EmailEvents": {Name: "EmailEvents", Time: "Timestamp", Mutable: true,
			Key: []string{"NetworkMessageId", "RecipientEmailAddress", "ReportId"}},
		"GraphApiAuditEvents": {Name: "GraphApiAuditEvents", Time: "Timestamp", Key: []string{"ReportId"}},
		"GraphAPIAuditEvents": {Name: "GraphAPIAuditEvents", Time: "Timestamp", Key: []string{"ReportId"}},
	} {
		got, ok := Lookup(name)
		if diff := gocmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("Lookup(%q): found %v, -want +got:\n%s", name, ok, diff)
		}
	}
	for _, name := range []string{"", "deviceprocessevents", "DeviceProcessEvent", "DeviceProcessEventsX", "GRAPHAPIAuditEvents"} {
		if table, ok := Lookup(name); ok {
			t.Errorf("Lookup(%q) found %s", name, table.Name)
		}
		if all := Columns(name); all != nil {
			t.Errorf("Columns(%q) found %q", name, all)
		}
	}
}

func TestTablesAreACopy(t *testing.T) {
	Tables()[0].Name = "changed"
	if Tables()[0].Name == "changed" {
		t.Error("a caller changed the table of tables")
	}
}
