-- +goose Up
-- Whatever is not resolved is open, a status that is not known yet included. So
-- says the column is_open of the views, and these indexes hold nothing else.
CREATE INDEX incidents_unresolved_idx ON defender.incidents (created_date_time, tenant_id)
    WHERE status IS DISTINCT FROM 'resolved' AND status IS DISTINCT FROM 'redirected';
CREATE INDEX alerts_unresolved_idx ON defender.alerts (created_date_time, tenant_id)
    WHERE status IS DISTINCT FROM 'resolved';

-- The alerts of an incident and the sightings of an entity lie together: a small
-- sample takes them for many, and joins by scans where a few look-ups would do.
ALTER TABLE defender.alerts ALTER COLUMN incident_id SET STATISTICS 1000;
ALTER TABLE defender.entity_sightings ALTER COLUMN alert_id SET STATISTICS 1000;
ALTER TABLE defender.entity_sightings ALTER COLUMN entity_key SET STATISTICS 1000;

-- All that a chain of merges is followed by.
CREATE INDEX incidents_merged_idx ON defender.incidents (incident_id, redirect_incident_id, tenant_id)
    WHERE redirect_incident_id IS NOT NULL;

-- The part of incident_roots that has to be worked out: few incidents are merged,
-- and whoever needs no more than those should not read the others.
CREATE VIEW defender.incident_merges AS
WITH RECURSIVE chain AS (
    SELECT i.tenant_id, i.incident_id, i.redirect_incident_id AS next_id, ARRAY[i.incident_id] AS path
    FROM defender.incidents AS i
    WHERE i.redirect_incident_id IS NOT NULL
    UNION ALL
    SELECT c.tenant_id, c.incident_id, i.redirect_incident_id, c.path || i.incident_id
    FROM chain AS c
    JOIN defender.incidents AS i ON i.tenant_id = c.tenant_id AND i.incident_id = c.next_id
    WHERE i.redirect_incident_id IS NOT NULL AND i.incident_id <> ALL (c.path)
)
SELECT DISTINCT ON (c.tenant_id, c.incident_id)
    c.tenant_id, c.incident_id,
    CASE
        -- A loop, from where it closes to its end: every member has the same root.
        WHEN c.next_id = ANY (c.path)
            THEN (SELECT min(p) FROM unnest(c.path[array_position(c.path, c.next_id):]) AS p)
        WHEN EXISTS (SELECT FROM defender.incidents AS i WHERE i.tenant_id = c.tenant_id AND i.incident_id = c.next_id)
            THEN c.next_id
        ELSE c.path[cardinality(c.path)]
    END AS root_incident_id
FROM chain AS c
ORDER BY c.tenant_id, c.incident_id, cardinality(c.path) DESC;

COMMENT ON VIEW defender.incident_merges IS
    'The incidents that were merged, and the one at the end of each chain of merges: the part of defender.incident_roots that is not trivial.';
COMMENT ON COLUMN defender.incident_merges.tenant_id IS 'The tenant, as configured.';
COMMENT ON COLUMN defender.incident_merges.incident_id IS 'An incident with a redirect.';
COMMENT ON COLUMN defender.incident_merges.root_incident_id IS 'The incident that holds its alerts now: itself where the redirect leads to none that is stored, or where it is the smallest of a loop.';

CREATE OR REPLACE VIEW defender.incident_roots AS
SELECT i.tenant_id, i.incident_id, i.incident_id AS root_incident_id
FROM defender.incidents AS i
WHERE i.redirect_incident_id IS NULL
UNION ALL
SELECT m.tenant_id, m.incident_id, m.root_incident_id
FROM defender.incident_merges AS m;

CREATE FUNCTION defender.incidents_as_of(at timestamptz)
RETURNS TABLE (
    tenant_id             uuid,
    incident_id           bigint,
    redirect_incident_id  bigint,
    display_name          text,
    status                text,
    severity              text,
    classification        text,
    determination         text,
    assigned_to           text,
    custom_tags           text[],
    system_tags           text[],
    created_date_time     timestamptz,
    first_synced_at       timestamptz,
    recorded              boolean
)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
SELECT
    i.tenant_id, i.incident_id,
    CASE WHEN c.was ? 'redirect_incident_id' THEN (c.was ->> 'redirect_incident_id')::bigint ELSE i.redirect_incident_id END,
    CASE WHEN c.was ? 'display_name' THEN c.was ->> 'display_name' ELSE i.display_name END,
    CASE WHEN c.was ? 'status' THEN c.was ->> 'status' ELSE i.status END,
    CASE WHEN c.was ? 'severity' THEN c.was ->> 'severity' ELSE i.severity END,
    CASE WHEN c.was ? 'classification' THEN c.was ->> 'classification' ELSE i.classification END,
    CASE WHEN c.was ? 'determination' THEN c.was ->> 'determination' ELSE i.determination END,
    CASE WHEN c.was ? 'assigned_to' THEN c.was ->> 'assigned_to' ELSE i.assigned_to END,
    CASE WHEN c.was ? 'custom_tags'
        THEN ARRAY(SELECT jsonb_array_elements_text(coalesce(c.was ->> 'custom_tags', '[]')::jsonb)) ELSE i.custom_tags END,
    CASE WHEN c.was ? 'system_tags'
        THEN ARRAY(SELECT jsonb_array_elements_text(coalesce(c.was ->> 'system_tags', '[]')::jsonb)) ELSE i.system_tags END,
    i.created_date_time, i.first_synced_at,
    at >= least(i.first_synced_at, i.last_update_date_time)
        OR EXISTS (
            SELECT FROM defender.incident_history AS h
            WHERE h.tenant_id = i.tenant_id AND h.incident_id = i.incident_id AND h.changed_at <= at
        )
FROM defender.incidents AS i
LEFT JOIN (
    -- Of each column the value before its first change after that time.
    SELECT x.tenant_id, x.incident_id, jsonb_object_agg(x.field, x.old_value) AS was
    FROM (
        SELECT DISTINCT ON (h.tenant_id, h.incident_id, h.field)
            h.tenant_id, h.incident_id, h.field, h.old_value
        FROM defender.incident_history AS h
        WHERE h.changed_at > at
        ORDER BY h.tenant_id, h.incident_id, h.field, h.changed_at
    ) AS x
    GROUP BY x.tenant_id, x.incident_id
) AS c ON c.tenant_id = i.tenant_id AND c.incident_id = i.incident_id
WHERE coalesce(i.created_date_time, i.first_synced_at) <= at
$$;

COMMENT ON FUNCTION defender.incidents_as_of(timestamptz) IS
    'The incidents that existed at a time, as they were then by the recorded changes. Where recorded is false the time lies before the first version that was synchronised, and that is what is returned. Whoever wants only what was stored at the time adds first_synced_at <= the time.';

CREATE TABLE bi.sla_targets (
    severity           text NOT NULL,
    acknowledge_within interval,
    resolve_within     interval,
    PRIMARY KEY (severity),
    CONSTRAINT sla_targets_positive_check CHECK (acknowledge_within > interval '0' AND resolve_within > interval '0')
);

COMMENT ON TABLE bi.sla_targets IS
    'How soon incidents of each severity should be acknowledged and resolved. Meant to be changed: the views follow at once.';
COMMENT ON COLUMN bi.sla_targets.severity IS 'Severity as in bi.incidents; one that is not here has no target.';
COMMENT ON COLUMN bi.sla_targets.acknowledge_within IS 'From creation until somebody takes it; NULL for no target.';
COMMENT ON COLUMN bi.sla_targets.resolve_within IS 'From creation until it is resolved; NULL for no target.';

INSERT INTO bi.sla_targets (severity, acknowledge_within, resolve_within) VALUES
    ('high', '1 hour', '1 day'),
    ('medium', '4 hours', '3 days'),
    ('low', '1 day', '7 days'),
    ('informational', NULL, NULL);

CREATE VIEW bi.incidents AS
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

COMMENT ON VIEW bi.incidents IS
    'One row per incident that was not merged into another, with what was merged into it counted in. Its times are those of the recorded changes in defender.incident_history; acknowledged_from and resolved_from say where they are not.';
COMMENT ON COLUMN bi.incidents.tenant_id IS 'The tenant, as configured.';
COMMENT ON COLUMN bi.incidents.incident_id IS 'The incident.';
COMMENT ON COLUMN bi.incidents.display_name IS 'Its name.';
COMMENT ON COLUMN bi.incidents.status IS 'active, inProgress, awaitingAction, resolved, or a member not known yet.';
COMMENT ON COLUMN bi.incidents.is_open IS 'Whether it is not resolved.';
COMMENT ON COLUMN bi.incidents.severity IS 'informational, low, medium, high or unknown.';
COMMENT ON COLUMN bi.incidents.severity_rank IS '4 for high, 3 medium, 2 low, 1 informational, 0 anything else: to sort by.';
COMMENT ON COLUMN bi.incidents.classification IS 'truePositive, falsePositive, informationalExpectedActivity or unknown.';
COMMENT ON COLUMN bi.incidents.determination IS 'malware, phishing, securityTesting and others.';
COMMENT ON COLUMN bi.incidents.assigned_to IS 'Owner; NULL for none.';
COMMENT ON COLUMN bi.incidents.priority_score IS 'Priority from 0 to 100; Graph only.';
COMMENT ON COLUMN bi.incidents.custom_tags IS 'Tags set by people.';
COMMENT ON COLUMN bi.incidents.system_tags IS 'Tags set by Defender.';
COMMENT ON COLUMN bi.incidents.created_date_time IS 'When it was created.';
COMMENT ON COLUMN bi.incidents.last_update_date_time IS 'When it changed last.';
COMMENT ON COLUMN bi.incidents.acknowledged_at IS 'When somebody first took it: it was given an owner, or its status left active. NULL while nobody has.';
COMMENT ON COLUMN bi.incidents.acknowledged_from IS 'What acknowledged_at is: history (a recorded change), or first_sync (it was so when it was first stored; no later than this).';
COMMENT ON COLUMN bi.incidents.resolved_at IS 'When it was resolved for the last time; NULL while it is open.';
COMMENT ON COLUMN bi.incidents.resolved_from IS 'What resolved_at is: history (a recorded change), alerts (it was resolved when it was first stored; its last alert was then), or last_update (the same with alerts that do not tell; no later than this).';
COMMENT ON COLUMN bi.incidents.time_to_acknowledge IS 'From creation to acknowledged_at.';
COMMENT ON COLUMN bi.incidents.time_to_resolve IS 'From creation to resolved_at.';
COMMENT ON COLUMN bi.incidents.age IS 'Since creation, while it is open.';
COMMENT ON COLUMN bi.incidents.reopen_count IS 'How often it was seen to go from resolved to open.';
COMMENT ON COLUMN bi.incidents.sla_acknowledge_target IS 'How soon it should be acknowledged, in bi.sla_targets; NULL for no target.';
COMMENT ON COLUMN bi.incidents.sla_target IS 'How soon it should be resolved, in bi.sla_targets; NULL for no target.';
COMMENT ON COLUMN bi.incidents.sla_due_at IS 'When it should be resolved.';
COMMENT ON COLUMN bi.incidents.sla_acknowledge_breached IS 'Whether it was acknowledged too late, or is late now; NULL for no target.';
COMMENT ON COLUMN bi.incidents.sla_breached IS 'Whether it was resolved too late, or is late now; NULL for no target.';
COMMENT ON COLUMN bi.incidents.alert_count IS 'Its alerts, with those of incidents merged into it.';
COMMENT ON COLUMN bi.incidents.open_alert_count IS 'Those that are not resolved.';
COMMENT ON COLUMN bi.incidents.entity_count IS 'Distinct entities that the evidence of its alerts names.';
COMMENT ON COLUMN bi.incidents.merged_incident_ids IS 'The incidents that were merged into it.';
COMMENT ON COLUMN bi.incidents.incident_web_url IS 'Its address in the portal.';
COMMENT ON COLUMN bi.incidents.first_synced_at IS 'When it was first stored: what happened before is not in the history.';

-- Of two parts, so that a condition on incident_id finds its index in both. A join
-- from elsewhere to its alert_id would not: the other views join defender.alerts.
CREATE VIEW bi.alerts AS
SELECT
    a.tenant_id, a.alert_id, a.incident_id, a.title, a.category, a.status, a.status IS DISTINCT FROM 'resolved' AS is_open,
    a.severity,
    CASE a.severity WHEN 'high' THEN 4 WHEN 'medium' THEN 3 WHEN 'low' THEN 2 WHEN 'informational' THEN 1 ELSE 0 END AS severity_rank,
    a.classification, a.determination, a.investigation_state, a.service_source, a.detection_source, a.detector_id,
    a.assigned_to, a.actor_display_name, a.threat_display_name, a.threat_family_name, a.mitre_techniques,
    a.created_date_time, a.last_update_date_time, a.first_activity_date_time, a.last_activity_date_time, a.resolved_date_time,
    a.created_date_time - a.first_activity_date_time AS time_to_detect,
    a.resolved_date_time - a.created_date_time AS time_to_resolve,
    (
        SELECT count(*)
        FROM defender.alert_evidence AS e
        WHERE e.tenant_id = a.tenant_id AND e.alert_id = a.alert_id
    ) AS evidence_count,
    (
        SELECT count(*)
        FROM defender.entity_sightings AS s
        WHERE s.tenant_id = a.tenant_id AND s.alert_id = a.alert_id
    ) AS entity_count,
    a.alert_web_url, a.first_synced_at
FROM (
    SELECT
        a.tenant_id, a.alert_id, a.incident_id, a.title, a.category, a.status, a.severity, a.classification, a.determination,
        a.investigation_state, a.service_source, a.detection_source, a.detector_id, a.assigned_to, a.actor_display_name,
        a.threat_display_name, a.threat_family_name, a.mitre_techniques, a.created_date_time, a.last_update_date_time,
        a.first_activity_date_time, a.last_activity_date_time, a.resolved_date_time, a.alert_web_url, a.first_synced_at
    FROM defender.alerts AS a
    WHERE NOT EXISTS (
        SELECT FROM defender.incidents AS i
        WHERE i.tenant_id = a.tenant_id AND i.incident_id = a.incident_id AND i.redirect_incident_id IS NOT NULL
    )
    UNION ALL
    SELECT
        a.tenant_id, a.alert_id, m.root_incident_id, a.title, a.category, a.status, a.severity, a.classification, a.determination,
        a.investigation_state, a.service_source, a.detection_source, a.detector_id, a.assigned_to, a.actor_display_name,
        a.threat_display_name, a.threat_family_name, a.mitre_techniques, a.created_date_time, a.last_update_date_time,
        a.first_activity_date_time, a.last_activity_date_time, a.resolved_date_time, a.alert_web_url, a.first_synced_at
    FROM defender.incident_merges AS m
    JOIN defender.alerts AS a ON a.tenant_id = m.tenant_id AND a.incident_id = m.incident_id
) AS a;

COMMENT ON VIEW bi.alerts IS
    'One row per alert, with the incident that holds it after all merges.';
COMMENT ON COLUMN bi.alerts.tenant_id IS 'The tenant, as configured.';
COMMENT ON COLUMN bi.alerts.alert_id IS 'The alert.';
COMMENT ON COLUMN bi.alerts.incident_id IS 'Its incident in bi.incidents.';
COMMENT ON COLUMN bi.alerts.title IS 'Title.';
COMMENT ON COLUMN bi.alerts.category IS 'Kill-chain category.';
COMMENT ON COLUMN bi.alerts.status IS 'new, inProgress, resolved or unknown.';
COMMENT ON COLUMN bi.alerts.is_open IS 'Whether it is not resolved.';
COMMENT ON COLUMN bi.alerts.severity IS 'informational, low, medium, high or unknown.';
COMMENT ON COLUMN bi.alerts.severity_rank IS '4 for high, 3 medium, 2 low, 1 informational, 0 anything else: to sort by.';
COMMENT ON COLUMN bi.alerts.classification IS 'truePositive, falsePositive, informationalExpectedActivity or unknown.';
COMMENT ON COLUMN bi.alerts.determination IS 'malware, phishing, securityTesting and others.';
COMMENT ON COLUMN bi.alerts.investigation_state IS 'State of the automated investigation.';
COMMENT ON COLUMN bi.alerts.service_source IS 'Product that raised it.';
COMMENT ON COLUMN bi.alerts.detection_source IS 'Detector inside the product.';
COMMENT ON COLUMN bi.alerts.detector_id IS 'Id of the detector: alerts of one rule share it.';
COMMENT ON COLUMN bi.alerts.assigned_to IS 'Owner; NULL for none.';
COMMENT ON COLUMN bi.alerts.actor_display_name IS 'Adversary or activity group.';
COMMENT ON COLUMN bi.alerts.threat_display_name IS 'Threat; Graph only.';
COMMENT ON COLUMN bi.alerts.threat_family_name IS 'Threat family.';
COMMENT ON COLUMN bi.alerts.mitre_techniques IS 'MITRE ATT&CK techniques; with names in bi.alert_techniques.';
COMMENT ON COLUMN bi.alerts.created_date_time IS 'When it was created.';
COMMENT ON COLUMN bi.alerts.last_update_date_time IS 'When it changed last.';
COMMENT ON COLUMN bi.alerts.first_activity_date_time IS 'Earliest activity.';
COMMENT ON COLUMN bi.alerts.last_activity_date_time IS 'Latest activity.';
COMMENT ON COLUMN bi.alerts.resolved_date_time IS 'When it was resolved, as the source says.';
COMMENT ON COLUMN bi.alerts.time_to_detect IS 'From the earliest activity to creation.';
COMMENT ON COLUMN bi.alerts.time_to_resolve IS 'From creation to resolution, as the source says.';
COMMENT ON COLUMN bi.alerts.evidence_count IS 'Pieces of evidence.';
COMMENT ON COLUMN bi.alerts.entity_count IS 'Distinct entities that its evidence names.';
COMMENT ON COLUMN bi.alerts.alert_web_url IS 'Its address in the portal.';
COMMENT ON COLUMN bi.alerts.first_synced_at IS 'When it was first stored.';

CREATE VIEW bi.incident_transitions AS
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

COMMENT ON VIEW bi.incident_transitions IS
    'When each incident of bi.incidents was opened, resolved and reopened: what bi.incident_daily counts.';
COMMENT ON COLUMN bi.incident_transitions.tenant_id IS 'The tenant, as configured.';
COMMENT ON COLUMN bi.incident_transitions.incident_id IS 'The incident.';
COMMENT ON COLUMN bi.incident_transitions.severity IS 'Its severity now.';
COMMENT ON COLUMN bi.incident_transitions.changed_at IS 'When it happened.';
COMMENT ON COLUMN bi.incident_transitions.transition IS 'opened, resolved or reopened.';
COMMENT ON COLUMN bi.incident_transitions.source IS 'How changed_at is known: created, history (a recorded change), or, for what was resolved when it was first stored, alerts (its last alert was then), last_update or first_sync (no later than this).';

CREATE VIEW bi.freshness AS
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

COMMENT ON VIEW bi.freshness IS
    'How far each stream of each tenant is, and up to when its numbers no longer change.';
COMMENT ON COLUMN bi.freshness.tenant_id IS 'The tenant, as configured.';
COMMENT ON COLUMN bi.freshness.stream IS 'The stream: incidents, alerts or hunting/NAME.';
COMMENT ON COLUMN bi.freshness.start_time IS 'Where the stream begins.';
COMMENT ON COLUMN bi.freshness.watermark IS 'Everything before it was read, but for the gaps.';
COMMENT ON COLUMN bi.freshness.lag IS 'How far the watermark is behind.';
COMMENT ON COLUMN bi.freshness.settled_until IS 'Records last changed before it are all here: it lies some overlap before the watermark, which is read again for what appears late, and before the first gap. NULL until a first pass has ended. A report that ends at it does not change under its reader.';
COMMENT ON COLUMN bi.freshness.passed_at IS 'Start of the last pass that ended; NULL before the first.';
COMMENT ON COLUMN bi.freshness.updated_at IS 'When something was committed last.';
COMMENT ON COLUMN bi.freshness.rows IS 'Records that the stream inserted.';
COMMENT ON COLUMN bi.freshness.gap_count IS 'Ranges that are not complete, in sync.gaps.';
COMMENT ON COLUMN bi.freshness.gap_time IS 'Their length together; NULL for none.';
COMMENT ON COLUMN bi.freshness.first_gap_at IS 'Begin of the first; NULL for none.';
COMMENT ON COLUMN bi.freshness.quarantine_count IS 'Records that could not be stored, in sync.quarantine.';
COMMENT ON COLUMN bi.freshness.last_run_at IS 'Begin of the last run.';
COMMENT ON COLUMN bi.freshness.last_outcome IS 'How it ended: complete, incomplete, failed, interrupted; running while it has not.';
COMMENT ON COLUMN bi.freshness.last_error IS 'Why it failed.';

CREATE VIEW bi.incident_daily AS
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
COMMENT ON COLUMN bi.incident_daily.tenant_id IS 'The tenant, as configured.';
COMMENT ON COLUMN bi.incident_daily.day IS 'The day, in UTC whatever the session''s time zone.';
COMMENT ON COLUMN bi.incident_daily.severity IS 'Severity that the incidents have now; unknown where they have none.';
COMMENT ON COLUMN bi.incident_daily.severity_rank IS '4 for high, 3 medium, 2 low, 1 informational, 0 anything else: to sort by.';
COMMENT ON COLUMN bi.incident_daily.opened IS 'Incidents created.';
COMMENT ON COLUMN bi.incident_daily.resolved IS 'Incidents resolved; one that is resolved twice counts on both days.';
COMMENT ON COLUMN bi.incident_daily.reopened IS 'Incidents that were resolved and are open again.';
COMMENT ON COLUMN bi.incident_daily.backlog IS 'Incidents open at the end of the day.';
COMMENT ON COLUMN bi.incident_daily.is_settled IS 'Whether the day lies before settled_until of the stream incidents, in bi.freshness: only a merge or a change of severity can still move its numbers.';

CREATE VIEW bi.alert_techniques AS
SELECT
    t.tenant_id, t.alert_id, coalesce(m.root_incident_id, a.incident_id) AS incident_id,
    t.technique AS technique_id,
    coalesce(CASE WHEN k.parent_id IS NULL THEN k.name ELSE p.name || ': ' || k.name END, p.name) AS technique_name,
    split_part(t.technique, '.', 1) AS parent_id, p.name AS parent_name,
    c.tactic_id, c.name AS tactic_name, c.position AS tactic_position,
    a.severity, a.status, a.status IS DISTINCT FROM 'resolved' AS is_open, a.service_source, a.created_date_time
FROM defender.alert_techniques AS t
JOIN defender.alerts AS a ON a.tenant_id = t.tenant_id AND a.alert_id = t.alert_id
LEFT JOIN defender.incident_merges AS m ON m.tenant_id = a.tenant_id AND m.incident_id = a.incident_id
LEFT JOIN bi.attack_techniques AS k ON k.technique_id = t.technique
LEFT JOIN bi.attack_techniques AS p ON p.technique_id = split_part(t.technique, '.', 1)
LEFT JOIN bi.attack_tactics AS c ON c.tactic_id = ANY (p.tactic_ids);

COMMENT ON VIEW bi.alert_techniques IS
    'One row per alert, MITRE ATT&CK technique and tactic of the technique: an alert is in it several times. bi.techniques counts.';
COMMENT ON COLUMN bi.alert_techniques.tenant_id IS 'The tenant, as configured.';
COMMENT ON COLUMN bi.alert_techniques.alert_id IS 'The alert.';
COMMENT ON COLUMN bi.alert_techniques.incident_id IS 'Its incident in bi.incidents.';
COMMENT ON COLUMN bi.alert_techniques.technique_id IS 'Technique as served, such as T1566.002.';
COMMENT ON COLUMN bi.alert_techniques.technique_name IS 'Its name, such as Phishing: Spearphishing Link; the parent''s where only that is known, NULL where neither is.';
COMMENT ON COLUMN bi.alert_techniques.parent_id IS 'The technique that it belongs to: itself where it is no sub-technique.';
COMMENT ON COLUMN bi.alert_techniques.parent_name IS 'Name of that.';
COMMENT ON COLUMN bi.alert_techniques.tactic_id IS 'One of its tactics; NULL where the technique is not in bi.attack_techniques.';
COMMENT ON COLUMN bi.alert_techniques.tactic_name IS 'Name of the tactic.';
COMMENT ON COLUMN bi.alert_techniques.tactic_position IS 'Place of the tactic in the matrix, from 1.';
COMMENT ON COLUMN bi.alert_techniques.severity IS 'Severity of the alert.';
COMMENT ON COLUMN bi.alert_techniques.status IS 'Status of the alert.';
COMMENT ON COLUMN bi.alert_techniques.is_open IS 'Whether the alert is not resolved.';
COMMENT ON COLUMN bi.alert_techniques.service_source IS 'Product that raised the alert.';
COMMENT ON COLUMN bi.alert_techniques.created_date_time IS 'When the alert was created.';

CREATE VIEW bi.techniques AS
SELECT
    x.tenant_id, x.technique_id,
    coalesce(CASE WHEN k.parent_id IS NULL THEN k.name ELSE p.name || ': ' || k.name END, p.name) AS technique_name,
    split_part(x.technique_id, '.', 1) AS parent_id, p.name AS parent_name,
    c.tactic_id, c.name AS tactic_name, c.position AS tactic_position,
    x.alert_count, x.open_alert_count, x.incident_count, x.first_seen_at, x.last_seen_at,
    p.attack_version
FROM (
    SELECT
        t.tenant_id, t.technique AS technique_id,
        count(*) AS alert_count,
        count(*) FILTER (WHERE a.status IS DISTINCT FROM 'resolved') AS open_alert_count,
        count(DISTINCT coalesce(m.root_incident_id, a.incident_id)) AS incident_count,
        min(a.created_date_time) AS first_seen_at, max(a.created_date_time) AS last_seen_at
    FROM defender.alert_techniques AS t
    JOIN defender.alerts AS a ON a.tenant_id = t.tenant_id AND a.alert_id = t.alert_id
    LEFT JOIN defender.incident_merges AS m ON m.tenant_id = a.tenant_id AND m.incident_id = a.incident_id
    GROUP BY t.tenant_id, t.technique
) AS x
LEFT JOIN bi.attack_techniques AS k ON k.technique_id = x.technique_id
LEFT JOIN bi.attack_techniques AS p ON p.technique_id = split_part(x.technique_id, '.', 1)
LEFT JOIN bi.attack_tactics AS c ON c.tactic_id = ANY (p.tactic_ids);

COMMENT ON VIEW bi.techniques IS
    'One row per MITRE ATT&CK technique that alerts show, and tactic of the technique: whoever adds up over tactics counts a technique as often as it has tactics.';
COMMENT ON COLUMN bi.techniques.tenant_id IS 'The tenant, as configured.';
COMMENT ON COLUMN bi.techniques.technique_id IS 'Technique as served, such as T1566.002.';
COMMENT ON COLUMN bi.techniques.technique_name IS 'Its name, such as Phishing: Spearphishing Link; the parent''s where only that is known, NULL where neither is.';
COMMENT ON COLUMN bi.techniques.parent_id IS 'The technique that it belongs to: itself where it is no sub-technique.';
COMMENT ON COLUMN bi.techniques.parent_name IS 'Name of that.';
COMMENT ON COLUMN bi.techniques.tactic_id IS 'One of its tactics; NULL where the technique is not in bi.attack_techniques.';
COMMENT ON COLUMN bi.techniques.tactic_name IS 'Name of the tactic.';
COMMENT ON COLUMN bi.techniques.tactic_position IS 'Place of the tactic in the matrix, from 1.';
COMMENT ON COLUMN bi.techniques.alert_count IS 'Alerts that show the technique.';
COMMENT ON COLUMN bi.techniques.open_alert_count IS 'Those that are not resolved.';
COMMENT ON COLUMN bi.techniques.incident_count IS 'Incidents of those alerts, after merges.';
COMMENT ON COLUMN bi.techniques.first_seen_at IS 'When the first of those alerts was created.';
COMMENT ON COLUMN bi.techniques.last_seen_at IS 'When the last of them was.';
COMMENT ON COLUMN bi.techniques.attack_version IS 'Version of ATT&CK that names and tactics follow.';

-- The incidents that are open, with those merged into them, by way of which
-- their alerts are found.
CREATE VIEW defender.open_incident_members AS
SELECT i.tenant_id, i.incident_id, i.incident_id AS root_incident_id, i.severity
FROM defender.incidents AS i
WHERE i.redirect_incident_id IS NULL AND i.status IS DISTINCT FROM 'resolved' AND i.status IS DISTINCT FROM 'redirected'
UNION ALL
SELECT m.tenant_id, m.incident_id, m.root_incident_id, i.severity
FROM defender.incident_merges AS m
JOIN defender.incidents AS i ON i.tenant_id = m.tenant_id AND i.incident_id = m.root_incident_id
WHERE i.status IS DISTINCT FROM 'resolved' AND i.status IS DISTINCT FROM 'redirected';

COMMENT ON VIEW defender.open_incident_members IS
    'Every open incident, and every incident that was merged into one: the incidents whose alerts are open incidents'' alerts.';
COMMENT ON COLUMN defender.open_incident_members.tenant_id IS 'The tenant, as configured.';
COMMENT ON COLUMN defender.open_incident_members.incident_id IS 'The open incident, or one merged into it.';
COMMENT ON COLUMN defender.open_incident_members.root_incident_id IS 'The open incident.';
COMMENT ON COLUMN defender.open_incident_members.severity IS 'Severity of the open incident.';

CREATE VIEW bi.entities AS
SELECT
    e.tenant_id, e.entity_type, e.entity_key, e.name, e.first_seen_at, e.last_seen_at, e.alert_count,
    coalesce(o.open_alert_count, 0) AS open_alert_count,
    coalesce(o.open_incident_count, 0) AS open_incident_count
FROM defender.entities AS e
LEFT JOIN (
    SELECT
        s.tenant_id, s.entity_type, s.entity_key,
        count(*) FILTER (WHERE a.status IS DISTINCT FROM 'resolved') AS open_alert_count,
        count(DISTINCT i.root_incident_id) AS open_incident_count
    FROM defender.open_incident_members AS i
    JOIN defender.alerts AS a ON a.tenant_id = i.tenant_id AND a.incident_id = i.incident_id
    JOIN defender.entity_sightings AS s ON s.tenant_id = a.tenant_id AND s.alert_id = a.alert_id
    GROUP BY s.tenant_id, s.entity_type, s.entity_key
) AS o ON o.tenant_id = e.tenant_id AND o.entity_type = e.entity_type AND o.entity_key = e.entity_key;

COMMENT ON VIEW bi.entities IS
    'One row per host, user, IP address, URL, hash and mailbox that the evidence of alerts names. Where each was seen is in bi.entity_sightings.';
COMMENT ON COLUMN bi.entities.tenant_id IS 'The tenant, as configured.';
COMMENT ON COLUMN bi.entities.entity_type IS 'host, user, ip, url, hash (SHA-256, SHA-1 or MD5) or mailbox (any e-mail address).';
COMMENT ON COLUMN bi.entities.entity_key IS 'What the entity is known by, in small letters but for URLs: host name, user principal name (else domain\account), address, URL, hash.';
COMMENT ON COLUMN bi.entities.name IS 'The same in a spelling as served.';
COMMENT ON COLUMN bi.entities.first_seen_at IS 'Time of the first evidence that names it.';
COMMENT ON COLUMN bi.entities.last_seen_at IS 'Time of the last evidence that names it.';
COMMENT ON COLUMN bi.entities.alert_count IS 'Alerts whose evidence names it.';
COMMENT ON COLUMN bi.entities.open_alert_count IS 'Alerts of open incidents that name it and are not resolved.';
COMMENT ON COLUMN bi.entities.open_incident_count IS 'Open incidents whose alerts name it.';

CREATE VIEW bi.entity_sightings AS
SELECT
    s.tenant_id, s.entity_type, s.entity_key, s.name, s.first_seen_at, s.last_seen_at,
    s.alert_id, coalesce(m.root_incident_id, a.incident_id) AS incident_id,
    a.title, a.severity, a.status, a.classification, a.service_source, a.created_date_time,
    s.evidence_count, s.properties, s.evidence_types, s.roles, s.verdicts
FROM defender.entity_sightings AS s
JOIN defender.alerts AS a ON a.tenant_id = s.tenant_id AND a.alert_id = s.alert_id
LEFT JOIN defender.incident_merges AS m ON m.tenant_id = a.tenant_id AND m.incident_id = a.incident_id;

COMMENT ON VIEW bi.entity_sightings IS
    'One row per entity and alert whose evidence names it. By entity_key and entity_type it is an indexed look-up, however long ago.';
COMMENT ON COLUMN bi.entity_sightings.tenant_id IS 'The tenant, as configured.';
COMMENT ON COLUMN bi.entity_sightings.entity_type IS 'host, user, ip, url, hash (SHA-256, SHA-1 or MD5) or mailbox (any e-mail address).';
COMMENT ON COLUMN bi.entity_sightings.entity_key IS 'What the entity is known by, in small letters but for URLs.';
COMMENT ON COLUMN bi.entity_sightings.name IS 'The same as served.';
COMMENT ON COLUMN bi.entity_sightings.first_seen_at IS 'Time of the alert''s first evidence that names it.';
COMMENT ON COLUMN bi.entity_sightings.last_seen_at IS 'Time of its last evidence that names it.';
COMMENT ON COLUMN bi.entity_sightings.alert_id IS 'The alert.';
COMMENT ON COLUMN bi.entity_sightings.incident_id IS 'Its incident in bi.incidents.';
COMMENT ON COLUMN bi.entity_sightings.title IS 'Title of the alert.';
COMMENT ON COLUMN bi.entity_sightings.severity IS 'Severity of the alert.';
COMMENT ON COLUMN bi.entity_sightings.status IS 'Status of the alert.';
COMMENT ON COLUMN bi.entity_sightings.classification IS 'Classification of the alert.';
COMMENT ON COLUMN bi.entity_sightings.service_source IS 'Product that raised the alert.';
COMMENT ON COLUMN bi.entity_sightings.created_date_time IS 'When the alert was created.';
COMMENT ON COLUMN bi.entity_sightings.evidence_count IS 'Pieces of the alert''s evidence that name it.';
COMMENT ON COLUMN bi.entity_sightings.properties IS 'Columns of defender.alert_evidence that name it, such as sha256 or sender_ip.';
COMMENT ON COLUMN bi.entity_sightings.evidence_types IS 'Types of the evidence that names it, such as process.';
COMMENT ON COLUMN bi.entity_sightings.roles IS 'Roles of that evidence, such as attacked or source.';
COMMENT ON COLUMN bi.entity_sightings.verdicts IS 'Verdicts on that evidence, such as malicious.';

CREATE VIEW bi.incident_entities AS
SELECT
    a.tenant_id, a.incident_id, s.entity_type, s.entity_key, min(s.name COLLATE "C") AS name,
    count(*) AS alert_count, min(s.first_seen_at) AS first_seen_at, max(s.last_seen_at) AS last_seen_at,
    bool_or('malicious' = ANY (s.verdicts)) AS is_malicious
FROM bi.alerts AS a
JOIN defender.entity_sightings AS s ON s.tenant_id = a.tenant_id AND s.alert_id = a.alert_id
GROUP BY a.tenant_id, a.incident_id, s.entity_type, s.entity_key;

COMMENT ON VIEW bi.incident_entities IS
    'One row per incident of bi.incidents and entity that the evidence of its alerts names. By incident_id it is an indexed look-up; by entity that is bi.entity_sightings.';
COMMENT ON COLUMN bi.incident_entities.tenant_id IS 'The tenant, as configured.';
COMMENT ON COLUMN bi.incident_entities.incident_id IS 'The incident.';
COMMENT ON COLUMN bi.incident_entities.entity_type IS 'host, user, ip, url, hash (SHA-256, SHA-1 or MD5) or mailbox (any e-mail address).';
COMMENT ON COLUMN bi.incident_entities.entity_key IS 'What the entity is known by, in small letters but for URLs.';
COMMENT ON COLUMN bi.incident_entities.name IS 'The same as served.';
COMMENT ON COLUMN bi.incident_entities.alert_count IS 'Alerts of the incident that name it.';
COMMENT ON COLUMN bi.incident_entities.first_seen_at IS 'Time of the first evidence in the incident that names it.';
COMMENT ON COLUMN bi.incident_entities.last_seen_at IS 'Time of the last.';
COMMENT ON COLUMN bi.incident_entities.is_malicious IS 'Whether evidence that names it has the verdict malicious.';

CREATE VIEW bi.devices AS
SELECT
    e.tenant_id, e.entity_key AS device, e.name AS host_name,
    d.device_dns_name, d.mde_device_id, d.azure_ad_device_id, d.os_platform, d.version AS os_version, d.rbac_group_name,
    d.health_status, d.risk_score, d.onboarding_status, d.last_ip_address, d.last_external_ip_address,
    e.first_seen_at, e.last_seen_at, e.alert_count, e.open_alert_count, e.open_incident_count
FROM bi.entities AS e
LEFT JOIN LATERAL (
    SELECT d.*
    FROM defender.entity_sightings AS s
    JOIN defender.alert_evidence AS d ON d.tenant_id = s.tenant_id AND d.alert_id = s.alert_id
    WHERE s.entity_key = e.entity_key AND s.entity_type = 'host' AND s.tenant_id = e.tenant_id
        AND d.evidence_type = 'device' AND lower(coalesce(nullif(d.host_name, ''), d.mde_device_id) COLLATE "C") COLLATE "default" = e.entity_key
    ORDER BY s.last_seen_at DESC, s.alert_id, d.evidence_no
    LIMIT 1
) AS d ON true
WHERE e.entity_type = 'host';

COMMENT ON VIEW bi.devices IS
    'One row per host that the evidence of alerts names, with its properties in the latest evidence about it. Hosts of one name are one row.';
COMMENT ON COLUMN bi.devices.tenant_id IS 'The tenant, as configured.';
COMMENT ON COLUMN bi.devices.device IS 'Its entity_key in bi.entity_sightings: the host name in small letters.';
COMMENT ON COLUMN bi.devices.host_name IS 'The host name as served.';
COMMENT ON COLUMN bi.devices.device_dns_name IS 'Fully qualified name.';
COMMENT ON COLUMN bi.devices.mde_device_id IS 'Id in Defender for Endpoint: DeviceId of the hunting tables.';
COMMENT ON COLUMN bi.devices.azure_ad_device_id IS 'Id in Microsoft Entra.';
COMMENT ON COLUMN bi.devices.os_platform IS 'Operating system.';
COMMENT ON COLUMN bi.devices.os_version IS 'Version of that.';
COMMENT ON COLUMN bi.devices.rbac_group_name IS 'Device group.';
COMMENT ON COLUMN bi.devices.health_status IS 'Health of the sensor.';
COMMENT ON COLUMN bi.devices.risk_score IS 'Risk: none, informational, low, medium, high or unknown.';
COMMENT ON COLUMN bi.devices.onboarding_status IS 'Whether it is onboarded to Defender for Endpoint.';
COMMENT ON COLUMN bi.devices.last_ip_address IS 'Its address inside the network.';
COMMENT ON COLUMN bi.devices.last_external_ip_address IS 'Its address outside.';
COMMENT ON COLUMN bi.devices.first_seen_at IS 'Time of the first evidence that names it.';
COMMENT ON COLUMN bi.devices.last_seen_at IS 'Time of the last evidence that names it.';
COMMENT ON COLUMN bi.devices.alert_count IS 'Alerts whose evidence names it.';
COMMENT ON COLUMN bi.devices.open_alert_count IS 'Alerts of open incidents that name it and are not resolved.';
COMMENT ON COLUMN bi.devices.open_incident_count IS 'Open incidents whose alerts name it.';

CREATE VIEW bi.users AS
SELECT
    e.tenant_id, e.entity_key AS user_key, e.name AS user_name,
    u.display_name, u.user_principal_name, u.account_name, u.domain_name, u.user_sid, u.azure_ad_user_id,
    e.first_seen_at, e.last_seen_at, e.alert_count, e.open_alert_count, e.open_incident_count
FROM bi.entities AS e
LEFT JOIN LATERAL (
    SELECT u.*
    FROM defender.entity_sightings AS s
    JOIN defender.alert_evidence AS u ON u.tenant_id = s.tenant_id AND u.alert_id = s.alert_id
    WHERE s.entity_key = e.entity_key AND s.entity_type = 'user' AND s.tenant_id = e.tenant_id
        AND u.evidence_type IN ('user', 'mailbox', 'process')
        AND lower(coalesce(nullif(u.user_principal_name, ''), concat_ws('\', nullif(u.domain_name, ''), u.account_name)) COLLATE "C") COLLATE "default" = e.entity_key
    ORDER BY s.last_seen_at DESC, u.evidence_type = 'user' DESC, s.alert_id, u.evidence_no
    LIMIT 1
) AS u ON true
WHERE e.entity_type = 'user';

COMMENT ON VIEW bi.users IS
    'One row per account that the evidence of alerts names, with its properties in the latest evidence about it.';
COMMENT ON COLUMN bi.users.tenant_id IS 'The tenant, as configured.';
COMMENT ON COLUMN bi.users.user_key IS 'Its entity_key in bi.entity_sightings: the user principal name, else domain\account, in small letters.';
COMMENT ON COLUMN bi.users.user_name IS 'The same as served.';
COMMENT ON COLUMN bi.users.display_name IS 'Name of the person.';
COMMENT ON COLUMN bi.users.user_principal_name IS 'User principal name.';
COMMENT ON COLUMN bi.users.account_name IS 'Account name.';
COMMENT ON COLUMN bi.users.domain_name IS 'Domain of the account.';
COMMENT ON COLUMN bi.users.user_sid IS 'Security identifier.';
COMMENT ON COLUMN bi.users.azure_ad_user_id IS 'Id in Microsoft Entra.';
COMMENT ON COLUMN bi.users.first_seen_at IS 'Time of the first evidence that names it.';
COMMENT ON COLUMN bi.users.last_seen_at IS 'Time of the last evidence that names it.';
COMMENT ON COLUMN bi.users.alert_count IS 'Alerts whose evidence names it.';
COMMENT ON COLUMN bi.users.open_alert_count IS 'Alerts of open incidents that name it and are not resolved.';
COMMENT ON COLUMN bi.users.open_incident_count IS 'Open incidents whose alerts name it.';

CREATE VIEW bi.workload AS
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

COMMENT ON VIEW bi.workload IS
    'What each owner of incidents has open, and has resolved lately. An incident counts for the owner that it has now.';
COMMENT ON COLUMN bi.workload.tenant_id IS 'The tenant, as configured.';
COMMENT ON COLUMN bi.workload.assignee IS 'Owner as in bi.incidents; nobody for incidents without one.';
COMMENT ON COLUMN bi.workload.open_count IS 'Open incidents.';
COMMENT ON COLUMN bi.workload.open_high_count IS 'Those of high severity.';
COMMENT ON COLUMN bi.workload.in_progress_count IS 'Those in progress.';
COMMENT ON COLUMN bi.workload.overdue_count IS 'Those past their target in bi.sla_targets.';
COMMENT ON COLUMN bi.workload.oldest_age IS 'Age of the oldest of them.';
COMMENT ON COLUMN bi.workload.resolved_7d_count IS 'Incidents resolved in the last 7 days.';
COMMENT ON COLUMN bi.workload.resolved_30d_count IS 'Incidents resolved in the last 30 days.';
COMMENT ON COLUMN bi.workload.median_time_to_resolve_30d IS 'Median of time_to_resolve of those of the last 30 days.';

-- +goose Down
DROP VIEW bi.workload;
DROP VIEW bi.users;
DROP VIEW bi.devices;
DROP VIEW bi.incident_entities;
DROP VIEW bi.entity_sightings;
DROP VIEW bi.entities;
DROP VIEW defender.open_incident_members;
DROP VIEW bi.techniques;
DROP VIEW bi.alert_techniques;
DROP VIEW bi.incident_daily;
DROP VIEW bi.freshness;
DROP VIEW bi.incident_transitions;
DROP VIEW bi.alerts;
DROP VIEW bi.incidents;
DROP TABLE bi.sla_targets;
DROP FUNCTION defender.incidents_as_of(timestamptz);

CREATE OR REPLACE VIEW defender.incident_roots AS
SELECT i.tenant_id, i.incident_id, i.incident_id AS root_incident_id
FROM defender.incidents AS i
WHERE i.redirect_incident_id IS NULL
UNION ALL
SELECT r.tenant_id, r.incident_id, r.root_incident_id
FROM (
    WITH RECURSIVE chain AS (
        SELECT i.tenant_id, i.incident_id, i.redirect_incident_id AS next_id, ARRAY[i.incident_id] AS path
        FROM defender.incidents AS i
        WHERE i.redirect_incident_id IS NOT NULL
        UNION ALL
        SELECT c.tenant_id, c.incident_id, i.redirect_incident_id, c.path || i.incident_id
        FROM chain AS c
        JOIN defender.incidents AS i ON i.tenant_id = c.tenant_id AND i.incident_id = c.next_id
        WHERE c.next_id <> ALL (c.path)
    )
    SELECT DISTINCT ON (c.tenant_id, c.incident_id)
        c.tenant_id, c.incident_id,
        CASE
            -- A loop, from where it closes to its end: every member has the same root.
            WHEN c.next_id = ANY (c.path)
                THEN (SELECT min(p) FROM unnest(c.path[array_position(c.path, c.next_id):]) AS p)
            ELSE c.path[cardinality(c.path)]
        END AS root_incident_id
    FROM chain AS c
    ORDER BY c.tenant_id, c.incident_id, cardinality(c.path) DESC
) AS r;

DROP VIEW defender.incident_merges;
ALTER TABLE defender.entity_sightings ALTER COLUMN entity_key SET STATISTICS -1;
ALTER TABLE defender.entity_sightings ALTER COLUMN alert_id SET STATISTICS -1;
ALTER TABLE defender.alerts ALTER COLUMN incident_id SET STATISTICS -1;
DROP INDEX defender.incidents_merged_idx;
DROP INDEX defender.alerts_unresolved_idx;
DROP INDEX defender.incidents_unresolved_idx;
