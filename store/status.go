package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// StreamState is how one stream of one tenant stands.
type StreamState struct {
	TenantID, Stream string
	Checkpoint       Checkpoint // Revision 0 before the first commit
	LastRun          *Run       // the last that was not locked; nil before the first
	Locked           *Run       // the newest of all, where it was locked; else nil
	LastSuccess      *Run       // the last with outcome "ok" or "partial"
	LastReconcile    *Run       // the last that compared the stream with its source and ended; nil before the first
	Gaps             int        // ranges in sync.gaps
	GapsTotal        time.Duration
	Quarantine       int // records in sync.quarantine
}

// streamKey names one stream of one tenant.
type streamKey struct{ tenantID, stream string }

// StreamStates returns every stream that ever ran, sorted by tenant and name.
// It reads none of the tables that grow with the tenant.
func (s *Store) StreamStates(ctx context.Context) ([]StreamState, error) {
	const checkpoints = `
		SELECT tenant_id, stream, start_time, watermark, next_from, resume_point, window_width, passed_at, rows, changed, revision
		FROM sync.checkpoints`
	const gaps = `
		SELECT tenant_id, stream, count(*), sum(to_time - from_time)
		FROM sync.gaps
		GROUP BY tenant_id, stream`
	const quarantine = `
		SELECT tenant_id, stream, count(*)
		FROM sync.quarantine
		GROUP BY tenant_id, stream`
	states := map[streamKey]*StreamState{}
	of := func(tenantID, stream string) *StreamState {
		k := streamKey{tenantID, stream}
		if states[k] == nil {
			states[k] = &StreamState{TenantID: tenantID, Stream: stream, Checkpoint: Checkpoint{TenantID: tenantID, Stream: stream}}
		}
		return states[k]
	}
	b := &pgx.Batch{}
	queueEach(b, checkpoints, func(row pgx.Rows) error {
		c, err := scanCheckpoint(row)
		of(c.TenantID, c.Stream).Checkpoint = c
		return err
	})
	queueLastRuns(b, of)
	queueEach(b, gaps, func(row pgx.Rows) error {
		var k streamKey
		var n int
		var total time.Duration
		err := row.Scan(&k.tenantID, &k.stream, &n, &total)
		state := of(k.tenantID, k.stream)
		state.Gaps, state.GapsTotal = n, total
		return err
	})
	queueEach(b, quarantine, func(row pgx.Rows) error {
		var k streamKey
		var n int
		err := row.Scan(&k.tenantID, &k.stream, &n)
		of(k.tenantID, k.stream).Quarantine = n
		return err
	})
	if err := s.pool.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("store: list streams: %w", err)
	}
	var all []StreamState
	for _, state := range states {
		all = append(all, *state)
	}
	slices.SortFunc(all, func(a, b StreamState) int {
		return cmp.Or(strings.Compare(a.TenantID, b.TenantID), strings.Compare(a.Stream, b.Stream))
	})
	return all, nil
}

// queueLastRuns sets LastRun, Locked, LastSuccess and LastReconcile of every stream.
func queueLastRuns(b *pgx.Batch, of func(tenantID, stream string) *StreamState) {
	// Of each stream the newest run with one of the outcomes $1, and of $2 alone
	// where that is not NULL. One whose lease has ended is told as whoever takes the
	// tenant next will record it: nobody may for hours.
	const last = `
		SELECT r.run_id, r.tenant_id, r.stream, r.command, r.started_at, r.finished_at, CASE WHEN d.dead THEN 'interrupted' ELSE r.outcome END,
			r.rows_read, r.rows_inserted, r.rows_updated, r.rows_unchanged, r.calls, r.throttled_seconds,
			coalesce(CASE WHEN d.dead THEN 'its worker stopped without saying so' ELSE r.error END, ''), coalesce(r.warning, '')
		FROM (SELECT DISTINCT tenant_id, stream FROM sync.runs WHERE $2::text IS NULL OR command = $2) AS s
		CROSS JOIN LATERAL (
			SELECT *
			FROM sync.runs AS r
			WHERE r.tenant_id = s.tenant_id AND r.stream = s.stream AND r.outcome = ANY ($1) AND ($2::text IS NULL OR r.command = $2)
			ORDER BY r.started_at DESC, r.run_id DESC
			LIMIT 1
		) AS r
		CROSS JOIN LATERAL (
			SELECT r.outcome = 'running' AND NOT EXISTS (
				SELECT FROM sync.leases AS l WHERE l.tenant_id = r.tenant_id AND l.fence = r.fence AND l.until > clock_timestamp())
		) AS d (dead)`
	each := func(set func(*StreamState, *Run), command any, outcomes ...string) {
		queueEach(b, last, func(row pgx.Rows) error {
			r, err := scanRun(row)
			set(of(r.TenantID, r.Stream), &r)
			return err
		}, outcomes, command)
	}
	each(func(s *StreamState, r *Run) { s.LastSuccess = r }, nil, "ok", "partial")
	each(func(s *StreamState, r *Run) { s.LastReconcile = r }, "reconcile", "ok", "partial", "failed", "interrupted")
	each(func(s *StreamState, r *Run) { s.LastRun = r }, nil, "running", "ok", "partial", "failed", "interrupted")
	each(func(s *StreamState, r *Run) {
		if r.Outcome == "locked" {
			s.Locked = r
		}
	}, nil, "running", "ok", "partial", "failed", "interrupted", "locked")
}

// queueEach runs a query and calls f for each row.
func queueEach(b *pgx.Batch, sql string, f func(pgx.Rows) error, args ...any) {
	b.Queue(sql, args...).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			if err := f(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

// Stored is how many incidents and alerts of a tenant are in the database.
type Stored struct{ Incidents, Alerts int64 }

// Stored counts the tenant's rows. It reads the primary keys' indexes whole: a
// fraction of a second per million rows.
func (s *Store) Stored(ctx context.Context, tenantID string) (Stored, error) {
	const count = `
		SELECT
			(SELECT count(*) FROM defender.incidents WHERE tenant_id = $1),
			(SELECT count(*) FROM defender.alerts WHERE tenant_id = $1)`
	var n Stored
	if err := s.pool.QueryRow(ctx, count, tenantID).Scan(&n.Incidents, &n.Alerts); err != nil {
		return n, fmt.Errorf("store: count rows: %w", err)
	}
	return n, nil
}
