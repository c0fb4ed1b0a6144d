package main

import "github.com/grafana/grafana-foundation-sdk/go/dashboard"

const entitiesUID = "defendersync-entities"

// entities is about devices, people, and whatever somebody asks for.
func entities() board {
	return page{
		uid: entitiesUID, title: "Defender: devices and users",
		about: "Who and what alerts are about, and everything that is known of one host, user, address, URL, hash or mailbox.",
		variables: []dashboard.VariableModel{tenants(), severities(),
			words("entity", "Look up", "A host name, user principal name, address, URL, hash or mailbox, whole; nothing is the entity that the most alerts name. A click on a name in a table sets it.")},
		sections: []section{
			{"Now, whatever the time range", []dashboard.Panel{entityNumbers(), risks(), platforms(), devices(), users()}},
			{"What is looked up, in the time range", []dashboard.Panel{entityFacts(), entitySeries(), sightings()}},
			{"What alerts of the time range name", []dashboard.Panel{kinds(), outside()}},
		},
	}.build()
}

func entityNumbers() dashboard.Panel {
	return numbers(size{8, 7}, text{"In open incidents", "Devices, people and others that alerts of open incidents name."}, `
SELECT count(*) FILTER (WHERE entity_type = 'host') AS devices, count(*) FILTER (WHERE entity_type = 'user') AS users,
  count(*) FILTER (WHERE entity_type = 'mailbox') AS mailboxes, count(*) FILTER (WHERE entity_type = 'ip') AS addresses,
  count(*) FILTER (WHERE entity_type = 'hash') AS hashes, count(*) FILTER (WHERE entity_type = 'url') AS urls
FROM bi.entities
WHERE open_incident_count > 0
  AND {tenant}`)
}

func risks() dashboard.Panel {
	return gauges(size{8, 7}, text{"Devices by risk", "Devices of open incidents, by the risk that Defender gave in the latest evidence about them."}, `
SELECT coalesce(risk_score, 'not said') AS risk, count(*) AS devices
FROM bi.devices
WHERE open_incident_count > 0
  AND {tenant}
GROUP BY 1
ORDER BY array_position('{none,informational,low,medium,high}', coalesce(risk_score, 'not said')) DESC NULLS LAST`)
}

func platforms() dashboard.Panel {
	return gauges(size{8, 7}, text{"Devices by operating system", "Devices of open incidents."}, `
SELECT coalesce(os_platform, 'not said') AS "operating system", count(*) AS devices
FROM bi.devices
WHERE open_incident_count > 0
  AND {tenant}
GROUP BY 1
ORDER BY devices DESC, 1
LIMIT 12`)
}

// devices finds the most wanted first, and then what is known of those alone: so
// it does, below, with people.
func devices() dashboard.Panel {
	return list(size{24, 10}, text{"Devices that need somebody", "Those in the most open incidents first. A name looks it up below."}, `
WITH most AS MATERIALIZED (
  SELECT tenant_id, entity_key, open_incident_count, open_alert_count
  FROM bi.entities
  WHERE entity_type = 'host'
    AND {tenant}
  ORDER BY open_incident_count DESC, open_alert_count DESC, alert_count DESC
  LIMIT 50
)
SELECT host_name AS device, m.tenant_id::text AS tenant, device AS key, m.open_incident_count AS "open incidents", m.open_alert_count AS "open alerts", d.alert_count AS alerts, risk_score AS risk,
  os_platform AS "operating system", rbac_group_name AS "group", health_status AS sensor, last_ip_address AS address, last_seen_at AS last
FROM most AS m
CROSS JOIN LATERAL (SELECT * FROM bi.devices AS d WHERE d.tenant_id = m.tenant_id AND d.device = m.entity_key) AS d
ORDER BY m.open_incident_count DESC, m.open_alert_count DESC, d.alert_count DESC`,
		entityColumn("device"))
}

func users() dashboard.Panel {
	return list(size{24, 10}, text{"People who are hit most", "Those in the most open incidents first. A name looks it up below."}, `
WITH most AS MATERIALIZED (
  SELECT tenant_id, entity_key, open_incident_count, open_alert_count
  FROM bi.entities
  WHERE entity_type = 'user'
    AND {tenant}
  ORDER BY open_incident_count DESC, open_alert_count DESC, alert_count DESC
  LIMIT 50
)
SELECT user_name AS "user", m.tenant_id::text AS tenant, user_key AS key, display_name AS name, m.open_incident_count AS "open incidents", m.open_alert_count AS "open alerts", d.alert_count AS alerts,
  first_seen_at AS first, last_seen_at AS last
FROM most AS m
CROSS JOIN LATERAL (SELECT * FROM bi.users AS d WHERE d.tenant_id = m.tenant_id AND d.user_key = m.entity_key) AS d
ORDER BY m.open_incident_count DESC, m.open_alert_count DESC, d.alert_count DESC`,
		entityColumn("user"))
}

// wanted is the entity that is looked up. Keys are in small letters, but for URLs.
const wanted = `
WITH wanted AS (
  SELECT ARRAY[${entity:sqlstring}, lower(${entity:sqlstring})] AS keys WHERE ${entity:sqlstring} <> ''
  UNION ALL
  (SELECT ARRAY[entity_key] FROM defender.entities
    WHERE ${entity:sqlstring} = '' AND {tenant}
    ORDER BY alert_count DESC, entity_key LIMIT 1)
)`

func entityFacts() dashboard.Panel {
	return list(size{24, 5}, text{"What it is", "One row for each tenant and kind of entity that has this key: an address of a person may be a user and a mailbox."}, wanted+`
SELECT tenant_id::text AS tenant, entity_type AS type, name, alert_count AS alerts, open_alert_count AS "open alerts", open_incident_count AS "open incidents", first_seen_at AS first, last_seen_at AS last,
  hunting_last_seen_at AS "last in hunting"
FROM bi.entities
WHERE entity_key = ANY ((SELECT keys FROM wanted)::text[])
  AND {tenant}
ORDER BY alert_count DESC`)
}

func entitySeries() dashboard.Panel {
	return bars(size{24, 7}, text{"Its alerts", "When the alerts that name it were created, by severity."}, wanted+`
SELECT $__timeGroupAlias(created_date_time, '1d'), coalesce(severity, 'unknown') AS metric, count(DISTINCT (tenant_id, alert_id)) AS alerts
FROM bi.entity_sightings
WHERE entity_key = ANY ((SELECT keys FROM wanted)::text[]) AND source = 'alert'
  AND $__timeFilter(created_date_time)
  AND {tenant}
  AND {severity}
GROUP BY 1, 2
ORDER BY 1, 2`,
		bySeverity())
}

func sightings() dashboard.Panel {
	return list(size{24, 10}, text{"Where it was seen", "Alerts whose evidence names it, and days on which a hunting table does, the latest first. Widen the time range to look further back: it is one indexed look-up, however much there is. The severity chosen is that of alerts."}, wanted+`
SELECT last_seen_at AS seen, severity, coalesce(title, table_name) AS "alert or table", status, tenant_id::text AS tenant, incident_id::text AS incident, service_source AS product, entity_type AS "named as",
  array_to_string(properties, ', ') AS "in", nullif(array_to_string(roles, ', '), '') AS roles, nullif(array_to_string(verdicts, ', '), '') AS verdicts
FROM bi.entity_sightings
WHERE entity_key = ANY ((SELECT keys FROM wanted)::text[])
  AND $__timeFilter(last_seen_at)
  AND {tenant}
  AND (source = 'hunting' OR {severity})
ORDER BY last_seen_at DESC
LIMIT 500`,
		incidentColumn(), severityColumn())
}

func kinds() dashboard.Panel {
	return bars(size{12, 10}, text{"Entities by kind", "Distinct entities that alerts of each day of UTC name."}, `
SELECT $__timeGroupAlias(created_date_time, '1d'), entity_type AS metric, count(DISTINCT (tenant_id, entity_key)) AS entities
FROM bi.entity_sightings
WHERE source = 'alert'
  AND $__timeFilter(created_date_time)
  AND {tenant}
  AND {severity}
GROUP BY 1, 2
ORDER BY 1, 2`)
}

func outside() dashboard.Panel {
	return list(size{12, 10}, text{"Addresses, senders and URLs that keep coming back", "Those that the most alerts of the time range name. Malicious is a verdict of Defender's in any of them."}, `
SELECT entity_type AS type, min(name) AS name, entity_key AS key, count(DISTINCT (tenant_id, alert_id)) AS alerts, count(DISTINCT (tenant_id, incident_id)) AS incidents,
  bool_or('malicious' = ANY (verdicts)) AS malicious, max(last_seen_at) AS last
FROM bi.entity_sightings
WHERE entity_type IN ('ip', 'url', 'mailbox')
  AND source = 'alert'
  AND $__timeFilter(created_date_time)
  AND {tenant}
  AND {severity}
GROUP BY entity_type, entity_key
ORDER BY alerts DESC, entity_key
LIMIT 50`,
		entityOfAny("name"))
}

// entityColumn leads to everything about what the column key names, in the tenant
// that the column tenant names: another's host of the same name is another host.
func entityColumn(name string) look {
	return func(p *dashboard.Panel) {
		entityOf("var-tenant=${__data.fields.tenant}", name)(p)
		hide("tenant")(p)
	}
}

// entityOfAny leads to it in all tenants that are chosen: addresses and URLs are
// the same for everybody.
func entityOfAny(name string) look { return entityOf("${tenant:queryparam}", name) }

func entityOf(tenant, name string) look {
	return func(p *dashboard.Panel) {
		column(name, link("All that names it", "/d/"+entitiesUID+"?"+tenant+"&var-entity=${__data.fields.key:percentencode}&${__url_time_range}", false))(p)
		hide("key")(p)
	}
}
