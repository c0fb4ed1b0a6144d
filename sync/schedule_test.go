package sync

import (
	"strings"
	"testing"
	"time"
)

func mustTime(t *testing.T, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestScheduleNext(t *testing.T) {
	const from = "2026-11-22T10:07:30Z"
	for expr, want := range map[string]string{
		"*/5 * * * *":                        "2026-11-22T10:10:00Z",
		"  0 4 * * *  ":                      "2026-11-23T04:00:00Z",
		"CRON_TZ=Europe/Berlin 0 4 * * *":    "2026-11-23T03:00:00Z",
		"CRON_TZ=America/New_York   @daily":  "2026-11-23T05:00:00Z",
		"@hourly":                            "2026-11-22T11:00:00Z",
		"@every 10m":                         "2026-11-22T10:17:30Z",
		"@every 1d12h":                       "2026-11-23T22:07:30Z",
		"0 0 29 feb *":                       "2028-02-29T00:00:00Z",
		"17 3 * * mon-fri":                   "2026-11-23T03:17:00Z",
		"0 0 * * 7":                          "2026-11-29T00:00:00Z",
		"0 0 * * 6-7":                        "2026-11-28T00:00:00Z",
		"0 0 * * 0-7":                        "2026-11-23T00:00:00Z",
		"0 0 * * 3,7":                        "2026-11-25T00:00:00Z",
		"CRON_TZ=Asia/Kathmandu 15 12 * * *": "2026-11-23T06:30:00Z",
	} {
		s, err := parseSchedule(expr, mustTime(t, from))
		if err != nil {
			t.Errorf("%q: %v", expr, err)
			continue
		}
		if got := s.Next(mustTime(t, from)); !got.Equal(mustTime(t, want)) {
			t.Errorf("%q: next is %s, want %s", expr, got, want)
		}
		if s.String() != strings.TrimSpace(expr) {
			t.Errorf("%q: String is %q", expr, s)
		}
	}
}

func TestScheduleIsUTCWhateverTheCaller(t *testing.T) {
	ny, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseSchedule("0 4 * * *")
	if err != nil {
		t.Fatal(err)
	}
	from := mustTime(t, "2026-06-01T00:00:00Z").In(ny)
	if got, want := s.Next(from), mustTime(t, "2026-06-01T04:00:00Z"); !got.Equal(want) {
		t.Errorf("next is %s, want %s", got, want)
	}
}

func TestScheduleRefused(t *testing.T) {
	for expr, want := range map[string]string{
		"":                             "empty",
		"   ":                          "empty",
		"TZ=UTC":                       "TZ= is not understood",
		"TZ=Europe/Berlin 0 4 * * *":   "TZ= is not understood",
		"CRON_TZ=UTC":                  "no times",
		"CRON_TZ=UTC   ":               "no times",
		"CRON_TZ=":                     "no such time zone",
		"CRON_TZ= 0 4 * * *":           "no such time zone",
		"CRON_TZ=Local 0 4 * * *":      "no such time zone",
		"CRON_TZ=Mars/Base 0 4 * * *":  "no such time zone",
		"CRON_TZ=../../etc 0 4 * * *":  "no such time zone",
		"CRON_TZ=UTC TZ=UTC 0 4 * * *": "not a schedule",
		"@every":                       "wants a duration",
		"@every ":                      "wants a duration",
		"@every10m":                    "wants a duration",
		"@every 0s":                    "not a positive duration",
		"@every -1m":                   "not a positive duration",
		"@every 10":                    "not a positive duration",
		"@every 100ms":                 "outside 1s to 366d",
		"@every 400d":                  "outside 1s to 366d",
		"@every 99999999999h":          "not a positive duration",
		"@fortnightly":                 "unrecognized descriptor",
		"0 0 31 2 *":                   "never fires",
		"0 2 30 feb *":                 "never fires",
		"0 0 31 4,6,9,11 *":            "never fires",
		"* * * *":                      "expected exactly 5 fields",
		"0 * * * * *":                  "expected exactly 5 fields",
		"61 * * * *":                   "above maximum",
		"*/0 * * * *":                  "step of range",
		", * * * *":                    "empty place",
		"1,,2 * * * *":                 "empty place",
		"every five minutes":           "expected exactly 5 fields",
	} {
		if s, err := ParseSchedule(expr); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %q and error %v, want an error with %q", expr, s, err, want)
		}
	}
}

// The two clock changes of 2026 in New York. A time that does not exist is
// skipped until the next day and one that exists twice fires twice, which is
// harmless because a run goes from checkpoint to now, not from firing to firing.
func TestScheduleAtClockChanges(t *testing.T) {
	for _, c := range []struct{ expr, from, want string }{
		{"CRON_TZ=America/New_York 30 2 * * *", "2026-03-08T00:00:00-05:00", "2026-03-09T02:30:00-04:00"},
		{"CRON_TZ=America/New_York 30 1 * * *", "2026-11-01T00:00:00-04:00", "2026-11-01T01:30:00-04:00"},
		{"CRON_TZ=America/New_York 30 1 * * *", "2026-11-01T01:30:00-04:00", "2026-11-01T01:30:00-05:00"},
		{"CRON_TZ=America/New_York */30 * * * *", "2026-03-08T01:30:00-05:00", "2026-03-08T03:00:00-04:00"},
		{"30 2 * * *", "2026-03-08T00:00:00Z", "2026-03-08T02:30:00Z"},
	} {
		s, err := ParseSchedule(c.expr)
		if err != nil {
			t.Fatalf("%q: %v", c.expr, err)
		}
		if got := s.Next(mustTime(t, c.from)); !got.Equal(mustTime(t, c.want)) {
			t.Errorf("%q after %s: %s, want %s", c.expr, c.from, got, c.want)
		}
	}
}

func TestZeroScheduleIsNeverDue(t *testing.T) {
	if got := (Schedule{}).Next(time.Now()); !got.IsZero() {
		t.Errorf("next is %s", got)
	}
}

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "12h": 12 * time.Hour, "30d": 720 * time.Hour, "1d12h": 36 * time.Hour,
		"1.5h": 90 * time.Minute, "0d1s": time.Second, "2h45m": 165 * time.Minute,
	} {
		if got, err := ParseDuration(s); err != nil || got != want {
			t.Errorf("%q: %s, %v; want %s", s, got, err, want)
		}
	}
	for _, s := range []string{"", "d", "0", "0s", "0d", "-1h", "-1d", "1d-12h", "1d+12h", "+1h", "1d ", "12h1d", "1.5d", "5", "1w", "40000d", "9999999999h", "∞"} {
		if got, err := ParseDuration(s); err == nil {
			t.Errorf("%q: got %s, want an error", s, got)
		}
	}
}

func TestParseMarginMayBeNothing(t *testing.T) {
	for s, want := range map[string]time.Duration{"0": 0, "0s": 0, "0d": 0, "0d0s": 0, "1d": 24 * time.Hour, "90s": 90 * time.Second} {
		if got, err := ParseMargin(s); err != nil || got != want {
			t.Errorf("%q: %s, %v; want %s", s, got, err, want)
		}
	}
	for _, s := range []string{"", "d", "-0s", "-1s", "+0s", "5", "40000d", "1d-1h", "none"} {
		if got, err := ParseMargin(s); err == nil {
			t.Errorf("%q: got %s, want an error", s, got)
		}
	}
}

func FuzzParseSchedule(f *testing.F) {
	for _, s := range []string{"*/5 * * * *", "TZ=UTC", "CRON_TZ=UTC", "@every 10m", "CRON_TZ=America/Sao_Paulo 0 0 1 * *", "0 0 31 2 *", ",,,", "1-5/2 0 1 jan mon"} {
		f.Add(s)
	}
	from := time.Date(2026, 11, 22, 10, 7, 30, 0, time.UTC)
	f.Fuzz(func(t *testing.T, expr string) {
		s, err := parseSchedule(expr, from)
		if err != nil {
			return
		}
		if next := s.Next(from); !next.After(from) {
			t.Errorf("%q was accepted and is next due %s, not after %s", expr, next, from)
		}
	})
}
