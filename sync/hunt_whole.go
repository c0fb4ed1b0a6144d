package sync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"
	"defendersync/sync/kql"
)

// whole is one pass of a hunting stream in mode replace or snapshot: the result
// is read completely and stored in one transaction. A reading that is not
// complete changes nothing; the answers that it had accepted are kept for the
// next pass to go on from.
type whole struct {
	course
	hunt   *Hunt
	source Hunter
	rows   *store.HuntRows

	point  wholePoint
	parts  bool  // some answers are in sync.hunting_parts, or may be
	loaded int64 // rows that an earlier pass has read

	bare    bool // the query is limited by the request's Timespan alone
	decided bool // it stays as it is with that
}

func (h *whole) begin(now time.Time) error {
	h.stand(now, micro(now))
	h.bare = h.hunt.query != nil && h.hunt.byTimespan()
	h.decided = h.bare || h.hunt.query == nil
	if h.cp.ResumePoint == nil {
		return nil
	}
	if err := json.Unmarshal(h.cp.ResumePoint, &h.point); err != nil {
		return fmt.Errorf("read resume point of %s: %w", h.stream.Name, err)
	}
	h.parts = h.point.Held.Answers > 0
	return nil
}

func (h *whole) read(ctx context.Context) error {
	h.rows.Reset()
	served, err := h.collect(ctx)
	if err != nil {
		return err
	}
	h.count()
	at := later(micro(h.believed(served)), h.cp.Watermark.Add(tick))
	h.cursor = h.cp.Watermark
	c := store.Commit{Hunt: h.rows, Coverage: []store.Coverage{h.coverage(at, h.rows.Len(), store.Complete, "")}}
	if h.parts {
		c.Parts = store.PartsRemoved
	}
	h.cursor, h.until = at, at
	return h.commit(ctx, c, func(cp *store.Checkpoint) error {
		cp.ResumePoint, cp.PassedAt, cp.NextFrom = nil, h.started, at
		return nil
	})
}

// count notes how much this pass has read.
func (h *whole) count() { h.tally.read = h.rows.Len() - h.loaded }

// save commits where the reading stands, and with it what is new of its answers.
func (h *whole) save(ctx context.Context, c store.Commit) error {
	return h.commit(ctx, c, func(cp *store.Checkpoint) (err error) {
		cp.ResumePoint, err = json.Marshal(h.point)
		return err
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
	if err := h.resume(ctx); err != nil {
		return time.Time{}, explainHunt(h.hunt, err)
	}
	for s, more := h.point.slice(); more; s, more = h.point.slice() {
		served, full, err := h.ask(ctx, h.scan(s).Text())
		switch {
		case err != nil:
			return time.Time{}, explainHunt(h.hunt, err)
		case full && s.Of >= maxSlices:
			return time.Time{}, errors.New("the table holds more equal rows than one answer: it cannot be read whole")
		case full:
			h.point.halve()
			err = h.save(ctx, store.Commit{}) // a pass killed on its way down would else ask all of it again
		default:
			err = h.accept(ctx, served)
		}
		if err != nil {
			return time.Time{}, err
		}
	}
	return h.point.Served, nil
}

// accept takes the answer that came last. It is kept unless the result is whole
// with it, and stored at once.
func (h *whole) accept(ctx context.Context, served time.Time) error {
	h.rows.Keep()
	h.count()
	if h.point.Served.IsZero() {
		h.point.Began, h.point.Served = h.now(), served
	}
	h.point.pass()
	if _, more := h.point.slice(); !more {
		return nil
	}
	h.parts, h.point.Held = true, h.rows.Held()
	return h.save(ctx, store.Commit{Hunt: h.rows, Parts: store.PartsAdded})
}

// resume goes on from what an earlier pass has accepted, or begins anew: with a
// count, that tells in how many slices the table should fit.
func (h *whole) resume(ctx context.Context) error {
	if h.point.usable(h.now()) {
		err := h.restore(ctx)
		if !errors.Is(err, store.ErrPartsLost) {
			return err
		}
	}
	of, err := h.slices(ctx)
	if err != nil {
		return err
	}
	h.point = wholePoint{Began: h.now(), Of: of}
	return h.save(ctx, store.Commit{}) // a pass killed before its first answer is stored would else count again
}

func (h *whole) restore(ctx context.Context) error {
	if h.point.Held.Answers == 0 {
		return nil
	}
	err := h.rows.Restore(ctx, h.stream.Name, h.point.Held)
	if err == nil {
		h.loaded = h.point.Held.Rows
	}
	return err
}

// wholePoint is what a checkpoint keeps of a result that is being read: which
// slices are left of it, and what was accepted.
type wholePoint struct {
	Began  time.Time      `json:"began,omitzero"`  // when the first answer came, by our clock; before that when it was counted
	Served time.Time      `json:"served,omitzero"` // the same by the service's
	Split  []kql.Slice    `json:"split,omitempty"` // to be read before the others
	Of     int            `json:"of,omitzero"`     // how many slices the others are cut in; 0: there is no such reading
	Next   int            `json:"next,omitzero"`   // the first of them that was not read
	Held   store.HuntHeld `json:"held,omitzero"`
}

// wholeSpan is how far apart the answers to one result may be, where a pass goes
// on from another: rows that change meanwhile are in two of them, or in none.
const wholeSpan = time.Hour

// usable reports whether there is a reading that may be gone on from.
func (p *wholePoint) usable(now time.Time) bool {
	return p.Of > 0 && now.Sub(p.Began).Abs() <= wholeSpan
}

// slice is what is to be read next; false means that nothing is.
func (p *wholePoint) slice() (kql.Slice, bool) {
	switch {
	case len(p.Split) > 0:
		return p.Split[0], true
	case p.Next >= p.Of:
		return kql.Slice{}, false
	case p.Of == 1:
		return kql.Slice{}, true
	}
	return kql.Slice{Of: p.Of, At: p.Next}, true
}

// pass goes on behind the slice.
func (p *wholePoint) pass() {
	if len(p.Split) > 0 {
		p.Split = p.Split[1:]
	} else {
		p.Next++
	}
}

// halve puts two slices in the place of the one.
func (p *wholePoint) halve() {
	s, _ := p.slice()
	p.pass()
	p.Split = append(halves(kql.Slice{Of: max(s.Of, 1), At: s.At}), p.Split...)
}

func (h *whole) scan(s kql.Slice) kql.Scan {
	return kql.Scan{Table: h.hunt.Table, Slice: s, Drop: h.hunt.Drop, Keyless: len(h.hunt.Key) == 0}
}

// slices is in how many the table should fit, by its count.
func (h *whole) slices(ctx context.Context) (int, error) {
	var counts countSink
	if _, err := h.request(ctx, h.scan(kql.Slice{}).CountText(), &counts); err != nil {
		return 0, err
	}
	if float64(counts.total()) < 0.9*float64(h.hunt.Cap) {
		return 1, nil
	}
	return slicesFor(counts.total(), h.hunt.Cap), nil
}

func (h *whole) collectQuery(ctx context.Context) (time.Time, error) {
	text := h.hunt.Query
	if !h.bare {
		w := h.span()
		text = h.hunt.query.Windowed(w.since, w.until)
	}
	served, full, err := h.ask(ctx, text)
	var query *defender.QueryError
	if errors.As(err, &query) && !h.decided {
		served, full, err = h.askBare(ctx, err)
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

// askBare sends the query without the prelude, which the service may be what it
// calls wrong. If so, that is recorded, and later passes begin without it.
func (h *whole) askBare(ctx context.Context, rejected error) (served time.Time, full bool, err error) {
	if served, full, err = h.ask(ctx, h.hunt.Query); err != nil {
		return served, full, err
	}
	h.bare, h.decided = true, true
	return served, full, h.save(ctx, store.Commit{SchemaChanges: []store.SchemaChange{preludeChange(h.stream, rejected.Error())}})
}

// ask sends one query whose rows follow those that were kept, and says whether
// the answer may have been cut off. One that is too large counts as such.
func (h *whole) ask(ctx context.Context, text string) (served time.Time, full bool, err error) {
	a, err := h.request(ctx, text, &rowSink{ctx: ctx, hunt: h.hunt, rows: h.rows, note: h.note})
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
