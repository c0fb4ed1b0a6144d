-- +goose Up
-- An incident that was made more severe after it had been resolved became one that was
-- resolved too late, and what was taken at some unknown time before the first sync was
-- called taken too late. A tenant without incidents had no days, and no zeros to show.
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
    CASE
        WHEN i.status IS NOT DISTINCT FROM 'redirected' THEN NULL
        -- No later than this: where that is in time it was, and where it is not nobody knows.
        WHEN t.acknowledged_from = 'first_sync' AND t.acknowledged_at > i.created_date_time + l.acknowledge_within THEN NULL
        ELSE coalesce(t.acknowledged_at, now()) > i.created_date_time + l.acknowledge_within
    END AS sla_acknowledge_breached,
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
-- What became of the severity after the incident was resolved does not make that late.
LEFT JOIN LATERAL (
    SELECT h.old_value AS severity, true AS is_other
    FROM defender.incident_history AS h
    WHERE h.tenant_id = i.tenant_id AND h.incident_id = i.incident_id AND h.field = 'severity' AND h.changed_at > t.resolved_at
    ORDER BY h.changed_at
    LIMIT 1
) AS v ON t.resolved_at IS NOT NULL
LEFT JOIN bi.sla_targets AS l ON l.severity = CASE WHEN v.is_other THEN v.severity ELSE i.severity END
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

COMMENT ON COLUMN bi.incidents.sla_acknowledge_target IS 'How soon it should be acknowledged, in bi.sla_targets, by the severity that sla_target goes by; NULL for no target.';
COMMENT ON COLUMN bi.incidents.sla_target IS 'How soon it should be resolved, in bi.sla_targets, by the severity that it had when it was resolved; while it is open, by that of now. NULL for no target.';
COMMENT ON COLUMN bi.incidents.sla_acknowledge_breached IS 'Whether it was acknowledged too late, or is late now; NULL for no target, where it was merged into one that is not here, and where acknowledged_from is first_sync and nobody knows: no later than acknowledged_at, but perhaps in time.';

CREATE OR REPLACE VIEW bi.incident_daily AS
WITH daily AS (
    SELECT
        t.tenant_id, (t.changed_at AT TIME ZONE 'UTC')::date AS day, coalesce(t.severity, 'unknown') AS severity,
        count(*) FILTER (WHERE t.transition = 'opened') AS opened,
        count(*) FILTER (WHERE t.transition = 'resolved') AS resolved,
        count(*) FILTER (WHERE t.transition = 'reopened') AS reopened
    FROM bi.incident_transitions AS t
    GROUP BY 1, 2, 3
), span AS (
    SELECT
        d.tenant_id, min(d.day) AS first_day, greatest(max(d.day), (now() AT TIME ZONE 'UTC')::date) AS last_day,
        (min(f.settled_until) AT TIME ZONE 'UTC')::date AS settled_day
    FROM daily AS d
    LEFT JOIN bi.freshness AS f ON f.tenant_id = d.tenant_id AND f.stream = 'incidents'
    GROUP BY d.tenant_id
    UNION ALL
    -- A tenant without incidents has had none since its stream begins.
    SELECT
        f.tenant_id, (f.start_time AT TIME ZONE 'UTC')::date, (now() AT TIME ZONE 'UTC')::date,
        (f.settled_until AT TIME ZONE 'UTC')::date
    FROM bi.freshness AS f
    WHERE f.stream = 'incidents' AND NOT EXISTS (SELECT FROM daily AS d WHERE d.tenant_id = f.tenant_id)
), severities AS (
    SELECT s.tenant_id, v.severity
    FROM span AS s
    CROSS JOIN (VALUES ('high'), ('medium'), ('low'), ('informational')) AS v (severity)
    UNION
    SELECT d.tenant_id, d.severity
    FROM daily AS d
)
SELECT
    s.tenant_id, s.first_day + n.n AS day, v.severity,
    CASE v.severity WHEN 'high' THEN 4 WHEN 'medium' THEN 3 WHEN 'low' THEN 2 WHEN 'informational' THEN 1 ELSE 0 END AS severity_rank,
    coalesce(d.opened, 0) AS opened,
    coalesce(d.resolved, 0) AS resolved,
    coalesce(d.reopened, 0) AS reopened,
    (sum(coalesce(d.opened, 0) + coalesce(d.reopened, 0) - coalesce(d.resolved, 0)) OVER (
        PARTITION BY s.tenant_id, v.severity ORDER BY n.n
    ))::bigint AS backlog,
    coalesce(s.first_day + n.n < s.settled_day, false) AS is_settled
FROM span AS s
-- As an array the planner takes them for ten and not for a thousand, and does not
-- compile what takes a millisecond.
CROSS JOIN LATERAL unnest(ARRAY(SELECT generate_series(0, s.last_day - s.first_day))) AS n (n)
JOIN severities AS v ON v.tenant_id = s.tenant_id
LEFT JOIN daily AS d ON d.tenant_id = s.tenant_id AND d.day = s.first_day + n.n AND d.severity = v.severity;

COMMENT ON VIEW bi.incident_daily IS
    'The incidents of bi.incidents opened and resolved on each day of UTC, and how many were open at its end: a row for every day from the first to today and every severity, with zeros where nothing happened; of a tenant without incidents from where its stream begins. backlog is that of the day before, plus opened and reopened, less resolved.';

-- +goose Down
CREATE OR REPLACE VIEW bi.incident_daily AS
WITH daily AS (
    SELECT
        t.tenant_id, (t.changed_at AT TIME ZONE 'UTC')::date AS day, coalesce(t.severity, 'unknown') AS severity,
        count(*) FILTER (WHERE t.transition = 'opened') AS opened,
        count(*) FILTER (WHERE t.transition = 'resolved') AS resolved,
        count(*) FILTER (WHERE t.transition = 'reopened') AS reopened
    FROM bi.incident_transitions AS t
    GROUP BY 1, 2, 3
), span AS (
    SELECT
        d.tenant_id, min(d.day) AS first_day, greatest(max(d.day), (now() AT TIME ZONE 'UTC')::date) AS last_day,
        (min(f.settled_until) AT TIME ZONE 'UTC')::date AS settled_day
    FROM daily AS d
    LEFT JOIN bi.freshness AS f ON f.tenant_id = d.tenant_id AND f.stream = 'incidents'
    GROUP BY d.tenant_id
), severities AS (
    SELECT s.tenant_id, v.severity
    FROM span AS s
    CROSS JOIN (VALUES ('high'), ('medium'), ('low'), ('informational')) AS v (severity)
    UNION
    SELECT d.tenant_id, d.severity
    FROM daily AS d
)
SELECT
    s.tenant_id, s.first_day + n.n AS day, v.severity,
    CASE v.severity WHEN 'high' THEN 4 WHEN 'medium' THEN 3 WHEN 'low' THEN 2 WHEN 'informational' THEN 1 ELSE 0 END AS severity_rank,
    coalesce(d.opened, 0) AS opened,
    coalesce(d.resolved, 0) AS resolved,
    coalesce(d.reopened, 0) AS reopened,
    (sum(coalesce(d.opened, 0) + coalesce(d.reopened, 0) - coalesce(d.resolved, 0)) OVER (
        PARTITION BY s.tenant_id, v.severity ORDER BY n.n
    ))::bigint AS backlog,
    coalesce(s.first_day + n.n < s.settled_day, false) AS is_settled
FROM span AS s
-- As an array the planner takes them for ten and not for a thousand, and does not
-- compile what takes a millisecond.
CROSS JOIN LATERAL unnest(ARRAY(SELECT generate_series(0, s.last_day - s.first_day))) AS n (n)
JOIN severities AS v ON v.tenant_id = s.tenant_id
LEFT JOIN daily AS d ON d.tenant_id = s.tenant_id AND d.day = s.first_day + n.n AND d.severity = v.severity;

COMMENT ON VIEW bi.incident_daily IS
    'The incidents of bi.incidents opened and resolved on each day of UTC, and how many were open at its end: a row for every day from the first to today and every severity, with zeros where nothing happened. backlog is that of the day before, plus opened and reopened, less resolved.';

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

COMMENT ON COLUMN bi.incidents.sla_acknowledge_target IS 'How soon it should be acknowledged, in bi.sla_targets; NULL for no target.';
COMMENT ON COLUMN bi.incidents.sla_target IS 'How soon it should be resolved, in bi.sla_targets; NULL for no target.';
COMMENT ON COLUMN bi.incidents.sla_acknowledge_breached IS 'Whether it was acknowledged too late, or is late now; NULL for no target.';
