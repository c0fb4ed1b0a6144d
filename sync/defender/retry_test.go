package defender

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

const emptyPage = `{"value":[]}`

func TestRetriesUntilItWorks(t *testing.T) {
	for name, bad := range map[string]func(*http.Request) (*http.Response, error){
		"408":         script(says(408, "")),
		"429":         script(says(429, "")),
		"500":         script(says(500, "")),
		"503":         script(says(503, "")),
		"504":         script(says(504, "<html>")),
		"connection":  func(*http.Request) (*http.Response, error) { return nil, errors.New("connection reset") },
		"body cut":    script(says(200, `{"value":[{"id":`)),
		"gzip cut":    script(says(200, gzipped(`{"value":[]}`)[:20], "Content-Encoding", "gzip")),
		"not JSON":    script(says(200, "<html>")),
		"empty":       script(says(200, "")),
		"body broken": func(*http.Request) (*http.Response, error) { return brokenBody(`{"value":[`), nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := new(wireFake)
				fake.answer = func(req *http.Request) (*http.Response, error) {
					if fake.sent() < maxSends {
						return bad(req)
					}
					return reply(200, emptyPage), nil
				}
				start := time.Now()
				if _, err := incidents(t.Context(), newTestClient(t, fake, nil)); err != nil {
					t.Fatal(err)
				}
				// 500 ms, 1 s and 2 s, each between its half and its whole; a gate adds up to 500 ms each
				if took := time.Since(start); took < 1750*time.Millisecond || took > 5*time.Second {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

func brokenBody(start string) *http.Response {
	r := reply(200, "")
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(start), iotest.ErrReader(errors.New("connection reset"))))
	return r
}

func TestRetriesAreBounded(t *testing.T) {
	for name, tc := range map[string]struct {
		answer   func(*http.Request) (*http.Response, error)
		attempts int
		sends    int
		check    func(error) bool
	}{
		"500":               {script(says(500, `{"error":{"code":"UnknownError"}}`)), 0, maxSends, isA[*StatusError]},
		"500, fewer":        {script(says(500, "")), 2, 2, isA[*StatusError]},
		"429, fewer":        {script(says(429, "")), 1, maxSends, isA[*ThrottledError]},
		"401 then 500":      {script(says(401, ""), says(500, "")), 1, 2, isA[*StatusError]},
		"429":               {script(says(429, "")), 0, maxSends, isA[*ThrottledError]},
		"not JSON":          {script(says(200, "<html>")), 0, maxSends, isA[*DecodeError]},
		"no value":          {script(says(200, "{}")), 0, maxSends, isA[*DecodeError]},
		"400":               {script(says(400, "")), 0, 1, isA[*StatusError]},
		"403":               {script(says(403, "")), 0, 1, isA[*PermissionError]},
		"404":               {script(says(404, "")), 0, 1, isA[*StatusError]},
		"too large":         {script(says(200, `{"value":[`+strings.Repeat(" ", 2000)+`]}`)), 0, 1, isA[*TooLargeError]},
		"too large, gzip":   {script(says(200, gzipped(`{"value":[`+strings.Repeat(" ", 1<<20)+`]}`), "Content-Encoding", "gzip")), 0, 1, isA[*TooLargeError]},
		"unknown encoding":  {script(says(200, emptyPage, "Content-Encoding", "br")), 0, maxSends, isA[*DecodeError]},
		"connection":        {func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }, 0, maxSends, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		"wait far too long": {script(says(429, "", "Retry-After", "301")), 0, 1, isA[*ThrottledError]},
		"503, far too long": {script(says(503, "", "Retry-After", "301")), 0, 1, isA[*ThrottledError]},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := &wireFake{answer: tc.answer}
				c := newTestClient(t, fake, func(c *Config) { c.MaxBody = 1000 })
				req := testWindow()
				req.Attempts = tc.attempts
				_, err := c.Incidents(t.Context(), req)
				if !tc.check(err) || !strings.Contains(err.Error(), "list incidents: ") {
					t.Errorf("err = %v (%T)", err, errors.Unwrap(err))
				}
				if fake.sent() != tc.sends {
					t.Errorf("%d sends, want %d", fake.sent(), tc.sends)
				}
			})
		})
	}
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func Test429WithoutAWaitHoldsEverybodyBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &wireFake{answer: script(says(429, ""))}
		c := newTestClient(t, fake, func(c *Config) { c.Backoff = time.Minute })
		start := time.Now()
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				var m Meter
				_, err := incidents(ContextWithMeter(t.Context(), &m), c)
				if te, ok := errors.AsType[*ThrottledError](err); !ok || te.RetryAfter < maxBackoff/2 {
					t.Errorf("err = %v, want a *ThrottledError that says when", err)
				}
				if got := time.Duration(m.Throttled.Load()); got != time.Since(start) {
					t.Errorf("metered %s of %s", got, time.Since(start))
				}
			})
			synctest.Wait()
		}
		time.Sleep(maxBackoff/2 - 1)
		if fake.sent() != 1 {
			t.Errorf("%d sends while the gate was closed, want 1", fake.sent())
		}
		wg.Wait()
	})
}

func TestGateIsNotOpenedByAShorterWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestClient(t, new(wireFake), nil)
		start := time.Now()
		c.limiter.closeFor(time.Minute, "long")
		c.limiter.closeFor(time.Second, "short")
		if _, err := incidents(t.Context(), c); err != nil || time.Since(start) != time.Minute {
			t.Errorf("sent after %s, %v; want 1m0s", time.Since(start), err)
		}
	})
}

func TestRetryAfterIsObeyed(t *testing.T) {
	for name, tc := range map[string]struct {
		refusal func() *http.Response
		want    time.Duration
	}{
		"seconds":      {says(429, "", "Retry-After", "17"), 17 * time.Second},
		"on 503":       {says(503, "", "Retry-After", "17"), 17 * time.Second},
		"date":         {says(429, "", "Retry-After", "Sun, 22 Nov 2026 10:00:40 GMT", "Date", "Sun, 22 Nov 2026 10:00:00 GMT"), 40 * time.Second},
		"date, no now": {says(429, "", "Retry-After", "Sat, 01 Jan 2000 00:00:30 GMT"), 30 * time.Second},
		"older body":   {says(429, `{"error":{"code":"429","message":"API calls quota exceeded! Maximum allowed 30 per 00:01:00 for the key X. You can send requests again in 8 seconds."}}`), 8 * time.Second},
		"older window": {says(429, `{"error":{"code":"429","message":"API calls quota exceeded! maximum allowed 45 per 00:01:00"}}`), time.Minute},
		"header first": {says(429, `{"error":{"message":"again in 8 seconds"}}`, "Retry-After", "20"), 20 * time.Second},
		"at the bound": {says(429, "", "Retry-After", "300"), 300 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := &wireFake{answer: script(tc.refusal, says(200, emptyPage))}
				var m Meter
				start := time.Now()
				if _, err := incidents(ContextWithMeter(t.Context(), &m), newTestClient(t, fake, nil)); err != nil {
					t.Fatal(err)
				}
				took := time.Since(start)
				if took < tc.want || took > tc.want+DefaultBackoff {
					t.Errorf("waited %s, want %s and a little", took, tc.want)
				}
				if got := time.Duration(m.Throttled.Load()); got != took || fake.sent() != 2 {
					t.Errorf("metered %s of %s, %d sends", got, took, fake.sent())
				}
			})
		})
	}
}

func TestRetryAfterHoldsEverybodyBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		fake := new(wireFake)
		fake.answer = func(*http.Request) (*http.Response, error) {
			if fake.sent() == 1 {
				return reply(429, "", "Retry-After", "60"), nil
			}
			if early := time.Until(start.Add(time.Minute)); early > 0 {
				t.Errorf("a call %s before the Retry-After was over", early)
			}
			return reply(200, emptyPage), nil
		}
		c := newTestClient(t, fake, nil)
		var wg sync.WaitGroup
		for i := range 5 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Second)
				if _, err := incidents(t.Context(), c); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if fake.sent() != 6 {
			t.Errorf("%d sends, want 6", fake.sent())
		}
	})
}

func TestTooLongRetryAfterAlsoRefusesLaterCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &wireFake{answer: script(says(429, `{"error":{"message":"maximum allowed 1500 per 01:00:00"}}`), says(200, emptyPage))}
		c := newTestClient(t, fake, nil)
		start := time.Now()
		for range 2 {
			_, err := incidents(t.Context(), c)
			te, ok := errors.AsType[*ThrottledError](err)
			if !ok || te.RetryAfter < time.Hour || te.Message != "maximum allowed 1500 per 01:00:00" {
				t.Fatalf("err = %v, want a *ThrottledError of an hour", err)
			}
		}
		if time.Since(start) != 0 || fake.sent() != 1 {
			t.Errorf("waited %s, %d sends; want no wait and 1 send", time.Since(start), fake.sent())
		}
		time.Sleep(time.Hour + time.Second)
		if _, err := incidents(t.Context(), c); err != nil {
			t.Errorf("after the hour: %v", err)
		}
	})
}

// What the service asks for is told to whoever remembers it, also when the call
// has been given up, and what was remembered closes the gate of another client.
func TestWaitsAreToldAndTakenUp(t *testing.T) {
	for name, tc := range map[string]struct {
		refusal func() *http.Response
		want    time.Duration // 0: nothing to remember
	}{
		"429":        {says(429, "", "Retry-After", "3600"), time.Hour},
		"503":        {says(503, "", "Retry-After", "3600"), time.Hour},
		"older body": {says(429, `{"error":{"message":"maximum allowed 1500 per 01:00:00"}}`), time.Hour},
		"a second":   {says(429, "", "Retry-After", "1"), 0},
		"no wait":    {says(429, ""), 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told []time.Time
				ctx, giveUp := context.WithCancel(t.Context())
				fake := &wireFake{answer: func(*http.Request) (*http.Response, error) { giveUp(); return tc.refusal(), nil }}
				c := newTestClient(t, fake, func(c *Config) {
					c.OnBlock = func(ctx context.Context, until time.Time) {
						if ctx.Err() != nil {
							t.Error("told under a context that is done")
						}
						told = append(told, until)
					}
				})
				if _, err := incidents(ctx, c); !errors.Is(err, context.Canceled) {
					t.Errorf("err = %v, want canceled", err)
				}
				if tc.want == 0 {
					if len(told) != 0 {
						t.Errorf("told %v, want nothing", told)
					}
					return
				}
				if len(told) != 1 || !told[0].Equal(time.Now().Add(tc.want)) {
					t.Fatalf("told %v, want %s from now", told, tc.want)
				}
				later := new(wireFake)
				other := newTestClient(t, later, nil)
				other.CloseUntil(told[0], "remembered")
				other.CloseUntil(time.Now(), "shorter")
				_, err := incidents(t.Context(), other)
				if te, ok := errors.AsType[*ThrottledError](err); !ok || te.RetryAfter != tc.want || te.Message != "remembered" {
					t.Errorf("err = %v, want a *ThrottledError of %s", err, tc.want)
				}
				time.Sleep(tc.want)
				if _, err := incidents(t.Context(), other); err != nil || later.sent() != 1 {
					t.Errorf("when it is over: %v, %d calls", err, later.sent())
				}
			})
		})
	}
}

func TestAWaitFarAheadIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestClient(t, new(wireFake), nil)
		c.CloseUntil(time.Now().AddDate(10, 0, 0), "another clock")
		_, err := incidents(t.Context(), c)
		if te, ok := errors.AsType[*ThrottledError](err); !ok || te.RetryAfter != maxRetryAfter {
			t.Errorf("err = %v, want a wait of %s", err, maxRetryAfter)
		}
	})
}

func TestCancelEndsEveryWait(t *testing.T) {
	for name, answer := range map[string]func(*http.Request) (*http.Response, error){
		"backoff":     script(says(500, "")),
		"retry-after": script(says(429, "", "Retry-After", "100")),
		"the answer": func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		},
		"the body": func(req *http.Request) (*http.Response, error) { return stalledBody(req.Context()), nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newTestClient(t, &wireFake{answer: answer}, func(c *Config) { c.Backoff = time.Minute })
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(10*time.Second, cancel)
				start := time.Now()
				req := testWindow()
				if name == "the body" { // also when no retry is left to notice it
					req.Attempts = 1
				}
				if _, err := c.Incidents(ctx, req); !errors.Is(err, context.Canceled) {
					t.Errorf("err = %v, want canceled", err)
				}
				if time.Since(start) != 10*time.Second {
					t.Errorf("ended after %s, want 10s", time.Since(start))
				}
			})
		})
	}
}

// stalledBody is an answer whose body ends only with the request's context.
func stalledBody(ctx context.Context) *http.Response {
	pr, pw := io.Pipe()
	context.AfterFunc(ctx, func() { pw.CloseWithError(ctx.Err()) })
	r := reply(200, "")
	r.Body = pr
	return r
}

func TestTimeoutIsNotTheCallersDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &wireFake{answer: func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		}}
		_, err := incidents(t.Context(), newTestClient(t, fake, nil))
		if !isA[*TimeoutError](err) || errors.Is(err, context.DeadlineExceeded) || fake.sent() != maxSends {
			t.Errorf("%d sends, err = %v; want %d and no context error", fake.sent(), err, maxSends)
		}
		if want := "list incidents: no answer within 2m0s"; err.Error() != want {
			t.Errorf("err = %q, want %q", err, want)
		}
	})
}

// Only the page's own time that ran out is a *TimeoutError: an answer that
// never ends is, a connection or a token that could not be had is not.
func TestTimeoutIsThePages(t *testing.T) {
	late := func(req *http.Request) (*http.Response, error) {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	for name, tc := range map[string]struct {
		answer func(*http.Request) (*http.Response, error)
		token  func(int, *http.Request) (*http.Response, error)
		want   bool
		says   string
	}{
		"body": {answer: func(req *http.Request) (*http.Response, error) { return stalledBody(req.Context()), nil }, want: true, says: "no answer within 2m0s"},
		"dial": {answer: func(*http.Request) (*http.Response, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
		}, says: "send: dial tcp: i/o timeout"},
		"token": {token: func(_ int, req *http.Request) (*http.Response, error) { return late(req) }, says: "request token: no answer within 30s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, err := incidents(t.Context(), newTestClient(t, &wireFake{answer: tc.answer, token: tc.token}, nil))
				if err == nil || isA[*TimeoutError](err) != tc.want || !strings.HasSuffix(err.Error(), tc.says) {
					t.Errorf("err = %v, want %q, timeout %v", err, tc.says, tc.want)
				}
			})
		})
	}
}

func TestErrorsAreSentences(t *testing.T) {
	html := func(status int) func() *http.Response {
		return says(status, "<!DOCTYPE html><p>Sign in", "Content-Type", "text/html; charset=utf-8")
	}
	for name, tc := range map[string]struct {
		answer func(*http.Request) (*http.Response, error)
		want   string
	}{
		"connection": {func(*http.Request) (*http.Response, error) { return nil, io.EOF }, "send: the connection was closed before an answer came (EOF)"},
		"429":        {script(says(429, "", "Retry-After", "400")), "throttled by the service: try again in 6m40s"},
		"page":       {script(html(200)), "answer could not be decoded: the service answered 200 with text/html where JSON should be: a proxy in between may have answered"},
		"error page": {script(html(502)), "service answered 502: text/html where JSON should be: a proxy in between may have answered"},
		"error": {script(says(200, `{"error":{"code":"UnknownError","message":"Backend `+testToken(1)+` is down"}}`)),
			"answer could not be decoded: the answer is a success and holds an error: UnknownError: Backend [redacted] is down"},
		"error text": {script(says(200, `{"error":"down"}`)), "answer could not be decoded: the answer is a success and holds an error: down"},
		"no error":   {script(says(200, `{"error":null}`)), "answer could not be decoded: the answer has no value"},
		"null":       {script(says(200, "null")), "answer could not be decoded: want an object, got null"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, err := incidents(t.Context(), newTestClient(t, &wireFake{answer: tc.answer}, nil))
				throttled := name == "429" && err != nil && strings.HasPrefix(err.Error(), "list incidents: "+tc.want) && !strings.HasSuffix(err.Error(), ": ")
				if err == nil || !throttled && err.Error() != "list incidents: "+tc.want {
					t.Errorf("err = %v\nwant list incidents: %s", err, tc.want)
				}
			})
		})
	}
}

// A wait that nobody asked for is not logged.
func TestLogOfARetry(t *testing.T) {
	for header, want := range map[string]bool{"": false, "5": true} {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			fake := &wireFake{answer: script(says(503, "", "Retry-After", header), says(200, emptyPage))}
			c := newTestClient(t, fake, func(c *Config) { c.Log = slog.New(slog.NewJSONHandler(&out, nil)) })
			if _, err := incidents(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(out.String(), "retry_after") != want || !strings.Contains(out.String(), "request failed") {
				t.Errorf("Retry-After %q is logged as %s", header, out.String())
			}
		})
	}
}

func TestBackoffDoublesUpToItsCap(t *testing.T) {
	for sends, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 6: maxBackoff, 20: maxBackoff} {
		for range 20 {
			if got := backoff(time.Second, sends); got < want/2 || got > want {
				t.Fatalf("backoff after %d sends = %s, want between half of %s and all of it", sends, got, want)
			}
		}
	}
}

func TestUnauthorizedRenewsTheTokenOnce(t *testing.T) {
	t.Run("cured", func(t *testing.T) {
		fake := &wireFake{answer: func(req *http.Request) (*http.Response, error) {
			if req.Header.Get("Authorization") == "Bearer "+testToken(1) {
				return reply(401, `{"error":{"code":"InvalidAuthenticationToken","message":"expired"}}`), nil
			}
			return reply(200, emptyPage), nil
		}}
		if _, err := incidents(t.Context(), newTestClient(t, fake, nil)); err != nil {
			t.Fatal(err)
		}
		if fake.sent() != 2 || fake.tokensSent() != 2 {
			t.Errorf("%d calls, %d tokens, want 2 and 2", fake.sent(), fake.tokensSent())
		}
	})
	t.Run("final", func(t *testing.T) {
		fake := &wireFake{answer: script(says(401, `{"error":{"code":"InvalidAuthenticationToken","message":"Invalid audience."}}`))}
		_, err := incidents(t.Context(), newTestClient(t, fake, nil))
		se, ok := errors.AsType[*StatusError](err)
		if !ok || se.Status != 401 || !strings.Contains(se.Message, "audience and the cloud") || !strings.Contains(se.Message, "Invalid audience.") {
			t.Errorf("err = %v, want a *StatusError 401 with advice", err)
		}
		if fake.sent() != 2 || fake.tokensSent() != 2 {
			t.Errorf("%d calls, %d tokens, want 2 and 2", fake.sent(), fake.tokensSent())
		}
	})
}
