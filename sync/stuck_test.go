package sync

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"
	"defendersync/sync/translate"

	"github.com/go-json-experiment/json/jsontext"
)

// passWith makes one pass of b that reads the alerts of incidents by read.
func (b *bench) passWith(read func(ctx context.Context, id, next string) (*defender.Page, error)) error {
	p := &pass{course: b.course(), ep: b.ep, alerts: read, pages: make(chan struct{}, 1)}
	if err := p.begin(b.source.now); err != nil {
		return err
	}
	if err := p.read(context.Background()); err != nil {
		return err
	}
	for _, g := range b.ledger.gaps() {
		if err := p.reread(context.Background(), span{g.From, g.To}); err != nil {
			return err
		}
	}
	return nil
}

// hourly are n records, one an hour, that end an hour before now.
func hourly(n int) []fakeRecord {
	var out []fakeRecord
	for i := range n {
		out = append(out, fakeRecord{id: int64(i + 1), at: fakeNow.Add(-time.Duration(n-i) * time.Hour)})
	}
	return out
}

// A bad record costs what isolating it costs, once: the pass after it begins
// overlap before the watermark like any other, and not at the record.
func TestBadRecordDoesNotHoldBackTheNextPass(t *testing.T) {
	for name, spoil := range map[string]func(*fakeRecord){
		"without its alerts": func(r *fakeRecord) { r.poison = true },
		"not at all":         func(r *fakeRecord) { r.deadly = true },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, &fakeSource{limit: 50, ordered: true, records: hourly(200)})
			spoil(&b.source.records[40])
			b.passes(t)
			if late := fakeNow.Add(-b.stream.Settle - b.stream.Overlap); b.ledger.cp.NextFrom.Before(late) {
				t.Errorf("the next pass begins at %s, want %s", b.ledger.cp.NextFrom, late)
			}
		})
	}
}

// partly makes every incident of b come with a part of its alerts only.
func (b *bench) partly() {
	plain := b.ep.translate
	b.ep.translate = func(records []jsontext.Value, at time.Time) translate.Rows {
		tr := plain(records, at)
		for _, i := range tr.Incidents {
			tr.Partial = append(tr.Partial, translate.IncidentKey(i.IncidentID))
		}
		return tr
	}
}

// An incident that is gone before its alerts were read, and a link to more of
// them that no longer works, are for the quarantine: the stream goes on.
func TestAlertsThatCannotBeReadDoNotStopTheStream(t *testing.T) {
	gone := &defender.StatusError{Status: 404, Message: "fake"}
	for name, read := range map[string]func(id, next string) (*defender.Page, error){
		"gone": func(id, next string) (*defender.Page, error) { return nil, gone },
		"link": func(id, next string) (*defender.Page, error) {
			if next != "" {
				return nil, gone
			}
			return &defender.Page{Next: "more"}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, &fakeSource{limit: 5, ordered: true, records: hourly(3)})
			b.partly()
			calls := 0
			err := b.passWith(func(_ context.Context, id, next string) (*defender.Page, error) {
				if calls++; calls > 1000 {
					return nil, errors.New("round in circles")
				}
				return read(id, next)
			})
			if err != nil {
				t.Fatal(err)
			}
			b.complete(t)
			if len(b.ledger.quarantine) != 3 {
				t.Errorf("%d in quarantine, want the alerts of 3 incidents", len(b.ledger.quarantine))
			}
		})
	}
}

// A link that worked yesterday is not the end of the alerts: they are asked for
// from the first page again.
func TestForgottenLinkBeginsTheAlertsAgain(t *testing.T) {
	b := newBench(t, &fakeSource{limit: 5, ordered: true, records: hourly(1)})
	b.partly()
	var asked []string
	err := b.passWith(func(_ context.Context, _, next string) (*defender.Page, error) {
		asked = append(asked, next)
		if len(asked) == 2 {
			return nil, &defender.StatusError{Status: 410, Message: "fake"}
		}
		if next == "" {
			return &defender.Page{Next: "more"}, nil
		}
		return &defender.Page{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"", "more", "", "more"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
	if len(b.ledger.quarantine) != 0 {
		t.Errorf("in quarantine: %v", b.ledger.quarantine)
	}
}

// A link that never works is recorded as what it is, and the stream goes on.
func TestDeadLinkInsideAMicrosecondIsTruncated(t *testing.T) {
	source := &fakeSource{limit: 5, ordered: true}
	for i := range 12 {
		source.records = append(source.records, fakeRecord{id: int64(i + 1), at: fakeNow.Add(-time.Hour)})
	}
	b := newBench(t, source)
	fetch := b.ep.fetch
	b.ep.fetch = func(ctx context.Context, req defender.Request) (*defender.Page, error) {
		if req.Next != "" {
			return nil, &defender.StatusError{Status: 400, Message: "fake"}
		}
		return fetch(ctx, req)
	}
	b.passes(t)
	if cp := b.ledger.cp; cp.ResumePoint != nil || !cp.Watermark.Equal(fakeNow.Add(-b.stream.Settle)) {
		t.Errorf("the pass stands at %s with %s", cp.Watermark, cp.ResumePoint)
	}
	if gaps := b.ledger.gaps(); len(gaps) != 1 || !strings.Contains(gaps[0].Reason, "link") {
		t.Errorf("gaps are %v, want the microsecond", gaps)
	}
}

// An outage that begins while a bad record is being isolated is still an
// outage: nothing is stepped over, nothing goes to quarantine.
func TestOutageWhileIsolatingIsNotABadRecord(t *testing.T) {
	for _, ordered := range []bool{true, false} {
		for at := range 150 {
			source := &fakeSource{limit: 5, ordered: ordered}
			for i := range 12 {
				source.records = append(source.records, fakeRecord{id: int64(i + 1), at: fakeNow.Add(-time.Hour)})
			}
			bad := &source.records[7]
			bad.poison, bad.deadly = ordered, !ordered
			source.onRequest = func(n int) { source.down = n > at }
			b := newBench(t, source)
			if err := b.pass(); err == nil {
				break // it had ended before
			}
			if source.requests > at+50 {
				t.Errorf("ordered %v: %d requests to a service that went down after %d", ordered, source.requests, at)
			}
			source.onRequest, source.down = nil, false
			b.passes(t)
			if bad.deadly { // and so in quarantine
				b.source.records = deleteRecord(b.source.records, bad.id)
			}
			b.complete(t)
			if n := len(b.ledger.quarantine); ordered && n > 0 || n > 1 {
				t.Errorf("ordered %v, down after %d: %d in quarantine", ordered, at, n)
			}
		}
	}
	b := newBench(t, &fakeSource{limit: 5, ordered: true, records: hourly(3)})
	b.partly()
	err := b.passWith(func(context.Context, string, string) (*defender.Page, error) {
		b.source.down = true
		return nil, errFake500
	})
	if err == nil || len(b.ledger.quarantine) > 0 {
		t.Errorf("pass ended with %v, and %d in quarantine", err, len(b.ledger.quarantine))
	}
}

// Incidents of a gap may come without all their alerts, too. A kill before
// those were read must not lose them: the gap is closed by then.
func TestKillWhileHealingKeepsWhatIsPending(t *testing.T) {
	b := newBench(t, &fakeSource{limit: 5, ordered: true, partial: true, records: hourly(3)})
	b.passes(t)
	b.source.partial = false
	b.source.now = b.source.now.Add(24 * time.Hour)
	b.partly()
	var read []string
	alerts := func(_ context.Context, id, _ string) (*defender.Page, error) {
		if len(read) == 1 {
			read = append(read, "killed")
			return nil, errKilled
		}
		read = append(read, id)
		return &defender.Page{}, nil
	}
	if err := b.passWith(alerts); !errors.Is(err, errKilled) {
		t.Fatalf("pass ended with %v", err)
	}
	if err := b.passWith(alerts); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"1", "2", "3"} {
		if !slices.Contains(read, id) {
			t.Errorf("the alerts of incident %s were never read: %q", id, read)
		}
	}
	if b.ledger.cp.ResumePoint != nil {
		t.Errorf("resume point %s is left", b.ledger.cp.ResumePoint)
	}
}

// A 206 is not complete inside a microsecond either, nor among the alerts of an
// incident that are read apart.
func TestPartialPageIsNotComplete(t *testing.T) {
	source := &fakeSource{limit: 5, ordered: true, partial: true}
	for i := range 12 {
		source.records = append(source.records, fakeRecord{id: int64(i + 1), at: fakeNow.Add(-time.Hour)})
	}
	source.records[11].poison = true
	b := newBench(t, source)
	if err := b.passWith(func(_ context.Context, _, next string) (*defender.Page, error) {
		if next == "" {
			return &defender.Page{Next: "more", Incomplete: true}, nil
		}
		return &defender.Page{}, nil
	}); err != nil {
		t.Fatal(err)
	}
	b.complete(t)
	for _, c := range b.ledger.coverage {
		if c.Verdict == store.Complete {
			t.Errorf("coverage %v of a 206 is complete", c)
		}
	}
	if n := len(b.ledger.quarantine); n != 12 {
		t.Errorf("%d in quarantine, want the alerts of 12 incidents", n)
	}
}

// A tenant may be moved to the other API while a pass is cut off: what only the
// first could go on with is begun again, or said to be missing.
func TestPassGoesOnWithTheOtherAPI(t *testing.T) {
	for _, ordered := range []bool{true, false} {
		for kill := range 25 {
			source := &fakeSource{limit: 9, ordered: ordered, records: hourly(3)}
			for i := range 40 {
				source.records = append(source.records, fakeRecord{id: int64(i + 10), at: fakeNow.Add(-90 * time.Minute), poison: i == 30})
			}
			b := newBench(t, source)
			b.ledger.killBefore = kill + 1
			_ = b.pass() // killed, or ended before
			b.ledger.killBefore = 0
			source.ordered, source.limit, source.records[33].poison = !ordered, 5, false
			other := newBench(t, source)
			b.ep = other.ep
			err := b.passWith(func(_ context.Context, id, next string) (*defender.Page, error) {
				if b.ep.skips {
					return nil, errors.New("fake: the older API has no such call")
				}
				return &defender.Page{}, nil
			})
			if err != nil {
				t.Fatalf("ordered %v, killed before commit %d: %v", ordered, kill+1, err)
			}
			b.complete(t)
		}
	}
}

// A service that fails for a microsecond whatever place in it is asked for is
// left alone after a few places, and what is behind it is read.
func TestCursedMicrosecondIsLeft(t *testing.T) {
	for _, ordered := range []bool{true, false} {
		b := newBench(t, &fakeSource{limit: 50, ordered: ordered, records: hourly(40)})
		b.source.records[20].cursed = true
		b.passes(t)
		if b.source.requests > 400 { // the gap is read again once, too
			t.Errorf("ordered %v: %d requests", ordered, b.source.requests)
		}
		if len(b.ledger.quarantine) == 0 || len(b.ledger.rows) != 39 {
			t.Errorf("ordered %v: %d rows, %d in quarantine", ordered, len(b.ledger.rows), len(b.ledger.quarantine))
		}
		b.vouched(t)
	}
}

// Links that lead nowhere end: one that leads to itself in a truncated
// microsecond, empty pages without an end in an error.
func TestLinksThatLeadNowhere(t *testing.T) {
	for name, answer := range map[string]func(*defender.Page){
		"to itself":   func(p *defender.Page) { p.Next = "same" },
		"empty pages": func(p *defender.Page) { p.Next, p.Records = "more", nil },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, &fakeSource{limit: 50, ordered: true, records: hourly(3)})
			b.ep.fetch = func(ctx context.Context, req defender.Request) (*defender.Page, error) {
				req.Next = ""
				page, err := b.source.fetch(ctx, req)
				if err == nil {
					answer(page)
				}
				return page, err
			}
			err := b.pass()
			if err == nil || b.source.requests > 200 {
				t.Errorf("%d requests, error %v", b.source.requests, err)
			}
			b.ep.fetch = b.source.fetch
			b.source.now = b.source.now.Add(time.Minute)
			b.passes(t)
			b.complete(t)
		})
	}
}

// A next link to another host is never followed, and does not stay in the way:
// it was in the resume point, and every later pass failed on it.
func TestForeignLinkDoesNotStopTheStream(t *testing.T) {
	records := hourly(3)
	for i := range 12 {
		records = append(records, fakeRecord{id: int64(100 + i), at: records[1].at})
	}
	b := newBench(t, &fakeSource{limit: 5, ordered: true, records: records})
	foreign := true
	b.ep.fetch = func(ctx context.Context, req defender.Request) (*defender.Page, error) {
		if req.Next == "elsewhere" {
			return nil, &defender.LinkError{Reason: "leads to another host"}
		}
		page, err := b.source.fetch(ctx, req)
		if foreign && err == nil && page.Next != "" {
			page.Next = "elsewhere"
		}
		return page, err
	}
	if err := b.pass(); err != nil {
		t.Fatal(err)
	}
	b.vouched(t)
	if len(b.ledger.gaps()) == 0 {
		t.Error("what the link led to is not listed as a gap")
	}
	foreign = false
	b.source.now = b.source.now.Add(time.Minute)
	b.passes(t)
	b.complete(t)
}

// An empty page that says of itself that something is missing, with a link to
// the page that has the rest, does not make its window complete.
func TestEmptyPartialPageIsNotComplete(t *testing.T) {
	b := newBench(t, &fakeSource{limit: 50, ordered: true, records: hourly(3)})
	b.ep.fetch = func(ctx context.Context, req defender.Request) (*defender.Page, error) {
		if req.Next == "" {
			return &defender.Page{Next: "rest", Incomplete: true, ServerTime: b.source.now}, nil
		}
		req.Next = ""
		return b.source.fetch(ctx, req)
	}
	if err := b.pass(); err != nil {
		t.Fatal(err)
	}
	if len(b.ledger.rows) != 3 || len(b.ledger.gaps()) == 0 {
		t.Errorf("%d rows, %d gaps; want 3 rows, and what is missing as a gap", len(b.ledger.rows), len(b.ledger.gaps()))
	}
}
