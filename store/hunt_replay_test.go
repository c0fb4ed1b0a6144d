package store_test

import (
	"errors"
	"strings"
	"testing"

	"defendersync/store"
)

// refuse has PostgreSQL refuse every row, or take them again.
func (h *hunter) refuse(on bool) {
	h.t.Helper()
	h.exec(`ALTER TABLE hunting.device_events DROP CONSTRAINT IF EXISTS poison`)
	if on {
		h.exec(`ALTER TABLE hunting.device_events ADD CONSTRAINT poison CHECK (false) NOT VALID`)
	}
}

// replay tries all that is in quarantine, and returns the errors.
func (h *hunter) replay(spec store.HuntSpec) (counts store.Counts, failed []error) {
	h.t.Helper()
	spec.TenantID, spec.Name, spec.Mode = tenant, h.spec.Name, h.spec.Mode
	list, err := h.QuarantineList(h.t.Context(), store.QuarantineFilter{})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, q := range list {
		if q, err = h.QuarantineGet(h.t.Context(), q.ID); err != nil {
			h.t.Fatal(err)
		}
		n, err := h.ReplayHunt(h.t.Context(), store.HuntReplay{Lease: h.lease, Row: q, Spec: spec})
		if err != nil {
			failed = append(failed, err)
		}
		counts.Inserted, counts.Updated, counts.Unchanged = counts.Inserted+n.Inserted, counts.Updated+n.Updated, counts.Unchanged+n.Unchanged
	}
	return counts, failed
}

// oddValues are rows with each kind of value, odd ones, and values that do not
// fit their columns.
var (
	oddColumns = columns("B", "SByte", "I", "Int32", "L", "Int64", "N", "SqlDecimal", "R", "Double", "G", "Guid", "S", "TimeSpan", "D", "DateTime", "O", "Object", "T", "String", "Z", "String")
	oddValues  = []row{
		{"B": "1", "I": "-2", "L": "9007199254740993", "N": `"1.50"`, "R": "0.1", "G": `"6f9619ff-8b86-d011-b42d-00cf4fc964ff"`, "S": `"1.02:03:04.5000001"`,
			"D": `"2026-11-20T00:00:00.1234567Z"`, "O": `{"a": [1, 1.0, 12345678901234567890]}`, "T": `"é\u0000\"\\"`, "X": `[1]`, "extra": `{"y": null}`},
		{"B": "false", "I": `"no"`, "N": `-12345678901234567890123.00045`, "R": `"NaN"`, "S": `"-PT36H0.5S"`, "D": `"1969-12-31T23:59:59.999999Z"`, "O": `"text"`, "T": `""`},
		{"B": "true", "N": `0.000000012`, "R": `"-Infinity"`, "S": `"-00:00:01"`, "D": `"not yet"`, "O": `"{\"a\":1}"`, "T": `5`},
		{"N": `"NaN"`, "R": "1e300", "S": `"00:00:00"`, "O": `[]`, "T": `"x"`, "a": `1`, "A": `2`},
		{"N": `1e20`, "R": `"Infinity"`, "O": `0.10`, "T": `{"a":1}`, "Z": `"last"`},
		{"N": `123400000000`, "R": `-0.0`, "O": `"[no document"`},
		{"N": `"-Infinity"`, "R": `3`},
		{"N": `0.00`, "R": `5e-324`},
		{"N": `100000000.10001`},
	}
)

// What PostgreSQL refused and then takes is stored as it would have been at
// first: the same rows served again change nothing.
func TestHuntReplayOfEveryType(t *testing.T) {
	h := newHunter(t, store.HuntSpec{Occurrences: true, AutoMigrate: true})
	h.answer(oddColumns)
	h.refuse(true)
	rows := append(oddValues, oddValues[0], oddValues[1], oddValues[1]) // keys of rows that are equal are apart
	n := int64(len(rows) + 1)
	answer := func() store.Counts {
		h.add(oddColumns, rows...)
		twice := make([][]byte, len(oddColumns)) // a member that is there twice, which is no fault of JSON
		twice[1] = []byte("7")
		if err := h.rows.Add(twice, []store.HuntExtra{{Name: "I", Value: []byte("8")}}); err != nil {
			t.Fatal(err)
		}
		return h.store()
	}
	answer()
	h.want(`SELECT count(*) FROM hunting.device_events`, "0")
	if _, failed := h.replay(h.spec); len(failed) != int(n) || !strings.Contains(failed[0].Error(), "poison") {
		t.Errorf("still refused: %v", failed)
	}
	h.want(`SELECT count(*) FROM sync.quarantine`, "13")
	h.refuse(false)
	if got, failed := h.replay(h.spec); got != (store.Counts{Inserted: n}) || failed != nil {
		t.Errorf("%+v and %v, want all inserted", got, failed)
	}
	h.want(`SELECT count(*) FROM sync.quarantine`, "0")
	if got, want := answer(), (store.Counts{Unchanged: n}); got != want {
		t.Errorf("served again: %+v, want %+v", got, want)
	}
	// And nothing but the hashes would say so of rows that are not the same.
	h.want(`SELECT n::text, s::text, d::text, extra::text FROM hunting.device_events WHERE n < 0 AND n > -1e30 LIMIT 1`,
		`-12345678901234567890123.00045 -36:00:00.5 1969-12-31 23:59:59.999999+00 {"I": "no"}`)
}

// What is stored under the key of a row came after it. Of rows with versions the
// newer one counts, whichever came first.
func TestHuntReplayKeepsWhatIsNewer(t *testing.T) {
	for name, c := range map[string]struct {
		spec   store.HuntSpec
		stored row
		want   store.Counts
		file   string
	}{
		"nothing stored": {device, nil, store.Counts{Inserted: 1}, "refused"},
		"stored":         {device, event(5, "1", "later"), store.Counts{Unchanged: 1}, "later"},
		"newer":          {store.HuntSpec{TimeColumn: "Timestamp", Key: []string{"ReportId"}, KeyOnly: true, AutoMigrate: true}, event(6, "1", "newer"), store.Counts{Unchanged: 1}, "newer"},
		"as new":         {store.HuntSpec{TimeColumn: "Timestamp", Key: []string{"ReportId"}, KeyOnly: true, AutoMigrate: true}, event(5, "1", "as new"), store.Counts{Unchanged: 1}, "as new"},
		"older":          {store.HuntSpec{TimeColumn: "Timestamp", Key: []string{"ReportId"}, KeyOnly: true, AutoMigrate: true}, event(4, "1", "older"), store.Counts{Updated: 1}, "refused"},
		"no time":        {store.HuntSpec{Key: []string{"ReportId"}, KeyOnly: true, AutoMigrate: true}, event(4, "1", "later"), store.Counts{Unchanged: 1}, "later"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHunter(t, c.spec)
			h.answer(deviceColumns)
			h.refuse(true)
			h.answer(deviceColumns, event(5, "1", "refused"))
			h.exec(`CREATE TABLE kept AS TABLE sync.quarantine`)
			h.exec(`ALTER TABLE kept DROP COLUMN payload_size`) // which is made of the others, and last
			h.refuse(false)
			if c.stored != nil {
				h.answer(deviceColumns, c.stored)
			}
			// Whoever stores a row lets go of the one refused under its key; here it stays.
			h.exec(`DELETE FROM sync.quarantine`)
			h.exec(`INSERT INTO sync.quarantine TABLE kept`)
			if got, failed := h.replay(c.spec); got != c.want || failed != nil {
				t.Errorf("%+v and %v, want %+v", got, failed, c.want)
			}
			h.want(`SELECT file_name FROM hunting.device_events`, c.file)
			h.want(`SELECT count(*) FROM sync.quarantine`, "0")
		})
	}
}

// A column that was private when the row was refused is not hashed again; one
// that has become private since is hashed, or left out.
func TestHuntReplayIsPrivate(t *testing.T) {
	then := store.HuntSpec{Key: []string{"ReportId"}, Hash: []string{"DeviceId"}, AutoMigrate: true}
	h := newHunter(t, then)
	h.answer(deviceColumns)
	h.refuse(true)
	h.answer(deviceColumns, event(1, "1", "secret"))
	h.refuse(false)
	now := then
	now.Hash, now.Drop = []string{"DeviceId", "FileName"}, []string{"Timestamp"}
	if got, failed := h.replay(now); got != (store.Counts{Inserted: 1}) || failed != nil {
		t.Errorf("%+v and %v", got, failed)
	}
	h.want(`SELECT length(file_name), timestamp, extra::text FROM hunting.device_events`, "64 <nil> <nil>")
	digest := h.query(`SELECT device_id FROM hunting.device_events`)
	h.exec(`DELETE FROM hunting.device_events`)
	h.answer(deviceColumns, event(1, "1", "secret"))
	h.want(`SELECT device_id FROM hunting.device_events`, digest...)
}

// What is no row is told to be just that and stays; so do rows without bytes.
func TestHuntReplayOfWhatCannotBeStored(t *testing.T) {
	private := device
	private.Hash = []string{"DeviceId"}
	for _, c := range []struct {
		spec store.HuntSpec
		sql  string
		want string
	}{
		{device, `SELECT`, "no row of any table"},
		{private, `SELECT`, "not kept because columns"},
		{device, `UPDATE sync.quarantine SET key = '00000000-0000-4000-8000-000000000000', payload = ''`, "could not be kept"},
		{device, `UPDATE sync.quarantine SET key = '00000000-0000-4000-8000-000000000000', payload = '{"a":'`, "could not be kept"},
		{device, `UPDATE sync.quarantine SET key = 'x', payload = '{}'`, "could not be kept"},
	} {
		h := newHunter(t, c.spec)
		h.add(deviceColumns)
		h.rows.AddOdd([]byte(`["secret"]`), "no object")
		h.store()
		h.exec(c.sql)
		_, failed := h.replay(c.spec)
		if len(failed) != 1 {
			t.Fatalf("%s: %v", c.sql, failed)
		}
		if never, ok := errors.AsType[*store.UnstorableError](failed[0]); !ok || !strings.Contains(never.Why, c.want) {
			t.Errorf("error %v, want %q", failed[0], c.want)
		}
		h.want(`SELECT attempts FROM sync.quarantine`, "1")
	}
}

// Without the lease, or the table, nothing is stored and nothing let go.
func TestHuntReplayIsGuarded(t *testing.T) {
	h := newHunter(t, device)
	h.answer(deviceColumns)
	h.refuse(true)
	h.answer(deviceColumns, event(1, "1", "a"))
	h.refuse(false)
	h.exec(`UPDATE sync.leases SET fence = fence + 1`)
	if _, failed := h.replay(device); len(failed) != 1 || !errors.Is(failed[0], store.ErrFenced) {
		t.Errorf("without the lease: %v", failed)
	}
	h.exec(`DROP TABLE hunting.device_events`)
	if _, failed := h.replay(device); len(failed) != 1 || !strings.Contains(failed[0].Error(), "a pass of the stream makes it") {
		t.Errorf("without the table: %v", failed)
	}
	h.want(`SELECT count(*) FROM sync.quarantine`, "1")
}
