package main

import "github.com/grafana/grafana-foundation-sdk/go/dashboard"

const mitreUID = "defendersync-mitre"

// mitre is where in ATT&CK alerts are.
func mitre() board {
	return page{
		uid: mitreUID, title: "Defender: MITRE ATT&CK",
		about: "Where in the matrix alerts are, what is common, and what is new. A technique counts under each of its tactics.",
		variables: []dashboard.VariableModel{tenants(), severities(),
			choice("technique", "Technique", "For the last panel.", `
SELECT DISTINCT technique_id AS __value, concat_ws(' ', technique_id, technique_name) AS __text
FROM bi.techniques
WHERE {tenant}
ORDER BY 1`)},
		sections: []section{
			{"In the time range", []dashboard.Panel{matrixNumbers(), byTactic(), tacticHeat(), techniqueTable(), newTechniques()}},
			{"The techniques chosen above", []dashboard.Panel{techniqueSeries(), techniqueAlerts()}},
		},
	}.build()
}

func matrixNumbers() dashboard.Panel {
	return numbers(size{24, 4}, text{"Seen", "Distinct alerts with a technique, their techniques and tactics, and techniques that are not in the table bi.attack_techniques, which has those of one version of ATT&CK."}, `
SELECT count(DISTINCT (tenant_id, alert_id)) AS alerts, count(DISTINCT (tenant_id, incident_id)) AS incidents, count(DISTINCT technique_id) AS techniques, count(DISTINCT tactic_id) AS tactics,
  count(DISTINCT technique_id) FILTER (WHERE tactic_id IS NULL) AS "not in the table"
FROM bi.alert_techniques
WHERE $__timeFilter(created_date_time)
  AND {tenant}
  AND {severity}`)
}

func byTactic() dashboard.Panel {
	return columns(size{12, 11}, text{"Alerts by tactic", "In the order of the matrix, from first access to impact; by severity. Alerts of techniques that bi.attack_techniques does not have come last."}, `
SELECT coalesce(tactic_name, 'not in the table') AS tactic,
  count(DISTINCT (tenant_id, alert_id)) FILTER (WHERE severity = 'high') AS high,
  count(DISTINCT (tenant_id, alert_id)) FILTER (WHERE severity = 'medium') AS medium,
  count(DISTINCT (tenant_id, alert_id)) FILTER (WHERE severity = 'low') AS low,
  count(DISTINCT (tenant_id, alert_id)) FILTER (WHERE severity = 'informational') AS informational,
  count(DISTINCT (tenant_id, alert_id)) FILTER (WHERE severity IS NULL OR severity NOT IN ('high', 'medium', 'low', 'informational')) AS unknown
FROM bi.alert_techniques
WHERE $__timeFilter(created_date_time)
  AND {tenant}
  AND {severity}
GROUP BY tactic_position, tactic_name
ORDER BY tactic_position`,
		bySeverity())
}

func tacticHeat() dashboard.Panel {
	return heat(size{12, 11}, text{"When which tactic", "Alerts of each tactic on each day of UTC; the number is the tactic's place in the matrix."}, `
SELECT $__timeGroupAlias(created_date_time, '1d'), coalesce(to_char(tactic_position, 'FM00') || ' ' || tactic_name, 'not in the table') AS metric, count(DISTINCT (tenant_id, alert_id)) AS alerts
FROM bi.alert_techniques
WHERE $__timeFilter(created_date_time)
  AND {tenant}
  AND {severity}
GROUP BY 1, 2
ORDER BY 1, 2`)
}

func newTechniques() dashboard.Panel {
	return list(size{12, 10}, text{"Newest", "Techniques by when their first alert of all that are stored was created, whatever the time range: what has not been seen here before."}, `
WITH t AS (
  SELECT technique_id, technique_name, alert_count, first_seen_at, last_seen_at, string_agg(tactic_name, ', ' ORDER BY tactic_position) AS tactics
  FROM bi.techniques
  WHERE {tenant}
  GROUP BY tenant_id, technique_id, technique_name, alert_count, first_seen_at, last_seen_at
)
SELECT technique_id AS technique, coalesce(technique_name, 'not in the table') AS name, tactics,
  sum(alert_count) AS alerts, min(first_seen_at) AS first, max(last_seen_at) AS last,
  'https://attack.mitre.org/techniques/' || replace(technique_id, '.', '/') || '/' AS page
FROM t
GROUP BY technique_id, technique_name, tactics
ORDER BY first DESC
LIMIT 50`,
		techniqueColumn())
}

func techniqueTable() dashboard.Panel {
	return list(size{12, 10}, text{"Commonest techniques", "Alerts that show each technique, created in the time range. A name leads to them below, a number to attack.mitre.org."}, `
SELECT technique_id AS technique, coalesce(technique_name, 'not in the table') AS name, count(DISTINCT (tenant_id, alert_id)) AS alerts, count(DISTINCT (tenant_id, alert_id)) FILTER (WHERE is_open) AS unresolved,
  count(DISTINCT (tenant_id, incident_id)) AS incidents, max(created_date_time) AS last,
  'https://attack.mitre.org/techniques/' || replace(technique_id, '.', '/') || '/' AS page
FROM bi.alert_techniques
WHERE $__timeFilter(created_date_time)
  AND {tenant}
  AND {severity}
GROUP BY technique_id, technique_name
ORDER BY alerts DESC, technique_id
LIMIT 50`,
		techniqueColumn(),
		column("name", link("Alerts that show it", "/d/"+mitreUID+"?${tenant:queryparam}&${severity:queryparam}&var-technique=${__data.fields.technique}&${__url_time_range}", false)))
}

func techniqueSeries() dashboard.Panel {
	return bars(size{24, 7}, text{"Their alerts", "By severity; an alert that shows several of them counts once."}, `
SELECT $__timeGroupAlias(created_date_time, '1d'), coalesce(severity, 'unknown') AS metric, count(DISTINCT (tenant_id, alert_id)) AS alerts
FROM bi.alert_techniques
WHERE $__timeFilter(created_date_time)
  AND {tenant}
  AND {severity}
  AND technique_id = ANY (ARRAY[${technique:sqlstring}]::text[])
GROUP BY 1, 2
ORDER BY 1, 2`,
		bySeverity())
}

func techniqueAlerts() dashboard.Panel {
	return list(size{24, 10}, text{"Which they are", "Alerts that show them, the latest first."}, `
SELECT t.created_date_time AS created, t.severity, a.title, t.status, t.tenant_id::text AS tenant, t.incident_id::text AS incident, t.service_source AS product,
  string_agg(DISTINCT t.technique_id, ', ') AS techniques, a.alert_web_url AS portal
FROM bi.alert_techniques AS t
JOIN defender.alerts AS a USING (tenant_id, alert_id)
WHERE $__timeFilter(t.created_date_time)
  AND {t.tenant}
  AND {t.severity}
  AND t.technique_id = ANY (ARRAY[${technique:sqlstring}]::text[])
GROUP BY t.tenant_id, t.alert_id, t.created_date_time, t.severity, a.title, t.status, t.incident_id, t.service_source, a.alert_web_url
ORDER BY t.created_date_time DESC
LIMIT 200`,
		incidentColumn(), severityColumn(), portalColumn())
}

// techniqueColumn leads to what MITRE says of it: the address is in the column page.
func techniqueColumn() look {
	return func(p *dashboard.Panel) {
		column("technique", ofWidth(110), link("${__value.raw} at attack.mitre.org", "${__data.fields.page}", true))(p)
		hide("page")(p)
	}
}
