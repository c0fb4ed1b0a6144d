package sync

import "time"

// tick is the smallest window: PostgreSQL keeps microseconds, the source's
// times have ten ticks in each.
const tick = time.Microsecond

// Widths of the windows of an unordered source. The first is a guess, which
// the answers correct within a few requests; the last keeps a quiet tenant's
// windows from growing over what it would cost to throw one away.
const (
	firstWidth = 24 * time.Hour
	lastWidth  = 32 * 24 * time.Hour
)

// span is the half-open range of time [since, until), in microseconds.
type span struct{ since, until time.Time }

func (s span) width() time.Duration { return s.until.Sub(s.since) }

// halved is how wide a window should be whose answer was full: the smaller
// half, and never under a tick.
func (s span) halved() time.Duration {
	return max((s.width() / 2).Truncate(tick), tick)
}

// nextWidth is the width that should bring an answer to 60 % of the cap, when
// a window of this width held count records. One answer changes it by no more
// than a factor of four up or two down, so that a burst does not make the
// windows after it tiny, nor a quiet night the morning's one too wide.
func nextWidth(width time.Duration, count, limit int) time.Duration {
	factor := 4.0
	if count > 0 {
		factor = min(max(0.6*float64(limit)/float64(count), 0.5), 4)
	}
	return min(max(time.Duration(float64(width)*factor).Truncate(tick), tick), lastWidth)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// micro truncates down: a cursor rounded up would step over records.
func micro(t time.Time) time.Time { return t.UTC().Truncate(tick) }
