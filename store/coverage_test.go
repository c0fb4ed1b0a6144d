package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"defendersync/store"
)

// cover records one range under the checkpoint as it is.
func (w *worker) cover(verdict store.Verdict, from, to int, reason string) {
	w.t.Helper()
	w.must(&store.Commit{
		Lease: w.lease, Checkpoint: w.cp, RunID: run,
		Coverage: []store.Coverage{{From: at(from), To: at(to), Rows: int64(to - from), Calls: 1, Verdict: verdict, Reason: reason}},
	})
}

func (w *worker) watermark(minute int) { w.cp.Watermark = at(minute) }

const ledger = `
	SELECT extract(epoch FROM from_time - '2026-11-01Z')::int / 60, extract(epoch FROM to_time - '2026-11-01Z')::int / 60, verdict, rows
	FROM sync.coverage ORDER BY 1`

func TestCoverageReplaces(t *testing.T) {
	w := newWorker(t)
	w.watermark(60)
	w.cover(store.Complete, 0, 30, "")
	w.cover(store.Failed, 20, 40, "no answer") // what is complete stays complete
	w.want(ledger, "0 30 complete 30", "30 40 failed 10")
	w.cover(store.Complete, 35, 50, "")
	w.want(ledger, "0 30 complete 30", "30 35 failed 5", "35 50 complete 15")
	w.cover(store.Complete, 10, 20, "")
	w.want(ledger, "0 10 complete 10", "10 20 complete 10", "20 30 complete 10", "30 35 failed 5", "35 50 complete 15")
	w.want(`SELECT reason FROM sync.gaps ORDER BY from_time`, "no answer", "never read")
}

// What was read again because more was expected to have come counts as it was
// read last.
func TestLateCoverageTakesBack(t *testing.T) {
	w := newWorker(t)
	w.watermark(60)
	w.cover(store.Complete, 0, 30, "")
	c := store.Coverage{From: at(20), To: at(40), Verdict: store.Truncated, Reason: "206", Late: true}
	w.must(&store.Commit{Lease: w.lease, Checkpoint: w.cp, RunID: run, Coverage: []store.Coverage{c}})
	w.want(ledger, "0 20 complete 20", "20 40 truncated 0")
	w.cover(store.Complete, 10, 60, "")
	w.want(`SELECT reason FROM sync.gaps`)
}

// P3 on any history of commits: an instant between start and watermark is
// complete or in sync.gaps, never both, with the reason last given.
func TestGapsAgainstModel(t *testing.T) {
	w := newWorker(t)
	streams := 0
	rapid.Check(t, func(rt *rapid.T) {
		streams++
		w := workerStream(w, fmt.Sprint("s", streams))
		const end = 40
		var model [end]string // reason, or "" for complete
		for n := range model {
			model[n] = "never read"
		}
		start := rapid.IntRange(0, 10).Draw(rt, "start")
		w.cp.StartTime, w.cp.Watermark = at(start), at(start)
		for n := range rapid.IntRange(1, 8).Draw(rt, "commits") {
			from := rapid.IntRange(0, end-1).Draw(rt, "from")
			to := rapid.IntRange(from+1, end).Draw(rt, "to")
			verdict := rapid.SampledFrom([]store.Verdict{store.Complete, store.Truncated, store.Failed}).Draw(rt, "verdict")
			reason := ""
			if verdict != store.Complete {
				reason = rapid.SampledFrom([]string{"", fmt.Sprint("reason ", n)}).Draw(rt, "reason")
			}
			if m := rapid.IntRange(start, end).Draw(rt, "watermark"); at(m).After(w.cp.Watermark) {
				w.watermark(m)
			}
			w.cover(verdict, from, to, reason)
			for m := from; m < to; m++ {
				if verdict == store.Complete {
					model[m] = ""
				} else if model[m] != "" {
					if model[m] = reason; reason == "" {
						model[m] = string(verdict)
					}
				}
			}
		}
		want := []string{}
		for m := start; at(m).Before(w.cp.Watermark); m++ {
			if model[m] != "" {
				want = append(want, fmt.Sprint(m, model[m]))
			}
		}
		got := []string{}
		gaps, err := w.Gaps(t.Context(), tenant, w.cp.Stream)
		if err != nil {
			rt.Fatal(err)
		}
		for _, g := range gaps {
			for at := g.From; at.Before(g.To); at = at.Add(time.Minute) {
				got = append(got, fmt.Sprint(int(at.Sub(t0)/time.Minute), g.Reason))
			}
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("gaps\n%v, want\n%v", got, want)
		}
	})
}

func TestCompactCoverage(t *testing.T) {
	w := newWorker(t)
	w.watermark(60)
	for m := 0; m < 60; m += 10 {
		if m == 20 {
			w.cover(store.Truncated, m, m+10, "too many")
		} else {
			w.cover(store.Complete, m, m+10, "")
		}
	}
	compact := func(minute int) {
		t.Helper()
		if err := w.CompactCoverage(t.Context(), w.lease, "incidents", at(minute)); err != nil {
			t.Fatal(err)
		}
	}
	compact(49)
	w.want(ledger, "0 20 complete 20", "20 30 truncated 10", "30 40 complete 10", "40 50 complete 10", "50 60 complete 10")
	compact(60)
	w.want(ledger, "0 20 complete 20", "20 30 truncated 10", "30 60 complete 30")
	w.want(`SELECT calls FROM sync.coverage ORDER BY from_time`, "2", "1", "3")
	versions := `SELECT ctid::text, xmin::text, xmax::text FROM sync.coverage ORDER BY 1`
	before := w.query(versions)
	compact(60) // nothing left to merge: nothing is written
	w.want(versions, before...)
	// What was never read stays so.
	w.watermark(80)
	w.cover(store.Complete, 70, 80, "")
	compact(80)
	w.want(ledger, "0 20 complete 20", "20 30 truncated 10", "30 60 complete 30", "70 80 complete 10")
}

// TestSilenceIsKept: merging must not make a stream that fell silent look as if
// its last records were just there.
func TestSilenceIsKept(t *testing.T) {
	w := newWorker(t)
	w.watermark(60)
	compact := func(minute int) {
		t.Helper()
		if err := w.CompactCoverage(t.Context(), w.lease, "incidents", at(minute)); err != nil {
			t.Fatal(err)
		}
	}
	cover := func(from, to int, rows int64) {
		t.Helper()
		w.must(&store.Commit{Lease: w.lease, Checkpoint: w.cp, RunID: run, Coverage: []store.Coverage{{From: at(from), To: at(to), Rows: rows, Calls: 1, Verdict: store.Complete}}})
	}
	cover(0, 10, 3)
	cover(10, 20, 0)
	cover(20, 30, 4)
	cover(30, 40, 0)
	cover(40, 50, 0)
	compact(60)
	w.want(ledger, "0 30 complete 7", "30 50 complete 0")
	cover(50, 60, 0)
	compact(60)
	w.want(ledger, "0 30 complete 7", "30 60 complete 0")
	w.watermark(70)
	cover(60, 70, 1)
	compact(70)
	w.want(ledger, "0 70 complete 8")
}

func TestCoverage(t *testing.T) {
	w := newWorker(t)
	w.watermark(60)
	w.cover(store.Complete, 0, 10, "")
	w.cover(store.Truncated, 10, 20, "too many")
	w.cover(store.Complete, 20, 30, "")
	got, err := w.Store.Coverage(t.Context(), tenant, "incidents", at(15), at(20))
	if err != nil {
		t.Fatal(err)
	}
	want := store.Coverage{From: at(10), To: at(20), Rows: 10, Calls: 1, Verdict: store.Truncated, Reason: "too many"}
	if len(got) != 1 || got[0] != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
