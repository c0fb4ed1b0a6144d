package main

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// FuzzInstant gives --from and --to whatever a person may type. What is accepted
// is one instant: an age lies before now by no more than ages go, and the same
// instant written out is the same again. What is refused is a wrong usage, on
// one line, that names the flag.
func FuzzInstant(f *testing.F) {
	for _, text := range []string{"", "30d", "1d12h", "0s", "0d", "-1h", "+1h", "1d-2h", "1d+2h", "36500d", "36501d", "1.5h", "90", "1e3s", "99999999999999999999d",
		"2562047h47m16.854775807s", "36500d876000h", "5ns", "2026-01-31", "2026-02-30", "2026-1-31", "0000-01-01", "9999-12-31", "2026-01-31T08:00:00Z",
		"2026-01-31T08:00:00.123456789+14:00", "2026-01-31T24:00:00Z", "2026-06-30T23:59:60Z", "2026-01-31 08:00:00", "0001-01-01T00:00:00Z",
		"9999-12-31T23:59:59.9999999-23:59", "now", "30D", "３０d", "30 d", "d", "\n", "30d\x00", "١d"} {
		f.Add(text)
	}
	const farthest = 2 * 36500 * 24 * time.Hour // days, and what stands behind them
	f.Fuzz(func(t *testing.T, text string) {
		at, err := instant("--from", text, testNow)
		if err != nil {
			mustBeUsage(t, text, err)
			return
		}
		if text == "" {
			return
		}
		if at.Location() != time.UTC || at.Nanosecond()%1000 != 0 {
			t.Errorf("%q is %s, which is not what the database keeps", text, at)
		}
		if _, isTime := time.Parse(time.DateOnly, text[:min(len(text), len(time.DateOnly))]); isTime != nil && (!at.Before(testNow) || at.Before(testNow.Add(-farthest))) {
			t.Errorf("the age %q is %s, seen from %s", text, at, testNow)
		}
		if at.Year() < 0 || at.Year() > 9999 { // in UTC; no way to write it is left
			return
		}
		again, err := instant("--from", at.Format(time.RFC3339Nano), testNow)
		if err != nil || !again.Equal(at) {
			t.Errorf("%q is %s, which is written %s, and that is %s: %v", text, at, at.Format(time.RFC3339Nano), again, err)
		}
	})
}

// FuzzTimeRange gives both flags. A range that is accepted is not empty, does
// not go on after now, and begins and ends where it was told to.
func FuzzTimeRange(f *testing.F) {
	for _, r := range [][2]string{{"", ""}, {"30d", ""}, {"", "1d"}, {"30d", "1d"}, {"1d", "30d"}, {"1d", "1d"}, {"2030-01-01", ""}, {"1d", "2030-01-01"},
		{"0001-01-01T00:00:00Z", "1d"}, {"1d", "0001-01-01T00:00:00Z"}, {"", "0001-01-01T00:00:00Z"}, {"2026-01-31", "2026-02-01T01:00:00+01:00"}} {
		f.Add(r[0], r[1])
	}
	f.Fuzz(func(t *testing.T, from, to string) {
		since, until, err := timeRange(from, to, testNow)
		if err != nil {
			mustBeUsage(t, from+to, err)
			return
		}
		if until.After(testNow) || since.After(testNow) {
			t.Errorf("--from %q --to %q is %s to %s, after now", from, to, since, until)
		}
		if from != "" && !since.Before(until) {
			t.Errorf("--from %q --to %q is %s to %s, which is nothing", from, to, since, until)
		}
		if want, _ := instant("--from", from, testNow); !since.Equal(want) {
			t.Errorf("--from %q is %s, want %s", from, since, want)
		}
		if want, _ := instant("--to", to, testNow); to != "" && !want.After(testNow) && !until.Equal(want) {
			t.Errorf("--to %q is %s, want %s", to, until, want)
		}
	})
}

// mustBeUsage fails unless an error is a wrong usage in one clear line.
func mustBeUsage(t *testing.T, text string, err error) {
	t.Helper()
	var e *exitError
	if !errors.As(err, &e) || e.code != exitUsage {
		t.Fatalf("%q is refused as %v, which is no wrong usage", text, err)
	}
	if s := err.Error(); !strings.HasPrefix(s, "--from: ") && !strings.HasPrefix(s, "--to: ") || strings.ContainsAny(s, "\n\r\x00") || len(s) > 1000 {
		t.Errorf("%q is refused by %q", text, s)
	}
}
