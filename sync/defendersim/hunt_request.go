package defendersim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// huntRequest is the body of a hunting query.
type huntRequest struct {
	Query, Timespan string
	err             *huntRefusal // why the body is not taken; nil when it is
}

// huntRefusal is a refusal of a body, of a timespan or of a query.
type huntRefusal struct {
	status        int // 0 means 400
	code, message string
}

func (e *huntRefusal) Error() string { return e.message }

// maxHuntBody is where the front door of the Graph stops reading.
const maxHuntBody = 1 << 20

func huntRoute(path string) Endpoint {
	switch strings.TrimSuffix(path, "/") {
	case "/v1.0/security/runHuntingQuery", "/v1.0/security/microsoft.graph.security.runHuntingQuery":
		return Hunting
	case "/api/advancedhunting/run":
		return OlderHunting
	}
	return ""
}

// readHunt reads the body, so that faults and the log can know the query.
func (c *call) readHunt() {
	body, err := io.ReadAll(io.LimitReader(c.Body, maxHuntBody+1))
	c.Body = io.NopCloser(bytes.NewReader(body)) // for the Match of a fault
	switch {
	case err != nil:
		c.hunt.err = c.badBody()
	case len(body) > maxHuntBody:
		c.hunt.err = &huntRefusal{status: http.StatusRequestEntityTooLarge, code: "RequestEntityTooLarge", message: "The request body is too large."}
	default:
		c.parseHunt(body)
	}
}

func (c *call) parseHunt(body []byte) {
	kind := strings.ToLower(c.Header.Get("Content-Type"))
	if !strings.HasPrefix(kind, "application/json") {
		c.hunt.err = c.badBody()
		return
	}
	if !c.older() && !strings.Contains(kind, "charset=utf-8") {
		body = narrow(body)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		c.hunt.err = c.badBody()
		return
	}
	query, found := members["Query"], "Query"
	if query == nil && !c.older() { // the older API knows one spelling only
		query, found = members["query"], "query"
	}
	if query == nil {
		c.hunt.err = &huntRefusal{code: "MissingRequiredParameter", message: "Parameter Query is missing"}
		if !c.older() {
			c.hunt.err = &huntRefusal{code: "BadRequest", message: "The parameter 'query' is required."}
		}
		return
	}
	if c.text(query, &c.hunt.Query); c.older() || c.hunt.err != nil {
		return
	}
	if timespan, ok := members[strings.Replace("Timespan", "T", string(found[0]+'T'-'Q'), 1)]; ok {
		c.text(timespan, &c.hunt.Timespan)
	}
}

// text reads a member that must be a text or null.
func (c *call) text(raw json.RawMessage, into *string) {
	if err := json.Unmarshal(raw, into); err != nil {
		c.hunt.err = c.badBody()
	}
}

func (c *call) badBody() *huntRefusal {
	if c.older() {
		return &huntRefusal{code: "InvalidRequestBody", message: "Invalid request body"}
	}
	return &huntRefusal{code: "BadRequest", message: "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format."}
}

// narrow does what the Graph does to a body whose Content-Type does not say
// that it is UTF-8: what is not ASCII is lost.
func narrow(body []byte) []byte {
	return []byte(strings.Map(func(r rune) rune {
		if r > 127 {
			return '?'
		}
		return r
	}, string(body)))
}

// A span is a range of ticks, the end not included.
type span struct{ from, to int64 }

func (a span) and(b span) span { return span{max(a.from, b.from), min(a.to, b.to)} }

// lookBack is how far back hunting sees.
const lookBack = 30 * 24 * time.Hour

// reach is the range of ticks that a query sees: what its timespan says, and
// never more than the look-back. What is stamped later than now is seen.
func reach(timespan string, now time.Time) (span, error) {
	all := span{int64(TicksOf(now.Add(-lookBack))), int64(TicksOf(now.Add(1000 * time.Hour)))}
	if timespan == "" {
		return all, nil
	}
	asked, err := parseTimespan(timespan, now)
	if err != nil {
		return all, &huntRefusal{code: "BadRequest", message: fmt.Sprintf("The value '%s' of the parameter 'timespan' is not a valid ISO 8601 time interval.", timespan)}
	}
	return all.and(asked), nil
}

// parseTimespan reads the four forms of an interval: duration, start/end,
// start/duration, duration/end; and a start alone.
func parseTimespan(text string, now time.Time) (span, error) {
	a, b, two := strings.Cut(text, "/")
	from, d, err := parseMoment(a)
	if err != nil {
		return span{}, err
	}
	to, end := now.Add(1000*time.Hour), time.Duration(0)
	if two {
		if to, end, err = parseMoment(b); err != nil {
			return span{}, err
		}
	}
	switch {
	case !two && d != 0:
		from = now.Add(-d)
	case d != 0 && end != 0:
		return span{}, errors.New("two durations")
	case d != 0:
		from = to.Add(-d)
	case end != 0:
		to = from.Add(end)
	}
	return span{int64(TicksOf(from)), int64(TicksOf(to))}, nil
}

var isoDuration = regexp.MustCompile(`^P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$`)

// parseMoment reads a time or a duration, which is not 0.
func parseMoment(text string) (at time.Time, d time.Duration, err error) {
	if m := isoDuration.FindStringSubmatch(text); m != nil {
		for i, unit := range []time.Duration{7 * 24 * time.Hour, 24 * time.Hour, time.Hour, time.Minute, time.Second} {
			n, _ := strconv.Atoi("0" + m[i+1]) // digits; one too long is 0
			d += time.Duration(n) * unit
		}
		if d <= 0 {
			err = errors.New("no duration")
		}
		return at, d, err
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.9999999", "2006-01-02T15:04Z07:00", time.DateOnly} {
		if at, err = time.Parse(layout, text); err == nil {
			return at, 0, nil
		}
	}
	return at, 0, err
}
