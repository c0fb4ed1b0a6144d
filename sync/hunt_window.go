package sync

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"
	"defendersync/sync/kql"
)

const (
	huntFirstWidth = time.Hour // of a stream that was not counted; the answers correct it
	huntFill       = 0.6       // of the cap is what a window is aimed at
	huntBytes      = 30 << 20  // and at most so much of the 50 MB that an answer may have
	maxSlices      = 1 << 16   // of one microsecond; then it is not a matter of number
)

// foresee counts what is ahead when nothing is known of the stream yet, so that
// no answer has to be thrown away to learn it. A stream that cannot be counted
// begins small.
func (h *hunting) foresee(ctx context.Context, s span) error {
	if h.cp.WindowWidth > 0 || h.hunt.query != nil || s.width() <= huntFirstWidth {
		return nil
	}
	counts, err := h.count(ctx, span{later(s.since, edgeAt(h.now())), s.until})
	var over *defender.OversizeError
	if errors.As(err, &over) || isolatable(err) {
		return nil // where it is the service, the first window finds out
	}
	if err != nil {
		return h.explain(err)
	}
	h.plan = counts.counts
	h.width = max(expected(h.plan, s, h.aim()).Sub(s.since), h.grain())
	return h.save(ctx, store.Commit{}) // a pass killed before its first answer is stored would else count again
}

// reach is how far the next window goes: as far as is expected to fit, where
// the stream was counted, else the width that the last answers suggest.
func (h *hunting) reach() time.Time {
	grain := h.grain()
	if h.plan == nil {
		return h.cursor.Add(max(h.width.Truncate(grain), grain))
	}
	return later(expected(h.plan, span{h.cursor, h.until}, h.aim()).Truncate(grain), h.cursor.Add(grain))
}

// aim is how many rows a window should hold.
func (h *hunting) aim() float64 { return huntFill * float64(h.hunt.Cap) }

// expected is how far a window from w.since may go to hold no more than aim rows.
// Inside an hour the rows are taken to be spread evenly.
func expected(plan []store.HourCount, w span, aim float64) time.Time {
	for _, c := range plan {
		end := c.Hour.Add(time.Hour)
		if !end.After(w.since) || c.Rows == 0 {
			continue
		}
		from := later(c.Hour, w.since)
		share := float64(c.Rows) * float64(end.Sub(from)) / float64(time.Hour)
		if share > aim {
			return earlier(from.Add(time.Duration(aim/share*float64(end.Sub(from)))), w.until)
		}
		aim -= share
	}
	return w.until
}

// widen sets the next width by what this window held. A window that ended at
// the present says little where it held little.
func (h *hunting) widen(w span, a *huntAnswer) {
	limit := h.hunt.Cap
	if a.Rows > 0 {
		limit = min(limit, int(huntBytes/max(a.Bytes/a.Rows, 1)))
	}
	next := max(nextWidth(w.width(), int(a.Rows), limit), h.grain())
	if w.width() >= h.width || next < w.width() {
		h.width = next
	}
}

// cut asks for less than the window whose answer was thrown away: half of it,
// or in a microsecond a slice. Where less cannot be asked for, what came is
// stored and o recorded.
func (h *hunting) cut(ctx context.Context, w span, o outcomeOf) error {
	h.plan = nil
	switch grain := h.grain(); {
	case w.width() > grain:
		h.width = max(h.narrower(w).Truncate(grain), grain)
		return h.save(ctx, store.Commit{}) // a pass killed on its way down would else ask all of it again
	case h.hunt.query == nil:
		return h.crowded(ctx)
	case o.verdict == store.Truncated:
		return h.advance(ctx, &huntAnswer{HuntAnswer: &defender.HuntAnswer{Columns: []defender.HuntColumn{}, Rows: h.rows.Len()}}, w.until, o)
	default:
		return h.advance(ctx, &huntAnswer{HuntAnswer: &defender.HuntAnswer{}}, w.until, o)
	}
}

// narrower is how wide a window should have been: half, or up to where the middle
// one of the rows that came stands. Rows that crowd in one microsecond are so
// come upon at once. What a query calls its time need not be in the window.
func (h *hunting) narrower(w span) time.Duration {
	half := w.halved()
	if at, ok := h.times.middle(); ok && !at.Before(w.since) && at.Before(w.since.Add(half)) {
		return at.Sub(w.since)
	}
	return half
}

// crowded enters a microsecond that does not fit. That is kept before it is
// counted: a pass killed meanwhile would else ask for all of it again.
func (h *hunting) crowded(ctx context.Context) error {
	h.crowds[h.place()] = &crowd{}
	return h.save(ctx, store.Commit{})
}

// divide cuts a microsecond in as many slices as its count asks for.
func (h *hunting) divide(ctx context.Context, at *crowd, w span) error {
	of := 4
	if counts, err := h.count(ctx, w); err == nil {
		of = slicesFor(counts.total(), h.hunt.Cap)
	}
	at.Slices = slicesOf(of)
	return h.save(ctx, store.Commit{})
}

// slicesFor is the power of two of slices in which rows should fit.
func slicesFor(rows int64, limit int) int {
	need := float64(rows)/(huntFill*float64(limit)) + 1
	return min(max(1<<bits.Len64(uint64(need)), 2), maxSlices)
}

func slicesOf(n int) []kql.Slice {
	all := make([]kql.Slice, n)
	for i := range all {
		all[i] = kql.Slice{Of: n, At: i}
	}
	return all
}

// slice reads the next slice of the microsecond at the cursor.
func (h *hunting) slice(ctx context.Context) error {
	key := h.place()
	at := h.crowds[key]
	w := span{h.cursor, h.cursor.Add(tick)}
	if len(at.Slices) == 0 {
		return h.divide(ctx, at, w)
	}
	s := at.Slices[0]
	a, err := h.ask(ctx, h.text(w, s), w)
	switch {
	case err != nil:
		return h.sliceRefused(ctx, at, err)
	case a.Incomplete:
		at.Reason = partialReason
	}
	at.Refused = 0
	switch {
	case !a.full:
		at.Slices = at.Slices[1:]
	case s.Of < maxSlices:
		at.Slices = append(halves(s), at.Slices[1:]...)
		return h.save(ctx, store.Commit{})
	default:
		at.Slices = at.Slices[1:]
		at.Reason = "one microsecond holds more rows than can be told apart"
	}
	at.Rows += a.Rows
	if len(at.Slices) > 0 {
		h.tally.read += a.Rows
		return h.save(ctx, store.Commit{Hunt: h.rows})
	}
	return h.leaveCrowd(ctx, a, at)
}

// maxRefused is how many slices of a microsecond may be refused in a row, each
// half as large as the one before: then it is not their size.
const maxRefused = 10

// sliceRefused asks for less than the slice that the service would not give. A
// microsecond of which it gives nothing is left out: what does not come in time
// costs minutes, and is not tried as often.
func (h *hunting) sliceRefused(ctx context.Context, at *crowd, err error) error {
	var over *defender.OversizeError
	limit := maxRefused
	switch errors.As(err, &over); {
	case over == nil && !isolatable(err):
		return h.explain(err)
	case over == nil || over.Timeout:
		limit = maxFailing
	}
	if s := at.Slices[0]; at.Refused < limit && s.Of < maxSlices {
		at.Refused++
		at.Slices = append(halves(s), at.Slices[1:]...)
		return h.save(ctx, store.Commit{})
	}
	if down := h.probe(ctx); down != nil {
		return errors.Join(err, down)
	}
	return h.leaveOut(ctx, span{h.cursor, h.cursor.Add(tick)}, err)
}

// halves are the two slices that hold what s held.
func halves(s kql.Slice) []kql.Slice {
	return []kql.Slice{{Of: 2 * s.Of, At: s.At}, {Of: 2 * s.Of, At: s.At + s.Of}}
}

// leaveCrowd commits the last slice of a microsecond and vouches for all of it.
func (h *hunting) leaveCrowd(ctx context.Context, a *huntAnswer, at *crowd) error {
	delete(h.crowds, h.place())
	o := a.outcome()
	if at.Reason != "" {
		o = outcomeOf{store.Truncated, at.Reason}
	}
	h.tally.read += a.Rows
	a.Rows = at.Rows
	c := store.Commit{Hunt: h.rows}
	h.width = max(h.width, huntFirstWidth) // what was narrow was the crowd
	h.vouch(&c, a, h.cursor.Add(tick), o)
	return h.save(ctx, c)
}

// maxFailing is how many answers in a row may be waited for in vain before the
// pass ends: each takes minutes of the quota. The next one goes on with the
// narrower window that this one has come to.
const maxFailing = 3

// errSlow ends a pass on account of maxFailing.
var errSlow = errors.New("answers in a row did not come")

// refused deals with a window that the service would not give.
func (h *hunting) refused(ctx context.Context, w span, err error) error {
	var over *defender.OversizeError
	var query *defender.QueryError
	switch {
	case errors.As(err, &over) && !over.Timeout:
		return h.cut(ctx, w, outcomeOf{store.Failed, err.Error()})
	case errors.As(err, &query):
		return h.rejected(ctx, w, err)
	case over == nil && !isolatable(err):
		return h.explain(err)
	}
	last := h.stuck || w.width() <= h.grain() // nothing is stepped over before the service was asked whether it is there
	if h.wary == 0 || last {
		if down := h.probe(ctx); down != nil {
			return errors.Join(err, down)
		}
	}
	h.wary = cleanAnswers
	if over != nil {
		h.failing++
	}
	if h.failing > maxFailing && w.width() > h.grain() {
		return fmt.Errorf("%d %w, although each was asked for less; the next pass goes on with %s: %w", h.failing, errSlow, h.width, err)
	}
	if last {
		return h.leaveOut(ctx, w, err)
	}
	return h.cut(ctx, w, outcomeOf{store.Failed, err.Error()})
}

// probe asks for a count of nothing, from before the product. A service that
// does not answer that is down, and nothing is to be learnt from it about a window.
func (h *hunting) probe(ctx context.Context) error {
	empty := time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)
	scan := kql.Scan{Table: h.hunt.Table, Time: h.hunt.TimeColumn, Since: empty, Until: empty.Add(time.Second)}
	if h.hunt.query != nil {
		scan.Table, scan.Time = "AlertInfo", "Timestamp" // which every tenant has
	}
	_, err := h.request(ctx, defender.HuntRequest{Query: scan.CountText(), Since: empty, Until: empty.Add(time.Second), Attempts: 1}, new(countSink))
	var query *defender.QueryError
	if errors.As(err, &query) {
		return nil // it reads queries, whatever it thinks of this one
	}
	return err
}

// leaveOut records a window that cannot be had and goes on after it. Where that
// fails, too, it is a whole stretch of time that is bad: what is left out then
// grows, instead of being looked for down to each of its microseconds.
func (h *hunting) leaveOut(ctx context.Context, w span, err error) error {
	delete(h.crowds, h.place())
	c := store.Commit{
		Coverage:   []store.Coverage{h.coverage(w.until, 0, store.Failed, err.Error())},
		Quarantine: []store.Quarantined{unread(w, err)},
	}
	h.stuck = true
	h.width = max(4*w.width(), h.grain())
	h.move(w.until, time.Time{})
	return h.save(ctx, c)
}

// rejected deals with a query that the service calls wrong. Where it is the
// prelude, the query goes on without, windowed by Timespan, and that is recorded.
func (h *hunting) rejected(ctx context.Context, w span, err error) error {
	if h.decided {
		return h.explain(err)
	}
	wide := span{w.since.Truncate(time.Second), w.until.Truncate(time.Second).Add(time.Second)}
	_, bare := h.ask(ctx, h.hunt.Query, wide)
	var query *defender.QueryError
	var over *defender.OversizeError
	switch {
	case errors.As(bare, &query):
		return h.explain(err)
	case bare != nil && !errors.As(bare, &over): // too much for one answer, but a query that it takes
		return bare
	}
	h.bare, h.decided = true, true
	h.align()
	return h.save(ctx, store.Commit{SchemaChanges: []store.SchemaChange{preludeChange(h.stream, err.Error())}})
}

func (h *hunting) explain(err error) error { return explainHunt(h.hunt, err) }

// explainHunt says what to change about a query that the service rejects.
func explainHunt(h *Hunt, err error) error {
	var query *defender.QueryError
	switch {
	case !errors.As(err, &query):
		return err
	case h.Table != "" && query.Unresolved == h.Table:
		return fmt.Errorf("the tenant has no table %s: its workload is not licensed or set up, or the name is misspelt (names are case-sensitive); "+
			"correct or remove it under streams.hunting: %w", h.Table, err)
	case h.Table != "" && query.Unresolved == h.TimeColumn:
		return fmt.Errorf("table %s has no column %s to cut windows by; name one in time_column, or write mode: snapshot: %w",
			h.Table, h.TimeColumn, err)
	}
	return fmt.Errorf("the service rejects the query; correct it under streams.hunting: %w", err)
}

// noSlice asks for all of a window.
var noSlice kql.Slice
