package defendersim

import (
	"hash/fnv"
	"math/rand/v2"
	"path"
	"slices"
	"time"
)

// huntEnv is what a query runs in.
type huntEnv struct {
	tables       *HuntTables
	now          time.Time
	reach        span
	rejectShadow bool

	lets    []kqlLet
	values  map[string]*kqlExpr
	scanned int // rows looked at
}

// huntCol is a column of a table that is worked on.
type huntCol struct {
	HuntColumn
	at int // index of the value in a row
}

// huntRel is a table that is worked on. Rows may be shorter than at says.
type huntRel struct {
	cols []huntCol
	rows [][]any
}

// run answers a query. What is wrong with it is found before a row is read.
func (env *huntEnv) run(text string) (*huntRel, error) {
	lets, pipe, err := parseKQL(text, func(name string) bool { return env.tables.tables[name] != nil })
	if err != nil {
		return nil, err
	}
	if err := env.bind(lets); err != nil {
		return nil, err
	}
	table, ops, err := env.flatten(pipe)
	if err != nil {
		return nil, err
	}
	none := &huntRel{cols: table.cols()}
	if err := env.apply(none, ops); err != nil {
		return nil, err
	}
	found := &huntRel{cols: table.cols(), rows: env.scan(table, ops, text)}
	return found, env.apply(found, ops)
}

// bind gives the lets their values.
func (env *huntEnv) bind(lets []kqlLet) error {
	env.lets, env.values = lets, map[string]*kqlExpr{}
	for i, l := range lets {
		if slices.ContainsFunc(lets[:i], func(x kqlLet) bool { return x.name == l.name }) {
			return semanticError("let", "A variable with the name '%s' is already declared", l.name)
		}
		if env.rejectShadow && env.tables.tables[l.name] != nil {
			return semanticError("let", "The name '%s' is that of a table and cannot be declared", l.name)
		}
		if l.pipe != nil { // an unused one may not be wrong either
			table, ops, err := env.flatten(l.pipe)
			if err == nil {
				err = env.apply(&huntRel{cols: table.cols()}, ops)
			}
			if err != nil {
				return err
			}
			continue
		}
		e, err := (&kqlScope{env: env, operator: "let"}).compile(l.value)
		if err != nil {
			return err
		}
		env.values[l.name] = e
	}
	return nil
}

// flatten finds the table that a pipe begins with, through lets, and all that
// is done to it.
func (env *huntEnv) flatten(p *kqlPipe) (*huntTable, []kqlOp, error) {
	inner := p.inner
	for i := p.shadow - 1; i >= 0 && inner == nil; i-- {
		if env.lets[i].name == p.table {
			inner = env.lets[i].pipe
		}
	}
	if inner != nil {
		table, ops, err := env.flatten(inner)
		return table, append(slices.Clone(ops), p.ops...), err
	}
	if table := env.tables.tables[p.table]; table != nil {
		return table, p.ops, nil
	}
	first := ""
	if len(p.ops) > 0 {
		first = p.ops[0].name
	}
	return nil, nil, semanticError(first, "Failed to resolve table or column expression named '%s'", p.table)
}

func (t *huntTable) cols() []huntCol {
	cols := make([]huntCol, len(t.Columns))
	for i, c := range t.Columns {
		cols[i] = huntCol{c, i}
	}
	return cols
}

// scan reads the rows of a table that lie in the reach and in the time that
// the first wheres leave. They come in an order that follows nothing, because
// a service that promises none keeps none; the same query has the same.
func (env *huntEnv) scan(t *huntTable, ops []kqlOp, text string) [][]any {
	within := env.reach
	for _, op := range ops {
		if op.name != "where" || t.time < 0 {
			break
		}
		within = within.and(env.window(op.items[0].expr, t))
	}
	list := t.between(within.from, within.to)
	env.scanned += len(list)
	rows := make([][]any, 0, len(list))
	for i := range list {
		if list[i].visible(env.now) {
			rows = append(rows, list[i].Values)
		}
	}
	h := fnv.New64a()
	h.Write([]byte(text))
	r := rand.New(rand.NewPCG(h.Sum64(), 0x6b716c))
	r.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	return rows
}

// always is a span that leaves nothing out.
var always = span{-1 << 63, 1<<63 - 1}

// window is the time that a predicate leaves, or more.
func (env *huntEnv) window(n *kqlNode, t *huntTable) span {
	if n.kind != nodeOperator || len(n.args) < 2 {
		return always
	}
	if n.text == "and" {
		return env.window(n.args[0], t).and(env.window(n.args[1], t))
	}
	left, right := n.args[0], n.args[1]
	if _, text := kqlMirror[n.text]; text && right.kind == nodeName && right.text == t.Time {
		left, right = right, left
		n = &kqlNode{text: kqlMirror[n.text], args: n.args}
	}
	if left.kind != nodeName || left.text != t.Time {
		return always
	}
	from, ok := env.moment(right)
	if !ok {
		return always
	}
	switch n.text {
	case ">=", ">":
		return span{from, always.to}
	case "<":
		return span{always.from, from}
	case "<=":
		return span{always.from, from + 1}
	case "==":
		return span{from, from + 1}
	case "between":
		if to, ok := env.moment(n.args[2]); ok {
			return span{from, to + 1}
		}
	}
	return always
}

// kqlMirror is an operator for operands that change sides.
var kqlMirror = map[string]string{">=": "<=", "<=": ">=", ">": "<", "<": ">", "==": "=="}

// moment is the value of an expression that is the same datetime for every row.
func (env *huntEnv) moment(n *kqlNode) (int64, bool) {
	e, err := (&kqlScope{env: env}).compile(n)
	if err != nil || !e.konst {
		return 0, false
	}
	t, ok := e.eval(nil).(HuntTicks)
	return int64(t), ok
}

// apply does to a table what the operators say.
func (env *huntEnv) apply(r *huntRel, ops []kqlOp) error {
	for i := range ops {
		s := &kqlScope{env: env, operator: ops[i].name, cols: r.cols}
		if err := s.operate(r, &ops[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *kqlScope) operate(r *huntRel, op *kqlOp) error {
	switch op.name {
	case "where":
		return s.where(r, op.items[0].expr)
	case "project", "extend":
		return s.project(r, op.items, op.name == "extend")
	case "project-rename":
		return s.rename(r, op.items)
	case "project-away", "project-keep", "project-reorder":
		return s.pickColumns(r, op.items, op.name)
	case "distinct":
		return s.distinct(r, op.items)
	case "count":
		r.rows, r.cols = [][]any{{int64(len(r.rows))}}, []huntCol{{HuntColumn{"Count", "long"}, 0}}
		return nil
	case "getschema":
		r.describe()
		return nil
	case "summarize":
		return s.summarize(r, op)
	case "take":
		return s.take(r, op.count)
	}
	if err := s.sort(r, op.items); err != nil || op.name == "sort" {
		return err
	}
	return s.take(r, op.count)
}

func (s *kqlScope) where(r *huntRel, predicate *kqlNode) error {
	e, err := s.compile(predicate)
	if err != nil {
		return err
	}
	if e.typ != "bool" {
		return s.fail("The expression must have type bool")
	}
	kept := r.rows[:0]
	for _, row := range r.rows {
		if e.eval(row) == true {
			kept = append(kept, row)
		}
	}
	r.rows = kept
	return nil
}

func (s *kqlScope) take(r *huntRel, count *kqlNode) error {
	e, err := s.compile(count)
	if err != nil {
		return err
	}
	n, ok := e.eval(nil).(int64)
	if !ok || !e.konst || n < 0 {
		return s.fail("The number of rows must be a constant that is not negative")
	}
	r.rows = r.rows[:min(int(n), len(r.rows))]
	return nil
}

// project makes new columns; with keep beside the old ones.
func (s *kqlScope) project(r *huntRel, items []kqlItem, keep bool) error {
	width := 0
	for _, c := range r.cols {
		width = max(width, c.at+1)
	}
	var cols []huntCol
	if keep {
		cols = slices.Clone(r.cols)
	}
	var computed []*kqlExpr
	for i, item := range items {
		e, err := s.compile(item.expr)
		if err != nil {
			return err
		}
		c := huntCol{HuntColumn{nameOf(item, e, i), e.typ}, width + len(computed)}
		if e.col != nil {
			c.at = e.col.at
		} else {
			computed = append(computed, e)
		}
		if old := slices.IndexFunc(cols, func(x huntCol) bool { return x.Name == c.Name }); old >= 0 {
			cols[old] = c
		} else {
			cols = append(cols, c)
		}
	}
	r.cols = cols
	r.widen(width, computed)
	return nil
}

// widen adds computed values to every row, which stays the table's own.
func (r *huntRel) widen(width int, computed []*kqlExpr) {
	if len(computed) == 0 {
		return
	}
	for i, row := range r.rows {
		wide := make([]any, width+len(computed))
		copy(wide[:width], row)
		for j, e := range computed {
			wide[width+j] = e.eval(row)
		}
		r.rows[i] = wide
	}
}

// nameOf is the name of the i-th expression of an operator.
func nameOf(item kqlItem, e *kqlExpr, i int) string {
	switch {
	case item.name != "":
		return item.name
	case e.name != "":
		return e.name
	}
	return "Column" + itoa(int64(i+1))
}

func (s *kqlScope) rename(r *huntRel, items []kqlItem) error {
	cols := slices.Clone(r.cols)
	for _, item := range items {
		e, err := s.compile(item.expr)
		if err != nil {
			return err
		}
		if e.col == nil || item.name == "" {
			return s.fail("A column must be renamed to a name")
		}
		i := slices.IndexFunc(r.cols, func(c huntCol) bool { return c.Name == e.col.Name })
		cols[i].Name = item.name
	}
	r.cols = cols
	return nil
}

// pickColumns leaves the named columns out, or the others, or puts the named
// ones first.
func (s *kqlScope) pickColumns(r *huntRel, items []kqlItem, operator string) error {
	named, rest := []huntCol{}, slices.Clone(r.cols)
	for _, item := range items {
		pattern := item.expr.text
		if item.expr.kind == nodeStar {
			pattern += "*"
		} else if item.expr.kind != nodeName || s.column(pattern) == nil {
			return s.fail("Failed to resolve scalar expression named '%s'", pattern)
		}
		rest = slices.DeleteFunc(rest, func(c huntCol) bool {
			ok, _ := path.Match(pattern, c.Name)
			if ok {
				named = append(named, c)
			}
			return ok
		})
	}
	switch operator {
	case "project-away":
		r.cols = rest
	case "project-reorder":
		r.cols = append(named, rest...)
	default: // project-keep keeps the order too
		r.cols = slices.DeleteFunc(slices.Clone(r.cols), func(c huntCol) bool { return !slices.Contains(named, c) })
	}
	return nil
}

// describe is getschema: a row for each column.
func (r *huntRel) describe() {
	r.rows = nil
	for i, c := range r.cols {
		r.rows = append(r.rows, []any{c.Name, int64(i), "System." + (&huntEncoder{older: true}).netType(c.Type), c.Type})
	}
	r.cols = []huntCol{{HuntColumn{"ColumnName", "string"}, 0}, {HuntColumn{"ColumnOrdinal", "int"}, 1}, {HuntColumn{"DataType", "string"}, 2}, {HuntColumn{"ColumnType", "string"}, 3}}
}

// sort orders rows by keys; equals keep their order.
func (s *kqlScope) sort(r *huntRel, items []kqlItem) error {
	nodes := make([]*kqlNode, len(items))
	for i, item := range items {
		nodes[i] = item.expr
	}
	keys, err := s.compileAll(nodes)
	if err != nil {
		return err
	}
	slices.SortStableFunc(r.rows, func(a, b []any) int {
		for i, key := range keys {
			c := compareSorted(key.eval(a), key.eval(b))
			if !items[i].asc {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
	return nil
}

// compareSorted orders null before all else.
func compareSorted(a, b any) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	c, _ := compareValues(a, b)
	return c
}
