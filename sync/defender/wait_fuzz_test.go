package defender

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// FuzzRetryAfter gives a 429 any header, any Date and any text. The wait that
// comes of it is bounded, a whole number of seconds and a date ahead are obeyed
// to the second, and nothing that the header says loses against the text.
func FuzzRetryAfter(f *testing.F) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	const date = "Sun, 22 Nov 2026 10:00:00 GMT"
	for _, s := range [][3]string{{"7", "", ""}, {"0", date, ""}, {"-5", "", ""}, {"0.5", "", ""}, {"1e300", "", ""}, {"1e-300", "", ""}, {"NaN", "", ""}, {"Inf", "", ""},
		{"-Inf", "", ""}, {"0x10", "", ""}, {"1_000", "", ""}, {" 7 ", "", ""}, {"7, 9", "", ""}, {"007", "", ""}, {"99999999999999999999", "", ""}, {"86400", "", ""}, {"86401", "", ""},
		{"Sun, 22 Nov 2026 10:01:00 GMT", date, ""}, {"Sunday, 22-Nov-26 10:01:00 GMT", date, ""}, {"Sun Nov 22 10:01:00 2026", date, ""}, {"Sun, 22 Nov 2026 09:00:00 GMT", date, ""},
		{"Sun, 22 Nov 2026 10:01:00 GMT", "Sun, 22 Nov 2026 10:00:30 GMT", ""}, {"Sun, 22 Nov 2026 10:01:00 GMT", "yesterday", ""}, {"Fri, 31 Dec 9999 23:59:59 GMT", date, ""},
		{"", date, "You can send requests again in 8 seconds."}, {"3", date, "You can send requests again in 8 seconds."}, {"", date, "maximum allowed 45 per 00:01:00"},
		{"", date, "You have exceeded processing resources allocated to this tenant. You can run queries again in 00:07:12."},
		{"", date, "You have exceeded processing resources allocated to this tenant."}, {"", "", "exceeded PROCESSING resources again in 999999999 hours"}} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, after, served, message string) {
		h := http.Header{"Retry-After": {after}, "Date": {served}}
		header := retryAfter(h, now)
		if header < 0 || header > maxRetryAfter {
			t.Errorf("Retry-After %q is %s, want between 0 and %s", after, header, maxRetryAfter)
		}
		if want, ok := plainWait(after, served); ok && header != want {
			t.Errorf("Retry-After %q, served at %q, is %s, want %s", after, served, header, want)
		}
		e := refusal{message: message}.throttled(h, now)
		if e.RetryAfter < 0 || e.RetryAfter > maxRetryAfter || e.Message != message {
			t.Errorf("%q is a wait of %s because of %q", message, e.RetryAfter, e.Message)
		}
		if header > 0 && e.RetryAfter != header {
			t.Errorf("the header says %s, and the wait is %s", header, e.RetryAfter)
		}
		if e.CPU && e.RetryAfter == 0 {
			t.Errorf("%q is tried again at once, although the tenant has nothing left to give", message)
		}
	})
}

// plainWait is the wait of the two forms that RFC 9110 has, worked out again.
func plainWait(after, served string) (time.Duration, bool) {
	if n, err := strconv.ParseUint(after, 10, 31); err == nil && strings.Trim(after, "0123456789") == "" {
		return min(time.Duration(n)*time.Second, maxRetryAfter), true
	}
	at, err := time.Parse(http.TimeFormat, after)
	base, baseErr := time.Parse(http.TimeFormat, served)
	if err != nil || baseErr != nil {
		return 0, false
	}
	return min(max(at.Sub(base), 0), maxRetryAfter), true
}

// FuzzThrottledBody gives a 429 any body, as a server or something on the way
// may. What is read of it is bounded, and a wait that stands in the place where
// the APIs write it is found.
func FuzzThrottledBody(f *testing.F) {
	for _, body := range []string{"", "{}", "null", `{"error":{"code":"TooManyRequests","message":"Too many requests."}}`, `{"error":{"message":"again in 8 seconds"}}`,
		`{"error":"again in 8 seconds"}`, `{"error":{"message":{"again":"in 8 seconds"}}}`, `{"error":{"message":"again in 8 sec`, "<html>again in 8 seconds</html>",
		`{"error":{"code":"429","message":"API calls quota exceeded! Maximum allowed 50 per 00:01:00 for the key X. You can send requests again in 8 seconds.","target":"x"}}`,
		"\xff\xfe{\x00", strings.Repeat("[", 10_000), `{"error":{"message":"` + strings.Repeat("x", 100_000) + `"}}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		resp := &http.Response{StatusCode: http.StatusTooManyRequests, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}
		r := readRefusal(resp)
		wait := r.throttled(resp.Header, time.Now()).RetryAfter
		if len(r.message) > 2000 || len(r.code) > 2000 || wait < 0 || wait > maxRetryAfter {
			t.Errorf("%d bytes of message, %d of code, a wait of %s", len(r.message), len(r.code), wait)
		}
		var plain struct {
			Error struct{ Message string }
		}
		if json.Unmarshal(body, &plain) == nil && len(plain.Error.Message) < 200 && strings.Contains(string(body), `"message":"You can send requests again in 8 seconds."`) && wait != 8*time.Second {
			t.Errorf("%q is a wait of %s, want 8s", body, wait)
		}
	})
}
