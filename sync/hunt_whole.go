package sync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"
	"defendersync/sync/kql"
)

// whole is one pass of a hunting stream in mode replace or snapshot: the result
// is read completely and stored in one transaction. A reading that is not
// complete changes nothing.
type whole struct {
	course
	hunt   *Hunt
	source Hunter
	rows   *store.HuntRows

	timespan bool // the service limits a query by the request's Timespan
}

func (h *whole) begin(now time.Time) error {
	h.stand(now, micro(now))
	return nil
}

func (h *whole) read(ctx context.Context) error {
	h.rows.Reset()
	served, err := h.collect(ctx)
	if err != nil {
		return err
	}
	at := later(micro(served), h.cp.Watermark.Add(tick))
	rows := h.rows.Len()
	h.tally.read += rows
	h.cursor = h.cp.Watermark
	c := store.Commit{Hunt: h.rows, Coverage: []store.Coverage{h.coverage(at, rows, store.Complete, "")}}
	h.cursor, h.until = at, at
	return h.commit(ctx, c, func(cp *store.Checkpoint) error {
		cp.ResumePoint, cp.PassedAt, cp.NextFrom = nil, h.started, at
		return nil
	})
}

// reread implements reading: a result has no part that could be read again.
func (h *whole) reread(context.Context, span) error { return nil }

// span is what the request's Timespan says, and a query's prelude.
func (h *whole) span() span {
	back := huntEdge
	if h.hunt.query != nil {
		back = h.hunt.Lookback
	}
	until := micro(h.now().Add(-h.stream.Settle))
	return span{until.Add(-back), until}
}

// collect reads the whole result and returns the service's time of the first
// answer: what changes later is for the next pass.
func (h *whole) collect(ctx context.Context) (time.Time, error) {
	if h.hunt.query != nil {
		return h.collectQuery(ctx)
	}
	slices, err := h.slices(ctx)
	if err != nil {
		return time.Time{}, explainHunt(h.hunt, err)
	}
	var first time.Time
	for len(slices) > 0 {
		s := slices[0]
		served, full, err := h.ask(ctx, h.scan(s).Text())
		switch {
		case err != nil:
			return first, explainHunt(h.hunt, err)
		case full && max(s.Of, 1) >= maxSlices:
			return first, errors.New("the table holds more equal rows than one answer: it cannot be read whole")
		case full:
			slices = append(halves(kql.Slice{Of: max(s.Of, 1), At: s.At}), slices[1:]...)
			continue
		}
		h.rows.Keep()
		if slices = slices[1:]; first.IsZero() {
			first = served
		}
	}
	return first, nil
}

func (h *whole) scan(s kql.Slice) kql.Scan {
	return kql.Scan{Table: h.hunt.Table, Slice: s, Drop: h.hunt.Drop, Keyless: len(h.hunt.Key) == 0}
}

// slices are the parts in which the table should fit, by its count.
func (h *whole) slices(ctx context.Context) ([]kql.Slice, error) {
	var counts countSink
	if _, err := h.request(ctx, h.scan(kql.Slice{}).CountText(), &counts); err != nil {
		return nil, err
	}
	if float64(counts.total()) < 0.9*float64(h.hunt.Cap) {
		return []kql.Slice{{}}, nil
	}
	return slicesOf(slicesFor(counts.total(), h.hunt.Cap)), nil
}

func (h *whole) collectQuery(ctx context.Context) (time.Time, error) {
	text := h.hunt.Query
	if !h.hunt.byTimespan() {
		w := h.span()
		text = h.hunt.query.Windowed(w.since, w.until)
	}
	served, full, err := h.ask(ctx, text)
	var query *defender.QueryError
	if errors.As(err, &query) && text != h.hunt.Query && h.timespan {
		served, full, err = h.ask(ctx, h.hunt.Query) // which limits it, too, where the prelude is what is rejected
	}
	switch {
	case err != nil:
		return served, explainHunt(h.hunt, err)
	case full:
		return served, fmt.Errorf("the result does not fit in one answer, so the stored one stays: summarize or filter more in the query, or lower its lookback (now %s)",
			h.hunt.Lookback)
	}
	h.rows.Keep()
	return served, nil
}

// ask sends one query whose rows follow those that were kept, and says whether
// the answer may have been cut off. One that is too large counts as such.
func (h *whole) ask(ctx context.Context, text string) (served time.Time, full bool, err error) {
	a, err := h.request(ctx, text, &rowSink{ctx: ctx, rows: h.rows})
	var over *defender.OversizeError
	switch {
	case errors.As(err, &over) && !over.Timeout:
		return time.Time{}, true, nil
	case err != nil:
		return time.Time{}, false, err
	case a.Incomplete:
		return time.Time{}, false, errors.New(partialReason)
	}
	served = a.ServerTime
	if served.IsZero() {
		served = h.now()
	}
	return served, a.Rows >= int64(h.hunt.Cap), nil
}

func (h *whole) request(ctx context.Context, text string, sink defender.HuntSink) (*defender.HuntAnswer, error) {
	w := h.span()
	return h.source.Hunt(defender.ContextWithMeter(ctx, h.meter), defender.HuntRequest{Query: text, Since: w.since, Until: w.until}, sink)
}
