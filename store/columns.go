package store

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// columns turns rows of a struct into one array per db-tagged field, in the
// order of the fields: the arguments of INSERT … SELECT FROM unnest($1, $2, …),
// which writes any number of rows in one statement. PostgreSQL has no arrays of
// arrays of different lengths, so a []string travels as the text of its array
// literal and is cast there; documents travel as text, too.
func columns[T any](rows []*T) []any {
	var all []any
	t := reflect.TypeFor[T]()
	for i := range t.NumField() {
		if _, ok := t.Field(i).Tag.Lookup("db"); ok {
			all = append(all, column(rows, i, t.Field(i).Type))
		}
	}
	return all
}

// column returns field i of every row as a slice that pgx sends as an array.
func column[T any](rows []*T, i int, t reflect.Type) any {
	switch t {
	case reflect.TypeFor[[]string]():
		return texts(rows, i, func(v reflect.Value) string { return arrayLiteral(v.Interface().([]string)) })
	case reflect.TypeFor[[]byte]():
		return texts(rows, i, func(v reflect.Value) string { return string(v.Bytes()) })
	}
	out := reflect.MakeSlice(reflect.SliceOf(t), len(rows), len(rows))
	for n, row := range rows {
		out.Index(n).Set(reflect.ValueOf(row).Elem().Field(i))
	}
	return out.Interface()
}

// texts returns field i of every row as text; nil stays NULL.
func texts[T any](rows []*T, i int, text func(reflect.Value) string) []*string {
	out := make([]*string, len(rows))
	for n, row := range rows {
		if v := reflect.ValueOf(row).Elem().Field(i); !v.IsNil() {
			s := text(v)
			out[n] = &s
		}
	}
	return out
}

// arrayLiteral returns list as PostgreSQL writes a text[].
func arrayLiteral(list []string) string {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	var b strings.Builder
	b.WriteByte('{')
	for i, s := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('"')
		b.WriteString(escape.Replace(s))
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.String()
}

// maxIndexed is how long, in bytes, a text in an index may be: PostgreSQL refuses
// a B-tree entry over 2,704 bytes, and with it the row.
const maxIndexed = 1000

// newest returns one row per key, sorted by key: the one with the newest
// version, and of equals the last, because it was read last.
func newest[T any, K cmp.Ordered](rows []T, key func(*T) K, version func(*T) time.Time) []*T {
	best := make(map[K]*T, len(rows))
	for i := range rows {
		row := &rows[i]
		if b := best[key(row)]; b == nil || !version(row).Before(version(b)) {
			best[key(row)] = row
		}
	}
	return slices.SortedFunc(maps.Values(best), func(a, b *T) int { return cmp.Compare(key(a), key(b)) })
}
