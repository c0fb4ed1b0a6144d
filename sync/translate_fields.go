package sync

import (
	"math"
	"strings"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"

	"github.com/go-json-experiment/json/jsontext"
)

// A shape maps the properties of a served object to the columns of row R. A
// nil setter is a property that is known and has no column: it stays in raw.
type shape[R any] map[string]setter[R]

// A setter puts the property name of o into its column of row. What is absent
// or null leaves the column as it is, and so does what does not fit, which is
// reported.
type setter[R any] func(x scope, row *R, o defender.Object, name string)

// fill sets the columns of row from the properties of o, and gives those that
// the shape does not know to unknown, unless that is nil.
func fill[R any](x scope, s shape[R], row *R, o defender.Object, unknown func(scope, string)) {
	for _, name := range o.Names() {
		set, known := s[name]
		switch {
		case set != nil:
			set(x, row, o, name)
		case !known && unknown != nil && !annotation(name):
			unknown(x, name)
		}
	}
}

// reportNew reports a property that the schema does not have.
func reportNew(x scope, name string) { x.change(name, newProperty, "") }

// annotation says whether a property is about the document instead of in it.
func annotation(name string) bool { return strings.Contains(name, "@odata.") }

// merged is the union of shapes; of a name in several the last holds.
func merged[R any](shapes ...shape[R]) shape[R] {
	all := make(shape[R])
	for _, s := range shapes {
		for name, set := range s {
			all[name] = set
		}
	}
	return all
}

// value sets a column to what get makes of the property.
func value[R, V any](get func(defender.Object, string) (V, bool, error), set func(*R, V)) setter[R] {
	return func(x scope, row *R, o defender.Object, name string) {
		v, ok, err := get(o, name)
		switch {
		case err != nil:
			x.misfit(name, err)
		case ok:
			set(row, v)
		}
	}
}

func text[R any](column func(*R) **string) setter[R] {
	return value(defender.Object.Text, func(row *R, s string) {
		s = store.CleanText(s)
		*column(row) = &s
	})
}

// textElse sets a column that another property has first claim to.
func textElse[R any](column func(*R) **string) setter[R] {
	return unlessSet(column, text(column))
}

// unlessSet applies set where the column is empty or holds an empty text.
func unlessSet[R any](column func(*R) **string, set setter[R]) setter[R] {
	return func(x scope, row *R, o defender.Object, name string) {
		if c := *column(row); c == nil || *c == "" {
			set(x, row, o, name)
		}
	}
}

// label sets a text column from a text or a whole number.
func label[R any](column func(*R) **string) setter[R] {
	return value(textOrDigits, func(row *R, s string) {
		s = store.CleanText(s)
		*column(row) = &s
	})
}

func textOrDigits(o defender.Object, name string) (string, bool, error) {
	if v, _ := o.Get(name); v.Kind() == jsontext.KindNumber {
		_, ok, err := o.Int64(name)
		return string(v), ok, err
	}
	return o.Text(name)
}

func integer[R any](column func(*R) **int64) setter[R] {
	return value(defender.Object.Int64, func(row *R, n int64) { *column(row) = &n })
}

func integer32[R any](column func(*R) **int32) setter[R] {
	get := func(o defender.Object, name string) (int32, bool, error) {
		n, ok, err := o.Int64(name)
		if n < math.MinInt32 || n > math.MaxInt32 {
			return 0, false, &defender.TypeError{Name: name, Want: "32-bit integer", Got: "greater number"}
		}
		return int32(n), ok, err
	}
	return value(get, func(row *R, n int32) { *column(row) = &n })
}

func instant[R any](column func(*R) **time.Time) setter[R] {
	return value(defender.Object.Time, func(row *R, at time.Time) {
		at = defender.TruncateMicro(at)
		*column(row) = &at
	})
}

func texts[R any](column func(*R) *[]string) setter[R] {
	return value(defender.Object.Strings, func(row *R, all []string) { *column(row) = cleaned(all) })
}

// textsElse sets a column that another property has first claim to.
func textsElse[R any](column func(*R) *[]string) setter[R] {
	set := texts(column)
	return func(x scope, row *R, o defender.Object, name string) {
		if len(*column(row)) == 0 {
			set(x, row, o, name)
		}
	}
}

func cleaned(all []string) []string {
	for i, s := range all {
		all[i] = store.CleanText(s)
	}
	return all
}

// member sets a column to a member of an enum, in Graph's spelling whichever
// API served it.
func member[R any](e enumeration, column func(*R) **string) setter[R] {
	return func(x scope, row *R, o defender.Object, name string) {
		s, ok, err := o.Text(name)
		switch {
		case err != nil:
			x.misfit(name, err)
		case ok && s != "":
			m := x.member(e, name, s)
			*column(row) = &m
		}
	}
}

// members sets a column to a list of members of an enum.
func members[R any](e enumeration, column func(*R) *[]string) setter[R] {
	return func(x scope, row *R, o defender.Object, name string) {
		all, ok, err := o.Strings(name)
		if err != nil {
			x.misfit(name, err)
		}
		if err != nil || !ok {
			return
		}
		for i, s := range all {
			all[i] = x.member(e, name, s)
		}
		*column(row) = all
	}
}

func (x scope) member(e enumeration, name, served string) string {
	m, known := e.member(served)
	if !known {
		x.change(name, unknownEnumMember, served)
		m = store.CleanText(m)
	}
	return m
}

// document sets a jsonb column to a property as served. kind is the getter of
// the kind that it must be of.
func document[R, V any](kind func(defender.Object, string) (V, bool, error), column func(*R) *[]byte) setter[R] {
	return func(x scope, row *R, o defender.Object, name string) {
		_, ok, err := kind(o, name)
		if ok && err == nil {
			served, _ := o.Get(name)
			*column(row), err = store.CleanJSON(served)
		}
		if err != nil {
			x.misfit(name, err)
		}
	}
}

// within sets columns from the properties of a nested object.
func within[R any](inner shape[R]) setter[R] {
	return func(x scope, row *R, o defender.Object, name string) {
		nested, ok, err := o.Object(name)
		switch {
		case err != nil:
			x.misfit(name, err)
		case ok:
			fill(scope{x.t, x.object, x.at(name)}, inner, row, nested, nil)
		}
	}
}
