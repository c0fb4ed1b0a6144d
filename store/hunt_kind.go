package store

import "strings"

// huntKind is the type of a column of a hunting table.
type huntKind string

const (
	kindBoolean  huntKind = "boolean"
	kindInteger  huntKind = "integer"
	kindBigint   huntKind = "bigint"
	kindNumeric  huntKind = "numeric"
	kindDouble   huntKind = "double precision"
	kindText     huntKind = "text"
	kindUUID     huntKind = "uuid"
	kindInterval huntKind = "interval"
	kindTime     huntKind = "timestamp with time zone"
	kindJSON     huntKind = "jsonb"
)

// kindOf returns the type of the column for values of a served type: .NET names
// from one API, Kusto's from the documentation. A type that nobody has
// documented is held as JSON, which holds everything.
func kindOf(served string) huntKind {
	switch strings.TrimPrefix(strings.ToLower(served), "system.") {
	case "sbyte", "boolean", "bool":
		return kindBoolean
	case "int16", "int32", "int", "byte", "uint16":
		return kindInteger
	case "uint32", "int64", "long":
		return kindBigint
	case "uint64", "decimal", "sqldecimal":
		return kindNumeric
	case "double", "single", "real":
		return kindDouble
	case "guid":
		return kindUUID
	case "timespan":
		return kindInterval
	case "datetime":
		return kindTime
	case "string":
		return kindText
	}
	return kindJSON
}
