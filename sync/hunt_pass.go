package sync

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"
	"defendersync/sync/kql"
)

// hunting is one pass of a hunting stream in mode events. Nothing orders its
// answers, nothing pages them, and nothing says that one was cut off: a window
// is whole when its answer holds fewer rows than the cap, and else it is
// thrown away and cut. Below a microsecond rows are told apart by a hash.
type hunting struct {
	course
	hunt   *Hunt
	source Hunter
	rows   *store.HuntRows
	times  timeSample // of the answer that is in rows

	plan    []store.HourCount // what is to be expected, where it was counted
	failing int               // answers in a row that did not come in time
	wary    int               // answers that have to succeed until a failure is again taken for the service's
	stuck   bool              // the window before this one was given up
	bare    bool              // the service takes no prelude: by Timespan alone
	decided bool              // it has taken one, or is not to be asked again

	crowds map[string]*crowd // microseconds that are being read in slices
	parked *huntPoint        // the pass that was cut off before gaps are read again
	share  *huntShare        // what several readers of the stream have in common; nil for one alone
}

// crowd is one microsecond that does not fit in one answer.
type crowd struct {
	Slices  []kql.Slice `json:"slices"`            // still to be read; none where it is still to be counted
	Rows    int64       `json:"rows"`              // of those that were
	Refused int         `json:"refused,omitempty"` // answers in a row that did not come
	Reason  string      `json:"reason,omitempty"`  // why it is not complete
}

// huntPoint is what a checkpoint keeps of a pass that has not ended.
type huntPoint struct {
	Cursor time.Time         `json:"cursor,omitzero"`
	Crowds map[string]*crowd `json:"crowds,omitempty"` // by microseconds since 1970
	Stuck  bool              `json:"stuck,omitempty"`  // see hunting.stuck
}

// huntAnswer is one answer with what it says about its own window.
type huntAnswer struct {
	*defender.HuntAnswer
	full bool // there may be more than this
}

// begin sets the pass to where the stream stands, and no earlier than the
// service looks back. A new stream begins at a full hour, so that its first
// windows have not slipped over the edge when they are read.
func (h *hunting) begin(now time.Time) error {
	start := h.stream.Start.Time(now)
	if h.hunt.Backfillable() != nil { // it answers about the present, whatever the window
		start = later(micro(now.Add(-h.stream.Settle-h.stream.Overlap)), h.horizon())
	}
	h.stand(now, later(start, edgeAt(now).Truncate(time.Hour).Add(time.Hour)))
	h.bare = h.hunt.byTimespan()
	h.decided = h.bare || h.hunt.query == nil
	h.crowds = map[string]*crowd{}
	h.times.column = cmp.Or(h.hunt.TimeColumn, "Timestamp")
	if h.cp.ResumePoint != nil {
		var at huntPoint
		if err := json.Unmarshal(h.cp.ResumePoint, &at); err != nil {
			return fmt.Errorf("read resume point of %s: %w", h.stream.Name, err)
		}
		if !at.Cursor.IsZero() {
			h.cursor, h.stuck = at.Cursor, at.Stuck
		}
		for key, c := range at.Crowds {
			h.crowds[key] = c
		}
	}
	if h.width == 0 {
		h.width = huntFirstWidth
	}
	h.depart()
	h.align()
	return nil
}

// edgeAt is how far back the service looks at now: it has nothing from before.
func edgeAt(now time.Time) time.Time { return micro(now.Add(-huntEdge)) }

// edgeMargin is kept from the edge when a range near it is chosen, so that its
// begin has not slipped over by the time it is read.
const edgeMargin = 5 * time.Minute

// grain is how narrow a window can be.
func (h *hunting) grain() time.Duration {
	if h.bare {
		return time.Second // Timespan has whole seconds
	}
	return tick
}

// align widens the span to what windows can be cut to.
func (h *hunting) align() {
	h.cursor = h.cursor.Truncate(h.grain())
	h.until = later(h.until.Truncate(h.grain()), h.cursor.Add(h.grain()))
}

func (h *hunting) read(ctx context.Context) error {
	if err := h.foresee(ctx, span{h.cursor, h.until}); err != nil {
		return err
	}
	if err := h.traverse(ctx); err != nil {
		return err
	}
	h.plan = nil // it was counted for this span
	if h.cp.ResumePoint == nil && h.cp.PassedAt.Equal(h.started) {
		return nil
	}
	return h.save(ctx, store.Commit{}) // nothing was left to read: say that the pass has ended
}

// traverse goes from the cursor to the end of the span, phase by phase.
func (h *hunting) traverse(ctx context.Context) error {
	for h.cursor.Before(h.until) {
		if err := h.phase(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (h *hunting) reread(ctx context.Context, s span) error {
	h.park()
	h.stuck = false // that was elsewhere
	h.cursor, h.until = later(s.since, edgeAt(h.now())), s.until
	if !h.cursor.Before(h.until) {
		return nil // over the edge: it stays a gap, and the gap says why
	}
	h.align()
	return h.traverse(ctx)
}

// park leaves the ordinary pass where it is, to read behind the watermark.
func (h *hunting) park() {
	if !h.heal && h.cp.ResumePoint != nil {
		h.parked = &huntPoint{Cursor: h.cursor, Stuck: h.stuck}
	}
	h.heal = true
}

func (h *hunting) phase(ctx context.Context) error {
	if h.share != nil { // for all but the request itself: see hear
		h.share.mu.Lock()
		defer h.share.mu.Unlock()
	}
	edge, horizon := edgeAt(h.now()), h.horizon()
	switch {
	case h.cursor.Before(edge) && (h.clocked || h.heal): // else an answer comes first: our clock may be a month ahead, and so the watermark
		return h.overEdge(ctx, edge)
	case h.cursor.Before(horizon):
		return h.outOfSight(ctx, horizon)
	case h.crowds[h.place()] != nil:
		return h.slice(ctx)
	default:
		return h.window(ctx)
	}
}

// place is the key of the microsecond at the cursor.
func (h *hunting) place() string { return strconv.FormatInt(h.cursor.UnixMicro(), 10) }

// overEdge records what the service no longer has. An answer would be empty,
// and look complete.
func (h *hunting) overEdge(ctx context.Context, edge time.Time) error {
	end := earlier(h.until, edge.Add(time.Second).Truncate(h.grain()).Add(h.grain())) // see forgotten
	h.width = max(h.width, huntFirstWidth)
	maps.DeleteFunc(h.crowds, func(key string, _ *crowd) bool {
		at, err := strconv.ParseInt(key, 10, 64)
		return err != nil || at < end.UnixMicro()
	})
	return h.advance(ctx, &huntAnswer{HuntAnswer: &defender.HuntAnswer{}}, end, outcomeOf{store.Failed, overEdgeReason})
}

const overEdgeReason = "older than the 30 days that the service looks back when it was to be read"

// forgotten is up to where the service had nothing left when it made the
// answer. Waiting to be let in, and for the answer, may have taken long, and
// its clock may be ahead of ours. Its time is in whole seconds, rounded down.
func (h *hunting) forgotten(a *huntAnswer) time.Time {
	if a.ServerTime.IsZero() {
		return edgeAt(h.now())
	}
	return edgeAt(a.ServerTime.Add(time.Second))
}

// horizon is how far back a query can see that says ago() or now(): as far as
// its ago() says, or where that is not known as far as each pass reads again. For
// any other stream it is the zero time.
func (h *hunting) horizon() time.Time {
	if h.hunt.query == nil || len(h.hunt.query.Clock()) == 0 {
		return time.Time{}
	}
	reach, ok := h.hunt.query.Reach()
	if !ok {
		reach = h.stream.Overlap + h.stream.Settle
	}
	return micro(h.now().Add(-reach))
}

// outOfSight records what the query can no longer answer about. An answer would
// be empty, and look complete.
func (h *hunting) outOfSight(ctx context.Context, horizon time.Time) error {
	end := earlier(h.until, horizon.Truncate(h.grain()).Add(h.grain()))
	reason := "the query says " + strings.Join(h.hunt.query.Clock(), ", ") + ": asked later, it cannot see this any more"
	return h.advance(ctx, &huntAnswer{HuntAnswer: &defender.HuntAnswer{}}, end, outcomeOf{store.Failed, reason})
}

// outcomeOf is what is recorded of a range.
type outcomeOf struct {
	verdict store.Verdict
	reason  string
}

// window is the ordinary phase: ask for what comes next and decide whether the
// answer holds it whole.
func (h *hunting) window(ctx context.Context) error {
	w := span{h.cursor, earlier(h.until, h.reach())}
	a, err := h.ask(ctx, h.text(w, kql.Slice{}), w)
	if err != nil {
		return h.refused(ctx, w, err)
	}
	if a.full {
		return h.cut(ctx, w, outcomeOf{store.Truncated, h.fullReason()})
	}
	h.widen(w, a)
	end := w.until
	if vouched := h.vouched(a.ServerTime, end).Truncate(h.grain()); vouched.Before(end) {
		end = vouched
		h.until = earlier(h.until, end) // the server's present: nothing more to be had in this pass
	}
	return h.advance(ctx, a, end, a.outcome())
}

func (a *huntAnswer) outcome() outcomeOf {
	if a.Incomplete {
		return outcomeOf{store.Truncated, partialReason}
	}
	return outcomeOf{verdict: store.Complete}
}

func (h *hunting) fullReason() string {
	return fmt.Sprintf("the answer holds %d rows, which is all that one can hold: there may be more", h.hunt.Cap)
}

// text is the query for a window, or for a slice of its microsecond.
func (h *hunting) text(w span, slice kql.Slice) string {
	switch {
	case h.hunt.query == nil:
		return h.scan(w, slice).Text()
	case h.bare:
		return h.hunt.Query
	default:
		return h.hunt.query.Windowed(w.since, w.until)
	}
}

func (h *hunting) scan(w span, slice kql.Slice) kql.Scan {
	return kql.Scan{Table: h.hunt.Table, Time: h.hunt.TimeColumn, Since: w.since, Until: w.until, Slice: slice, Drop: h.hunt.Drop, Keyless: len(h.hunt.Key) == 0}
}

// ask sends one query, whatever retries it takes. The rows of the answer are in
// h.rows afterwards.
func (h *hunting) ask(ctx context.Context, text string, w span) (*huntAnswer, error) {
	h.rows.Reset()
	return h.hear(ctx, text, w)
}

// hear is ask that keeps the rows that are there.
func (h *hunting) hear(ctx context.Context, text string, w span) (*huntAnswer, error) {
	r := defender.HuntRequest{Query: text, Since: w.since, Until: w.until}
	if h.wary > 0 {
		r.Attempts = 1 // what makes an answer fail is near
	}
	a, err := h.request(ctx, r, &rowSink{ctx: ctx, hunt: h.hunt, rows: h.rows, times: &h.times, note: h.note})
	if err != nil {
		return nil, err
	}
	if h.stuck {
		h.stuck, h.width = false, max(h.width, huntFirstWidth) // what was narrow was the bad stretch
	}
	h.failing, h.wary, h.decided = 0, max(h.wary-1, 0), true
	if err := h.setClock(a.ServerTime); err != nil {
		return nil, err
	}
	return &huntAnswer{HuntAnswer: a, full: a.Rows >= int64(h.hunt.Cap)}, nil
}

// count asks how many rows there are in each hour of a window, which come in
// order. What is too much for one answer is asked for in parts of whole hours.
func (h *hunting) count(ctx context.Context, w span) (*countSink, error) {
	var all countSink
	for at, width := w.since, w.width(); at.Before(w.until); {
		part := span{at, earlier(w.until, at.Add(width))}
		if part.until.Before(w.until) {
			part.until = later(part.until.Truncate(time.Hour), at.Add(time.Hour).Truncate(time.Hour))
		}
		counts, err := h.countSome(ctx, part)
		var over *defender.OversizeError
		switch tooMuch := errors.As(err, &over) || err == nil && len(counts.counts) >= h.hunt.Cap; {
		case tooMuch && part.width() > time.Hour:
			width = part.halved()
			continue
		case err != nil:
			return &all, err
		}
		all.counts = append(all.counts, counts.counts...)
		at = part.until
	}
	slices.SortFunc(all.counts, func(a, b store.HourCount) int { return a.Hour.Compare(b.Hour) })
	return &all, nil
}

func (h *hunting) countSome(ctx context.Context, w span) (*countSink, error) {
	var counts countSink
	_, err := h.request(ctx, defender.HuntRequest{Query: h.scan(w, kql.Slice{}).CountText(), Since: w.since, Until: w.until}, &counts)
	return &counts, err
}

// request is the only place that waits for the service. What readers share is
// not held meanwhile.
func (h *hunting) request(ctx context.Context, r defender.HuntRequest, sink defender.HuntSink) (*defender.HuntAnswer, error) {
	if h.share != nil {
		h.share.mu.Unlock()
		defer h.share.mu.Lock()
	}
	return h.source.Hunt(defender.ContextWithMeter(ctx, h.meter), r, sink)
}

// huntShare is what several readers of one stream have in common: the
// checkpoint that they all move, and the microseconds under way.
type huntShare struct {
	mu sync.Mutex
	cp store.Checkpoint
}

// advance commits the rows of an answer, vouches for [cursor, end) and moves on.
func (h *hunting) advance(ctx context.Context, a *huntAnswer, end time.Time, o outcomeOf) error {
	h.tally.read += a.Rows
	var c store.Commit
	if a.Rows > 0 || a.Columns != nil {
		c.Hunt = h.rows
	}
	h.vouch(&c, a, end, o)
	return h.save(ctx, c)
}

// vouch records what is known of [cursor, end) and moves there.
func (h *hunting) vouch(c *store.Commit, a *huntAnswer, end time.Time, o outcomeOf) {
	if h.heal && o.verdict == store.Complete {
		c.Resolved = append(c.Resolved, store.QuarantineKey{Kind: kindResponse, Key: windowKey(span{h.cursor, end})})
	}
	if gone := earlier(h.forgotten(a), end); o.verdict == store.Complete && gone.After(h.cursor) {
		c.Coverage = append(c.Coverage, h.coverage(gone, 0, store.Failed, overEdgeReason))
		h.move(gone, a.ServerTime)
	}
	if end.After(h.cursor) {
		c.Coverage = append(c.Coverage, h.coverage(end, a.Rows, o.verdict, o.reason))
	}
	h.move(end, a.ServerTime)
}

// save commits c with the checkpoint as it now stands.
func (h *hunting) save(ctx context.Context, c store.Commit) error {
	if h.share == nil {
		return h.commit(ctx, c, h.mark)
	}
	h.cp = h.share.cp
	err := h.commit(ctx, c, h.mark)
	h.share.cp = h.cp
	return err
}

// mark writes the resume point, or that the pass has ended.
func (h *hunting) mark(cp *store.Checkpoint) error {
	at := huntPoint{Cursor: h.cursor, Crowds: h.crowds, Stuck: h.stuck}
	switch {
	case h.heal && h.parked == nil:
		at.Cursor = time.Time{}
	case h.heal:
		at.Cursor, at.Stuck = h.parked.Cursor, h.parked.Stuck
	case !h.cursor.Before(h.until):
		cp.PassedAt, at.Cursor = h.started, time.Time{}
	}
	cp.ResumePoint = nil
	if at.Cursor.IsZero() && len(at.Crowds) == 0 {
		return nil
	}
	b, err := json.Marshal(at)
	if err != nil {
		return fmt.Errorf("write resume point of %s: %w", h.stream.Name, err)
	}
	cp.ResumePoint = b
	return nil
}
