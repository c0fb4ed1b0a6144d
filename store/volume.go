package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Volume says whose records are counted by the hour of their time: incidents
// and alerts by when they were created, since their last update moves, and the
// rows of a hunting table by its time column.
type Volume struct {
	TenantID string
	Stream   string    // "incidents" or "alerts", where Hunt is nil
	Hunt     *HuntSpec // of a stream in mode events
}

// Countable reports whether an index finds the records of an hour: of hunting
// rows it is that of the keys, which begin with the time only where the time is
// part of what identifies a row.
func (v Volume) Countable() bool {
	return v.Hunt == nil || v.Hunt.Mode == HuntEvents && v.Hunt.timed()
}

// Newest returns the time of the newest record in [from, to), of hunting rows
// to the millisecond; the zero time where there is none. It looks at one entry
// of an index.
func (s *Store) Newest(ctx context.Context, v Volume, from, to time.Time) (time.Time, error) {
	const incidents = `
		SELECT max(created_date_time)
		FROM defender.incidents
		WHERE tenant_id = $1 AND created_date_time >= $2 AND created_date_time < $3`
	const alerts = `
		SELECT max(created_date_time)
		FROM defender.alerts
		WHERE tenant_id = $1 AND created_date_time >= $2 AND created_date_time < $3`
	var at time.Time
	var err error
	switch {
	case v.Hunt != nil:
		at, err = s.newestRow(ctx, v, from, to)
	case v.Stream == "alerts":
		at, err = s.instant(ctx, alerts, v.TenantID, from, to)
	default:
		at, err = s.instant(ctx, incidents, v.TenantID, from, to)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("store: find the newest of %s: %w", v.Stream, err)
	}
	return at, nil
}

// newestRow is [Store.Newest] for hunting rows.
func (s *Store) newestRow(ctx context.Context, v Volume, from, to time.Time) (time.Time, error) {
	const newest = `
		SELECT row_key
		FROM %s
		WHERE tenant_id = $1 AND row_key >= $2 AND row_key < $3
		ORDER BY row_key DESC
		LIMIT 1`
	made, err := s.isMade(ctx, v)
	if err != nil || !made {
		return time.Time{}, err
	}
	var key [16]byte
	err = s.pool.QueryRow(ctx, fmt.Sprintf(newest, hunting(v.Hunt.table())), v.TenantID, firstKeyOf(from), firstKeyOf(to)).Scan(&key)
	if errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, nil
	}
	return rowKey(key).time(), err
}

// HourRows counts, for each of hours, the records in the hour that begins then,
// and no more than most of each.
func (s *Store) HourRows(ctx context.Context, v Volume, hours []time.Time, most int) ([]int64, error) {
	const incidents = `
		SELECT (SELECT count(*) FROM (
			SELECT
			FROM defender.incidents AS i
			WHERE i.tenant_id = $1 AND i.created_date_time >= h.hour AND i.created_date_time < h.hour + interval '1 hour'
			LIMIT $3) AS few)
		FROM unnest($2::timestamptz[]) WITH ORDINALITY AS h (hour, n)
		ORDER BY h.n`
	const alerts = `
		SELECT (SELECT count(*) FROM (
			SELECT
			FROM defender.alerts AS a
			WHERE a.tenant_id = $1 AND a.created_date_time >= h.hour AND a.created_date_time < h.hour + interval '1 hour'
			LIMIT $3) AS few)
		FROM unnest($2::timestamptz[]) WITH ORDINALITY AS h (hour, n)
		ORDER BY h.n`
	var counts []int64
	var err error
	switch {
	case v.Hunt != nil:
		counts, err = s.hourKeys(ctx, v, hours, most)
	case v.Stream == "alerts":
		counts, err = s.numbers(ctx, alerts, v.TenantID, hours, most)
	default:
		counts, err = s.numbers(ctx, incidents, v.TenantID, hours, most)
	}
	if err != nil {
		return nil, fmt.Errorf("store: count %s by hour: %w", v.Stream, err)
	}
	return counts, nil
}

// hourKeys is [Store.HourRows] for hunting rows.
func (s *Store) hourKeys(ctx context.Context, v Volume, hours []time.Time, most int) ([]int64, error) {
	const rows = `
		SELECT (SELECT count(*) FROM (
			SELECT
			FROM %s AS r
			WHERE r.tenant_id = $1 AND r.row_key >= h.first AND r.row_key < h.next
			LIMIT $4) AS few)
		FROM unnest($2::uuid[], $3::uuid[]) WITH ORDINALITY AS h (first, next, n)
		ORDER BY h.n`
	made, err := s.isMade(ctx, v)
	if err != nil || !made {
		return make([]int64, len(hours)), err
	}
	var first, next [][16]byte
	for _, h := range hours {
		first, next = append(first, firstKeyOf(h)), append(next, firstKeyOf(h.Add(time.Hour)))
	}
	return s.numbers(ctx, fmt.Sprintf(rows, hunting(v.Hunt.table())), v.TenantID, first, next, most)
}

// isMade reports whether the table is there.
func (s *Store) isMade(ctx context.Context, v Volume) (made bool, err error) {
	const look = `SELECT to_regclass($1) IS NOT NULL`
	err = s.pool.QueryRow(ctx, look, hunting(v.Hunt.table())).Scan(&made)
	return made, err
}

// numbers returns the one column of a query.
func (s *Store) numbers(ctx context.Context, sql string, args ...any) ([]int64, error) {
	rows, err := s.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

// firstKeyOf returns the least key of a row from an instant, in whole
// milliseconds, or after it.
func firstKeyOf(at time.Time) [16]byte {
	k := lastKeyOf(at)
	clear(k[6:])
	return k
}

// time is when a row with a key that begins with its time happened.
func (k rowKey) time() time.Time {
	ms := int64(0)
	for _, b := range k[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms).UTC()
}
