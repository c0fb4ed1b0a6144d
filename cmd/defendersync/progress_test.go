package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	defsync "defendersync/sync"
)

// fakeProgress is a progress whose screen and clock are the test's.
func fakeProgress(terminal bool) (p *progress, out *bytes.Buffer, clock *time.Time) {
	out, clock = new(bytes.Buffer), new(time.Time)
	*clock = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	s := &screen{out: out, width: func() int { return 80 }, terminal: terminal}
	p = newProgress(s, slog.New(slog.NewTextHandler(s, nil)))
	p.now = func() time.Time { return *clock }
	return p, out, clock
}

// at is the state of a pass over ten hours that has done some of them.
func at(hours int, rows int64) defsync.Progress {
	from := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	return defsync.Progress{Tenant: "contoso", Stream: "incidents", Rows: rows, Calls: rows / 50,
		From: from, Cursor: from.Add(time.Duration(hours) * time.Hour), Until: from.Add(10 * time.Hour)}
}

func TestProgressOnATerminal(t *testing.T) {
	p, out, clock := fakeProgress(true)
	p.observe(at(2, 1000))
	p.tell()
	if got, want := out.String(), eraseLine+"contoso/incidents  [#####........................]  1,000 rows  0/s  20%  ETA ?"; got != want {
		t.Errorf("first: %q, want %q", got, want)
	}
	out.Reset()
	*clock = clock.Add(10 * time.Second)
	p.observe(at(4, 2500)) // two hours in ten seconds: six more take thirty
	p.tell()
	if got, want := out.String(), eraseLine+"contoso/incidents  [##########...............]  2,500 rows  150/s  40%  ETA 30s"; got != want {
		t.Errorf("later: %q, want %q", got, want)
	}
	out.Reset()
	p.observe(at(10, 9000))
	p.tell()
	if got := out.String(); got != eraseLine {
		t.Errorf("at the end: %q", got)
	}
}

// The bar gives way to the figures, and several passes have none.
func TestProgressBarTakesWhatIsLeft(t *testing.T) {
	p, _, _ := fakeProgress(true)
	figures := "1 rows"
	for _, c := range []struct {
		width int
		done  float64
		want  string
	}{
		{80, 0.5, "a/b  [###############...............]  1 rows"}, {80, 1, "a/b  [##############################]  1 rows"},
		{24, 0.5, "a/b  [####....]  1 rows"}, {24, 7, "a/b  [########]  1 rows"}, {24, -1, "a/b  [........]  1 rows"}, {20, 0.5, "a/b  1 rows"},
	} {
		p.screen.width = func() int { return c.width }
		if got := p.line([]string{"a/b"}, []string{figures}, c.done); got != c.want {
			t.Errorf("%d columns, %v done: %q, want %q", c.width, c.done, got, c.want)
		}
	}
	if got := p.line([]string{"a/b", "a/c"}, []string{figures, figures}, 1); got != "a/b  1 rows   |   a/c  1 rows" {
		t.Errorf("several: %q", got)
	}
}

func TestProgressElsewhereIsALogLine(t *testing.T) {
	p, out, clock := fakeProgress(false)
	p.tell()
	if out.Len() > 0 {
		t.Errorf("nothing is under way, and it says %q", out)
	}
	p.observe(at(2, 1000))
	*clock = clock.Add(10 * time.Second)
	p.observe(at(4, 2500))
	p.tell()
	const want = `msg=progress tenant=contoso stream=incidents rows=2500 rows_per_second=150 percent=40 eta=30s calls=50`
	if got := out.String(); !strings.Contains(got, want) || strings.Count(got, "\n") != 1 {
		t.Errorf("%q, want the line %q", got, want)
	}
}

// A pass that fails half-way is not shown any more, while others are.
func TestProgressEndsWithItsPass(t *testing.T) {
	p, out, _ := fakeProgress(false)
	other := at(3, 10)
	other.Stream = "alerts"
	p.observe(at(2, 1000))
	p.observe(other)
	p.observe(defsync.Progress{Tenant: "contoso", Stream: "incidents", Until: at(2, 0).Until, Ended: true})
	p.tell()
	if got := out.String(); strings.Contains(got, "stream=incidents") || !strings.Contains(got, "stream=alerts") {
		t.Errorf("%q", got)
	}
}

func TestProgressEndsOnce(t *testing.T) {
	p, out, _ := fakeProgress(true)
	stop := p.start()
	p.observe(at(2, 1))
	p.tell()
	p.finish()
	stop()
	if got := out.String(); !strings.HasSuffix(got, eraseLine) {
		t.Errorf("the line is left there: %q", got)
	}
}

func TestScreenKeepsLogsAboveItsLine(t *testing.T) {
	out := new(bytes.Buffer)
	s := &screen{out: out, width: func() int { return 10 }}
	write := func(text string) {
		if _, err := s.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	write("before\n")
	s.show("too long for the screen")
	write("log\n")
	s.show("")
	write("after\n")
	want := "before\n" + eraseLine + "too long " + eraseLine + "log\ntoo long " + eraseLine + "after\n"
	if got := out.String(); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
