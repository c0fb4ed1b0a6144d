package sync_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/defendersim"
)

// hunts are the sources that TestHuntingEqualsSource reads, of each dialect.
const hunts = 12

// TestHuntingEqualsSource reads three tables of different shape through answers
// so small that everything splits: by time, and in crowded microseconds and
// seconds by hash. Every row is there as often as at the source, with every
// value; every instant is vouched for; and reading again writes nothing.
func TestHuntingEqualsSource(t *testing.T) {
	for _, d := range dialects {
		for seed := range fewer(hunts, 6, 2) {
			t.Run(fmt.Sprintf("%s/%d", d, seed), func(t *testing.T) {
				t.Parallel()
				r := newHuntRig(t, huntOptions{rigOptions: rigOptions{dialect: d, sim: defendersim.Options{HuntEncoding: encodings[seed%len(encodings)]}},
					tables: filled(uint64(seed), 900), hunts: threeHunts(), cap: 60 + 20*(seed%4)})
				r.sync(t)
				r.huntEqualsSource(t)
				r.vouched(t)
				r.idleHunt(t)
			})
		}
	}
}

// TestHuntingCapOfThousand is the same with more rows and the cap of a thousand.
func TestHuntingCapOfThousand(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		r := newHuntRig(t, huntOptions{rigOptions: rigOptions{dialect: d}, tables: filled(100, fewer(12_000, 12_000, 4_000)), hunts: threeHunts(), cap: 1000})
		r.sync(t)
		r.huntEqualsSource(t)
		r.vouched(t)
		r.idleHunt(t)
	})
}

// encodings are the ways in which a service may write what is not documented.
var encodings = []defendersim.HuntEncoding{
	{},
	{BoolAs: "1", DynamicAsString: true, DecimalAsString: true},
	{BoolAs: "True", OmitNulls: true, AnnotateODataTypes: true},
	{PascalSchemaOnGraph: true, DecimalAsString: true},
}

// filled makes the three tables, up to the rigs' present.
func filled(seed uint64, n int) *defendersim.HuntTables {
	tables := defendersim.NewHunting()
	fill(tables, seed, n, newClock().Now().Add(-10*time.Minute))
	return tables
}

// idleHunt reads everything once more, from the start, and nothing is written.
func (r *rig) idleHunt(t testing.TB) {
	t.Helper()
	const marks = `SELECT coalesce(string_agg(ctid::text || xmin::text || row_key::text, ',' ORDER BY row_key), '') FROM hunting.`
	before := map[string]string{}
	for _, h := range r.opt.hunts {
		before[h.Name] = value[string](t, r.db, marks+tableOf(h))
	}
	if _, err := r.db.Exec(t.Context(), `UPDATE sync.checkpoints SET next_from = start_time`); err != nil {
		t.Fatal(err)
	}
	for _, res := range r.sync(t) {
		if res.Inserted+res.Updated > 0 {
			t.Errorf("%s: %d rows inserted and %d updated by reading again what is there", res.Stream, res.Inserted, res.Updated)
		}
	}
	for _, h := range r.opt.hunts {
		if value[string](t, r.db, marks+tableOf(h)) != before[h.Name] {
			t.Errorf("%s: row versions were written", h.Name)
		}
	}
}

func tableOf(h *defsync.Hunt) string {
	return strings.TrimPrefix(defsync.HuntingStream(h.Name), "hunting/")
}

// TestLateRowsAreFound makes rows visible long after their time. No overlap
// reaches them; the comparison with the source finds the hours that differ, and
// asks for those only.
func TestLateRowsAreFound(t *testing.T) {
	eachDialect(t, func(t *testing.T, d defender.Dialect) {
		tables := defendersim.NewHunting()
		tables.AddTable(processTable)
		r := newHuntRig(t, huntOptions{rigOptions: rigOptions{dialect: d}, tables: tables, hunts: threeHunts()[:1], cap: 1000})
		now := r.clock.Now()
		for i := range 600 {
			tables.AddRows(processTable.Name, process(now.Add(-time.Duration(i)*67*time.Minute), i))
		}
		late := map[int64]bool{}
		for i := range 7 {
			row := process(now.Add(-time.Duration(5+13*i)*time.Hour), 10_000+i)
			row.Visible = now.Add(time.Duration(1+10*i) * time.Hour)
			tables.AddRows(processTable.Name, row)
			late[row.Ticks/int64(time.Hour/100)] = true
		}
		r.sync(t)
		r.clock.advance(72 * time.Hour)
		r.sync(t)
		dry := r.reconcile(t, defsync.ReconcileRequest{DryRun: true})[0]
		if dry.Differing != len(late) || dry.Healed != 0 || dry.Source-dry.Stored != int64(len(late)) || dry.Calls != 1 {
			t.Errorf("dry run: %+v, want %d hours that differ", dry, len(late))
		}
		sent := len(r.sim.Requests())
		done := r.reconcile(t, defsync.ReconcileRequest{})[0]
		if done.Healed != len(late) || done.After != done.Source {
			t.Errorf("healed %d hours of %d: %+v", done.Healed, len(late), done)
		}
		r.huntEqualsSource(t)
		for _, q := range r.huntCalls(sent) {
			if since, ok := windowOf(q.Query); ok && !late[since.Unix()/3600] {
				t.Errorf("an hour that did not differ was asked for: %s", q.Query)
			}
		}
		r.vouched(t)
		if again := r.reconcile(t, defsync.ReconcileRequest{})[0]; again.Calls != 1 || again.Differing != 0 {
			t.Errorf("a second comparison: %+v", again)
		}
	})
}

// process is one row of the table of processes, of its own key.
func process(at time.Time, id int) defendersim.HuntRow {
	return defendersim.HuntRow{Ticks: int64(defendersim.TicksOf(at)), Values: []any{nil, fmt.Sprintf("dev%d", id%7), "host", "cmd.exe", int64(id),
		"cmd.exe /c dir", int64(id), fmt.Sprint(id), true, int64(id), nil, int64(id)}}
}

// TestDuplicatesOfAKeyAreExplained: a key folds the exact duplicates of its
// table, and so its hours have fewer rows than the source. That is looked into once.
func TestDuplicatesOfAKeyAreExplained(t *testing.T) {
	r := newHuntRig(t, huntOptions{tables: filled(5, 300), hunts: threeHunts()[:1], cap: 500})
	r.sync(t)
	first := r.reconcile(t, defsync.ReconcileRequest{})[0]
	if first.Differing == 0 || first.Unexplained() != first.Differing {
		t.Errorf("the first comparison: %+v", first)
	}
	second := r.reconcile(t, defsync.ReconcileRequest{})[0]
	if second.Differing != first.Differing || second.Unexplained() != 0 || second.Calls != 1 {
		t.Errorf("the second comparison: %+v", second)
	}
}

func (r *rig) reconcile(t testing.TB, req defsync.ReconcileRequest) []defsync.Reconciled {
	t.Helper()
	results := r.worker.Reconcile(t.Context(), req)
	for _, res := range results {
		if res.Err != nil {
			t.Fatalf("%s: %v", res.Stream, res.Err)
		}
	}
	return results
}

// windowOf reads the begin of the window of a query that fetches rows.
func windowOf(text string) (time.Time, bool) {
	if strings.Contains(text, "summarize Rows") {
		return time.Time{}, false
	}
	_, after, ok := strings.Cut(text, ">= datetime(")
	if !ok {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, after[:strings.Index(after, ")")])
	return at, err == nil
}
