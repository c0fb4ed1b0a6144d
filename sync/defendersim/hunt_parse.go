package defendersim

import (
	"fmt"
	"slices"
	"strings"
)

// A kqlNode is a scalar expression.
type kqlNode struct {
	kind kqlNodeKind
	text string // a name, an operator or a function
	val  any
	typ  string // of a literal
	args []*kqlNode
}

type kqlNodeKind int

const (
	nodeLiteral kqlNodeKind = iota
	nodeName
	nodeCall
	nodeOperator // of one or two operands; in and between have their list after the first
	nodeStar
)

// A kqlPipe is a table and what is done to it.
type kqlPipe struct {
	table  string
	inner  *kqlPipe // in parentheses, in place of a table
	shadow int      // the lets that the pipe can see: those before it
	ops    []kqlOp
}

// A kqlOp is one operator of a pipe.
type kqlOp struct {
	name  string
	items []kqlItem // columns, aggregates, sort keys or the predicate
	by    []kqlItem // of summarize
	count *kqlNode  // of take and top
}

// A kqlItem is an expression with the name that it is given.
type kqlItem struct {
	name string
	expr *kqlNode
	asc  bool
}

// A kqlLet is a name for a value or for a pipe.
type kqlLet struct {
	name  string
	value *kqlNode
	pipe  *kqlPipe
}

type kqlParser struct {
	text    string
	tokens  []kqlToken
	lets    []kqlLet
	isTable func(string) bool
}

// parseKQL reads a query: lets, then one pipe.
func parseKQL(text string, isTable func(string) bool) ([]kqlLet, *kqlPipe, error) {
	tokens, err := kqlTokens(text)
	if err != nil {
		return nil, nil, err
	}
	p := &kqlParser{text: text, tokens: tokens, isTable: isTable}
	for p.accept("let") {
		if err := p.let(); err != nil {
			return nil, nil, err
		}
	}
	pipe, err := p.pipe()
	if err != nil {
		return nil, nil, err
	}
	p.accept(";")
	if p.peek().kind != kqlEnd {
		return nil, nil, p.unexpected()
	}
	return p.lets, pipe, nil
}

func (p *kqlParser) peek() kqlToken { return p.tokens[0] }

func (p *kqlParser) next() kqlToken {
	t := p.tokens[0]
	if t.kind != kqlEnd {
		p.tokens = p.tokens[1:]
	}
	return t
}

// is tells whether a word or sign comes next.
func (p *kqlParser) is(text string) bool {
	return p.peek().text == text && p.peek().kind != kqlLiteral && text != ""
}

func (p *kqlParser) accept(text string) bool {
	ok := p.is(text)
	if ok {
		p.next()
	}
	return ok
}

func (p *kqlParser) expect(text string) error {
	if !p.accept(text) {
		return p.unexpected()
	}
	return nil
}

func (p *kqlParser) unexpected() error {
	t := p.peek()
	if t.kind == kqlEnd {
		return syntaxError(p.text, t.pos, "Unexpected end of the query")
	}
	return syntaxError(p.text, t.pos, fmt.Sprintf("Unexpected '%s'", p.text[t.pos:t.end]))
}

func (p *kqlParser) name() (string, error) {
	if t := p.peek(); t.kind == kqlWord {
		return p.next().text, nil
	}
	if p.is("[") && p.tokens[1].typ == "string" { // ['a name']
		p.next()
		name := p.next().val.(string)
		return name, p.expect("]")
	}
	return "", p.unexpected()
}

func (p *kqlParser) let() error {
	name, err := p.name()
	if err != nil {
		return err
	}
	if err := p.expect("="); err != nil {
		return err
	}
	l := kqlLet{name: name}
	if p.tabular() {
		l.pipe, err = p.pipe()
	} else {
		l.value, err = p.or()
	}
	if err != nil {
		return err
	}
	p.lets = append(p.lets, l)
	return p.expect(";")
}

// tabular tells whether what comes next is a table, not a value.
func (p *kqlParser) tabular() bool {
	for i, t := range p.tokens {
		switch {
		case t.kind == kqlSign && t.text == "(":
		case t.kind == kqlWord:
			rest := p.tokens[min(i+1, len(p.tokens)-1)]
			known := slices.ContainsFunc(p.lets, func(l kqlLet) bool { return l.name == t.text && l.pipe != nil })
			return known || p.isTable(t.text) || rest.kind == kqlSign && rest.text == "|"
		default:
			return false
		}
	}
	return false
}

func (p *kqlParser) pipe() (*kqlPipe, error) {
	pipe := &kqlPipe{shadow: len(p.lets)}
	var err error
	if p.accept("(") {
		if pipe.inner, err = p.pipe(); err == nil {
			err = p.expect(")")
		}
	} else {
		pipe.table, err = p.name()
	}
	for err == nil && p.accept("|") {
		var op kqlOp
		op, err = p.operator()
		pipe.ops = append(pipe.ops, op)
	}
	return pipe, err
}

// operator reads one operator of a pipe.
func (p *kqlParser) operator() (op kqlOp, err error) {
	if op.name, err = p.name(); err != nil {
		return op, err
	}
	for p.is("-") && p.tokens[0].end == p.tokens[1].pos && p.tokens[1].kind == kqlWord { // project-away
		p.next()
		op.name += "-" + p.next().text
	}
	switch op.name {
	case "where", "filter":
		op.name = "where"
		var e *kqlNode
		e, err = p.or()
		op.items = []kqlItem{{expr: e}}
	case "project", "extend", "distinct", "project-rename", "project-away", "project-keep", "project-reorder":
		op.items, err = p.items()
	case "summarize":
		if !p.is("by") {
			op.items, err = p.items()
		}
		if err == nil && p.accept("by") {
			op.by, err = p.items()
		}
	case "count", "getschema":
	case "take", "limit":
		op.name = "take"
		op.count, err = p.or()
	case "top", "sort", "order":
		err = p.sorting(&op)
	default:
		err = semanticError(op.name, "The operator is not one that the simulated tenant evaluates")
	}
	return op, err
}

// semanticError is the refusal of a query that can be read but means nothing.
func semanticError(operator, format string, args ...any) error {
	message := fmt.Sprintf(format, args...) + ". Fix semantic errors in your query."
	if operator != "" {
		message = "'" + operator + "' operator: " + message
	}
	return &huntRefusal{message: message}
}

// sorting reads the keys of sort and top.
func (p *kqlParser) sorting(op *kqlOp) (err error) {
	if op.name == "top" {
		if op.count, err = p.or(); err != nil {
			return err
		}
	} else {
		op.name = "sort"
	}
	if err := p.expect("by"); err != nil {
		return err
	}
	for {
		e, err := p.or()
		if err != nil {
			return err
		}
		item := kqlItem{expr: e, asc: p.accept("asc")}
		if !item.asc {
			p.accept("desc")
		}
		if p.accept("nulls") { // nulls come first when ascending and last when not
			p.next()
		}
		op.items = append(op.items, item)
		if !p.accept(",") {
			return nil
		}
	}
}

// items reads expressions that may be given a name.
func (p *kqlParser) items() ([]kqlItem, error) {
	var list []kqlItem
	for {
		var item kqlItem
		if p.tokens[0].kind == kqlWord && p.tokens[1].kind == kqlSign && p.tokens[1].text == "=" {
			item.name = p.next().text
			p.next()
		}
		e, err := p.item()
		if err != nil {
			return nil, err
		}
		item.expr = e
		list = append(list, item)
		if !p.accept(",") {
			return list, nil
		}
	}
}

// item is an expression, a star, or a name with a star at its end.
func (p *kqlParser) item() (*kqlNode, error) {
	if p.accept("*") {
		return &kqlNode{kind: nodeStar}, nil
	}
	if t := p.tokens[0]; t.kind == kqlWord && p.tokens[1].text == "*" && p.tokens[1].pos == t.end {
		p.next()
		p.next()
		return &kqlNode{kind: nodeStar, text: t.text}, nil
	}
	return p.or()
}

func (p *kqlParser) or() (*kqlNode, error) { return p.chain(p.and, "or") }

func (p *kqlParser) and() (*kqlNode, error) { return p.chain(p.comparison, "and") }

func (p *kqlParser) sum() (*kqlNode, error) { return p.chain(p.product, "+", "-") }

func (p *kqlParser) product() (*kqlNode, error) { return p.chain(p.unary, "*", "/", "%") }

// chain reads operands joined by operators of one rank.
func (p *kqlParser) chain(operand func() (*kqlNode, error), operators ...string) (*kqlNode, error) {
	left, err := operand()
	for err == nil && p.peek().kind != kqlLiteral && slices.Contains(operators, p.peek().text) {
		op := p.next().text
		var right *kqlNode
		right, err = operand()
		left = &kqlNode{kind: nodeOperator, text: op, args: []*kqlNode{left, right}}
	}
	return left, err
}

func (p *kqlParser) comparison() (*kqlNode, error) {
	left, err := p.sum()
	if err != nil || p.peek().kind == kqlLiteral {
		return left, err
	}
	op := p.peek().text
	bare := strings.TrimSuffix(strings.TrimPrefix(op, "!"), "~")
	switch {
	case bare == "in", bare == "has_any", bare == "has_all", bare == "between":
		p.next()
		list, err := p.list(bare == "between")
		return &kqlNode{kind: nodeOperator, text: op, args: append([]*kqlNode{left}, list...)}, err
	case op == "matches" && p.tokens[1].text == "regex":
		p.next()
		fallthrough
	case kqlComparisons[op] != nil:
		op = p.next().text
		right, err := p.sum()
		return &kqlNode{kind: nodeOperator, text: op, args: []*kqlNode{left, right}}, err
	}
	return left, nil
}

// list reads (a, b, …), or the (a .. b) of between.
func (p *kqlParser) list(between bool) ([]*kqlNode, error) {
	separator := ","
	if between {
		separator = ".."
	}
	if err := p.expect("("); err != nil {
		return nil, err
	}
	var list []*kqlNode
	for {
		e, err := p.or()
		if err != nil {
			return nil, err
		}
		list = append(list, e)
		if !p.accept(separator) {
			break
		}
	}
	if between && len(list) != 2 {
		return nil, p.unexpected()
	}
	return list, p.expect(")")
}

func (p *kqlParser) unary() (*kqlNode, error) {
	if p.accept("-") {
		e, err := p.unary()
		return &kqlNode{kind: nodeOperator, text: "-", args: []*kqlNode{{kind: nodeLiteral, val: int64(0), typ: "long"}, e}}, err
	}
	p.accept("+")
	e, err := p.primary()
	for err == nil {
		member := &kqlNode{kind: nodeLiteral, typ: "string"}
		switch {
		case p.accept("."):
			member.val, err = p.name()
		case p.accept("["):
			if member, err = p.or(); err == nil {
				err = p.expect("]")
			}
		default:
			return e, nil
		}
		e = &kqlNode{kind: nodeCall, text: memberOf, args: []*kqlNode{e, member}}
	}
	return nil, err
}

func (p *kqlParser) primary() (*kqlNode, error) {
	t := p.peek()
	switch {
	case t.kind == kqlLiteral:
		p.next()
		return &kqlNode{kind: nodeLiteral, val: t.val, typ: t.typ}, nil
	case p.accept("("):
		e, err := p.or()
		if err != nil {
			return nil, err
		}
		return e, p.expect(")")
	}
	name, err := p.name()
	if err != nil {
		return nil, err
	}
	switch {
	case p.accept("("):
		return p.call(name)
	case name == "true" || name == "false":
		return &kqlNode{kind: nodeLiteral, val: name == "true", typ: "bool"}, nil
	}
	return &kqlNode{kind: nodeName, text: name}, nil
}

func (p *kqlParser) call(name string) (*kqlNode, error) {
	n := &kqlNode{kind: nodeCall, text: name}
	for !p.accept(")") {
		if len(n.args) > 0 {
			if err := p.expect(","); err != nil {
				return nil, err
			}
		}
		e, err := p.item()
		if err != nil {
			return nil, err
		}
		n.args = append(n.args, e)
	}
	return n, nil
}
