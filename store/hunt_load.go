package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A chunk is what is looked up, and written, at a time.
const (
	chunkRows  = 2000
	chunkBytes = 2 << 20
)

// loader writes the rows of a result within one commit.
type loader struct {
	w     *writer
	c     *Commit
	rows  *HuntRows
	table string          // quoted
	held  map[string]bool // keys of rows in quarantine
	copy  []byte          // what COPY reads
	found *found          // what the rows written name

	// apart finds the row that PostgreSQL refuses, by halves under savepoints.
	apart bool
}

// commitHunt is [Store.Commit] of a hunting result. Its rows are written first
// and the lease is locked after them, so that a long load does not keep the
// lease from being renewed: a look at the lease before tells a worker that has
// lost it long ago not to try.
func (s *Store) commitHunt(ctx context.Context, c *Commit) (*writer, error) {
	c.Hunt.Keep()
	c.Hunt.used = true
	w, err := s.tryHuntAgain(ctx, c)
	if err != nil {
		c.Hunt.doubtful = true
		return nil, err
	}
	c.Hunt.news = nil // recorded
	return w, nil
}

// tryHuntAgain tries until nobody comes in between.
func (s *Store) tryHuntAgain(ctx context.Context, c *Commit) (*writer, error) {
	const attempts = 5
	var w *writer
	var err error
	apart := false
	for range attempts {
		w, err = s.tryHunt(ctx, c, apart)
		switch {
		case isDataError(err) && !apart:
			apart = true
		case code(err) == "23505": // a writer that did not see that it had lost the lease
		default:
			return w, err
		}
	}
	return w, err
}

func (s *Store) tryHunt(ctx context.Context, c *Commit, apart bool) (*writer, error) {
	var w *writer
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		w = &writer{tx: tx, batch: &pgx.Batch{}}
		l := &loader{w: w, c: c, rows: c.Hunt, table: hunting(c.Hunt.spec.table()), apart: apart, found: newFound(c.Hunt)}
		defer l.found.close()
		queueSettings(w.batch)
		queueFence(w.batch, c.Lease, &w.now)
		l.queueHeld()
		if err := w.send(ctx); err != nil {
			return err
		}
		if err := l.load(ctx); err != nil {
			return err
		}
		if err := l.writeSightings(ctx); err != nil {
			return err
		}
		if c.Parts == PartsRemoved {
			w.queueOldParts(c)
		}
		queueGuard(w.batch, c.Lease, &w.now)
		queueLedger(w.batch, c.span(), &w.ledger)
		if err := w.send(ctx); err != nil {
			return err
		}
		if err := l.writeEntities(ctx); err != nil {
			return err
		}
		if err := l.quarantineOdd(ctx); err != nil {
			return err
		}
		w.queueLedger(c)
		w.queueQuarantine(c)
		queueSchemaChanges(w.batch, c, w.now)
		queueCheckpoint(w.batch, c.Checkpoint, w.counts, w.now, &w.stored)
		return w.send(ctx)
	})
	return w, err
}

// checkHunt reports what no caller may hand in.
func (c *Commit) checkHunt() error {
	switch h := c.Hunt; {
	case h == nil:
		return nil
	case h.spec.TenantID != c.Lease.TenantID:
		return errors.New("the hunting rows are not of the lease's tenant")
	case len(c.Incidents)+len(c.Alerts) > 0:
		return errors.New("a commit holds hunting rows, or incidents and alerts")
	case h.served == nil && h.spec.Mode != HuntEvents:
		return errors.New("no answer was added: what it replaces would be lost")
	}
	return nil
}

// queueHeld reads which rows of the stream are in quarantine.
func (l *loader) queueHeld() {
	const held = `
		SELECT key
		FROM sync.quarantine
		WHERE tenant_id = $1 AND stream = $2 AND kind = 'hunting_row' AND key <> ''`
	l.held = map[string]bool{}
	l.w.batch.Queue(held, l.c.Lease.TenantID, l.c.Checkpoint.Stream).Query(func(rows pgx.Rows) error {
		var key string
		_, err := pgx.ForEachRow(rows, []any{&key}, func() error {
			l.held[key] = true
			return nil
		})
		return err
	})
}

func (l *loader) load(ctx context.Context) error {
	if l.rows.spec.Mode != HuntEvents {
		return l.loadWhole(ctx)
	}
	return l.eachChunk(func(chunk []huntEntry) error {
		fresh, changed, err := l.probe(ctx, chunk)
		if err != nil {
			return err
		}
		l.w.counts.Unchanged += int64(len(chunk) - len(fresh) - len(changed))
		if err := l.write(ctx, fresh, &l.w.counts.Inserted); err != nil {
			return err
		}
		if err := l.rewrite(ctx, changed); err != nil || !l.found.full() {
			return err
		}
		return l.writeSightings(ctx)
	})
}

// eachChunk calls f with the rows, some at a time.
func (l *loader) eachChunk(f func([]huntEntry) error) error {
	var chunk []huntEntry
	size := 0
	for e, err := range l.rows.settled(l.rows.index.sorted()) {
		if err != nil {
			return err
		}
		if len(chunk) == chunkRows || len(chunk) > 0 && size+int(e.size) > chunkBytes {
			if err := f(chunk); err != nil {
				return err
			}
			chunk, size = chunk[:0], 0
		}
		chunk = append(chunk, e)
		size += int(e.size)
	}
	if len(chunk) == 0 {
		return nil
	}
	return f(chunk)
}

// probe returns the rows that are not stored, and those stored with another
// content. It reads and writes nothing: an upsert would lock each row, and a
// lock is a write.
func (l *loader) probe(ctx context.Context, chunk []huntEntry) (fresh, changed []huntEntry, err error) {
	// Keys that begin with the time lie close together, and where nothing is stored
	// among them yet one look is enough. OFFSET keeps the planner from joining the
	// other way round, which it does for a table that it takes for a small one: a
	// scan of the keys for each row of it.
	const probe = `
		SELECT k.n - 1, h.same
		FROM unnest($2::uuid[], $3::uuid[], $4::timestamptz[]) WITH ORDINALITY AS k (row_key, row_hash, at, n)
		CROSS JOIN LATERAL (
			SELECT h.row_hash = k.row_hash OR %[1]s AS same
			FROM %[2]s AS h
			WHERE h.tenant_id = $1 AND h.row_key = k.row_key
			OFFSET 0
		) AS h
		WHERE EXISTS (SELECT FROM %[2]s WHERE tenant_id = $1 AND row_key BETWEEN $5 AND $6)`
	keys, hashes := make([][16]byte, len(chunk)), make([][16]byte, len(chunk))
	for i, e := range chunk {
		keys[i], hashes[i] = e.key, e.hash
	}
	stale, times := l.stale(chunk)
	rows, err := l.w.tx.Query(ctx, fmt.Sprintf(probe, stale, l.table), l.c.Lease.TenantID, keys, hashes, times, keys[0], keys[len(keys)-1])
	if err != nil {
		return nil, nil, err
	}
	const isFresh, isSame, isChanged = 0, 1, 2
	found := make([]byte, len(chunk))
	var n int64
	var same bool
	_, err = pgx.ForEachRow(rows, []any{&n, &same}, func() error {
		found[n] = isChanged
		if same {
			found[n] = isSame
		}
		return nil
	})
	for i, e := range chunk {
		switch found[i] {
		case isFresh:
			fresh = append(fresh, e)
		case isChanged:
			changed = append(changed, e)
		}
	}
	return fresh, changed, err
}

// stale returns the condition under which what is stored is newer than what has
// come, and the times it compares with. Only the newest of a key that does not
// hold the time has versions.
func (l *loader) stale(chunk []huntEntry) (condition string, times []*time.Time) {
	column := ""
	if s := &l.rows.spec; s.KeyOnly && len(l.rows.shapes) > 0 {
		if shape := l.rows.shapes[len(l.rows.shapes)-1]; shape.time >= 0 && shape.columns[shape.time].kind == kindTime {
			column = shape.columns[shape.time].name
		}
	}
	if column == "" {
		return "false", nil
	}
	times = make([]*time.Time, len(chunk))
	for i, e := range chunk {
		if e.time != noTime {
			at := instant(e.time)
			times[i] = &at
		}
	}
	return fmt.Sprintf("(h.%[1]s IS NOT NULL AND (k.at IS NULL OR k.at < h.%[1]s))", quote(column)), times
}

// rewrite puts rows in the place of those stored under their keys.
func (l *loader) rewrite(ctx context.Context, changed []huntEntry) error {
	return l.guarded(ctx, changed, func(part []huntEntry) error {
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

// write stores rows whose keys are free, and counts them.
func (l *loader) write(ctx context.Context, fresh []huntEntry, count *int64) error {
	return l.guarded(ctx, fresh, func(part []huntEntry) error {
		if err := l.copyRows(ctx, part); err != nil {
			return err
		}
		*count += int64(len(part))
		return nil
	})
}

// guarded writes rows, and where one was refused before finds which.
func (l *loader) guarded(ctx context.Context, rows []huntEntry, write func([]huntEntry) error) error {
	if len(rows) == 0 {
		return nil
	}
	if !l.apart {
		return write(rows)
	}
	return l.w.isolate(ctx, len(rows), func(lo, hi int) error { return l.foundIn(func() error { return write(rows[lo:hi]) }) }, func(n int, err error) Quarantined {
		return l.refused(rows[n], err)
	})
}

// copyRows stores the rows, those with the same columns at a time.
func (l *loader) copyRows(ctx context.Context, rows []huntEntry) error {
	for shape := range l.rows.shapes {
		if err := l.copyShape(ctx, int32(shape), rows); err != nil {
			return err
		}
	}
	for _, e := range rows {
		if key := e.key.String(); l.held[key] {
			l.w.resolved = append(l.w.resolved, QuarantineKey{kindHuntingRow, key})
		}
	}
	return nil
}

// copyShape stores those of the rows that have the columns of one shape.
func (l *loader) copyShape(ctx context.Context, shape int32, rows []huntEntry) error {
	l.copy = l.copy[:0]
	for _, e := range rows {
		if e.shape != shape {
			continue
		}
		if len(l.copy) == 0 {
			l.copy = appendCopyHeader(l.copy)
		}
		var err error
		if l.copy, err = l.appendTuple(l.copy, e); err != nil {
			return err
		}
		l.found.add(l.rows.shapes[shape], e.time, l.copy[len(l.copy)-int(e.size)-timeSize:])
	}
	if len(l.copy) == 0 {
		return nil
	}
	l.copy = append(l.copy, 0xff, 0xff) // the end
	_, err := l.w.tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(l.copy), l.copySQL(l.rows.shapes[shape]))
	return err
}
