package main

import "github.com/grafana/grafana-foundation-sdk/go/dashboard"

// soc is the page for the beginning of a shift.
func soc() board {
	return page{
		uid: "defendersync-soc", title: "Defender: SOC overview",
		about:     "What is open, whether it grows, how fast it is dealt with, and what raises it.",
		variables: []dashboard.VariableModel{tenants(), severities()},
		sections: []section{
			{"Now, whatever the time range", []dashboard.Panel{queueNow(), queueByOwner(), queue()}},
			{"In the time range", []dashboard.Panel{flowNumbers(), speedNumbers(), flow(), backlog(), alertsByProduct(), verdicts(), noisyDetections()}},
			{"Is it all here?", []dashboard.Panel{settled()}},
		},
	}.build()
}

func queueNow() dashboard.Panel {
	return numbers(size{12, 7}, text{"The queue", "Open incidents: all, those of high severity, past the target to resolve them in bi.sla_targets, not acknowledged within theirs, and without an owner."}, `
SELECT
  count(*) AS "open",
  count(*) FILTER (WHERE severity = 'high') AS "of high severity",
  count(*) FILTER (WHERE sla_breached) AS "past target",
  count(*) FILTER (WHERE acknowledged_at IS NULL AND sla_acknowledge_breached) AS "waiting too long",
  count(*) FILTER (WHERE coalesce(assigned_to, '') = '') AS "nobody's"
FROM bi.incidents
WHERE is_open
  AND {tenant}
  AND {severity}`,
		column("of high severity", ofSteps(good, step{1, poor})),
		column("past target", ofSteps(good, step{1, bad})),
		column("waiting too long", ofSteps(good, step{1, bad})),
		column("nobody's", ofSteps(good, step{1, fair})))
}

func queueByOwner() dashboard.Panel {
	return gauges(size{12, 7}, text{"Who has how much", "Open incidents by owner, those with the most first."}, `
SELECT coalesce(nullif(assigned_to, ''), 'nobody') AS owner, count(*) AS incidents
FROM bi.incidents
WHERE is_open
  AND {tenant}
  AND {severity}
GROUP BY 1
ORDER BY incidents DESC, owner
LIMIT 12`)
}

func queue() dashboard.Panel {
	return list(size{24, 11}, text{"Next", "Open incidents, worst and oldest first. A number leads to the incident's page here, portal to Defender's."}, `
SELECT tenant_id::text AS tenant, incident_id::text AS incident, severity, display_name AS name, status, coalesce(nullif(assigned_to, ''), 'nobody') AS owner,
  extract(epoch FROM age) AS age, extract(epoch FROM sla_due_at - now()) AS "time left",
  alert_count AS alerts, entity_count AS entities, incident_web_url AS portal
FROM bi.incidents
WHERE is_open
  AND {tenant}
  AND {severity}
ORDER BY severity_rank DESC, created_date_time
LIMIT 50`,
		incidentColumn(), severityColumn(), portalColumn(), durations("age"), timeLeft())
}

// timeLeft is to the target: red once it has passed.
func timeLeft() look {
	return column("time left", ofUnit("s"), property{Id: "decimals", Value: 1}, colouredText(),
		ofSteps(bad, step{0, poor}, step{86400, faint}))
}

func flowNumbers() dashboard.Panel {
	return numbers(size{12, 4}, text{"Opened and resolved", "What happened to incidents in the time range; one that is resolved twice counts twice."}, `
SELECT
  count(*) FILTER (WHERE transition = 'opened') AS opened,
  count(*) FILTER (WHERE transition = 'reopened') AS reopened,
  count(*) FILTER (WHERE transition = 'resolved') AS resolved
FROM bi.incident_transitions
WHERE $__timeFilter(changed_at)
  AND {tenant}
  AND {severity}`)
}

func speedNumbers() dashboard.Panel {
	return numbers(size{12, 4}, text{"How fast", "Of incidents created in the time range: medians to acknowledge and to resolve, and the slowest tenth to resolve. Those not dealt with yet are not in it, nor, of those to acknowledge, what had been taken before it was first seen."}, `
SELECT
  extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY time_to_acknowledge) FILTER (WHERE acknowledged_from = 'history')) AS "median to acknowledge",
  extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY time_to_resolve)) AS "median to resolve",
  extract(epoch FROM percentile_cont(0.9) WITHIN GROUP (ORDER BY time_to_resolve)) AS "slowest tenth"
FROM bi.incidents
WHERE $__timeFilter(created_date_time)
  AND {tenant}
  AND {severity}`,
		unit("s"), decimals(1))
}

func flow() dashboard.Panel {
	return bars(size{12, 9}, text{"Opened, resolved and reopened", "Incidents on each day of UTC. Days that are not settled yet can still change: see the last panel."}, `
SELECT day::timestamp AT TIME ZONE 'UTC' AS time, sum(opened) AS opened, sum(resolved) AS resolved, sum(reopened) AS reopened
FROM bi.incident_daily
WHERE day BETWEEN ($__timeFrom()::timestamptz AT TIME ZONE 'UTC')::date AND ($__timeTo()::timestamptz AT TIME ZONE 'UTC')::date
  AND {tenant}
  AND {severity}
GROUP BY day
ORDER BY day`,
		apart(), column("opened", ofColour(poor)), column("resolved", ofColour(good)), column("reopened", ofColour(bad)))
}

func backlog() dashboard.Panel {
	return lines(size{12, 9}, text{"Backlog by severity", "Incidents that were open at the end of each day of UTC."}, `
SELECT day::timestamp AT TIME ZONE 'UTC' AS time, severity AS metric, sum(backlog) AS backlog
FROM bi.incident_daily
WHERE day BETWEEN ($__timeFrom()::timestamptz AT TIME ZONE 'UTC')::date AND ($__timeTo()::timestamptz AT TIME ZONE 'UTC')::date
  AND {tenant}
  AND {severity}
GROUP BY day, severity, severity_rank
ORDER BY day, severity_rank DESC`,
		bySeverity(), stacked())
}

func alertsByProduct() dashboard.Panel {
	return bars(size{12, 9}, text{"Alerts by product", "When alerts were created, by the product that raised them."}, `
SELECT $__timeGroupAlias(created_date_time, '1d'), coalesce(service_source, 'unknown') AS metric, count(*) AS alerts
FROM bi.alerts
WHERE $__timeFilter(created_date_time)
  AND {tenant}
  AND {severity}
GROUP BY 1, 2
ORDER BY 1, 2`)
}

func verdicts() dashboard.Panel {
	return columns(size{12, 9}, text{"What it turned out to be", "Classification of incidents that were resolved in the time range, by severity."}, `
SELECT coalesce(nullif(classification, 'unknown'), 'not classified') AS classification,
  count(*) FILTER (WHERE severity = 'high') AS high,
  count(*) FILTER (WHERE severity = 'medium') AS medium,
  count(*) FILTER (WHERE severity = 'low') AS low,
  count(*) FILTER (WHERE severity = 'informational') AS informational,
  count(*) FILTER (WHERE severity_rank = 0) AS unknown
FROM bi.incidents
WHERE $__timeFilter(resolved_at) AND last_update_date_time >= $__timeFrom()::timestamptz - interval '1 day'
  AND {tenant}
  AND {severity}
GROUP BY 1
ORDER BY count(*) DESC`,
		bySeverity())
}

func noisyDetections() dashboard.Panel {
	return list(size{24, 9}, text{"Busiest detections", "Alerts created in the time range by title. False is the share of false positives among those that were classified: high and many is a rule to tune."}, `
SELECT title, service_source AS product, count(*) AS alerts, count(DISTINCT (tenant_id, incident_id)) AS incidents, count(*) FILTER (WHERE is_open) AS unresolved,
  100.0 * count(*) FILTER (WHERE classification = 'falsePositive')
    / nullif(count(*) FILTER (WHERE classification <> 'unknown'), 0) AS "false",
  max(created_date_time) AS last
FROM bi.alerts
WHERE $__timeFilter(created_date_time)
  AND {tenant}
  AND {severity}
GROUP BY title, service_source
ORDER BY alerts DESC, title
LIMIT 30`,
		column("false", ofUnit("percent"), property{Id: "decimals", Value: 0}, colouredText(), ofSteps(faint, step{30, fair}, step{60, bad})))
}

func settled() dashboard.Panel {
	return list(size{24, 6}, text{"Up to when these numbers stay as they are", "A report that ends at settled until does not change under its reader, but for merges and changes of severity. More in Sync health."}, `
SELECT tenant_id::text AS tenant, stream, watermark AS "read until", settled_until AS "settled until", extract(epoch FROM lag) AS lag,
  gap_count AS gaps, quarantine_count AS quarantine, last_outcome AS "last run"
FROM bi.freshness
WHERE {tenant}
  AND stream IN ('incidents', 'alerts')
ORDER BY tenant_id, stream DESC`,
		durations("lag"), freshnessColumns())
}
