package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"defendersync/store"
)

// snapshot is what is read in several answers in these tests.
var snapshot = store.HuntSpec{Mode: store.HuntSnapshot, Key: []string{"DeviceId", "Software"}, KeyOnly: true, AutoMigrate: true}

// part accepts an answer and stores it as a part.
func (h *hunter) part(cols []store.HuntColumn, rows ...row) store.HuntHeld {
	h.t.Helper()
	h.add(cols, rows...)
	h.rows.Keep()
	return h.keepPart()
}

// keepPart stores what was accepted as parts.
func (h *hunter) keepPart() store.HuntHeld {
	h.t.Helper()
	held := h.rows.Held()
	if counts := h.must(&store.Commit{Lease: h.lease, RunID: run, Checkpoint: h.cp, Hunt: h.rows, Parts: store.PartsAdded}); counts != (store.Counts{}) {
		h.t.Errorf("a part was counted: %+v", counts)
	}
	return held
}

// after is the worker that goes on where h was killed.
func (h *hunter) after(spec store.HuntSpec) *hunter {
	h.t.Helper()
	next := hunterOn(h.worker, spec)
	next.cp = h.cp
	return next
}

// finish stores the whole result, and removes its parts.
func (h *hunter) finish() store.Counts {
	h.t.Helper()
	c := h.next()
	c.Hunt, c.Parts = h.rows, store.PartsRemoved
	return h.must(c)
}

// A result goes on in another process where the one before was killed: with
// every kind of value, several columns, what is no row, and rows longer than a
// part. Until it is whole nobody sees any of it, and then no part is left.
func TestHuntPartsGoOn(t *testing.T) {
	h := newHunter(t, snapshot)
	h.answer(software, installed("old", "vim", "1"))
	sized := append(columns("Size", "Int64"), software...)
	h.part(software, installed("d1", "vim", "1"), installed("d2", "vim", strings.Repeat("long ", 500_000)))
	h.part(software)
	h.add(software, installed("torn", "off", "1"))
	h.add(sized, row{"DeviceId": `"d3"`, "Software": `"git"`, "Size": "9", "More": `{"a": [1]}`})
	h.rows.AddOdd([]byte("[1]"), "no row")
	h.rows.Keep()
	held := h.keepPart()
	h.want(`SELECT count(*), count(*) FILTER (WHERE length(bytes) = 1048576), max(part_no) FROM sync.hunting_parts`, "5 2 5")
	h.want(`SELECT device_id FROM hunting.device_events`, "old")
	h.want(`SELECT count(*) FROM sync.quarantine`, "0")
	if held.Answers != 3 || held.Rows != 3 {
		t.Errorf("%+v is held", held)
	}
	for range 2 { // killed once more before anything was added
		h = h.after(snapshot)
		if err := h.rows.Restore(t.Context(), h.cp.Stream, held); err != nil {
			t.Fatal(err)
		}
	}
	held = h.part(sized, row{"DeviceId": `"d4"`, "Software": `"git"`, "Size": `"none"`})
	h = h.after(snapshot)
	if err := h.rows.Restore(t.Context(), h.cp.Stream, held); err != nil {
		t.Fatal(err)
	}
	h.add(software, installed("d5", "git", "1"))
	if got, want := h.finish(), (store.Counts{Inserted: 5}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	h.want(`SELECT device_id, software, length(version), size, extra::text FROM hunting.device_events_current ORDER BY 1`,
		"d1 vim 1 <nil> <nil>", "d2 vim 2500000 <nil> <nil>", `d3 git <nil> 9 {"More": {"a": [1]}}`, `d4 git <nil> <nil> {"Size": "none"}`, "d5 git 1 <nil> <nil>")
	h.want(`SELECT convert_from(payload, 'UTF8'), reason FROM sync.quarantine`, "[1] no row")
	h.want(`SELECT count(*) FROM sync.hunting_parts`, "0")
	// What was read in one go is the same to the last byte.
	h.add(software, installed("d1", "vim", "1"), installed("d2", "vim", strings.Repeat("long ", 500_000)))
	h.rows.Keep()
	h.add(sized, row{"DeviceId": `"d3"`, "Software": `"git"`, "Size": "9", "More": `{"a": [1]}`}, row{"DeviceId": `"d4"`, "Software": `"git"`, "Size": `"none"`})
	h.rows.Keep()
	h.add(software, installed("d5", "git", "1"))
	if got, want := h.store(), (store.Counts{Unchanged: 5}); got != want {
		t.Errorf("read in one go: %+v, want %+v", got, want)
	}
}

// More rows and bytes than are kept in memory come back, too.
func TestHuntPartsLargerThanMemory(t *testing.T) {
	const n, answers = 3000, 6
	h := newHunter(t, snapshot)
	var held store.HuntHeld
	for a := range answers {
		store.LimitIndex(h.rows, n)
		h.add(software)
		for i := range n {
			h.addRow(software, installed(fmt.Sprint("d", a, "-", i), "vim", fmt.Sprintf("%0800d", i)))
		}
		h.rows.Keep()
		held = h.keepPart()
		h = h.after(snapshot)
		store.LimitIndex(h.rows, n)
		if err := h.rows.Restore(t.Context(), h.cp.Stream, held); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := h.finish(), (store.Counts{Inserted: n * answers}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	h.want(`SELECT count(*), count(DISTINCT device_id), sum(version::numeric)::bigint FROM hunting.device_events`,
		fmt.Sprintf("%d %[1]d %d", n*answers, answers*n*(n-1)/2))
}

// Parts that are not all there, or that would be laid out in another way now,
// are of no use, and nothing of them is loaded.
func TestHuntPartsLost(t *testing.T) {
	private, keyed, failing := snapshot, snapshot, snapshot
	private.Hash = []string{"DeviceId"}
	keyed.Key = []string{"DeviceId"}
	failing.OnNewColumn = "ignore"
	for name, c := range map[string]struct {
		sql  string
		spec store.HuntSpec
	}{
		"crashed server":    {`TRUNCATE sync.hunting_parts`, snapshot},
		"missing part":      {`DELETE FROM sync.hunting_parts WHERE part_no = 2`, snapshot},
		"missing last part": {`DELETE FROM sync.hunting_parts WHERE part_no = 3`, snapshot},
		"other reading":     {`UPDATE sync.hunting_parts SET reading = '00000000-0000-4000-8000-000000000000'`, snapshot},
		"other stream":      {`UPDATE sync.hunting_parts SET stream = 'hunting/other'`, snapshot},
		"cut":               {`UPDATE sync.hunting_parts SET bytes = substr(bytes, 1, length(bytes) - 1) WHERE part_no = 2`, snapshot},
		"longer":            {`UPDATE sync.hunting_parts SET bytes = bytes || '\x00' WHERE part_no = 2`, snapshot},
		"garbage":           {`UPDATE sync.hunting_parts SET bytes = set_byte(bytes, 0, 7)`, snapshot},
		"size out of range": {`UPDATE sync.hunting_parts SET bytes = set_byte(bytes, 1, 255)`, snapshot},
		"column of a type":  {`UPDATE sync.hunting_columns SET type = 'jsonb' WHERE column_name = 'version'`, snapshot},
		"private now":       {`SELECT`, private},
		"another key":       {`SELECT`, keyed},
		"another policy":    {`SELECT`, failing},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHunter(t, snapshot)
			h.part(software, installed("d1", "vim", "1"))
			h.part(software, installed("d2", "vim", "1"))
			held := h.part(software, installed("d3", "vim", "1"))
			h.exec(c.sql)
			h = h.after(c.spec)
			if err := h.rows.Restore(t.Context(), h.cp.Stream, held); !errors.Is(err, store.ErrPartsLost) {
				t.Errorf("error %v", err)
			}
			if h.rows.Len() != 0 {
				t.Errorf("%d rows were loaded", h.rows.Len())
			}
			// The reading that begins anew is not in the way of what is left of the old one.
			h.part(software, installed("d1", "vim", "1"))
			h.add(software, installed("d2", "vim", "1"))
			if got, want := h.finish(), (store.Counts{Inserted: 2}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
			h.want(`SELECT count(*) FROM sync.hunting_parts WHERE stream = 'hunting/device_events'`, "0")
		})
	}
}

// A worker that has lost the lease, or whose checkpoint was moved, stores no
// part; nor do rows of events, which are stored as they come.
func TestHuntPartsAreGuarded(t *testing.T) {
	h := newHunter(t, snapshot)
	h.part(software, installed("d1", "vim", "1"))
	h.add(software, installed("d2", "vim", "1"))
	h.rows.Keep()
	try := func(want error, change func(*store.Commit)) {
		t.Helper()
		c := &store.Commit{Lease: h.lease, RunID: run, Checkpoint: h.cp, Hunt: h.rows, Parts: store.PartsAdded}
		change(c)
		if _, _, err := h.Store.Commit(t.Context(), c); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("error %v, want %v", err, want)
		}
		h.want(`SELECT count(*) FROM sync.hunting_parts`, "1")
		h.want(`SELECT revision FROM sync.checkpoints`, "1")
	}
	try(store.ErrConflict, func(c *store.Commit) { c.Checkpoint.Revision = 7 })
	try(nil, func(c *store.Commit) { c.Hunt = nil })
	try(nil, func(c *store.Commit) { c.Hunt = hunterOn(h.worker, device).rows })
	lose := `UPDATE sync.leases SET fence = fence + 1`
	h.exec(`CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ` + lose + `; RETURN NULL; END $$`)
	h.exec(`CREATE TRIGGER lose AFTER INSERT ON sync.hunting_parts FOR EACH STATEMENT EXECUTE FUNCTION lose()`)
	try(store.ErrFenced, func(*store.Commit) {})
	h.exec(`DROP TRIGGER lose ON sync.hunting_parts`)
	h.exec(lose)
	h.exec(`CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'a part was written'; END $$`)
	h.exec(`CREATE TRIGGER fail AFTER INSERT ON sync.hunting_parts FOR EACH STATEMENT EXECUTE FUNCTION fail()`)
	try(store.ErrFenced, func(*store.Commit) {})
}

// A part that meets one of a worker that lost the lease is written again, when
// the fence has been asked again.
func TestHuntPartsMeetAnotherWorkers(t *testing.T) {
	h := newHunter(t, snapshot)
	h.part(software, installed("d1", "vim", "1"))
	h.exec(`CREATE SEQUENCE tries`)
	h.exec(`CREATE FUNCTION meet() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF nextval('tries') = 1 THEN NEW.part_no := 1; END IF;
		RETURN NEW;
	END $$`)
	h.exec(`CREATE TRIGGER meet BEFORE INSERT ON sync.hunting_parts FOR EACH ROW EXECUTE FUNCTION meet()`)
	h.part(software, installed("d2", "vim", "1"))
	h.want(`SELECT part_no FROM sync.hunting_parts ORDER BY 1`, "1", "2")
}

// The parts of a stream that is read no more go with the next one's.
func TestHuntPartsOfForgottenStreams(t *testing.T) {
	h := newHunter(t, snapshot)
	other := snapshot
	other.Name = "Other"
	hunterOn(h.worker, other).part(software, installed("d1", "vim", "1"))
	other.Name = "Fresh"
	hunterOn(h.worker, other).part(software, installed("d1", "vim", "1"))
	h.exec(`UPDATE sync.hunting_parts SET kept_at = kept_at - interval '25 hours' WHERE stream = 'hunting/other'`)
	h.part(software, installed("d1", "vim", "1"))
	h.want(`SELECT stream FROM sync.hunting_parts ORDER BY 1`, "hunting/device_events", "hunting/fresh")
}

// Parts hold what is private as little as the table does, and are not logged.
func TestHuntPartsArePrivateAndNotLogged(t *testing.T) {
	const secret = "secret-person"
	spec := snapshot
	spec.Key, spec.Hash, spec.Drop = nil, []string{"Software"}, []string{"Version"}
	h := newHunter(t, spec)
	h.answer(software)
	rows := make([]row, 5000)
	for i := range rows {
		rows[i] = installed(fmt.Sprintf("%0200d", i), secret, secret)
	}
	h.add(software, rows...)
	h.rows.AddOdd([]byte(`"`+secret+`"`), "no object")
	h.rows.Keep()
	h.exec(`CHECKPOINT`)
	from := h.walAt()
	h.keepPart()
	if wal := h.walAt() - from; wal > 64<<10 {
		t.Errorf("%d bytes of WAL for a part of %d", wal, h.rows.Bytes())
	}
	h.want(`SELECT count(*) FILTER (WHERE position('`+secret+`'::bytea IN bytes) > 0), count(*) > 1 FROM sync.hunting_parts`, "0 true")
}
