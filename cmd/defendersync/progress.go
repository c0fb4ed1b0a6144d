package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	defsync "defendersync/sync"

	"golang.org/x/term"
)

// How often progress is shown: as a line that is rewritten, or as a new one.
const (
	redrawEvery = 200 * time.Millisecond
	tellEvery   = 10 * time.Second
)

// screen is stderr with, on a terminal, a line at its end that is rewritten in
// place. What is written meanwhile appears above that line.
type screen struct {
	mu       sync.Mutex
	out      io.Writer
	width    func() int // of the terminal
	terminal bool
	line     string
}

func newScreen(f *os.File) *screen {
	width := func() int {
		w, _, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 80
		}
		return w
	}
	return &screen{out: f, width: width, terminal: isTerminal(f)}
}

const eraseLine = "\r\x1b[K"

// Write implements io.Writer for logs.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line == "" {
		return s.out.Write(p)
	}
	fmt.Fprint(s.out, eraseLine)
	n, err := s.out.Write(p)
	fmt.Fprint(s.out, s.line)
	return n, err
}

// show replaces the line; "" takes it away.
func (s *screen) show(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if line == s.line {
		return
	}
	if r, limit := []rune(line), s.width()-1; limit > 0 && len(r) > limit {
		line = string(r[:limit])
	}
	s.line = line
	fmt.Fprint(s.out, eraseLine+line)
}

// progress shows how far the passes under way are.
type progress struct {
	screen *screen
	log    *slog.Logger
	now    func() time.Time

	mu     sync.Mutex
	passes []*passProgress // under way, in the order in which they began

	stop chan struct{}
	once sync.Once
	done sync.WaitGroup
}

// passProgress is the latest of one pass, and what it was when first heard of:
// the pace is told from there, because the way to the first record is no work.
type passProgress struct {
	defsync.Progress
	first defsync.Progress
	began time.Time
}

func newProgress(s *screen, log *slog.Logger) *progress {
	return &progress{screen: s, log: log, now: time.Now, stop: make(chan struct{})}
}

// start begins to show, until the function that it returns or finish is called.
func (p *progress) start() func() {
	every := tellEvery
	if p.screen.terminal {
		every = redrawEvery
	}
	p.done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-p.stop:
				return
			case <-tick.C:
				p.tell()
			}
		}
	})
	return p.finish
}

// finish takes the line away. Later calls do nothing.
func (p *progress) finish() {
	p.once.Do(func() { close(p.stop) })
	p.done.Wait()
	p.clear()
}

// clear forgets the passes under way, before something else is printed.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passes = nil
	if p.screen.terminal {
		p.screen.show("")
	}
}

// observe takes the state of a pass after a commit, or its end.
func (p *progress) observe(g defsync.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.passes, func(q *passProgress) bool { return q.Tenant == g.Tenant && q.Stream == g.Stream })
	ended := g.Ended || !g.Cursor.Before(g.Until)
	switch {
	case i < 0 && !ended:
		p.passes = append(p.passes, &passProgress{Progress: g, first: g, began: p.now()})
	case i >= 0 && ended:
		p.passes = slices.Delete(p.passes, i, i+1)
	case i >= 0:
		p.passes[i].Progress = g
	}
}

// tell shows the passes under way on the terminal, or logs each.
func (p *progress) tell() {
	p.mu.Lock()
	defer p.mu.Unlock()
	var names, parts []string
	var done float64
	for _, pass := range p.passes {
		var rate float64
		var left time.Duration
		rate, done, left = pass.estimate(p.now())
		if p.screen.terminal {
			names = append(names, pass.Tenant+"/"+pass.Stream)
			parts = append(parts, fmt.Sprintf("%s rows  %.0f/s  %.0f%%  ETA %s", grouped(pass.Rows), rate, 100*done, eta(left)))
			continue
		}
		p.log.Info("progress", "tenant", pass.Tenant, "stream", pass.Stream, "rows", pass.Rows,
			"rows_per_second", int64(rate), "percent", int(100*done), "eta", eta(left), "calls", pass.Calls)
	}
	if p.screen.terminal {
		p.screen.show(p.line(names, parts, done))
	}
}

// line puts the passes side by side, a single one with a bar where that fits.
func (p *progress) line(names, parts []string, done float64) string {
	if len(parts) == 1 {
		room := p.screen.width() - len(names[0]) - len(parts[0]) - len("    ") - 1
		return names[0] + "  " + bar(done, min(room, longestBar)) + parts[0]
	}
	for i := range parts {
		parts[i] = names[i] + "  " + parts[i]
	}
	return strings.Join(parts, "   |   ")
}

const longestBar = 32

// bar draws how much is done in so many columns; nothing where those are too few.
func bar(done float64, columns int) string {
	cells := columns - len("[]")
	if cells < 5 {
		return ""
	}
	full := min(max(int(done*float64(cells)), 0), cells)
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", cells-full) + "]  "
}

// estimate is the pass's rate in rows per second, the part of its time span
// that is done, and the time left at the pace so far; under zero while that is
// not yet known.
func (p *passProgress) estimate(now time.Time) (rate, done float64, left time.Duration) {
	elapsed := now.Sub(p.began)
	if elapsed > 0 {
		rate = float64(p.Rows-p.first.Rows) / elapsed.Seconds()
	}
	if whole := p.Until.Sub(p.From); whole > 0 {
		done = float64(p.Cursor.Sub(p.From)) / float64(whole)
	}
	covered := p.Cursor.Sub(p.first.Cursor)
	if covered <= 0 || elapsed < time.Second {
		return rate, done, -1
	}
	return rate, done, time.Duration(float64(elapsed) * float64(p.Until.Sub(p.Cursor)) / float64(covered))
}

func eta(left time.Duration) string {
	if left < 0 {
		return "?"
	}
	return left.Round(time.Second).String()
}

// grouped writes a number with a comma between thousands.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
