package kql

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Query is a query of the user's own.
type Query struct {
	text      string
	tokens    []token
	tables    []string
	clock     []string
	unbounded []string
	local     error
}

// Parse reads a query. Any text is one: what the service would refuse is for
// the service to say.
func Parse(text string) *Query {
	q := &Query{text: text, tokens: lex(text)}
	own := q.own()
	q.tables = q.mentions(own)
	q.clock = q.calls("ago", "now")
	q.unbounded = q.escapes(own)
	q.local = q.prove()
	return q
}

// Text is the query as it was written.
func (q *Query) Text() string { return q.text }

// Tables lists the known tables that the query mentions, in the order of their
// first mention. A name that the query itself gives a meaning to is none.
func (q *Query) Tables() []string { return slices.Clone(q.tables) }

// Clock lists where the query says ago() or now(): what it answers depends on
// when it is asked, and it can't be asked about a past that is longer ago.
func (q *Query) Clock() []string { return slices.Clone(q.clock) }

// Reach is how far back from the moment when it is asked the query can see: the
// shortest of its ago(). It is not known, and ok false, where one of them has
// something else than a timespan in it, or the query says now().
func (q *Query) Reach() (reach time.Duration, ok bool) {
	for i := range q.tokens {
		if !q.called(i) {
			continue
		}
		switch q.tokens[i].text {
		case "now":
			return 0, false
		case "ago":
			d, known := q.timespan(i + 2)
			if !known {
				return 0, false
			}
			if !ok || d < reach {
				reach, ok = d, true
			}
		}
	}
	return reach, ok
}

// spans are the units of timespans, as a query writes them after a number.
var spans = map[string]time.Duration{
	"d": 24 * time.Hour, "day": 24 * time.Hour, "days": 24 * time.Hour, "h": time.Hour, "hr": time.Hour, "hrs": time.Hour, "hour": time.Hour, "hours": time.Hour,
	"m": time.Minute, "min": time.Minute, "minute": time.Minute, "minutes": time.Minute, "s": time.Second, "sec": time.Second, "second": time.Second, "seconds": time.Second,
	"ms": time.Millisecond,
}

// longest is beyond anything that a query can reach.
const longest = 100 * 365 * 24 * time.Hour

// timespan reads a literal that is all that stands between two brackets.
func (q *Query) timespan(i int) (time.Duration, bool) {
	if i+1 >= len(q.tokens) || q.tokens[i].kind != literal || !q.tokens[i+1].is(")") {
		return 0, false
	}
	text := q.tokens[i].text
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyz")
	n, err := strconv.ParseFloat(digits, 64)
	unit, ok := spans[text[len(digits):]]
	if d := n * float64(unit); err == nil && ok && d >= 1 && d < float64(longest) {
		return time.Duration(d), true
	}
	return 0, false
}

// Unbounded lists what in the query reads tables past the lines that Windowed
// puts before it. Only the Timespan of the request windows that.
func (q *Query) Unbounded() []string { return slices.Clone(q.unbounded) }

// RowLocal is nil when it is proved that the query looks at one row of one
// table at a time, so that its result over a window is the union of its results
// over the window's parts. Otherwise the error says what is in the way, in words
// that follow the query's name.
func (q *Query) RowLocal() error { return q.local }

// Windowed is the query over the half-open window. A line for each mentioned
// table with a time lets the table's name stand for its rows in the window, and
// the text follows, byte for byte: nothing can be put after it, where a comment
// would swallow it, and where it would filter what was joined and summarized.
func (q *Query) Windowed(since, until time.Time) string {
	var b strings.Builder
	for _, name := range q.tables {
		if t, _ := Lookup(name); t.Time != "" {
			fmt.Fprintf(&b, "let %s = %s | %s;\n", name, name, within(t.Time, since, until))
		}
	}
	b.WriteString(q.text)
	return b.String()
}

// own maps the names that the query's outermost let statements define to the
// token that ends the statement. A second definition in that scope would be an
// error, so these can't be shadowed.
func (q *Query) own() map[string]int {
	own := make(map[string]int)
	for at := 0; at < len(q.tokens); {
		end := until(q.tokens, at, len(q.tokens), ";")
		if end-at > 2 && q.tokens[at].is("let") {
			if name := q.tokens[at+1]; name.named() {
				own[name.text] = end
			}
		}
		at = end + 1
	}
	return own
}

// mentions finds the known tables by name.
func (q *Query) mentions(own map[string]int) []string {
	var found []string
	for i, t := range q.tokens {
		if _, hidden := own[t.text]; !hidden && q.mentioned(i) && !slices.Contains(found, t.text) {
			found = append(found, t.text)
		}
	}
	return found
}

// mentioned says whether the token is a known table's name where it can mean
// the table: not a member of something, a function, nor a name that is given a
// type or a meaning here.
func (q *Query) mentioned(i int) bool {
	if _, ok := Lookup(q.tokens[i].text); !ok || !q.tokens[i].named() {
		return false
	}
	if i > 0 && q.tokens[i-1].is(".") {
		return false
	}
	if i+1 == len(q.tokens) {
		return true
	}
	next := q.tokens[i+1]
	return !next.is("(") && !next.is(":") && !next.is("=")
}

// calls lists where functions of these names are called.
func (q *Query) calls(names ...string) []string {
	var found []string
	for i := range q.tokens {
		if t := q.tokens[i]; q.called(i) && slices.Contains(names, t.text) {
			found = append(found, fmt.Sprintf("%s() (line %d)", t.text, t.line))
		}
	}
	return found
}

func (q *Query) called(i int) bool {
	return q.tokens[i].kind == word && i+1 < len(q.tokens) && q.tokens[i+1].is("(") && (i == 0 || !q.tokens[i-1].is("."))
}

// is says whether the token is this word or mark.
func (t token) is(text string) bool { return (t.kind == word || t.kind == mark) && t.text == text }

// named says whether the token can be the name of something.
func (t token) named() bool { return t.kind == word || t.kind == quoted }

// until is the index of the next such mark at the level of at, or hi.
func until(tokens []token, at, hi int, mark string) int {
	for ; at < hi; at++ {
		if tokens[at].is(mark) {
			return at
		}
		if mate := tokens[at].mate; mate > at {
			at = mate
		}
	}
	return hi
}
