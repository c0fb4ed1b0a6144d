-- +goose Up
CREATE VIEW bi.sync_runs AS
SELECT
    r.tenant_id, r.stream, r.run_id, r.command, r.started_at, r.finished_at, r.finished_at - r.started_at AS duration, r.outcome,
    r.rows_read, r.rows_inserted, r.rows_updated, r.rows_unchanged, r.calls, r.throttled_seconds, r.error, r.warning
FROM sync.runs AS r;

COMMENT ON VIEW bi.sync_runs IS
    'One row per pass of a stream. Those that ended more than 90 days ago are forgotten.';
COMMENT ON COLUMN bi.sync_runs.tenant_id IS 'The tenant, as configured.';
COMMENT ON COLUMN bi.sync_runs.stream IS 'The stream: incidents, alerts or hunting/NAME.';
COMMENT ON COLUMN bi.sync_runs.run_id IS 'The run; time-ordered.';
COMMENT ON COLUMN bi.sync_runs.command IS 'What started it: run, sync, demo and others.';
COMMENT ON COLUMN bi.sync_runs.started_at IS 'Begin.';
COMMENT ON COLUMN bi.sync_runs.finished_at IS 'End; NULL while it runs.';
COMMENT ON COLUMN bi.sync_runs.duration IS 'From begin to end; NULL while it runs.';
COMMENT ON COLUMN bi.sync_runs.outcome IS 'How it ended, as in sync.runs; running while it has not.';
COMMENT ON COLUMN bi.sync_runs.rows_read IS 'Records that the source served.';
COMMENT ON COLUMN bi.sync_runs.rows_inserted IS 'Of these: new.';
COMMENT ON COLUMN bi.sync_runs.rows_updated IS 'Of these: changed.';
COMMENT ON COLUMN bi.sync_runs.rows_unchanged IS 'Of these: already stored, or older than what is stored.';
COMMENT ON COLUMN bi.sync_runs.calls IS 'Requests sent.';
COMMENT ON COLUMN bi.sync_runs.throttled_seconds IS 'Time spent waiting because the source said so.';
COMMENT ON COLUMN bi.sync_runs.error IS 'Why it failed.';
COMMENT ON COLUMN bi.sync_runs.warning IS 'What looks wrong although it did not fail, such as an unexpected zero.';

CREATE VIEW bi.stream_daily AS
SELECT
    r.tenant_id, r.stream, (r.started_at AT TIME ZONE 'UTC')::date AS day,
    count(*) AS runs,
    count(*) FILTER (WHERE r.outcome = 'failed') AS failed_runs,
    sum(r.rows_read)::bigint AS rows_read,
    sum(r.rows_inserted)::bigint AS rows_inserted,
    sum(r.rows_updated)::bigint AS rows_updated,
    sum(r.calls)::bigint AS calls,
    sum(r.throttled_seconds) AS throttled_seconds
FROM sync.runs AS r
GROUP BY 1, 2, 3;

COMMENT ON VIEW bi.stream_daily IS
    'What the passes of each stream did on each day of UTC: the day that a pass began, whatever the time of the records that it brought. Reaches back 90 days, and has no row for a day without a pass.';
COMMENT ON COLUMN bi.stream_daily.tenant_id IS 'The tenant, as configured.';
COMMENT ON COLUMN bi.stream_daily.stream IS 'The stream: incidents, alerts or hunting/NAME.';
COMMENT ON COLUMN bi.stream_daily.day IS 'The day that the passes began, in UTC.';
COMMENT ON COLUMN bi.stream_daily.runs IS 'Passes.';
COMMENT ON COLUMN bi.stream_daily.failed_runs IS 'Those that failed.';
COMMENT ON COLUMN bi.stream_daily.rows_read IS 'Records that the source served.';
COMMENT ON COLUMN bi.stream_daily.rows_inserted IS 'Of these: new.';
COMMENT ON COLUMN bi.stream_daily.rows_updated IS 'Of these: changed.';
COMMENT ON COLUMN bi.stream_daily.calls IS 'Requests sent.';
COMMENT ON COLUMN bi.stream_daily.throttled_seconds IS 'Time spent waiting because the source said so.';

-- +goose Down
DROP VIEW bi.stream_daily;
DROP VIEW bi.sync_runs;
