package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// StartRun records that a pass began, with outcome "running". The error is
// [ErrFenced] when the lease is not held any more.
func (s *Store) StartRun(ctx context.Context, l Lease, r Run) error {
	const start = `
		INSERT INTO sync.runs (
			tenant_id, run_id, stream, command, started_at, outcome,
			rows_read, rows_inserted, rows_updated, rows_unchanged, calls, throttled_seconds, fence
		)
		SELECT l.tenant_id, $4, $5, $6, $7, 'running', 0, 0, 0, 0, 0, 0, l.fence
		FROM sync.leases AS l
		WHERE l.tenant_id = $1 AND l.owner = $2 AND l.fence = $3 AND l.released_at IS NULL`
	tag, err := s.pool.Exec(ctx, start, l.TenantID, l.Owner, l.Fence, r.RunID, r.Stream, r.Command, r.StartedAt)
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrFenced
	}
	if err != nil {
		return fmt.Errorf("store: start run of %s: %w", r.Stream, err)
	}
	return nil
}

// RecordLocked records a pass that was not made since another worker holds the
// tenant, with outcome "locked"; r.Error says who. It is not fenced, because
// whoever calls it has no lease. That is safe: the row is a new one, it is no
// progress and touches none, and no pass reads it.
func (s *Store) RecordLocked(ctx context.Context, r Run) error {
	const record = `
		INSERT INTO sync.runs (
			tenant_id, run_id, stream, command, started_at, finished_at, outcome,
			rows_read, rows_inserted, rows_updated, rows_unchanged, calls, throttled_seconds, error, fence
		)
		SELECT l.tenant_id, $2, $3, $4, $5, $6, 'locked', 0, 0, 0, 0, 0, 0, $7, l.fence
		FROM sync.leases AS l
		WHERE l.tenant_id = $1`
	_, err := s.pool.Exec(ctx, record, r.TenantID, r.RunID, r.Stream, r.Command, r.StartedAt, r.FinishedAt, orNull(CleanText(r.Error)))
	if err != nil {
		return fmt.Errorf("store: record that %s was locked: %w", r.Stream, err)
	}
	return nil
}

// FinishRun records how a pass ended, on another connection where one is
// broken or silent: what ended the pass may have been the end of them all, and the pool
// does not know yet. The error is [ErrFenced] when the run is not running any
// more: another worker took the tenant and marked it as interrupted.
func (s *Store) FinishRun(ctx context.Context, r Run) error {
	const finish = `
		UPDATE sync.runs
		SET finished_at = $3, outcome = $4, rows_read = $5, rows_inserted = $6, rows_updated = $7, rows_unchanged = $8,
			calls = $9, throttled_seconds = $10, error = $11, warning = $12
		WHERE tenant_id = $1 AND run_id = $2 AND (outcome = 'running' OR outcome = $4 AND finished_at = $3)`
	const attempts = 6 // more than there usually are connections
	var tag pgconn.CommandTag
	var err error
	for range attempts {
		tag, err = s.execWithin(ctx, finishWithin, finish, r.TenantID, r.RunID, r.FinishedAt, r.Outcome, r.RowsRead, r.Inserted, r.Updated,
			r.Unchanged, r.Calls, r.ThrottledSeconds, orNull(CleanText(r.Error)), orNull(CleanText(r.Warning)))
		if !isBroken(err) || ctx.Err() != nil {
			break
		}
	}
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrFenced
	}
	if err != nil {
		return fmt.Errorf("store: finish run of %s: %w", r.Stream, err)
	}
	return nil
}

// finishWithin is how long one connection may keep silent before the end of a
// run is told on another: the caller has a few seconds for all of it.
const finishWithin = 1500 * time.Millisecond

// execWithin runs a statement that may be run again. A connection that does not
// answer in time is closed by that.
func (s *Store) execWithin(ctx context.Context, d time.Duration, sql string, args ...any) (pgconn.CommandTag, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return s.pool.Exec(ctx, sql, args...)
}

// Runs returns the newest limit runs of the tenant, newest first; an empty
// stream means all streams.
func (s *Store) Runs(ctx context.Context, tenantID, stream string, limit int) ([]Run, error) {
	const list = `
		SELECT run_id, tenant_id, stream, command, started_at, finished_at, outcome, rows_read, rows_inserted, rows_updated,
			rows_unchanged, calls, throttled_seconds, coalesce(error, ''), coalesce(warning, '')
		FROM sync.runs
		WHERE tenant_id = $1 AND ($2::text IS NULL OR stream = $2)
		ORDER BY started_at DESC, run_id DESC
		LIMIT $3`
	rows, err := s.pool.Query(ctx, list, tenantID, orNull(stream), limit)
	if err != nil {
		return nil, fmt.Errorf("store: list runs: %w", err)
	}
	all, err := pgx.CollectRows(rows, scanRun)
	if err != nil {
		return nil, fmt.Errorf("store: list runs: %w", err)
	}
	return all, nil
}

// scanRun reads the columns in the order in which every statement names them.
func scanRun(row pgx.CollectableRow) (Run, error) {
	var r Run
	var finished *time.Time
	err := row.Scan(&r.RunID, &r.TenantID, &r.Stream, &r.Command, &r.StartedAt, &finished, &r.Outcome, &r.RowsRead, &r.Inserted, &r.Updated,
		&r.Unchanged, &r.Calls, &r.ThrottledSeconds, &r.Error, &r.Warning)
	if finished != nil {
		r.FinishedAt = *finished
	}
	return r, err
}

// PruneRuns forgets the tenant's runs that ended before before.
func (s *Store) PruneRuns(ctx context.Context, tenantID string, before time.Time) error {
	const prune = `
		DELETE FROM sync.runs
		WHERE tenant_id = $1 AND finished_at < $2`
	if _, err := s.pool.Exec(ctx, prune, tenantID, before); err != nil {
		return fmt.Errorf("store: prune runs: %w", err)
	}
	return nil
}
