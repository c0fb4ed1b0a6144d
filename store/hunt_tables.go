package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// HourCount is how many rows have their time in one hour.
type HourCount struct {
	Hour time.Time // its begin
	Rows int64
}

// HuntHours counts the tenant's rows with their time in [from, to) by the hour;
// hours without any are left out. Of ranges those count that are valid now. A
// table that was not made yet has none.
func (s *Store) HuntHours(ctx context.Context, spec HuntSpec, from, to time.Time) ([]HourCount, error) {
	const count = `
		SELECT date_bin('1 hour', %[1]s, '2000-01-01 00:00:00+00'), count(*)
		FROM %[2]s
		WHERE tenant_id = $1 AND %[1]s >= $2 AND %[1]s < $3 AND %[3]s
		GROUP BY 1
		ORDER BY 1`
	t, column, err := s.timeColumn(ctx, &spec)
	if err != nil || column == "" {
		return nil, err
	}
	sql := fmt.Sprintf(count, quote(column), hunting(t.name), spec.present())
	rows, err := s.pool.Query(ctx, sql, spec.TenantID, from, to)
	if err != nil {
		return nil, fmt.Errorf("store: count rows of %s by hour: %w", t.name, err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[HourCount])
	if err != nil {
		return nil, fmt.Errorf("store: count rows of %s by hour: %w", t.name, err)
	}
	return all, nil
}

// present is the condition for the rows that a table holds as the present.
func (s *HuntSpec) present() string {
	if s.Mode == HuntSnapshot {
		return "valid_to IS NULL"
	}
	return "true"
}

// timeColumn finds the table's column for the time; "" where there is none yet.
func (s *Store) timeColumn(ctx context.Context, spec *HuntSpec) (*huntTable, string, error) {
	t, err := loadHuntTable(ctx, s.pool, spec.table())
	if err != nil {
		return nil, "", fmt.Errorf("store: look up hunting table %s: %w", spec.table(), err)
	}
	if spec.TimeColumn == "" {
		return t, "", nil
	}
	if c := t.find(spec.TimeColumn, nil); t.made && c != nil && c.made && c.kind == kindTime {
		return t, c.name, nil
	}
	return t, "", nil
}

// HuntRetain removes the tenant's rows from before before, some thousand at a
// time so that the lease can be renewed in between, and returns how many. Events
// without a time count from when they were stored, and ranges from when they
// ended; a table that is replaced keeps what its query returns. The error is
// [ErrFenced] once the lease is lost.
func (s *Store) HuntRetain(ctx context.Context, l Lease, spec HuntSpec, before time.Time) (int64, error) {
	t, column, err := s.timeColumn(ctx, &spec)
	if err != nil || !t.made || spec.Mode == HuntReplace {
		return 0, err
	}
	switch {
	case spec.Mode == HuntSnapshot:
		column = "valid_to"
	case column == "":
		column = "synced_at"
	}
	total := int64(0)
	for {
		n, err := s.retainSome(ctx, l, retention{&spec, t, column, before})
		total += n
		if n == 0 || err != nil {
			if err != nil {
				err = fmt.Errorf("store: remove old rows of %s: %w", t.name, err)
			}
			return total, err
		}
	}
}

// retention is what is removed from where.
type retention struct {
	spec   *HuntSpec
	table  *huntTable
	column string
	before time.Time
}

// retainSome removes some rows in one transaction.
func (s *Store) retainSome(ctx context.Context, l Lease, r retention) (int64, error) {
	const atOnce = 5000
	const remove = `
		DELETE FROM %[1]s AS h
		USING (
			SELECT row_key %[3]s
			FROM %[1]s
			WHERE tenant_id = $1 AND %[2]s < $2 AND row_key <= $3
			LIMIT $4
		) AS k
		WHERE h.tenant_id = $1 AND h.row_key = k.row_key %[4]s`
	// Where keys begin with the time, what is old has small ones. An instant more
	// than the milliseconds of a key is a key's whole millisecond.
	most := rowKey{}
	for i := range most {
		most[i] = 0xff
	}
	if r.spec.Mode == HuntEvents && r.spec.timed() {
		most = lastKeyOf(r.before)
	}
	column, same := "", ""
	if r.spec.Mode == HuntSnapshot {
		column, same = ", valid_from", "AND h.valid_from = k.valid_from"
	}
	sql := fmt.Sprintf(remove, hunting(r.table.name), quote(r.column), column, same)
	var removed int64
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var now time.Time
		b := &pgx.Batch{}
		queueGuard(b, l, &now)
		b.Queue(sql, l.TenantID, r.before, [16]byte(most), atOnce).Exec(func(tag pgconn.CommandTag) error {
			removed = tag.RowsAffected()
			return nil
		})
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return 0, err
	}
	return removed, nil
}

// lastKeyOf returns the greatest key of a row from before an instant.
func lastKeyOf(before time.Time) rowKey {
	var k rowKey
	ms := keyTime(before.Sub(epoch).Microseconds())
	for i := range k {
		k[i] = 0xff
		if i < 6 {
			k[i] = byte(ms >> (8 * (5 - i)))
		}
	}
	return k
}

// HuntSize estimates what the tenant's rows of a hunting table are: how many,
// and how many bytes on disk with their indexes. Where several tenants share
// the table its bytes are shared out by their rows. A table that was not made
// yet has none.
func (s *Store) HuntSize(ctx context.Context, tenantID, name string) (rows, bytes int64, err error) {
	const size = `
		SELECT pg_total_relation_size(c.oid), greatest(c.reltuples, 0)::bigint
		FROM pg_class AS c
		WHERE c.oid = to_regclass($1)`
	rows, err = s.HuntStored(ctx, tenantID, name)
	if err != nil {
		return 0, 0, err
	}
	var all int64
	err = s.pool.QueryRow(ctx, size, hunting(SnakeCase(name))).Scan(&bytes, &all)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, 0, fmt.Errorf("store: size of hunting table %s: %w", name, err)
	}
	if all > rows {
		bytes = int64(float64(bytes) * float64(rows) / float64(all))
	}
	return rows, bytes, nil
}

// exactBelow is up to how many rows they are counted: a matter of milliseconds.
const exactBelow = 200_000

// HuntStored is how many rows of the tenant a hunting table holds, of ranges
// those that are valid now. It is exact as long as PostgreSQL takes the table
// for one of fewer than 200,000 rows, or knows nothing of the tenant; beyond
// that it is what PostgreSQL's statistics make of it. What somebody else made
// under the table's name holds none: the stream says so, and others go on.
func (s *Store) HuntStored(ctx context.Context, tenantID, name string) (int64, error) {
	// Of ranges, the index of those valid now knows how many they are. A tenant
	// with a notable share of the rows is among the most common values.
	const estimate = `
		SELECT coalesce(i.tuples, c.reltuples)::bigint, i.tuples IS NOT NULL, coalesce((
			SELECT f.share
			FROM pg_stats AS s
			CROSS JOIN unnest(s.most_common_vals::text::text[], s.most_common_freqs) AS f (tenant, share)
			WHERE s.schemaname = 'hunting' AND s.tablename = c.relname AND s.attname = 'tenant_id' AND f.tenant = $2
		), 0)
		FROM pg_class AS c
		LEFT JOIN LATERAL (
			SELECT x.reltuples AS tuples
			FROM pg_index AS p
			JOIN pg_class AS x ON x.oid = p.indexrelid
			WHERE p.indrelid = c.oid AND p.indisunique AND p.indpred IS NOT NULL
		) AS i ON true
		WHERE c.oid = to_regclass($1) AND c.relkind IN ('r', 'p')
			AND EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND a.atttypid = 'uuid'::regtype)`
	const count = `SELECT count(*) FROM %s WHERE tenant_id = $1 AND %s`
	table := hunting(SnakeCase(name))
	var rows int64
	var ranges bool
	var share float64
	err := s.pool.QueryRow(ctx, estimate, table, tenantID).Scan(&rows, &ranges, &share)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, nil
	case err == nil && rows >= exactBelow && share > 0:
		return int64(float64(rows) * share), nil
	}
	if err == nil {
		present := "true"
		if ranges {
			present = "valid_to IS NULL"
		}
		err = s.pool.QueryRow(ctx, fmt.Sprintf(count, table, present), tenantID).Scan(&rows)
	}
	if err != nil {
		return 0, fmt.Errorf("store: count rows of hunting table %s: %w", name, err)
	}
	return rows, nil
}
