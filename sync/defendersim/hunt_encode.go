package defendersim

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// netTypes are the names that the schema of an answer has for Kusto's types.
var netTypes = map[string]string{"datetime": "DateTime", "string": "String", "bool": "Boolean", "int": "Int32", "long": "Int64",
	"real": "Double", "decimal": "SqlDecimal", "guid": "Guid", "timespan": "TimeSpan", "dynamic": "Object"}

// A huntEncoder writes one answer.
type huntEncoder struct {
	HuntEncoding
	older bool
	max   int64 // bytes of the body
	b     []byte
}

func (e *huntEncoder) schema(cols []huntCol) {
	open, name, kind := `"schema":[`, `{"name":`, `,"type":`
	if e.older {
		open = `"Schema":[`
	}
	if e.older || e.PascalSchemaOnGraph {
		name, kind = `{"Name":`, `,"Type":`
	}
	e.b = append(e.b, open...)
	for i, c := range cols {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		e.b = e.quote(append(e.b, name...), c.Name)
		e.b = e.quote(append(e.b, kind...), e.netType(c.Type))
		e.b = append(e.b, '}')
	}
	e.b = append(e.b, "],"...)
}

func (e *huntEncoder) netType(kusto string) string {
	switch name, ok := netTypes[kusto]; {
	case kusto == "bool" && e.older:
		return "SByte"
	case ok:
		return name
	}
	return kusto // served as the name that it is
}

func (e *huntEncoder) quote(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // invalid UTF-8 is replaced
	return b
}

// rowPlaces says where rows are in the body of an answer, for a fault to
// change it.
type rowPlaces struct {
	first, second int // where the first row begins and ends
	last, end     int // the same of the last row, with the comma before it
}

// A huntKey is how one column is written in each row.
type huntKey struct {
	col  huntCol
	name []byte // "Name":
	note []byte // "Name@odata.type":"#Int64",
}

// keys puts the columns into the order that rows have them in.
func (e *huntEncoder) keys(cols []huntCol) []huntKey {
	list := make([]huntKey, 0, len(cols))
	h := fnv.New64a()
	for _, c := range cols {
		h.Write([]byte(c.Name))
		name := c.Name
		if e.CamelRowKeys && !e.older && name != "" {
			name = strings.ToLower(name[:1]) + name[1:]
		}
		k := huntKey{col: c, name: append(quote(name), ':')}
		if e.AnnotateODataTypes && !e.older && c.Type == "long" {
			k.note = append(quote(name+"@odata.type"), `:"#Int64",`...)
		}
		list = append(list, k)
	}
	if !e.older && !e.SchemaOrderedRowKeys { // a row is an open type of the Graph: a dictionary
		r := rand.New(rand.NewPCG(h.Sum64(), 0x6b657973))
		r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	return list
}

// results writes the rows and closes the answer; false when it got too long.
func (e *huntEncoder) results(found *huntRel) (*rowPlaces, bool) {
	open := `"results":[`
	if e.older {
		open = `"Results":[`
	}
	e.b = append(e.b, open...)
	keys := e.keys(found.cols)
	p := &rowPlaces{first: len(e.b), second: len(e.b), last: len(e.b)}
	for i, row := range found.rows {
		p.last = len(e.b)
		if i > 0 {
			e.b = append(e.b, ',')
		}
		e.row(keys, row)
		if i == 0 {
			p.second = len(e.b)
			e.b = slices.Grow(e.b, int(min(e.max, int64(len(found.rows)*(p.second-p.first+1)*5/4)))) // a guess
		}
		if int64(len(e.b)) > e.max {
			return nil, false
		}
	}
	p.end = len(e.b)
	e.b = append(e.b, "]}"...)
	return p, int64(len(e.b)) <= e.max
}

func (e *huntEncoder) row(keys []huntKey, row []any) {
	e.b = append(e.b, '{')
	empty := len(e.b)
	for i := range keys {
		k := &keys[i]
		v := at(row, k.col.at)
		if v == nil && e.OmitNulls && k.col.Type != "string" {
			continue
		}
		if len(e.b) > empty {
			e.b = append(e.b, ',')
		}
		if v != nil {
			e.b = append(e.b, k.note...)
		}
		e.b = append(e.b, k.name...)
		e.value(k.col.Type, v)
	}
	e.b = append(e.b, '}')
}

// value writes a value of a column.
func (e *huntEncoder) value(kusto string, v any) {
	switch v := v.(type) {
	case nil:
		e.null(kusto)
	case json.RawMessage:
		e.raw(kusto, v)
	case string:
		if kusto == "decimal" && !e.DecimalAsString {
			e.b = append(e.b, v...)
			return
		}
		e.b = e.quote(e.b, v)
	case bool:
		e.bool(v)
	case float64:
		e.real(v)
	default:
		e.exact(kusto, v)
	}
}

// null writes the lack of a value, which a text does not know.
func (e *huntEncoder) null(kusto string) {
	if kusto == "string" {
		e.b = append(e.b, `""`...)
		return
	}
	e.b = append(e.b, "null"...)
}

func (e *huntEncoder) raw(kusto string, v json.RawMessage) {
	if kusto == "dynamic" && e.DynamicAsString {
		e.b = e.quote(e.b, string(v))
		return
	}
	e.b = append(e.b, v...)
}

func (e *huntEncoder) bool(v bool) {
	switch e.BoolAs {
	case "1":
		e.b = strconv.AppendInt(e.b, map[bool]int64{true: 1}[v], 10)
	case "True":
		e.b = append(e.b, map[bool]string{true: `"True"`, false: `"False"`}[v]...)
	default:
		e.b = strconv.AppendBool(e.b, v)
	}
}

func (e *huntEncoder) real(v float64) {
	if !math.IsNaN(v) && !math.IsInf(v, 0) {
		e.b = strconv.AppendFloat(e.b, v, 'g', -1, 64)
		return
	}
	name := map[bool]string{true: "Infinity", false: "-Infinity"}[v > 0]
	if math.IsNaN(v) {
		name = "NaN"
	}
	switch e.NaNAs {
	case "null":
		name = "null"
	case "":
		name = `"` + name + `"`
	}
	e.b = append(e.b, name...)
}

// exact writes integers, datetimes and timespans; integers as texts in a
// column that has become one of texts.
func (e *huntEncoder) exact(kusto string, v any) {
	number := len(e.b)
	switch v := v.(type) {
	case int64:
		e.b = strconv.AppendInt(e.b, v, 10)
	case uint64:
		e.b = strconv.AppendUint(e.b, v, 10)
	case HuntTicks:
		e.b = append(e.b, '"')
		e.b = v.Time().AppendFormat(e.b, wireTime)
		e.b = append(e.b, '"')
		return
	case timespan:
		e.b = e.quote(e.b, timespanText(int64(v)))
		return
	default:
		panic(fmt.Sprintf("defendersim: a hunting value of type %T", v))
	}
	if kusto == "string" {
		digits := string(e.b[number:])
		e.b = e.quote(e.b[:number], digits)
	}
}
