package defendersim

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"
)

// HuntTables is the tables that advanced hunting answers from. It changes only
// when told to. It is safe for concurrent use.
//
// Its methods panic when they name a table or a column that does not exist:
// it is filled by demos and tests, and theirs is the mistake.
type HuntTables struct {
	mu     sync.RWMutex
	tables map[string]*huntTable
	demo   *huntDemo // what LiveStep draws from; nil outside of a demo
}

// HuntTable describes a table of advanced hunting.
type HuntTable struct {
	Name    string
	Time    string // the column that the rows' Ticks are of; "" for a table without a time
	Columns []HuntColumn
}

// HuntColumn is a column and its Kusto type: datetime, string, bool, int,
// long, real, decimal, guid, timespan or dynamic. Any other type is served
// as the name that it is.
type HuntColumn struct{ Name, Type string }

// HuntRow is one row.
type HuntRow struct {
	Ticks   int64     // of the table's Time column: 100 ns since 1970; 0 in a table without one
	Visible time.Time // queries before that do not see the row; zero: they all do
	// Values come in the order of the columns: nil, string, bool, int64,
	// uint64, float64, HuntTicks, or json.RawMessage. A decimal, guid or
	// timespan is a string; so may a datetime be. A json.RawMessage is served
	// as it is in whatever column it stands, so it need not be JSON at all.
	// Missing values at the end are null. The Time column's value is made from
	// Ticks unless it is a string, which is then served in its place.
	Values []any
}

// HuntTicks is a datetime: 100 ns since 1970.
type HuntTicks int64

// TicksOf returns the tick that a time lies in.
func TicksOf(t time.Time) HuntTicks {
	return HuntTicks(t.Unix()*ticksPerSecond + int64(t.Nanosecond())/100)
}

// Time is the datetime as a time.
func (t HuntTicks) Time() time.Time {
	s, rest := floorDiv(int64(t), ticksPerSecond), floorMod(int64(t), ticksPerSecond)
	return time.Unix(s, rest*100).UTC()
}

const ticksPerSecond = int64(time.Second / 100)

func floorMod(a, b int64) int64 { return ((a % b) + b) % b }

func floorDiv(a, b int64) int64 { return (a - floorMod(a, b)) / b }

type huntTable struct {
	HuntTable
	time int       // index of the Time column, -1 for none
	rows []HuntRow // by Ticks, then as they came
}

// NewHunting returns a tenant without a single table.
func NewHunting() *HuntTables { return &HuntTables{tables: map[string]*huntTable{}} }

// AddTable adds an empty table, or empties and redefines one.
func (h *HuntTables) AddTable(t HuntTable) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t.Columns = slices.Clone(t.Columns)
	table := &huntTable{HuntTable: t, time: -1}
	if t.Time != "" {
		table.time = table.column(t.Time)
	}
	h.tables[t.Name] = table
}

// Table describes a table as it is now.
func (h *HuntTables) Table(name string) HuntTable {
	h.mu.RLock()
	defer h.mu.RUnlock()
	t := h.table(name).HuntTable
	t.Columns = slices.Clone(t.Columns)
	return t
}

// Tables lists the names of the tables.
func (h *HuntTables) Tables() []string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	names := make([]string, 0, len(h.tables))
	for name := range h.tables {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// AddRows adds rows, whose Values are the table's from then on.
func (h *HuntTables) AddRows(table string, rows ...HuntRow) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.table(table).add(rows)
}

// Replace makes the given rows all that the table holds, as the next edition
// of a table that is a snapshot.
func (h *HuntTables) Replace(table string, rows ...HuntRow) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.table(table)
	t.rows = nil
	t.add(rows)
}

// Remove takes the rows away that the function picks, and returns how many.
func (h *HuntTables) Remove(table string, which func(HuntRow) bool) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.table(table)
	before := len(t.rows)
	t.rows = slices.DeleteFunc(t.rows, which)
	return before - len(t.rows)
}

// AddColumn gives a table one more column, null in the rows so far.
func (h *HuntTables) AddColumn(table string, c HuntColumn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.table(table)
	t.Columns = append(slices.Clone(t.Columns), c)
}

// SetColumnType changes a column's type. The values stay, and are written as
// the new type has it.
func (h *HuntTables) SetColumnType(table, column, kusto string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.table(table)
	t.Columns = slices.Clone(t.Columns)
	t.Columns[t.column(column)].Type = kusto
}

// Rows returns the rows that a query at the given time would see, whatever
// their age; with the zero time all of them. They come by Ticks. Their Values
// are the table's own and not to be changed.
func (h *HuntTables) Rows(table string, now time.Time) []HuntRow {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var list []HuntRow
	for _, r := range h.table(table).rows {
		if now.IsZero() || r.visible(now) {
			list = append(list, r)
		}
	}
	return list
}

func (h *HuntTables) table(name string) *huntTable {
	t, ok := h.tables[name]
	if !ok {
		panic(fmt.Sprintf("defendersim: there is no hunting table %s", name))
	}
	return t
}

func (r *HuntRow) visible(now time.Time) bool { return r.Visible.IsZero() || !r.Visible.After(now) }

func (t *huntTable) column(name string) int {
	i := slices.IndexFunc(t.Columns, func(c HuntColumn) bool { return c.Name == name })
	if i < 0 {
		panic(fmt.Sprintf("defendersim: hunting table %s has no column %s", t.Name, name))
	}
	return i
}

// add keeps the rows in order. It is cheap for rows that are newer than all.
func (t *huntTable) add(rows []HuntRow) {
	inOrder := true
	for _, r := range rows {
		t.stamp(&r)
		if n := len(t.rows); n > 0 && t.rows[n-1].Ticks > r.Ticks {
			inOrder = false
		}
		t.rows = append(t.rows, r)
	}
	if !inOrder {
		slices.SortStableFunc(t.rows, func(a, b HuntRow) int { return cmp.Compare(a.Ticks, b.Ticks) })
	}
}

// stamp puts a row's time among its values.
func (t *huntTable) stamp(r *HuntRow) {
	if t.time < 0 {
		return
	}
	for len(r.Values) <= t.time {
		r.Values = append(r.Values, nil)
	}
	if _, ok := r.Values[t.time].(string); !ok {
		r.Values[t.time] = HuntTicks(r.Ticks)
	}
}

// between returns the rows with a time in [from, to).
func (t *huntTable) between(from, to int64) []HuntRow {
	if t.time < 0 {
		return t.rows
	}
	less := func(r HuntRow, at int64) int { return cmp.Compare(r.Ticks, at) }
	lo, _ := slices.BinarySearchFunc(t.rows, from, less)
	hi, _ := slices.BinarySearchFunc(t.rows, to, less)
	return t.rows[lo:max(lo, hi)]
}
