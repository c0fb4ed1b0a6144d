package defendersim

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A kqlToken is a word, a literal or a sign of a query.
type kqlToken struct {
	kind kqlKind
	text string // of a word or a sign
	val  any    // of a literal
	typ  string // of a literal
	pos  int
	end  int
}

type kqlKind int

const (
	kqlEnd kqlKind = iota
	kqlWord
	kqlLiteral
	kqlSign
)

// kqlTokens splits a query and leaves its comments out.
func kqlTokens(text string) ([]kqlToken, error) {
	var list []kqlToken
	for i := 0; ; {
		i += blank(text[i:])
		t := kqlToken{pos: i, end: i}
		if i == len(text) {
			return append(list, t), nil
		}
		if err := t.read(text); err != nil {
			return nil, syntaxError(text, i, strings.ToUpper(err.Error()[:1])+err.Error()[1:])
		}
		list, i = append(list, t), t.end
	}
}

// blank is how many bytes of space and comments a text begins with.
func blank(text string) int {
	n := 0
	for {
		n += len(text[n:]) - len(strings.TrimLeftFunc(text[n:], unicode.IsSpace))
		if !strings.HasPrefix(text[n:], "//") {
			return n
		}
		end := strings.IndexByte(text[n:], '\n')
		if end < 0 {
			return len(text)
		}
		n += end + 1
	}
}

// syntaxError is the refusal of a text that is no query.
func syntaxError(text string, pos int, what string) error {
	before := text[:pos]
	line := 1 + strings.Count(before, "\n")
	column := 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
	return &huntRefusal{message: fmt.Sprintf("A recognition error occurred. %s. [line:position=%d:%d]. Fix syntax errors in your query.", what, line, column)}
}

var kqlSigns = []string{"==", "!=", "=~", "!~", ">=", "<=", "..", "|", "(", ")", ",", ";", "=", "<", ">", "+", "-", "*", "/", "%", "[", "]", ".", ":", "{", "}"}

func (t *kqlToken) read(text string) error {
	rest := text[t.pos:]
	if n, value, err := kqlString(rest); n > 0 || err != nil {
		t.kind, t.val, t.typ, t.end = kqlLiteral, value, "string", t.pos+n
		return err
	}
	switch c := rest[0]; {
	case isDigit(c):
		return t.readNumber(rest)
	case isLetter(c), c == '!' && len(rest) > 1 && isLetter(rest[1]):
		return t.readWord(rest)
	}
	for _, sign := range kqlSigns {
		if strings.HasPrefix(rest, sign) {
			t.kind, t.text, t.end = kqlSign, sign, t.pos+len(sign)
			return nil
		}
	}
	return fmt.Errorf("unexpected character %q", rest[:1])
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' || c == '$' }

// kqlString reads a text in any of its forms; 0 bytes when there is none. An
// h before it hides it from logs and changes nothing.
func kqlString(text string) (n int, value string, err error) {
	s := text
	if len(s) > 1 && (s[0] == 'h' || s[0] == 'H') {
		if n, value, err = kqlString(s[1:]); n > 0 || err != nil {
			return n + 1, value, err
		}
	}
	for _, fence := range []string{"```", "~~~"} {
		if strings.HasPrefix(s, fence) {
			end := strings.Index(s[3:], fence)
			if end < 0 {
				return 0, "", errors.New("unterminated string")
			}
			return end + 6, s[3 : 3+end], nil
		}
	}
	switch {
	case s[0] == '"' || s[0] == '\'':
		return escapedString(s)
	case len(s) > 1 && s[0] == '@' && (s[1] == '"' || s[1] == '\''):
		n, value, err = verbatimString(s[1:])
		return n + 1, value, err
	}
	return 0, "", nil
}

var kqlEscapes = map[byte]string{'n': "\n", 't': "\t", 'r': "\r", '0': "\x00", 'a': "\a", 'b': "\b", 'f': "\f", 'v': "\v"}

func escapedString(s string) (int, string, error) {
	var b strings.Builder
	for i := 1; i < len(s) && s[i] != '\n'; i++ {
		switch s[i] {
		case s[0]:
			return i + 1, b.String(), nil
		case '\\':
			i++
			i += escaped(&b, s[min(i, len(s)):])
		default:
			b.WriteByte(s[i])
		}
	}
	return 0, "", errors.New("unterminated string")
}

// escaped writes what stands after a backslash, and returns how many bytes it
// takes beyond its first.
func escaped(b *strings.Builder, s string) int {
	if s == "" {
		return 0
	}
	if digits := map[byte]int{'u': 4, 'x': 2}[s[0]]; digits > 0 && len(s) > digits {
		if n, err := strconv.ParseUint(s[1:1+digits], 16, 32); err == nil {
			b.WriteRune(rune(n))
			return digits
		}
	}
	if known, ok := kqlEscapes[s[0]]; ok {
		b.WriteString(known)
		return 0
	}
	b.WriteByte(s[0])
	return 0
}

func verbatimString(s string) (int, string, error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != s[0] {
			b.WriteByte(s[i])
			continue
		}
		if i+1 == len(s) || s[i+1] != s[0] {
			return i + 1, b.String(), nil
		}
		b.WriteByte(s[i])
		i++
	}
	return 0, "", errors.New("unterminated string")
}

// readNumber reads an integer, a real or a timespan such as 1h.
func (t *kqlToken) readNumber(s string) error {
	n, real := 0, false
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	if n+1 < len(s) && s[n] == '.' && isDigit(s[n+1]) {
		for n++; n < len(s) && isDigit(s[n]); n++ {
		}
		real = true
	}
	end := n
	for end < len(s) && isLetter(s[end]) {
		end++
	}
	t.kind, t.end = kqlLiteral, t.pos+end
	if end > n {
		unit, ok := kqlUnits[s[n:end]]
		f, err := strconv.ParseFloat(s[:n], 64)
		if !ok || err != nil {
			return fmt.Errorf("unexpected %q", s[:end])
		}
		t.val, t.typ = timespan(f*float64(unit/100)), "timespan"
		return nil
	}
	var err error
	if t.typ = "long"; real {
		t.typ = "real"
		t.val, err = strconv.ParseFloat(s[:n], 64)
		return err
	}
	t.val, err = strconv.ParseInt(s[:n], 10, 64)
	return err
}

var kqlUnits = map[string]time.Duration{"d": 24 * time.Hour, "day": 24 * time.Hour, "days": 24 * time.Hour, "h": time.Hour, "hour": time.Hour, "hours": time.Hour,
	"m": time.Minute, "min": time.Minute, "minute": time.Minute, "minutes": time.Minute, "s": time.Second, "sec": time.Second, "second": time.Second, "seconds": time.Second,
	"ms": time.Millisecond, "microsecond": time.Microsecond, "microseconds": time.Microsecond, "tick": 100, "ticks": 100}

// readWord reads a name, an operator in letters, or a literal such as
// datetime(2026-11-20).
func (t *kqlToken) readWord(s string) error {
	n := 1
	for n < len(s) && (isLetter(s[n]) || isDigit(s[n])) {
		n++
	}
	if word := s[:n]; strings.HasPrefix(s[n:], "~") && (word == "in" || word == "!in") {
		n++
	}
	t.kind, t.text, t.end = kqlWord, s[:n], t.pos+n
	typ, ok := literalTypes[t.text]
	inside, found := parenthesised(s[n:])
	if !ok || !found {
		return nil
	}
	value, err := typedLiteral(typ, strings.TrimSpace(inside))
	if err != nil && (typ == "int" || typ == "long" || typ == "real" || typ == "bool") {
		return nil // a conversion, or nothing known
	}
	t.kind, t.val, t.typ, t.end = kqlLiteral, value, typ, t.pos+n+len(inside)+2
	return err
}

var literalTypes = map[string]string{"datetime": "datetime", "date": "datetime", "timespan": "timespan", "time": "timespan", "guid": "guid", "dynamic": "dynamic",
	"bool": "bool", "boolean": "bool", "int": "int", "long": "long", "real": "real", "double": "real", "decimal": "decimal"}

// parenthesised is what stands between the parenthesis that a text begins
// with and the one that closes it.
func parenthesised(s string) (string, bool) {
	if s == "" || s[0] != '(' {
		return "", false
	}
	for i, depth := 0, 0; i < len(s); i++ {
		if n, _, err := kqlString(s[i:]); n > 0 && err == nil {
			i += n - 1
			continue
		}
		switch s[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return s[1:i], true
			}
		}
	}
	return "", false
}

func typedLiteral(typ, text string) (any, error) {
	if text == "null" {
		return nil, nil
	}
	if n, inner, err := kqlString(text + " "); n == len(text) && n > 0 && err == nil && typ != "dynamic" {
		text = inner
	}
	switch typ {
	case "datetime":
		return parseTicks(text)
	case "timespan":
		return parseHuntSpan(text)
	case "bool":
		return strconv.ParseBool(text)
	case "int", "long":
		return strconv.ParseInt(text, 0, 64)
	case "real":
		return strconv.ParseFloat(text, 64)
	case "dynamic":
		raw := withJSONStrings(text)
		if !json.Valid(raw) {
			return nil, fmt.Errorf("no JSON in dynamic(%s)", text)
		}
		return raw, nil
	}
	return text, nil
}

// withJSONStrings writes the texts in a dynamic literal as JSON does.
func withJSONStrings(text string) json.RawMessage {
	var raw []byte
	for i := 0; i < len(text); {
		if n, value, err := kqlString(text[i:]); n > 0 && err == nil {
			raw = append(raw, quote(value)...)
			i += n
			continue
		}
		raw = append(raw, text[i])
		i++
	}
	return raw
}
