package web

import (
	"fmt"
	"math"
	"time"

	"defendersync/store"
	defsync "defendersync/sync"
)

// incidentsView is a tenant's incidents in numbers.
type incidentsView struct {
	Label                  string // the chart in one sentence
	Days                   []dayView
	Ticks                  []tick
	UpLine, Axis, DownLine string // heights of the lines, and what they stand for
	UpMax, DownMax         string
	Opened, Resolved       string // together
	Backlog                []backlogView
	Open                   string // together
}

// dayView is one day of the chart: what was opened above the axis, what was
// resolved below it.
type dayView struct {
	Date, Title      string
	Opened, Resolved string
	Whole, Bar       part
	UpY, UpHeight    string
	DownHeight       string
}

// tick is a day that the axis names.
type tick struct{ X, Anchor, Text string }

type backlogView struct {
	Severity, Open, Oldest, Width string
}

// Heights in pixels. The width is the page's.
const (
	chartTop    = 14.0 // room for the number at the upper line
	chartHeight = 150.0
	tickEvery   = 7
)

func newIncidents(f defsync.IncidentFigures, now time.Time) *incidentsView {
	v := &incidentsView{}
	var opened, resolved, mostUp, mostDown int64
	for _, d := range f.Days {
		opened, resolved = opened+d.Opened, resolved+d.Resolved
		mostUp, mostDown = max(mostUp, d.Opened), max(mostDown, d.Resolved)
	}
	up, down := roundUp(mostUp), roundUp(mostDown)
	scale := chartHeight / float64(up+down) // pixels of one incident
	axis := chartTop + float64(up)*scale
	v.UpLine, v.Axis, v.DownLine = pixels(chartTop), pixels(axis), pixels(axis+float64(down)*scale)
	v.UpMax, v.DownMax = grouped(up), grouped(down)
	v.Opened, v.Resolved = grouped(opened), grouped(resolved)
	v.Label = fmt.Sprintf("Incidents per day, the last %d days: %s opened, %s resolved", len(f.Days), v.Opened, v.Resolved)
	step := 100 / float64(max(len(f.Days), 1))
	for i, d := range f.Days {
		v.Days = append(v.Days, newDay(d, float64(i)*step, step, axis, scale))
		if back := len(f.Days) - 1 - i; back%tickEvery == 0 {
			v.Ticks = append(v.Ticks, newTick(d.Day, (float64(i)+0.5)*step, back == 0, now))
		}
	}
	v.setBacklog(f.Backlog, now)
	return v
}

func newDay(d store.IncidentDay, x, step, axis, scale float64) dayView {
	height := float64(d.Opened) * scale
	return dayView{
		Date:   d.Day.Format(time.DateOnly),
		Title:  fmt.Sprintf("%s: %s opened, %s resolved", d.Day.Format("Mon 2 Jan"), grouped(d.Opened), grouped(d.Resolved)),
		Opened: grouped(d.Opened), Resolved: grouped(d.Resolved),
		Whole: newPart(x, x+step), Bar: newPart(x+step*0.14, x+step*0.86),
		UpY: pixels(axis - height), UpHeight: pixels(height), DownHeight: pixels(float64(d.Resolved) * scale),
	}
}

func newTick(day time.Time, x float64, today bool, now time.Time) tick {
	if today {
		return tick{place(100), "end", "today"}
	}
	text := day.Format("2 Jan")
	if day.Year() != now.UTC().Year() {
		text = day.Format("2 Jan 06")
	}
	return tick{place(x), "middle", text}
}

func (v *incidentsView) setBacklog(all []store.Backlog, now time.Time) {
	var open, most int64
	for _, b := range all {
		open, most = open+b.Open, max(most, b.Open)
	}
	v.Open = grouped(open)
	for _, b := range all {
		row := backlogView{Severity: b.Severity, Open: grouped(b.Open), Oldest: "–", Width: place(0)}
		if b.Open > 0 {
			row.Oldest = coarse(now.Sub(b.Oldest))
			row.Width = place(100 * float64(b.Open) / float64(most))
		}
		v.Backlog = append(v.Backlog, row)
	}
}

// roundUp is the next number that a scale may end with.
func roundUp(n int64) int64 {
	for power := int64(1); power <= math.MaxInt64/100; power *= 10 {
		for _, step := range []int64{10, 12, 15, 20, 25, 30, 40, 50, 60, 80} {
			if top := step * power / 10; top >= n && (power > 1 || step%10 == 0) {
				return top
			}
		}
	}
	return n
}

func pixels(p float64) string { return fmt.Sprintf("%.1f", p) }
