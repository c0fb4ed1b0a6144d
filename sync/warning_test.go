package sync

import (
	"strings"
	"testing"
	"time"

	"defendersync/store"
)

// A silence is told while it lasts, by every pass, and not by the one that is
// long enough to see it whole.
func TestUnexpectedZero(t *testing.T) {
	start := fakeNow.Add(-30 * 24 * time.Hour)
	ledger := func(busy, silent time.Duration, rows int64) (span, []store.Coverage) {
		at := start.Add(busy)
		all := []store.Coverage{{From: start, To: at, Rows: rows, Verdict: store.Complete}}
		for ; at.Before(start.Add(busy + silent)); at = at.Add(5 * time.Minute) {
			all = append(all, store.Coverage{From: at, To: at.Add(5 * time.Minute), Verdict: store.Complete})
		}
		return span{start, start.Add(busy + silent)}, all
	}
	const day = 24 * time.Hour
	for _, c := range []struct {
		name         string
		busy, silent time.Duration
		rows         int64
		want         string
	}{
		{"busy", 10 * day, 5 * time.Minute, 10_000, ""},
		{"busy and silent", 10 * day, 2 * time.Hour, 10_000, "no alerts in the last 2h0m0s, where about 83"},
		{"quiet and silent", 10 * day, 2 * time.Hour, 10, ""},
		{"quiet and silent for long", 20 * day, 10 * day, 100, "no alerts in the last 240h0m0s"},
		{"new and empty", day, day, 0, ""},
		{"empty", 10 * day, day, 0, "no alerts at all since 2026-10-21"},
	} {
		known, all := ledger(c.busy, c.silent, c.rows)
		got := unexpectedZero(AlertsStream, known, all)
		if !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// A result that is empty is told while it is news, however the ledger was tidied;
// a query that finds something now and then does not warn for ever.
func TestEmptyResult(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		name  string
		every time.Duration
		rows  []int64 // of each result
		want  bool
	}{
		{"none yet", day, nil, false},
		{"never any", day, []int64{0, 0, 0}, false},
		{"as ever", day, []int64{5, 5}, false},
		{"empty now", day, []int64{5, 0}, true},
		{"empty now, once a month", 30 * day, []int64{5, 0}, true},
		{"empty still", day, []int64{5, 0, 0, 0}, true},
		{"empty for long", day, []int64{0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0}, false},
		{"back", day, []int64{5, 0, 1}, false},
	} {
		var ledger []store.Coverage
		for i, rows := range c.rows {
			at := fakeNow.Add(time.Duration(i) * c.every)
			ledger = append(ledger, store.Coverage{From: at.Add(-c.every), To: at, Rows: rows, Verdict: store.Complete})
		}
		if got := emptyResult("hunting/x", ledger); (got != "") != c.want {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}
