package kql

import "fmt"

// A proof follows the one table that the query may read through the text: from
// where it is named, by let statements that pass its rows on, to the result. It
// holds when each of these is read once, at the beginning of a pipeline of
// operators that look at one row at a time. Everything else in the query has to
// be constant: values, and tables that are written out in it.
type proof struct {
	tokens []token
	rows   map[string]bool // what has the table's rows: its name, and names given to what becomes of it
	read   map[string]int  // the line where each of them is read
	lets   map[string]bool // names that let statements and parameters give a meaning to
	given  map[string]bool // these, and the columns that the query makes
}

// A hurdle is what keeps a query from being row-local.
type hurdle struct {
	topic string // what to count it under
	text  string
}

func (h *hurdle) Error() string { return h.text }

func hurdlef(topic, format string, args ...any) error {
	return &hurdle{topic: topic, text: fmt.Sprintf(format, args...)}
}

// perRow are the operators whose result over a window is the union of their
// results over its parts. The order of rows isn't kept anywhere, so sorting is
// harmless; mv-apply's inner query sees the values of one row.
var perRow = words(`where filter extend project project-away project-keep project-rename project-reorder
parse parse-where parse-kv mv-expand mvexpand mv-apply sort order render`)

// overConstants are further operators that give the same for the same input.
var overConstants = words(`summarize distinct count top`)

// overMany are the usual operators that look at more than one row, for a better
// word than of those nobody has heard of.
var overMany = words(`summarize distinct count top top-nested top-hitters take limit sample sample-distinct make-series
join lookup union serialize scan partition reduce getschema search find fork facet evaluate as make-graph`)

// deepest is how far brackets may be nested in what is looked at.
const deepest = 100

// settings begin statements that change what the others mean.
var settings = words(`set declare restrict alias pattern`)

// prove is nil when the query is row-local.
func (q *Query) prove() error {
	switch {
	case len(q.unbounded) > 0:
		return hurdlef("unbounded", "reads tables that it does not name: %s", q.unbounded[0])
	case len(q.tables) == 0:
		return hurdlef("no table", "names no table that is known, so that nothing can be said of how its result depends on the window")
	case q.depth() > deepest:
		return hurdlef("unclear", "nests more than %d brackets", deepest)
	}
	result, err := newProof(q).statements(0, len(q.tokens))
	switch {
	case err != nil:
		return err
	case !result:
		return hurdlef("constant", "has a result that is not made of the rows of %s", q.tables[0])
	case len(q.tables) > 1:
		return hurdlef("tables", "reads more than one table: %s and %s", q.tables[0], q.tables[1])
	}
	if t, _ := Lookup(q.tables[0]); t.Time == "" {
		return hurdlef("no time", "reads %s, which has no time column, so that every window would hold the whole of it", t.Name)
	}
	return nil
}

func newProof(q *Query) *proof {
	p := &proof{tokens: q.tokens, rows: make(map[string]bool), read: make(map[string]int), lets: make(map[string]bool), given: words("true false null")}
	for _, t := range q.tables {
		p.rows[t] = true
	}
	for i, t := range q.tokens {
		if !t.named() || i+1 == len(q.tokens) {
			continue
		}
		typed, set := q.tokens[i+1].is(":"), q.tokens[i+1].is("=")
		if typed || set {
			p.given[t.text] = true
		}
		if typed || set && i > 0 && q.tokens[i-1].is("let") {
			p.lets[t.text] = true
		}
	}
	return p
}

// depth is how far brackets are nested.
func (q *Query) depth() int {
	open, most := 0, 0
	for i, t := range q.tokens {
		switch {
		case t.mate > i:
			open++
		case t.mate >= 0:
			open--
		}
		most = max(most, open)
	}
	return most
}

// statements says whether the last of them has the table's rows.
func (p *proof) statements(lo, hi int) (rows bool, err error) {
	results := 0
	for end := lo; lo < hi && err == nil; lo = end + 1 {
		end = until(p.tokens, lo, hi, ";")
		if lo == end {
			continue
		}
		if p.tokens[lo].is("let") {
			err = p.let(lo, end)
			continue
		}
		if end > lo+1 && settings[p.tokens[lo].text] {
			return false, beyond(p.tokens[lo].text, p.tokens[lo].line)
		}
		if results++; results > 1 {
			return false, hurdlef("several results", "has more than one result (line %d)", p.tokens[lo].line)
		}
		rows, err = p.expression(lo, end)
	}
	return rows, err
}

// let takes let name = expression.
func (p *proof) let(lo, end int) error {
	if end-lo < 4 || !p.tokens[lo+1].named() || !p.tokens[lo+2].is("=") {
		return hurdlef("unclear", "has a let without a name or a meaning (line %d)", p.tokens[lo].line)
	}
	name := p.tokens[lo+1]
	if p.rows[name.text] {
		return hurdlef("unclear", "gives %s a second meaning (line %d)", name.text, name.line)
	}
	rows, err := p.expression(lo+3, end)
	if err != nil {
		return err
	}
	if p.rows[name.text] = rows; !rows && end == lo+4 && p.foreign(lo+3) {
		return p.unknownSource(lo + 3)
	}
	return nil
}

// expression takes a value, a table or a function, and says whether it has the
// table's rows.
func (p *proof) expression(lo, hi int) (rows bool, err error) {
	for lo < hi && p.tokens[lo].is("(") && p.tokens[lo].mate == hi-1 {
		lo, hi = lo+1, hi-1
	}
	if at, ok := p.body(lo, hi); ok {
		return p.statements(at, hi-1)
	}
	at := p.reads(lo, hi)
	if at < 0 {
		return false, p.constant(lo, hi, false)
	}
	end := until(p.tokens, lo, hi, "|")
	if at > end && p.writtenOut(lo, end) {
		return false, p.inside(at)
	}
	if err := p.head(lo, end); err != nil {
		return false, err
	}
	for lo = end + 1; lo <= hi && end < hi; lo = end + 1 {
		end = until(p.tokens, lo, hi, "|")
		if err := p.operator(lo, end); err != nil {
			return false, err
		}
	}
	return true, nil
}

// body finds where the statements of a function begin.
func (p *proof) body(lo, hi int) (at int, ok bool) {
	if lo < hi && p.tokens[lo].is("view") {
		lo++
	}
	if lo >= hi || !p.tokens[lo].is("(") {
		return 0, false
	}
	at = p.tokens[lo].mate + 1
	return at + 1, at > lo && at < hi && p.tokens[at].is("{") && p.tokens[at].mate == hi-1
}

// reads finds the first token that names something with the table's rows.
func (p *proof) reads(lo, hi int) int {
	for i := lo; i < hi; i++ {
		if t := p.tokens[i]; t.named() && p.rows[t.text] && (i == 0 || !p.tokens[i-1].is(".")) {
			return i
		}
	}
	return -1
}

// head takes the beginning of a pipeline: the name of something with rows, a
// call of it, or a pipeline in brackets.
func (p *proof) head(lo, end int) error {
	if lo < end && p.tokens[lo].is("(") && p.tokens[lo].mate == end-1 {
		rows, err := p.expression(lo, end)
		if err == nil && !rows {
			err = p.elsewhere(lo, end)
		}
		return err
	}
	if p.reads(lo, min(lo+1, end)) < 0 {
		return p.elsewhere(lo, end)
	}
	name := p.tokens[lo]
	if line, again := p.read[name.text]; again {
		return hurdlef("read twice", "reads %s more than once (line %d, line %d), so that what one row gives may depend on others", name.text, line, name.line)
	}
	p.read[name.text] = name.line
	switch {
	case end == lo+1:
		return nil
	case p.tokens[lo+1].is("(") && p.tokens[lo+1].mate == end-1:
		return p.values(lo+2, end-1, false)
	}
	return hurdlef("unclear", "goes on after %s (line %d) in a way that is not understood", name.text, name.line)
}

// elsewhere is the error of rows that are read anywhere but at the beginning.
func (p *proof) elsewhere(lo, end int) error {
	if lo >= end {
		return hurdlef("unclear", "has an operator without an input")
	}
	if name, _ := p.operatorName(lo, end); overMany[name] {
		return beyond(name, p.tokens[lo].line)
	}
	if err := p.values(lo, end, false); err != nil {
		return err
	}
	return p.unknownSource(lo)
}

func (p *proof) unknownSource(i int) error {
	return hurdlef("unknown source", "reads %s (line %d), which is neither defined in it nor a table that is known", p.tokens[i].text, p.tokens[i].line)
}

// operator takes one operator of the pipeline that the table's rows go through.
func (p *proof) operator(lo, end int) error {
	name, at := p.operatorName(lo, end)
	if at == lo {
		return hurdlef("unclear", "has a pipe that no operator follows")
	}
	if !perRow[name] {
		return beyond(name, p.tokens[lo].line)
	}
	return p.values(at, end, name == "mv-apply")
}

// operatorName joins what hyphens join, and finds where its operands begin.
func (p *proof) operatorName(lo, end int) (name string, at int) {
	if lo >= end || p.tokens[lo].kind != word {
		return "", lo
	}
	name, at = p.tokens[lo].text, lo+1
	for at+1 < end && p.tokens[at].is("-") && p.tokens[at].at == p.tokens[at-1].end && p.tokens[at+1].kind == word && p.tokens[at+1].at == p.tokens[at].end {
		name += "-" + p.tokens[at+1].text
		at += 2
	}
	return name, at
}

func beyond(operator string, line int) error {
	if overMany[operator] {
		return hurdlef(operator, "uses %s (line %d), whose result over a window is not the union of its parts", operator, line)
	}
	return hurdlef(operator, "uses %s (line %d), which is not known to work on each row by itself", operator, line)
}
