package store_test

import (
	"fmt"
	"testing"

	"defendersync/store"
)

var software = columns("DeviceId", "String", "Software", "String", "Version", "String")

func installed(device, name, version string) row {
	return row{"DeviceId": quoted(device), "Software": quoted(name), "Version": quoted(version)}
}

const ranges = `SELECT device_id || '/' || software || '/' || version, (SELECT count(*) FROM (SELECT DISTINCT valid_from FROM hunting.device_events) AS f WHERE f.valid_from <= e.valid_from),
	CASE WHEN valid_to IS NULL THEN 'now' ELSE (SELECT count(*)::text FROM (SELECT DISTINCT valid_from FROM hunting.device_events) AS f WHERE f.valid_from <= e.valid_to) END
	FROM hunting.device_events AS e ORDER BY 1, 2`

// A row lives from the first result that has it to the first that does not; one
// that returns lives anew, one that changes is closed and opened.
func TestHuntSnapshotLife(t *testing.T) {
	for name, key := range map[string][]string{"key": {"DeviceId", "Software"}, "whole row": nil} {
		t.Run(name, func(t *testing.T) {
			h := newHunter(t, store.HuntSpec{Mode: store.HuntSnapshot, Key: key, KeyOnly: key != nil, Occurrences: key == nil, AutoMigrate: true})
			step := func(want store.Counts, rows ...row) {
				t.Helper()
				if got := h.answer(software, rows...); got != want {
					t.Errorf("%+v, want %+v", got, want)
				}
			}
			changed := store.Counts{Updated: 1, Unchanged: 1}
			if key == nil {
				changed = store.Counts{Inserted: 1, Unchanged: 1}
			}
			step(store.Counts{Inserted: 2}, installed("d1", "vim", "1"), installed("d2", "vim", "1"))
			step(changed, installed("d2", "vim", "1"), installed("d1", "vim", "2"))
			h.want(ranges, "d1/vim/1 1 2", "d1/vim/2 2 now", "d2/vim/1 1 now")
			step(store.Counts{Unchanged: 2}, installed("d2", "vim", "1"), installed("d1", "vim", "2"))
			step(store.Counts{Inserted: 1, Unchanged: 1}, installed("d1", "vim", "2"), installed("d3", "git", "1")) // d2 vanishes
			step(store.Counts{Inserted: 1, Unchanged: 2}, installed("d1", "vim", "2"), installed("d3", "git", "1"), installed("d2", "vim", "1"))
			h.want(ranges, "d1/vim/1 1 2", "d1/vim/2 2 now", "d2/vim/1 1 3", "d2/vim/1 4 now", "d3/git/1 3 now")
			h.want(`SELECT device_id, version FROM hunting.device_events_current ORDER BY 1`, "d1 2", "d2 1", "d3 1")
			step(store.Counts{}) // a complete result of nothing
			h.want(`SELECT count(*) FROM hunting.device_events_current`, "0")
			h.want(`SELECT count(*) FROM hunting.device_events`, "5")
			h.want(`SELECT count(DISTINCT valid_to) FROM hunting.device_events`, "3") // what had ended before was left alone
		})
	}
}

// A clock that was set back ends no row before it began.
func TestHuntSnapshotClockSetBack(t *testing.T) {
	h := newHunter(t, store.HuntSpec{Mode: store.HuntSnapshot, AutoMigrate: true})
	h.answer(software, installed("d1", "vim", "1"))
	h.exec(`UPDATE hunting.device_events SET valid_from = now() + interval '1 hour'`)
	h.answer(software)
	h.want(`SELECT valid_to = valid_from FROM hunting.device_events`, "true")
}

// The last result is what there is; what is in both was not touched.
func TestHuntReplace(t *testing.T) {
	h := newHunter(t, store.HuntSpec{Mode: store.HuntReplace, Occurrences: true, AutoMigrate: true})
	h.answer(software, installed("d1", "vim", "1"), installed("d1", "vim", "1"), installed("d2", "vim", "1"))
	before := h.query(`SELECT xmin::text, ctid::text FROM hunting.device_events WHERE device_id = 'd1' ORDER BY row_key`)
	if got, want := h.answer(software, installed("d1", "vim", "1"), installed("d3", "vim", "1"), installed("d1", "vim", "1")), (store.Counts{Inserted: 1, Unchanged: 2}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	h.want(`SELECT device_id FROM hunting.device_events ORDER BY 1`, "d1", "d1", "d3")
	h.want(`SELECT xmin::text, ctid::text FROM hunting.device_events WHERE device_id = 'd1' ORDER BY row_key`, before...)
	if got := h.answer(software); got != (store.Counts{}) {
		t.Errorf("%+v", got)
	}
	h.want(`SELECT count(*) FROM hunting.device_events`, "0")
}

// current is where the rows of the present are.
func current(mode store.HuntMode) string {
	if mode == store.HuntSnapshot {
		return "device_events_current"
	}
	return "device_events"
}

// Another tenant's rows are not part of the result, and stay.
func TestHuntWholeLeavesOtherTenants(t *testing.T) {
	for _, mode := range []store.HuntMode{store.HuntReplace, store.HuntSnapshot} {
		w := newWorker(t)
		spec := store.HuntSpec{Mode: mode, AutoMigrate: true}
		hunterOn(w, spec).answer(software, installed("d1", "vim", "1"))
		lease, err := w.Acquire(t.Context(), otherTenant, "worker", ttl)
		if err != nil {
			t.Fatal(err)
		}
		other := *w
		other.lease = lease
		h := hunterOn(&other, spec)
		h.answer(software, installed("d2", "vim", "1"), installed("d1", "vim", "1")) // one as the first tenant's
		w.want(`SELECT count(*) FROM hunting.device_events`, "3")
		h.answer(software, installed("d2", "vim", "1"))
		w.want(`SELECT tenant_id::text, device_id FROM hunting.`+current(mode)+` ORDER BY 1`, tenant+" d1", otherTenant+" d2")
	}
}

// A result read in slices is one; what was not accepted is not in it. More rows
// than are read or written at once change nothing about it.
func TestHuntSlicesAndManyRows(t *testing.T) {
	const n = 12_000
	h := newHunter(t, store.HuntSpec{Mode: store.HuntSnapshot, Key: []string{"DeviceId"}, KeyOnly: true, AutoMigrate: true})
	store.LimitIndex(h.rows, 3000)
	slice := func(from, to int, version string) {
		t.Helper()
		h.add(software)
		for i := from; i < to; i++ {
			h.addRow(software, installed(fmt.Sprint("d", i), "vim", version))
		}
	}
	keep := func(from, to int, version string) {
		t.Helper()
		slice(from, to, "torn off")
		slice(from, to, version)
		h.rows.Keep()
	}
	for i := 0; i < n; i += 2000 {
		keep(i, i+2000, "1")
	}
	if h.rows.Len() != n || h.rows.Bytes() == 0 {
		t.Errorf("%d rows in %d bytes", h.rows.Len(), h.rows.Bytes())
	}
	if got, want := h.store(), (store.Counts{Inserted: n}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	h.want(`SELECT version, count(*) FROM hunting.device_events GROUP BY 1`, fmt.Sprint("1 ", n))
	keep(500, 7000, "1")
	keep(7000, 7010, "2")
	keep(7010, n+10, "1")
	if got, want := h.store(), (store.Counts{Inserted: 10, Updated: 10, Unchanged: n - 510}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	h.want(`SELECT count(*) FILTER (WHERE valid_to IS NULL), count(*) FILTER (WHERE valid_to IS NOT NULL) FROM hunting.device_events`, fmt.Sprint(n-490, " ", 510))
}

// Answers of one result may have different columns, or the same in another order.
func TestHuntSlicesOfDifferentShape(t *testing.T) {
	h := newHunter(t, store.HuntSpec{Mode: store.HuntReplace, Key: []string{"DeviceId"}, KeyOnly: true, AutoMigrate: true})
	h.add(software, installed("d1", "vim", "1"))
	h.rows.Keep()
	h.add(columns("Version", "String", "DeviceId", "String"), row{"DeviceId": `"d2"`, "Version": `"2"`})
	h.rows.Keep()
	h.add(append(columns("Size", "Int64"), software...), row{"DeviceId": `"d3"`, "Size": "9"})
	if got, want := h.store(), (store.Counts{Inserted: 3}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	h.want(`SELECT device_id, software, version, size FROM hunting.device_events ORDER BY 1`, "d1 vim 1 <nil>", "d2 <nil> 2 <nil>", "d3 <nil> <nil> 9")
}

// More than is kept in memory goes to a file, and comes back the same; what was
// torn off does not.
func TestHuntSpillsToFile(t *testing.T) {
	h := newHunter(t, store.HuntSpec{Key: []string{"N"}, AutoMigrate: true})
	cols := columns("N", "Int32", "Text", "String")
	big := func(n int) row {
		return row{"N": fmt.Sprint(n), "Text": quoted(fmt.Sprintf("%0*d", 100_000, n))}
	}
	fill := func(from, to int) {
		h.add(cols)
		for n := from; n < to; n++ {
			h.addRow(cols, big(n))
		}
	}
	fill(0, 50)
	h.rows.Keep()
	fill(1000, 1100)
	fill(50, 120)
	if n := h.rows.Bytes(); n < 120*100_000 || n > 120*101_000 {
		t.Errorf("%d bytes of 120 rows", n)
	}
	if got, want := h.store(), (store.Counts{Inserted: 120}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	h.want(`SELECT count(*), bool_and(n = text::numeric AND length(text) = 100000), max(n) FROM hunting.device_events`, "120 true 119")
	fill(0, 120)
	if got, want := h.store(), (store.Counts{Unchanged: 120}); got != want {
		t.Errorf("again: %+v, want %+v", got, want)
	}
}
