package defender

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// HuntCap is the most rows that one answer holds. One that holds as many may
// have been cut off without a sign.
const HuntCap = 100_000

// HuntRequest is one hunting query.
type HuntRequest struct {
	Query string // sent byte for byte
	// Since and Until are the Timespan, which Graph is always sent, widened to
	// whole seconds. The older API knows none: there the query alone says when.
	Since, Until time.Time
	Attempts     int // sends at most, when the service fails; 0 means the client's own bound
}

// HuntColumn is a column of an answer, both parts as served.
type HuntColumn struct{ Name, Type string }

// HuntMember is a member of a row that no column names.
type HuntMember struct {
	Name  string
	Value jsontext.Value
}

// HuntSink takes in an answer while it is read. What it is given is valid only
// until it returns. An error of its own ends the call.
type HuntSink interface {
	// Begin comes before the rows of each send: those of an earlier one,
	// which broke off, are to be forgotten.
	Begin(columns []HuntColumn) error
	// Row has the values by column, each as served, nil where the row has none.
	Row(values []jsontext.Value, rest []HuntMember) error
	// Odd has what stands among the rows and is none.
	Odd(raw []byte) error
}

// HuntAnswer is what there is to say of an answer beside its rows.
type HuntAnswer struct {
	Columns    []HuntColumn
	Rows       int64     // those that are none included
	Bytes      int64     // of the body, decompressed
	Incomplete bool      // the service itself says that something is missing
	ServerTime time.Time // the Date header; the zero time when there is none
}

// Hunt runs a query and gives sink its rows, which are not kept: memory does
// not grow with the answer. After an error, what sink was given is worthless.
//
// Errors are *OversizeError, *QueryError, those of Incidents but *TooLargeError,
// *TimeoutError and *LinkError, and what sink returned.
func (c *Client) Hunt(ctx context.Context, req HuntRequest, sink HuntSink) (*HuntAnswer, error) {
	e := olderHunt()
	if c.cfg.Dialect == Graph {
		e = graphHunt()
	}
	body, err := req.body(c.cfg.Dialect)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.name, err)
	}
	var got *HuntAnswer
	cl := call{endpoint: e, url: c.base.JoinPath(e.path), body: body, attempts: req.Attempts, timeout: c.cfg.HuntTimeout, judge: judgeHunt}
	cl.read = func(resp *http.Response) (err error) {
		got, err = readHunt(resp, c.cfg.HuntMaxBody, sink)
		return err
	}
	if err := c.do(ctx, cl); err != nil {
		return nil, err
	}
	return got, nil
}

// body is what is posted.
func (r HuntRequest) body(d Dialect) ([]byte, error) {
	if strings.TrimSpace(r.Query) == "" {
		return nil, errors.New("the query is empty")
	}
	if !utf8.ValidString(r.Query) {
		return nil, errors.New("the query is not valid UTF-8")
	}
	b, err := jsontext.AppendQuote([]byte(`{"Query":`), r.Query)
	if err != nil {
		return nil, fmt.Errorf("quote the query: %w", err)
	}
	if d == Graph {
		if !r.Since.Before(r.Until) {
			return nil, emptyWindow(r.Since, r.Until)
		}
		b = append(b, `,"Timespan":"`+timespan(r.Since, r.Until)+`"`...)
	}
	return append(b, '}'), nil
}

// timespan is the window in whole seconds, none of it left out.
func timespan(since, until time.Time) string {
	last := until.Truncate(time.Second)
	if last.Before(until) {
		last = last.Add(time.Second)
	}
	return wire(since.Truncate(time.Second)) + "/" + wire(last)
}

// oversize are the words of answers that mean: less would do. Whether time or
// size was the reason is said with each.
var oversize = []struct {
	words   string
	timeout bool
}{
	{"exceeded the allowed result size", false},
	{"exceeded the allowed limits", false},
	{"preempted", false},
	{"excessive resource consumption", false},
	{"exceeded the timeout period", true},
}

// oversized returns the error of a message that asks for less, or nil.
func oversized(message string) error {
	lower := strings.ToLower(message)
	for _, o := range oversize {
		if strings.Contains(lower, o.words) {
			return &OversizeError{Reason: message, Timeout: o.timeout}
		}
	}
	return nil
}

// "'where' operator: Failed to resolve table or column expression named 'X'."
var unresolved = regexp.MustCompile(`(?i)failed to resolve [a-z ]{1,80}named '([^']+)'`)

// judgeHunt tells the failures of a query that another send may cure from
// those that are the query's: of these each send would cost minutes for nothing.
func judgeHunt(f *failure) {
	if err := huntError(f); err != nil {
		f.err, f.again = err, false
	}
}

// huntError returns what a failure is to a hunting query when it is the
// query's, or nil.
func huntError(f *failure) error {
	if _, ok := errors.AsType[*sinkError](f.err); ok { // whatever it is
		return nil
	}
	if e, ok := errors.AsType[*OversizeError](f.err); ok {
		return e
	}
	if e, ok := errors.AsType[*TooLargeError](f.err); ok {
		return &OversizeError{Reason: e.Error()}
	}
	if e, ok := errors.AsType[*TimeoutError](f.err); ok {
		return &OversizeError{Reason: e.Error(), Timeout: true}
	}
	e, ok := errors.AsType[*StatusError](f.err)
	if !ok {
		return nil
	}
	if m := unresolved.FindStringSubmatch(e.Message); m != nil && e.Status == http.StatusBadRequest {
		return &QueryError{Message: e.Message, Unresolved: m[1]}
	}
	if err := oversized(e.Message); err != nil {
		return err
	}
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return &OversizeError{Reason: e.Error(), Timeout: true}
	case http.StatusBadRequest:
		return badQuery(f)
	}
	return nil
}

// badQuery is huntError of a 400. Those that are not about the query stay as
// they are, and one that says that it is the service's is tried again.
func badQuery(f *failure) error {
	if strings.Contains(strings.ToLower(f.said.message), "unexpected error") {
		f.again = true
		return nil
	}
	malformed := f.said.code == "InvalidRequestBody" || f.said.code == "MissingRequiredParameter"
	if f.said.foreign || f.said.message == "" || malformed {
		return nil
	}
	return &QueryError{Message: f.said.message}
}
