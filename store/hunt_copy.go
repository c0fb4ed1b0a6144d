package store

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/go-json-experiment/json"
)

// String returns the key as PostgreSQL prints it.
func (k rowKey) String() string { return uuid.UUID(k).String() }

// keysOf returns the keys of rows, as an argument.
func keysOf(rows []huntEntry) [][16]byte {
	keys := make([][16]byte, len(rows))
	for i, e := range rows {
		keys[i] = e.key
	}
	return keys
}

// copySQL names the columns in the order in which appendTuple writes them.
func (l *loader) copySQL(shape *huntShape) string {
	columns := []string{"tenant_id", "row_key", "row_hash"}
	if l.rows.spec.Mode == HuntSnapshot {
		columns = append(columns, "valid_from")
	}
	for _, name := range shape.named {
		columns = append(columns, quote(name))
	}
	columns = append(columns, "extra", "synced_at")
	return fmt.Sprintf("COPY %s (%s) FROM STDIN (FORMAT binary)", l.table, strings.Join(columns, ", "))
}

// appendCopyHeader begins a binary COPY without flags or extension.
func appendCopyHeader(dst []byte) []byte {
	return append(append(dst, "PGCOPY\n\xff\r\n\x00"...), 0, 0, 0, 0, 0, 0, 0, 0)
}

// appendTuple appends one row: what every row has, and what was encoded when it
// was added.
func (l *loader) appendTuple(dst []byte, e huntEntry) ([]byte, error) {
	fields := 3 + len(l.rows.shapes[e.shape].columns) + 2
	if l.rows.spec.Mode == HuntSnapshot {
		fields++
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(fields))
	for _, id := range [][16]byte{l.tenant(), e.key, e.hash} {
		dst = append(append(dst, 0, 0, 0, 16), id[:]...)
	}
	if l.rows.spec.Mode == HuntSnapshot {
		dst = appendTime(dst, l.w.now)
	}
	dst, err := l.rows.spool.read(dst, e.at, int(e.size))
	return appendTime(dst, l.w.now), err
}

// tenant returns the tenant's id. One that is no UUID would have failed before.
func (l *loader) tenant() [16]byte {
	id, _ := uuid.Parse(l.rows.spec.TenantID)
	return id
}

func appendTime(dst []byte, at time.Time) []byte {
	dst = append(dst, 0, 0, 0, 8)
	return binary.BigEndian.AppendUint64(dst, uint64(at.Sub(epoch).Microseconds()))
}

// kindOIDs are the types that a field may have, to read it back.
var kindOIDs = map[huntKind]uint32{
	kindBoolean: pgtype.BoolOID, kindInteger: pgtype.Int4OID, kindBigint: pgtype.Int8OID, kindNumeric: pgtype.NumericOID,
	kindDouble: pgtype.Float8OID, kindText: pgtype.TextOID, kindUUID: pgtype.UUIDOID, kindInterval: pgtype.IntervalOID,
	kindTime: pgtype.TimestamptzOID, kindJSON: pgtype.JSONBOID,
}

// refused is a row for the quarantine, with what would have been stored of it:
// what is private is no more in there.
func (l *loader) refused(e huntEntry, reason error) Quarantined {
	q := Quarantined{Kind: "hunting_row", Key: e.key.String(), Reason: reason.Error()}
	body, err := l.rows.spool.read(nil, e.at, int(e.size))
	if err != nil {
		q.Reason += "; and it could not be read again: " + err.Error()
		return q
	}
	types := pgtype.NewMap()
	row := map[string]any{}
	columns := append(slices.Clone(l.rows.shapes[e.shape].columns), shapeColumn{served: "extra", kind: kindJSON})
	for _, c := range columns {
		n := int32(binary.BigEndian.Uint32(body))
		if body = body[4:]; n >= 0 {
			row[c.served] = fieldValue(types, c.kind, body[:n])
			body = body[n:]
		}
	}
	if q.Payload, err = json.Marshal(row, json.Deterministic(true)); err != nil {
		q.Reason += "; and it could not be written down: " + err.Error()
	}
	return q
}

// fieldValue reads back what appendValue wrote, as JSON has it; in hexadecimal
// digits where that fails.
func fieldValue(types *pgtype.Map, kind huntKind, field []byte) any {
	t, _ := types.TypeForOID(kindOIDs[kind])
	value, err := t.Codec.DecodeDatabaseSQLValue(types, t.OID, pgtype.BinaryFormatCode, field)
	if err != nil {
		return fmt.Sprintf("%x", field)
	}
	switch v := value.(type) {
	case []byte:
		return string(v)
	case time.Time:
		return v.UTC()
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Sprint(v)
		}
	}
	return value
}
