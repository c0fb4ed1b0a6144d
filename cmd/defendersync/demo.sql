-- What is stored now.
SELECT t.name AS "table", t.rows
FROM (
    SELECT 1, 'defender.incidents', count(*) FROM defender.incidents
    UNION ALL SELECT 2, 'defender.incident_comments', count(*) FROM defender.incident_comments
    UNION ALL SELECT 3, 'defender.alerts', count(*) FROM defender.alerts
    UNION ALL SELECT 4, 'defender.alert_evidence', count(*) FROM defender.alert_evidence
    UNION ALL SELECT 5, 'defender.alert_techniques', count(*) FROM defender.alert_techniques
    UNION ALL SELECT 6, 'hunting.device_process_events', count(*) FROM hunting.device_process_events
    UNION ALL SELECT 7, 'hunting.email_events', count(*) FROM hunting.email_events
    UNION ALL SELECT 8, 'hunting.alert_evidence', count(*) FROM hunting.alert_evidence
    UNION ALL SELECT 9, 'hunting.device_tvm_software_vulnerabilities', count(*) FROM hunting.device_tvm_software_vulnerabilities
    UNION ALL SELECT 10, 'hunting.encoded_powershell', count(*) FROM hunting.encoded_powershell
    UNION ALL SELECT 11, 'sync.coverage', count(*) FROM sync.coverage
    UNION ALL SELECT 12, 'sync.gaps', count(*) FROM sync.gaps
    UNION ALL SELECT 13, 'sync.quarantine', count(*) FROM sync.quarantine
) AS t (place, name, rows)
ORDER BY t.place;

-- The queue: what is open, worst and oldest first.
SELECT incident_id::text, severity, CASE WHEN length(display_name) > 44 THEN left(display_name, 43) || '…' ELSE display_name END AS incident,
       coalesce(split_part(assigned_to, '@', 1), '-') AS assigned_to, extract(day FROM age)::int AS days, alert_count AS alerts
FROM bi.incidents
WHERE is_open
ORDER BY severity_rank DESC, created_date_time
LIMIT 8;

-- The hosts with the most unresolved alerts.
SELECT e.host_name, count(DISTINCT a.alert_id) AS alerts, count(DISTINCT a.incident_id) AS incidents,
       (ARRAY['none', 'informational', 'low', 'medium', 'high'])[
           max(array_position(ARRAY['none', 'informational', 'low', 'medium', 'high'], e.risk_score))] AS risk,
       to_char(max(a.last_activity_date_time) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS last_activity
FROM defender.alert_evidence AS e
JOIN defender.alerts AS a USING (tenant_id, alert_id)
WHERE e.host_name IS NOT NULL AND a.status <> 'resolved'
GROUP BY e.host_name
ORDER BY alerts DESC, e.host_name
LIMIT 8;

-- The ATT&CK techniques of true positives, and whom they hit.
SELECT t.technique, count(DISTINCT a.alert_id) AS alerts, count(DISTINCT a.incident_id) AS incidents,
       count(DISTINCT e.user_principal_name) AS users, count(DISTINCT e.host_name) AS hosts
FROM defender.alert_techniques AS t
JOIN defender.alerts AS a USING (tenant_id, alert_id)
JOIN defender.incidents AS i USING (tenant_id, incident_id)
LEFT JOIN defender.alert_evidence AS e USING (tenant_id, alert_id)
WHERE i.classification = 'truePositive'
GROUP BY t.technique
ORDER BY incidents DESC, alerts DESC, t.technique
LIMIT 8;

-- Files that alerts call bad, and the hosts where they ran without an alert.
WITH named AS (
    SELECT e.tenant_id, e.sha256, count(DISTINCT e.alert_id) AS alerts, array_agg(DISTINCT e.mde_device_id) AS hosts
    FROM defender.alert_evidence AS e
    WHERE e.verdict IN ('malicious', 'suspicious') AND e.sha256 IS NOT NULL
    GROUP BY e.tenant_id, e.sha256
)
SELECT p.file_name, left(p.sha256, 12) || '…' AS sha256, n.alerts, count(*) AS runs, count(DISTINCT p.device_id) AS hosts,
       count(DISTINCT p.device_id) FILTER (WHERE p.device_id <> ALL (n.hosts)) AS without_alert,
       to_char(max(p.timestamp) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS last_run
FROM named AS n
JOIN hunting.device_process_events AS p USING (tenant_id, sha256)
WHERE p.process_version_info_company_name = ''
GROUP BY p.file_name, p.sha256, n.alerts
ORDER BY without_alert DESC, runs DESC, p.file_name
LIMIT 8;
