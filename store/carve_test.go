package store

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// minute is the model's unit of time.
func minute(n int) time.Time { return time.Unix(int64(n)*60, 0).UTC() }

// drawRange draws one range of the ledger within a small day.
func drawRange(t *rapid.T) *ledgerRow {
	from := rapid.IntRange(0, 29).Draw(t, "from")
	to := rapid.IntRange(from+1, 30).Draw(t, "to")
	verdict := rapid.SampledFrom([]Verdict{Complete, Complete, Truncated, Failed}).Draw(t, "verdict")
	n := rapid.Int64Range(0, 1000).Draw(t, "rows")
	return &ledgerRow{From: minute(from), To: minute(to), Rows: n, Calls: 1, Verdict: string(verdict)}
}

// verdicts spells the ledger out minute by minute, and fails where it overlaps
// or is out of order.
func verdicts(t *rapid.T, ledger []*ledgerRow) (v [30]string) {
	for i, r := range ledger {
		if !r.From.Before(r.To) || i > 0 && r.From.Before(ledger[i-1].To) {
			t.Fatalf("row %d, %s to %s, is empty or overlaps", i, r.From, r.To)
		}
		for n := range v {
			if !minute(n).Before(r.From) && minute(n).Before(r.To) {
				v[n] = r.Verdict
			}
		}
	}
	return v
}

// carve against a model that keeps one verdict per minute.
func TestCarve(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var model [30]string
		var ledger []*ledgerRow
		var rows int64
		for range rapid.IntRange(1, 12).Draw(t, "commits") {
			var fresh []*ledgerRow
			for range rapid.IntRange(1, 3).Draw(t, "ranges") {
				r := drawRange(t)
				fresh = append(fresh, r)
				rows += r.Rows
				for n := range model {
					in := !minute(n).Before(r.From) && minute(n).Before(r.To)
					if in && (r.complete() || model[n] != string(Complete)) {
						model[n] = r.Verdict
					}
				}
			}
			before := append([]*ledgerRow(nil), ledger...)
			ledger = carve(ledger, fresh)
			if got := verdicts(t, ledger); got != model {
				t.Fatalf("ledger\n%v, want\n%v", got, model)
			}
			verdicts(t, before) // the rows handed in are not changed
		}
		var kept int64
		for _, r := range ledger {
			kept += r.Rows
		}
		if kept > rows {
			t.Fatalf("%d records in the ledger, %d were read", kept, rows)
		}
		merged := merge(ledger)
		if got := verdicts(t, merged); got != model {
			t.Fatalf("merged\n%v, want\n%v", got, model)
		}
		for i := 1; i < len(merged); i++ {
			silent := i == len(merged)-1 && merged[i].Rows == 0 // kept apart
			if a, b := merged[i-1], merged[i]; a.complete() && b.complete() && a.To.Equal(b.From) && !silent {
				t.Fatalf("rows %d and %d could be one", i-1, i)
			}
			kept -= merged[i].Rows
		}
		if len(merged) > 0 && kept != merged[0].Rows {
			t.Fatalf("merging lost records")
		}
	})
}

func TestCarveSharesCounts(t *testing.T) {
	old := []*ledgerRow{{From: minute(0), To: minute(10), Rows: 100, Calls: 3, Verdict: string(Complete)}}
	hole := &ledgerRow{From: minute(2), To: minute(5), Rows: 7, Calls: 1, Verdict: string(Complete)}
	got := carve(old, []*ledgerRow{hole})
	if len(got) != 3 || got[0].Rows != 20 || got[1] != hole || got[2].Rows != 50 {
		t.Errorf("got %+v", got)
	}
}
