-- +goose Up
CREATE TABLE sync.checkpoints (
    tenant_id    uuid NOT NULL,
    stream       text NOT NULL,
    start_time   timestamptz NOT NULL,
    watermark    timestamptz NOT NULL,
    next_from    timestamptz NOT NULL,
    resume_point jsonb,
    revision     bigint NOT NULL,
    window_width interval NOT NULL,
    passed_at    timestamptz,
    rows         bigint NOT NULL,
    changed      bigint NOT NULL,
    updated_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, stream),
    CONSTRAINT checkpoints_watermark_check CHECK (watermark >= start_time),
    CONSTRAINT checkpoints_revision_check CHECK (revision >= 1),
    CONSTRAINT checkpoints_window_width_check CHECK (window_width >= interval '0'),
    CONSTRAINT checkpoints_rows_check CHECK (rows >= 0)
);

COMMENT ON TABLE sync.checkpoints IS
    'How far each stream has come.';
COMMENT ON COLUMN sync.checkpoints.tenant_id IS 'The tenant, as configured: its Microsoft Entra tenant id.';
COMMENT ON COLUMN sync.checkpoints.stream IS 'The stream: incidents, alerts or hunting/NAME.';
COMMENT ON COLUMN sync.checkpoints.start_time IS 'Where the stream begins.';
COMMENT ON COLUMN sync.checkpoints.watermark IS 'Every instant from start_time to here is complete in sync.coverage or listed in sync.gaps. Never moves back.';
COMMENT ON COLUMN sync.checkpoints.next_from IS 'Where the next pass begins: some overlap before the watermark, for records that appear late.';
COMMENT ON COLUMN sync.checkpoints.resume_point IS 'Position inside a pass that has not ended; NULL between passes.';
COMMENT ON COLUMN sync.checkpoints.revision IS 'Grows by one with every commit, which succeeds only where it is what was read (compare-and-swap).';
COMMENT ON COLUMN sync.checkpoints.window_width IS 'Remembered width of the next window; 0 when not known.';
COMMENT ON COLUMN sync.checkpoints.passed_at IS 'Start of the last pass that ended; NULL before the first.';
COMMENT ON COLUMN sync.checkpoints.rows IS 'Incidents and alerts that this stream inserted.';
COMMENT ON COLUMN sync.checkpoints.changed IS 'Incidents and alerts that this stream inserted or updated: a pass compares it with itself to learn whether a round of paging wrote anything.';
COMMENT ON COLUMN sync.checkpoints.updated_at IS 'When the checkpoint moved last.';

CREATE TABLE sync.leases (
    tenant_id     uuid NOT NULL,
    owner         text NOT NULL,
    until         timestamptz NOT NULL,
    fence         bigint NOT NULL,
    released_at   timestamptz,
    blocked_until timestamptz,
    PRIMARY KEY (tenant_id),
    CONSTRAINT leases_fence_check CHECK (fence >= 1)
);

COMMENT ON TABLE sync.leases IS
    'One holder per tenant, because the limits of the APIs are the tenant''s.';
COMMENT ON COLUMN sync.leases.tenant_id IS 'The tenant, as configured: its Microsoft Entra tenant id.';
COMMENT ON COLUMN sync.leases.owner IS 'The worker that holds the tenant, or held it last.';
COMMENT ON COLUMN sync.leases.until IS 'When the hold ends unless renewed, by the clock of this database.';
COMMENT ON COLUMN sync.leases.fence IS 'Grows by one with every change of hands; a commit under an older one writes nothing.';
COMMENT ON COLUMN sync.leases.released_at IS 'When the holder gave the tenant back; NULL while it is held or was lost.';
COMMENT ON COLUMN sync.leases.blocked_until IS 'No call before this, because the service said so (Retry-After); NULL when it never did.';

CREATE TABLE sync.coverage (
    tenant_id   uuid NOT NULL,
    stream      text NOT NULL,
    from_time   timestamptz NOT NULL,
    to_time     timestamptz NOT NULL,
    rows        bigint NOT NULL,
    calls       bigint NOT NULL,
    verdict     text NOT NULL,
    reason      text,
    run_id      uuid,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, stream, from_time),
    CONSTRAINT coverage_range_check CHECK (from_time < to_time),
    CONSTRAINT coverage_verdict_check CHECK (verdict IN ('complete', 'truncated', 'failed')),
    CONSTRAINT coverage_counts_check CHECK (rows >= 0 AND calls >= 0)
);

-- What is not complete is rare, and sync.gaps looks for it.
CREATE INDEX coverage_incomplete_idx ON sync.coverage (tenant_id, stream, from_time)
    WHERE verdict <> 'complete';

COMMENT ON TABLE sync.coverage IS
    'What was read: half-open ranges [from_time, to_time) that never overlap within a stream. Adjacent complete ranges are merged as they age.';
COMMENT ON COLUMN sync.coverage.tenant_id IS 'The tenant, as configured: its Microsoft Entra tenant id.';
COMMENT ON COLUMN sync.coverage.stream IS 'The stream: incidents, alerts or hunting/NAME.';
COMMENT ON COLUMN sync.coverage.from_time IS 'Begin, inclusive.';
COMMENT ON COLUMN sync.coverage.to_time IS 'End, exclusive.';
COMMENT ON COLUMN sync.coverage.rows IS 'Records read in the range; shared out by duration where a later reading replaced part of it.';
COMMENT ON COLUMN sync.coverage.calls IS 'Requests spent on the range; shared out likewise.';
COMMENT ON COLUMN sync.coverage.verdict IS 'complete: every record is stored or in quarantine. truncated: the source would not give all. failed: it gave none.';
COMMENT ON COLUMN sync.coverage.reason IS 'Why it is not complete.';
COMMENT ON COLUMN sync.coverage.run_id IS 'The run that read it, in sync.runs.';
COMMENT ON COLUMN sync.coverage.recorded_at IS 'When it was recorded.';

CREATE VIEW sync.gaps AS
-- Read, but not whole.
SELECT
    c.tenant_id, c.stream,
    greatest(v.from_time, c.start_time) AS from_time,
    least(v.to_time, c.watermark) AS to_time,
    coalesce(v.reason, v.verdict) AS reason
FROM sync.checkpoints AS c
JOIN sync.coverage AS v ON v.tenant_id = c.tenant_id AND v.stream = c.stream
WHERE v.verdict <> 'complete' AND v.to_time > c.start_time AND v.from_time < c.watermark
UNION ALL
-- Not read: from the end of one range to the begin of the next, where an empty
-- range stands at the watermark so that the last stretch is looked at, too.
SELECT e.tenant_id, e.stream, e.read_until AS from_time, e.from_time AS to_time, 'never read' AS reason
FROM (
    SELECT
        r.tenant_id, r.stream, r.from_time,
        greatest(r.start_time, max(r.to_time) OVER (
            PARTITION BY r.tenant_id, r.stream ORDER BY r.from_time, r.to_time
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        )) AS read_until
    FROM (
        SELECT c.tenant_id, c.stream, c.start_time, least(v.from_time, c.watermark) AS from_time, v.to_time
        FROM sync.checkpoints AS c
        JOIN sync.coverage AS v ON v.tenant_id = c.tenant_id AND v.stream = c.stream
        WHERE v.to_time > c.start_time
        UNION ALL
        SELECT c.tenant_id, c.stream, c.start_time, c.watermark, c.watermark
        FROM sync.checkpoints AS c
    ) AS r
) AS e
WHERE e.read_until < e.from_time;

COMMENT ON VIEW sync.gaps IS
    'Ranges between a stream''s start and its watermark that are not complete. Empty means that nothing is missing.';
COMMENT ON COLUMN sync.gaps.tenant_id IS 'The tenant, as configured.';
COMMENT ON COLUMN sync.gaps.stream IS 'The stream.';
COMMENT ON COLUMN sync.gaps.from_time IS 'Begin, inclusive.';
COMMENT ON COLUMN sync.gaps.to_time IS 'End, exclusive.';
COMMENT ON COLUMN sync.gaps.reason IS 'Why the range is not complete: what its reading said, or never read.';

-- +goose Down
DROP VIEW sync.gaps;
DROP TABLE sync.coverage;
DROP TABLE sync.leases;
DROP TABLE sync.checkpoints;
