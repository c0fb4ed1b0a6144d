package defender

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// What is remembered of rows that do not keep to the schema.
const (
	maxStray   = 4 << 10 // members of one row that no column names; with more it is none
	maxLearned = 8 << 10 // names beside the columns'
)

// huntRows splits rows into the values of their columns. The decoder has read
// a row as a whole and found it to be JSON, so that a few bytes' look is enough
// to find where a member begins and ends.
type huntRows struct {
	sink    HuntSink
	columns []HuntColumn
	n       int64 // rows so far

	known []rowMember    // by what they are called; the first stands for the begin of a row
	byRaw map[string]int // index in known, by every spelling seen

	values []jsontext.Value
	loose  []looseValue
	rest   []HuntMember
}

// rowMember is what a member of that name is.
type rowMember struct {
	raw    string // the name as it usually stands between quotes
	name   string // the name
	fate   fate
	column int   // for named and alike
	next   int   // what followed it when it was last seen, and will again
	row    int64 // the last row that had it ...
	at     int   // ... and its place in loose or rest
}

// fate is what becomes of a member.
type fate int

const (
	stray   fate = iota // no column is called like it
	named               // a column is
	alike               // a column is but for the case
	dropped             // an annotation of OData
)

// looseValue waits for the end of its row: a member that is called exactly like the
// column comes first.
type looseValue struct {
	member int
	value  jsontext.Value
}

func newHuntRows(columns []HuntColumn, sink HuntSink) *huntRows {
	r := &huntRows{sink: sink, columns: columns, values: make([]jsontext.Value, len(columns))}
	r.unlearn()
	return r
}

// unlearn forgets all names but the columns'.
func (r *huntRows) unlearn() {
	r.known = append(r.known[:0], rowMember{fate: dropped, next: 1})
	r.byRaw = make(map[string]int, len(r.columns))
	for i, c := range r.columns {
		raw := spelling(c.Name)
		if _, taken := r.byRaw[raw]; !taken { // of two columns of one name the first has the values
			r.learn(raw, rowMember{name: c.Name, fate: named, column: i})
		}
	}
}

// learn adds a member.
func (r *huntRows) learn(raw string, m rowMember) int {
	n := len(r.known)
	m.raw, m.next = raw, n+1
	r.known = append(r.known, m)
	r.byRaw[raw] = n
	return n
}

// decode reads an array of rows.
func (r *huntRows) decode(d *jsontext.Decoder, l *leash) error {
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for l.tug("a row", maxHuntRow); d.PeekKind() != jsontext.KindEndArray; l.tug("a row", maxHuntRow) {
		v, err := d.ReadValue()
		if err != nil {
			return err
		}
		r.n++
		if err := r.add(v); err != nil {
			return sunk(err)
		}
	}
	_, err := d.ReadToken()
	return err
}

// add gives the sink one row.
func (r *huntRows) add(v jsontext.Value) error {
	if v.Kind() != jsontext.KindBeginObject || !r.split(v) {
		return r.sink.Odd(v)
	}
	return r.sink.Row(r.values, r.rest)
}

// split takes a row apart and reports whether it can be one.
func (r *huntRows) split(row []byte) bool {
	clear(r.values)
	r.loose, r.rest = r.loose[:0], r.rest[:0]
	if len(r.byRaw) > len(r.columns)+maxLearned {
		r.unlearn()
	}
	before := 0
	for i := skipSpace(row, 1); row[i] == '"'; {
		m, end := r.lookUp(row, i, before)
		begin := skipSpace(row, skipSpace(row, end)+1)
		end = valueEnd(row, begin)
		r.put(m, row[begin:end:end])
		if len(r.rest)+len(r.loose) > maxStray || len(r.byRaw) > len(r.columns)+2*maxLearned {
			return false
		}
		if i = skipSpace(row, end); row[i] == ',' {
			i = skipSpace(row, i+1)
		}
		before = m
	}
	r.settle()
	return true
}

// lookUp returns what the member is whose name begins at i, and where its name
// ends. Rows have their members in one order, mostly: what comes after the
// member before is tried first.
func (r *huntRows) lookUp(row []byte, i, before int) (int, int) {
	if next := r.known[before].next; next < len(r.known) {
		raw := r.known[next].raw
		if end := i + 1 + len(raw); end < len(row) && row[end] == '"' && string(row[i+1:end]) == raw {
			return next, end + 1
		}
	}
	end := stringEnd(row, i)
	m, ok := r.byRaw[string(row[i+1:end-1])]
	if !ok {
		m = r.meet(row[i:end])
	}
	r.known[before].next = m
	return m, end
}

// meet looks up a name that has not been seen as it is spelt here. A name has
// more than one spelling because of escapes.
func (r *huntRows) meet(quoted []byte) int {
	name := unquote(quoted)
	usual := spelling(name)
	m, ok := r.byRaw[usual]
	if !ok {
		m = r.learn(usual, r.classify(name))
	}
	r.byRaw[string(quoted[1:len(quoted)-1])] = m
	return m
}

// spelling returns a name as it usually stands between quotes.
func spelling(name string) string {
	quoted, _ := jsontext.AppendQuote(nil, name) // what is no UTF-8 in a name has been replaced before
	return string(quoted[1 : len(quoted)-1])
}

// classify says what a member is that no column is called exactly like.
func (r *huntRows) classify(name string) rowMember {
	m := rowMember{name: name, column: -1}
	for _, c := range r.columns {
		if strings.EqualFold(c.Name, name) && (m.fate == stray || sameButFirst(c.Name, name)) {
			m.fate, m.column = alike, r.known[r.byRaw[spelling(c.Name)]].column // the first of that name
		}
	}
	if strings.Contains(name, "@odata") {
		m.fate = dropped
	}
	return m
}

// sameButFirst reports whether names that are equal but for the case are so
// from their second byte on, as LogonID and logonID are, and LogonId is not.
func sameButFirst(a, b string) bool { return a[1:] == b[1:] }

// put takes in the value of a member. Of a name that occurs twice the last
// value holds.
func (r *huntRows) put(m int, v jsontext.Value) {
	k := &r.known[m]
	again := k.row == r.n
	switch k.fate {
	case named:
		r.values[k.column] = v
	case alike:
		if again {
			r.loose[k.at].value = v
			return
		}
		k.row, k.at = r.n, len(r.loose)
		r.loose = append(r.loose, looseValue{m, v})
	case stray:
		if again {
			r.rest[k.at].Value = v
			return
		}
		k.row, k.at = r.n, len(r.rest)
		r.rest = append(r.rest, HuntMember{k.name, v})
	}
}

// settle gives the columns that still have none the values of members whose
// names differ in case alone. What then has no column is not lost either.
func (r *huntRows) settle() {
	for _, l := range r.loose {
		k := r.known[l.member]
		if r.values[k.column] == nil {
			r.values[k.column] = l.value
			continue
		}
		r.rest = append(r.rest, HuntMember{k.name, l.value})
	}
}

// skipSpace returns the index of the first byte from i on that is no space.
func skipSpace(b []byte, i int) int {
	for b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t' {
		i++
	}
	return i
}

// stringEnd returns the index behind the string that begins at i.
func stringEnd(b []byte, i int) int {
	for end := i + 1; ; end++ {
		end += bytes.IndexByte(b[end:], '"')
		slashes := 0
		for b[end-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return end + 1
		}
	}
}

// valueEnd returns the index behind the value that begins at i. It is inside
// an object, so that something follows it.
func valueEnd(b []byte, i int) int {
	switch b[i] {
	case '"':
		return stringEnd(b, i)
	case '{', '[':
		return nestedEnd(b, i)
	}
	for b[i] != ',' && b[i] != '}' && b[i] > ' ' {
		i++
	}
	return i
}

// nestedEnd is valueEnd of an object or an array.
func nestedEnd(b []byte, i int) int {
	for depth := 0; ; {
		switch b[i] {
		case '"':
			i = stringEnd(b, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if i++; depth == 0 {
			return i
		}
	}
}
