-- +goose Up
-- When somebody had taken an incident, and when it had been resolved, before it was
-- first stored. It was worked out from what is served now, and moved whenever that
-- did: a tag made an old incident one of today. It is kept as it was known then.
ALTER TABLE defender.incidents
    ADD COLUMN acknowledged_before_sync_at timestamptz,
    ADD COLUMN resolved_before_sync_at timestamptz,
    ADD COLUMN resolved_before_sync_from text;

COMMENT ON COLUMN defender.incidents.acknowledged_before_sync_at IS 'Where somebody had taken the incident when it was first stored (it had an owner, or its status was not active): no later than this. The time of the version stored first, or resolved_before_sync_at if that is earlier; what was stored before there was this column was estimated then, by its history. NULL where nobody had. Never changes.';
COMMENT ON COLUMN defender.incidents.resolved_before_sync_at IS 'Where the incident was resolved or redirected when it was first stored: no later than this. resolved_before_sync_from says what it is; what becomes of the incident and its alerts later does not count. What was stored before there was this column was estimated then. NULL where it was open. Never changes.';
COMMENT ON COLUMN defender.incidents.resolved_before_sync_from IS 'What resolved_before_sync_at is: alerts (when the last of the alerts that were served with it was resolved), or last_update (the time of the version stored first, where they do not tell or were not served with it). NULL where it was open. Never changes.';

-- What is known of those that are there: the version stored first is no younger than
-- its storing, and than the first change since. Their alerts count as they are now.
WITH first AS (
    SELECT
        i.tenant_id, i.incident_id,
        least(i.last_update_date_time, i.first_synced_at, h.first_at) AS version_at,
        coalesce(i.created_date_time, i.first_synced_at) AS created_at,
        CASE WHEN h.status_changed THEN h.status ELSE coalesce(i.status, '') END AS status,
        CASE WHEN h.owner_changed THEN h.assigned_to ELSE coalesce(i.assigned_to, '') END AS assigned_to
    FROM defender.incidents AS i
    LEFT JOIN (
        SELECT
            h.tenant_id, h.incident_id, min(h.changed_at) AS first_at,
            bool_or(h.field = 'status') AS status_changed, bool_or(h.field = 'assigned_to') AS owner_changed,
            (array_agg(coalesce(h.old_value, '') ORDER BY h.changed_at) FILTER (WHERE h.field = 'status'))[1] AS status,
            (array_agg(coalesce(h.old_value, '') ORDER BY h.changed_at) FILTER (WHERE h.field = 'assigned_to'))[1] AS assigned_to
        FROM defender.incident_history AS h
        GROUP BY h.tenant_id, h.incident_id
    ) AS h ON h.tenant_id = i.tenant_id AND h.incident_id = i.incident_id
), alerts AS (
    SELECT
        a.tenant_id, a.incident_id,
        CASE WHEN bool_and(a.status = 'resolved' AND a.resolved_date_time IS NOT NULL) THEN max(a.resolved_date_time) END AS resolved_at
    FROM defender.alerts AS a
    GROUP BY a.tenant_id, a.incident_id
), known AS (
    SELECT
        f.tenant_id, f.incident_id, f.version_at, f.created_at,
        f.status NOT IN ('active', '') OR f.assigned_to <> '' AS acknowledged,
        f.status IN ('resolved', 'redirected') AS resolved,
        CASE WHEN f.status = 'resolved' AND a.resolved_at <= f.version_at THEN a.resolved_at END AS alerts_at
    FROM first AS f
    LEFT JOIN alerts AS a ON a.tenant_id = f.tenant_id AND a.incident_id = f.incident_id
)
UPDATE defender.incidents AS i
SET
    acknowledged_before_sync_at = CASE WHEN k.acknowledged THEN greatest(coalesce(k.alerts_at, k.version_at), k.created_at) END,
    resolved_before_sync_at = CASE WHEN k.resolved THEN greatest(coalesce(k.alerts_at, k.version_at), k.created_at) END,
    resolved_before_sync_from = CASE WHEN k.alerts_at IS NOT NULL THEN 'alerts' WHEN k.resolved THEN 'last_update' END
FROM known AS k
WHERE i.tenant_id = k.tenant_id AND i.incident_id = k.incident_id AND (k.acknowledged OR k.resolved);

ALTER TABLE defender.incidents ADD CONSTRAINT incidents_resolved_before_sync_check CHECK (
    (resolved_before_sync_at IS NULL) = (resolved_before_sync_from IS NULL)
    AND resolved_before_sync_from IN ('alerts', 'last_update')
    AND (resolved_before_sync_at IS NULL OR acknowledged_before_sync_at IS NOT NULL AND acknowledged_before_sync_at <= resolved_before_sync_at)
);

-- What the page counts by day is what bi.incident_daily counts, and is in these and
-- incident_history_changed_at_idx, without a look into the table.
DROP INDEX defender.incidents_created_root_idx;
DROP INDEX defender.incidents_resolved_idx;
DROP INDEX defender.incidents_created_date_time_idx;
CREATE INDEX incidents_created_date_time_idx ON defender.incidents (created_date_time, tenant_id) INCLUDE (incident_id);
CREATE INDEX incidents_not_created_idx ON defender.incidents (first_synced_at, tenant_id) INCLUDE (incident_id)
    WHERE created_date_time IS NULL;
CREATE INDEX incidents_resolved_before_sync_idx ON defender.incidents (resolved_before_sync_at, tenant_id) INCLUDE (incident_id)
    WHERE resolved_before_sync_at IS NOT NULL;

CREATE OR REPLACE VIEW bi.incidents AS
SELECT
    i.tenant_id, i.incident_id, i.display_name, i.status,
    i.status IS DISTINCT FROM 'resolved' AND i.status IS DISTINCT FROM 'redirected' AS is_open,
    i.severity,
    CASE i.severity WHEN 'high' THEN 4 WHEN 'medium' THEN 3 WHEN 'low' THEN 2 WHEN 'informational' THEN 1 ELSE 0 END AS severity_rank,
    i.classification, i.determination, i.assigned_to, i.priority_score, i.custom_tags, i.system_tags,
    i.created_date_time, i.last_update_date_time,
    t.acknowledged_at, t.acknowledged_from, t.resolved_at, t.resolved_from,
    t.acknowledged_at - i.created_date_time AS time_to_acknowledge,
    t.resolved_at - i.created_date_time AS time_to_resolve,
    CASE WHEN i.status IS DISTINCT FROM 'resolved' AND i.status IS DISTINCT FROM 'redirected' THEN now() - i.created_date_time END AS age,
    h.reopen_count,
    l.acknowledge_within AS sla_acknowledge_target,
    l.resolve_within AS sla_target,
    i.created_date_time + l.resolve_within AS sla_due_at,
    coalesce(t.acknowledged_at, now()) > i.created_date_time + l.acknowledge_within AS sla_acknowledge_breached,
    CASE WHEN i.status IS DISTINCT FROM 'redirected' THEN coalesce(t.resolved_at, now()) > i.created_date_time + l.resolve_within END AS sla_breached,
    (
        SELECT count(*)
        FROM defender.alerts AS a
        WHERE a.tenant_id = i.tenant_id AND a.incident_id = ANY (i.incident_id || m.merged_incident_ids)
    ) AS alert_count,
    (
        SELECT count(*)
        FROM defender.alerts AS a
        WHERE a.tenant_id = i.tenant_id AND a.incident_id = ANY (i.incident_id || m.merged_incident_ids)
            AND a.status IS DISTINCT FROM 'resolved'
    ) AS open_alert_count,
    (
        SELECT count(DISTINCT (s.entity_type, s.entity_key))
        FROM defender.alerts AS a
        JOIN defender.entity_sightings AS s ON s.tenant_id = a.tenant_id AND s.alert_id = a.alert_id
        WHERE a.tenant_id = i.tenant_id AND a.incident_id = ANY (i.incident_id || m.merged_incident_ids)
    ) AS entity_count,
    coalesce(m.merged_incident_ids, '{}') AS merged_incident_ids,
    i.incident_web_url, i.first_synced_at
FROM defender.incidents AS i
LEFT JOIN LATERAL (
    SELECT
        max(h.changed_at) FILTER (WHERE h.field = 'status' AND h.new_value = 'resolved') AS resolved_at,
        min(h.changed_at) FILTER (
            WHERE h.field = 'status' AND h.new_value IS DISTINCT FROM 'active' AND h.new_value IS DISTINCT FROM 'redirected'
                OR h.field = 'assigned_to' AND h.new_value <> ''
        ) AS acknowledged_at,
        count(*) FILTER (
            WHERE h.field = 'status' AND h.old_value = 'resolved'
                AND h.new_value IS DISTINCT FROM 'resolved' AND h.new_value IS DISTINCT FROM 'redirected'
        ) AS reopen_count
    FROM defender.incident_history AS h
    WHERE h.tenant_id = i.tenant_id AND h.incident_id = i.incident_id AND h.field IN ('status', 'assigned_to')
) AS h ON true
CROSS JOIN LATERAL (
    SELECT
        coalesce(i.acknowledged_before_sync_at, h.acknowledged_at) AS acknowledged_at,
        CASE WHEN i.acknowledged_before_sync_at IS NOT NULL THEN 'first_sync' WHEN h.acknowledged_at IS NOT NULL THEN 'history' END AS acknowledged_from,
        CASE WHEN i.status = 'resolved' THEN coalesce(h.resolved_at, i.resolved_before_sync_at) END AS resolved_at,
        CASE
            WHEN i.status IS DISTINCT FROM 'resolved' THEN NULL
            WHEN h.resolved_at IS NOT NULL THEN 'history'
            ELSE i.resolved_before_sync_from
        END AS resolved_from
) AS t
LEFT JOIN bi.sla_targets AS l ON l.severity = i.severity
LEFT JOIN (
    SELECT
        g.tenant_id, g.root_incident_id,
        array_agg(g.incident_id ORDER BY g.incident_id) FILTER (WHERE g.incident_id <> g.root_incident_id) AS merged_incident_ids,
        bool_or(g.incident_id = g.root_incident_id) AS is_root
    FROM defender.incident_merges AS g
    GROUP BY g.tenant_id, g.root_incident_id
) AS m ON m.tenant_id = i.tenant_id AND m.root_incident_id = i.incident_id
-- An incident with a redirect is a root where that leads nowhere, or round.
WHERE i.redirect_incident_id IS NULL OR m.is_root;

COMMENT ON COLUMN bi.incidents.acknowledged_from IS 'What acknowledged_at is: history (a recorded change), or first_sync (it was so when it was first stored; no later than this, and no later than it had been resolved). It stays as it is.';
COMMENT ON COLUMN bi.incidents.resolved_from IS 'What resolved_at is: history (a recorded change), alerts (it was resolved when it was first stored; the last of the alerts served with it was resolved then), or last_update (the same with alerts that do not tell; no later than this). It stays as it is until the incident is opened again.';

CREATE OR REPLACE VIEW bi.incident_transitions AS
WITH roots AS (
    SELECT
        i.tenant_id, i.incident_id, i.severity, i.resolved_before_sync_at, i.resolved_before_sync_from,
        coalesce(i.created_date_time, i.first_synced_at) AS created_at
    FROM defender.incidents AS i
    WHERE i.redirect_incident_id IS NULL
        OR (i.tenant_id, i.incident_id) IN (
            SELECT g.tenant_id, g.incident_id FROM defender.incident_merges AS g WHERE g.root_incident_id = g.incident_id
        )
)
SELECT i.tenant_id, i.incident_id, i.severity, i.created_at AS changed_at, 'opened' AS transition, 'created' AS source
FROM roots AS i
UNION ALL
SELECT
    i.tenant_id, i.incident_id, i.severity, h.changed_at,
    CASE WHEN coalesce(h.new_value, '') IN ('resolved', 'redirected') THEN 'resolved' ELSE 'reopened' END, 'history'
FROM roots AS i
JOIN defender.incident_history AS h ON h.tenant_id = i.tenant_id AND h.incident_id = i.incident_id
WHERE h.field = 'status'
    AND coalesce(h.old_value, '') IN ('resolved', 'redirected') <> (coalesce(h.new_value, '') IN ('resolved', 'redirected'))
UNION ALL
-- Those that were closed when they were first stored.
SELECT i.tenant_id, i.incident_id, i.severity, i.resolved_before_sync_at, 'resolved', i.resolved_before_sync_from
FROM roots AS i
WHERE i.resolved_before_sync_at IS NOT NULL;

COMMENT ON COLUMN bi.incident_transitions.source IS 'How changed_at is known: created, history (a recorded change), or, for what was resolved when it was first stored, alerts (the last of the alerts served with it was resolved then) or last_update (no later than this).';

COMMENT ON COLUMN bi.incident_daily.is_settled IS 'Whether the day lies before settled_until of the stream incidents, in bi.freshness: only a merge, a change of severity, or an incident that had not changed since the stream''s start_time and does now can still move its numbers.';

-- Sums of intervals and what lies between two count hours past 24 beside the days.
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

CREATE OR REPLACE VIEW bi.workload AS
SELECT
    i.tenant_id, coalesce(nullif(i.assigned_to, ''), 'nobody') AS assignee,
    count(*) FILTER (WHERE i.is_open) AS open_count,
    count(*) FILTER (WHERE i.is_open AND i.severity = 'high') AS open_high_count,
    count(*) FILTER (WHERE i.is_open AND i.status = 'inProgress') AS in_progress_count,
    count(*) FILTER (WHERE i.is_open AND i.sla_breached) AS overdue_count,
    max(i.age) AS oldest_age,
    count(*) FILTER (WHERE i.resolved_at >= now() - interval '168 hours') AS resolved_7d_count,
    count(*) FILTER (WHERE i.resolved_at >= now() - interval '720 hours') AS resolved_30d_count,
    -- Between two values it counts hours past 24.
    justify_hours(percentile_cont(0.5) WITHIN GROUP (ORDER BY i.time_to_resolve)
        FILTER (WHERE i.resolved_at >= now() - interval '720 hours')) AS median_time_to_resolve_30d
FROM bi.incidents AS i
-- No incident was resolved after its last update, but for what was seen late: for that there is a day.
WHERE i.is_open OR i.last_update_date_time >= now() - interval '744 hours'
GROUP BY 1, 2;

-- +goose Down
CREATE OR REPLACE VIEW bi.workload AS
SELECT
    i.tenant_id, coalesce(nullif(i.assigned_to, ''), 'nobody') AS assignee,
    count(*) FILTER (WHERE i.is_open) AS open_count,
    count(*) FILTER (WHERE i.is_open AND i.severity = 'high') AS open_high_count,
    count(*) FILTER (WHERE i.is_open AND i.status = 'inProgress') AS in_progress_count,
    count(*) FILTER (WHERE i.is_open AND i.sla_breached) AS overdue_count,
    max(i.age) AS oldest_age,
    count(*) FILTER (WHERE i.resolved_at >= now() - interval '168 hours') AS resolved_7d_count,
    count(*) FILTER (WHERE i.resolved_at >= now() - interval '720 hours') AS resolved_30d_count,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY i.time_to_resolve)
        FILTER (WHERE i.resolved_at >= now() - interval '720 hours') AS median_time_to_resolve_30d
FROM bi.incidents AS i
-- No incident was resolved after its last update, but for what was seen late: for that there is a day.
WHERE i.is_open OR i.last_update_date_time >= now() - interval '744 hours'
GROUP BY 1, 2;

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

COMMENT ON COLUMN bi.incident_daily.is_settled IS 'Whether the day lies before settled_until of the stream incidents, in bi.freshness: only a merge or a change of severity can still move its numbers.';

CREATE OR REPLACE VIEW bi.incident_transitions AS
WITH roots AS (
    SELECT
        i.tenant_id, i.incident_id, i.severity, i.status, i.first_synced_at, i.last_update_date_time,
        coalesce(i.created_date_time, i.first_synced_at) AS created_at
    FROM defender.incidents AS i
    WHERE i.redirect_incident_id IS NULL
        OR (i.tenant_id, i.incident_id) IN (
            SELECT g.tenant_id, g.incident_id FROM defender.incident_merges AS g WHERE g.root_incident_id = g.incident_id
        )
)
SELECT i.tenant_id, i.incident_id, i.severity, i.created_at AS changed_at, 'opened' AS transition, 'created' AS source
FROM roots AS i
UNION ALL
SELECT
    i.tenant_id, i.incident_id, i.severity, h.changed_at,
    CASE WHEN coalesce(h.new_value, '') IN ('resolved', 'redirected') THEN 'resolved' ELSE 'reopened' END, 'history'
FROM roots AS i
JOIN defender.incident_history AS h ON h.tenant_id = i.tenant_id AND h.incident_id = i.incident_id
WHERE h.field = 'status'
    AND coalesce(h.old_value, '') IN ('resolved', 'redirected') <> (coalesce(h.new_value, '') IN ('resolved', 'redirected'))
UNION ALL
-- Those that were closed when they were first stored.
SELECT
    i.tenant_id, i.incident_id, i.severity,
    greatest(
        CASE
            WHEN f.changed_at IS NULL THEN least(r.resolved_at, i.last_update_date_time)
            ELSE least(i.first_synced_at, i.last_update_date_time, f.changed_at)
        END,
        i.created_at
    ),
    'resolved',
    CASE WHEN f.changed_at IS NOT NULL THEN 'first_sync' WHEN r.resolved_at <= i.last_update_date_time THEN 'alerts' ELSE 'last_update' END
FROM roots AS i
LEFT JOIN (
    SELECT DISTINCT ON (h.tenant_id, h.incident_id) h.tenant_id, h.incident_id, h.old_value, h.changed_at
    FROM defender.incident_history AS h
    WHERE h.field = 'status'
    ORDER BY h.tenant_id, h.incident_id, h.changed_at
) AS f ON f.tenant_id = i.tenant_id AND f.incident_id = i.incident_id
LEFT JOIN LATERAL (
    SELECT CASE WHEN bool_and(a.status = 'resolved' AND a.resolved_date_time IS NOT NULL) THEN max(a.resolved_date_time) END AS resolved_at
    FROM defender.alerts AS a
    WHERE a.tenant_id = i.tenant_id AND a.incident_id = i.incident_id AND i.status = 'resolved' AND f.changed_at IS NULL
) AS r ON true
WHERE CASE WHEN f.changed_at IS NULL THEN coalesce(i.status, '') ELSE coalesce(f.old_value, '') END IN ('resolved', 'redirected');

COMMENT ON COLUMN bi.incident_transitions.source IS 'How changed_at is known: created, history (a recorded change), or, for what was resolved when it was first stored, alerts (its last alert was then), last_update or first_sync (no later than this).';

CREATE OR REPLACE VIEW bi.incidents AS
SELECT
    i.tenant_id, i.incident_id, i.display_name, i.status,
    i.status IS DISTINCT FROM 'resolved' AND i.status IS DISTINCT FROM 'redirected' AS is_open,
    i.severity,
    CASE i.severity WHEN 'high' THEN 4 WHEN 'medium' THEN 3 WHEN 'low' THEN 2 WHEN 'informational' THEN 1 ELSE 0 END AS severity_rank,
    i.classification, i.determination, i.assigned_to, i.priority_score, i.custom_tags, i.system_tags,
    i.created_date_time, i.last_update_date_time,
    t.acknowledged_at, t.acknowledged_from, t.resolved_at, t.resolved_from,
    t.acknowledged_at - i.created_date_time AS time_to_acknowledge,
    t.resolved_at - i.created_date_time AS time_to_resolve,
    CASE WHEN i.status IS DISTINCT FROM 'resolved' AND i.status IS DISTINCT FROM 'redirected' THEN now() - i.created_date_time END AS age,
    h.reopen_count,
    l.acknowledge_within AS sla_acknowledge_target,
    l.resolve_within AS sla_target,
    i.created_date_time + l.resolve_within AS sla_due_at,
    coalesce(t.acknowledged_at, now()) > i.created_date_time + l.acknowledge_within AS sla_acknowledge_breached,
    CASE WHEN i.status IS DISTINCT FROM 'redirected' THEN coalesce(t.resolved_at, now()) > i.created_date_time + l.resolve_within END AS sla_breached,
    (
        SELECT count(*)
        FROM defender.alerts AS a
        WHERE a.tenant_id = i.tenant_id AND a.incident_id = ANY (i.incident_id || m.merged_incident_ids)
    ) AS alert_count,
    (
        SELECT count(*)
        FROM defender.alerts AS a
        WHERE a.tenant_id = i.tenant_id AND a.incident_id = ANY (i.incident_id || m.merged_incident_ids)
            AND a.status IS DISTINCT FROM 'resolved'
    ) AS open_alert_count,
    (
        SELECT count(DISTINCT (s.entity_type, s.entity_key))
        FROM defender.alerts AS a
        JOIN defender.entity_sightings AS s ON s.tenant_id = a.tenant_id AND s.alert_id = a.alert_id
        WHERE a.tenant_id = i.tenant_id AND a.incident_id = ANY (i.incident_id || m.merged_incident_ids)
    ) AS entity_count,
    coalesce(m.merged_incident_ids, '{}') AS merged_incident_ids,
    i.incident_web_url, i.first_synced_at
FROM defender.incidents AS i
LEFT JOIN LATERAL (
    SELECT
        min(h.changed_at) AS first_at,
        max(h.changed_at) FILTER (WHERE h.field = 'status' AND h.new_value = 'resolved') AS resolved_at,
        min(h.changed_at) FILTER (
            WHERE h.field = 'status' AND h.new_value IS DISTINCT FROM 'active' AND h.new_value IS DISTINCT FROM 'redirected'
                OR h.field = 'assigned_to' AND h.new_value <> ''
        ) AS acknowledged_at,
        count(*) FILTER (
            WHERE h.field = 'status' AND h.old_value = 'resolved'
                AND h.new_value IS DISTINCT FROM 'resolved' AND h.new_value IS DISTINCT FROM 'redirected'
        ) AS reopen_count,
        -- What it was when it was first stored: the value before the first change.
        (array_agg(coalesce(h.old_value, '') ORDER BY h.changed_at) FILTER (WHERE h.field = 'status'))[1] AS first_status,
        (array_agg(coalesce(h.old_value, '') ORDER BY h.changed_at) FILTER (WHERE h.field = 'assigned_to'))[1] AS first_assigned_to
    FROM defender.incident_history AS h
    WHERE h.tenant_id = i.tenant_id AND h.incident_id = i.incident_id AND h.field IN ('status', 'assigned_to')
) AS h ON true
LEFT JOIN LATERAL (
    SELECT CASE WHEN bool_and(a.status = 'resolved' AND a.resolved_date_time IS NOT NULL) THEN max(a.resolved_date_time) END AS resolved_at
    FROM defender.alerts AS a
    WHERE a.tenant_id = i.tenant_id AND a.incident_id = i.incident_id AND i.status = 'resolved' AND h.resolved_at IS NULL
) AS r ON true
CROSS JOIN LATERAL (
    SELECT
        coalesce(h.first_status, i.status, '') NOT IN ('active', '') OR coalesce(h.first_assigned_to, i.assigned_to, '') <> '' AS was_acknowledged
) AS f
CROSS JOIN LATERAL (
    SELECT
        CASE
            WHEN f.was_acknowledged THEN greatest(least(i.first_synced_at, i.last_update_date_time, h.first_at), i.created_date_time)
            ELSE h.acknowledged_at
        END AS acknowledged_at,
        CASE WHEN f.was_acknowledged THEN 'first_sync' WHEN h.acknowledged_at IS NOT NULL THEN 'history' END AS acknowledged_from,
        CASE
            WHEN i.status IS DISTINCT FROM 'resolved' THEN NULL
            WHEN h.resolved_at IS NOT NULL THEN h.resolved_at
            ELSE greatest(least(r.resolved_at, i.last_update_date_time), i.created_date_time)
        END AS resolved_at,
        CASE
            WHEN i.status IS DISTINCT FROM 'resolved' THEN NULL
            WHEN h.resolved_at IS NOT NULL THEN 'history'
            WHEN r.resolved_at <= i.last_update_date_time THEN 'alerts'
            ELSE 'last_update'
        END AS resolved_from
) AS t
LEFT JOIN bi.sla_targets AS l ON l.severity = i.severity
LEFT JOIN (
    SELECT
        g.tenant_id, g.root_incident_id,
        array_agg(g.incident_id ORDER BY g.incident_id) FILTER (WHERE g.incident_id <> g.root_incident_id) AS merged_incident_ids,
        bool_or(g.incident_id = g.root_incident_id) AS is_root
    FROM defender.incident_merges AS g
    GROUP BY g.tenant_id, g.root_incident_id
) AS m ON m.tenant_id = i.tenant_id AND m.root_incident_id = i.incident_id
-- An incident with a redirect is a root where that leads nowhere, or round.
WHERE i.redirect_incident_id IS NULL OR m.is_root;

COMMENT ON COLUMN bi.incidents.acknowledged_from IS 'What acknowledged_at is: history (a recorded change), or first_sync (it was so when it was first stored; no later than this).';
COMMENT ON COLUMN bi.incidents.resolved_from IS 'What resolved_at is: history (a recorded change), alerts (it was resolved when it was first stored; its last alert was then), or last_update (the same with alerts that do not tell; no later than this).';
DROP INDEX defender.incidents_resolved_before_sync_idx;
DROP INDEX defender.incidents_not_created_idx;
DROP INDEX defender.incidents_created_date_time_idx;
CREATE INDEX incidents_created_date_time_idx ON defender.incidents (created_date_time, tenant_id);
CREATE INDEX incidents_resolved_idx ON defender.incidents (last_update_date_time, tenant_id) INCLUDE (incident_id)
    WHERE status = 'resolved' AND redirect_incident_id IS NULL;
CREATE INDEX incidents_created_root_idx ON defender.incidents (created_date_time, tenant_id)
    WHERE redirect_incident_id IS NULL;

ALTER TABLE defender.incidents
    DROP CONSTRAINT incidents_resolved_before_sync_check,
    DROP COLUMN resolved_before_sync_from,
    DROP COLUMN resolved_before_sync_at,
    DROP COLUMN acknowledged_before_sync_at;
