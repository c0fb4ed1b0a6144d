package defendersim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// timespan is a Kusto timespan in ticks.
type timespan int64

// at is a value of a row, which may be too short to have it.
func at(row []any, i int) any {
	if i < len(row) {
		return row[i]
	}
	return nil
}

// parseTicks reads a datetime.
func parseTicks(text string) (HuntTicks, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.9999999", "2006-01-02 15:04:05.9999999Z07:00", "2006-01-02 15:04:05.9999999", "2006-01-02 15:04", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return TicksOf(t), nil
		}
	}
	return 0, fmt.Errorf("%q is not a datetime", text)
}

// parseHuntSpan reads a timespan as it is written, [d.]hh:mm:ss[.fffffff], or
// as a literal such as 1h.
func parseHuntSpan(text string) (timespan, error) {
	rest, negative := strings.CutPrefix(text, "-")
	var days int64
	if d, clock, ok := strings.Cut(rest, "."); ok && strings.Contains(clock, ":") {
		days, _ = strconv.ParseInt(d, 10, 32)
		rest = clock
	}
	if t, err := time.Parse("15:04:05.9999999", rest); err == nil {
		ticks := days*24*3600*ticksPerSecond + int64(t.Sub(t.Truncate(24*time.Hour)))/100
		if negative {
			ticks = -ticks
		}
		return timespan(ticks), nil
	}
	t := &kqlToken{}
	if rest != "" && isDigit(rest[0]) && t.readNumber(rest) == nil && t.end == len(rest) {
		if v, ok := t.val.(timespan); ok && negative {
			return -v, nil
		} else if ok {
			return v, nil
		}
	}
	return 0, fmt.Errorf("%q is not a timespan", text)
}

// plain is a column's value as the evaluator takes it: a text is never null,
// and what may be a text on the wire is read.
func plain(kusto string, v any) any {
	s, text := v.(string)
	switch {
	case v == nil && kusto == "string":
		return ""
	case !text:
		return v
	}
	switch kusto {
	case "datetime":
		if t, err := parseTicks(s); err == nil {
			return t
		}
	case "timespan":
		if t, err := parseHuntSpan(s); err == nil {
			return t
		}
	case "decimal":
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			return f
		}
	}
	return v
}

// compareValues orders two values; false when they cannot be compared, as
// null with anything.
func compareValues(a, b any) (int, bool) {
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok {
			return strings.Compare(x, y), true
		}
	case HuntTicks:
		if y, ok := b.(HuntTicks); ok {
			return cmp.Compare(x, y), true
		}
	case timespan:
		if y, ok := b.(timespan); ok {
			return cmp.Compare(x, y), true
		}
	case bool:
		if y, ok := b.(bool); ok {
			return strings.Compare(strconv.FormatBool(x), strconv.FormatBool(y)), true // false before true
		}
	case json.RawMessage:
		return strings.Compare(string(x), textOf(b)), b != nil
	}
	return compareNumbers(a, b)
}

// compareNumbers compares integers as they are, and others as doubles.
func compareNumbers(a, b any) (int, bool) {
	x, xBig, ok := integer(a)
	y, yBig, ok2 := integer(b)
	if ok && ok2 && xBig == yBig {
		return cmp.Compare(x, y), true
	} else if ok && ok2 {
		return map[bool]int{true: 1, false: -1}[xBig], true
	}
	f, ok := number(a)
	g, ok2 := number(b)
	return cmp.Compare(f, g), ok && ok2 && !math.IsNaN(f) && !math.IsNaN(g)
}

// integer is an integer less 2^63 when it is as big as that.
func integer(v any) (n int64, big, ok bool) {
	switch v := v.(type) {
	case int64:
		return v, false, true
	case uint64:
		return int64(v & math.MaxInt64), v > math.MaxInt64, true
	}
	return 0, false, false
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// textOf is tostring().
func textOf(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.RawMessage:
		return string(v)
	case HuntTicks:
		return v.Time().Format("2006-01-02T15:04:05.0000000Z")
	case timespan:
		return timespanText(int64(v))
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return fmt.Sprint(v)
}

// hashOf is hash(): a number that depends on the value alone.
func hashOf(v any) int64 {
	x, text := uint64(0xcbf29ce484222325), textOf(v) // FNV-1a, without its allocations
	for i := range len(text) {
		x = (x ^ uint64(text[i])) * 0x100000001b3
	}
	x = (x ^ x>>33) * 0xff51afd7ed558ccd // the low bits of FNV are poor
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return int64((x ^ x>>33) >> 1)
}

// hasTerm tells whether a text has another as a whole term, without regard to case.
func hasTerm(text, term string) bool {
	text, term = strings.ToLower(text), strings.ToLower(term)
	for i := 0; ; {
		n := strings.Index(text[i:], term)
		if n < 0 {
			return false
		}
		before, _ := utf8.DecodeLastRuneInString(text[:i+n])
		after, _ := utf8.DecodeRuneInString(text[i+n+len(term):])
		if !inTerm(before) && !inTerm(after) {
			return true
		}
		if i += n + 1; i > len(text) {
			return false
		}
	}
}

func inTerm(r rune) bool { return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)) }

// yearOne is the beginning of Kusto's time, from which bin counts.
const yearOne = -62135596800 * ticksPerSecond

// binOf is bin(): the value rounded down to a multiple of the size.
func binOf(v, size any) any {
	switch x := v.(type) {
	case HuntTicks:
		if s, ok := size.(timespan); ok && s > 0 {
			return x - HuntTicks(floorMod(int64(x)-yearOne, int64(s)))
		}
	case timespan:
		if s, ok := size.(timespan); ok && s > 0 {
			return x - timespan(floorMod(int64(x), int64(s)))
		}
	case int64:
		if s, ok := size.(int64); ok && s > 0 {
			return x - floorMod(x, s)
		}
	}
	x, ok := number(v)
	s, ok2 := number(size)
	if !ok || !ok2 || s <= 0 {
		return nil
	}
	return math.Floor(x/s) * s
}
