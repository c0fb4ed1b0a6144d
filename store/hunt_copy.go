package store

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
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

// timeSize is what appendTime appends.
const timeSize = 4 + 8

func appendTime(dst []byte, at time.Time) []byte {
	dst = append(dst, 0, 0, 0, 8)
	return binary.BigEndian.AppendUint64(dst, uint64(at.Sub(epoch).Microseconds()))
}
