package store_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"defendersync/store"
	"defendersync/store/storetest"
)

// What a page costs does not grow with what is stored, not even while the
// planner knows nothing of it: on a connection that planned its first commit on
// empty tables, and before any ANALYZE, a page reads its own keys and no more.
func TestPageReadsItsOwnKeysOnly(t *testing.T) {
	s, err := store.OpenWith(t.Context(), storetest.URL(t), func(c *pgxpool.Config) { c.MaxConns = 1 })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	w := workerOn(t, s)
	if w.query(`SELECT to_regproc('pg_stat_force_next_flush') IS NULL`)[0] == "true" {
		t.Skip("PostgreSQL before 15 cannot be asked for its statistics at once")
	}
	incidents, alerts := page(1_000_000)
	changed, changedAlerts := page(1_000_000)
	send := func(incidents []store.Incident, alerts []store.Alert) {
		t.Helper()
		c := w.next()
		c.Incidents, c.Alerts = incidents, alerts
		w.must(c)
	}
	// read is how many index entries the tables' look-ups have read so far.
	read := func() map[string]int {
		t.Helper()
		w.query(`SELECT pg_stat_force_next_flush()`)
		n := map[string]int{}
		for _, line := range w.query(`SELECT relname, sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE schemaname = 'defender' GROUP BY 1`) {
			table, count, _ := strings.Cut(line, " ")
			v, err := strconv.Atoi(count)
			if err != nil {
				t.Fatal(err)
			}
			n[table] = v
		}
		return n
	}
	send(incidents[:1], alerts[:5])
	w.seed(2000)
	send(incidents, alerts)
	before := read()
	send(incidents, alerts)
	send(changed, changedAlerts)
	after := read()
	pieces := 6 * len(alerts)
	for table, limit := range map[string]int{
		"incidents": 8 * len(incidents), "incident_comments": 8 * len(incidents), "incident_history": len(incidents),
		"alerts": 8 * len(alerts), "alert_evidence": 8 * pieces, "alert_techniques": 8 * len(alerts), "alert_history": len(alerts),
	} {
		if n := after[table] - before[table]; n > limit {
			t.Errorf("%s: %d index entries read, want at most %d", table, n, limit)
		}
	}
}
