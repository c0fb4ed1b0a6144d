package defendersim

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
)

// An aggregate is one aggregate function of a summarize: it makes a state for
// each group, and columns from the state.
type aggregate struct {
	cols  []HuntColumn
	state func() aggregateState
}

type aggregateState interface {
	add(row []any)
	values() []any // one for each column
}

// summarize groups rows.
func (s *kqlScope) summarize(r *huntRel, op *kqlOp) error {
	by, cols, err := s.groupKeys(op.by)
	if err != nil {
		return err
	}
	s.keys = cols
	var aggregates []aggregate
	for _, item := range op.items {
		a, err := s.aggregate(item)
		if err != nil {
			return err
		}
		aggregates = append(aggregates, a)
		cols = append(cols, a.cols...)
	}
	groups := grouped(r.rows, by, aggregates)
	if len(groups) == 0 && len(by) == 0 {
		groups = append(groups, newGroup(nil, aggregates))
	}
	r.cols, r.rows = nil, make([][]any, 0, len(groups))
	for i, c := range cols {
		r.cols = append(r.cols, huntCol{c, i})
	}
	for _, g := range groups {
		row := g.key
		for _, state := range g.states {
			row = append(row, state.values()...)
		}
		r.rows = append(r.rows, row)
	}
	return nil
}

func (s *kqlScope) groupKeys(items []kqlItem) (by []*kqlExpr, cols []HuntColumn, err error) {
	for i, item := range items {
		e, err := s.compile(item.expr)
		if err != nil {
			return nil, nil, err
		}
		by = append(by, e)
		cols = append(cols, HuntColumn{nameOf(item, e, i), e.typ})
	}
	return by, cols, nil
}

type huntGroup struct {
	key    []any
	states []aggregateState
}

func newGroup(key []any, aggregates []aggregate) *huntGroup {
	g := &huntGroup{key: key}
	for _, a := range aggregates {
		g.states = append(g.states, a.state())
	}
	return g
}

// grouped adds every row to its group. The groups come as they are met.
func grouped(rows [][]any, by []*kqlExpr, aggregates []aggregate) []*huntGroup {
	var groups []*huntGroup
	known := map[string]*huntGroup{}
	var id []byte
	for _, row := range rows {
		id = id[:0]
		for _, e := range by {
			id = appendID(id, e.eval(row))
		}
		g := known[string(id)]
		if g == nil {
			key := make([]any, len(by))
			for i, e := range by {
				key[i] = e.eval(row)
			}
			g = newGroup(key, aggregates)
			known[string(id)] = g
			groups = append(groups, g)
		}
		for _, state := range g.states {
			state.add(row)
		}
	}
	return groups
}

// appendID appends what tells a value from all others.
func appendID(b []byte, v any) []byte {
	if v == nil {
		return append(b, '-', ';')
	}
	text := textOf(v)
	b = strconv.AppendInt(b, int64(len(text)), 10)
	return append(append(append(b, ':'), text...), ';')
}

func (s *kqlScope) distinct(r *huntRel, items []kqlItem) error {
	if len(items) == 1 && items[0].expr.kind == nodeStar && items[0].expr.text == "" {
		items = nil
		for _, c := range s.cols {
			items = append(items, kqlItem{expr: &kqlNode{kind: nodeName, text: c.Name}})
		}
	}
	return s.summarize(r, &kqlOp{by: items})
}

// aggregate reads one aggregate function.
func (s *kqlScope) aggregate(item kqlItem) (aggregate, error) {
	n := item.expr
	if n.kind != nodeCall {
		return aggregate{}, s.fail("An aggregate is expected")
	}
	switch n.text {
	case "arg_max", "arg_min":
		return s.extreme(n)
	case "any", "take_any":
		n = &kqlNode{kind: nodeCall, text: "take_any", args: n.args}
	}
	kind, ok := aggregates[n.text]
	if !ok {
		return aggregate{}, s.fail("Unknown aggregate function: '%s'", n.text)
	}
	args, err := s.compileAll(n.args)
	if err != nil {
		return aggregate{}, err
	}
	if len(args) != kind.args {
		return aggregate{}, s.fail("%s(): function expects %d argument(s)", n.text, kind.args)
	}
	col, value := HuntColumn{item.name, kind.typ}, func([]any) any { return nil }
	if col.Name == "" {
		col.Name = n.text + "_"
	}
	if len(args) > 0 {
		value = args[0].eval
		col.Type = cmp.Or(kind.typ, args[0].typ)
		col.Name = cmp.Or(item.name, col.Name+args[0].name)
	}
	return aggregate{[]HuntColumn{col}, func() aggregateState { return &fold{value: value, step: kind.step, now: kind.first} }}, nil
}

// aggregates are those that need no more than one value to go on.
var aggregates = map[string]struct {
	args  int
	typ   string // "" is that of the argument
	first any
	step  func(f *fold, v any) any
}{
	"count":    {0, "long", int64(0), func(f *fold, _ any) any { return f.now.(int64) + 1 }},
	"countif":  {1, "long", int64(0), func(f *fold, v any) any { return f.now.(int64) + map[bool]int64{true: 1}[v == true] }},
	"dcount":   {1, "long", int64(0), func(f *fold, v any) any { f.meet(v); return int64(len(f.met)) }},
	"sum":      {1, "", nil, func(f *fold, v any) any { return added(f.now, v) }},
	"min":      {1, "", nil, func(f *fold, v any) any { return further(f.now, v, -1) }},
	"max":      {1, "", nil, func(f *fold, v any) any { return further(f.now, v, 1) }},
	"take_any": {1, "", nil, func(f *fold, v any) any { return further(f.now, v, 2) }},
	"make_set": {1, "dynamic", json.RawMessage("[]"), func(f *fold, v any) any { return f.collect(v) }},
}

// fold is the state of an aggregate of one value.
type fold struct {
	value func(row []any) any
	step  func(f *fold, v any) any
	now   any
	met   map[string]bool
	list  []string
}

func (f *fold) add(row []any) { f.now = f.step(f, f.value(row)) }

func (f *fold) values() []any { return []any{f.now} }

// meet tells whether a value is new.
func (f *fold) meet(v any) bool {
	if f.met == nil {
		f.met = map[string]bool{}
	}
	id := string(appendID(nil, v))
	was := f.met[id]
	f.met[id] = true
	return !was
}

func (f *fold) collect(v any) any {
	if v != nil && f.meet(v) {
		f.list = append(f.list, textOf(v))
		b, _ := json.Marshal(f.list) // texts
		return json.RawMessage(b)
	}
	return f.now
}

func added(now, v any) any {
	if now == nil {
		return v
	}
	if v == nil {
		return now
	}
	return compute("+", now, v)
}

// further is the value that lies further in a direction; in none but 1 and -1
// the first there was.
func further(now, v any, direction int) any {
	if c, ok := compareValues(v, now); now == nil || ok && c == direction {
		return v
	}
	return now
}

// extreme is arg_max or arg_min: the columns of the row where an expression
// is the largest or smallest.
func (s *kqlScope) extreme(n *kqlNode) (aggregate, error) {
	if len(n.args) < 2 {
		return aggregate{}, s.fail("%s(): function expects at least 2 arguments", n.text)
	}
	key, err := s.compile(n.args[0])
	if err != nil {
		return aggregate{}, err
	}
	a := aggregate{cols: []HuntColumn{{nameOf(kqlItem{}, key, 0), key.typ}}}
	rest := n.args[1:]
	if rest[0].kind == nodeStar {
		rest = nil
		for _, c := range s.cols {
			rest = append(rest, &kqlNode{kind: nodeName, text: c.Name})
		}
	}
	returned := []*kqlExpr{key}
	for i, node := range rest {
		e, err := s.compile(node)
		if err != nil {
			return aggregate{}, err
		}
		grouped := slices.ContainsFunc(s.keys, func(c HuntColumn) bool { return c.Name == e.name })
		if e.name == key.name || grouped {
			continue
		}
		returned = append(returned, e)
		a.cols = append(a.cols, HuntColumn{nameOf(kqlItem{}, e, i+1), e.typ})
	}
	direction := map[string]int{"arg_max": 1, "arg_min": -1}[n.text]
	a.state = func() aggregateState { return &best{key: key, returned: returned, direction: direction} }
	return a, nil
}

// best is the state of arg_max and arg_min.
type best struct {
	key       *kqlExpr
	returned  []*kqlExpr
	direction int
	row       []any
}

func (b *best) add(row []any) {
	if c, ok := compareValues(b.key.eval(row), b.key.eval(b.row)); b.row == nil || ok && c == b.direction {
		b.row = row
	}
}

func (b *best) values() []any {
	list := make([]any, len(b.returned))
	for i, e := range b.returned {
		if b.row != nil {
			list[i] = e.eval(b.row)
		}
	}
	return list
}
