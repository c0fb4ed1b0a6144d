package sync

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"
	"defendersync/sync/translate"
)

// pass reads one stream from where it stands up to the settled end of time.
// Each of its phases is one answer and one commit; between two phases nothing
// is held that the checkpoint does not hold too, so a kill costs one answer.
type pass struct {
	course
	ep     endpoint
	alerts func(ctx context.Context, id, next string) (*defender.Page, error)

	// pages is held from the sending of a request to the commit of its answer
	// by all streams of the tenant that write alerts. Two readings of an alert
	// can carry the same lastUpdateDateTime and another incidentId; the one
	// that was read last has to be written last.
	pages chan struct{}

	atom    *atom   // set while one microsecond is being paged
	pending pending // alerts to be read before anything else but the other pages of a bare microsecond

	parked *resumePoint // the pass that was cut off before gaps are read again

	whole time.Duration // width of the last window that an answer held
	top   int           // records asked for; smaller while a bad record is being isolated
	rises int           // records seen that are later than the one before; under zero after one that is earlier

	trouble   bool          // a record that makes its answer fail is near: see isolate.go
	clean     int           // answers in a row that succeeded since
	calm      time.Duration // width before the trouble
	deadLinks int           // microseconds left because their links lead nowhere
	stubborn  bool          // the record makes answers without alerts fail as well
}

// atom is the position inside one microsecond that does not fit in one answer,
// or whose records have to be read apart from their alerts. It is longer than that
// where the service does not obey the filter: there is nothing narrower to ask for.
type atom struct {
	At    time.Time `json:"at"`
	End   time.Time `json:"end,omitzero"` // the zero time for one microsecond
	Top   int       `json:"top,omitempty"`
	Next  string    `json:"next,omitempty"`
	Skip  int       `json:"skip,omitempty"`
	Steps int       `json:"steps,omitempty"` // places stepped over in a row
	Pages int       `json:"pages,omitempty"` // in this round
	Round int       `json:"round,omitempty"`
	Seen  int       `json:"seen,omitempty"`  // records of this round
	Last  int       `json:"last,omitempty"`  // records of the round before
	Ended bool      `json:"ended,omitempty"` // the last page of this round is stored
	Mark  int64     `json:"mark"`            // Checkpoint.Changed when this round began; under zero in the first
	Bad   bool      `json:"bad,omitempty"`   // a record that makes its answer fail is in it
	Bare  bool      `json:"bare,omitempty"`  // without alerts, which follow one incident at a time

	Partial bool `json:"partial,omitempty"` // the service said that something is missing from a page of this round
}

func (a *atom) span() span {
	if a.End.IsZero() {
		return span{a.At, a.At.Add(tick)}
	}
	return span{a.At, a.End}
}

func (a *atom) name() string {
	if a.End.IsZero() {
		return "one microsecond"
	}
	return "a range that can only be paged"
}

// again is the same stretch from its first page.
func (a *atom) again(top int) *atom {
	return &atom{At: a.At, End: a.End, Top: top, Mark: firstRound}
}

// pending are the incidents whose alerts did not come with them, or not all.
type pending struct {
	IDs   []string `json:"ids,omitempty"`
	Next  string   `json:"next,omitempty"`  // page of the first one's
	Round int      `json:"round,omitempty"` // how often that began again

	Partial bool `json:"partial,omitempty"` // the service said that some of the first one's are missing
}

// resumePoint is what a checkpoint keeps of a pass that has not ended.
type resumePoint struct {
	Cursor  time.Time     `json:"cursor,omitzero"` // the zero time where a gap was being read again
	Atom    *atom         `json:"atom,omitempty"`
	Pending pending       `json:"pending,omitzero"`
	Rises   int           `json:"rises,omitempty"` // see pass.rises
	Whole   time.Duration `json:"whole,omitempty"` // see pass.whole
}

// begin sets the pass to where the stream stands: at the resume point of a pass
// that was cut off, else overlap before the watermark.
func (p *pass) begin(now time.Time) error {
	p.stand(now, p.stream.Start.Time(now))
	p.top = p.ep.limit
	if p.width == 0 && !p.ep.ordered {
		p.width = firstWidth
	}
	if err := p.resume(); err != nil {
		return err
	}
	p.depart()
	return nil
}

// resume goes to where a pass was cut off.
func (p *pass) resume() error {
	if p.cp.ResumePoint == nil {
		return nil
	}
	var at resumePoint
	if err := json.Unmarshal(p.cp.ResumePoint, &at); err != nil {
		return fmt.Errorf("read resume point of %s: %w", p.stream.Name, err)
	}
	p.atom, p.pending, p.rises, p.whole = at.Atom, at.Pending, at.Rises, at.Whole
	if !at.Cursor.IsZero() {
		p.cursor = at.Cursor
	}
	if at := p.atom; at != nil && (at.Top > p.ep.limit || p.ep.skips && (at.Bare || at.Next != "")) {
		p.atom = at.again(p.ep.limit) // the tenant was moved to the other API
	}
	return nil
}

// read goes through the span phase by phase and closes the pass.
func (p *pass) read(ctx context.Context) error {
	for !p.ended() {
		if err := p.phase(ctx); err != nil {
			return err
		}
	}
	if p.heal || p.cp.ResumePoint == nil && p.cp.PassedAt.Equal(p.started) {
		return nil
	}
	return p.save(ctx, store.Commit{}) // nothing was left to read: say that the pass has ended
}

func (p *pass) ended() bool {
	return len(p.pending.IDs) == 0 && p.atom == nil && !p.cursor.Before(p.until)
}

// reread goes through a span behind the watermark once more, without moving it.
func (p *pass) reread(ctx context.Context, s span) error {
	if !p.heal && p.cp.ResumePoint != nil {
		p.parked = &resumePoint{Cursor: p.cursor, Atom: p.atom, Rises: p.rises, Whole: p.whole}
	}
	p.heal, p.atom, p.cursor, p.until = true, nil, s.since, s.until
	return p.read(ctx)
}

func (p *pass) phase(ctx context.Context) error {
	done, err := takeTurn(ctx, p.pages)
	if err != nil {
		return err
	}
	defer done()
	switch {
	case len(p.pending.IDs) > 0 && (p.atom == nil || !p.atom.Bare):
		return p.pendingAlerts(ctx)
	case p.atom == nil:
		return p.window(ctx)
	case p.atom.Ended:
		return p.endRound(ctx)
	default:
		return p.atomPage(ctx)
	}
}

// answer is one page, translated, with what it says about its own window.
type answer struct {
	translate.Rows
	records int
	full    bool      // there may be more than this
	sorted  bool      // times never fall
	rises   int       // records later than the one before
	first   time.Time // the earliest time, likewise
	last    time.Time // the latest time, in microseconds; zero when no record has one
	next    string
	partial bool // the service says that something is missing
	bare    bool // the incidents came without their alerts
	served  time.Time
}

// ask sends one request, whatever retries it takes, and translates the answer.
func (p *pass) ask(ctx context.Context, req defender.Request) (*answer, error) {
	if p.trouble {
		req.Attempts = 1
	}
	page, err := p.fetch(ctx, req)
	if err != nil {
		return nil, err
	}
	p.succeeded()
	if err := p.setClock(page.ServerTime); err != nil {
		return nil, err
	}
	return p.translate(page, req), nil
}

// maxEmpty is how many pages without a record may be linked to one another. The
// protocol allows them; a chain without an end is a fault of the service.
const maxEmpty = 10

// fetch gets the first page that holds a record, or the last. It is incomplete
// where one on the way was.
func (p *pass) fetch(ctx context.Context, req defender.Request) (*defender.Page, error) {
	incomplete := false
	for range maxEmpty {
		page, err := p.ep.fetch(defender.ContextWithMeter(ctx, p.meter), req)
		if err != nil {
			return nil, err
		}
		incomplete = incomplete || page.Incomplete
		if len(page.Records) > 0 || page.Next == "" {
			page.Incomplete = incomplete
			return page, nil
		}
		req.Next = page.Next
	}
	return nil, fmt.Errorf("the service answered with %d empty pages in a row, each with a link to one more", maxEmpty)
}

func (p *pass) translate(page *defender.Page, req defender.Request) *answer {
	a := &answer{
		Rows:    p.ep.translate(page.Records, micro(p.now())),
		records: len(page.Records),
		full:    page.Next != "" || len(page.Records) >= req.Top,
		sorted:  true,
		next:    page.Next,
		partial: page.Incomplete,
		bare:    req.NoAlerts,
		served:  page.ServerTime,
	}
	for _, t := range a.Times {
		if t.IsZero() {
			continue // in quarantine; it says nothing about the order of the others
		}
		t = micro(t)
		a.sorted = a.sorted && !t.Before(a.last)
		if t.After(a.last) && !a.last.IsZero() {
			a.rises++
		}
		a.last = later(a.last, t)
		if a.first.IsZero() || t.Before(a.first) {
			a.first = t
		}
	}
	return a
}

// enoughRises is how many records have to come later than the one before them
// until order is taken for the service's, and not for chance.
const enoughRises = 8

// inOrder says whether the service has shown in this pass that it orders its
// answers by time. One answer need not: its records may share one time, and
// then they are in any order.
func (p *pass) inOrder(a *answer) bool {
	switch {
	case !a.sorted:
		p.rises = -1
	case p.rises >= 0:
		p.rises += a.rises
	}
	return p.rises >= enoughRises
}

// advance commits what an answer holds, vouches for [cursor, end) and moves on.
func (p *pass) advance(ctx context.Context, a *answer, end time.Time, verdict store.Verdict, reason string) error {
	c := p.take(a)
	if end.After(p.cursor) {
		c.Coverage = []store.Coverage{p.coverage(end, int64(a.records), verdict, reason)}
	}
	if p.heal && verdict == store.Complete {
		c.Resolved = append(c.Resolved, store.QuarantineKey{Kind: kindResponse, Key: windowKey(span{p.cursor, end})})
	}
	p.move(end, a.served)
	return p.save(ctx, c)
}

// save commits c with the checkpoint as it now stands.
func (p *pass) save(ctx context.Context, c store.Commit) error {
	return p.commit(ctx, c, p.mark)
}

// mark writes the resume point, or that the pass has ended. Of a gap that is
// read again only what it left pending is kept: coverage knows the rest.
func (p *pass) mark(cp *store.Checkpoint) error {
	at := resumePoint{Cursor: p.cursor, Atom: p.atom, Pending: p.pending, Rises: p.rises, Whole: p.whole}
	switch {
	case p.heal && p.parked != nil:
		at = *p.parked
		at.Pending = p.pending
	case p.heal && len(p.pending.IDs) == 0:
		cp.ResumePoint = nil
		return nil
	case p.heal:
		at.Cursor, at.Atom = time.Time{}, nil
	case p.ended():
		cp.ResumePoint, cp.PassedAt = nil, p.started
		return nil
	}
	b, err := json.Marshal(at)
	if err != nil {
		return fmt.Errorf("write resume point of %s: %w", p.stream.Name, err)
	}
	cp.ResumePoint = b
	return nil
}

// take is the part of a commit that comes from the answer. Answers that are
// thrown away for a narrower window are not taken, and not counted as read.
// Incidents that came without their alerts, or not with all, are noted.
func (p *pass) take(a *answer) store.Commit {
	p.tally.read += int64(a.records)
	for _, id := range a.Partial {
		if !slices.Contains(p.pending.IDs, id) { // of another round
			p.pending.IDs = append(p.pending.IDs, id)
		}
	}
	c := store.Commit{Incidents: a.Incidents, Alerts: a.Alerts, Quarantine: a.Quarantine, SchemaChanges: a.Changes}
	for i := range a.Incidents {
		key := translate.IncidentKey(a.Incidents[i].IncidentID)
		c.Resolved = append(c.Resolved, store.QuarantineKey{Kind: translate.KindIncident, Key: key})
		if !a.bare && !slices.Contains(a.Partial, key) {
			c.Resolved = append(c.Resolved, store.QuarantineKey{Kind: kindIncidentAlerts, Key: key})
		}
	}
	for i := range a.Alerts {
		c.Resolved = append(c.Resolved, store.QuarantineKey{Kind: translate.KindAlert, Key: a.Alerts[i].AlertID})
	}
	return c
}
