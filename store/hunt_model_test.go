package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"defendersync/store"
)

// modelRow is one row at the source of the model.
type modelRow struct {
	second, value int
	name          string
}

func (r modelRow) String() string { return fmt.Sprintf("%02d %s %d", r.second, r.name, r.value) }

// asText returns rows as the queries of the model print them, sorted.
func asText(rows []modelRow) []string {
	all := []string{}
	for _, r := range rows {
		all = append(all, r.String())
	}
	slices.Sort(all)
	return all
}

func drawRows(rt *rapid.T, seconds, most int) []modelRow {
	return rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) modelRow {
		return modelRow{rapid.IntRange(0, seconds-1).Draw(rt, "second"), rapid.IntRange(0, 1).Draw(rt, "value"), rapid.SampledFrom([]string{"a", ""}).Draw(rt, "name")}
	}), 0, most).Draw(rt, "rows")
}

// model is one kind of table: what it holds of a source that was read often
// enough.
type model struct {
	*hunter
	holds func(source []modelRow) []modelRow
}

func everyRow(rows []modelRow) []modelRow { return rows }

func distinctRows(rows []modelRow) []modelRow {
	rows = slices.Clone(rows)
	slices.SortFunc(rows, func(a, b modelRow) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(rows)
}

// answerRows stores an answer that holds rows, in some order, perhaps in slices,
// and after an attempt that was torn off.
func (m *model) answerRows(rt *rapid.T, rows []modelRow) {
	rows = rapid.Permutation(rows).Draw(rt, "order")
	for begin := true; begin || len(rows) > 0; begin = false {
		n := rapid.IntRange(0, len(rows)).Draw(rt, "slice")
		if m.spec.Mode == store.HuntEvents || n == 0 {
			n = len(rows) // a window is read in one answer
		}
		if rapid.Bool().Draw(rt, "torn") {
			m.add(plain, served(rows[:n/2])...)
		}
		m.add(plain, served(rows[:n])...)
		if rapid.Bool().Draw(rt, "kept") || n < len(rows) {
			m.rows.Keep()
		}
		rows = rows[n:]
	}
	m.store()
}

func served(rows []modelRow) []row {
	var all []row
	for _, r := range rows {
		all = append(all, plainRow(r.second, r.name, r.value))
	}
	return all
}

func (m *model) held() []string {
	table := "hunting." + store.SnakeCase(m.spec.Name)
	if m.spec.Mode == store.HuntSnapshot {
		table += "_current"
	}
	return m.query(`SELECT to_char("timestamp" AT TIME ZONE 'UTC', 'SS'), name, value FROM ` + table)
}

// check compares what is held of the rows that pass.
func (m *model) check(rt *rapid.T, source []modelRow, keep func(second int) bool) {
	inside := func(r modelRow) bool { return keep(r.second) }
	want := asText(m.holds(slices.DeleteFunc(slices.Clone(source), func(r modelRow) bool { return !inside(r) })))
	got := slices.DeleteFunc(m.held(), func(line string) bool { return !keep(int(line[1] - '0')) })
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		rt.Fatalf("%s (-model +table):\n%s", m.spec.Name, diff)
	}
}

// Windows of a source that grows, read in any order, again and again: what is
// stored of a window is what the source had when it was read last.
func TestHuntModelOfEvents(t *testing.T) {
	w := newWorker(t)
	w.lease = longLease(t, w)
	models := []*model{
		{hunterOn(w, store.HuntSpec{Name: "Whole", TimeColumn: "Timestamp", Occurrences: true, AutoMigrate: true}), everyRow},
		{hunterOn(w, store.HuntSpec{Name: "Once", TimeColumn: "Timestamp", AutoMigrate: true}), distinctRows},
		{hunterOn(w, store.HuntSpec{Name: "WrongKey", TimeColumn: "Timestamp", Key: []string{"Name"}, Occurrences: true, AutoMigrate: true}), everyRow},
		{hunterOn(w, store.HuntSpec{Name: "WrongKeyOnce", TimeColumn: "Timestamp", Key: []string{"Name"}, AutoMigrate: true}), distinctRows},
		{hunterOn(w, store.HuntSpec{Name: "Timeless", Occurrences: true, AutoMigrate: true}), everyRow},
	}
	rapid.Check(t, func(rt *rapid.T) {
		m := rapid.SampledFrom(models).Draw(rt, "model")
		m.add(plain)
		m.exec(`TRUNCATE hunting.` + store.SnakeCase(m.spec.Name))
		var source []modelRow
		for range rapid.IntRange(1, 4).Draw(rt, "answers") {
			source = append(source, drawRows(rt, 6, 6)...)
			since := rapid.IntRange(0, 5).Draw(rt, "since")
			until := rapid.IntRange(since+1, 6).Draw(rt, "until")
			inside := func(second int) bool { return since <= second && second < until }
			m.answerRows(rt, slices.DeleteFunc(slices.Clone(source), func(r modelRow) bool { return !inside(r.second) }))
			m.check(rt, source, inside)
		}
		always := func(int) bool { return true }
		m.answerRows(rt, source)
		m.check(rt, source, always)
		m.answerRows(rt, source)
		m.check(rt, source, always)
	})
}

// longLease holds the tenant for as long as a test may take.
func longLease(t *testing.T, w *worker) store.Lease {
	t.Helper()
	if err := w.Renew(t.Context(), w.lease, 100*ttl); err != nil {
		t.Fatal(err)
	}
	return w.lease
}

// Complete results one after the other: the present is the last one, and of
// each row there are as many ranges as it came.
func TestHuntModelOfResults(t *testing.T) {
	w := newWorker(t)
	w.lease = longLease(t, w)
	models := []*model{
		{hunterOn(w, store.HuntSpec{Name: "Replaced", Mode: store.HuntReplace, Occurrences: true, AutoMigrate: true}), everyRow},
		{hunterOn(w, store.HuntSpec{Name: "ReplacedTimed", Mode: store.HuntReplace, TimeColumn: "Timestamp", AutoMigrate: true}), distinctRows},
		{hunterOn(w, store.HuntSpec{Name: "Ranges", Mode: store.HuntSnapshot, Occurrences: true, AutoMigrate: true}), everyRow},
		{hunterOn(w, store.HuntSpec{Name: "RangesOnce", Mode: store.HuntSnapshot, AutoMigrate: true}), distinctRows},
		{hunterOn(w, store.HuntSpec{Name: "RangesKeyed", Mode: store.HuntSnapshot, Key: []string{"Name", "Value", "Timestamp"}, KeyOnly: true, AutoMigrate: true}), distinctRows},
	}
	rapid.Check(t, func(rt *rapid.T) {
		m := rapid.SampledFrom(models).Draw(rt, "model")
		m.add(plain)
		m.exec(`TRUNCATE hunting.` + store.SnakeCase(m.spec.Name))
		store.LimitIndex(m.rows, rapid.IntRange(1, 5).Draw(rt, "limit"))
		opened, present := 0, map[string]int{}
		for range rapid.IntRange(1, 4).Draw(rt, "results") {
			result := drawRows(rt, 2, 8)
			m.answerRows(rt, result)
			m.check(rt, result, func(int) bool { return true })
			now := map[string]int{}
			for _, r := range m.holds(result) {
				now[r.String()]++
			}
			for r, n := range now {
				opened += max(0, n-present[r])
			}
			present = now
		}
		if m.spec.Mode != store.HuntSnapshot {
			return
		}
		got := m.query(`SELECT count(*), count(*) FILTER (WHERE valid_to <= valid_from) FROM hunting.` + store.SnakeCase(m.spec.Name))
		if want := fmt.Sprintf("%d 0", opened); got[0] != want {
			rt.Fatalf("%s: ranges %s, want %s", m.spec.Name, got[0], want)
		}
	})
}
