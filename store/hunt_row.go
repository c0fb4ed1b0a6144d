package store

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"slices"
	"strings"
)

// huntShape says where the values of an answer go.
type huntShape struct {
	columns []shapeColumn // in the order of the table's columns by name, whatever order they are served in
	named   []string      // their names, for COPY
	beyond  []shapeColumn // served columns that the table must not get: they go to extra
	key     []int         // of columns, and behind them of beyond: those of the identity
	whole   bool          // the identity is every value there is
	loose   bool          // likewise, because a column of the key is not in the answer
	strict  bool          // the key is all: a row that has not all of it stands for itself
	time    int           // of columns: the time column; -1 for none
	timed   bool          // the time is part of the identity
	names   []shapeNaming // the columns that name entities
	reach   int           // how many columns lead to the last of them
}

// shapeColumn is one column that an answer has values for.
type shapeColumn struct {
	name, served string
	kind         huntKind
	position     int  // in the answer
	private      bool // replaced by a digest
	tag          [8]byte
}

// newShape matches an answer with its table.
func newShape(spec *HuntSpec, t *huntTable, served []HuntColumn) *huntShape {
	s := &huntShape{time: -1, whole: len(spec.Key) == 0, strict: spec.KeyOnly}
	s.place(spec, t, served)
	for i, c := range s.columns {
		s.named = append(s.named, c.name)
		if c.is(spec.TimeColumn) && !c.private {
			s.time = i
		}
	}
	s.identity(spec)
	s.nameColumns(spec)
	return s
}

// place finds where the values of each served column go.
func (s *huntShape) place(spec *HuntSpec, t *huntTable, served []HuntColumn) {
	used := map[string]bool{}
	for i, c := range t.match(served) {
		name := served[i].Name
		at := shapeColumn{served: name, position: i, private: spec.hashes(name)}
		switch {
		case spec.drops(name):
		case (c == nil || !c.made) && !duplicate(served[:i], name):
			at.name = columnName(name) // as it would be
			at.tag = tagOf(at.name)
			s.beyond = append(s.beyond, at)
		case c != nil && c.made && !used[c.name]:
			used[c.name] = true
			at.name, at.served, at.kind, at.tag = c.name, c.served, c.kind, tagOf(c.name)
			s.columns = append(s.columns, at)
		}
	}
	slices.SortFunc(s.columns, func(a, b shapeColumn) int { return strings.Compare(a.name, b.name) })
	slices.SortFunc(s.beyond, func(a, b shapeColumn) int { return strings.Compare(a.served, b.served) })
}

// identity finds what tells rows apart. Where the answer lacks a column of the key,
// the others tell too little: rows that differ are never to be taken for one.
func (s *huntShape) identity(spec *HuntSpec) {
	s.loose = slices.ContainsFunc(spec.Key, func(name string) bool { return !s.has(name) })
	s.whole = s.whole || s.loose
	for i := range len(s.columns) + len(s.beyond) {
		if s.whole && i < len(s.columns) || !s.whole && containsFold(spec.Key, s.column(i).served) {
			s.key = append(s.key, i)
		}
	}
	slices.SortStableFunc(s.key, func(a, b int) int { return strings.Compare(s.column(a).name, s.column(b).name) })
	s.timed = spec.timed()
	if s.timed && s.time >= 0 && !slices.Contains(s.key, s.time) {
		s.key = append(s.key, s.time)
	}
}

func (s *huntShape) has(name string) bool {
	is := func(c shapeColumn) bool { return c.is(name) }
	return slices.ContainsFunc(s.columns, is) || slices.ContainsFunc(s.beyond, is)
}

// column is the one whose value is the token i of a row.
func (s *huntShape) column(i int) *shapeColumn {
	if i < len(s.columns) {
		return &s.columns[i]
	}
	return &s.beyond[i-len(s.columns)]
}

func (c *shapeColumn) is(served string) bool {
	return served != "" && strings.EqualFold(c.served, served)
}

// timed reports whether the time is part of the identity, and so begins the key.
func (s *HuntSpec) timed() bool {
	if s.TimeColumn == "" || s.drops(s.TimeColumn) || s.hashes(s.TimeColumn) {
		return false
	}
	return !s.KeyOnly || containsFold(s.Key, s.TimeColumn)
}

// tagOf stands for a column's name where contents are digested.
func tagOf(name string) [8]byte {
	sum := sha256.Sum256([]byte(name))
	return [8]byte(sum[:8])
}

// extraTag is the tag of the column of what has none.
var extraTag = tagOf("extra")

// aloneTag begins the identity of a row that its key does not identify.
var aloneTag = tagOf("row_hash")

// huntRow encodes one row after the other in the same memory.
type huntRow struct {
	body []byte // the fields of the served columns, then that of extra
	key  rowKey
	hash [16]byte
	time int64

	tokens []token
	room   []byte // of texts with escapes
	extra  []byte // the object under way
	mixed  []byte // what is digested
	digest hash.Hash
	sum    []byte
}

// encode sets body, key, hash and time.
func (r *huntRow) encode(spec *HuntSpec, shape *huntShape, values [][]byte, rest []HuntExtra) {
	if r.digest == nil {
		r.digest = sha256.New()
	}
	r.read(spec, shape, values)
	r.time = noTime
	if shape.time >= 0 {
		if at, ok := parseInstant(r.tokens[shape.time]); ok {
			r.time = at
		}
	}
	r.identify(shape)
	r.fields(spec, shape, values, rest)
	if shape.strict && !shape.whole && r.unidentified(shape) {
		r.standAlone(shape)
	}
}

// read sets tokens. From here on nothing sees what is private.
func (r *huntRow) read(spec *HuntSpec, shape *huntShape, values [][]byte) {
	r.tokens, r.room = r.tokens[:0], r.room[:0]
	for i := range len(shape.columns) + len(shape.beyond) {
		c := shape.column(i)
		var t token
		if c.position < len(values) {
			t = tokenOf(values[c.position], &r.room)
		}
		if c.private {
			t = pseudonym(spec.TenantID, t)
		}
		r.tokens = append(r.tokens, t)
	}
}

// identify sets key. A value that is not there, or an empty text, is not part of
// the identity of a whole row: a column that comes to the source is empty in
// every row that was there before.
func (r *huntRow) identify(shape *huntShape) {
	r.mixed = r.mixed[:0]
	for _, i := range shape.key {
		t := r.tokens[i]
		if shape.whole && t.empty() {
			continue
		}
		r.mixed = append(append(r.mixed, shape.column(i).tag[:]...), t.kind)
		r.mixed = binary.BigEndian.AppendUint64(r.mixed, uint64(len(t.text)))
		r.mixed = append(r.mixed, t.text...)
	}
	r.setKey(shape)
}

// unidentified reports whether the key says nothing about the row: a value of it is
// NULL, or all are empty. Nobody knows whether two such rows are one.
func (r *huntRow) unidentified(shape *huntShape) bool {
	empty := true
	for _, i := range shape.key {
		t := r.tokens[i]
		if t.kind == isNull {
			return true
		}
		empty = empty && t.empty()
	}
	return empty
}

// standAlone makes the row's content its key: only an equal row is the same.
func (r *huntRow) standAlone(shape *huntShape) {
	r.mixed = append(append(r.mixed[:0], aloneTag[:]...), r.hash[:]...)
	r.setKey(shape)
}

// setKey makes a key of what is mixed.
func (r *huntRow) setKey(shape *huntShape) {
	r.digestMixed()
	copy(r.key[:], r.sum)
	if shape.timed {
		var at [8]byte
		binary.BigEndian.PutUint64(at[:], uint64(keyTime(r.time)))
		copy(r.key[:6], at[2:])
		copy(r.key[6:], r.sum)
	}
}

// keyTime is a time as it begins a key: milliseconds since 1970, none below 0.
func keyTime(micros int64) int64 {
	if micros == noTime {
		return 0
	}
	return max(0, epoch.UnixMilli()+floorDiv(micros, 1000))
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// fields sets body, and hash to the digest of what is in it and not empty: a
// column that comes to the source without a value changes nothing.
func (r *huntRow) fields(spec *HuntSpec, shape *huntShape, values [][]byte, rest []HuntExtra) {
	r.body, r.extra = r.body[:0], append(r.extra[:0], '{')
	r.mixed = r.mixed[:0]
	for i := range shape.columns {
		c, t := &shape.columns[i], r.tokens[i]
		begin := len(r.body)
		var ok bool
		if r.body, ok = appendField(r.body, c.kind, t); !ok {
			r.body = appendNull(r.body)
			r.misfit(c, t, values)
		}
		r.mix(&c.tag, r.body[begin:])
	}
	for i := range shape.beyond {
		if t := r.tokens[len(shape.columns)+i]; !t.empty() {
			r.misfit(&shape.beyond[i], t, values)
		}
	}
	r.rest(spec, rest)
	begin := len(r.body)
	if len(r.extra) == 1 {
		r.body = appendNull(r.body)
	} else {
		r.extra = append(r.extra, '}')
		r.body = binary.BigEndian.AppendUint32(r.body, uint32(1+len(r.extra)))
		r.body = append(append(r.body, jsonbVersion), r.extra...)
	}
	r.mix(&extraTag, r.body[begin:])
	r.digestMixed()
	copy(r.hash[:], r.sum)
}

// mix adds a field to the digest of the content unless it is NULL or an empty
// text, which the source serves where there is nothing.
func (r *huntRow) mix(tag *[8]byte, field []byte) {
	if len(field) == 4 {
		return
	}
	r.mixed = append(append(r.mixed, tag[:]...), field...)
}

// digestMixed sets sum.
func (r *huntRow) digestMixed() {
	r.digest.Reset()
	r.digest.Write(r.mixed)
	r.sum = r.digest.Sum(r.sum[:0])
}

// misfit puts a value that its column cannot hold, or that has none, into extra,
// as served.
func (r *huntRow) misfit(c *shapeColumn, t token, values [][]byte) {
	value := values[c.position]
	if c.private {
		value = appendQuoted(nil, t.text)
	}
	r.extra = appendMember(r.extra, c.served, value)
}

// rest puts the members that no column names into extra, by name.
func (r *huntRow) rest(spec *HuntSpec, rest []HuntExtra) {
	if len(rest) > 1 {
		rest = slices.SortedStableFunc(slices.Values(rest), func(a, b HuntExtra) int { return strings.Compare(a.Name, b.Name) })
	}
	for _, m := range rest {
		value := m.Value
		switch {
		case spec.drops(m.Name):
			continue
		case spec.hashes(m.Name):
			if t := tokenOf(value, &r.room); !t.empty() {
				value = appendQuoted(nil, pseudonym(spec.TenantID, t).text)
			}
		}
		r.extra = appendMember(r.extra, m.Name, value)
	}
}
