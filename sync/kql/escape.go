package kql

import "fmt"

// sources are the functions that reach tables without the name standing alone:
// by a string, or in another database.
var sources = words(`table database cluster workspace app adx arg resource external_table materialized_view stored_query_result`)

// escapes lists what reads tables that no line before the query can stand for.
func (q *Query) escapes(own map[string]int) []string {
	var found []string
	for i, t := range q.tokens {
		what := ""
		switch {
		case t.is("union"):
			what = q.pattern("union", i+1, q.clause(i+1))
		case (t.is("search") || t.is("find")) && q.heads(i):
			what = q.everywhere(i)
		case q.called(i) && sources[t.text]:
			what = t.text + "()"
		case q.mentioned(i) && i < own[t.text]:
			what = t.text + " beside the query's own " + t.text
		}
		if what != "" {
			found = append(found, fmt.Sprintf("%s (line %d)", what, t.line))
		}
	}
	return found
}

// heads says whether the token can begin a tabular expression that has no
// input: search and find read what is piped into them when something is.
func (q *Query) heads(i int) bool {
	if i == 0 {
		return true
	}
	before := q.tokens[i-1]
	return before.is(";") || before.is("=") || before.is("(") || before.is("{")
}

// everywhere is what search or find reads without being told, or told by a
// pattern.
func (q *Query) everywhere(i int) string {
	at := q.options(i + 1)
	if at+1 >= len(q.tokens) || !q.tokens[at].is("in") || q.tokens[at+1].mate < at {
		return q.tokens[i].text
	}
	return q.pattern(q.tokens[i].text+" in", at+2, q.tokens[at+1].mate)
}

// options steps over name=value pairs.
func (q *Query) options(at int) int {
	for at+2 < len(q.tokens) && q.tokens[at].kind == word && q.tokens[at+1].is("=") {
		at += 3
	}
	return at
}

// clause is where the operator that at is in ends, or another union begins: so
// that text that is nothing but unions is gone through once.
func (q *Query) clause(at int) int {
	for ; at < len(q.tokens); at++ {
		t := q.tokens[at]
		if t.is("|") || t.is(";") || t.is(")") || t.is("}") || t.is("union") {
			return at
		}
		if t.mate > at {
			at = t.mate
		}
	}
	return at
}

// pattern is the operator with the first of its operands that stands for tables
// by a star, such as union Device*. What is in brackets is another expression's,
// where a star multiplies.
func (q *Query) pattern(operator string, at, hi int) string {
	for ; at < hi; at++ {
		if q.tokens[at].is("*") {
			return operator + " " + q.written(at)
		}
		if mate := q.tokens[at].mate; mate > at {
			at = mate
		}
	}
	return ""
}

// written is the token with the words and stars that touch it.
func (q *Query) written(i int) string {
	touches := func(a, b int) bool {
		return a >= 0 && b < len(q.tokens) && q.tokens[a].end == q.tokens[b].at
	}
	partOfName := func(i int) bool { return q.tokens[i].kind == word || q.tokens[i].is("*") }
	from, to := i, i
	for touches(from-1, from) && partOfName(from-1) {
		from--
	}
	for touches(to, to+1) && partOfName(to+1) {
		to++
	}
	return q.text[q.tokens[from].at:q.tokens[to].end]
}
