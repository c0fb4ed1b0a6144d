package sync_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	defsync "defendersync/sync"
	"defendersync/sync/defendersim"
)

// TestEveryKnownTable names every table that Microsoft documents, and one that
// nobody does, and reads each: the columns that the reference lists arrive with
// their values, under the key and the mode that fit it.
func TestEveryKnownTable(t *testing.T) {
	tables, hunts := documentedTables(t)
	tables.AddTable(defendersim.HuntTable{Name: "Contoso_CL", Time: "TimeGenerated", Columns: []defendersim.HuntColumn{
		{Name: "TimeGenerated", Type: "datetime"}, {Name: "Message_s", Type: "string"}}})
	tables.AddRows("Contoso_CL", defendersim.HuntRow{Ticks: int64(defendersim.TicksOf(newClock().Now().Add(-time.Hour))), Values: []any{nil, "hello"}})
	hunts = append(hunts, defsync.Hunt{Name: "Contoso_CL", Table: "Contoso_CL", TimeColumn: "TimeGenerated"})
	r := newHuntRig(t, huntOptions{tables: tables, hunts: hunts, cap: 1000})
	r.sync(t)
	r.huntEqualsSource(t)
	for _, res := range r.sync(t) {
		if res.Inserted+res.Updated > 0 {
			t.Errorf("%s: %d rows written by a second pass", res.Stream, res.Inserted+res.Updated)
		}
	}
}

// documentedTables are the reference's tables with twenty rows each.
func documentedTables(t *testing.T) (*defendersim.HuntTables, []defsync.Hunt) {
	t.Helper()
	fixtures := os.Getenv("DEFENDERSYNC_FIXTURES")
	if fixtures == "" {
		fixtures = filepath.Join("..", "..", "shared", "fixtures")
	}
	body, err := os.ReadFile(filepath.Join(fixtures, "..", "reference", "hunting_tables.json"))
	if os.IsNotExist(err) {
		t.Skipf("the reference of hunting tables is not here, so none was read: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	var reference map[string]struct {
		Time    *string
		Columns [][]string
	}
	if err := json.Unmarshal(body, &reference); err != nil {
		t.Fatal(err)
	}
	tables := defendersim.NewHunting()
	var hunts []defsync.Hunt
	for name, table := range reference {
		sim := defendersim.HuntTable{Name: name}
		if table.Time != nil {
			sim.Time = *table.Time
		}
		for _, c := range table.Columns {
			sim.Columns = append(sim.Columns, defendersim.HuntColumn{Name: c[0], Type: c[1]})
		}
		tables.AddTable(sim)
		for i := range 20 {
			tables.AddRows(name, sampleRow(sim, i))
		}
		hunts = append(hunts, defsync.Hunt{Name: name, Table: name})
	}
	slices.SortFunc(hunts, func(a, b defsync.Hunt) int { return len(a.Name) - len(b.Name) })
	return tables, hunts
}

// sampleRow has a value of its type in every column.
func sampleRow(table defendersim.HuntTable, i int) defendersim.HuntRow {
	row := defendersim.HuntRow{}
	if table.Time != "" {
		row.Ticks = int64(defendersim.TicksOf(newClock().Now().Add(-time.Duration(i+1) * time.Hour)))
	}
	for _, c := range table.Columns {
		var v any
		switch c.Type {
		case "datetime":
			v = defendersim.HuntTicks(defendersim.TicksOf(newClock().Now().Add(-time.Duration(i) * time.Minute)))
		case "bool":
			v = i%2 == 0
		case "int":
			v = int64(i)
		case "long":
			v = int64(1)<<53 + int64(i)
		case "real":
			v = float64(i) / 4
		case "dynamic":
			v = json.RawMessage(fmt.Sprintf(`[{"n":%d}]`, i))
		case "guid":
			v = fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
		case "decimal":
			v = fmt.Sprintf("%d.5", i)
		case "timespan":
			v = "1.02:03:04.5000000"
		default:
			v = fmt.Sprintf("%s %d", c.Name, i)
		}
		row.Values = append(row.Values, v)
	}
	return row
}
