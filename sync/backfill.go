package sync

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"

	"golang.org/x/sync/errgroup"
)

// incidentEdge is how long the service keeps incidents and alerts.
const incidentEdge = 180 * 24 * time.Hour

// BackfillRequest asks for a past range of one stream.
type BackfillRequest struct {
	Tenant, Stream string // Tenant "" is every tenant
	From, To       time.Time
	NewestFirst    bool
	Parallel       int // hunting windows asked for at the same time; 0 is 2
}

// Backfill fills what is missing of a range, tenant by tenant, and moves the
// stream's start back to where the range begins. What is complete already is
// not asked for again: a backfill that was cut off goes on where it was, and one
// that is done does nothing.
func (w *Worker) Backfill(ctx context.Context, r BackfillRequest) []Result {
	var results []Result
	w.each(r.Tenant, []string{r.Stream}, func(t *tenantState, s Stream) {
		results = append(results, w.backfill(ctx, t, s, r))
	})
	return results
}

func (w *Worker) backfill(ctx context.Context, t *tenantState, s Stream, r BackfillRequest) Result {
	result := Result{Tenant: t.Name, Stream: s.Name}
	if s.Hunt != nil {
		if err := s.Hunt.Backfillable(); err != nil {
			return failed(ctx, result, err)
		}
	}
	began := micro(w.cfg.Now())
	ctx, lease, release, err := w.await(ctx, t)
	if err != nil {
		return w.refused(ctx, errand{tenant: t, stream: s, run: store.Run{StartedAt: began}}, err)
	}
	defer release()
	return w.recorded(ctx, errand{lease: lease, tenant: t, stream: s}, func(ctx context.Context, e errand, result *Result) error {
		return w.fill(ctx, e, r, result)
	})
}

// fill reads what is missing of the range.
func (w *Worker) fill(ctx context.Context, e errand, r BackfillRequest, result *Result) error {
	now := micro(w.cfg.Now())
	whole, beyond := reachable(e.stream, span{micro(r.From), micro(r.To)}, now)
	if result.asked = whole; beyond > 0 {
		result.Beyond = beyond
		result.Warning = fmt.Sprintf("%s of the range are older than the service keeps and cannot be had", days(beyond))
	}
	if !whole.since.Before(whole.until) {
		return nil
	}
	p, err := w.newReading(ctx, e)
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.way().extend(ctx, whole); err != nil {
		return err
	}
	missing, err := w.missing(ctx, e, p.way().cp, whole)
	if err != nil {
		return err
	}
	f := &filler{worker: w, errand: e, request: r, whole: whole, missing: missing, rows: map[*course]int64{}}
	err = f.run(ctx, p)
	f.count(result)
	return err
}

// reachable is the part of a range that can be asked for, and how much of it
// the service no longer has.
func reachable(s Stream, want span, now time.Time) (can span, beyond time.Duration) {
	edge := now.Add(-incidentEdge)
	if s.Hunt != nil {
		edge = edgeAt(now).Add(edgeMargin)
	}
	// The service tells its time in whole seconds, and an answer vouches for no more.
	present := now.Add(-s.Settle).Truncate(time.Second).Add(-time.Second)
	can = span{later(want.since, micro(edge)), earlier(want.until, present)}
	if s.Hunt != nil {
		can.until = can.until.Truncate(time.Second) // as fine as a Timespan
	}
	if beyond = earlier(can.since, want.until).Sub(want.since); beyond <= 2*edgeMargin {
		beyond = 0 // who asks for 30 days is not to be told of the margin, nor of what passed since
	}
	return can, beyond
}

// days says a duration as a person would.
func days(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
	return d.Round(time.Minute).String()
}

// extend moves the start of the stream back to the begin of s, and so declares
// what was not read yet a gap. A stream that never ran begins and ends with s.
func (p *course) extend(ctx context.Context, s span) error {
	cp := p.cp
	switch {
	case cp.Revision == 0:
		cp.StartTime, cp.Watermark, cp.NextFrom = s.since, s.until, s.until
	case !s.since.Before(cp.StartTime):
		return nil
	default:
		cp.StartTime = s.since
	}
	stored, _, err := p.ledger.Commit(ctx, &store.Commit{Lease: p.lease, RunID: p.runID, Checkpoint: cp})
	if err != nil {
		return fmt.Errorf("move the start of %s back: %w", p.stream.Name, err)
	}
	p.cp = stored
	return nil
}

// agedBy is how much later a backfill that was cut off may be started again, as
// "from 20 days ago", and still read the first moments of what it then began with.
const agedBy = time.Hour

// missing lists what of whole is not complete: gaps and, where the ordinary pass has
// not come so far yet, what no backfill has read of the time ahead of it.
func (w *Worker) missing(ctx context.Context, e errand, cp store.Checkpoint, whole span) ([]span, error) {
	gaps, err := w.cfg.Store.Gaps(ctx, e.tenant.ID, e.stream.Name)
	if err != nil {
		return nil, err
	}
	var all []span
	for _, g := range gaps {
		s := span{g.From, earlier(g.To, whole.until)}
		if whole.since.Sub(g.From) > agedBy || !g.To.After(whole.since) {
			s.since = later(g.From, whole.since)
		}
		if s.since.Before(s.until) {
			all = append(all, s)
		}
	}
	ahead := span{later(cp.Watermark, whole.since), whole.until}
	if !ahead.since.Before(ahead.until) {
		return all, nil
	}
	ledger, err := w.cfg.Store.Coverage(ctx, e.tenant.ID, e.stream.Name, ahead.since, ahead.until)
	if err != nil {
		return nil, err
	}
	return append(all, incomplete(ahead, ledger)...), nil
}

// incomplete lists what of s is in no complete range of the ledger, which is in order.
func incomplete(s span, ledger []store.Coverage) (all []span) {
	for _, c := range ledger {
		if c.Verdict != store.Complete {
			continue
		}
		if s.since.Before(c.From) {
			all = append(all, span{s.since, earlier(c.From, s.until)})
		}
		s.since = later(s.since, c.To)
	}
	if s.since.Before(s.until) {
		all = append(all, s)
	}
	return all
}

// readersOf is how many readers a backfill of hunting has, unless told otherwise.
const readersOf = 2

// newestPiece is how much of incidents or alerts is read at a time where the
// newest come first.
const newestPiece = 7 * 24 * time.Hour

// pieceOf is how much of s a reader should take at a time.
func pieceOf(p reading, s span, newestFirst bool) time.Duration {
	h, hunts := p.(*hunting)
	switch {
	case !hunts && newestFirst:
		return newestPiece
	case !hunts:
		return s.width()
	case newestFirst:
		return h.width
	case h.plan != nil:
		return expected(h.plan, s, h.aim()).Sub(s.since)
	default:
		return windowsPerPiece * h.width // for the width to grow in
	}
}

const windowsPerPiece = 4

// cutPiece takes a piece off the begin of spans, or off their end.
func cutPiece(spans []span, newestFirst bool, width func(span) time.Duration) (piece span, rest []span) {
	i := 0
	if newestFirst {
		i = len(spans) - 1
	}
	s := spans[i]
	w := min(max(width(s), tick), s.width())
	switch {
	case w == s.width():
		return s, slices.Delete(spans, i, i+1)
	case newestFirst:
		spans[i].until = s.until.Add(-w)
		return span{s.until.Add(-w), s.until}, spans
	default:
		spans[i].since = s.since.Add(w)
		return span{s.since, s.since.Add(w)}, spans
	}
}

// filler hands the pieces of a range to readers.
type filler struct {
	worker  *Worker
	errand  errand
	request BackfillRequest
	whole   span

	mu      sync.Mutex
	missing []span
	readers []*course
	rows    map[*course]int64 // read so far
}

// run reads all pieces, through p alone or, where the stream allows it,
// several readers at a time.
func (f *filler) run(ctx context.Context, p reading) error {
	first, ok := p.(*hunting)
	if !ok {
		return f.serve(ctx, p)
	}
	if len(f.missing) == 0 {
		f.readers = append(f.readers, p.way())
		return nil
	}
	first.park()
	if err := first.foresee(ctx, f.whole); err != nil {
		return err
	}
	first.share = &huntShare{cp: first.cp}
	readers := []*hunting{first}
	n := cmp.Or(f.request.Parallel, readersOf)
	if n > 1 { // what one of several was doing when it ended says nothing of where the others begin
		first.width = max(first.width, huntFirstWidth)
	}
	for range n - 1 {
		reader := first.another(f.worker.cfg.Store) // as long as first stands still
		defer reader.close()
		readers = append(readers, reader)
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, reader := range readers {
		group.Go(func() error { return f.serve(ctx, reader) })
	}
	return group.Wait()
}

// another is a second reader of the same stream at the same time.
func (h *hunting) another(s *store.Store) *hunting {
	b := *h
	b.meter, b.calls, b.tally = new(defender.Meter), 0, tally{}
	b.notes = nil
	b.rows, b.times = s.NewHuntRows(h.hunt.spec(h.cp.TenantID)), timeSample{column: h.times.column}
	return &b
}

// serve reads piece after piece.
func (f *filler) serve(ctx context.Context, p reading) error {
	c := p.way()
	f.mu.Lock()
	f.readers = append(f.readers, c)
	f.mu.Unlock()
	show := c.progress
	c.progress = func(g Progress) { f.report(c, g, show) }
	for {
		s, ok := f.take(p)
		if !ok {
			return nil
		}
		if err := p.reread(ctx, s); err != nil {
			return err
		}
	}
}

func (f *filler) take(p reading) (piece span, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.missing) == 0 {
		return span{}, false
	}
	piece, f.missing = cutPiece(f.missing, f.request.NewestFirst, func(s span) time.Duration {
		return pieceOf(p, s, f.request.NewestFirst)
	})
	return piece, true
}

// report tells how much of the range is read, whichever reader read it.
func (f *filler) report(c *course, g Progress, show func(Progress)) {
	if show == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows[c] = g.Rows
	left := time.Duration(0)
	for _, s := range f.missing {
		left += s.width()
	}
	g.From, g.Until, g.Cursor, g.Rows, g.Calls = f.whole.since, f.whole.until, f.whole.until.Add(-left), 0, 0
	for _, c := range f.readers {
		g.Rows += f.rows[c]
		g.Calls += c.meter.Calls.Load()
	}
	show(g)
}

// count adds up what the readers did.
func (f *filler) count(r *Result) {
	for _, c := range f.readers {
		r.Read += c.tally.read
		r.Inserted += c.tally.Inserted
		r.Updated += c.tally.Updated
		r.Unchanged += c.tally.Unchanged
		r.Calls += c.meter.Calls.Load()
		r.Throttled += time.Duration(c.meter.Throttled.Load())
		r.note(c.notes)
	}
}

// Counter says how many records a stream has, without sending them.
// *defender.Client implements it.
type Counter interface {
	Count(ctx context.Context, stream string, since, until time.Time) (int64, error)
}

var _ Counter = (*defender.Client)(nil)
