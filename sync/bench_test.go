package sync_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"

	"github.com/jackc/pgx/v5"
)

// BenchmarkIncidents syncs 500 incidents with their alerts, over HTTP and into
// PostgreSQL, where 1 thousand or 100 thousand others are stored already. One
// operation is one pass. The answers are made beforehand; what the simulator
// needs to send them is part of the figures.
//
// new/s counts incidents of a first pass, unchanged/s those of one that reads
// them all again and writes nothing.
func BenchmarkIncidents(b *testing.B) {
	for _, d := range dialects {
		name := "graph"
		if d == defender.Older {
			name = "older"
		}
		for _, history := range []int{1_000, 100_000} {
			b.Run(fmt.Sprintf("%s/%dk", name, history/1000), func(b *testing.B) { benchmarkIncidents(b, d, history) })
		}
	}
}

// benched is how many incidents one pass reads.
const benched = 500

func benchmarkIncidents(b *testing.B, d defender.Dialect, history int) {
	r := newRig(b, rigOptions{dialect: d, documents: benchDocuments(b, d)})
	r.passOf(b, benched)
	r.addHistory(b, history)
	var allocs uint64
	var again time.Duration
	n := 0
	b.ResetTimer()
	for b.Loop() {
		b.StopTimer()
		r.forgetPass(b)
		before := mallocs()
		b.StartTimer()
		r.passOf(b, benched)
		b.StopTimer()
		allocs += mallocs() - before
		began := time.Now()
		r.rereadIncidents(b)
		again += time.Since(began)
		n += benched
		b.StartTimer()
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "new/s")
	b.ReportMetric(float64(n)/again.Seconds(), "unchanged/s")
	b.ReportMetric(float64(allocs)/float64(n), "allocs/incident")
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// benchDocuments are a world's incidents as the simulator writes them.
func benchDocuments(b *testing.B, d defender.Dialect) *defendersim.Documents {
	b.Helper()
	r := newRig(b, rigOptions{dialect: d, world: defendersim.WorldOptions{Seed: 1, Incidents: benched}})
	client := r.newClient(b, d)
	req := defender.Request{Since: r.clock.Now().Add(-180 * 24 * time.Hour)}
	var records [][]byte
	for req.Since.Before(r.clock.Now()) {
		req.Until = req.Since.Add(12 * time.Hour)
		page, err := client.Incidents(b.Context(), req)
		if err != nil || page.Next != "" || len(page.Records) == defender.OlderIncidentsTop {
			b.Fatalf("%v, or a page is full", err)
		}
		for _, rec := range page.Records {
			records = append(records, rec)
		}
		req.Since = req.Until
	}
	var graph, older [][]byte
	if d == defender.Older {
		older = records
	} else {
		graph = records
	}
	docs, err := defendersim.NewDocuments(graph, nil, older)
	if err != nil {
		b.Fatal(err)
	}
	return docs
}

// passOf makes a pass that stores that many incidents.
func (r *rig) passOf(b *testing.B, incidents int64) {
	b.Helper()
	res := r.worker.Sync(b.Context(), "", []string{defsync.IncidentsStream})[0]
	if res.Outcome != defsync.OutcomeOK || res.Inserted < incidents {
		b.Fatalf("the pass ended %s with %d inserted: %v", res.Outcome, res.Inserted, res.Err)
	}
}

// rereadIncidents makes a pass over everything that is stored already.
func (r *rig) rereadIncidents(b *testing.B) {
	b.Helper()
	r.exec(b, `UPDATE sync.checkpoints SET next_from = start_time`)
	res := r.worker.Sync(b.Context(), "", []string{defsync.IncidentsStream})[0]
	if res.Outcome != defsync.OutcomeOK || res.Read < benched || res.Inserted+res.Updated > 0 {
		b.Fatalf("the pass ended %s with %d read, %d inserted: %v", res.Outcome, res.Read, res.Inserted, res.Err)
	}
}

func (r *rig) exec(b testing.TB, sql string, args ...any) {
	b.Helper()
	if _, err := r.db.Exec(b.Context(), sql, args...); err != nil {
		b.Fatalf("%v in %s", err, sql)
	}
}

// copied is the first id of an incident of the history.
const copied = 1 << 40

// forgetPass takes back what a pass stored and leaves the history.
func (r *rig) forgetPass(b *testing.B) {
	b.Helper()
	for _, table := range []string{"alert_evidence", "alert_techniques", "alerts"} {
		r.exec(b, `DELETE FROM defender.`+table+` WHERE alert_id NOT LIKE 'copy%'`)
	}
	for _, table := range []string{"incident_comments", "incidents"} {
		r.exec(b, `DELETE FROM defender.`+table+` WHERE incident_id < $1`, int64(copied))
	}
	r.exec(b, `TRUNCATE sync.checkpoints, sync.coverage, sync.runs`)
	r.exec(b, `VACUUM defender.incidents, defender.alerts, defender.alert_evidence`)
}

// addHistory copies the incidents that are stored, with their alerts and
// evidence, under other ids and times, until there are that many more.
func (r *rig) addHistory(b *testing.B, incidents int) {
	b.Helper()
	const older = `last_update_date_time - n * interval '1 hour'`
	copies := incidents / benched
	for _, c := range []struct {
		table, where string
		as           map[string]string
	}{
		{"incidents", "true", map[string]string{"incident_id": `$1::bigint + n * 1000000::bigint + incident_id`, "last_update_date_time": older, "raw": `'{}'`}},
		{"alerts", "true", map[string]string{"alert_id": `'copy' || n || alert_id`, "incident_id": `$1::bigint + n * 1000000::bigint + incident_id`,
			"last_update_date_time": older, "raw": `'{}'`}},
		{"alert_evidence", "evidence_no <= 2", map[string]string{"alert_id": `'copy' || n || alert_id`, "raw": `to_jsonb($1::bigint)`}},
	} {
		names := r.columnsOf(b, c.table)
		values := slices.Clone(names)
		for i, name := range values {
			if as, ok := c.as[name]; ok {
				values[i] = as
			}
		}
		r.exec(b, fmt.Sprintf(`INSERT INTO defender.%s (%s) SELECT %s FROM defender.%[1]s, generate_series(1, %[4]d) AS n WHERE %[5]s`,
			c.table, strings.Join(names, ", "), strings.Join(values, ", "), copies, c.where), int64(copied))
	}
	r.exec(b, `VACUUM ANALYZE defender.incidents, defender.alerts, defender.alert_evidence`)
	if n := value[int](b, r.db, `SELECT count(*) FROM defender.incidents`); n < incidents {
		b.Fatalf("%d incidents are stored, want %d", n, incidents)
	}
}

func (r *rig) columnsOf(b *testing.B, table string) []string {
	b.Helper()
	rows, err := r.db.Query(b.Context(),
		`SELECT column_name FROM information_schema.columns WHERE table_schema = 'defender' AND table_name = $1 ORDER BY ordinal_position`, table)
	if err != nil {
		b.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.Fatal(err)
	}
	return names
}
