package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"defendersync/store"
	"defendersync/store/storetest"
)

// sweepSpecs are the modes, each with what a commit of the sweep finds stored:
// rows to leave, to change, and to remove.
func sweepSpecs() []store.HuntSpec {
	var all []store.HuntSpec
	for _, mode := range []store.HuntMode{store.HuntEvents, store.HuntReplace, store.HuntSnapshot} {
		all = append(all, store.HuntSpec{Name: "Sweep", Mode: mode, Key: []string{"DeviceId", "Software"}, KeyOnly: true, AutoMigrate: true})
	}
	return all
}

// Cut the wire at every write of a hunting commit, before it lands and after: it
// is there whole, or not at all, and going on ends in the same place.
func TestHuntWireCutAtEveryWrite(t *testing.T) {
	for _, spec := range sweepSpecs() {
		for _, landed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/landed=%v", spec.Mode, landed), func(t *testing.T) {
				sweep(t, spec, landed)
			})
		}
	}
}

func sweep(t *testing.T, spec store.HuntSpec, landed bool) {
	url := storetest.URL(t)
	cut := &cutter{landed: landed}
	cut.left.Store(-1)
	open := func() *store.Store {
		s, err := store.OpenWith(t.Context(), url, cut.wrap)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	w := workerOn(t, s)
	for n := int64(0); ; n++ {
		h := hunterOn(w, spec)
		h.cp.Revision, h.cp.Watermark = revision(h), at(10*2*int(n)) // two commits for each cut
		h.answer(software, installed("stays", "vim", "1"), installed("changes", "vim", "1"), installed("goes", "vim", fmt.Sprint(n)))
		h.add(software, installed("stays", "vim", "1"), installed("changes", "vim", fmt.Sprint(n+2)), installed("comes", "vim", fmt.Sprint(n)))
		h.rows.AddOdd(fmt.Appendf(nil, "odd %d", n), "no row")
		c := h.next()
		c.Hunt = h.rows
		before := h.state()
		cut.left.Store(n)
		_, _, err := h.Store.Commit(t.Context(), c)
		reached := cut.left.Load() < 0
		cut.left.Store(-1)
		s.Close()
		s = open()
		w.Store, h.Store = s, s
		h.query(`SELECT fence FROM sync.leases FOR UPDATE`) // a commit that landed holds it until it is done
		// It may also be cut before that: the server rolls back what is not locked yet.
		h.query(`SELECT count(*) FROM hunting.sweep`)
		committed := revision(h) == c.Checkpoint.Revision+1
		after := h.state()
		switch {
		case err == nil && !committed:
			t.Fatalf("cut at write %d: reported as stored, but is not", n)
		case !committed && before != after:
			t.Fatalf("cut at write %d: not stored, and yet something was:\n%s\n%s", n, before, after)
		}
		if !committed {
			again := hunterOn(w, spec)
			again.add(software, installed("stays", "vim", "1"), installed("changes", "vim", fmt.Sprint(n+2)), installed("comes", "vim", fmt.Sprint(n)))
			again.rows.AddOdd(fmt.Appendf(nil, "odd %d", n), "no row")
			c.Hunt = again.rows
			if _, _, err := s.Commit(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		h.wantSwept(n)
		if !reached {
			t.Logf("%d writes cut", n)
			s.Close()
			if n < 5 {
				t.Errorf("a commit took %d writes only: the sweep is not one", n)
			}
			return
		}
	}
}

func revision(h *hunter) int64 {
	h.t.Helper()
	cp, err := h.Checkpoint(h.t.Context(), tenant, h.cp.Stream)
	if err != nil {
		h.t.Fatal(err)
	}
	return cp.Revision
}

// state is all that a commit writes.
func (h *hunter) state() string {
	var all []string
	for _, table := range []string{"hunting.sweep", "sync.coverage", "sync.quarantine", "sync.checkpoints"} {
		all = append(all, h.query(`SELECT x::text FROM `+table+` AS x ORDER BY 1`)...)
	}
	return strings.Join(all, "\n")
}

// wantSwept compares what is there after commit n of the sweep.
func (h *hunter) wantSwept(n int64) {
	h.t.Helper()
	present, table := []string{fmt.Sprint("changes ", n+2), fmt.Sprint("comes ", n), "stays 1"}, "hunting.sweep"
	switch h.spec.Mode {
	case store.HuntSnapshot:
		table = "hunting.sweep_current"
	case store.HuntEvents:
		present = []string{present[0], present[1], fmt.Sprint("goes ", n), present[2]}
	}
	h.want(`SELECT device_id, version FROM `+table+` ORDER BY 1`, present...)
	h.want(`SELECT count(*) FROM sync.coverage`, fmt.Sprint(2*(n+1)))
	h.want(`SELECT count(*) FROM sync.quarantine`, fmt.Sprint(n+1))
}

// A failure between the rows that were removed and those that take their place
// leaves the old result.
func TestHuntReplaceIsAtomic(t *testing.T) {
	h := newHunter(t, store.HuntSpec{Mode: store.HuntReplace, AutoMigrate: true})
	h.answer(software, installed("d1", "vim", "1"))
	h.exec(`CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'disk full' USING ERRCODE = '53100'; END $$`)
	h.exec(`CREATE TRIGGER fail BEFORE INSERT ON hunting.device_events FOR EACH STATEMENT EXECUTE FUNCTION fail()`)
	h.add(software, installed("d2", "vim", "1"))
	c := h.next()
	c.Hunt = h.rows
	if _, _, err := h.Store.Commit(t.Context(), c); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Fatalf("error %v", err)
	}
	h.want(`SELECT device_id FROM hunting.device_events`, "d1")
	h.exec(`DROP TRIGGER fail ON hunting.device_events`)
	h.must(c) // the rows are still there
	h.want(`SELECT device_id FROM hunting.device_events`, "d2")
}

// A worker that has lost the lease writes nothing: not when it lost it before,
// nor while it was loading.
func TestHuntFenced(t *testing.T) {
	h := newHunter(t, device)
	h.answer(deviceColumns, event(1, "1", "a"))
	lose := `UPDATE sync.leases SET fence = fence + 1`
	h.add(deviceColumns, event(2, "2", "b"))
	c := h.next()
	c.Hunt = h.rows
	h.exec(`CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ` + lose + `; RETURN NULL; END $$`)
	h.exec(`CREATE TRIGGER lose AFTER INSERT ON hunting.device_events FOR EACH STATEMENT EXECUTE FUNCTION lose()`)
	if _, _, err := h.Store.Commit(t.Context(), c); !errors.Is(err, store.ErrFenced) {
		t.Errorf("lost while loading: %v", err)
	}
	h.exec(`DROP TRIGGER lose ON hunting.device_events`)
	h.exec(lose)
	h.exec(`CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'a row was written'; END $$`)
	h.exec(`CREATE TRIGGER fail AFTER INSERT ON hunting.device_events FOR EACH STATEMENT EXECUTE FUNCTION fail()`)
	if _, _, err := h.Store.Commit(t.Context(), c); !errors.Is(err, store.ErrFenced) {
		t.Errorf("lost before: %v", err)
	}
	h.want(`SELECT report_id FROM hunting.device_events`, "1")
	h.want(`SELECT revision FROM sync.checkpoints`, "1")
}

// While rows are loaded the lease can be renewed.
func TestHuntLoadDoesNotHoldTheLease(t *testing.T) {
	h := newHunter(t, device)
	h.answer(deviceColumns, event(1, "1", "a"))
	// Where the row of the lease were locked, the load would wait for itself.
	h.exec(`CREATE FUNCTION renew() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		PERFORM FROM pg_locks WHERE relation = 'sync.leases'::regclass AND mode IN ('RowShareLock', 'RowExclusiveLock') AND pid = pg_backend_pid();
		IF FOUND THEN RAISE 'the lease is locked'; END IF;
		RETURN NULL;
	END $$`)
	h.exec(`CREATE TRIGGER renew AFTER INSERT ON hunting.device_events FOR EACH STATEMENT EXECUTE FUNCTION renew()`)
	if got, want := h.answer(deviceColumns, event(2, "2", "b")), (store.Counts{Inserted: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// A row that another writer stored between the look-up and the copy: the whole
// commit is made again, and finds it.
func TestHuntOtherWriter(t *testing.T) {
	h := newHunter(t, device)
	h.answer(deviceColumns, event(1, "1", "a"))
	other := h.query(`SELECT row_key::text FROM hunting.device_events`)[0]
	// The first copy meets the key, which the probe did not see.
	h.exec(`CREATE SEQUENCE tries`)
	h.exec(`CREATE FUNCTION meet() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF nextval('tries') = 1 THEN NEW.row_key := '` + other + `'; END IF;
		RETURN NEW;
	END $$`)
	h.exec(`CREATE TRIGGER meet BEFORE INSERT ON hunting.device_events FOR EACH ROW EXECUTE FUNCTION meet()`)
	if got, want := h.answer(deviceColumns, event(1, "1", "a"), event(2, "2", "b"), event(3, "3", "c")), (store.Counts{Inserted: 2, Unchanged: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	h.want(`SELECT report_id FROM hunting.device_events ORDER BY 1`, "1", "2", "3")
	h.want(`SELECT revision, rows FROM sync.checkpoints`, "2 3")
}

// A row that PostgreSQL refuses goes to quarantine with what would have been
// stored, and leaves it when it can be stored; the others are stored at once.
func TestHuntRefusedRow(t *testing.T) {
	for _, mode := range []store.HuntMode{store.HuntEvents, store.HuntReplace, store.HuntSnapshot} {
		t.Run(string(mode), func(t *testing.T) {
			spec := device
			spec.Mode, spec.KeyOnly = mode, true
			h := newHunter(t, spec)
			h.answer(deviceColumns, event(7, "7", "old"))
			h.exec(`ALTER TABLE hunting.device_events ADD CONSTRAINT poison CHECK (file_name <> 'poison')`)
			var rows []row
			for n := range 40 {
				rows = append(rows, event(n, fmt.Sprint(n), "fine"))
			}
			rows[7], rows[23] = event(7, "7", "poison"), event(23, "23", "poison")
			if got, want := h.answer(deviceColumns, rows...), (store.Counts{Inserted: 38}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
			h.want(`SELECT count(*), count(*) FILTER (WHERE file_name = 'old') FROM hunting.device_events`, "39 1")
			h.want(`SELECT kind, stream, convert_from(payload, 'UTF8') FROM sync.quarantine ORDER BY 3 DESC`,
				`hunting_row hunting/device_events {"DeviceId":"d1","FileName":"poison","ReportId":7,"Timestamp":"2026-11-01T00:00:07Z"}`,
				`hunting_row hunting/device_events {"DeviceId":"d1","FileName":"poison","ReportId":23,"Timestamp":"2026-11-01T00:00:23Z"}`)
			h.answer(deviceColumns, rows...)
			h.want(`SELECT attempts FROM sync.quarantine`, "1", "1")
			h.exec(`ALTER TABLE hunting.device_events DROP CONSTRAINT poison`)
			h.answer(deviceColumns, rows...)
			h.want(`SELECT count(*) FROM sync.quarantine`, "0")
			h.want(`SELECT count(*) FROM hunting.device_events WHERE file_name = 'poison'`, "2")
		})
	}
}

// Every kind of value can be read back from what was encoded.
func TestHuntRefusedRowOfEveryType(t *testing.T) {
	h := newHunter(t, store.HuntSpec{AutoMigrate: true})
	cols := columns("B", "SByte", "I", "Int32", "L", "Int64", "N", "SqlDecimal", "R", "Double", "G", "Guid", "S", "TimeSpan", "D", "DateTime", "O", "Object", "T", "String", "Z", "String")
	h.answer(cols)
	h.exec(`ALTER TABLE hunting.device_events ADD CHECK (false)`)
	h.answer(cols, row{"B": "1", "I": "2", "L": "9007199254740993", "N": `"1.50"`, "R": `"NaN"`, "G": `"6f9619ff-8b86-d011-b42d-00cf4fc964ff"`, "S": `"1.02:03:04"`,
		"D": `"2026-11-20T00:00:00.5Z"`, "O": `{"a":1}`, "T": `"é"`, "X": `[1]`})
	got := strings.Join(h.query(`SELECT convert_from(payload, 'UTF8') FROM sync.quarantine`), "")
	for _, part := range []string{`"B":true`, `"I":2`, `"L":9007199254740993`, `"N":"1.50"`, `"R":"NaN"`, `6f9619ff-8b86-d011-b42d-00cf4fc964ff`, `"S":"P1DT2H3M4.000000S"`, `2026-11-20T00:00:00.5Z`, `"O":{"a":1}`, `"T":"é"`, `"X":[1]`} {
		if !strings.Contains(got, part) {
			t.Errorf("%s is not in %s", part, got)
		}
	}
	if strings.Contains(got, `"Z"`) {
		t.Errorf("NULL is in %s", got)
	}
}

// What is no row at all goes to quarantine once, however many there are.
func TestHuntOddRows(t *testing.T) {
	h := newHunter(t, device)
	for range 2 {
		h.add(deviceColumns)
		h.rows.AddOdd([]byte("torn off"), "x")
		h.add(deviceColumns, event(1, "1", "a"))
		for n := range 250 {
			h.rows.AddOdd(fmt.Appendf(nil, "[%d]", n), "no object")
		}
		h.rows.AddOdd(make([]byte, 3<<20), "long")
		h.store()
	}
	h.want(`SELECT count(*), max(length(payload)), max(attempts), min(kind) FROM sync.quarantine`, fmt.Sprintf("251 %d 1 hunting_row", 1<<20))
	h.want(`SELECT count(*) FROM hunting.device_events`, "1")
}

// PostgreSQL's request to try again is obeyed, and a conflict of checkpoints
// leaves nothing.
func TestHuntConflict(t *testing.T) {
	h := newHunter(t, device)
	h.answer(deviceColumns, event(1, "1", "a"))
	h.add(deviceColumns, event(2, "2", "b"))
	c := h.next()
	c.Hunt, c.Checkpoint.Revision = h.rows, 7
	if _, _, err := h.Store.Commit(t.Context(), c); !errors.Is(err, store.ErrConflict) {
		t.Errorf("error %v", err)
	}
	h.want(`SELECT count(*) FROM hunting.device_events`, "1")
	// What comes after is another result: the rows of the one before are not in it.
	if got, want := h.answer(deviceColumns, event(3, "3", "c")), (store.Counts{Inserted: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	h.want(`SELECT report_id FROM hunting.device_events ORDER BY 1`, "1", "3")
}
