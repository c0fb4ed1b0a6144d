package sync_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	defsync "defendersync/sync"
	"defendersync/sync/defender"
)

// weeksWire passes the requests of a tenant's workers to its service. It is the
// witness of what was sent and when: what the product's own limiter counts is
// one of the things that it judges.
type weeksWire struct {
	service http.RoundTripper
	tenant  string
	limits  map[string]defender.Limits // by family
	slow    atomic.Int64               // how long a piece of a body takes, as a time.Duration

	mu            sync.Mutex
	calls         map[string][]*weeksCall // by family, of the last hour
	waits         map[string][]weeksWait
	total, failed int
	wrongs        []string
}

// weeksCall is one request under way or over.
type weeksCall struct {
	worker int
	began  time.Time
	ended  time.Time // zero while it is under way
}

// weeksWait is a Retry-After that was served.
type weeksWait struct {
	worker      int  // that was told
	known       bool // and could tell the others
	told, until time.Time
	said        string
}

func newWeeksWire(service http.RoundTripper, tenant string, limits map[string]defender.Limits) *weeksWire {
	return &weeksWire{service: service, tenant: tenant, limits: limits, calls: map[string][]*weeksCall{}, waits: map[string][]weeksWait{}}
}

// weeksRoute is the wire as one worker has it.
type weeksRoute struct {
	*weeksWire
	worker int
	cutOff func() bool // from the database
}

func (w *weeksWire) of(worker int, cutOff func() bool) weeksRoute {
	return weeksRoute{w, worker, cutOff}
}

// RoundTrip implements http.RoundTripper.
func (r weeksRoute) RoundTrip(req *http.Request) (*http.Response, error) {
	family := familyOf(req)
	if family == "" { // the token endpoint has no quota
		return r.service.RoundTrip(req)
	}
	c := r.begin(family)
	resp, err := r.service.RoundTrip(req)
	r.end(family, c, resp)
	if err == nil {
		resp.Body = &weeksBody{resp.Body, req.Context(), time.Duration(r.slow.Load())}
	}
	return resp, err
}

// familyOf is whose limit a request counts for; a wait that it is answered with
// holds for the same.
func familyOf(req *http.Request) string {
	switch {
	case strings.HasSuffix(req.URL.Path, "/token"):
		return ""
	case req.Method == http.MethodPost:
		return defsync.HuntFamily
	}
	return defsync.QuotaFamily
}

// begin notes a request that is about to be sent, and what it breaks.
func (r weeksRoute) begin(family string) *weeksCall {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total++
	c := &weeksCall{worker: r.worker, began: time.Now()}
	calls := slices.DeleteFunc(r.calls[family], func(c *weeksCall) bool { return r.over(c, time.Hour) })
	r.calls[family] = append(calls, c)
	limits := r.limits[family]
	for _, w := range []struct {
		length time.Duration
		limit  int
	}{{time.Minute, limits.PerMinute}, {time.Hour, limits.PerHour}} {
		n := 0
		for _, c := range r.calls[family] {
			if !r.over(c, w.length) {
				n++
			}
		}
		if w.limit > 0 && n > w.limit {
			r.wrong("%d calls of %s in %s, more than %d", n, family, w.length, w.limit)
		}
	}
	for _, w := range r.waits[family] {
		// PostgreSQL keeps microseconds: a tenth of one is not a call too early.
		if c.began.After(w.told) && c.began.Before(w.until.Add(-time.Microsecond)) && (w.known || w.worker == r.worker) {
			r.wrong("a call of %s by worker %d, although worker %d was told at %s %q", family, r.worker, w.worker, w.told.Format(time.TimeOnly), w.said)
		}
	}
	return c
}

// over says whether a window of that length that ends now can no longer hold the
// call. The service may count it as late as with its answer; of another
// process's call nobody knows more than when it was sent.
func (r weeksRoute) over(c *weeksCall, length time.Duration) bool {
	end := c.ended
	if sent := c.began.Add(2 * time.Second); c.worker != r.worker && (end.IsZero() || end.After(sent)) {
		end = sent
	}
	return !end.IsZero() && !end.Add(length).After(time.Now())
}

// end notes the answer.
func (r weeksRoute) end(family string, c *weeksCall, resp *http.Response) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.ended = time.Now()
	if resp == nil || resp.StatusCode != http.StatusOK {
		r.failed++
	}
	if resp == nil {
		return
	}
	wait := waitAsked(resp)
	r.waits[family] = slices.DeleteFunc(r.waits[family], func(w weeksWait) bool { return w.until.Before(c.ended) })
	if wait > 0 {
		// A wait of up to a second is over before another process could call.
		known := wait > time.Second && !r.cutOff()
		r.waits[family] = append(r.waits[family], weeksWait{r.worker, known, c.ended, c.ended.Add(wait), resp.Header.Get("Retry-After")})
	}
}

// waitAsked is the wait that an answer asks for in its headers.
func waitAsked(resp *http.Response) time.Duration {
	if s := resp.StatusCode; s != 408 && s != 429 && s < 500 {
		return 0
	}
	said := resp.Header.Get("Retry-After")
	if secs, err := strconv.ParseFloat(said, 64); err == nil {
		return time.Duration(min(max(secs, 0), 86400) * float64(time.Second))
	}
	at, err := http.ParseTime(said)
	date, errDate := http.ParseTime(resp.Header.Get("Date"))
	if err != nil || errDate != nil {
		return 0
	}
	return min(at.Sub(date), 24*time.Hour)
}

func (w *weeksWire) wrong(format string, args ...any) {
	w.wrongs = append(w.wrongs, time.Now().UTC().Format(time.DateTime)+": "+fmt.Sprintf(format, args...))
}

// asked is how many requests were sent so far.
func (w *weeksWire) asked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.total
}

// take returns what went wrong since it was last asked.
func (w *weeksWire) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	wrongs := w.wrongs
	w.wrongs = nil
	return wrongs
}

// weeksBody is the body of an answer as a connection brings it: in pieces, and no
// longer than the request may take.
type weeksBody struct {
	io.ReadCloser
	ctx  context.Context
	slow time.Duration // each piece
}

func (b *weeksBody) Read(p []byte) (int, error) {
	timer := time.NewTimer(b.slow)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	}
	return b.ReadCloser.Read(p[:min(len(p), 8<<10)])
}
