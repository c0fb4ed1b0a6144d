-- The queue: what is open, worst and oldest first.
SELECT i.incident_id, i.severity, left(i.display_name, 52) AS incident, coalesce(i.assigned_to, '-') AS assigned_to,
       date_trunc('hour', now() - i.created_date_time) AS age, count(a.alert_id) AS alerts
FROM defender.incidents AS i
LEFT JOIN defender.alerts AS a USING (tenant_id, incident_id)
WHERE i.status IN ('active', 'inProgress') AND i.redirect_incident_id IS NULL
GROUP BY i.tenant_id, i.incident_id
ORDER BY array_position(ARRAY['high', 'medium', 'low', 'informational'], i.severity), i.created_date_time
LIMIT 8;

-- The hosts with the most unresolved alerts.
SELECT e.host_name, count(DISTINCT a.alert_id) AS alerts, count(DISTINCT a.incident_id) AS incidents,
       max(e.risk_score) AS risk, date_trunc('minute', max(a.last_activity_date_time)) AS last_activity
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
