package sync

import (
	"testing"
	"time"
)

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
