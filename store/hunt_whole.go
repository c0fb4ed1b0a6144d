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

// wholeChunk is what one go through some of both has found.
type wholeChunk struct {
	fresh, changed, gone []huntEntry // gone have a key only
	bytes                int
}

func (c *wholeChunk) len() int { return len(c.fresh) + len(c.changed) + len(c.gone) }

// loadWhole makes the table's rows of the tenant those of the result.
func (l *loader) loadWhole(ctx context.Context) error {
	next, stop := iter.Pull2(l.rows.spec.rows(l.rows.index.sorted()))
	defer stop()
	var after rowKey
	first := true
	e, err, more := next()
	for {
		page, last, err2 := l.page(ctx, after, first)
		if err2 != nil {
			return err2
		}
		var chunk wholeChunk
		flush := func() error {
			defer func() { chunk = wholeChunk{} }()
			return l.apply(ctx, &chunk)
		}
		for {
			if err != nil {
				return err
			}
			order := 0
			switch {
			case len(page) == 0 && (!last || !more):
				order = 2 // done with the page
			case len(page) == 0:
				order = -1
			case !more:
				order = 1
			default:
				order = bytes.Compare(e.key[:], page[0].key[:])
			}
			if order == 2 {
				break
			}
			switch {
			case order > 0:
				chunk.gone = append(chunk.gone, huntEntry{key: page[0].key})
			case order < 0:
				chunk.fresh = append(chunk.fresh, e)
				chunk.bytes += int(e.size)
			case e.hash == page[0].hash:
				l.w.counts.Unchanged++
			default:
				chunk.changed = append(chunk.changed, e)
				chunk.bytes += int(e.size)
			}
			if order >= 0 {
				after, first = page[0].key, false
				page = page[1:]
			}
			if order <= 0 {
				e, err, more = next()
			}
			if chunk.len() >= chunkRows || chunk.bytes >= chunkBytes {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		if err := flush(); err != nil {
			return err
		}
		if last {
			return nil
		}
	}
}

// page reads some of the rows that are valid now, from behind after on. What is
// written meanwhile lies before the page, or in its place: last says that none
// comes after it.
func (l *loader) page(ctx context.Context, after rowKey, first bool) (page []storedRow, last bool, err error) {
	const pageRows = 10_000
	const read = `
		SELECT row_key, row_hash
		FROM %s
		WHERE tenant_id = $1 AND (row_key > $2 OR $3) AND %s
		ORDER BY row_key
		LIMIT $4`
	sql := fmt.Sprintf(read, l.table, l.valid())
	rows, err := l.w.tx.Query(ctx, sql, l.c.Lease.TenantID, [16]byte(after), first, pageRows)
	if err != nil {
		return nil, false, err
	}
	page, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (s storedRow, err error) {
		err = row.Scan((*[16]byte)(&s.key), &s.hash)
		return s, err
	})
	return page, len(page) < pageRows, err
}

// valid is the condition for the rows that are the present.
func (l *loader) valid() string {
	if l.rows.spec.Mode == HuntSnapshot {
		return "valid_to IS NULL"
	}
	return "true"
}

// apply writes what was found.
func (l *loader) apply(ctx context.Context, c *wholeChunk) error {
	if err := l.end(ctx, c.gone); err != nil {
		return err
	}
	if err := l.write(ctx, c.fresh, &l.w.counts.Inserted); err != nil {
		return err
	}
	return l.guarded(ctx, c.changed, func(part []huntEntry) error {
		if err := l.end(ctx, part); err != nil {
			return err
		}
		if err := l.copyRows(ctx, part); err != nil {
			return err
		}
		l.w.counts.Updated += int64(len(part))
		return nil
	})
}

// end takes rows out of the present.
func (l *loader) end(ctx context.Context, rows []huntEntry) error {
	const remove = `DELETE FROM %s WHERE tenant_id = $1 AND row_key = ANY($2)`
	// A clock that was set back does not end a row before it began.
	const shut = `UPDATE %s SET valid_to = greatest(valid_from, $3) WHERE tenant_id = $1 AND row_key = ANY($2) AND valid_to IS NULL`
	if len(rows) == 0 {
		return nil
	}
	if l.rows.spec.Mode == HuntReplace {
		_, err := l.w.tx.Exec(ctx, fmt.Sprintf(remove, l.table), l.c.Lease.TenantID, keysOf(rows))
		return err
	}
	_, err := l.w.tx.Exec(ctx, fmt.Sprintf(shut, l.table), l.c.Lease.TenantID, keysOf(rows), l.w.now)
	return err
}

// quarantineOdd keeps what was in the answers and is no row. It goes straight to
// the database, some at a time: a whole answer may be odd.
func (l *loader) quarantineOdd(ctx context.Context) error {
	const atOnce = 100
	for i, o := range l.rows.odd {
		raw, err := l.rows.spool.read(nil, o.at, o.size)
		if err != nil {
			return err
		}
		l.w.queueQuarantined(l.c, Quarantined{Kind: "hunting_row", Reason: o.reason, Payload: raw})
		if i%atOnce == atOnce-1 {
			if err := l.w.send(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}
