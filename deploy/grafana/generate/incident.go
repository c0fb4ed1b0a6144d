package main

import "github.com/grafana/grafana-foundation-sdk/go/dashboard"

const incidentUID = "defendersync-incident"

// incident is where every incident's number leads, and what is overdue.
func incident() board {
	return page{
		uid: incidentUID, title: "Defender: incident detail and ageing",
		about:     "One incident with its alerts, entities and history; above it, how old what is open is.",
		variables: []dashboard.VariableModel{tenants(), severities(), incidents()},
		sections: []section{
			{"Ageing", []dashboard.Panel{ageNumbers(), ageBands(), speedByWeek(), onTime(), overdue()}},
			{"Incident ${incident:text}", []dashboard.Panel{facts(), course(), alertsOf(), entitiesOf(), changesOf(), commentsOf(), techniquesOf(), related()}},
		},
	}.build()
}

// incidents are the open ones, worst and oldest first, and those that were
// created or resolved in the time range: all that the tables lead to.
func incidents() dashboard.VariableModel {
	return pick("incident", "Incident", "Open ones, worst and oldest first, then those created or changed in the time range. To type one: TENANT/NUMBER.", `
SELECT tenant_id || '/' || incident_id AS __value,
  concat_ws(' ', '#' || incident_id, display_name, CASE WHEN cardinality(ARRAY[${tenant:sqlstring}]::text[]) > 1 THEN 'of ' || tenant_id END) AS __text
FROM defender.incidents
WHERE {tenant}
  AND redirect_incident_id IS NULL
  AND (status IS DISTINCT FROM 'resolved' OR $__timeFilter(created_date_time) OR $__timeFilter(last_update_date_time))
ORDER BY (status = 'resolved') IS TRUE,
  array_position('{informational,low,medium,high}', severity) DESC NULLS LAST, created_date_time
LIMIT 2000`)
}

func ageNumbers() dashboard.Panel {
	return numbers(size{8, 8}, text{"Open incidents", "How many, and how long the oldest and the middle one have been waiting; past their target, and within a day of it."}, `
SELECT
  count(*) AS open,
  extract(epoch FROM max(age)) AS "oldest",
  extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY age)) AS "median age",
  count(*) FILTER (WHERE sla_breached) AS "past target",
  count(*) FILTER (WHERE sla_due_at BETWEEN now() AND now() + interval '1 day') AS "due within a day"
FROM bi.incidents
WHERE is_open
  AND {tenant}
  AND {severity}`,
		durations("oldest", "median age"),
		column("past target", ofSteps(good, step{1, bad})),
		column("due within a day", ofSteps(good, step{1, poor})))
}

func ageBands() dashboard.Panel {
	return columns(size{8, 8}, text{"How old what is open is", "Open incidents by time since they were created."}, `
SELECT band AS age,
  count(*) FILTER (WHERE severity = 'high') AS high,
  count(*) FILTER (WHERE severity = 'medium') AS medium,
  count(*) FILTER (WHERE severity = 'low') AS low,
  count(*) FILTER (WHERE severity = 'informational') AS informational,
  count(*) FILTER (WHERE severity_rank = 0) AS unknown
FROM (VALUES
  (1, 'under 1 day', interval '0', interval '1 day'), (2, '1 to 3 days', '1 day', '3 days'), (3, '3 to 7 days', '3 days', '7 days'),
  (4, '7 to 30 days', '7 days', '30 days'), (5, 'over 30 days', '30 days', '1000 years')
) AS b (place, band, since, until)
LEFT JOIN bi.incidents AS i ON i.is_open AND i.age >= b.since AND i.age < b.until
  AND {i.tenant}
  AND {i.severity}
GROUP BY place, band
ORDER BY place`,
		bySeverity())
}

func speedByWeek() dashboard.Panel {
	return lines(size{8, 8}, text{"Times to acknowledge and resolve", "Medians by the week in which incidents were created. The last weeks look faster than they are: what is still open is not in them, nor, of those to acknowledge, what had been taken before it was first seen."}, `
SELECT date_trunc('week', created_date_time AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS time,
  extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY time_to_acknowledge) FILTER (WHERE acknowledged_from = 'history')) AS "to acknowledge",
  extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY time_to_resolve)) AS "to resolve"
FROM bi.incidents
WHERE $__timeFilter(created_date_time)
  AND {tenant}
  AND {severity}
GROUP BY 1
ORDER BY 1`,
		unit("s"))
}

func onTime() dashboard.Panel {
	return gauges(size{6, 11}, text{"Resolved in time", "Of the incidents resolved in the time range, the share within its target in bi.sla_targets."}, `
SELECT severity, 100.0 * count(*) FILTER (WHERE NOT sla_breached) / count(*) AS "in time"
FROM bi.incidents
WHERE $__timeFilter(resolved_at) AND last_update_date_time >= $__timeFrom()::timestamptz - interval '1 day' AND sla_target IS NOT NULL
  AND {tenant}
  AND {severity}
GROUP BY severity, severity_rank
ORDER BY severity_rank DESC`,
		unit("percent"), upTo(100), thresholds(bad, step{50, poor}, step{80, fair}, step{95, good}))
}

func overdue() dashboard.Panel {
	return list(size{18, 11}, text{"Past their target, or due within a day", "Open incidents by when they should be resolved, the latest first. Targets are rows of bi.sla_targets."}, `
SELECT tenant_id::text AS tenant, incident_id::text AS incident, severity, display_name AS name, status, coalesce(nullif(assigned_to, ''), 'nobody') AS owner,
  extract(epoch FROM age) AS age, extract(epoch FROM sla_due_at - now()) AS "time left", reopen_count AS reopened, incident_web_url AS portal
FROM bi.incidents
WHERE is_open AND sla_due_at < now() + interval '1 day'
  AND {tenant}
  AND {severity}
ORDER BY sla_due_at
LIMIT 100`,
		incidentColumn(), severityColumn(), portalColumn(), durations("age"), timeLeft())
}

func facts() dashboard.Panel {
	return list(size{24, 4}, text{"What it is", "With what was merged into it."}, `
SELECT incident_id::text AS number, severity, display_name AS name, status, classification, determination,
  coalesce(nullif(assigned_to, ''), 'nobody') AS owner, created_date_time AS created, acknowledged_at AS acknowledged, resolved_at AS resolved, sla_due_at AS due,
  alert_count AS alerts, entity_count AS entities, nullif(array_to_string(merged_incident_ids, ', '), '') AS "merged into it",
  nullif(array_to_string(custom_tags, ', '), '') AS tags, tenant_id::text AS tenant,
  incident_web_url AS portal
FROM bi.incidents
WHERE {tenant}
  AND {incident}`,
		severityColumn(), portalColumn())
}

// course begins with the values before the first change, or with what is the case.
func course() dashboard.Panel {
	return states(size{24, 6}, text{"Status, severity and owner", "From the recorded changes. What was before the first synchronisation is shown as it was then."}, newQuery(rows, `
WITH i AS (
  SELECT * FROM defender.incidents
  WHERE {tenant} AND {incident}
), h AS (
  SELECT h.field, h.changed_at, h.old_value, h.new_value
  FROM defender.incident_history AS h
  JOIN i USING (tenant_id, incident_id)
  WHERE h.field IN ('status', 'severity', 'assigned_to')
), first AS (
  SELECT DISTINCT ON (field) field, old_value FROM h ORDER BY field, changed_at
), at AS (
  SELECT created_date_time AS time FROM i
  UNION SELECT changed_at FROM h
  UNION SELECT now() FROM i
)
SELECT at.time,
  coalesce((SELECT new_value FROM h WHERE field = 'status' AND changed_at <= at.time ORDER BY changed_at DESC LIMIT 1),
    (SELECT old_value FROM first WHERE field = 'status'), (SELECT status FROM i LIMIT 1)) AS status,
  coalesce((SELECT new_value FROM h WHERE field = 'severity' AND changed_at <= at.time ORDER BY changed_at DESC LIMIT 1),
    (SELECT old_value FROM first WHERE field = 'severity'), (SELECT severity FROM i LIMIT 1)) AS severity,
  coalesce(nullif(CASE
    WHEN EXISTS (SELECT FROM h WHERE field = 'assigned_to' AND changed_at <= at.time)
      THEN (SELECT new_value FROM h WHERE field = 'assigned_to' AND changed_at <= at.time ORDER BY changed_at DESC LIMIT 1)
    WHEN EXISTS (SELECT FROM first WHERE field = 'assigned_to') THEN (SELECT old_value FROM first WHERE field = 'assigned_to')
    ELSE (SELECT assigned_to FROM i LIMIT 1) END, ''), 'nobody') AS owner
FROM at
ORDER BY at.time`))
}

func alertsOf() dashboard.Panel {
	return list(size{24, 9}, text{"Its alerts", "In the order in which they were raised."}, `
SELECT created_date_time AS created, severity, title, status, service_source AS product, extract(epoch FROM time_to_detect) AS "time to detect",
  evidence_count AS evidence, nullif(array_to_string(mitre_techniques, ', '), '') AS techniques, alert_web_url AS portal
FROM bi.alerts
WHERE {tenant}
  AND {incident}
ORDER BY created_date_time
LIMIT 500`,
		severityColumn(), portalColumn(), durations("time to detect"))
}

func entitiesOf() dashboard.Panel {
	return list(size{12, 10}, text{"Who and what it touches", "What the evidence of its alerts names. A name leads to everything else that is known of it."}, `
SELECT entity_type AS type, name, tenant_id::text AS tenant, entity_key AS key, alert_count AS alerts, first_seen_at AS first, last_seen_at AS last, is_malicious AS malicious
FROM bi.incident_entities
WHERE {tenant}
  AND {incident}
ORDER BY is_malicious DESC, alert_count DESC, entity_type, name
LIMIT 500`,
		entityColumn("name"))
}

func changesOf() dashboard.Panel {
	return list(size{12, 10}, text{"What changed", "Recorded changes since the first synchronisation, the latest first."}, `
SELECT h.changed_at AS at, h.field, h.old_value AS "from", h.new_value AS "to"
FROM defender.incident_history AS h
WHERE {h.tenant}
  AND {h.incident}
ORDER BY h.changed_at DESC, h.field
LIMIT 200`)
}

func commentsOf() dashboard.Panel {
	return list(size{12, 8}, text{"What people wrote", "Comments on the incident."}, `
SELECT created_date_time AS at, created_by_display_name AS "by", comment
FROM defender.incident_comments
WHERE {tenant}
  AND {incident}
ORDER BY comment_no`)
}

func techniquesOf() dashboard.Panel {
	return list(size{12, 8}, text{"Techniques", "MITRE ATT&CK techniques of its alerts, in the order of the matrix."}, `
SELECT t.tactic_name AS tactic, t.technique_id AS technique, t.technique_name AS name, count(*) AS alerts,
  'https://attack.mitre.org/techniques/' || replace(t.technique_id, '.', '/') || '/' AS page
FROM bi.alerts AS a
JOIN bi.alert_techniques AS t USING (tenant_id, alert_id)
WHERE {a.tenant}
  AND {a.incident}
GROUP BY t.tactic_position, t.tactic_name, t.technique_id, t.technique_name
ORDER BY t.tactic_position, alerts DESC`,
		techniqueColumn())
}

func related() dashboard.Panel {
	return list(size{24, 8}, text{"Other incidents that share something rare with it", "By entities that fewer than ten alerts name: more likely the same attacker than the same mail server."}, `
WITH here AS (
  SELECT e.tenant_id, e.entity_type, e.entity_key
  FROM bi.incident_entities AS e
  JOIN defender.entities AS x USING (tenant_id, entity_type, entity_key)
  WHERE {e.tenant}
    AND {e.incident} AND x.alert_count < 10
), shared AS (
  SELECT s.tenant_id, s.incident_id, count(DISTINCT (s.entity_type, s.entity_key)) AS shared,
    string_agg(DISTINCT s.entity_type || ' ' || s.name, ', ') AS what
  FROM here AS h
  JOIN bi.entity_sightings AS s USING (tenant_id, entity_type, entity_key)
  WHERE s.source = 'alert' AND NOT ({s.incident})
  GROUP BY s.tenant_id, s.incident_id
)
SELECT s.tenant_id::text AS tenant, s.incident_id::text AS incident, i.severity, i.display_name AS name, i.status, s.shared, s.what
FROM shared AS s
JOIN defender.incidents AS i USING (tenant_id, incident_id)
ORDER BY s.shared DESC, s.incident_id DESC
LIMIT 30`,
		incidentColumn(), severityColumn())
}
