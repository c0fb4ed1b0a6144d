package defender

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// maxCountBody bounds an answer to a count, which carries at most one record.
const maxCountBody = 8 << 20

// CountError means that the API does not say how many records there are.
type CountError struct{ Reason string }

func (e *CountError) Error() string { return e.Reason }

// Count returns how many records of the stream incidents or alerts were last
// updated in [since, until), by the service's own word. Only Graph counts; the
// older API is a *CountError. Other errors are as for Incidents.
func (c *Client) Count(ctx context.Context, stream string, since, until time.Time) (int64, error) {
	e := graphIncidents()
	if stream == "alerts" {
		e = graphAlerts()
	}
	e.name = "count " + stream
	if c.cfg.Dialect != Graph {
		return 0, fmt.Errorf("%s: %w", e.name, &CountError{"the older API does not count"})
	}
	if !since.Before(until) {
		return 0, fmt.Errorf("%s: %w", e.name, emptyWindow(since, until))
	}
	u := c.base.JoinPath(e.path)
	u.RawQuery = query([]param{
		{"$filter", fmt.Sprintf("%s ge %s and %s lt %s", e.time, wire(since), e.time, wire(until))},
		{"$top", strconv.Itoa(1)},
		{"$count", "true"},
	})
	var n int64
	cl := call{endpoint: e, url: u, timeout: c.cfg.Timeout, judge: judgeCount}
	cl.read = func(resp *http.Response) (err error) {
		n, err = readCount(resp)
		return err
	}
	return n, c.do(ctx, cl)
}

// judgeCount takes the lack of a count for final.
func judgeCount(f *failure) {
	if e, ok := errors.AsType[*CountError](f.err); ok {
		f.err, f.again = e, false
	}
}

// readCount reads the count of a collection and leaves its records alone.
func readCount(resp *http.Response) (int64, error) {
	body, err := plainBody(resp)
	if err != nil {
		return 0, undecoded(resp, err, &prefix{})
	}
	sample := &prefix{max: maxDecodeSample}
	raw, err := io.ReadAll(&boundedReader{r: newJSONFilter(io.TeeReader(body, sample)), left: maxCountBody, limit: maxCountBody})
	if err != nil {
		return 0, undecoded(resp, err, sample)
	}
	o, err := ParseObject(jsontext.Value(raw))
	if err != nil {
		return 0, undecoded(resp, err, sample)
	}
	n, ok, err := o.Int64("@odata.count")
	if err != nil || !ok {
		return 0, &CountError{"the service did not say how many there are"}
	}
	return n, nil
}
