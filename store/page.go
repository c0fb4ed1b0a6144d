package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// IncidentDay is how many incidents were opened and resolved on one day, in UTC.
// A merged incident is not counted: the one that it was merged into is.
type IncidentDay struct {
	Day              time.Time // its midnight
	Opened, Resolved int64
}

// Backlog is the open incidents of one severity.
type Backlog struct {
	Severity string // "high", "medium", "low", "informational", or "other" for every other one
	Open     int64
	Oldest   time.Time // when the oldest was opened
}

// IncidentFigures returns the days from since on, which is a midnight in UTC,
// that have incidents, in order, and the severities that have open ones. It
// reads what was opened or changed since then and what is open, by indexes, and
// never the whole table.
//
// The days are those of bi.incident_daily, which goes back to the first and is
// slower by that: an incident that is resolved twice counts on both days.
func (s *Store) IncidentFigures(ctx context.Context, tenantID string, since time.Time) ([]IncidentDay, []Backlog, error) {
	const days = `
		WITH merged AS MATERIALIZED (
			SELECT m.incident_id
			FROM defender.incident_merges AS m
			WHERE m.tenant_id = $1 AND m.root_incident_id <> m.incident_id
		)
		SELECT date_trunc('day', d.at, 'UTC'), sum(d.opened)::bigint, sum(d.resolved)::bigint
		FROM (
			SELECT i.created_date_time AS at, i.incident_id, 1 AS opened, 0 AS resolved
			FROM defender.incidents AS i
			WHERE i.tenant_id = $1 AND i.created_date_time >= $2
			UNION ALL
			SELECT i.first_synced_at, i.incident_id, 1, 0
			FROM defender.incidents AS i
			WHERE i.tenant_id = $1 AND i.first_synced_at >= $2 AND i.created_date_time IS NULL
			UNION ALL
			SELECT i.resolved_before_sync_at, i.incident_id, 0, 1
			FROM defender.incidents AS i
			WHERE i.tenant_id = $1 AND i.resolved_before_sync_at >= $2
			UNION ALL
			SELECT h.changed_at, h.incident_id, 0, 1
			FROM defender.incident_history AS h
			WHERE h.tenant_id = $1 AND h.changed_at >= $2 AND h.field = 'status'
				AND h.new_value IN ('resolved', 'redirected') AND coalesce(h.old_value, '') NOT IN ('resolved', 'redirected')
		) AS d
		WHERE d.incident_id NOT IN (SELECT m.incident_id FROM merged AS m)
		GROUP BY 1
		ORDER BY 1`
	// The condition on status is the one of incidents_open_idx.
	const open = `
		SELECT CASE WHEN i.severity IN ('high', 'medium', 'low', 'informational') THEN i.severity ELSE 'other' END,
			count(*), coalesce(min(i.created_date_time), min(i.last_update_date_time))
		FROM defender.incidents AS i
		WHERE i.tenant_id = $1 AND i.status IS DISTINCT FROM 'resolved' AND i.status IS DISTINCT FROM 'redirected' AND i.redirect_incident_id IS NULL
		GROUP BY 1
		ORDER BY 1`
	var byDay []IncidentDay
	var backlog []Backlog
	b := &pgx.Batch{}
	b.Queue(days, tenantID, since).Query(func(rows pgx.Rows) (err error) {
		byDay, err = pgx.CollectRows(rows, pgx.RowToStructByPos[IncidentDay])
		return err
	})
	b.Queue(open, tenantID).Query(func(rows pgx.Rows) (err error) {
		backlog, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Backlog])
		return err
	})
	if err := s.pool.SendBatch(ctx, b).Close(); err != nil {
		return nil, nil, fmt.Errorf("store: count incidents by day: %w", err)
	}
	return byDay, backlog, nil
}

// RecentRuns returns the newest limit runs of the given streams of the tenant
// together, newest first. It reads at most limit runs of each stream, however
// many are on record.
func (s *Store) RecentRuns(ctx context.Context, tenantID string, streams []string, limit int) ([]Run, error) {
	const list = `
		SELECT r.run_id, r.tenant_id, r.stream, r.command, r.started_at, r.finished_at, r.outcome, r.rows_read, r.rows_inserted,
			r.rows_updated, r.rows_unchanged, r.calls, r.throttled_seconds, coalesce(r.error, ''), coalesce(r.warning, '')
		FROM unnest($2::text[]) AS s (stream)
		CROSS JOIN LATERAL (
			SELECT *
			FROM sync.runs AS r
			WHERE r.tenant_id = $1 AND r.stream = s.stream
			ORDER BY r.started_at DESC
			LIMIT $3
		) AS r
		ORDER BY r.started_at DESC, r.run_id DESC
		LIMIT $3`
	rows, err := s.pool.Query(ctx, list, tenantID, streams, limit)
	if err != nil {
		return nil, fmt.Errorf("store: list recent runs: %w", err)
	}
	all, err := pgx.CollectRows(rows, scanRun)
	if err != nil {
		return nil, fmt.Errorf("store: list recent runs: %w", err)
	}
	return all, nil
}
