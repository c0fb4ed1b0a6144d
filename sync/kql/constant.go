package kql

import "slices"

// values takes the operands of an operator, which may hold anything but rows of
// the table. With inner, a bracket may hold a query that begins with an
// operator: it sees the values of one row.
func (p *proof) values(lo, hi int, inner bool) error {
	if at := p.reads(lo, hi); at >= 0 {
		if err := p.checkCalls(lo, at); err != nil { // such as toscalar, around what is read
			return err
		}
		return p.inside(at)
	}
	return p.constant(lo, hi, inner)
}

func (p *proof) inside(i int) error {
	return hurdlef("read inside", "reads %s inside an operator (line %d), so that what one row gives may depend on others", p.tokens[i].text, p.tokens[i].line)
}

// constant takes what is made of the query's own text alone, or of that and the
// columns of one row.
func (p *proof) constant(lo, hi int, inner bool) error {
	if at, ok := p.body(lo, hi); ok {
		_, err := p.statements(at, hi-1)
		return err
	}
	if err := p.pipeline(lo, hi, inner); err != nil {
		return err
	}
	return p.level(lo, hi, inner)
}

// pipeline takes the operators between the bars, and what the first one reads.
// Without a bar there is none.
func (p *proof) pipeline(lo, hi int, inner bool) error {
	end := until(p.tokens, lo, hi, "|")
	if end == hi {
		return nil
	}
	if first, _ := p.operatorName(lo, end); !p.writtenOut(lo, end) && !(inner && steady(first)) {
		if err := p.checkCalls(lo, end); err != nil {
			return err
		}
		return p.elsewhere(lo, end)
	}
	for lo = end + 1; lo < hi; lo = end + 1 {
		end = until(p.tokens, lo, hi, "|")
		if name, _ := p.operatorName(lo, end); !steady(name) {
			return beyond(name, p.tokens[lo].line)
		}
	}
	return nil
}

// steady says whether the operator gives the same for the same input.
func steady(operator string) bool { return perRow[operator] || overConstants[operator] }

// writtenOut says whether a pipeline begins with a table that the query holds.
func (p *proof) writtenOut(lo, end int) bool {
	if lo >= end {
		return false
	}
	t := p.tokens[lo]
	return t.is("(") || t.is("datatable") || t.is("print") || t.is("range") || t.named() && p.lets[t.text]
}

// level checks the calls and brackets of one level, and goes into the brackets.
func (p *proof) level(lo, hi int, inner bool) error {
	for i := lo; i < hi; i++ {
		if err := p.checkCalls(i, i+1); err != nil {
			return err
		}
		mate := p.tokens[i].mate
		if mate <= i {
			continue
		}
		if p.listed(i) && mate == i+2 && p.foreign(i+1) {
			return p.unknownSource(i + 1)
		}
		if err := p.constant(i+1, mate, inner); err != nil {
			return err
		}
		i = mate
	}
	return nil
}

// listed says whether the bracket holds what in looks through, which a table
// may be.
func (p *proof) listed(i int) bool {
	if i > 0 && p.tokens[i-1].is("~") {
		i--
	}
	return i > 0 && slices.ContainsFunc([]string{"in", "has_any", "has_all"}, p.tokens[i-1].is)
}

// foreign says whether the token is a name that the query doesn't explain: a
// column perhaps, but perhaps a table that isn't known here.
func (p *proof) foreign(i int) bool {
	return p.tokens[i].named() && !p.given[p.tokens[i].text]
}

// checkCalls refuses functions that may depend on more than their arguments.
func (p *proof) checkCalls(lo, hi int) error {
	for i := lo; i < hi; i++ {
		t := p.tokens[i]
		if t.kind != word || i+1 >= len(p.tokens) || !p.tokens[i+1].is("(") {
			continue
		}
		if !scalars[t.text] && !aggregates[t.text] && !beforeBracket[t.text] && !p.lets[t.text] {
			return hurdlef(t.text, "calls %s (line %d), %s", t.text, t.line, whyNot(t.text))
		}
	}
	return nil
}

// whyNot says what is wrong with a function that is not among the harmless.
func whyNot(function string) string {
	switch {
	case overTables[function]:
		return "whose value over a window says nothing of the window's parts"
	case overNeighbours[function]:
		return "which looks at the rows around"
	case anew[function]:
		return "which may give something else each time"
	}
	return "which is not known to depend on nothing but the row"
}
