package sync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"
	"defendersync/sync/translate"

	"github.com/go-json-experiment/json/jsontext"
)

// reporter is what *testing.T and *rapid.T have in common.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// fakeRecord is an incident of the fake source: nothing but an id and a time.
type fakeRecord struct {
	id     int64
	at     time.Time
	poison bool // an answer that holds it with its alerts is a 500
	deadly bool // an answer that holds it at all is a 500
	cursed bool // a request whose window holds it is a 500, whatever page is asked for
}

// fakeSource answers like the API: a filter, a cap, an order or none, next links
// or $skip. It is a map of what a pass has to cope with, not of HTTP.
type fakeSource struct {
	records   []fakeRecord
	limit     int
	ordered   bool  // asked to order by time, as Graph is
	obeys     order // what it then does
	down      bool  // everything is a 500
	partial   bool  // every answer is a 206
	deaf      bool  // the filter is not obeyed: all records, in pages with links
	now       time.Time
	requests  int
	onRequest func(n int)
}

// order is what an ordered source does about being asked to order by time.
type order int

const (
	orderAsked order = iota
	orderNewest
	orderNone
)

var errFake500 = &defender.StatusError{Status: 500, Message: "fake"}

func (s *fakeSource) fetch(_ context.Context, req defender.Request) (*defender.Page, error) {
	if s.requests++; s.requests > 20_000 {
		return nil, errors.New("fake: the pass goes round in circles")
	}
	if s.onRequest != nil {
		s.onRequest(s.requests)
	}
	if s.down {
		return nil, errFake500
	}
	if req.Next == "" && !req.Since.Before(req.Until) {
		return nil, errors.New("fake: an empty window, which the client refuses")
	}
	since, until, skip := req.Since, req.Until, req.Skip
	if req.Next != "" {
		since, until, skip = parseFakeNext(req.Next)
	}
	if req.Top > s.limit {
		return nil, &defender.StatusError{Status: 400, Message: "top"}
	}
	var in []fakeRecord
	for _, r := range s.records {
		if s.deaf || !r.at.Before(since) && r.at.Before(until) {
			if r.cursed {
				return nil, errFake500
			}
			in = append(in, r)
		}
	}
	s.sort(in)
	in = in[min(skip, len(in)):]
	page := &defender.Page{ServerTime: s.now, Incomplete: s.partial}
	if len(in) > req.Top {
		in = in[:req.Top]
		if s.ordered {
			page.Next = fmt.Sprintf("%d %d %d", since.UnixNano(), until.UnixNano(), skip+req.Top)
		}
	}
	for _, r := range in {
		if r.deadly || r.poison && !req.NoAlerts {
			return nil, errFake500
		}
		page.Records = append(page.Records, jsontext.Value(fmt.Sprintf("%d %d", r.id, r.at.UnixNano())))
	}
	return page, nil
}

func (s *fakeSource) sort(in []fakeRecord) {
	slices.SortFunc(in, func(a, b fakeRecord) int {
		switch {
		case s.ordered && s.obeys == orderAsked:
			return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.id, b.id))
		case s.ordered && s.obeys == orderNewest:
			return cmp.Or(b.at.Compare(a.at), cmp.Compare(a.id, b.id))
		}
		return cmp.Compare(a.id*7919%1009, b.id*7919%1009) // stable, and in no order of time
	})
}

func parseFakeNext(next string) (since, until time.Time, skip int) {
	f := strings.Fields(next)
	n := make([]int64, 3)
	for i := range n {
		n[i], _ = strconv.ParseInt(f[i], 10, 64)
	}
	return time.Unix(0, n[0]), time.Unix(0, n[1]), int(n[2])
}

func (s *fakeSource) alerts(_ context.Context, id, _ string) (*defender.Page, error) {
	s.requests++
	return &defender.Page{ServerTime: s.now}, nil
}

func fakeTranslate(records []jsontext.Value, _ time.Time) translate.Rows {
	var tr translate.Rows
	for _, r := range records {
		f := strings.Fields(string(r))
		id, _ := strconv.ParseInt(f[0], 10, 64)
		at, _ := strconv.ParseInt(f[1], 10, 64)
		tr.Incidents = append(tr.Incidents, store.Incident{IncidentID: id, LastUpdateDateTime: time.Unix(0, at)})
		tr.Times = append(tr.Times, time.Unix(0, at).UTC())
	}
	return tr
}

// fakeLedger keeps commits in memory, with the rules of the store that a pass
// leans on: compare-and-swap, a stale guard, coverage that replaces.
type fakeLedger struct {
	t          reporter
	cp         store.Checkpoint
	rows       map[int64]time.Time
	coverage   []store.Coverage
	quarantine map[string]store.Quarantined
	commits    int
	killBefore int // this commit is lost, and the process with it
	killAfter  int // this commit lands, and the process dies before it hears so
}

var errKilled = errors.New("killed")

func (l *fakeLedger) Commit(_ context.Context, c *store.Commit) (store.Checkpoint, store.Counts, error) {
	l.commits++
	if l.commits == l.killBefore {
		return store.Checkpoint{}, store.Counts{}, errKilled
	}
	if c.Checkpoint.Revision != l.cp.Revision {
		return store.Checkpoint{}, store.Counts{}, store.ErrConflict
	}
	if c.Checkpoint.Watermark.Before(l.cp.Watermark) {
		l.t.Errorf("watermark moved back from %s to %s", l.cp.Watermark, c.Checkpoint.Watermark)
	}
	var n store.Counts
	for _, i := range c.Incidents {
		switch old, ok := l.rows[i.IncidentID]; {
		case !ok:
			n.Inserted++
		case old.Before(i.LastUpdateDateTime):
			n.Updated++
		default:
			n.Unchanged++
			continue
		}
		l.rows[i.IncidentID] = i.LastUpdateDateTime
	}
	for _, q := range c.Quarantine {
		l.quarantine[q.Kind+" "+q.Key] = q
	}
	l.coverage = append(l.coverage, c.Coverage...)
	l.cp = c.Checkpoint
	l.cp.Revision++
	l.cp.Rows += n.Inserted
	l.cp.Changed += n.Inserted + n.Updated
	if l.commits == l.killAfter {
		return store.Checkpoint{}, store.Counts{}, errKilled
	}
	return l.cp, n, nil
}

// gaps are the ranges whose last verdict is not complete, other than those that
// this pass has just recorded.
func (l *fakeLedger) gaps() []store.Coverage {
	var gaps []store.Coverage
	for _, c := range l.coverage {
		gaps = slices.DeleteFunc(gaps, func(g store.Coverage) bool { return !g.From.Before(c.From) && !g.To.After(c.To) })
		if c.Verdict == store.Truncated {
			gaps = append(gaps, c)
		}
	}
	return gaps
}

// bench is one stream over a fake source and a fake ledger.
type bench struct {
	source *fakeSource
	ledger *fakeLedger
	ep     endpoint
	stream Stream
}

var fakeNow = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func newBench(t reporter, source *fakeSource) *bench {
	if source.now.IsZero() {
		source.now = fakeNow
	}
	return &bench{
		source: source,
		ledger: &fakeLedger{t: t, rows: map[int64]time.Time{}, quarantine: map[string]store.Quarantined{}},
		ep: endpoint{limit: source.limit, ordered: source.ordered, bare: source.ordered, skips: !source.ordered,
			fetch: source.fetch, translate: fakeTranslate},
		stream: Stream{Name: IncidentsStream, Start: Start{Age: 30 * 24 * time.Hour}, Overlap: 30 * time.Minute, Settle: 2 * time.Minute},
	}
}

// course is the way of a pass that begins now.
func (b *bench) course() course {
	return course{stream: b.stream, ledger: b.ledger, now: func() time.Time { return b.source.now }, started: micro(b.source.now), cp: b.ledger.cp, meter: new(defender.Meter)}
}

// pass makes one pass, as a process of its own would.
func (b *bench) pass() error {
	p := &pass{course: b.course(), ep: b.ep, alerts: b.source.alerts, pages: make(chan struct{}, 1)}
	if err := p.begin(b.source.now); err != nil {
		return err
	}
	if err := p.read(context.Background()); err != nil {
		return err
	}
	for _, c := range b.ledger.gaps() {
		if err := p.reread(context.Background(), span{c.From, c.To}); err != nil {
			return err
		}
	}
	return nil
}

// passes makes one pass, starting over each time it is killed before its end,
// and says how often it was killed.
func (b *bench) passes(t reporter) (kills int) {
	t.Helper()
	for {
		err := b.pass()
		switch {
		case err == nil:
			return kills
		case !errors.Is(err, errKilled):
			t.Fatalf("pass: %v", err)
		}
		kills++
		if cp := b.ledger.cp; cp.ResumePoint == nil && cp.PassedAt.Equal(micro(b.source.now)) {
			return kills // it had done all it was started for
		}
	}
}

// complete fails unless everything up to the settled end is stored once and
// vouched for without a hole.
func (b *bench) complete(t reporter) {
	t.Helper()
	settled := b.source.now.Add(-b.stream.Settle)
	for _, r := range b.source.records {
		if r.at.Before(b.ledger.cp.StartTime) || !r.at.Before(settled) {
			continue
		}
		if got, ok := b.ledger.rows[r.id]; !ok || !got.Equal(r.at) {
			t.Errorf("record %d of %s: stored %v, %v", r.id, r.at.Format(time.RFC3339Nano), ok, got)
		}
	}
	if !b.ledger.cp.Watermark.Equal(micro(settled)) {
		t.Errorf("watermark is %s, want %s", b.ledger.cp.Watermark, settled)
	}
	if b.ledger.cp.ResumePoint != nil {
		t.Errorf("resume point %s is left after the pass", b.ledger.cp.ResumePoint)
	}
	b.vouched(t)
}

// vouched fails unless coverage reaches from the start to the watermark.
func (b *bench) vouched(t reporter) {
	t.Helper()
	cov := slices.Clone(b.ledger.coverage)
	slices.SortFunc(cov, func(a, b store.Coverage) int { return cmp.Or(a.From.Compare(b.From), a.To.Compare(b.To)) })
	at := b.ledger.cp.StartTime
	for _, c := range cov {
		if !c.From.Before(c.To) {
			t.Errorf("empty coverage %v", c)
		}
		if c.From.After(at) {
			t.Errorf("hole in coverage from %s to %s", at.Format(time.RFC3339Nano), c.From.Format(time.RFC3339Nano))
		}
		at = later(at, c.To)
	}
	if at.Before(b.ledger.cp.Watermark) {
		t.Errorf("coverage ends at %s, watermark is %s", at, b.ledger.cp.Watermark)
	}
}
