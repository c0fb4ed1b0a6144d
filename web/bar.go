package web

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	defsync "defendersync/sync"
)

// A place on a drawing is in percent of its width, so that a drawing needs
// neither script nor style to fit its place.
type part struct{ X, Width string }

func newPart(from, to float64) part { return part{place(from), place(to - from)} }

func place(p float64) string { return strconv.FormatFloat(p, 'f', 3, 64) + "%" }

// bar is a stream from its start to now: what was read, what is missing of it,
// and what is still to come.
type bar struct {
	Label string // all of it in words
	Read  part
	Gaps  []barGap

	way float64 // how far it was read, in percent
}

// barGap is one range that is missing, or several that lie too close together to
// be told apart.
type barGap struct {
	part
	Label string
}

const (
	leastGap = 0.7 // percent: what can still be seen and pointed at on a telephone
	mostGaps = 12  // that the Tab key stops at
)

// newBar draws a stream that has a start.
func newBar(s defsync.StreamStatus, now time.Time) *bar {
	axis := now.Sub(*s.Start)
	if axis <= 0 {
		return nil
	}
	at := func(t time.Time) float64 {
		return min(max(100*float64(t.Sub(*s.Start))/float64(axis), 0), 100)
	}
	way := at(*s.Watermark)
	b := &bar{Read: newPart(0, way), way: way}
	b.Label = fmt.Sprintf("Read from %s to %s", moment(*s.Start, now), moment(*s.Watermark, now))
	if len(s.Gaps) == 0 {
		b.Label += ", nothing missing"
	} else {
		b.Label += fmt.Sprintf(", %s missing, %s together", count(len(s.Gaps), "range"), length(gapsLength(s.Gaps)))
	}
	for _, group := range gapGroups(s.Gaps, at) {
		from, to := at(group[0].From), at(group[len(group)-1].To)
		to = max(to, from+leastGap)
		from -= max(to-100, 0)
		b.Gaps = append(b.Gaps, barGap{newPart(from, min(to, 100)), gapLabel(group, now)})
	}
	return b
}

// gapGroups puts together what lies too close, and then what lies closest,
// until few enough are left.
func gapGroups(gaps []defsync.GapStatus, at func(time.Time) float64) [][]defsync.GapStatus {
	gaps = slices.SortedFunc(slices.Values(gaps), func(a, b defsync.GapStatus) int { return a.From.Compare(b.From) })
	for apart := leastGap; ; apart *= 2 {
		var groups [][]defsync.GapStatus
		end := math.Inf(-1)
		for _, g := range gaps {
			if n := len(groups); n > 0 && at(g.From)-end < apart {
				groups[n-1] = append(groups[n-1], g)
			} else {
				groups = append(groups, []defsync.GapStatus{g})
			}
			end = at(g.To)
		}
		if len(groups) <= mostGaps {
			return groups
		}
	}
}

func gapLabel(group []defsync.GapStatus, now time.Time) string {
	first, last := group[0], group[len(group)-1]
	if len(group) == 1 {
		return gapText(first, now)
	}
	var reasons []string
	for _, g := range group {
		if len(reasons) < 3 && !slices.Contains(reasons, sentence(g.Reason)) {
			reasons = append(reasons, sentence(g.Reason))
		}
	}
	return fmt.Sprintf("%s missing between %s and %s UTC, %s together: %s", count(len(group), "range"), moment(first.From, now),
		moment(last.To, now), length(gapsLength(group)), strings.Join(reasons, "; "))
}

// gapText is one gap in words.
func gapText(g defsync.GapStatus, now time.Time) string {
	to := moment(g.To, now)
	if g.From.UTC().Format(time.DateOnly) == g.To.UTC().Format(time.DateOnly) {
		to = g.To.UTC().Format("15:04")
	}
	return fmt.Sprintf("%s to %s UTC, %s: %s", moment(g.From, now), to, length(g.To.Sub(g.From)), sentence(g.Reason))
}

func gapsLength(gaps []defsync.GapStatus) time.Duration {
	var total time.Duration
	for _, g := range gaps {
		total += g.To.Sub(g.From)
	}
	return total
}
