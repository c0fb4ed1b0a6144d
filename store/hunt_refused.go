package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// hashedMember names, in a row that was refused, the columns whose values are
// digests already. The source serves no such name.
const hashedMember = "@defendersync.hashed"

// refused is a row for the quarantine, as it would be served: with what would
// have been stored of it, so that what is private is no more in there.
func (l *loader) refused(e huntEntry, reason error) Quarantined {
	q := Quarantined{Kind: kindHuntingRow, Key: e.key.String(), Reason: reason.Error()}
	body, err := l.rows.spool.read(nil, e.at, int(e.size))
	if err != nil {
		q.Reason += "; and it could not be read again: " + err.Error()
		return q
	}
	q.Payload = servedRow(&l.rows.spec, l.rows.shapes[e.shape], body)
	return q
}

// servedRow writes the fields of a row as the source would. Members that no
// column names, and values that did not fit theirs, are members like the others.
func servedRow(spec *HuntSpec, shape *huntShape, body []byte) []byte {
	row := []byte{'{'}
	next := func() (field []byte) {
		n := int32(binary.BigEndian.Uint32(body))
		if body = body[4:]; n >= 0 {
			field, body = body[:n], body[n:]
		}
		return field
	}
	member := func(name string) {
		if len(row) > 1 {
			row = append(row, ',')
		}
		row = append(appendQuoted(row, []byte(CleanText(name))), ':')
	}
	for _, c := range shape.columns {
		if field := next(); field != nil {
			member(c.served)
			row = appendServed(row, c.kind, field)
		}
	}
	if extra := next(); extra != nil {
		if len(row) > 1 {
			row = append(row, ',')
		}
		row = append(row, bytes.TrimSuffix(extra[2:], []byte{'}'})...) // from behind the version and the bracket
	}
	if len(spec.Hash) > 0 {
		member(hashedMember)
		row = append(row, '[')
		for i, name := range spec.Hash {
			if i > 0 {
				row = append(row, ',')
			}
			row = appendQuoted(row, []byte(CleanText(name)))
		}
		row = append(row, ']')
	}
	return append(row, '}')
}

// appendServed appends as JSON what appendValue has made a field of: read again
// it makes the same field.
func appendServed(dst []byte, kind huntKind, field []byte) []byte {
	switch kind {
	case kindText:
		return appendQuoted(dst, field)
	case kindJSON:
		return append(dst, field[1:]...)
	case kindBoolean:
		return strconv.AppendBool(dst, field[0] != 0)
	case kindInteger:
		return strconv.AppendInt(dst, int64(int32(binary.BigEndian.Uint32(field))), 10)
	case kindBigint:
		return strconv.AppendInt(dst, int64(binary.BigEndian.Uint64(field)), 10)
	}
	return appendQuoted(dst, servedText(kind, field))
}

// servedText is the text of a field that is served in quotes, or may be.
func servedText(kind huntKind, field []byte) []byte {
	switch kind {
	case kindDouble:
		switch v := math.Float64frombits(binary.BigEndian.Uint64(field)); {
		case math.IsInf(v, 1):
			return []byte("Infinity")
		case math.IsInf(v, -1):
			return []byte("-Infinity")
		default:
			return strconv.AppendFloat(nil, v, 'g', -1, 64)
		}
	case kindUUID:
		return []byte(uuid.UUID(field).String())
	case kindTime:
		at := int64(binary.BigEndian.Uint64(field))
		seconds := floorDiv(at, 1e6)
		return []byte(time.Unix(epoch.Unix()+seconds, (at-seconds*1e6)*1000).UTC().Format(time.RFC3339Nano))
	case kindInterval:
		return spanText(timeSpan{micros: int64(binary.BigEndian.Uint64(field)), days: int64(int32(binary.BigEndian.Uint32(field[8:])))})
	default:
		return numericText(field)
	}
}

// spanText writes a length of time as ISO 8601 does, which has a way for each.
func spanText(s timeSpan) []byte {
	sign := ""
	if s.days < 0 || s.micros < 0 {
		sign, s.days, s.micros = "-", -s.days, -s.micros
	}
	const minute, hour = 60 * 1e6, 3600 * 1e6
	return fmt.Appendf(nil, "%sP%dDT%dH%dM%d.%06dS", sign, s.days, s.micros/hour, s.micros%hour/minute, s.micros%minute/1e6, s.micros%1e6)
}

// numericText writes what appendNumeric has written, with as many digits behind
// the point.
func numericText(field []byte) []byte {
	word := func(n int) int { return int(binary.BigEndian.Uint16(field[2*n:])) }
	groups, weight, sign, scale := word(0), int(int16(word(1))), word(2), word(3)
	switch sign {
	case 0xc000:
		return []byte("NaN")
	case 0xd000:
		return []byte("Infinity")
	case 0xf000:
		return []byte("-Infinity")
	}
	var text []byte
	if sign != 0 {
		text = append(text, '-')
	}
	group := func(n int) int {
		if n < 0 || n >= groups {
			return 0
		}
		return word(4 + n)
	}
	text = strconv.AppendInt(text, int64(group(min(0, weight))), 10)
	for n := 1; n <= weight; n++ {
		text = fmt.Appendf(text, "%04d", group(n))
	}
	if scale == 0 {
		return text
	}
	begin := len(append(text, '.'))
	text = append(text, '.')
	for n := weight + 1; len(text) < begin+scale; n++ {
		text = fmt.Appendf(text, "%04d", group(n))
	}
	return text[:begin+scale]
}
