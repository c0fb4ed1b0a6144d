package sync

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"

	"pgregory.net/rapid"
)

// drawRecords makes records of the last 30 days with 100 ns times: many close
// together, many equal, a few alone.
func drawRecords(t *rapid.T) []fakeRecord {
	var out []fakeRecord
	id := int64(0)
	for range rapid.IntRange(0, 12).Draw(t, "clusters") {
		at := fakeNow.Add(-time.Duration(rapid.Int64Range(0, int64(31*24*time.Hour)/100).Draw(t, "at") * 100))
		step := rapid.SampledFrom([]time.Duration{0, 0, 100, 300, tick, time.Millisecond, time.Hour}).Draw(t, "step")
		for range rapid.IntRange(1, 25).Draw(t, "size") {
			id++
			out = append(out, fakeRecord{id: id, at: at})
			at = at.Add(step)
		}
	}
	return out
}

func drawBench(rt *rapid.T) *bench {
	return newBench(rt, &fakeSource{
		records: drawRecords(rt),
		limit:   rapid.IntRange(1, 9).Draw(rt, "limit"),
		ordered: rapid.Bool().Draw(rt, "ordered"),
		obeys:   rapid.SampledFrom([]order{orderAsked, orderAsked, orderNewest}).Draw(rt, "obeys"),
	})
}

// Whatever the times, the cap and the order, a pass stores every record and
// vouches for every instant (P3).
func TestPassIsComplete(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := drawBench(rt)
		b.passes(rt)
		b.complete(rt)
	})
}

// Killed before or after any commit, the next process goes on: nothing is
// lost, and at most one request is asked again for each kill (P1, P7).
func TestKilledPassRepeatsOneRequest(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		records, limit, ordered := drawRecords(rt), rapid.IntRange(2, 9).Draw(rt, "limit"), rapid.Bool().Draw(rt, "ordered")
		calm := newBench(rt, &fakeSource{records: records, limit: limit, ordered: ordered})
		calm.passes(t)
		b := newBench(rt, &fakeSource{records: records, limit: limit, ordered: ordered})
		b.ledger.killBefore = rapid.IntRange(1, calm.ledger.commits).Draw(rt, "before")
		b.ledger.killAfter = rapid.IntRange(1, calm.ledger.commits).Draw(rt, "after")
		kills := b.passes(rt)
		b.complete(rt)
		if b.source.requests > calm.source.requests+kills {
			rt.Errorf("%d requests with %d kills, %d without", b.source.requests, kills, calm.source.requests)
		}
	})
}

// Records that move to a later time while they are read are all stored once
// the source stands still (the frozen world), ties included.
func TestChangingSourceConverges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := drawBench(rt)
		every := rapid.IntRange(1, 4).Draw(rt, "every")
		pick := rapid.Custom(func(t *rapid.T) int { return rapid.IntRange(0, max(len(b.source.records)-1, 0)).Draw(t, "pick") })
		now := b.source.now
		b.source.onRequest = func(n int) {
			if n%every != 0 || n > 200 || len(b.source.records) == 0 {
				return
			}
			now = now.Add(time.Millisecond)
			b.source.records[pick.Draw(rt, "record")].at = now
		}
		b.passes(rt)
		b.source.onRequest = nil
		b.source.now = now.Add(10 * time.Minute)
		b.passes(rt)
		b.complete(rt)
	})
}

// A record that becomes visible late, but within overlap, is found by the next pass.
func TestLateRecordIsFound(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := drawBench(rt)
		b.passes(rt)
		delay := time.Duration(rapid.Int64Range(0, int64(29*time.Minute)).Draw(rt, "delay"))
		late := fakeRecord{id: 1 << 40, at: b.source.now.Add(-b.stream.Settle - delay)}
		b.source.records = append(b.source.records, late)
		b.source.now = b.source.now.Add(time.Minute)
		b.passes(rt)
		b.complete(rt)
	})
}

// The same when the pass that read too early was killed and resumed a week
// later: by then overlap before the watermark no longer reaches back to it.
func TestLateRecordIsFoundAfterResuming(t *testing.T) {
	for _, ordered := range []bool{true, false} {
		source := &fakeSource{limit: 5, ordered: ordered}
		for i := range 120 {
			source.records = append(source.records, fakeRecord{id: int64(i), at: fakeNow.Add(-time.Duration(i) * time.Minute)})
		}
		b := newBench(t, source)
		b.stream.Start = Start{Age: 3 * time.Hour}
		for b.ledger.killBefore = 1; b.ledger.cp.Watermark.Before(fakeNow.Add(-15 * time.Minute)); b.ledger.killBefore = b.ledger.commits + 2 {
			if err := b.pass(); err == nil {
				t.Fatal("the pass ended before it could be killed")
			}
		}
		source.records = append(source.records, fakeRecord{id: 1 << 40, at: fakeNow.Add(-20 * time.Minute)})
		b.ledger.killBefore = 0
		for range 2 {
			source.now = source.now.Add(7 * 24 * time.Hour)
			b.passes(t)
		}
		b.complete(t)
	}
}

// Records that leave a microsecond while it is paged pull the ones behind them
// past the reader; another round finds those.
func TestPagingInsideAChangingMicrosecond(t *testing.T) {
	for _, ordered := range []bool{true, false} {
		source := &fakeSource{limit: 5, ordered: ordered}
		at := fakeNow.Add(-10 * 24 * time.Hour)
		for i := range 40 {
			source.records = append(source.records, fakeRecord{id: int64(i), at: at})
		}
		now := fakeNow
		source.onRequest = func(n int) {
			if n > 4 && n%2 == 0 && n < 40 { // the first of those still there leaves
				now = now.Add(time.Millisecond)
				for i := range source.records {
					if source.records[i].at.Equal(at) {
						source.records[i].at = now
						return
					}
				}
			}
		}
		b := newBench(t, source)
		b.passes(t)
		source.onRequest = nil
		source.now = now.Add(10 * time.Minute)
		b.passes(t)
		b.complete(t)
	}
}

// One bad record among good ones neither stops the stream nor takes a good one
// with it.
func TestBadRecordIsIsolated(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := drawBench(rt)
		if len(b.source.records) == 0 {
			return
		}
		bad := &b.source.records[rapid.IntRange(0, len(b.source.records)-1).Draw(rt, "bad")]
		bad.poison = b.source.ordered // with the alerts left out it can be had
		bad.deadly = !b.source.ordered
		b.passes(rt)
		if bad.deadly && !bad.at.Before(b.ledger.cp.StartTime) && bad.at.Before(b.source.now.Add(-b.stream.Settle)) {
			if len(b.ledger.quarantine) == 0 {
				rt.Errorf("the record that could not be read is nowhere")
			}
			b.source.records = deleteRecord(b.source.records, bad.id)
		}
		b.complete(rt)
	})
}

func deleteRecord(records []fakeRecord, id int64) []fakeRecord {
	var out []fakeRecord
	for _, r := range records {
		if r.id != id {
			out = append(out, r)
		}
	}
	return out
}

// A service that is down is not taken for a bad record: the pass fails and
// nothing is stepped over.
func TestServiceDownIsNotABadRecord(t *testing.T) {
	for _, ordered := range []bool{true, false} {
		b := newBench(t, &fakeSource{limit: 5, ordered: ordered, down: true, records: []fakeRecord{{id: 1, at: fakeNow.Add(-time.Hour)}}})
		if err := b.pass(); err == nil {
			t.Fatalf("ordered %v: pass over a dead service succeeded", ordered)
		}
		if len(b.ledger.coverage) > 0 || len(b.ledger.quarantine) > 0 {
			t.Errorf("ordered %v: a dead service left %d coverage rows, %d quarantined", ordered, len(b.ledger.coverage), len(b.ledger.quarantine))
		}
		if b.source.requests > 2 {
			t.Errorf("ordered %v: a dead service was asked %d times, want once and whether it is there", ordered, b.source.requests)
		}
		b.source.down = false
		b.passes(t)
		b.complete(t)
	}
}

// A 206 is stored, and not called complete.
func TestPartialAnswerIsNotComplete(t *testing.T) {
	b := newBench(t, &fakeSource{limit: 5, ordered: true, partial: true, records: []fakeRecord{{id: 1, at: fakeNow.Add(-time.Hour)}}})
	b.passes(t)
	b.complete(t)
	for _, c := range b.ledger.coverage {
		if c.Verdict != store.Truncated || c.Reason == "" {
			t.Errorf("coverage %v of a 206 is %q: %q", c, c.Verdict, c.Reason)
		}
	}
}

// The server's clock decides where a pass ends, whichever way ours is off.
func TestPassEndsByTheServersClock(t *testing.T) {
	for _, off := range []time.Duration{-time.Hour, 0, time.Hour} {
		b := newBench(t, &fakeSource{limit: 5, ordered: true, records: []fakeRecord{{id: 1, at: fakeNow.Add(-time.Hour)}}})
		p := &pass{course: b.course(), ep: b.ep, pages: make(chan struct{}, 1)}
		p.now, p.started = func() time.Time { return fakeNow.Add(off) }, micro(fakeNow.Add(off))
		if err := p.begin(fakeNow.Add(off)); err != nil {
			t.Fatal(err)
		}
		if err := p.read(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := fakeNow.Add(-b.stream.Settle); b.ledger.cp.Watermark.After(want) || b.ledger.cp.Watermark.Before(want) {
			t.Errorf("clock off by %s: watermark %s, want %s", off, b.ledger.cp.Watermark, want)
		}
	}
}

// A Date from far in the future must not have a pass vouch for what is still to
// come, nor a later one begin behind it. One that is a little ahead may be right.
func TestDateOfTheFuture(t *testing.T) {
	for _, ahead := range []time.Duration{45 * time.Minute, 10 * time.Hour, 10_000 * time.Hour} {
		b := newBench(t, &fakeSource{limit: 5, ordered: true, records: []fakeRecord{{id: 1, at: fakeNow.Add(-time.Hour)}}})
		p := &pass{course: b.course(), ep: b.ep, pages: make(chan struct{}, 1)}
		p.now = func() time.Time { return fakeNow }
		b.source.now = fakeNow.Add(ahead)
		if err := errors.Join(p.begin(fakeNow), p.read(t.Context())); err != nil {
			t.Fatal(err)
		}
		if limit := fakeNow.Add(believedAhead - b.stream.Settle); b.ledger.cp.Watermark.After(limit) {
			t.Errorf("%s ahead: watermark %s, later than %s", ahead, b.ledger.cp.Watermark, limit)
		}
		b.source.records = append(b.source.records, fakeRecord{id: 2, at: fakeNow.Add(time.Minute)})
		b.source.now = fakeNow.Add(2 * time.Hour)
		b.passes(t)
		b.complete(t)
	}
}

// A service that does not obey the filter answers every window with the same page,
// and only its links lead on. It is read to the end, and then again until it rests.
func TestFilterThatIsNotObeyed(t *testing.T) {
	for _, obeys := range []order{orderAsked, orderNewest, orderNone} {
		for kill := range 12 {
			source := &fakeSource{limit: 20, ordered: true, obeys: obeys, deaf: true, records: hourly(130)}
			b := newBench(t, source)
			b.stream.Start = Start{At: fakeNow.Add(-48 * time.Hour)}
			b.ledger.killBefore = kill
			b.passes(t)
			b.complete(t)
			if len(b.ledger.rows) != len(source.records) || source.requests > 60 {
				t.Errorf("order %d, killed at commit %d: %d of %d records stored, in %d requests", obeys, kill, len(b.ledger.rows), len(source.records), source.requests)
			}
			b.passes(t)
			b.vouched(t)
		}
	}
}

// A clock that is a month ahead would leave out the first month of a new stream,
// and no gap would tell. A start that is a date, and a stream that has begun, do not
// depend on it.
func TestNewStreamDoesNotBeginTooLate(t *testing.T) {
	for name, tt := range map[string]struct {
		ahead time.Duration
		start Start
		fails bool
	}{
		"a month ahead":           {31 * 24 * time.Hour, Start{Age: 30 * 24 * time.Hour}, true},
		"a month ahead, a date":   {31 * 24 * time.Hour, Start{At: fakeNow.Add(-30 * 24 * time.Hour)}, false},
		"a quarter hour ahead":    {15 * time.Minute, Start{Age: 30 * 24 * time.Hour}, false},
		"behind: begins the more": {-31 * 24 * time.Hour, Start{Age: 30 * 24 * time.Hour}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, &fakeSource{limit: 5, ordered: true, records: hourly(100)})
			b.stream.Start = tt.start
			ours := fakeNow.Add(tt.ahead)
			p := &pass{course: b.course(), ep: b.ep, pages: make(chan struct{}, 1)}
			p.now = func() time.Time { return ours }
			err := errors.Join(p.begin(ours), p.read(t.Context()))
			if tt.fails {
				if err == nil || !strings.Contains(err.Error(), "set the clock") || b.ledger.cp.Revision != 0 || len(b.ledger.coverage) > 0 {
					t.Errorf("the pass ended with %v, at revision %d", err, b.ledger.cp.Revision)
				}
			} else if err != nil {
				t.Error(err)
			}
			b.passes(t) // by a clock that is right
			b.complete(t)
			if start := b.ledger.cp.StartTime; start.After(fakeNow.Add(-29 * 24 * time.Hour)) {
				t.Errorf("the stream begins at %s", start)
			}
		})
	}
}

// A crowd in one microsecond is come upon by what the answers hold, not by
// halving a month down to it.
func TestCrowdInOneMicrosecondIsCheap(t *testing.T) {
	source := &fakeSource{limit: 100, records: hourly(290)}
	for i := range 130 {
		source.records = append(source.records, fakeRecord{id: int64(1000 + i), at: fakeNow.Add(-100*time.Hour + 7*time.Minute)})
	}
	b := newBench(t, source)
	b.passes(t)
	b.complete(t)
	if source.requests > 30 {
		t.Errorf("%d requests for %d records", source.requests, len(source.records))
	}
}

// An overlap that was made longer reaches back from where the stream stands, and
// not only from where later passes will stand.
func TestOverlapThatGrew(t *testing.T) {
	for _, ordered := range []bool{true, false} {
		b := newBench(t, &fakeSource{limit: 5, ordered: ordered, records: hourly(3)})
		b.passes(t)
		b.stream.Overlap = 6 * time.Hour
		b.source.records = append(b.source.records, fakeRecord{id: 1 << 40, at: fakeNow.Add(-5 * time.Hour)})
		b.source.now = b.source.now.Add(time.Minute)
		b.passes(t)
		b.complete(t)
	}
}

// A page may hold fewer records than were asked for and still have a link to more.
func TestShortPageWithALink(t *testing.T) {
	b := newBench(t, &fakeSource{limit: 9, ordered: true, records: hourly(40)})
	for range 7 {
		b.source.records = append(b.source.records, fakeRecord{id: int64(len(b.source.records) + 1), at: fakeNow.Add(-5 * time.Hour)})
	}
	b.ep.fetch = func(ctx context.Context, req defender.Request) (*defender.Page, error) {
		req.Top = min(req.Top, 4)
		return b.source.fetch(ctx, req)
	}
	b.passes(t)
	b.complete(t)
}

// A microsecond that changes in each of its readings is left in the end, and
// listed; when it has come to rest it is read whole.
func TestRestlessMicrosecondIsFlagged(t *testing.T) {
	for _, ordered := range []bool{true, false} {
		at := fakeNow.Add(-time.Hour)
		source := &fakeSource{limit: 5, ordered: ordered, records: hourly(3)}
		more := func(int) {
			source.records = append(source.records, fakeRecord{id: int64(len(source.records) + 1), at: at})
		}
		for i := range 12 {
			more(i)
		}
		source.onRequest = more
		b := newBench(t, source)
		b.passes(t)
		if gaps := b.ledger.gaps(); len(gaps) != 1 || !gaps[0].From.Equal(at) || gaps[0].To.Sub(gaps[0].From) != tick {
			t.Errorf("ordered %v: gaps are %v, want the microsecond", ordered, gaps)
		}
		b.vouched(t)
		source.onRequest = nil
		source.now = source.now.Add(24 * time.Hour) // the overlap does not reach back to it
		b.passes(t)
		b.complete(t)
		if gaps := b.ledger.gaps(); len(gaps) > 0 {
			t.Errorf("ordered %v: gaps %v are left", ordered, gaps)
		}
	}
}

// TestNoRoundMissesTheSame: the records of a crowded microsecond leave it one by
// one, each while it is read, so that every round steps over the last one. A round
// that writes nothing is then no proof that all are stored.
func TestNoRoundMissesTheSame(t *testing.T) {
	at := fakeNow.Add(-32*time.Minute - 100)
	var records []fakeRecord
	for id := range int64(17) {
		records = append(records, fakeRecord{id: id + 1, at: at})
	}
	records = append(records, fakeRecord{id: 18, at: fakeNow}, fakeRecord{id: 19, at: fakeNow})
	b := newBench(t, &fakeSource{records: records, limit: 2, ordered: true})
	now, leave := b.source.now, []int{17, 18, 0, 1, 2}
	b.source.onRequest = func(n int) {
		if n%4 == 0 && len(leave) > 0 {
			now = now.Add(time.Millisecond)
			b.source.records[leave[0]].at, leave = now, leave[1:]
		}
	}
	b.passes(t)
	b.source.onRequest = nil
	b.source.now = now.Add(10 * time.Minute)
	b.passes(t)
	b.complete(t)
}
