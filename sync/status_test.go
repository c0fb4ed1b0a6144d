package sync

import (
	"testing"
	"time"

	"defendersync/store"
)

// What is covered is counted to now as long as the first pass has not ended: a quarter
// of the way is not all of it. Nothing missing is 100, to the last bit.
func TestCovered(t *testing.T) {
	start := fakeNow.Add(-100 * 24 * time.Hour)
	for name, tt := range map[string]struct {
		cp   store.Checkpoint
		gaps []store.Gap
		want float64
	}{
		"first pass under way":   {cp: store.Checkpoint{StartTime: start, Watermark: start.Add(25 * 24 * time.Hour)}, want: 25},
		"and with a gap":         {cp: store.Checkpoint{StartTime: start, Watermark: start.Add(25 * 24 * time.Hour)}, gaps: []store.Gap{{From: start, To: start.Add(5 * 24 * time.Hour)}}, want: 20},
		"a pass has ended":       {cp: store.Checkpoint{StartTime: start, Watermark: start.Add(25 * 24 * time.Hour), PassedAt: start.Add(26 * 24 * time.Hour)}, want: 100},
		"no nice number of days": {cp: store.Checkpoint{StartTime: start.Add(123456789 * time.Microsecond), Watermark: fakeNow.Add(-7919 * time.Microsecond), PassedAt: fakeNow}, want: 100},
		"ahead of our clock":     {cp: store.Checkpoint{StartTime: start, Watermark: fakeNow.Add(time.Minute)}, want: 100},
	} {
		if got := covered(tt.cp, tt.gaps, fakeNow); got == nil || *got != tt.want {
			t.Errorf("%s: %v, want %v", name, *got, tt.want)
		}
	}
	if got := covered(store.Checkpoint{StartTime: start, Watermark: start}, nil, fakeNow); got != nil {
		t.Errorf("of nothing %v is covered", *got)
	}
}
