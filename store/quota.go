package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// CallCount is how many requests were sent in one second.
type CallCount struct {
	Second time.Time
	Calls  int
}

// quotaKept is how long calls count: no limit looks further back than an hour.
const quotaKept = time.Hour

// RecordCall remembers one request against the tenant's limits, so that a worker
// that starts after this one died keeps within them.
func (s *Store) RecordCall(ctx context.Context, tenantID, family string, at time.Time) error {
	// Not worth a wait for the disk: only a crash of the database itself can forget the
	// last fraction of a second. A batch is one transaction, and the setting ends with it.
	const hurry = `SELECT set_config('synchronous_commit', 'off', true)`
	const add = `
		INSERT INTO sync.quota AS q (tenant_id, family, second, calls)
		VALUES ($1, $2, $3, 1)
		ON CONFLICT (tenant_id, family, second) DO UPDATE SET
			calls = q.calls + 1`
	const forget = `
		DELETE FROM sync.quota
		WHERE tenant_id = $1 AND family = $2 AND second < $3`
	err := repeat(func() error {
		b := &pgx.Batch{}
		b.Queue(hurry)
		b.Queue(add, tenantID, family, at.Truncate(time.Second))
		b.Queue(forget, tenantID, family, at.Add(-quotaKept-time.Second))
		return s.pool.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return fmt.Errorf("store: record call: %w", err)
	}
	return nil
}

// RecentCalls returns the requests sent since the second of since, in order.
func (s *Store) RecentCalls(ctx context.Context, tenantID, family string, since time.Time) ([]CallCount, error) {
	const recent = `
		SELECT second, calls
		FROM sync.quota
		WHERE tenant_id = $1 AND family = $2 AND second >= $3
		ORDER BY second`
	rows, err := s.pool.Query(ctx, recent, tenantID, family, since.Truncate(time.Second))
	if err != nil {
		return nil, fmt.Errorf("store: list recent calls: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[CallCount])
	if err != nil {
		return nil, fmt.Errorf("store: list recent calls: %w", err)
	}
	return all, nil
}
