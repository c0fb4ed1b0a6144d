package defendersim

import (
	"strings"
	"time"
)

// A filter is a parsed $filter.
type filter interface{ match(record) bool }

type both struct{ a, b filter }

type either struct{ a, b filter }

type not struct{ a filter }

// compareTime compares a time property with a date-time literal.
type compareTime struct {
	field field
	op    string
	at    time.Time
}

// compareText compares a text or enum property with a string literal, or with
// null when text is nil.
type compareText struct {
	field field
	equal bool
	text  *string
}

func (f both) match(r record) bool   { return f.a.match(r) && f.b.match(r) }
func (f either) match(r record) bool { return f.a.match(r) || f.b.match(r) }
func (f not) match(r record) bool    { return !f.a.match(r) }

func (f compareTime) match(r record) bool {
	t := r.updated()
	if f.field == created {
		t = r.created()
	}
	c := t.Compare(f.at)
	switch f.op {
	case "eq":
		return c == 0
	case "ne":
		return c != 0
	case "gt":
		return c > 0
	case "ge":
		return c >= 0
	case "lt":
		return c < 0
	}
	return c <= 0
}

func (f compareText) match(r record) bool {
	have, want := r.text(f.field), ""
	if f.text != nil {
		want = *f.text
		if want == "" {
			return !f.equal // "" is not null
		}
	}
	return strings.EqualFold(have, want) == f.equal
}

// bounds returns the range of last updates outside of which the filter
// matches nothing; zero times are no limit.
func bounds(f filter) (from, to time.Time) {
	switch f := f.(type) {
	case both:
		from, to = bounds(f.a)
		from2, to2 := bounds(f.b)
		if from2.After(from) {
			from = from2
		}
		if to.IsZero() || !to2.IsZero() && to2.Before(to) {
			to = to2
		}
	case compareTime:
		if f.field != lastUpdate {
			break
		}
		switch f.op {
		case "eq":
			return f.at, f.at
		case "gt", "ge":
			return f.at, time.Time{}
		case "lt", "le":
			return time.Time{}, f.at
		}
	}
	return from, to
}

// A syntax says which properties a list can be filtered by, by their names there.
type syntax map[string]field

var (
	graphIncidentSyntax = syntax{"assignedTo": assignedTo, "classification": classification, "createdDateTime": created,
		"determination": determination, "lastUpdateDateTime": lastUpdate, "severity": severity, "status": status}
	graphAlertSyntax = syntax{"assignedTo": assignedTo, "classification": classification, "determination": determination, "createdDateTime": created,
		"lastUpdateDateTime": lastUpdate, "severity": severity, "serviceSource": serviceSource, "status": status}
	olderSyntax = syntax{"lastUpdateTime": lastUpdate, "createdTime": created, "status": status, "assignedTo": assignedTo}
)

func (f field) isTime() bool { return f == lastUpdate || f == created }

// parseFilter reads a $filter: comparisons of filterable properties with
// literals, joined by and, or, not and parentheses.
func parseFilter(text string, s syntax) (filter, error) {
	p := &parser{syntax: s}
	var err error
	if p.tokens, err = tokens(text); err != nil {
		return nil, err
	}
	f, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.peek() != "" {
		return nil, invalid("Syntax error at '%s' in '%s'.", p.peek(), text)
	}
	return f, nil
}

// invalid is a refusal of a $filter.
func invalid(format string, args ...any) error {
	return refuse("Invalid filter clause: "+format, args...)
}

type parser struct {
	syntax syntax
	tokens []string
}

func (p *parser) peek() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0]
}

func (p *parser) next() string {
	t := p.peek()
	if t != "" {
		p.tokens = p.tokens[1:]
	}
	return t
}

func (p *parser) or() (filter, error) {
	f, err := p.and()
	for err == nil && p.peek() == "or" {
		p.next()
		var g filter
		g, err = p.and()
		f = either{f, g}
	}
	return f, err
}

func (p *parser) and() (filter, error) {
	f, err := p.primary()
	for err == nil && p.peek() == "and" {
		p.next()
		var g filter
		g, err = p.primary()
		f = both{f, g}
	}
	return f, err
}

func (p *parser) primary() (filter, error) {
	switch p.peek() {
	case "not":
		p.next()
		f, err := p.primary()
		return not{f}, err
	case "(":
		p.next()
		f, err := p.or()
		if err == nil && p.next() != ")" {
			return nil, invalid("')' or ',' expected.")
		}
		return f, err
	}
	return p.comparison()
}

func (p *parser) comparison() (filter, error) {
	name, op, literal := p.next(), p.next(), p.next()
	f, ok := p.syntax[name]
	switch {
	case name == "":
		return nil, invalid("Expression expected.")
	case !ok:
		return nil, invalid("The property '%s' cannot be used in the $filter query option.", name)
	case !operators[op]:
		return nil, invalid("Syntax error: '%s' is not an operator.", op)
	case literal == "":
		return nil, invalid("Expression expected after '%s %s'.", name, op)
	case f.isTime():
		return timeComparison(f, op, literal)
	}
	return textComparison(f, op, literal)
}

var operators = members("eq", "ne", "gt", "ge", "lt", "le")

func timeComparison(f field, op, literal string) (filter, error) {
	if strings.HasPrefix(literal, "'") {
		return nil, invalid("A binary operator with incompatible types was detected. Found operand types 'Edm.DateTimeOffset' and 'Edm.String' for operator kind '%s'.", op)
	}
	at, err := time.Parse(time.RFC3339Nano, literal)
	if err != nil || at.Nanosecond()%100 != 0 {
		return nil, invalid("Unrecognized 'Edm.DateTimeOffset' literal '%s'.", literal)
	}
	return compareTime{f, op, at}, nil
}

func textComparison(f field, op, literal string) (filter, error) {
	if op != "eq" && op != "ne" {
		return nil, invalid("The operator '%s' is not supported on this property.", op)
	}
	if literal == "null" {
		return compareText{f, op == "eq", nil}, nil
	}
	if !strings.HasPrefix(literal, "'") {
		return nil, invalid("Could not find a property named '%s'.", literal)
	}
	text := strings.ReplaceAll(literal[1:len(literal)-1], "''", "'")
	return compareText{f, op == "eq", &text}, nil
}

// tokens splits a $filter into words, parentheses and quoted strings.
func tokens(text string) ([]string, error) {
	var list []string
	for text = strings.TrimLeft(text, " "); text != ""; text = strings.TrimLeft(text, " ") {
		n := 1
		switch text[0] {
		case '(', ')':
		case '\'':
			if n = quoted(text); n < 0 {
				return nil, invalid("There is an unterminated string literal.")
			}
		default:
			if n = strings.IndexAny(text, " ()'"); n < 0 {
				n = len(text)
			}
		}
		list, text = append(list, text[:n]), text[n:]
	}
	return list, nil
}

// quoted returns the length of the string literal that text begins with, -1
// when it does not end. A quote inside is written twice.
func quoted(text string) int {
	for i := 1; i < len(text); i++ {
		if text[i] != '\'' {
			continue
		}
		if i+1 == len(text) || text[i+1] != '\'' {
			return i + 1
		}
		i++
	}
	return -1
}
