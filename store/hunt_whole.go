package store

import (
	"bytes"
	"context"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"
)

// A whole result, replaced or as ranges, is compared with what is stored by
// going through both in the order of their keys: what is in one of them only is
// new, or has vanished.

// storedRow is one row that is valid now.
type storedRow struct {
	key  rowKey
	hash [16]byte
}

// merger goes through a result and what is stored at once.
type merger struct {
	next func() (huntEntry, error, bool)
	row  huntEntry // of the result: the one that comes next
	more bool      // there is one
	err  error

	page  []storedRow // of what is stored
	last  bool        // nothing is stored behind page
	after rowKey      // the last row stored that was gone through

	fresh, changed, gone []huntEntry // what was found since the last write; of those gone, the key
	same                 int64
	bytes                int
}

// loadWhole makes the table's rows of the tenant those of the result.
func (l *loader) loadWhole(ctx context.Context) error {
	next, stop := iter.Pull2(l.rows.settled(l.rows.index.sorted()))
	defer stop()
	m := &merger{next: next}
	m.advance()
	for first := true; !m.last; first = false {
		if err := l.readPage(ctx, m, first); err != nil {
			return err
		}
		for m.step() {
			if len(m.fresh)+len(m.changed)+len(m.gone) < chunkRows && m.bytes < chunkBytes {
				continue
			}
			if err := l.writeFound(ctx, m); err != nil {
				return err
			}
		}
		if m.err != nil {
			return m.err
		}
		if err := l.writeFound(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (m *merger) advance() { m.row, m.err, m.more = m.next() }

// step looks at one row of either side or of both, and reports false at the end
// of the page. Behind the last page is all that is left of the result.
func (m *merger) step() bool {
	if m.err != nil || len(m.page) == 0 && !(m.last && m.more) {
		return false
	}
	order := 1
	switch {
	case len(m.page) == 0:
		order = -1
	case m.more:
		order = bytes.Compare(m.row.key[:], m.page[0].key[:])
	}
	switch {
	case order > 0:
		m.gone = append(m.gone, huntEntry{key: m.page[0].key})
	case order < 0:
		m.fresh = append(m.fresh, m.row)
		m.bytes += int(m.row.size)
	case m.row.hash == m.page[0].hash:
		m.same++
	default:
		m.changed = append(m.changed, m.row)
		m.bytes += int(m.row.size)
	}
	if order >= 0 {
		m.after, m.page = m.page[0].key, m.page[1:]
	}
	if order <= 0 {
		m.advance()
	}
	return true
}

// readPage reads some of the rows that are valid now, from behind those gone
// through on. What was written meanwhile is not among them.
func (l *loader) readPage(ctx context.Context, m *merger, first bool) error {
	const pageRows = 10_000
	const read = `
		SELECT row_key, row_hash
		FROM %s
		WHERE tenant_id = $1 AND (row_key > $2 OR $3) AND %s
		ORDER BY row_key
		LIMIT $4`
	sql := fmt.Sprintf(read, l.table, l.rows.spec.present())
	rows, err := l.w.tx.Query(ctx, sql, l.c.Lease.TenantID, [16]byte(m.after), first, pageRows)
	if err != nil {
		return err
	}
	m.page, err = pgx.AppendRows(m.page[:0], rows, func(row pgx.CollectableRow) (s storedRow, err error) {
		err = row.Scan((*[16]byte)(&s.key), &s.hash)
		return s, err
	})
	m.last = len(m.page) < pageRows
	return err
}

// writeFound writes what was found, and forgets it.
func (l *loader) writeFound(ctx context.Context, m *merger) error {
	l.w.counts.Unchanged += m.same
	if err := l.end(ctx, m.gone); err != nil {
		return err
	}
	if err := l.write(ctx, m.fresh, &l.w.counts.Inserted); err != nil {
		return err
	}
	if err := l.rewrite(ctx, m.changed); err != nil {
		return err
	}
	m.fresh, m.changed, m.gone, m.same, m.bytes = m.fresh[:0], m.changed[:0], m.gone[:0], 0, 0
	return nil
}

// end takes rows out of the present.
func (l *loader) end(ctx context.Context, rows []huntEntry) error {
	const remove = `DELETE FROM %s WHERE tenant_id = $1 AND row_key = ANY($2)`
	// A clock that was set back does not end a row before it began.
	const shut = `UPDATE %s SET valid_to = greatest(valid_from, $3) WHERE tenant_id = $1 AND row_key = ANY($2) AND valid_to IS NULL`
	if len(rows) == 0 {
		return nil
	}
	if l.rows.spec.Mode != HuntSnapshot {
		_, err := l.w.tx.Exec(ctx, fmt.Sprintf(remove, l.table), l.c.Lease.TenantID, keysOf(rows))
		return err
	}
	_, err := l.w.tx.Exec(ctx, fmt.Sprintf(shut, l.table), l.c.Lease.TenantID, keysOf(rows), l.w.now)
	return err
}

// quarantineOdd keeps what was in the answers and is no row. It goes straight to
// the database, some at a time: a whole answer may be odd.
func (l *loader) quarantineOdd(ctx context.Context) error {
	const atOnce = 4 << 20 // bytes
	waiting := 0
	for _, o := range l.rows.odd {
		raw, err := l.rows.spool.read(nil, o.at, o.size)
		if err != nil {
			return err
		}
		l.w.queueQuarantined(l.c, Quarantined{Kind: kindHuntingRow, Reason: o.reason, Payload: raw})
		if waiting += len(raw) + len(o.reason); waiting >= atOnce {
			waiting = 0
			if err := l.w.send(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}
