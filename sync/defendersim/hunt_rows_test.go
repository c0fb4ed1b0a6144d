package defendersim_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"defendersync/sync/defendersim"
)

const kqlTime = "2006-01-02T15:04:05.0000000Z"

// wireTable reads as the product asks: a whole table in a window.
func wireTable(table string, from, to time.Time) string {
	return fmt.Sprintf("%s\n| where Timestamp >= datetime(%s) and Timestamp < datetime(%s)", table, from.Format(kqlTime), to.Format(kqlTime))
}

// multiset counts equal rows.
func multiset(cells []string) map[string]int {
	m := map[string]int{}
	for _, c := range cells {
		m[c]++
	}
	return m
}

// TestWindowsPartition cuts the history at random instants, some of them rows'
// own, and finds each row in exactly one window, as often as it is there.
func TestWindowsPartition(t *testing.T) {
	for seed := range uint64(2) {
		c := newClock()
		h := defendersim.DemoHunting(seed, c.Now(), 1)
		s := serve(t, defendersim.Options{Hunting: h})
		r := rand.New(rand.NewPCG(seed, 1))
		rows := h.Rows("DeviceProcessEvents", c.Now())
		begin := c.Now().Add(-30 * 24 * time.Hour)
		cuts := []time.Time{begin, c.Now()}
		for range 12 {
			cuts = append(cuts, begin.Add(time.Duration(r.Int64N(int64(30*24*time.Hour)))).Truncate(100), defendersim.HuntTicks(rows[r.IntN(len(rows))].Ticks).Time())
		}
		slices.SortFunc(cuts, time.Time.Compare)
		var parts []string
		for i, to := range cuts[1:] {
			parts = append(parts, s.ask(graphHunt, wireTable("DeviceProcessEvents", cuts[i], to), "P30D").cells()...)
		}
		whole := s.ask(olderHunt, "DeviceProcessEvents").cells()
		if len(whole) != len(rows) || !maps.Equal(multiset(parts), multiset(whole)) {
			t.Errorf("seed %d: %d rows in windows, %d in all, %d in truth", seed, len(parts), len(whole), len(rows))
		}
	}
}

// TestHashPartitions finds each row in exactly one part, the same ones when
// asked again, and the parts about equal.
func TestHashPartitions(t *testing.T) {
	c := newClock()
	s := serve(t, defendersim.Options{Hunting: defendersim.DemoHunting(2, c.Now(), 1)})
	for _, table := range []string{"DeviceLogonEvents", "DeviceTvmSoftwareVulnerabilities", "AlertEvidence"} {
		whole := s.ask(graphHunt, table).cells()
		var parts []string
		for k := range 4 {
			query := fmt.Sprintf("%s\n| where hash(tostring(pack_all()), 4) == %d", table, k)
			part := s.ask(graphHunt, query).cells()
			if again := s.ask(olderHunt, query+" // again").sortedCells(); !slices.Equal(again, slices.Sorted(slices.Values(part))) {
				t.Errorf("%s: part %d is not what it was", table, k)
			}
			if len(part) < len(whole)/8 || len(part) > len(whole)/2 {
				t.Errorf("%s: part %d has %d of %d rows", table, k, len(part), len(whole))
			}
			parts = append(parts, part...)
		}
		if !maps.Equal(multiset(parts), multiset(whole)) {
			t.Errorf("%s: the parts are not the whole", table)
		}
	}
}

// TestCountsMatch asks for the counts that a plan is made of.
func TestCountsMatch(t *testing.T) {
	c := newClock()
	h := defendersim.DemoHunting(2, c.Now(), 1)
	s := serve(t, defendersim.Options{Hunting: h})
	want := map[string]int{}
	for _, r := range h.Rows("EmailEvents", c.Now()) {
		want[defendersim.HuntTicks(r.Ticks).Time().Truncate(time.Hour).Format(time.RFC3339)]++
	}
	got := map[string]int{}
	from := c.Now().Add(-30 * 24 * time.Hour)
	for _, r := range s.ask(graphHunt, wireTable("EmailEvents", from, c.Now())+"\n| summarize Rows = count() by Hour = bin(Timestamp, 1h)").Results {
		n := 0
		if _, err := fmt.Sscan(fmt.Sprint(r["Rows"]), &n); err != nil {
			t.Fatal(err)
		}
		got[r["Hour"].(string)] = n
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestNoOrder finds the rows of a whole table in an order that is not the
// time's, but the same for the same query.
func TestNoOrder(t *testing.T) {
	c := newClock()
	s := serve(t, defendersim.Options{Hunting: defendersim.DemoHunting(2, c.Now(), 1)})
	a := s.ask(graphHunt, "EmailEvents | project Timestamp, ReportId").cells()
	b := s.ask(graphHunt, "EmailEvents | project Timestamp, ReportId").cells()
	if slices.IsSorted(a) || !slices.Equal(a, b) {
		t.Error("the order is the time's, or changes")
	}
	if c := s.ask(graphHunt, "EmailEvents | project Timestamp, ReportId // x").cells(); slices.Equal(a, c) {
		t.Error("another query has the same order")
	}
}

// TestCostIsOfTheWindow looks at no more rows than the time allows.
func TestCostIsOfTheWindow(t *testing.T) {
	c := newClock()
	h := defendersim.NewHunting()
	h.AddTable(defendersim.HuntTable{Name: "Big", Time: "At", Columns: []defendersim.HuntColumn{{"At", "datetime"}}})
	var rows []defendersim.HuntRow
	for i := range 100_000 {
		rows = append(rows, defendersim.HuntRow{Ticks: c.at(time.Duration(100_000-i) * time.Second)})
	}
	h.AddRows("Big", rows...)
	s := serve(t, defendersim.Options{Hunting: h})
	for query, looked := range map[string]int{
		"Big | count": 100_000,
		"Big | where At >= datetime(2026-11-22T11:00:00Z) and At < datetime(2026-11-22T11:10:00Z)":                                                             600,
		"let Big = Big | where At >= datetime(2026-11-22T11:00:00Z) and At < datetime(2026-11-22T11:10:00Z);\nBig | where At > datetime(2026-11-22T11:09:50Z)": 10,
		"Big | where At between (datetime(2026-11-22T11:00:00.1234567Z) .. 1m) | count":                                                                        100_000, // not a time
		"Big | where At between (datetime(2026-11-22T11:00:00.1234567Z) .. datetime(2026-11-22T11:01:00.1234567Z)) | count":                                    61,
		"Big | where ago(1m) <= At | count":                        60,
		"Big | where At == datetime(2026-11-22T11:00:00.1234567Z)": 1,
		"Big | where At < datetime(2020-01-01) | count":            0,
		"Big | extend At = At + 1h | where At > ago(1m) | count":   100_000,
	} {
		before := s.sim.HuntingCPU()
		s.ask(olderHunt, query)
		if cost := s.sim.HuntingCPU() - before; cost != defendersim.HuntCost(looked) {
			t.Errorf("%s: %v, want %v", query, cost, defendersim.HuntCost(looked))
		}
	}
}

func TestLateRows(t *testing.T) {
	s := huntTenant(t, defendersim.Options{})
	at := s.clock.at(26 * time.Hour)
	s.sim.Hunting().AddRows("DeviceEvents", defendersim.HuntRow{Ticks: at, Visible: s.clock.Now().Add(time.Hour), Values: []any{nil, "late"}})
	count := func() string {
		return s.ask(olderHunt, "DeviceEvents | where DeviceName == 'late' | count").cells()[0]
	}
	if n, rows := count(), s.sim.Hunting().Rows("DeviceEvents", s.clock.Now()); n != "0" || len(rows) != 3 {
		t.Errorf("too early: %s, %d rows", n, len(rows))
	}
	s.clock.Advance(time.Hour)
	if n, rows := count(), s.sim.Hunting().Rows("DeviceEvents", s.clock.Now()); n != "1" || len(rows) != 4 || rows[0].Ticks != at {
		t.Errorf("in time: %s, %d rows", n, len(rows))
	}
	if n := len(s.sim.Hunting().Rows("DeviceEvents", time.Time{})); n != 4 {
		t.Errorf("%d rows in all", n)
	}
}

func TestRowsChange(t *testing.T) {
	s := kqlTenant(t)
	h := s.sim.Hunting()
	names := func() string { return strings.Join(s.ask(graphHunt, "Soft | project Name").sortedCells(), " ") }
	if n := h.Remove("Soft", func(r defendersim.HuntRow) bool { return r.Values[0] == "x" }); n != 1 || names() != "y" {
		t.Errorf("removed %d, left %s", n, names())
	}
	h.Replace("Soft", defendersim.HuntRow{Values: []any{"z"}}, defendersim.HuntRow{Values: []any{"z"}})
	if names() != "z z" {
		t.Errorf("replaced: %s", names())
	}
	defer func() {
		if recover() == nil {
			t.Error("a table that is not there takes rows")
		}
	}()
	h.AddRows("Hard", defendersim.HuntRow{})
}

func TestSchemaChanges(t *testing.T) {
	s := kqlTenant(t)
	h := s.sim.Hunting()
	h.AddColumn("E", defendersim.HuntColumn{Name: "New", Type: "int"})
	h.AddRows("E", defendersim.HuntRow{Ticks: s.clock.at(time.Minute), Values: []any{nil, "d", int64(1 << 60), nil, "", int64(8)}})
	h.SetColumnType("E", "N", "string")
	f := s.ask(olderHunt, "E | where New == 8 or Host == 'c'")
	if last := f.Schema[5]; last.Name != "New" || last.Type != "Int32" || f.Schema[2].Type != "String" {
		t.Errorf("schema %v", f.Schema)
	}
	if want := []string{"2026-11-22T10:00:00.0000001Z|c|-4|true|encoded|<nil>", "2026-11-22T11:59:00.1234567Z|d|1152921504606846976|<nil>||8"}; !slices.Equal(f.sortedCells(), want) ||
		!strings.Contains(f.text, `"N":"1152921504606846976"`) {
		t.Errorf("got %s", f.text)
	}
	if _, ok := f.Results[0]["N"].(string); !ok {
		t.Errorf("N is a %T", f.Results[0]["N"])
	}
	if got := h.Table("E"); len(got.Columns) != 6 || got.Time != "Timestamp" || !slices.Equal(h.Tables(), []string{"E", "Soft"}) {
		t.Errorf("%+v of %v", got, h.Tables())
	}
}
