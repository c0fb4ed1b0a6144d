package store_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"defendersync/store"
	"defendersync/store/storetest"
)

// thousand is an answer of n rows.
func (h *hunter) thousand(n int) {
	h.t.Helper()
	h.add(deviceColumns)
	for i := range n {
		h.addRow(deviceColumns, event(i/10, fmt.Sprint(i), "file"))
	}
}

// Known rows read again write no version of a row and next to no WAL, in every
// mode.
func TestHuntRereadIsFree(t *testing.T) {
	const n = 5000
	for _, mode := range []store.HuntMode{store.HuntEvents, store.HuntReplace, store.HuntSnapshot} {
		t.Run(string(mode), func(t *testing.T) {
			spec := device
			spec.Mode = mode
			h := newHunter(t, spec)
			h.thousand(n)
			if got, want := h.store(), (store.Counts{Inserted: n}); got != want {
				t.Fatalf("%+v, want %+v", got, want)
			}
			const versions = `SELECT md5(string_agg(row_key::text || xmin::text || xmax::text || ctid::text, ',' ORDER BY row_key)) FROM hunting.device_events`
			before := h.query(versions)
			h.exec(`CHECKPOINT`) // after which the first change of a page would write the whole page
			h.thousand(n)
			c := h.next()
			c.Hunt = h.rows
			from := h.walAt()
			if got, want := h.must(c), (store.Counts{Unchanged: n}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
			// The pages of coverage and checkpoint, whole after the CHECKPOINT.
			if wal := h.walAt() - from; wal > 64<<10 {
				t.Errorf("%d bytes of WAL", wal)
			} else {
				t.Logf("%d bytes of WAL", wal)
			}
			h.want(versions, before...)
		})
	}
}

// What a look-up costs does not grow with the table, not even while the planner
// knows nothing of it.
func TestHuntProbeReadsItsOwnKeysOnly(t *testing.T) {
	for _, mode := range []store.HuntMode{store.HuntEvents, store.HuntReplace, store.HuntSnapshot} {
		t.Run(string(mode), func(t *testing.T) {
			s, err := store.OpenWith(t.Context(), storetest.URL(t), func(c *pgxpool.Config) { c.MaxConns = 1 })
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			w := workerOn(t, s)
			if w.query(`SELECT to_regproc('pg_stat_force_next_flush') IS NULL`)[0] == "true" {
				t.Skip("PostgreSQL before 15 cannot be asked for its statistics at once")
			}
			spec := device
			spec.Mode = mode
			h := hunterOn(w, spec)
			h.thousand(100) // what is planned on an empty table
			h.store()
			h.exec(`ALTER TABLE hunting.device_events SET (autovacuum_enabled = off)`)
			const stored, again = 20_000, 6000
			h.thousand(stored)
			h.store()
			read := func() (entries, scanned int) {
				h.query(`SELECT pg_stat_force_next_flush()`)
				line := h.query(`SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE schemaname = 'hunting')::bigint,
					(SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = 'hunting')::bigint`)[0]
				a, b, _ := strings.Cut(line, " ")
				entries, _ = strconv.Atoi(a)
				scanned, _ = strconv.Atoi(b)
				return entries, scanned
			}
			entries, scanned := read()
			limit := again
			if mode == store.HuntEvents {
				h.thousand(again)
				h.store()
			} else {
				h.thousand(stored)
				h.store()
				limit = stored
			}
			after, scannedAfter := read()
			if n := after - entries; n > 2*limit {
				t.Errorf("%d index entries read for %d rows", n, limit)
			}
			if n := scannedAfter - scanned; n > 0 {
				t.Errorf("%d rows scanned", n)
			}
		})
	}
}

// Few allocations for a row: the memory of the one before is used again.
func TestHuntAddAllocates(t *testing.T) {
	h := newHunter(t, device)
	h.add(deviceColumns)
	values := [][]byte{[]byte(`"2026-11-01T00:00:00.1234567Z"`), []byte(`"device"`), []byte(`123456`), []byte(`"C:\\Windows\\x.exe"`)}
	for range 5000 {
		if err := h.rows.Add(values, nil); err != nil {
			t.Fatal(err)
		}
	}
	n := testing.AllocsPerRun(1000, func() {
		if err := h.rows.Add(values, nil); err != nil {
			t.Fatal(err)
		}
	})
	if n > 2 {
		t.Errorf("%v allocations for a row", n)
	}
}
