package web

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	defsync "defendersync/sync"
)

func TestWords(t *testing.T) {
	const day = 24 * time.Hour
	for want, got := range map[string]string{
		"0": grouped(0), "999": grouped(999), "1,000": grouped(1000), "-12,345,678": grouped(-12345678), "9,223,372,036,854,775,807": grouped(math.MaxInt64),
		"1 record": count(1, "record"), "2,000 records": count(2000, "record"), "1 range is": isOrAre(1, "range"), "0 ranges are": isOrAre(0, "range"),
		"under 1 s": length(-time.Hour), "59 s": length(time.Minute - 1), "1 min": length(time.Minute), "2 min 30 s": length(150 * time.Second),
		"1 h 1 min": length(time.Hour + 100*time.Second), "2 d 3 h": length(51 * time.Hour), "1 d": length(day + time.Minute),
		"42 ms": took(42 * time.Millisecond), "1.2 s": took(1234 * time.Millisecond), "1 min 30 s": took(90 * time.Second),
		"just now": fromNow(now.Add(-time.Millisecond), now), "5 s ago": fromNow(now.Add(-5*time.Second), now), "in 1 s": fromNow(now.Add(time.Millisecond), now),
		"119 s ago": fromNow(now.Add(-119*time.Second), now), "2 min ago": fromNow(now.Add(-2*time.Minute), now), "47 h ago": fromNow(now.Add(-47*time.Hour), now),
		"in 2 d": fromNow(now.Add(2*day), now), "11:59:00": moment(now.Add(-time.Minute), now), "19 Nov 11:59": moment(now.Add(-day-time.Minute), now),
		"20 Nov 2025 12:00": moment(now.Add(-365*day), now), "100 %": percent(100), "99.99 %": percent(99.999999), "0.10 %": percent(0.1),
		"a b": sentence(" a\n\tb "), strings.Repeat("é", maxText) + " …": sentence(strings.Repeat("é", maxText+1)), "": closed(""), "a.": closed("a"), "b.": closed("b."),
		"[a]": fmt.Sprint(pieces("a")), "[hunting/ a_ b]": fmt.Sprint(pieces("hunting/a_b")), "[a_]": fmt.Sprint(pieces("a_")),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestScaleEnds(t *testing.T) {
	for n, want := range map[int64]int64{0: 1, 1: 1, 2: 2, 7: 8, 9: 10, 10: 10, 11: 12, 16: 20, 101: 120, 999: 1000, math.MaxInt64: math.MaxInt64} {
		if got := roundUp(n); got != want {
			t.Errorf("a scale of %d ends with %d, want %d", n, got, want)
		}
	}
	for n := int64(1); n < 3000; n++ {
		if top := roundUp(n); top < n || top > 2*n {
			t.Errorf("a scale of %d ends with %d", n, top)
		}
	}
}

// TestManyGapsStayFew says that a bar never has more places than one can step
// through, and that no gap is left out of them.
func TestManyGapsStayFew(t *testing.T) {
	start := now.Add(-100 * time.Hour)
	for _, n := range []int{0, 1, 5, 12, 13, 100, 5000} {
		s := defsync.StreamStatus{Start: &start, Watermark: ptr(now.Add(-time.Hour))}
		every := 99 * time.Hour / time.Duration(max(n, 1))
		for i := range n {
			from := start.Add(time.Duration(i) * every)
			s.Gaps = append(s.Gaps, defsync.GapStatus{From: from, To: from.Add(every / 2), Reason: fmt.Sprintf("reason %d", i%5)})
		}
		b := newBar(s, now)
		if len(b.Gaps) > mostGaps || (n > 0) != (len(b.Gaps) > 0) || n > 0 && n <= 12 && len(b.Gaps) != n {
			t.Errorf("%d gaps are drawn as %d", n, len(b.Gaps))
		}
		if n > 12 && !strings.Contains(b.Gaps[0].Label, "ranges missing between") {
			t.Errorf("the label of several is %q", b.Gaps[0].Label)
		}
	}
}

// TestDrawingStaysInside holds for gaps at either end, however short.
func TestDrawingStaysInside(t *testing.T) {
	start := now.Add(-100 * time.Hour)
	s := defsync.StreamStatus{Start: &start, Watermark: ptr(now.Add(time.Hour)), Gaps: []defsync.GapStatus{
		{From: start, To: start.Add(time.Microsecond)}, {From: now.Add(-time.Microsecond), To: now}}}
	for _, g := range newBar(s, now).Gaps {
		var x, width float64
		if _, err := fmt.Sscanf(g.X+" "+g.Width, "%f%% %f%%", &x, &width); err != nil || x < 0 || width < leastGap-0.001 || x+width > 100.001 {
			t.Errorf("from %s, %s wide: %v", g.X, g.Width, err)
		}
	}
	if s.Start = ptr(now.Add(time.Hour)); newBar(s, now) != nil {
		t.Error("a stream that begins in the future has a bar")
	}
}

func TestManyWarningsAreCounted(t *testing.T) {
	var s defsync.Status
	s.GeneratedAt = now
	for range 60 {
		s.Tenants = append(s.Tenants, defsync.TenantStatus{Streams: []defsync.StreamStatus{{Stream: "incidents", Quarantine: 1}}})
	}
	v := newPage(s, nil, nil)
	if v.Headline != "60 warnings" || len(v.Warnings) != listedWarnings || v.More != 10 {
		t.Errorf("%s: %d and %d more", v.Headline, len(v.Warnings), v.More)
	}
}
