package store_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"defendersync/store"
	"defendersync/store/storetest"
)

// Records are counted by the hour in which they were created or happened: its
// begin is in it and its end is not, no other tenant's, and no more than asked for.
func TestHourRows(t *testing.T) {
	ctx, w := t.Context(), newWorker(t)
	hour := t0.Truncate(time.Hour).Add(-48 * time.Hour)
	times := []time.Time{hour.Add(-time.Millisecond), hour, hour.Add(time.Minute), hour.Add(time.Hour - time.Millisecond), hour.Add(time.Hour)}
	var rows []any
	for i, at := range times {
		rows = append(rows, incident(int64(i+1), 5, func(n *store.Incident) { n.CreatedDateTime = &at }),
			alert(fmt.Sprint(i), 5, func(a *store.Alert) { a.CreatedDateTime = &at }))
	}
	w.commit(rows...)
	h := hunterOn(w, store.HuntSpec{TimeColumn: "Timestamp", Key: []string{"Timestamp", "Id"}, AutoMigrate: true})
	cols := columns("Timestamp", "DateTime", "Id", "Int64")
	var served []row
	for i, at := range times {
		served = append(served, row{"Timestamp": quoted(at.Format(time.RFC3339Nano)), "Id": fmt.Sprint(i)})
	}
	h.answer(cols, served...)
	const other = "99999999-9999-4999-8999-999999999999"
	for _, v := range []store.Volume{{TenantID: tenant, Stream: "incidents"}, {TenantID: tenant, Stream: "alerts"}, {TenantID: tenant, Stream: "hunting/device_events", Hunt: &h.spec}} {
		got, err := w.HourRows(ctx, v, []time.Time{hour.Add(time.Hour), hour, hour.Add(-time.Hour), hour.Add(-7 * 24 * time.Hour)}, 2)
		if want := []int64{1, 2, 1, 0}; err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v, want %v", v.Stream, got, err, want)
		}
		newest := func(v store.Volume, from, to time.Time) time.Time {
			t.Helper()
			at, err := w.Newest(ctx, v, from, to)
			if err != nil {
				t.Fatal(err)
			}
			return at.UTC()
		}
		if got, want := newest(v, hour.Add(-time.Hour), hour.Add(time.Hour)), times[3]; !got.Equal(want) {
			t.Errorf("%s: the newest is of %s, want %s", v.Stream, got, want)
		}
		if got := newest(v, hour.Add(2*time.Hour), hour.Add(9*time.Hour)); !got.IsZero() {
			t.Errorf("%s: the newest of nothing is of %s", v.Stream, got)
		}
		if v.TenantID = other; !newest(v, hour.Add(-time.Hour), hour.Add(9*time.Hour)).IsZero() {
			t.Errorf("%s: a record of another tenant", v.Stream)
		}
	}
	spec := h.spec
	spec.Name = "NotMade"
	v := store.Volume{TenantID: tenant, Stream: "hunting/not_made", Hunt: &spec}
	if got, err := w.HourRows(ctx, v, []time.Time{hour}, 9); err != nil || !slices.Equal(got, []int64{0}) {
		t.Errorf("of a table that was not made: %v, %v", got, err)
	}
}

// What a pass asks each time reads an entry or two of an index, however much is
// stored, and an hour no more than it is counted to.
func TestVolumeReadsLittle(t *testing.T) {
	s, err := store.OpenWith(t.Context(), storetest.URL(t), func(c *pgxpool.Config) { c.MaxConns = 1 })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	w := workerOn(t, s)
	if w.query(`SELECT to_regproc('pg_stat_force_next_flush') IS NULL`)[0] == "true" {
		t.Skip("PostgreSQL before 15 cannot be asked for its statistics at once")
	}
	const stored, most, few = 20_000, 1000, 10 // one a second; the planner looks at an entry or two, too
	h := hunterOn(w, store.HuntSpec{TimeColumn: "Timestamp", Key: []string{"Timestamp", "Id"}, AutoMigrate: true})
	var served []row
	for i := range stored {
		served = append(served, row{"Timestamp": quoted(t0.Add(-time.Duration(i+1) * time.Second).Format(time.RFC3339)), "Id": fmt.Sprint(i)})
	}
	h.answer(columns("Timestamp", "DateTime", "Id", "Int64"), served...)
	h.exec(`
		INSERT INTO defender.alerts (tenant_id, alert_id, created_date_time, last_update_date_time, raw, content_hash, first_synced_at, synced_at)
		SELECT $1, 'seed' || n, $2::timestamptz - n * interval '1 second', $2, '{}', gen_random_uuid(), $2, $2 FROM generate_series(1, $3) AS n`, tenant, t0, stored)
	h.exec(`ANALYZE`)
	// read is how many rows or entries were read of both tables so far.
	read := func() int {
		t.Helper()
		w.query(`SELECT pg_stat_force_next_flush()`)
		n, err := strconv.Atoi(w.query(`
			SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname IN ('alerts', 'device_events'))::bigint
				+ (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname IN ('alerts', 'device_events'))::bigint`)[0])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, v := range []store.Volume{{TenantID: tenant, Stream: "alerts"}, {TenantID: tenant, Stream: "hunting/device_events", Hunt: &h.spec}} {
		before := read()
		if at, err := w.Newest(t.Context(), v, t0.Add(-24*time.Hour), t0); err != nil || at.IsZero() {
			t.Fatal(at, err)
		}
		if n := read() - before; n > few {
			t.Errorf("%s: %d read for the newest", v.Stream, n)
		}
		before = read()
		rows, err := w.HourRows(t.Context(), v, []time.Time{t0.Add(-time.Hour), t0.Add(-3 * time.Hour)}, most)
		if err != nil || !slices.Equal(rows, []int64{most, most}) {
			t.Fatal(rows, err)
		}
		if n := read() - before; n > 2*most+few {
			t.Errorf("%s: %d read for two hours of %d", v.Stream, n, most)
		}
	}
}
