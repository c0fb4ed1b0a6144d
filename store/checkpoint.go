package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Checkpoint returns how far the stream has come. A stream that never
// committed has Revision 0.
func (s *Store) Checkpoint(ctx context.Context, tenantID, stream string) (Checkpoint, error) {
	const load = `
		SELECT tenant_id, stream, start_time, watermark, next_from, resume_point, window_width, passed_at, rows, changed, revision
		FROM sync.checkpoints
		WHERE tenant_id = $1 AND stream = $2`
	c, err := scanCheckpoint(s.pool.QueryRow(ctx, load, tenantID, stream))
	if errors.Is(err, pgx.ErrNoRows) {
		return Checkpoint{TenantID: tenantID, Stream: stream}, nil
	}
	if err != nil {
		return Checkpoint{}, fmt.Errorf("store: load checkpoint %s: %w", stream, err)
	}
	return c, nil
}

// scanCheckpoint reads the columns in the order in which every statement here names them.
func scanCheckpoint(row pgx.Row) (Checkpoint, error) {
	var c Checkpoint
	var passed *time.Time
	err := row.Scan(&c.TenantID, &c.Stream, &c.StartTime, &c.Watermark, &c.NextFrom, &c.ResumePoint, &c.WindowWidth, &passed, &c.Rows, &c.Changed, &c.Revision)
	if passed != nil {
		c.PassedAt = *passed
	}
	return c, err
}

// queueCheckpoint moves the checkpoint from c.Revision to the next one and sets
// stored to what the row then holds. It fails with [ErrConflict] where the
// revision is not c's. The start only moves back, and the watermark only ahead.
func queueCheckpoint(b *pgx.Batch, c Checkpoint, n Counts, now time.Time, stored *Checkpoint) {
	const create = `
		INSERT INTO sync.checkpoints (
			tenant_id, stream, start_time, watermark, next_from, resume_point, window_width, passed_at, rows, changed, updated_at, revision, settled_until
		)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1, CASE WHEN $6::jsonb IS NULL AND $8::timestamptz IS NOT NULL THEN $5::timestamptz END)
		ON CONFLICT (tenant_id, stream) DO NOTHING
		RETURNING tenant_id, stream, start_time, watermark, next_from, resume_point, window_width, passed_at, rows, changed, revision`
	const move = `
		UPDATE sync.checkpoints
		SET start_time = least(start_time, $12), watermark = greatest(watermark, $3), next_from = $4, resume_point = $5, window_width = $6, passed_at = $7,
			rows = rows + $8, changed = changed + $9, updated_at = $10, revision = revision + 1,
			settled_until = CASE WHEN $5::jsonb IS NULL AND $7::timestamptz IS NOT NULL THEN $4::timestamptz ELSE settled_until END
		WHERE tenant_id = $1 AND stream = $2 AND revision = $11
		RETURNING tenant_id, stream, start_time, watermark, next_from, resume_point, window_width, passed_at, rows, changed, revision`
	var passed *time.Time
	if !c.PassedAt.IsZero() {
		passed = &c.PassedAt
	}
	var q *pgx.QueuedQuery
	if c.Revision == 0 {
		q = b.Queue(create, c.TenantID, c.Stream, c.StartTime, c.Watermark, c.NextFrom, c.ResumePoint, c.WindowWidth, passed, n.Inserted, n.Inserted+n.Updated, now)
	} else {
		q = b.Queue(move, c.TenantID, c.Stream, c.Watermark, c.NextFrom, c.ResumePoint, c.WindowWidth, passed, n.Inserted, n.Inserted+n.Updated, now, c.Revision, c.StartTime)
	}
	q.QueryRow(func(row pgx.Row) (err error) {
		*stored, err = scanCheckpoint(row)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrConflict
		}
		return err
	})
}
