package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Reconciled is what the comparison of one hour has found. An hour whose counts
// differ even after it was read again, as with exact duplicates in a keyed
// table, need not be read again as long as they stay what they are.
type Reconciled struct {
	Hour       time.Time
	SourceRows int64
	StoredRows int64
	CheckedAt  time.Time // set by the store
	RunID      string    // likewise
}

// Reconciled returns the hours in [from, to) whose counts are known to differ,
// in order.
func (s *Store) Reconciled(ctx context.Context, tenantID, stream string, from, to time.Time) ([]Reconciled, error) {
	const list = `
		SELECT hour, source_rows, stored_rows, checked_at, coalesce(run_id::text, '')
		FROM sync.reconciliations
		WHERE tenant_id = $1 AND stream = $2 AND hour >= $3 AND hour < $4
		ORDER BY hour`
	rows, err := s.pool.Query(ctx, list, tenantID, stream, from, to)
	if err != nil {
		return nil, fmt.Errorf("store: list reconciliations of %s: %w", stream, err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Reconciled])
	if err != nil {
		return nil, fmt.Errorf("store: list reconciliations of %s: %w", stream, err)
	}
	return all, nil
}

// SaveReconciled remembers the hours of rows whose counts differ, and forgets
// those where they are the same. The error is [ErrFenced] without the lease.
func (s *Store) SaveReconciled(ctx context.Context, l Lease, stream, runID string, rows []Reconciled) error {
	const remember = `
		INSERT INTO sync.reconciliations (tenant_id, stream, hour, source_rows, stored_rows, checked_at, run_id)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (tenant_id, stream, hour) DO UPDATE SET
			source_rows = excluded.source_rows, stored_rows = excluded.stored_rows,
			checked_at = excluded.checked_at, run_id = excluded.run_id`
	const forget = `
		DELETE FROM sync.reconciliations
		WHERE tenant_id = $1 AND stream = $2 AND hour = $3`
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var now time.Time
		b := &pgx.Batch{}
		queueGuard(b, l, &now)
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		b = &pgx.Batch{}
		for _, r := range rows {
			if r.SourceRows == r.StoredRows {
				b.Queue(forget, l.TenantID, stream, r.Hour)
			} else {
				b.Queue(remember, l.TenantID, stream, r.Hour, r.SourceRows, r.StoredRows, now, orNull(runID))
			}
		}
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return fmt.Errorf("store: save reconciliations of %s: %w", stream, err)
	}
	return nil
}

// ForgetReconciled forgets the hours before before, which the service no longer
// shows. The error is [ErrFenced] without the lease.
func (s *Store) ForgetReconciled(ctx context.Context, l Lease, stream string, before time.Time) error {
	const forget = `
		DELETE FROM sync.reconciliations
		WHERE tenant_id = $1 AND stream = $2 AND hour < $3`
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var now time.Time
		b := &pgx.Batch{}
		queueGuard(b, l, &now)
		b.Queue(forget, l.TenantID, stream, before)
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return fmt.Errorf("store: forget reconciliations of %s: %w", stream, err)
	}
	return nil
}
