-- +goose Up
-- What a run is called was too near to what a range is called: a run that was
-- "complete" and a range that is "complete" in sync.coverage are two things.
ALTER TABLE sync.runs DROP CONSTRAINT runs_outcome_check;
UPDATE sync.runs
SET outcome = CASE outcome WHEN 'complete' THEN 'ok' ELSE 'partial' END
WHERE outcome IN ('complete', 'incomplete');
ALTER TABLE sync.runs ADD CONSTRAINT runs_outcome_check
    CHECK (outcome IN ('running', 'ok', 'partial', 'failed', 'interrupted', 'locked'));

COMMENT ON TABLE sync.runs IS
    'Every pass of every stream, and every one that a command gave up because another worker had the tenant: what happened.';
COMMENT ON COLUMN sync.runs.outcome IS 'running, ok, partial (done, but some range is in sync.gaps or some record in sync.quarantine), failed, interrupted (stopped, or its worker died), or locked (not made: another worker held the tenant).';
COMMENT ON COLUMN sync.runs.error IS 'Why it failed; of a locked run, who held the tenant.';
COMMENT ON COLUMN sync.runs.fence IS 'The lease it ran under, in sync.leases; of a locked run, the one in its way.';

-- A locked run read nothing and knows nothing of the stream: it does not hide
-- how the last real one ended.
CREATE OR REPLACE VIEW bi.freshness AS
SELECT
    c.tenant_id, c.stream, c.start_time, c.watermark, now() - c.watermark AS lag,
    CASE WHEN c.passed_at IS NOT NULL THEN least(c.next_from, g.first_gap_at) END AS settled_until,
    c.passed_at, c.updated_at, c.rows,
    coalesce(g.gap_count, 0) AS gap_count, g.gap_time, g.first_gap_at,
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

COMMENT ON COLUMN bi.freshness.last_run_at IS 'Begin of the last run that was not locked.';
COMMENT ON COLUMN bi.freshness.last_outcome IS 'How it ended: ok, partial, failed, interrupted; running while it has not.';

-- +goose Down
CREATE OR REPLACE VIEW bi.freshness AS
SELECT
    c.tenant_id, c.stream, c.start_time, c.watermark, now() - c.watermark AS lag,
    CASE WHEN c.passed_at IS NOT NULL THEN least(c.next_from, g.first_gap_at) END AS settled_until,
    c.passed_at, c.updated_at, c.rows,
    coalesce(g.gap_count, 0) AS gap_count, g.gap_time, g.first_gap_at,
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
    WHERE r.tenant_id = c.tenant_id AND r.stream = c.stream
    ORDER BY r.started_at DESC, r.run_id DESC
    LIMIT 1
) AS r ON true;

COMMENT ON COLUMN bi.freshness.last_run_at IS 'Begin of the last run.';
COMMENT ON COLUMN bi.freshness.last_outcome IS 'How it ended: complete, incomplete, failed, interrupted; running while it has not.';

COMMENT ON TABLE sync.runs IS
    'Every pass of every stream: what happened.';
COMMENT ON COLUMN sync.runs.outcome IS 'running, complete, incomplete (some range is in sync.gaps or some record in sync.quarantine), failed, or interrupted (stopped, or its worker died).';
COMMENT ON COLUMN sync.runs.error IS 'Why it failed.';
COMMENT ON COLUMN sync.runs.fence IS 'The lease it ran under, in sync.leases.';

-- The version before made no record of a run that was locked.
ALTER TABLE sync.runs DROP CONSTRAINT runs_outcome_check;
DELETE FROM sync.runs WHERE outcome = 'locked';
UPDATE sync.runs
SET outcome = CASE outcome WHEN 'ok' THEN 'complete' ELSE 'incomplete' END
WHERE outcome IN ('ok', 'partial');
ALTER TABLE sync.runs ADD CONSTRAINT runs_outcome_check
    CHECK (outcome IN ('running', 'complete', 'incomplete', 'failed', 'interrupted'));
