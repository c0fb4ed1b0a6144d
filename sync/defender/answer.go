package defender

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// maxRetryAfter bounds what is believed of a service's wait.
const maxRetryAfter = 24 * time.Hour

var (
	// "Missing application roles. API required roles: A,B, application roles: C."
	missingRoles = regexp.MustCompile(`API required roles:\s*(.*?),?\s*application roles:\s*(.*)$`)
	// "You can send requests again in 8 seconds."
	againIn = regexp.MustCompile(`again in (\d{1,6}) (second|minute|hour)`)
	// "You can run queries again in 00:08:00."
	againInClock = regexp.MustCompile(`again in (\d{1,3}):(\d{2}):(\d{2})`)
	// "maximum allowed 45 per 00:01:00"
	perWindow = regexp.MustCompile(`per (\d{1,3}):(\d{2}):(\d{2})`)
)

// refusal is what an answer that is no success says.
type refusal struct {
	code, message, requestID string
	foreign                  bool // it is no JSON, and so hardly the service's own
}

// readRefusal reads an error answer through a small limit. Both dialects wrap
// the error in "error"; the older one's proxies and gateways do as they like.
func readRefusal(resp *http.Response) refusal {
	var raw []byte
	if body, err := plainBody(resp); err == nil {
		raw, _ = io.ReadAll(newJSONFilter(io.LimitReader(body, maxErrorBody))) // what came is enough for a message
	}
	r := refusal{requestID: bounded(resp.Header.Get("request-id"))}
	o, err := ParseObject(jsontext.Value(raw))
	if err != nil {
		r.message, r.foreign = bounded(strings.ToValidUTF8(string(raw), "\uFFFD")), true
		if strings.HasPrefix(r.message, "<") { // a page for people
			r.message = foreign(resp.Header)
		}
		return r
	}
	if inner, ok, _ := o.Object("error"); ok {
		o = inner
	} else if text, ok, _ := o.Text("error"); ok {
		r.code = bounded(text)
	}
	r.read(o)
	return r
}

func (r *refusal) read(o Object) {
	if code, ok, _ := o.Text("code"); ok {
		r.code = bounded(code)
	}
	message, _, _ := o.Text("message")
	r.message = bounded(message)
	for _, name := range []string{"innerError", "innererror"} {
		inner, _, _ := o.Object(name)
		if id, ok, _ := inner.Text("request-id"); ok && r.requestID == "" {
			r.requestID = bounded(id)
		}
	}
	if id, ok, _ := o.Text("target"); ok && r.requestID == "" { // the older API's tracking id
		r.requestID = bounded(id)
	}
}

func (r *refusal) String() string {
	if r.code == "" || r.message == "" {
		return r.code + r.message
	}
	return r.code + ": " + r.message
}

func (r refusal) statusError(status int) *StatusError {
	return &StatusError{Status: status, Code: r.code, Message: r.message, RequestID: r.requestID}
}

// throttled makes the error of a 429. The wait is the header's, else the
// text's, else, when it is the tenant's processing resources that are used up,
// the time until they are given anew; 0 when nothing says how long.
func (r refusal) throttled(h http.Header, now time.Time) *ThrottledError {
	e := &ThrottledError{RetryAfter: retryAfter(h, now), Message: r.message, CPU: aboutCPU(r.message)}
	if e.RetryAfter == 0 {
		e.RetryAfter = messageWait(r.message)
	}
	if e.RetryAfter == 0 && e.CPU {
		e.RetryAfter = quarterWait(h, now)
	}
	return e
}

// retryable reports whether the status alone makes another try worth it.
func retryable(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500
}

// retryAfter is the wait a Retry-After header asks for, in seconds or as a
// date; 0 when it asks for none. A date is compared with the server's own
// clock where the answer shows it.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if secs, err := strconv.ParseFloat(v, 64); err == nil {
		if !(secs > 0) { // NaN too
			return 0
		}
		return time.Duration(min(secs, maxRetryAfter.Seconds()) * float64(time.Second))
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	if server, err := http.ParseTime(h.Get("Date")); err == nil {
		now = server
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}

// messageWait is the wait that the text of a 429 asks for, as the older API
// puts it: a time until the quota is back, else the length of the exceeded
// window; 0 when it says neither.
func messageWait(message string) time.Duration {
	if m := againIn.FindStringSubmatch(message); m != nil {
		unit := map[string]time.Duration{"second": time.Second, "minute": time.Minute, "hour": time.Hour}[m[2]]
		return min(time.Duration(atoi(m[1]))*unit, maxRetryAfter)
	}
	for _, clock := range []*regexp.Regexp{againInClock, perWindow} {
		if m := clock.FindStringSubmatch(message); m != nil {
			window := time.Duration(atoi(m[1]))*time.Hour + time.Duration(atoi(m[2]))*time.Minute + time.Duration(atoi(m[3]))*time.Second
			return min(window, maxRetryAfter)
		}
	}
	return 0
}

// aboutCPU reports whether the text of a refusal speaks of the processing
// resources that a tenant's hunting shares, not of a number of calls.
func aboutCPU(message string) bool {
	return strings.Contains(strings.ToLower(message), "exceeded processing resources")
}

const (
	cpuCycle  = 15 * time.Minute // after which the service gives a tenant its processing resources anew
	cpuJitter = 10 * time.Second // so that not everybody who waited for it begins at once
)

// quarterWait is how long the cycle still goes, by the server's clock where the
// answer shows it, and a little more.
func quarterWait(h http.Header, now time.Time) time.Duration {
	if server, err := http.ParseTime(h.Get("Date")); err == nil {
		now = server
	}
	return now.Truncate(cpuCycle).Add(cpuCycle).Sub(now) + jitter(cpuJitter)
}

// atoi reads the few digits that a pattern has matched.
func atoi(digits string) int {
	n, _ := strconv.Atoi(digits)
	return n
}

// permission makes the error of a 403. Graph's message lists the roles that
// are needed and those that are present; the older API's does not, and then
// the documentation and the token say it.
func (r refusal) permission(call endpoint, tok *token) *PermissionError {
	e := &PermissionError{Call: call.name, Need: call.need}
	if m := missingRoles.FindStringSubmatch(r.message); m != nil {
		if need := splitRoles(m[1]); len(need) > 0 {
			e.Need = need
		}
		e.Have = splitRoles(m[2])
		return e
	}
	e.Have, _ = tok.roles() // an opaque token shows none
	return e
}

func splitRoles(list string) []string {
	return strings.FieldsFunc(strings.TrimSuffix(list, "."), func(r rune) bool { return r == ',' || r == ' ' })
}

// aboutRoles reports whether a 403 is about permissions; the older API uses
// it for switched-off features too, which no role would cure.
func (r refusal) aboutRoles() bool {
	return r.code != "DisabledFeature" && r.code != "DisallowedOperation"
}

// redirectMessage explains a redirect, which is never followed: the token
// would go where it points.
func redirectMessage(h http.Header) string {
	to, err := url.Parse(h.Get("Location"))
	if err != nil || to.Host == "" {
		return "a redirect is not followed"
	}
	return "a redirect to " + bounded(to.Host) + " is not followed: check the endpoint"
}
