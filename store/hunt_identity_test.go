package store_test

import (
	"fmt"
	"slices"
	"testing"

	"defendersync/store"
)

var plain = columns("Timestamp", "DateTime", "Name", "String", "Value", "Int64")

func plainRow(second int, name string, value int) row {
	return row{"Timestamp": quoted(fmt.Sprintf("2026-11-01T00:00:%02d.1234567Z", second)), "Name": quoted(name), "Value": fmt.Sprint(value)}
}

// Exact duplicates stay as many as they were served, and a re-read in any order
// adds none. Without a number they are one.
func TestHuntOccurrences(t *testing.T) {
	rows := []row{plainRow(1, "a", 1), plainRow(1, "a", 1), plainRow(1, "b", 1), plainRow(1, "a", 1), plainRow(2, "a", 1)}
	for _, occurrences := range []bool{true, false} {
		h := newHunter(t, store.HuntSpec{TimeColumn: "Timestamp", Occurrences: occurrences, AutoMigrate: true})
		want := store.Counts{Inserted: 3}
		if occurrences {
			want.Inserted = 5
		}
		if got := h.answer(plain, rows...); got != want {
			t.Errorf("occurrences %v: %+v, want %+v", occurrences, got, want)
		}
		slices.Reverse(rows)
		want = store.Counts{Unchanged: want.Inserted}
		if got := h.answer(plain, rows...); got != want {
			t.Errorf("occurrences %v, again: %+v, want %+v", occurrences, got, want)
		}
		// One more of them, seen late.
		if got := h.answer(plain, append(slices.Clone(rows), plainRow(1, "b", 1))...); occurrences && got.Inserted != 1 {
			t.Errorf("one more: %+v", got)
		}
	}
}

// A key that is not one loses no row, in whatever order the rows come.
func TestHuntKeyCollision(t *testing.T) {
	h := newHunter(t, store.HuntSpec{TimeColumn: "Timestamp", Key: []string{"Name"}, Occurrences: true, AutoMigrate: true})
	rows := []row{plainRow(1, "a", 1), plainRow(1, "a", 2), plainRow(1, "a", 3), plainRow(1, "a", 2), plainRow(2, "a", 1)}
	if got, want := h.answer(plain, rows...), (store.Counts{Inserted: 5}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	keys := h.query(`SELECT row_key::text FROM hunting.device_events ORDER BY 1`)
	slices.Reverse(rows)
	if got, want := h.answer(plain, rows...), (store.Counts{Unchanged: 5}); got != want {
		t.Errorf("again: %+v, want %+v", got, want)
	}
	h.want(`SELECT value, count(*) FROM hunting.device_events GROUP BY 1 ORDER BY 1`, "1 2", "2 2", "3 1")
	h.want(`SELECT row_key::text FROM hunting.device_events ORDER BY 1`, keys...)
}

// The newest of a key counts, within an answer and against what is stored; in
// any order of arrival.
func TestHuntNewestOfKey(t *testing.T) {
	h := newHunter(t, store.HuntSpec{TimeColumn: "Timestamp", Key: []string{"Name"}, KeyOnly: true, AutoMigrate: true})
	for i, step := range []struct {
		rows []row
		want store.Counts
		held string
	}{
		{[]row{plainRow(5, "a", 5), plainRow(3, "a", 3), plainRow(4, "a", 4)}, store.Counts{Inserted: 1}, "5"},
		{[]row{plainRow(4, "a", 4)}, store.Counts{Unchanged: 1}, "5"},
		{[]row{plainRow(5, "a", 6)}, store.Counts{Updated: 1}, "6"},
		{[]row{plainRow(6, "a", 7), plainRow(6, "a", 8)}, store.Counts{Updated: 1}, "8"},
		{[]row{{"Name": `"a"`, "Value": "9"}}, store.Counts{Unchanged: 1}, "8"},
		{[]row{{"Name": `"a"`, "Value": "9", "Timestamp": `"soon"`}}, store.Counts{Unchanged: 1}, "8"},
	} {
		if got := h.answer(plain, step.rows...); got != step.want {
			t.Errorf("step %d: %+v, want %+v", i, got, step.want)
		}
		h.want(`SELECT value FROM hunting.device_events`, step.held)
	}
	// A row that was stored without a time gives way to one with.
	h.answer(plain, row{"Name": `"b"`, "Value": "1"})
	h.answer(plain, plainRow(1, "b", 2))
	h.want(`SELECT value FROM hunting.device_events WHERE name = 'b'`, "2")
}

// Without a time, the row that was read last counts.
func TestHuntLatestOfKeyWithoutTime(t *testing.T) {
	h := newHunter(t, store.HuntSpec{Key: []string{"name"}, KeyOnly: true, AutoMigrate: true})
	h.answer(plain, plainRow(1, "a", 1), plainRow(1, "a", 2))
	h.want(`SELECT value FROM hunting.device_events`, "2")
	if got, want := h.answer(plain, plainRow(1, "a", 1)), (store.Counts{Updated: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// A column that comes to the source is empty in the rows that were there before;
// they stay the rows they are.
func TestHuntWholeRowAndNewColumn(t *testing.T) {
	h := newHunter(t, store.HuntSpec{TimeColumn: "Timestamp", Occurrences: true, AutoMigrate: true})
	h.answer(plain, plainRow(1, "a", 1))
	more := append(slices.Clone(plain), store.HuntColumn{Name: "New", Type: "String"})
	r := plainRow(1, "a", 1)
	r["New"] = `""`
	if got, want := h.answer(more, r, r), (store.Counts{Inserted: 1, Unchanged: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	h.want(`SELECT name, "new" FROM hunting.device_events ORDER BY "new"`, "a ", "a <nil>")
}

// A row that appears late under a key that is not one takes no other's place,
// and leaves none behind.
func TestHuntLateCollision(t *testing.T) {
	for late := range 4 {
		h := newHunter(t, store.HuntSpec{TimeColumn: "Timestamp", Key: []string{"Name"}, Occurrences: true, AutoMigrate: true})
		var before, after []row
		for value := range 4 {
			pair := []row{plainRow(1, "a", value), plainRow(1, "a", value)}
			if value != late {
				before = append(before, pair...)
			}
			after = append(after, pair...)
		}
		h.answer(plain, before...)
		h.answer(plain, after...)
		h.want(`SELECT value, count(*) FROM hunting.device_events GROUP BY 1 ORDER BY 1`, "0 2", "1 2", "2 2", "3 2")
	}
}

// Times that differ in what PostgreSQL cannot hold are two rows, and the key
// begins with their milliseconds.
func TestHuntKeyHoldsTheTime(t *testing.T) {
	h := newHunter(t, store.HuntSpec{TimeColumn: "Timestamp", Key: []string{"Name"}, AutoMigrate: true})
	a, b := plainRow(1, "a", 1), plainRow(1, "a", 1)
	b["Timestamp"] = `"2026-11-01T00:00:01.1234568Z"`
	h.answer(plain, a, b, plainRow(2, "a", 1), row{"Name": `"never"`}, row{"Name": `"before"`, "Timestamp": `"1950-01-01T00:00:00Z"`})
	h.want(`SELECT count(DISTINCT "timestamp"), count(*) FROM hunting.device_events WHERE name = 'a'`, "2 3")
	h.want(`SELECT DISTINCT ('x' || translate(left(row_key::text, 13), '-', ''))::bit(48)::bigint FROM hunting.device_events ORDER BY 1`,
		"0", fmt.Sprint(at(0).UnixMilli()+1123), fmt.Sprint(at(0).UnixMilli()+2123))
}

// A key that names the time holds it, also where the key is all.
func TestHuntKeyOnlyWithTime(t *testing.T) {
	h := newHunter(t, store.HuntSpec{TimeColumn: "Timestamp", Key: []string{"Timestamp", "Name"}, KeyOnly: true, AutoMigrate: true})
	if got, want := h.answer(plain, plainRow(1, "a", 1), plainRow(2, "a", 1), plainRow(1, "a", 2)), (store.Counts{Inserted: 2}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	h.want(`SELECT value FROM hunting.device_events ORDER BY row_key`, "2", "1")
}

// A key that the answer has not all of tells too little: rows are kept apart by all
// that they hold, each as often as it was served, and found again.
func TestHuntKeyIsNotServed(t *testing.T) {
	rows := []row{plainRow(1, "a", 1), plainRow(1, "a", 2), plainRow(1, "a", 2), plainRow(2, "a", 1), plainRow(2, "b", 1)}
	for name, spec := range map[string]store.HuntSpec{
		"Keyed":    {TimeColumn: "Timestamp", Key: []string{"Name", "ReportId"}, AutoMigrate: true},
		"Newest":   {TimeColumn: "Timestamp", Key: []string{"Name", "ReportId"}, KeyOnly: true, AutoMigrate: true},
		"Nothing":  {Key: []string{"ReportId"}, KeyOnly: true, AutoMigrate: true},
		"Replaced": {Mode: store.HuntReplace, Key: []string{"Name", "ReportId"}, KeyOnly: true, AutoMigrate: true},
		"Ranges":   {Mode: store.HuntSnapshot, Key: []string{"ReportId"}, KeyOnly: true, AutoMigrate: true},
	} {
		spec.Name = "DeviceEvents"
		h := newHunter(t, spec)
		for _, want := range []store.Counts{{Inserted: 5}, {Unchanged: 5}} {
			if got := h.answer(plain, rows...); got != want {
				t.Errorf("%s: %+v, want %+v", name, got, want)
			}
		}
		h.want(`SELECT name, value, count(*) FROM hunting.device_events GROUP BY 1, 2 ORDER BY 1, 2`, "a 1 2", "a 2 2", "b 1 1")
		if spec.Mode == "" { // of another answer
			if got, want := h.answer(plain, plainRow(1, "a", 0), plainRow(1, "a", 9)), (store.Counts{Inserted: 2}); got != want {
				t.Errorf("%s: %+v, want %+v", name, got, want)
			}
		}
	}
}

// A key without a value says nothing: such rows are one where they are equal only,
// within an answer and between answers. An empty text is a value beside others.
func TestHuntKeyHasNoValue(t *testing.T) {
	for name, spec := range map[string]store.HuntSpec{
		"Newest":   {TimeColumn: "Timestamp", Key: []string{"Name", "Value"}, KeyOnly: true, AutoMigrate: true},
		"Replaced": {Mode: store.HuntReplace, Key: []string{"Name", "Value"}, KeyOnly: true, AutoMigrate: true},
		"Ranges":   {Mode: store.HuntSnapshot, Key: []string{"Name", "Value"}, KeyOnly: true, AutoMigrate: true},
	} {
		spec.Name = "DeviceEvents"
		h := newHunter(t, spec)
		cols := append(slices.Clone(plain), store.HuntColumn{Name: "More", Type: "String"})
		at := func(r row, more string) row {
			r["More"] = quoted(more)
			return r
		}
		rows := []row{
			at(row{"Name": `"a"`}, "1"), at(row{"Name": `"a"`}, "2"), at(row{"Name": `"a"`}, "2"),
			at(row{"Name": `null`, "Value": "1"}, "3"), at(row{"Name": `null`, "Value": "1"}, "4"),
			at(plainRow(1, "", 1), "5"), at(plainRow(1, "", 1), "6"),
			at(plainRow(1, "a", 1), "7"), at(plainRow(1, "a", 1), "8"),
		}
		for _, want := range []store.Counts{{Inserted: 6}, {Unchanged: 6}} {
			if got := h.answer(cols, rows...); got != want {
				t.Errorf("%s: %+v, want %+v", name, got, want)
			}
		}
		h.want(`SELECT string_agg(more, '' ORDER BY more) FROM hunting.device_events`, "123468")
		if spec.Mode == "" {
			h.answer(cols, at(row{"Name": `"a"`}, "9"))
			h.want(`SELECT string_agg(more, '' ORDER BY more) FROM hunting.device_events`, "1234689")
		}
	}
	h := newHunter(t, store.HuntSpec{Key: []string{"Name"}, KeyOnly: true, AutoMigrate: true})
	if got, want := h.answer(plain, plainRow(1, "", 1), plainRow(1, "", 2)), (store.Counts{Inserted: 2}); got != want {
		t.Errorf("all empty: %+v, want %+v", got, want)
	}
}
