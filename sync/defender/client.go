package defender

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client reads one tenant through one dialect. All calls of a client share
// its limits and its token; it is safe for concurrent use.
type Client struct {
	cfg     Config
	base    *url.URL
	tokens  *TokenSource
	limiter *limiter
}

// New makes a client. It checks cfg and sends nothing.
func New(cfg Config) (*Client, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if cfg.Dialect != Graph && cfg.Dialect != Older {
		return nil, fmt.Errorf("api %q: want %s or %s", cfg.Dialect, Graph, Older)
	}
	base, err := parseBase("API base", cfg.BaseURL)
	if err != nil {
		return nil, err
	}
	tokens := cfg.Tokens
	if tokens == nil {
		if tokens, err = NewTokenSource(cfg); err != nil {
			return nil, err
		}
	}
	return &Client{cfg: cfg, base: base, tokens: tokens, limiter: newLimiter(&cfg)}, nil
}

// Tokens returns the client's token source, to share with another client of
// the same tenant and audience.
func (c *Client) Tokens() *TokenSource { return c.tokens }

// Seed tells the client of calls that were recorded within the last hour, by
// earlier processes or other holders of the tenant. Those that the client
// made itself may be among them and count once; whole seconds will do.
func (c *Client) Seed(recorded []time.Time) { c.limiter.seed(recorded) }

// CloseUntil lets no call through before until, as after a Retry-After that an
// earlier process was told; message says why. A gate that is closed for longer
// stays so.
func (c *Client) CloseUntil(until time.Time, message string) {
	c.limiter.closeFor(min(until.Sub(c.cfg.Now()), maxRetryAfter), message)
}

// Incidents returns one page of incidents, on Graph ordered by their last
// update and with their alerts unless req says otherwise; the older API's come
// in no order and always with their alerts.
//
// Errors are *TokenError, *PermissionError, *ThrottledError, *TooLargeError,
// *DecodeError, *StatusError, *TimeoutError, *LinkError, the context's own, or a
// network error.
func (c *Client) Incidents(ctx context.Context, req Request) (*Page, error) {
	e := olderIncidents()
	if c.cfg.Dialect == Graph {
		e = graphIncidents()
	}
	u, err := e.page(c.base, req, c.cfg.Dialect)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.name, err)
	}
	return c.fetch(ctx, e, u, req.Attempts)
}

// Alerts returns one page of alerts ordered by their last update, Graph only.
// Errors are as for Incidents.
func (c *Client) Alerts(ctx context.Context, req Request) (*Page, error) {
	e := graphAlerts()
	if c.cfg.Dialect != Graph {
		return nil, fmt.Errorf("%s: the older API has no alerts of their own: use the incidents, or api: graph", e.name)
	}
	u, err := e.page(c.base, req, c.cfg.Dialect)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.name, err)
	}
	return c.fetch(ctx, e, u, req.Attempts)
}

// IncidentAlerts returns one page of the alerts of one incident, Graph only.
// A next link from such a page is followed verbatim, and id is then not sent.
// Errors are as for Incidents.
func (c *Client) IncidentAlerts(ctx context.Context, id, next string) (*Page, error) {
	e := graphIncidentAlerts(id)
	if c.cfg.Dialect != Graph {
		return nil, fmt.Errorf("%s: the older API serves them with the incident", e.name)
	}
	if strings.Trim(id, ".") == "" && next == "" { // as a path, "" and ".." would be another call
		return nil, fmt.Errorf("%s: no incident has the id %q", e.name, id)
	}
	u := c.base.JoinPath(e.path)
	if next != "" {
		var err error
		if u, err = follow(c.base, next); err != nil {
			return nil, fmt.Errorf("%s: %w", e.name, err)
		}
	}
	return c.fetch(ctx, e, u, 0)
}

// Roles returns the application roles that the current token lists. They are
// read without checking the signature and serve messages only; an opaque token is
// an error, a token without roles has none.
func (c *Client) Roles(ctx context.Context) ([]string, error) {
	tok, err := c.tokens.get(ctx, nil)
	if err != nil {
		return nil, err
	}
	return tok.roles()
}

// call is one request, which may have to be sent more than once.
type call struct {
	endpoint
	url      *url.URL
	body     []byte // JSON to POST; nil: a GET
	attempts int    // as retry takes it
	timeout  time.Duration
	read     func(*http.Response) error // takes in a success
	judge    func(*failure)             // says what a failure means to calls of this kind; may be nil
}

// fetch gets one page.
func (c *Client) fetch(ctx context.Context, e endpoint, u *url.URL, attempts int) (*Page, error) {
	var page *Page
	cl := call{endpoint: e, url: u, attempts: attempts, timeout: c.cfg.Timeout}
	cl.read = func(resp *http.Response) (err error) {
		page, err = readPage(resp, c.cfg.MaxBody)
		return err
	}
	if err := c.do(ctx, cl); err != nil {
		return nil, err
	}
	return page, nil
}

// do makes a call. Its error is wrapped with the call's name, once.
func (c *Client) do(ctx context.Context, cl call) error {
	var refused *token // by a 401; a second one is final
	var used *token
	_, err := retry(ctx, c.limiter, cl.name, cl.attempts, func() (answer, *failure) {
		a, f := c.send(ctx, cl)
		used = a.token
		if f != nil && a.status == http.StatusUnauthorized && refused == nil {
			refused = a.token
			return a, c.renew(ctx, refused)
		}
		if f != nil && cl.judge != nil {
			cl.judge(f)
		}
		return a, f
	})
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*PermissionError](err); ok { // it names the call itself
		c.tokens.doubt(ctx, used)
		return err
	}
	return fmt.Errorf("%s: %w", cl.name, err)
}

// renew replaces a token that a 401 refused and asks for another send.
func (c *Client) renew(ctx context.Context, refused *token) *failure {
	if _, err := c.tokens.get(ctx, refused); err != nil {
		return &failure{err: err}
	}
	return &failure{err: errors.New("token refused, replaced by a new one"), again: true, cured: true}
}

// answer is what came of one send: the status and the token that earned it.
type answer struct {
	status int // 0 when there was no answer
	token  *token
}

// send makes one request: a place in the limits, a token, the call on record,
// the wire.
func (c *Client) send(ctx context.Context, cl call) (answer, *failure) {
	place, tok, err := c.turn(ctx)
	if err != nil {
		return answer{}, &failure{err: err}
	}
	defer c.limiter.leave()
	a := answer{token: tok}
	ctx, cancel := context.WithTimeout(ctx, cl.timeout)
	defer cancel()
	meterFrom(ctx).Calls.Add(1)
	wire, done := once(ctx)
	defer done()
	resp, err := c.cfg.Transport.RoundTrip(c.httpRequest(wire, cl, a.token))
	c.limiter.answered(place)
	if err != nil && errors.Is(context.Cause(wire), errSent) {
		return a, &failure{err: fmt.Errorf("send: %w", errSent), again: true, cured: true}
	}
	if err != nil {
		return a, timed(ctx, &failure{err: fmt.Errorf("send: %w", netError(err)), again: true}, cl.timeout)
	}
	defer resp.Body.Close()
	a.status = resp.StatusCode
	if a.status < 200 || a.status > 299 {
		return a, c.refused(resp, cl.endpoint, a.token)
	}
	if err := cl.read(resp); err != nil {
		return a, timed(ctx, unreadable(err, a.token), cl.timeout)
	}
	return a, nil
}

// turn waits until a call may be sent, and prepares it. A token and the record
// may take long to get, and meanwhile the service may have asked for silence:
// then the place is given back, and the record is of a call too many.
func (c *Client) turn(ctx context.Context) (*slot, *token, error) {
	for {
		place, err := c.limiter.admit(ctx)
		if err != nil {
			return nil, nil, err
		}
		tok, err := c.prepare(ctx, place)
		if err == nil && c.limiter.open() {
			return place, tok, nil
		}
		c.limiter.cancel(place)
		c.limiter.leave()
		if err != nil {
			return nil, nil, err
		}
	}
}

// timed makes a failure that is the end of the time for one send a
// *TimeoutError. Time that ran out elsewhere, as on a connection that could not
// be made, is another thing: it says nothing about the page. Neither does it
// explain a failure that another send would not cure.
func timed(ctx context.Context, f *failure, timeout time.Duration) *failure {
	if f.again && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		f.err = &TimeoutError{After: timeout}
	}
	return f
}

// unreadable is the failure of a success whose body could not be read. What
// it repeats of the body must not hold the token.
func unreadable(err error, tok *token) *failure {
	if _, ok := errors.AsType[*sinkError](err); ok { // not of the body
		return &failure{err: err}
	}
	if d, ok := errors.AsType[*DecodeError](err); ok {
		d.Reason = redact(d.Reason, tok.value)
	}
	if o, ok := errors.AsType[*OversizeError](err); ok {
		o.Reason = redact(o.Reason, tok.value)
	}
	_, tooLarge := errors.AsType[*TooLargeError](err)
	return &failure{err: err, again: !tooLarge}
}

// prepare gets the token and puts the call on record, in this order: a call
// that is on record must be about to be sent.
func (c *Client) prepare(ctx context.Context, place *slot) (*token, error) {
	tok, err := c.tokens.get(ctx, nil)
	if err != nil || c.cfg.OnCall == nil {
		return tok, err
	}
	at := c.cfg.Now()
	if err := c.cfg.OnCall(ctx, at); err != nil {
		return nil, fmt.Errorf("record the call: %w", err)
	}
	c.limiter.record(place, at)
	return tok, nil
}

// httpRequest builds the request. It goes to the transport directly, not
// through an http.Client, which would follow redirects with the token and uncounted.
func (c *Client) httpRequest(ctx context.Context, cl call, tok *token) *http.Request {
	req := &http.Request{Method: http.MethodGet, URL: cl.url, Host: cl.url.Host, Header: http.Header{
		"Authorization":   {"Bearer " + tok.value},
		"Accept":          {"application/json"},
		"Accept-Encoding": {"gzip"},
	}}
	if cl.body != nil {
		req.Method, req.ContentLength = http.MethodPost, int64(len(cl.body))
		req.Header.Set("Content-Type", "application/json; charset=utf-8")
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(cl.body)), nil }
		req.Body, _ = req.GetBody()
	}
	if c.cfg.Dialect == Graph {
		req.Header.Set("Prefer", "include-unknown-enum-members")
	}
	if c.cfg.UserAgent != "" {
		req.Header.Set("User-Agent", c.cfg.UserAgent)
	}
	return req.WithContext(ctx)
}

// refused turns an answer that is no success into the error that tells the
// caller, or the retries, what to do.
func (c *Client) refused(resp *http.Response, e endpoint, tok *token) *failure {
	r, status := readRefusal(resp), resp.StatusCode
	r.message, r.code = redact(r.message, tok.value), redact(r.code, tok.value)
	switch {
	case status >= 300 && status < 400:
		r.message = redirectMessage(resp.Header)
	case status == http.StatusUnauthorized:
		r.message = "a new token was refused too: check that the audience and the cloud are this API's: " + r.message
	case status == http.StatusForbidden && r.aboutRoles():
		return &failure{err: r.permission(e, tok)}
	case status == http.StatusTooManyRequests || aboutCPU(r.message): // whose status nobody has documented
		e := r.throttled(resp.Header, c.cfg.Now())
		return &failure{err: e, again: true, throttled: true, after: e.RetryAfter}
	case retryable(status):
		return &failure{err: r.statusError(status), said: r, again: true, after: retryAfter(resp.Header, c.cfg.Now())}
	}
	return &failure{err: r.statusError(status), said: r}
}
