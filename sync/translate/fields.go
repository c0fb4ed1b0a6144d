package translate

import (
	"math"
	"strings"
	"time"

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

// fillRow sets the columns of row from the properties of o, and gives those that
// the shape does not know to unknown, unless that is nil.
func fillRow[R any](x scope, s shape[R], row *R, o defender.Object, unknown func(scope, string)) {
	for _, name := range o.Names() {
		set, known := s[name]
		switch {
		case set != nil:
			set(x, row, o, name)
		case !known && unknown != nil && !isAnnotation(name):
			unknown(x, name)
		}
	}
}

// reportNew reports a property that the schema does not have.
func reportNew(x scope, name string) { x.change(name, newProperty, "") }

// isAnnotation says whether a property is about the document instead of in it.
func isAnnotation(name string) bool { return strings.Contains(name, "@odata.") }

// mergedShapes is the union of shapes; of a name in several the last holds.
func mergedShapes[R any](shapes ...shape[R]) shape[R] {
	all := make(shape[R])
	for _, s := range shapes {
		for name, set := range s {
			all[name] = set
		}
	}
	return all
}

// setValue sets a column to what get makes of the property, which may be a part
// of it and an error about the rest.
func setValue[R, V any](get func(defender.Object, string) (V, bool, error), set func(*R, V)) setter[R] {
	return func(x scope, row *R, o defender.Object, name string) {
		v, ok, err := get(o, name)
		if err != nil {
			x.misfit(name, err)
		}
		if ok {
			set(row, v)
		}
	}
}

func setText[R any](column func(*R) **string) setter[R] {
	return setValue(defender.Object.Text, func(row *R, s string) { *column(row) = &s })
}

// setTextElse sets a column that another property has first claim to.
func setTextElse[R any](column func(*R) **string) setter[R] {
	return setUnless(column, setText(column))
}

// setUnless applies set where the column is empty or holds an empty text.
func setUnless[R any](column func(*R) **string, set setter[R]) setter[R] {
	return func(x scope, row *R, o defender.Object, name string) {
		if c := *column(row); c == nil || *c == "" {
			set(x, row, o, name)
		}
	}
}

// setLabel sets a text column from a text or a whole number.
func setLabel[R any](column func(*R) **string) setter[R] {
	return setValue(textOrDigits, func(row *R, s string) { *column(row) = &s })
}

func textOrDigits(o defender.Object, name string) (string, bool, error) {
	if v, _ := o.Get(name); v.Kind() == jsontext.KindNumber {
		_, ok, err := o.Int64(name)
		return string(v), ok, err
	}
	return o.Text(name)
}

func setInteger[R any](column func(*R) **int64) setter[R] {
	return setValue(defender.Object.Int64, func(row *R, n int64) { *column(row) = &n })
}

func setInteger32[R any](column func(*R) **int32) setter[R] {
	get := func(o defender.Object, name string) (int32, bool, error) {
		n, ok, err := o.Int64(name)
		if n < math.MinInt32 || n > math.MaxInt32 {
			return 0, false, &defender.TypeError{Name: name, Want: "32-bit integer", Got: "greater number"}
		}
		return int32(n), ok, err
	}
	return setValue(get, func(row *R, n int32) { *column(row) = &n })
}

func setInstant[R any](column func(*R) **time.Time) setter[R] {
	return setValue(defender.Object.Time, func(row *R, at time.Time) {
		at = defender.TruncateMicro(at)
		*column(row) = &at
	})
}

func setTexts[R any](column func(*R) *[]string) setter[R] {
	return setValue(defender.Object.Strings, func(row *R, all []string) { *column(row) = all })
}

// setTextsElse sets a column that another property has first claim to.
func setTextsElse[R any](column func(*R) *[]string) setter[R] {
	set := setTexts(column)
	return func(x scope, row *R, o defender.Object, name string) {
		if len(*column(row)) == 0 {
			set(x, row, o, name)
		}
	}
}

// setMember sets a column to a member of an enum, in Graph's spelling whichever
// API served it.
func setMember[R any](e enumeration, column func(*R) **string) setter[R] {
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

// setMembers sets a column to a list of members of an enum.
func setMembers[R any](e enumeration, column func(*R) *[]string) setter[R] {
	return func(x scope, row *R, o defender.Object, name string) {
		all, ok, err := o.Strings(name)
		if err != nil {
			x.misfit(name, err)
		}
		if !ok {
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
	}
	return m
}

// setDocument sets a jsonb column to a property as served. kind is the getter of
// the kind that it must be of.
func setDocument[R, V any](kind func(defender.Object, string) (V, bool, error), column func(*R) *[]byte) setter[R] {
	return func(x scope, row *R, o defender.Object, name string) {
		_, ok, err := kind(o, name)
		switch served, _ := o.Get(name); {
		case err != nil:
			x.misfit(name, err)
		case ok:
			*column(row) = served
		}
	}
}

// setWithin sets columns from the properties of a nested object.
func setWithin[R any](inner shape[R]) setter[R] {
	return func(x scope, row *R, o defender.Object, name string) {
		nested, ok, err := o.Object(name)
		switch {
		case err != nil:
			x.misfit(name, err)
		case ok:
			fillRow(scope{x.t, x.object, x.at(name)}, inner, row, nested, nil)
		}
	}
}
