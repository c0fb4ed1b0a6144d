package store_test

import (
	"fmt"
	"testing"

	"defendersync/store"
)

// BenchmarkCommit writes pages of 50 incidents with 5 alerts of 6 pieces of
// evidence each, with more and more incidents stored: the cost must not grow with them.
func BenchmarkCommit(b *testing.B) {
	for _, stored := range []int{1_000, 100_000} {
		w := newWorker(b)
		w.seed(stored)
		b.Run(fmt.Sprintf("new/stored=%d", stored), func(b *testing.B) {
			id := int64(10_000_000)
			for b.Loop() {
				c := w.next()
				c.Incidents, c.Alerts = page(id)
				w.must(c)
				id += int64(len(c.Incidents))
			}
			b.ReportMetric(float64(b.N)*50/b.Elapsed().Seconds(), "incidents/s")
		})
		b.Run(fmt.Sprintf("unchanged/stored=%d", stored), func(b *testing.B) {
			c := w.next()
			c.Incidents, c.Alerts = page(1_000_000_000)
			w.must(c)
			for b.Loop() {
				c.Checkpoint = w.next().Checkpoint
				if counts := w.must(c); counts.Inserted+counts.Updated > 0 {
					b.Fatalf("counts %+v", counts)
				}
			}
			b.ReportMetric(float64(b.N)*50/b.Elapsed().Seconds(), "incidents/s")
		})
	}
}

// page makes 50 incidents from id on, with their alerts.
func page(id int64) (incidents []store.Incident, alerts []store.Alert) {
	for range 50 {
		incidents = append(incidents, incident(id, 1, comments("c")))
		for n := range 5 {
			alerts = append(alerts, alert(fmt.Sprintf("da%d_%d", id, n), 1, evidence("a", "b", "c", "d", "e", "f"), techniques("T1566")))
		}
		id++
	}
	return incidents, alerts
}

// seed stores n incidents with five alerts each without going through a commit.
func (w *worker) seed(n int) {
	w.t.Helper()
	for _, sql := range []string{
		`INSERT INTO defender.incidents (tenant_id, incident_id, last_update_date_time, raw, content_hash, first_synced_at, synced_at)
			SELECT $1, i, '2026-01-01'::timestamptz + i * interval '1 second', '{}', gen_random_uuid(), now(), now() FROM generate_series(1, $2) AS i`,
		`INSERT INTO defender.alerts (tenant_id, alert_id, incident_id, last_update_date_time, raw, content_hash, first_synced_at, synced_at)
			SELECT $1, 'da' || i || '_' || n, i, '2026-01-01'::timestamptz + i * interval '1 second', '{}', gen_random_uuid(), now(), now()
			FROM generate_series(1, $2) AS i, generate_series(1, 5) AS n`,
	} {
		if _, err := w.Pool().Exec(w.t.Context(), sql, tenant, n); err != nil {
			w.t.Fatal(err)
		}
	}
}
