package store

import (
	"context"
	"fmt"
	"slices"
)

// HuntPlan is what an answer would come to in a hunting table, had it come.
type HuntPlan struct {
	Exists  bool
	Columns []HuntPlacement // one for each that is served
	SQL     string          // what makes or widens the table; "" where it takes the answer as it is
	Refused error           // why the table takes none: a [*NewColumnError], or that it was made for another mode
}

// HuntPlacement is where the values of a served column go.
type HuntPlacement struct {
	HuntColumn
	Column  string // in the table, as it is or would be made; "" for none
	Kind    string // its type
	Fits    bool   // it was made for values of this type; what does not fit goes to extra
	Dropped bool
	Hashed  bool
}

// PlanHunt compares an answer with these columns with the table as it is now.
// Nothing is written, also not what a migration would be.
func (s *Store) PlanHunt(ctx context.Context, spec HuntSpec, columns []HuntColumn) (HuntPlan, error) {
	t, err := loadHuntTable(ctx, s.pool, spec.table())
	if err != nil {
		return HuntPlan{}, fmt.Errorf("store: look up hunting table %s: %w", spec.table(), err)
	}
	return t.plan(&spec, columns), nil
}

func (t *huntTable) plan(spec *HuntSpec, served []HuntColumn) HuntPlan {
	p := HuntPlan{Exists: t.made}
	if t.made {
		_, p.Refused = t.ready(spec, served)
	}
	wanted := t.wanted(spec, served)
	switch {
	case !t.made:
		p.SQL = t.create(spec, wanted).up
	case p.Refused != nil:
		wanted = nil
	case len(wanted) > 0:
		p.SQL = t.widen(spec, wanted).up
	}
	after := &huntTable{columns: slices.Concat(slices.DeleteFunc(slices.Clone(t.columns), func(c tableColumn) bool { return !c.made }), wanted)}
	for i, c := range after.match(served) {
		at := HuntPlacement{HuntColumn: served[i], Dropped: spec.drops(served[i].Name)}
		if c != nil && !at.Dropped {
			at.Column, at.Kind, at.Hashed = c.name, string(c.kind), spec.hashes(served[i].Name)
			at.Fits = c.kind == spec.kindOf(served[i])
		}
		p.Columns = append(p.Columns, at)
	}
	return p
}

// wanted are the columns that the table is to get.
func (t *huntTable) wanted(spec *HuntSpec, served []HuntColumn) []tableColumn {
	if t.made && spec.OnNewColumn == "ignore" {
		return nil
	}
	pending := slices.DeleteFunc(slices.Clone(t.columns), func(c tableColumn) bool { return c.made })
	return append(pending, t.missing(spec, served)...)
}
