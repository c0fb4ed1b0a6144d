package sync

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"defendersync/store"

	"pgregory.net/rapid"
)

// tally of records by the hour since some begin; it is a database of one stream.
type hourTally struct {
	begin time.Time
	rows  []int64
}

func (h *hourTally) at(hour time.Time) int64 {
	if i := int(hour.Sub(h.begin) / time.Hour); i >= 0 && i < len(h.rows) {
		return h.rows[i]
	}
	return 0
}

func (h *hourTally) Newest(_ context.Context, _ store.Volume, from, to time.Time) (time.Time, error) {
	for hour := to.Add(-time.Hour); !hour.Before(from); hour = hour.Add(-time.Hour) {
		if h.at(hour) > 0 {
			return hour.Add(17 * time.Minute), nil
		}
	}
	return time.Time{}, nil
}

func (h *hourTally) HourRows(_ context.Context, _ store.Volume, hours []time.Time, most int) ([]int64, error) {
	var rows []int64
	for _, hour := range hours {
		rows = append(rows, min(h.at(hour), int64(most)))
	}
	return rows, nil
}

// end is the end of the newest hour.
func (h *hourTally) end() time.Time { return h.begin.Add(time.Duration(len(h.rows)) * time.Hour) }

// passed is a stream whose last pass has just seen everything until end.
func (h *hourTally) passed() warner {
	w := warner{stream: Stream{Name: AlertsStream, Overlap: 30 * time.Minute, Settle: 2 * time.Minute}}
	at := h.end().Add(w.stream.Overlap + w.stream.Settle)
	w.cp = store.Checkpoint{StartTime: h.begin, Watermark: at.Add(-w.stream.Settle), NextFrom: h.end(), PassedAt: at, Revision: 1}
	return w
}

func (h *hourTally) warning(t interface{ Fatal(...any) }) string {
	text, err := h.passed().emptyHour(context.Background(), h)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// poisson draws how many records an hour has.
func poisson(r *rand.Rand, rate float64) int64 {
	n, p := int64(-1), 1.0
	for limit := math.Exp(-rate); p > limit; n++ {
		p *= r.Float64()
	}
	return n
}

var monday = time.Date(2026, 10, 5, 0, 0, 0, 0, time.UTC)

// The threshold is where chance alone warns less than once in a year, whatever
// the rate, and not far above that: the comment at usualRows has the figures.
func TestChanceWarnsLessThanOnceAYear(t *testing.T) {
	worst, at := 0.0, 0.0
	for rate := 0.5; rate < 100; rate += 0.5 {
		few, term := 0.0, math.Exp(-rate)
		for n := range usualRows {
			few += term
			term *= rate / float64(n+1)
		}
		if year := 8766 * math.Exp(-rate) * math.Pow(1-few, usualWeeks); year > worst {
			worst, at = year, rate
		}
	}
	t.Logf("at worst %.3f false alarms a year, at %.1f records an hour", worst, at)
	if worst > 0.04 || worst < 0.02 {
		t.Errorf("%.3f false alarms a year; the comment says one in 29 years", worst)
	}
}

// Twenty years of a steady source at each of several rates: chance is hardly
// ever taken for an outage. The draws are the same in every run.
func TestSteadySourceIsNotWarnedOf(t *testing.T) {
	const years = 20
	for _, rate := range []float64{0.5, 3, 6, 8, 9, 10, 11, 13, 16, 25} {
		r := rand.New(rand.NewPCG(7, uint64(rate*2)))
		h, alarms := &hourTally{begin: monday}, 0
		for range years * 8766 {
			h.rows = append(h.rows, poisson(r, rate))
			if len(h.rows) > 31*24 { // keep what may be looked at
				h.rows, h.begin = h.rows[24:], h.begin.Add(24*time.Hour)
			}
			if h.rows[len(h.rows)-1] == 0 && h.warning(t) != "" {
				alarms++
			}
		}
		if alarms > years/4 {
			t.Errorf("%g records an hour: %d warnings in %d years", rate, alarms, years)
		}
	}
}

// A source that is busy at some hours of the day, never at others, and is cut
// off at drawn hours of its last week: it is warned of after exactly those hours
// that are cut off and were busy, and of a night that follows one, for a day.
func TestOutagesAreNoticedAndNightsAreNot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		busy := rapid.SliceOfN(rapid.Bool(), 24, 24).Draw(t, "busy hours")
		rate := rapid.Float64Range(40, 200).Draw(t, "rate")
		outage := rapid.MapOfN(rapid.IntRange(0, 7*24-1), rapid.Just(true), 0, 60).Draw(t, "cut off")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		h := &hourTally{begin: monday}
		next := func(cut bool) {
			n := int64(0)
			if busy[len(h.rows)%24] && !cut {
				n = poisson(r, rate)
			}
			h.rows = append(h.rows, n)
		}
		for range 4 * 7 * 24 {
			next(false)
		}
		for i := range 7 * 24 {
			next(outage[i])
			want := false
			for back := 0; back < 24 && back <= i; back++ {
				hour := i - back
				if isBusy := busy[hour%24]; isBusy {
					want = outage[hour]
					break
				}
			}
			if got := h.warning(t); (got != "") != want {
				t.Fatalf("hour %d of the last week, busy %v, cut off %v: %q", i, busy[i%24], outage[i], got)
			}
		}
	})
}

// What is said of hours, and of which.
func TestEmptyHoursAreTold(t *testing.T) {
	day := []int64{12, 0, 0, 0, 0, 0, 0, 0, 30, 40, 50, 60, 35, 45, 41, 1200, 20, 9, 9, 9, 9, 9, 9, 30}
	ledger := func(last ...int64) *hourTally {
		h := &hourTally{begin: monday.Add(-5 * week)}
		for range 5 * 7 {
			h.rows = append(h.rows, day...)
		}
		h.rows[len(h.rows)-28*24+13] = 33 // four weeks before the 13:00 to come
		h.rows[len(h.rows)-7*24+18] = 500
		h.rows = append(h.rows, last...)
		return h
	}
	cut := func(from int) []int64 { return append(append([]int64{}, day[:from]...), make([]int64, 24)...) }
	for _, c := range []struct {
		name string
		last []int64
		want string
	}{
		{"nothing is empty", day, ""},
		{"an hour", cut(13)[:14], "no alerts between 2026-10-05 13:00 and 14:00 UTC, an hour of the week that had 42 on average and never fewer than 33 in the last four weeks: check "},
		{"two hours", cut(13)[:15], "no alerts between 2026-10-05 13:00 and 15:00 UTC, hours of the week that had 42 on average and never fewer than 33 in the last four weeks: check "},
		{"over the night", cut(16)[:23], "no alerts between 2026-10-05 16:00 and 17:00 UTC, an hour of the week that had 20 on average and never fewer than 20 in"},
		{"over midnight", append(cut(23)[:24], 0), "no alerts between 2026-10-05 23:00 and 2026-10-06 01:00 UTC, hours of the week that had 21 on average"},
		{"more than is counted", cut(15)[:16], "no alerts between 2026-10-05 15:00 and 16:00 UTC, an hour of the week that had never fewer than 1000 in"},
		{"rows came after", append(cut(13)[:14], 1), ""},
		{"a night", cut(1)[:8], "no alerts between"[:0]},
		{"never ten", cut(17)[:18], ""},
		{"a burst last week", cut(18)[:19], ""},
	} {
		if got := ledger(c.last...).warning(t); !strings.HasPrefix(got, c.want) || (c.want == "") != (got == "") {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
	}
}

// An hour is called empty only where everything is known that says so.
func TestHoursHaveToBeKnown(t *testing.T) {
	h := &hourTally{begin: monday}
	for range 29 * 24 {
		h.rows = append(h.rows, 40)
	}
	h.rows[len(h.rows)-1] = 0
	hour := h.end().Add(-time.Hour)
	gap := func(from, to time.Time) []store.Gap { return []store.Gap{{From: from, To: to}} }
	for _, c := range []struct {
		name   string
		change func(*warner)
		warns  bool
	}{
		{"all is known", func(*warner) {}, true},
		{"a gap elsewhere", func(w *warner) { w.gaps = gap(hour.Add(-3*time.Hour), hour) }, true},
		{"a gap in the hour", func(w *warner) { w.gaps = gap(hour.Add(time.Minute), hour.Add(2*time.Minute)) }, false},
		{"a gap since", func(w *warner) { w.gaps = gap(h.end().Add(time.Minute), w.cp.Watermark) }, false},
		{"a gap four weeks ago", func(w *warner) { w.gaps = gap(hour.Add(-4*week), hour.Add(-4*week+time.Second)) }, false},
		{"begun three weeks ago", func(w *warner) { w.cp.StartTime = hour.Add(-3 * week) }, false},
		{"begun in that hour", func(w *warner) { w.cp.StartTime = hour.Add(-4*week + time.Second) }, false},
		{"not settled", func(w *warner) { w.cp.NextFrom = h.end().Add(-time.Second) }, false},
		{"read too soon", func(w *warner) { w.cp.PassedAt = h.end().Add(w.stream.Overlap) }, false},
		{"hunting rows come late", func(w *warner) {
			w.stream = Stream{Name: "hunting/x", Hunt: &Hunt{Name: "x", Mode: ModeEvents, TimeColumn: "Timestamp"}}
		}, false},
		{"hunting rows have had their time", func(w *warner) {
			w.stream = Stream{Name: "hunting/x", Hunt: &Hunt{Name: "x", Mode: ModeEvents, TimeColumn: "Timestamp"}}
			w.cp.NextFrom, w.cp.PassedAt = w.cp.NextFrom.Add(huntLateness), w.cp.PassedAt.Add(huntLateness)
		}, true},
		{"no events", func(w *warner) {
			w.stream = Stream{Name: "hunting/x", Hunt: &Hunt{Name: "x", Mode: ModeSnapshot, TimeColumn: "Timestamp"}}
			w.cp.NextFrom, w.cp.PassedAt = w.cp.NextFrom.Add(huntLateness), w.cp.PassedAt.Add(huntLateness)
		}, false},
		{"keys without a time", func(w *warner) {
			w.stream = Stream{Name: "hunting/x", Hunt: &Hunt{Name: "x", Mode: ModeEvents, TimeColumn: "Timestamp", Key: []string{"Id"}, keyOnly: true}}
			w.cp.NextFrom, w.cp.PassedAt = w.cp.NextFrom.Add(huntLateness), w.cp.PassedAt.Add(huntLateness)
		}, false},
	} {
		w := h.passed()
		c.change(&w)
		if got, err := w.emptyHour(t.Context(), h); (got != "") != c.warns || err != nil {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}

// The hour of the week is UTC's: where this machine is, and whether its clocks
// were changed within the four weeks, makes no difference.
func TestHourOfTheWeekIsOfUTC(t *testing.T) {
	h := &hourTally{begin: monday}
	for i := range 29 * 24 {
		h.rows = append(h.rows, int64(10+i%24))
	}
	h.rows[len(h.rows)-1] = 0
	want := h.warning(t)
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Asia/Kolkata"} {
		local, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		w := h.passed()
		for _, at := range []*time.Time{&w.cp.StartTime, &w.cp.Watermark, &w.cp.NextFrom, &w.cp.PassedAt} {
			*at = at.In(local)
		}
		if got, err := w.emptyHour(t.Context(), h); got != want || want == "" || err != nil {
			t.Errorf("%s: %q, %v, want %q", zone, got, err, want)
		}
	}
	if !strings.Contains(want, fmt.Sprintf("had %d on average", 33)) {
		t.Errorf("%q", want)
	}
}
