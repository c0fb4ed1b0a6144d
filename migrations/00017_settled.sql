-- +goose Up
-- Until when a stream's numbers no longer change was read off next_from, which moves
-- with each page of a pass: while a worker caught up, days were called settled of
-- which records that changed later were still to be read.
ALTER TABLE sync.checkpoints ADD COLUMN settled_until timestamptz;

COMMENT ON COLUMN sync.checkpoints.settled_until IS 'Where the next pass would have begun when the last one ended: everything that changed last before it is here, but for the gaps. NULL before the first has ended.';

-- Of a pass under way only its begin is known: an hour covers the usual overlap.
UPDATE sync.checkpoints
SET settled_until = CASE WHEN resume_point IS NULL THEN next_from ELSE least(next_from, passed_at - interval '1 hour') END
WHERE passed_at IS NOT NULL;

CREATE OR REPLACE VIEW bi.freshness AS
SELECT
    c.tenant_id, c.stream, c.start_time, c.watermark, now() - c.watermark AS lag,
    least(c.settled_until, CASE WHEN c.settled_until IS NOT NULL THEN g.first_gap_at END) AS settled_until,
    c.passed_at, c.updated_at, c.rows,
    coalesce(g.gap_count, 0) AS gap_count, justify_hours(g.gap_time) AS gap_time, g.first_gap_at,
    coalesce(q.quarantine_count, 0) AS quarantine_count,
    r.started_at AS last_run_at, r.outcome AS last_outcome, r.error AS last_error
FROM sync.checkpoints AS c
LEFT JOIN (
    SELECT g.tenant_id, g.stream, count(*) AS gap_count, sum(g.to_time - g.from_time) AS gap_time, min(g.from_time) AS first_gap_at
    FROM sync.gaps AS g
    GROUP BY g.tenant_id, g.stream
) AS g ON g.tenant_id = c.tenant_id AND g.stream = c.stream
LEFT JOIN (
    SELECT q.tenant_id, q.stream, count(*) AS quarantine_count
    FROM sync.quarantine AS q
    GROUP BY q.tenant_id, q.stream
) AS q ON q.tenant_id = c.tenant_id AND q.stream = c.stream
LEFT JOIN LATERAL (
    SELECT r.started_at, r.outcome, r.error
    FROM sync.runs AS r
    WHERE r.tenant_id = c.tenant_id AND r.stream = c.stream AND r.outcome <> 'locked'
    ORDER BY r.started_at DESC, r.run_id DESC
    LIMIT 1
) AS r ON true;

COMMENT ON COLUMN bi.freshness.settled_until IS 'Records last changed before it are all here: it lies some overlap before where the last pass ended, which is read again for what appears late, and before the first gap; a pass under way does not move it. NULL until a first pass has ended. A report that ends at it does not change under its reader.';
COMMENT ON COLUMN bi.freshness.rows IS 'Records that the stream ever inserted, which may be more than are here: another stream may have brought them first, and retention may have taken them.';

-- +goose Down
CREATE OR REPLACE VIEW bi.freshness AS
SELECT
    c.tenant_id, c.stream, c.start_time, c.watermark, now() - c.watermark AS lag,
    CASE WHEN c.passed_at IS NOT NULL THEN least(c.next_from, g.first_gap_at) END AS settled_until,
    c.passed_at, c.updated_at, c.rows,
    coalesce(g.gap_count, 0) AS gap_count, justify_hours(g.gap_time) AS gap_time, g.first_gap_at,
    coalesce(q.quarantine_count, 0) AS quarantine_count,
    r.started_at AS last_run_at, r.outcome AS last_outcome, r.error AS last_error
FROM sync.checkpoints AS c
LEFT JOIN (
    SELECT g.tenant_id, g.stream, count(*) AS gap_count, sum(g.to_time - g.from_time) AS gap_time, min(g.from_time) AS first_gap_at
    FROM sync.gaps AS g
    GROUP BY g.tenant_id, g.stream
) AS g ON g.tenant_id = c.tenant_id AND g.stream = c.stream
LEFT JOIN (
    SELECT q.tenant_id, q.stream, count(*) AS quarantine_count
    FROM sync.quarantine AS q
    GROUP BY q.tenant_id, q.stream
) AS q ON q.tenant_id = c.tenant_id AND q.stream = c.stream
LEFT JOIN LATERAL (
    SELECT r.started_at, r.outcome, r.error
    FROM sync.runs AS r
    WHERE r.tenant_id = c.tenant_id AND r.stream = c.stream AND r.outcome <> 'locked'
    ORDER BY r.started_at DESC, r.run_id DESC
    LIMIT 1
) AS r ON true;

COMMENT ON COLUMN bi.freshness.settled_until IS 'Records last changed before it are all here: it lies some overlap before the watermark, which is read again for what appears late, and before the first gap. NULL until a first pass has ended. A report that ends at it does not change under its reader.';
COMMENT ON COLUMN bi.freshness.rows IS 'Records that the stream inserted.';

ALTER TABLE sync.checkpoints DROP COLUMN settled_until;
