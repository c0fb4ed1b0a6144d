package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// UpdatedDays counts the incidents, or for the stream alerts the alerts, by the
// UTC day of their last update, of those in [from, to). Days without any are left out.
func (s *Store) UpdatedDays(ctx context.Context, tenantID, stream string, from, to time.Time) ([]HourCount, error) {
	const incidents = `
		SELECT date_bin('1 day', last_update_date_time, 'epoch'), count(*)
		FROM defender.incidents
		WHERE tenant_id = $1 AND last_update_date_time >= $2 AND last_update_date_time < $3
		GROUP BY 1
		ORDER BY 1`
	const alerts = `
		SELECT date_bin('1 day', last_update_date_time, 'epoch'), count(*)
		FROM defender.alerts
		WHERE tenant_id = $1 AND last_update_date_time >= $2 AND last_update_date_time < $3
		GROUP BY 1
		ORDER BY 1`
	count := incidents
	if stream == "alerts" {
		count = alerts
	}
	rows, err := s.pool.Query(ctx, count, tenantID, from, to)
	if err != nil {
		return nil, fmt.Errorf("store: count %s by day: %w", stream, err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[HourCount])
	if err != nil {
		return nil, fmt.Errorf("store: count %s by day: %w", stream, err)
	}
	return all, nil
}
