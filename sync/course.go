package sync

import (
	"context"
	"fmt"
	"slices"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"
)

// reading is one pass of one stream, of whichever kind.
type reading interface {
	// read goes through the span of the pass and closes it.
	read(context.Context) error
	// reread goes through a span behind the watermark once more, without moving it.
	reread(context.Context, span) error
	// way is what passes of every kind have.
	way() *course
	close()
}

// course is a pass's way through the time of its stream, whatever the stream
// holds: where it stands, how far it may vouch, and how it commits.
type course struct {
	stream  Stream
	ledger  ledger
	lease   store.Lease
	runID   string
	now     func() time.Time
	started time.Time

	cp      store.Checkpoint
	cursor  time.Time     // everything of this span before it is committed
	until   time.Time     // end of this span
	stoodAt time.Time     // where the pass began
	heal    bool          // reading a gap again: the checkpoint stays where it is
	width   time.Duration // of the next window; 0 is without limit, or not yet known
	clocked bool          // until has been set by the server's clock
	oldest  time.Time     // the source has nothing from before this; the zero time where it has

	meter    *defender.Meter
	calls    int64 // of the meter, already counted in a coverage row
	flaws    int   // ranges recorded that are not complete
	tally    tally
	notes    []string // what a person should know of the answers
	progress func(Progress)
}

// tally is what a pass did so far.
type tally struct {
	read int64
	store.Counts
}

// Progress is where a pass stands after a commit, or that it is over.
type Progress struct {
	Tenant, Stream      string
	Rows                int64 // records read by this pass
	Calls               int64
	From, Cursor, Until time.Time
	Ended               bool // well or not; nothing but the names is told then
}

func (p *course) way() *course { return p }

func (p *course) close() {}

// stand sets the course to where the checkpoint is: overlap before the
// watermark, or at start where the stream is new.
func (p *course) stand(now, start time.Time) {
	if p.cp.Revision == 0 {
		p.cp.StartTime, p.cp.Watermark, p.cp.NextFrom = start, start, start
	}
	p.width = p.cp.WindowWidth
	p.until = micro(now.Add(-p.stream.Settle))
	p.cursor = later(p.cp.StartTime, earlier(p.cp.NextFrom, p.cp.Watermark.Add(-p.stream.Overlap)))
}

// depart notes where the pass begins. At least one request is made, even where
// this machine's clock says that there is nothing to ask for: the server's
// answer has the time that counts.
func (p *course) depart() {
	p.stoodAt = p.cursor
	p.until = later(p.until, p.cursor.Add(tick))
}

// believedAhead is how far the server's clock may be ahead of this machine's, which
// may be an hour slow. A Date beyond that is wrong, and what it would have us vouch
// for is still to come.
const believedAhead = time.Hour

// believed is the server's clock as far as it can be right; the zero time where
// the answer did not show it.
func (p *course) believed(served time.Time) time.Time {
	return earlier(served, p.now().Add(believedAhead))
}

// setClock ends the pass by the server's own clock: this machine's may run
// ahead, and what it calls the past may still be to come over there. A new stream
// whose start is so long ago by a clock that runs far ahead would begin too late,
// for good, and say nothing of what it left out: it does not begin.
func (p *course) setClock(served time.Time) error {
	if p.clocked || p.heal || served.IsZero() {
		return nil
	}
	if now := p.now(); p.cp.Revision == 0 && p.stream.Start.At.IsZero() && now.Sub(served) > believedAhead {
		return fmt.Errorf("this machine's clock is at %s and the service's at %s: a new stream would begin too late; set the clock, or `start` to a date",
			now.UTC().Format(time.RFC3339), served.UTC().Format(time.RFC3339))
	}
	p.clocked = true
	p.until = micro(p.believed(served).Add(-p.stream.Settle))
	return nil
}

// vouched is how far an answer served at served can vouch for a window that ends at end.
func (p *course) vouched(served, end time.Time) time.Time {
	if served.IsZero() {
		return end
	}
	return earlier(end, micro(p.believed(served).Add(-p.stream.Settle)))
}

// move sets the cursor to end, and with it the begin of the next pass: as far
// as late records were expected to be in when the answer was served, by the slower
// of the two clocks: reading again costs nothing, and records that came after a
// wrong Date would be missed. The begin stays where the cursor has left it behind;
// so every move has to come here.
func (p *course) move(end, served time.Time) {
	if now := p.now(); served.IsZero() || served.After(now) {
		served = now
	}
	if !p.heal && !p.cursor.After(p.cp.NextFrom) {
		lateEdge := micro(served.Add(-p.stream.Settle - p.stream.Overlap))
		p.cp.NextFrom = later(p.cp.NextFrom, earlier(end, lateEdge))
	}
	p.cursor = later(p.cursor, end)
}

// coverage is what is recorded of [cursor, end). Of what every pass reads again,
// because late records are still expected, an answer that lacks some takes back
// that it was complete: no pass would look for them here once more.
func (p *course) coverage(end time.Time, rows int64, verdict store.Verdict, reason string) store.Coverage {
	calls := p.meter.Calls.Load()
	cov := store.Coverage{From: p.cursor, To: end, Rows: rows, Calls: calls - p.calls, Verdict: verdict, Reason: reason}
	cov.Late = verdict == store.Truncated && end.After(p.cp.NextFrom)
	p.calls = calls
	if verdict != store.Complete {
		p.flaws++
	}
	return cov
}

func (p *course) report() {
	if p.progress == nil {
		return
	}
	p.progress(Progress{Stream: p.stream.Name, Rows: p.tally.read, Calls: p.meter.Calls.Load(),
		From: p.cp.StartTime, Cursor: p.cursor, Until: p.until})
}

// count adds what a commit did to what the pass did so far.
func (p *course) count(counts store.Counts) {
	p.tally.Inserted += counts.Inserted
	p.tally.Updated += counts.Updated
	p.tally.Unchanged += counts.Unchanged
}

// note keeps a sentence for the record of the run.
func (p *course) note(text string) {
	if !slices.Contains(p.notes, text) {
		p.notes = append(p.notes, text)
	}
}

// commit stores c with the checkpoint as it now stands, to which mark adds
// where inside the pass that is.
func (p *course) commit(ctx context.Context, c store.Commit, mark func(*store.Checkpoint) error) error {
	cp := p.cp
	cp.WindowWidth = p.width
	if !p.heal {
		cp.Watermark = later(cp.Watermark, p.cursor)
	}
	if err := mark(&cp); err != nil {
		return err
	}
	c.Lease, c.RunID, c.Checkpoint = p.lease, p.runID, cp
	stored, counts, err := p.ledger.Commit(ctx, &c)
	if err != nil {
		return fmt.Errorf("commit %s at %s: %w", p.stream.Name, p.cursor.Format(time.RFC3339Nano), err)
	}
	p.cp = stored
	p.count(counts)
	p.report()
	return nil
}
