package sync

import (
	"context"
	"fmt"
	"slices"
	"time"

	"defendersync/store"
)

const (
	week = 7 * 24 * time.Hour // of UTC, which knows no summer time

	// usualWeeks is how many weeks back the same hour has to have had records.
	usualWeeks = 4

	// usualRows is how many, at least, in each of them. Were they chance, at a
	// steady rate of r an hour, then an hour without any would be called unusual
	// with a probability of exp(-r) * P(10 or more | r)^4: a busy source has no
	// empty hours, and a quiet one has not ten in each of four. The worst rate is
	// near 10, with 4 in a million; a year has 8766 hours, so that is one false
	// alarm in 29 years of a stream that has the worst rate day and night. The
	// room is for real sources: where records come in pairs, ten are five
	// events, and such a stream would warn some times a year at worst. Asking for
	// the fewest of the four, and not for their sum, keeps one burst from
	// making an hour look busy.
	usualRows = 10

	// countedRows bounds what one look at an hour costs; beyond it only
	// "so many or more" is known.
	countedRows = 1000

	// emptyFor is how far back empty hours are looked at. A silence that lasts
	// longer is the other warning's.
	emptyFor = 24 * time.Hour

	// huntLateness is left for hunting rows to come: sign-ins are said to lag up
	// to a couple of hours.
	huntLateness = 2 * time.Hour
)

// hourCounter counts records by the hour. *store.Store implements it.
type hourCounter interface {
	Newest(ctx context.Context, v store.Volume, from, to time.Time) (time.Time, error)
	HourRows(ctx context.Context, v store.Volume, hours []time.Time, most int) ([]int64, error)
}

// emptyHour says so when the newest hour that has settled is empty, and was
// never empty at this time of the week; or, where there was nothing to expect
// of it, the newest before it of which there was. Where the newest hour holds a
// record that costs one look at an index.
func (w warner) emptyHour(ctx context.Context, records hourCounter) (string, error) {
	v := w.volume()
	until := w.settled().Truncate(time.Hour)
	if !v.Countable() || w.stream.Hunt != nil && w.stream.Hunt.Mode != ModeEvents {
		return "", nil
	}
	newest, err := records.Newest(ctx, v, until.Add(-emptyFor), until)
	if err != nil {
		return "", err
	}
	empty := w.emptySince(newest, until)
	if len(empty) == 0 {
		return "", nil
	}
	var past []time.Time
	for _, hour := range empty {
		for n := range usualWeeks {
			past = append(past, hour.Add(-time.Duration(n+1)*week))
		}
	}
	rows, err := records.HourRows(ctx, v, past, countedRows)
	if err != nil {
		return "", err
	}
	return unusualHours(w.stream.Name, empty, slices.Collect(slices.Chunk(rows, usualWeeks))), nil
}

func (w warner) volume() store.Volume {
	v := store.Volume{TenantID: w.cp.TenantID, Stream: w.stream.Name}
	if w.stream.Hunt != nil {
		spec := w.stream.Hunt.spec(w.cp.TenantID)
		v.Hunt = &spec
	}
	return v
}

// settled is until when all records are here that will come: some overlap
// before the last pass that ended. A pass that is under way does not count: it
// goes by the last update of incidents and alerts, and those of an old hour may
// have been updated since and be still to come.
func (w warner) settled() time.Time {
	at := earlier(w.cp.NextFrom, w.cp.PassedAt.Add(-w.stream.Settle-w.stream.Overlap))
	if w.stream.Hunt != nil {
		at = at.Add(-huntLateness)
	}
	return at
}

// emptySince lists the whole hours between the newest record and until, newest
// first, of which it is known that they are empty and what was usual.
func (w warner) emptySince(newest, until time.Time) []time.Time {
	since := until.Add(-emptyFor)
	if !newest.IsZero() {
		since = newest.Truncate(time.Hour).Add(time.Hour)
	}
	var hours []time.Time
	for hour := until.Add(-time.Hour); !hour.Before(since); hour = hour.Add(-time.Hour) {
		known := w.complete(span{hour, w.cp.Watermark}) // what was updated later was read later
		for n := range usualWeeks {
			past := hour.Add(-time.Duration(n+1) * week)
			known = known && w.complete(span{past, past.Add(time.Hour)})
		}
		if known {
			hours = append(hours, hour)
		}
	}
	return hours
}

// complete reports whether the ledger holds all of s.
func (w warner) complete(s span) bool {
	if s.since.Before(w.cp.StartTime) || s.until.After(w.cp.Watermark) {
		return false
	}
	return !slices.ContainsFunc(w.gaps, func(g store.Gap) bool { return g.From.Before(s.until) && g.To.After(s.since) })
}

// unusualHours says which of the empty hours, newest first, always had records:
// the newest such hour, and those right before it. past is what each had in the
// weeks before.
func unusualHours(stream string, empty []time.Time, past [][]int64) string {
	var at span
	var usual []int64
	for i, hour := range empty {
		switch {
		case slices.Min(past[i]) < usualRows:
			continue
		case len(usual) == 0:
			at = span{hour, hour.Add(time.Hour)}
		case hour.Add(time.Hour).Equal(at.since):
			at.since = hour
		default:
			continue
		}
		usual = append(usual, past[i]...)
	}
	if len(usual) == 0 {
		return ""
	}
	return fmt.Sprintf("no %s between %s UTC, %s: %s, and whether it was a holiday", recordsOf(stream), at.clock(), howUsual(usual), silenceAdvice)
}

// howUsual says what hours had in the weeks before.
func howUsual(rows []int64) string {
	hours, sum := "an hour of the week", int64(0)
	if len(rows) > usualWeeks {
		hours = "hours of the week"
	}
	for _, n := range rows {
		sum += n
	}
	average := ""
	if slices.Max(rows) < countedRows {
		average = fmt.Sprintf("%.0f on average and ", float64(sum)/float64(len(rows)))
	}
	return fmt.Sprintf("%s that had %snever fewer than %d in the last four weeks", hours, average, slices.Min(rows))
}

// clock names the span for people, the day once where it is one.
func (s span) clock() string {
	until := "15:04"
	if s.since.UTC().Format(time.DateOnly) != s.until.UTC().Format(time.DateOnly) {
		until = "2006-01-02 15:04"
	}
	return s.since.UTC().Format("2006-01-02 15:04") + " and " + s.until.UTC().Format(until)
}
