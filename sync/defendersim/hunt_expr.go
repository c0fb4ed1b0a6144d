package defendersim

import (
	"encoding/json"
	"slices"
	"strings"
)

// A kqlExpr is an expression over the columns of a table, ready to run.
type kqlExpr struct {
	typ   string
	name  string // that it has when it is given none
	col   *huntCol
	konst bool // the same for every row
	eval  func(row []any) any
}

// A kqlScope is what the names of an expression stand for.
type kqlScope struct {
	env      *huntEnv
	operator string // for errors
	cols     []huntCol
	keys     []HuntColumn // what a summarize groups by
}

func (s *kqlScope) column(name string) *huntCol {
	i := slices.IndexFunc(s.cols, func(c huntCol) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return &s.cols[i]
}

func (s *kqlScope) fail(format string, args ...any) error {
	return semanticError(s.operator, format, args...)
}

func constant(typ string, v any) *kqlExpr {
	return &kqlExpr{typ: typ, konst: true, eval: func([]any) any { return v }}
}

// compile makes an expression runnable; what is the same for every row is
// worked out at once.
func (s *kqlScope) compile(n *kqlNode) (*kqlExpr, error) {
	e, err := s.expression(n)
	if err == nil && e.konst {
		e.eval = constant(e.typ, e.eval(nil)).eval
	}
	return e, err
}

func (s *kqlScope) expression(n *kqlNode) (*kqlExpr, error) {
	switch n.kind {
	case nodeLiteral:
		return constant(n.typ, n.val), nil
	case nodeName:
		return s.resolve(n.text)
	case nodeStar:
		return nil, s.fail("'*' does not stand for a value here")
	}
	args, err := s.compileAll(n.args)
	if err != nil {
		return nil, err
	}
	e, err := s.apply(n, args)
	if err == nil {
		varies := slices.ContainsFunc(args, func(a *kqlExpr) bool { return !a.konst })
		e.konst = !varies && n.text != "pack_all"
	}
	return e, err
}

func (s *kqlScope) compileAll(nodes []*kqlNode) ([]*kqlExpr, error) {
	list := make([]*kqlExpr, len(nodes))
	for i, n := range nodes {
		var err error
		if list[i], err = s.compile(n); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (s *kqlScope) resolve(name string) (*kqlExpr, error) {
	if c := s.column(name); c != nil {
		i, typ := c.at, c.Type
		return &kqlExpr{typ: typ, name: name, col: c, eval: func(row []any) any { return plain(typ, at(row, i)) }}, nil
	}
	if v, ok := s.env.values[name]; ok {
		return v, nil
	}
	return nil, s.fail("Failed to resolve scalar expression named '%s'", name)
}

func (s *kqlScope) apply(n *kqlNode, args []*kqlExpr) (*kqlExpr, error) {
	if n.kind == nodeCall {
		return s.call(n.text, args)
	}
	switch op := n.text; op {
	case "and", "or":
		return logic(op == "and", args[0].eval, args[1].eval), nil
	case "+", "-", "*", "/", "%":
		return arithmetic(op, args[0], args[1]), nil
	case "in", "in~", "!in", "!in~", "has_any", "has_all", "between", "!between":
		return membership(op, args), nil
	}
	test := kqlComparisons[n.text]
	a, b := args[0].eval, args[1].eval
	return &kqlExpr{typ: "bool", eval: func(row []any) any { return test(a(row), b(row)) }}, nil
}

func logic(and bool, a, b func([]any) any) *kqlExpr {
	return &kqlExpr{typ: "bool", eval: func(row []any) any {
		if x, _ := a(row).(bool); x != and {
			return x
		}
		y, _ := b(row).(bool)
		return y
	}}
}

// membership is an operator with a list on its right.
func membership(op string, args []*kqlExpr) *kqlExpr {
	bare, negative := strings.CutPrefix(op, "!")
	value, list := args[0].eval, spread(args[1:])
	var in func(v any, row []any) bool
	switch bare {
	case "between":
		in = func(v any, row []any) bool {
			return kqlComparisons[">="](v, list[0].eval(row)) && kqlComparisons["<="](v, list[1].eval(row))
		}
	case "has_all":
		in = func(v any, row []any) bool {
			return !slices.ContainsFunc(list, func(e *kqlExpr) bool { return !kqlComparisons["has"](v, e.eval(row)) })
		}
	default:
		test := kqlComparisons[map[string]string{"in": "==", "in~": "=~", "has_any": "has"}[bare]]
		in = func(v any, row []any) bool {
			return slices.ContainsFunc(list, func(e *kqlExpr) bool { return test(v, e.eval(row)) })
		}
	}
	return &kqlExpr{typ: "bool", eval: func(row []any) any { return in(value(row), row) != negative }}
}

// spread replaces a constant array by its elements.
func spread(list []*kqlExpr) []*kqlExpr {
	var all []*kqlExpr
	for _, e := range list {
		var elements []any
		if raw, ok := e.constant().(json.RawMessage); !ok || json.Unmarshal(raw, &elements) != nil {
			all = append(all, e)
		}
		for _, v := range elements {
			all = append(all, constant("dynamic", v))
		}
	}
	return all
}

// constant is the value of what is the same for every row, else nil.
func (e *kqlExpr) constant() any {
	if !e.konst {
		return nil
	}
	return e.eval(nil)
}

// kqlComparisons are the operators between two values.
var kqlComparisons = allComparisons()

func allComparisons() map[string]func(a, b any) bool {
	order := func(test func(c int) bool) func(a, b any) bool {
		return func(a, b any) bool {
			c, ok := compareValues(a, b)
			return ok && test(c)
		}
	}
	text := func(fold bool, test func(a, b string) bool) func(a, b any) bool {
		return func(a, b any) bool {
			x, y := textOf(a), textOf(b)
			if fold {
				x, y = strings.ToLower(x), strings.ToLower(y)
			}
			return test(x, y)
		}
	}
	m := map[string]func(a, b any) bool{
		"regex": text(false, matches),
		"==":    order(func(c int) bool { return c == 0 }), "<": order(func(c int) bool { return c < 0 }), "<=": order(func(c int) bool { return c <= 0 }),
		">": order(func(c int) bool { return c > 0 }), ">=": order(func(c int) bool { return c >= 0 }),
		"=~":  text(false, strings.EqualFold),
		"has": text(false, hasTerm), "contains": text(true, strings.Contains), "startswith": text(true, strings.HasPrefix), "endswith": text(true, strings.HasSuffix),
		"contains_cs": text(false, strings.Contains), "startswith_cs": text(false, strings.HasPrefix), "endswith_cs": text(false, strings.HasSuffix),
	}
	for _, op := range []string{"=~", "has", "contains", "startswith", "endswith", "contains_cs", "startswith_cs", "endswith_cs"} {
		test := m[op]
		m["!"+strings.TrimPrefix(op, "=")] = func(a, b any) bool { return !test(a, b) }
	}
	equal := m["=="]
	m["!="] = func(a, b any) bool { return !equal(a, b) }
	return m
}

// arithmetic computes with numbers, datetimes and timespans.
func arithmetic(op string, a, b *kqlExpr) *kqlExpr {
	typ := a.typ
	switch {
	case a.typ == "datetime" && b.typ == "datetime":
		typ = "timespan"
	case b.typ == "datetime" || b.typ == "real" || b.typ == "timespan" && a.typ != "datetime":
		typ = b.typ
	}
	if a.typ == "timespan" && b.typ == "timespan" && op == "/" {
		typ = "real"
	}
	return &kqlExpr{typ: typ, eval: func(row []any) any { return compute(op, a.eval(row), b.eval(row)) }}
}

func compute(op string, a, b any) any {
	switch x := a.(type) {
	case HuntTicks:
		if y, ok := b.(HuntTicks); ok && op == "-" {
			return timespan(x - y)
		}
		if y, ok := b.(timespan); ok && op == "-" {
			return x - HuntTicks(y)
		} else if ok && op == "+" {
			return x + HuntTicks(y)
		}
		return nil
	case timespan:
		return computeSpan(op, x, b)
	case int64:
		if y, ok := b.(int64); ok {
			return computeInt(op, x, y)
		}
	}
	x, ok := number(a)
	if y, ok2 := b.(timespan); ok2 && ok && op == "*" {
		return timespan(x * float64(y))
	}
	if y, ok2 := b.(timespan); ok2 && ok && op == "-" && x == 0 { // the sign before a timespan
		return -y
	}
	y, ok2 := number(b)
	if !ok || !ok2 {
		return nil
	}
	return map[string]func() any{"+": func() any { return x + y }, "-": func() any { return x - y }, "*": func() any { return x * y },
		"/": func() any { return x / y }, "%": func() any { return nil }}[op]()
}

func computeSpan(op string, x timespan, b any) any {
	switch y := b.(type) {
	case HuntTicks:
		if op == "+" {
			return HuntTicks(x) + y
		}
	case timespan:
		switch op {
		case "+":
			return x + y
		case "-":
			return x - y
		case "/":
			return float64(x) / float64(y)
		}
	}
	y, ok := number(b)
	switch {
	case ok && op == "*":
		return timespan(float64(x) * y)
	case ok && op == "/" && y != 0:
		return timespan(float64(x) / y)
	}
	return nil
}

func computeInt(op string, x, y int64) any {
	switch {
	case op == "+":
		return x + y
	case op == "-":
		return x - y
	case op == "*":
		return x * y
	case y == 0:
		return nil
	case op == "/":
		return x / y
	}
	return x % y
}

// call is a function.
func (s *kqlScope) call(name string, args []*kqlExpr) (*kqlExpr, error) {
	f, ok := kqlFunctions[name]
	switch {
	case name == "pack_all" && len(args) == 0:
		return s.packAll(), nil
	case name == "now" && len(args) == 0, name == "ago" && len(args) == 1:
		at := TicksOf(s.env.now)
		if name == "ago" {
			d, _ := args[0].eval(nil).(timespan)
			at -= HuntTicks(d)
		}
		return constant("datetime", at), nil
	case !ok:
		return nil, s.fail("Unknown function: '%s'", name)
	case len(args) < f.min || len(args) > f.max:
		return nil, s.fail("%s(): function expects %d argument(s)", name, f.min)
	}
	e := &kqlExpr{typ: f.typ, eval: func(row []any) any {
		values := make([]any, len(args))
		for i, a := range args {
			values[i] = a.eval(row)
		}
		return f.do(values)
	}}
	if name == memberOf {
		e.name = args[0].name + "_" + textOf(args[1].constant())
	}
	if f.typ == "" { // the type of its last argument but for bin
		e.typ = args[len(args)-1].typ
		if name == "bin" || name == "floor" {
			e.typ, e.name = args[0].typ, args[0].name
		}
	}
	return e, nil
}

// packAll is a row as one dynamic value.
func (s *kqlScope) packAll() *kqlExpr {
	keys := (&huntEncoder{older: true}).keys(s.cols) // in the order of the columns
	size := 0                                        // of the last one
	return &kqlExpr{typ: "dynamic", eval: func(row []any) any {
		e := &huntEncoder{b: make([]byte, 0, size+size/8)}
		e.row(keys, row)
		size = len(e.b)
		return json.RawMessage(e.b)
	}}
}
