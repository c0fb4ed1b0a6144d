package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// shop is a table with a column of each kind.
func shop() *table {
	t := newTable(column{name: "TENANT", common: true}, column{name: "STREAM", elastic: true}, column{name: "OUTCOME", tone: outcomeTone},
		number("ROWS"), trouble("GAPS"))
	t.add("contoso", "hunting/device_tvm_software_vulnerabilities", "ok", "1,234", "0")
	t.add("contoso", "incidents", "failed (stale)", "7", "0")
	return t
}

func printed(t *testing.T, table *table, l look) string {
	t.Helper()
	var b strings.Builder
	if err := table.print(&b, l); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What another program reads is whole and plain, however wide.
func TestTableElsewhere(t *testing.T) {
	const want = "TENANT   STREAM                                       OUTCOME          ROWS  GAPS\n" +
		"contoso  hunting/device_tvm_software_vulnerabilities  ok              1,234     0\n" +
		"contoso  incidents                                    failed (stale)      7     0\n"
	if got := printed(t, shop(), look{}); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// On a terminal nothing is wider than it, and what says nothing is left out.
func TestTableOnATerminal(t *testing.T) {
	for columns, want := range map[int]string{
		100: "STREAM                                       OUTCOME          ROWS\n" +
			"hunting/device_tvm_software_vulnerabilities  ok              1,234\n" +
			"incidents                                    failed (stale)      7\n",
		60: "STREAM                                 OUTCOME          ROWS\n" +
			"hunting/device_tvm_software_vulnerab…  ok              1,234\n" +
			"incidents                              failed (stale)      7\n",
		36: "STREAM   hunting/device_tvm_softwar…\n" +
			"OUTCOME  ok\n" +
			"ROWS     1,234\n" +
			"\n" +
			"STREAM   incidents\n" +
			"OUTCOME  failed (stale)\n" +
			"ROWS     7\n",
	} {
		if got := printed(t, shop(), look{columns: columns}); got != want {
			t.Errorf("%d columns, got:\n%s\nwant:\n%s", columns, got, want)
		}
	}
}

func TestTroubleIsShown(t *testing.T) {
	table := shop()
	table.add("fabrikam", "incidents", "partial", "0", "2")
	got := printed(t, table, look{columns: 120, colour: true})
	for _, want := range []string{"TENANT", "GAPS", string(good) + "ok", string(bad) + "failed (stale)", string(odd) + "partial", string(odd) + "   2"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in:\n%s", want, got)
		}
	}
	if plainly := printed(t, table, look{columns: 120}); strings.Contains(plainly, "\x1b") {
		t.Errorf("colour without being asked for:\n%q", plainly)
	}
}

// What is said is cut before what it is said of.
func TestLastIsCutFirst(t *testing.T) {
	table := newTable(column{name: "TARGET", elastic: true}, column{name: "DETAIL", elastic: true})
	table.add("contoso/hunting/device_events", "the token has none of ThreatHunting.Read.All")
	if got := printed(t, table, look{columns: 60}); !strings.Contains(got, "contoso/hunting/device_events  the token") || !strings.Contains(got, "…") {
		t.Errorf("got:\n%s", got)
	}
}

// Whatever the cells are, no line is wider than a terminal that has room for a
// heading and a word.
func TestNothingWraps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var columns []column
		for i := range rapid.IntRange(1, 12).Draw(t, "columns") {
			columns = append(columns, column{name: strings.Repeat("H", rapid.IntRange(1, 12).Draw(t, "heading")),
				right: i%2 == 0, elastic: rapid.Bool().Draw(t, "elastic"), quiet: i%3 == 0, common: i == 0})
		}
		table := newTable(columns...)
		for range rapid.IntRange(0, 4).Draw(t, "rows") {
			var cells []string
			for range columns {
				cells = append(cells, rapid.StringMatching(`[a-zé0-9-]{0,60}`).Draw(t, "cell"))
			}
			table.add(cells...)
		}
		l := look{columns: rapid.IntRange(40, 200).Draw(t, "terminal")}
		var b strings.Builder
		if err := table.print(&b, l); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if line = strings.TrimSuffix(line, "\n"); width(line) > l.columns || strings.HasSuffix(line, " ") {
				t.Fatalf("%d columns on a terminal of %d: %q", width(line), l.columns, line)
			}
		}
	})
}

func TestProse(t *testing.T) {
	const text = "gap in incidents of contoso from 2026-11-22 10:01 to 10:02: never read"
	if got := (look{}).prose(text); got != text {
		t.Errorf("elsewhere: %q", got)
	}
	const fix = "  fix: grant\n    the role"
	if got := (look{columns: 14}).prose("  fix: grant the role"); got != fix {
		t.Errorf("got %q, want %q", got, fix)
	}
	const want = "gap in incidents of contoso\n  from 2026-11-22 10:01 to\n  10:02: never read"
	if got := (look{columns: 28}).prose(text); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestColours(t *testing.T) {
	for vars, want := range map[string]bool{"": true, "NO_COLOR=": true, "NO_COLOR=1": false, "TERM=xterm": true, "TERM=dumb": false} {
		name, value, _ := strings.Cut(vars, "=")
		env := environment{lookup: func(asked string) (string, bool) {
			if asked == name {
				return value, true
			}
			return "", false
		}}
		if got := coloured(env); got != want {
			t.Errorf("%q: %t, want %t", vars, got, want)
		}
	}
}

func TestTimesForPeople(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	l := look{columns: 100, now: now}
	for at, want := range map[time.Duration]string{0: "0s ago", -90 * time.Second: "1m30s ago", -2 * time.Minute: "2m ago", -26 * time.Hour: "1d2h ago",
		-3 * time.Hour: "3h ago", 5 * time.Minute: "in 5m", 12*time.Hour + 30*time.Minute: "in 12h30m"} {
		then := now.Add(at)
		if got := l.when(&then); got != want {
			t.Errorf("%s: %q, want %q", at, got, want)
		}
		if got, want := (look{now: now}).when(&then), clock(&then); got != want {
			t.Errorf("%s elsewhere: %q, want %q", at, got, want)
		}
	}
	if got := fmt.Sprint(l.when(nil), l.span(2046*time.Millisecond), look{}.span(2046*time.Millisecond), l.number(1234), look{}.number(1234)); got != "-2s2.046s1,2341234" {
		t.Errorf("got %q", got)
	}
}
