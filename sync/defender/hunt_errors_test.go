package defender

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// graphError is an error as Graph words it.
func graphError(code, message string) string {
	return fmt.Sprintf(`{"error":{"code":%q,"message":%q,"innerError":{"date":"2026-09-13T10:00:00","request-id":"r1","client-request-id":"c1"}}}`, code, message)
}

const (
	saysSize      = "Query execution has exceeded the allowed result size. Optimize your query by limiting the amount of results and try again."
	saysNoTable   = "'where' operator: Failed to resolve table or column expression named 'EmailEvents'. Fix semantic errors in your query."
	saysCPU       = "You have exceeded processing resources allocated to this tenant. You can run queries again in "
	saysTryLater  = "An unexpected error occurred during query execution. Please try again in a few minutes."
	saysResources = "Query stopped due to excessive resource consumption."
)

func TestHuntErrors(t *testing.T) {
	oversize := func(message string) error { return &OversizeError{Reason: message} }
	late := func(message string) error { return &OversizeError{Reason: message, Timeout: true} }
	query := func(message, unresolved string) error { return &QueryError{message, unresolved} }
	status := func(code int, text, message string) error { return &StatusError{code, text, message, "r1"} }
	bad := func(message string) func() *http.Response { return says(400, graphError("BadRequest", message)) }
	for name, tc := range map[string]struct {
		answer func() *http.Response
		sends  int
		want   error
	}{
		"no such table":    {bad(saysNoTable), 1, query(saysNoTable, "EmailEvents")},
		"no such column":   {bad("Failed to resolve scalar expression named 'X'."), 1, query("Failed to resolve scalar expression named 'X'.", "X")},
		"named like words": {bad("Failed to resolve scalar expression named 'preempted'"), 1, query("Failed to resolve scalar expression named 'preempted'", "preempted")},
		"syntax":           {bad("A recognition error occurred."), 1, query("A recognition error occurred.", "")},
		"older, no table":  {says(400, `{"error":{"code":"BadRequest","message":"`+saysNoTable+`","target":"t"}}`), 1, query(saysNoTable, "EmailEvents")},
		"no code":          {says(400, graphError("", "Syntax error")), 1, query("Syntax error", "")},

		"size":            {bad(saysSize), 1, oversize(saysSize)},
		"size, number":    {bad(strings.Replace(saysSize, "amount", "number", 1)), 1, oversize(strings.Replace(saysSize, "amount", "number", 1))},
		"size, older":     {says(400, `{"error":{"code":"BadRequest","message":"`+saysSize+`","target":"t"}}`), 1, oversize(saysSize)},
		"size, as a 500":  {says(500, graphError("UnknownError", saysSize)), 1, oversize(saysSize)},
		"limits":          {bad("Query exceeded the allowed limits."), 1, oversize("Query exceeded the allowed limits.")},
		"preempted":       {bad("The query was Preempted."), 1, oversize("The query was Preempted.")},
		"resources":       {bad(saysResources), 1, oversize(saysResources)},
		"body":            {says(200, `{"schema":[],"results":[{"A":"`+strings.Repeat("x", 2000)), 1, oversize("answer is larger than 1000 bytes")},
		"size, a success": {says(200, graphError("BadRequest", saysSize)), 1, oversize(saysSize)},

		"time":       {bad("Query exceeded the timeout period."), 1, late("Query exceeded the timeout period.")},
		"408":        {says(408, graphError("", "")), 1, late("service answered 408 (request-id r1)")},
		"504":        {says(504, graphError("GatewayTimeout", "m")), 1, late("service answered 504 GatewayTimeout: m (request-id r1)")},
		"504 a page": {says(504, "<html>", "Content-Type", "text/html"), 1, late("service answered 504: text/html where JSON should be: a proxy in between may have answered")},

		"500":              {says(500, graphError("UnknownError", "")), maxSends, status(500, "UnknownError", "")},
		"502":              {says(502, graphError("BadGateway", "m")), maxSends, status(502, "BadGateway", "m")},
		"later":            {bad(saysTryLater), maxSends, status(400, "BadRequest", saysTryLater)},
		"later, as a 500":  {says(500, graphError("UnknownError", saysTryLater)), maxSends, status(500, "UnknownError", saysTryLater)},
		"request body":     {says(400, graphError("InvalidRequestBody", "Invalid request body")), 1, status(400, "InvalidRequestBody", "Invalid request body")},
		"parameter":        {says(400, graphError("MissingRequiredParameter", "Parameter Query is missing")), 1, status(400, "MissingRequiredParameter", "Parameter Query is missing")},
		"silent 400":       {says(400, graphError("BadRequest", "")), 1, status(400, "BadRequest", "")},
		"a proxy's 400":    {says(400, "no", "request-id", "r1"), 1, status(400, "", "no")},
		"too long a query": {says(413, graphError("", "Request Entity Too Large")), 1, status(413, "", "Request Entity Too Large")},
		"404":              {says(404, graphError("ResourceNotFound", "m")), 1, status(404, "ResourceNotFound", "m")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := huntFake(script(tc.answer))
				_, err := hunt(t.Context(), newTestClient(t, fake, func(c *Config) { c.HuntMaxBody = 1000 }))
				if err == nil || fake.sent() != tc.sends {
					t.Fatalf("%v after %d sends, want %d", err, fake.sent(), tc.sends)
				}
				if diff := cmp.Diff(tc.want, errors.Unwrap(err)); diff != "" || err.Error() != "run hunting query: "+tc.want.Error() {
					t.Errorf("err = %v (-want +got):\n%s", err, diff)
				}
			})
		})
	}
}

func TestHuntErrorsAreSentences(t *testing.T) {
	for want, err := range map[string]error{
		"too much for one answer: " + saysSize:  &OversizeError{Reason: saysSize},
		"query rejected: " + saysNoTable:        &QueryError{Message: saysNoTable, Unresolved: "EmailEvents"},
		"too much for one answer: no more time": &OversizeError{Reason: "no more time", Timeout: true},
	} {
		if err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
	}
}

// Attempts bounds what the service's failures may cost.
func TestHuntAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := huntFake(script(says(500, "")))
		req := testHunt()
		req.Attempts = 2
		_, err := newTestClient(t, fake, nil).Hunt(t.Context(), req, new(keeper))
		if !isA[*StatusError](err) || fake.sent() != 2 {
			t.Errorf("%v after %d sends, want 2", err, fake.sent())
		}
	})
}

// What a service says of a query may repeat the token. It is not passed on.
func TestHuntErrorsHoldNoToken(t *testing.T) {
	for _, answer := range []func() *http.Response{
		says(400, graphError("BadRequest", "bad "+testToken(1))),
		says(400, graphError("BadRequest", saysSize+testToken(1))),
		says(200, graphError("BadRequest", saysSize+testToken(1))),
		says(504, graphError("BadRequest", testToken(1))),
	} {
		_, err := hunt(t.Context(), newTestClient(t, huntFake(script(answer)), nil))
		if err == nil || strings.Contains(err.Error(), testToken(1)) {
			t.Errorf("err = %v", err)
		}
	}
}

// A 429 that speaks of processing resources is over with the quarter of an
// hour, by the server's clock, unless it says itself when.
func TestCPUIsWaitedFor(t *testing.T) {
	const over = cpuJitter + DefaultBackoff
	for name, tc := range map[string]struct {
		status  int
		message string
		headers []string
		want    time.Duration
	}{
		"our clock":      {429, saysCPU + "a while.", nil, 4 * time.Minute},
		"server's clock": {429, saysCPU + "a while.", []string{"Date", "Sun, 22 Nov 2026 10:28:00 GMT"}, 2 * time.Minute},
		"minutes":        {429, saysCPU + "3 minutes.", nil, 3 * time.Minute},
		"clock":          {429, saysCPU + "00:01:30.", nil, 90 * time.Second},
		"header":         {429, saysCPU + "3 minutes.", []string{"Retry-After", "20"}, 20 * time.Second},
		"as a 400":       {400, saysCPU + "3 minutes.", nil, 3 * time.Minute},
		"no CPU":         {429, "API calls quota exceeded! maximum allowed 45 per 00:01:00", nil, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(11 * time.Minute) // a bubble's clock begins at midnight
				fake := huntFake(script(says(tc.status, graphError("TooManyRequests", tc.message), tc.headers...), says(200, emptyHunt)))
				start := time.Now()
				if _, err := hunt(t.Context(), newTestClient(t, fake, nil)); err != nil || fake.sent() != 2 {
					t.Fatalf("%v after %d sends", err, fake.sent())
				}
				if took := time.Since(start); took < tc.want || took > tc.want+over {
					t.Errorf("waited %s, want %s and a little", took, tc.want)
				}
			})
		})
	}
}

// A quarter of an hour that is too long to sit out is told at once, to the
// caller and to whoever remembers it, and holds for every later call.
func TestLongCPUWaitIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(7 * time.Minute)
		start := time.Now()
		end := start.Add(8 * time.Minute)
		var told []time.Time
		fake := huntFake(script(says(429, graphError("TooManyRequests", saysCPU+"a while.")), says(200, emptyHunt)))
		c := newTestClient(t, fake, func(c *Config) { c.OnBlock = func(_ context.Context, until time.Time) { told = append(told, until) } })
		for range 2 {
			_, err := hunt(t.Context(), c)
			e, ok := errors.AsType[*ThrottledError](err)
			if !ok || !e.CPU || e.RetryAfter < 8*time.Minute || e.RetryAfter > 8*time.Minute+cpuJitter+DefaultBackoff {
				t.Fatalf("err = %v, want a *ThrottledError of 8 minutes for the CPU", err)
			}
		}
		if time.Since(start) != 0 || fake.sent() != 1 || len(told) != 1 || told[0].Before(end) || told[0].After(end.Add(cpuJitter)) {
			t.Errorf("waited %s, %d sends, told %v; want %s", time.Since(start), fake.sent(), told, end)
		}
		time.Sleep(8*time.Minute + cpuJitter + DefaultBackoff)
		if _, err := hunt(t.Context(), c); err != nil {
			t.Errorf("in the next cycle: %v", err)
		}
	})
}

func TestOtherThrottlingIsNotTheCPUs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := huntFake(script(says(429, graphError("TooManyRequests", "Too many requests."))))
		_, err := hunt(t.Context(), newTestClient(t, fake, nil))
		if e, ok := errors.AsType[*ThrottledError](err); !ok || e.CPU || fake.sent() != maxSends {
			t.Errorf("%v after %d sends", err, fake.sent())
		}
	})
}

func TestQuarterWait(t *testing.T) {
	for at, want := range map[string]time.Duration{
		"10:00:00": 15 * time.Minute, "10:00:01": 15*time.Minute - time.Second, "10:14:59": time.Second, "10:45:00": 15 * time.Minute, "23:59:30": 30 * time.Second,
	} {
		now, err := time.Parse("2006-01-02 15:04:05", "2026-11-22 "+at)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if got := quarterWait(http.Header{}, now); got < want || got > want+cpuJitter {
				t.Errorf("at %s: %s, want %s and a little", at, got, want)
			}
		}
	}
}
