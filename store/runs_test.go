package store_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"defendersync/store"
	"defendersync/store/storetest"
)

func runID(n byte) string {
	return "01900000-0000-7000-8000-0000000000" + string([]byte{'0' + n/10, '0' + n%10})
}

func TestRuns(t *testing.T) {
	ctx, w := t.Context(), newWorker(t)
	var want []store.Run
	for n := range byte(3) {
		r := store.Run{RunID: runID(n), TenantID: tenant, Stream: "incidents", Command: "sync", StartedAt: at(int(n) * 10), Outcome: "running"}
		if n == 2 {
			r.Stream = "alerts"
		}
		if err := w.StartRun(ctx, w.lease, r); err != nil {
			t.Fatal(err)
		}
		if n < 2 {
			r.FinishedAt, r.Outcome, r.RowsRead, r.Calls, r.ThrottledSeconds = r.StartedAt.Add(time.Minute), "failed", 9, 4, 1.5
			r.Counts = store.Counts{Inserted: 2, Updated: 3, Unchanged: 4}
			r.Error, r.Warning = "e\x00", "w"
			if err := w.FinishRun(ctx, r); err != nil {
				t.Fatal(err)
			}
			r.Error = "e\uFFFD"
		}
		want = append([]store.Run{r}, want...)
	}
	got, err := w.Runs(ctx, tenant, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, err := w.Runs(ctx, tenant, "incidents", 1); err != nil || len(got) != 1 || got[0].RunID != runID(1) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := w.PruneRuns(ctx, tenant, at(5)); err != nil {
		t.Fatal(err)
	}
	w.want(`SELECT run_id::text FROM sync.runs ORDER BY 1`, runID(1), runID(2))
	if err := w.PruneRuns(ctx, tenant, at(1000)); err != nil {
		t.Fatal(err)
	}
	w.want(`SELECT outcome FROM sync.runs`, "running") // it has not ended
}

func TestQuota(t *testing.T) {
	ctx := t.Context()
	s, err := store.OpenWith(ctx, storetest.URL(t), func(c *pgxpool.Config) {
		c.MaxConns = 1
		c.ConnConfig.RuntimeParams["synchronous_commit"] = "on"
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	w := workerOn(t, s)
	for _, seconds := range []float64{0, 100, 100.9, 101, 3650} {
		if err := w.RecordCall(ctx, tenant, "incidents", t0.Add(time.Duration(seconds*float64(time.Second)))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.RecordCall(ctx, tenant, "hunting", t0); err != nil {
		t.Fatal(err)
	}
	got, err := w.RecentCalls(ctx, tenant, "incidents", t0.Add(100*time.Second+time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	want := []store.CallCount{{Second: t0.Add(100 * time.Second), Calls: 2}, {Second: t0.Add(101 * time.Second), Calls: 1}, {Second: t0.Add(3650 * time.Second), Calls: 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w.want(`SELECT count(*) FROM sync.quota WHERE family = 'incidents'`, "3") // the call of an hour ago is forgotten
	w.want(`SHOW synchronous_commit`, "on")
}

func TestStreamStates(t *testing.T) {
	ctx, w := t.Context(), newWorker(t)
	c := w.next()
	c.Incidents = []store.Incident{incident(1, 1)}
	c.Checkpoint.Watermark = at(30)
	c.Coverage = append(c.Coverage, store.Coverage{From: at(10), To: at(12), Verdict: store.Failed})
	c.Quarantine = []store.Quarantined{{Kind: "alert", Key: "a", Reason: "r"}}
	w.must(c)
	for n, outcome := range []string{"partial", "failed", "running"} {
		r := store.Run{RunID: runID(byte(n)), TenantID: tenant, Stream: "incidents", StartedAt: at(n), FinishedAt: at(n + 1), Outcome: outcome}
		if n == 2 {
			r.Stream = "alerts"
		}
		if err := w.StartRun(ctx, w.lease, r); err != nil {
			t.Fatal(err)
		}
		if n < 2 {
			if err := w.FinishRun(ctx, r); err != nil {
				t.Fatal(err)
			}
		}
	}
	got, err := w.StreamStates(ctx)
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	a, i := got[0], got[1]
	if a.Stream != "alerts" || a.Checkpoint.Revision != 0 || a.LastRun.Outcome != "running" || a.LastSuccess != nil || a.Gaps != 0 {
		t.Errorf("alerts: %+v", a)
	}
	if i.Stream != "incidents" || i.Checkpoint.Rows != 1 || i.LastRun.RunID != runID(1) || i.LastSuccess.RunID != runID(0) ||
		i.Gaps != 2 || i.GapsTotal != 20*time.Minute || i.Quarantine != 1 {
		t.Errorf("incidents: %+v, last run %+v", i, i.LastRun)
	}
	w.query(`UPDATE sync.leases SET until = clock_timestamp() RETURNING 1`)
	if got, err = w.StreamStates(ctx); err != nil || got[0].LastRun.Outcome != "interrupted" || !strings.Contains(got[0].LastRun.Error, "without saying so") {
		t.Errorf("a run whose worker is gone: %+v, %v", got[0].LastRun, err)
	}
}

// A run that was given up is on record, under the lease in its way, and hides
// neither how the last real one ended nor what was compared.
func TestLockedRunHidesNothing(t *testing.T) {
	ctx, w := t.Context(), newWorker(t)
	for n, command := range []string{"sync", "reconcile"} {
		r := store.Run{RunID: runID(byte(n)), TenantID: tenant, Stream: "incidents", Command: command, StartedAt: at(n), FinishedAt: at(n + 1), Outcome: "failed"}
		if err := w.StartRun(ctx, w.lease, r); err != nil {
			t.Fatal(err)
		}
		if err := w.FinishRun(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	if states, err := w.StreamStates(ctx); err != nil || states[0].Locked != nil {
		t.Fatalf("%+v, %v", states, err)
	}
	for n, stream := range []string{"incidents", "alerts"} {
		locked := store.Run{RunID: runID(byte(n + 2)), TenantID: tenant, Stream: stream, Command: "reconcile", StartedAt: at(9), FinishedAt: at(10), Error: "somebody\x00"}
		if err := w.RecordLocked(ctx, locked); err != nil {
			t.Fatal(err)
		}
	}
	w.want(`SELECT r.stream, r.error, l.fence = r.fence FROM sync.runs AS r JOIN sync.leases AS l USING (tenant_id) WHERE outcome = 'locked' ORDER BY 1`,
		"alerts somebody\uFFFD true", "incidents somebody\uFFFD true")
	states, err := w.StreamStates(ctx)
	if err != nil || len(states) != 2 {
		t.Fatalf("%+v, %v", states, err)
	}
	if a := states[0]; a.LastRun != nil || a.LastReconcile != nil || a.Locked == nil {
		t.Errorf("alerts: %+v", a)
	}
	i := states[1]
	if i.LastRun.RunID != runID(1) || i.LastReconcile.RunID != runID(1) || i.Locked == nil || i.Locked.RunID != runID(2) || i.LastSuccess != nil {
		t.Errorf("incidents: %+v", i)
	}
	if err := w.PruneRuns(ctx, tenant, at(11)); err != nil {
		t.Fatal(err)
	}
	w.want(`SELECT count(*) FROM sync.runs`, "0")
}

func TestStored(t *testing.T) {
	w := newWorker(t)
	w.commit(incident(1, 5), incident(2, 5), alert("a", 5))
	got, err := w.Stored(t.Context(), tenant)
	if want := (store.Stored{Incidents: 2, Alerts: 1}); err != nil || got != want {
		t.Errorf("stored %+v, %v, want %+v", got, err, want)
	}
}

// A connection that keeps silent is not all that there is time for: the end of
// the run is told on another.
func TestEndOfARunGoesRoundASilentConnection(t *testing.T) {
	var silent atomic.Int64
	gate := storetest.NewGate(t, storetest.URL(t), func(sql string, _ []string) string {
		if strings.Contains(sql, "UPDATE sync.runs\n\t\tSET finished_at") {
			return "finish"
		}
		return ""
	}, func(point string, gone <-chan struct{}) bool {
		if point == "finish/before" && silent.Add(1) == 1 {
			<-gone
		}
		return false
	})
	s, err := store.Open(t.Context(), gate.URL(), 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	w := workerOn(t, s)
	r := store.Run{RunID: runID(1), TenantID: tenant, Stream: "incidents", Command: "sync", StartedAt: at(0), FinishedAt: at(1), Outcome: "interrupted"}
	if err := w.StartRun(t.Context(), w.lease, r); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := w.FinishRun(ctx, r); err != nil || silent.Load() < 2 {
		t.Errorf("%v, told %d times", err, silent.Load())
	}
	w.want(`SELECT outcome FROM sync.runs`, "interrupted")
}
