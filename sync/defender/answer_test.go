package defender

import (
	"net/http"
	"testing"
	"time"
)

func TestMessageWait(t *testing.T) {
	for message, want := range map[string]time.Duration{
		"API calls quota exceeded! Maximum allowed 30 per 00:01:00 for the key Destination+TenantID+AppID. You can send requests again in 8 seconds.": 8 * time.Second,
		"API calls quota exceeded! maximum allowed 45 per 00:01:00":                                                                                   time.Minute,
		"API calls quota exceeded! maximum allowed 1500 per 01:00:00":                                                                                 time.Hour,
		"You can send requests again in 1 second.":                                                                                                    time.Second,
		"You can run queries again in 3 minutes.":                                                                                                     3 * time.Minute,
		"again in 999999 hours": maxRetryAfter,
		"per 999:99:99":         maxRetryAfter,
		"Too many requests.":    0,
		"again in seconds":      0,
		"again in 0 seconds":    0,
		"":                      0,
	} {
		if got := messageWait(message); got != want {
			t.Errorf("messageWait(%q) = %s, want %s", message, got, want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	date := func(after time.Duration) string { return now.Add(after).Format(http.TimeFormat) }
	for name, tc := range map[string]struct {
		retryAfter, date string
		want             time.Duration
	}{
		"absent":                {"", "", 0},
		"seconds":               {"7", "", 7 * time.Second},
		"fraction":              {"0.5", "", 500 * time.Millisecond},
		"zero":                  {"0", "", 0},
		"negative":              {"-5", "", 0},
		"not a number":          {"NaN", "", 0},
		"for ever":              {"1e300", "", maxRetryAfter},
		"date":                  {date(time.Minute), "", time.Minute},
		"date by its own clock": {date(time.Hour + time.Minute), date(time.Hour), time.Minute},
		"date gone by":          {date(-time.Minute), "", 0},
		"far date":              {date(1000 * time.Hour), "", maxRetryAfter},
		"words":                 {"soon", "", 0},
	} {
		h := http.Header{}
		h.Set("Retry-After", tc.retryAfter)
		h.Set("Date", tc.date)
		if got := retryAfter(h, now); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

func FuzzMessageWait(f *testing.F) {
	for _, s := range []string{"again in 8 seconds", "per 00:01:00", "again in 99999999999999999999 seconds", "per 1:2:3", "again in 3 hours per 00:00:01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, message string) {
		if got := messageWait(message); got < 0 || got > maxRetryAfter {
			t.Errorf("messageWait(%q) = %s, want between 0 and %s", message, got, maxRetryAfter)
		}
	})
}
