package main

import "github.com/grafana/grafana-foundation-sdk/go/dashboard"

// hunting is how much advanced hunting brings and costs. Nothing here counts the
// rows of a hunting table: there are too many, and SQL can't name the tables that
// a configuration makes. What there is of events by day is PostgreSQL's estimate.
func hunting() board {
	return page{
		uid: "defendersync-hunting", title: "Defender: hunting volumes",
		about: "How much advanced hunting brings, what it costs, and how far each table is.",
		variables: []dashboard.VariableModel{tenants(), choice("stream", "Stream", "Hunting tables and queries.", `
SELECT DISTINCT stream
FROM sync.checkpoints
WHERE stream LIKE 'hunting/%'
  AND {tenant}
ORDER BY 1`)},
		sections: []section{
			{"In the time range, at most the last 90 days", []dashboard.Panel{huntNumbers(), huntRows(), huntRead(), huntCalls(), huntWaits()}},
			{"Now", []dashboard.Panel{huntEvents(), huntStreams(), huntSizes(), huntTables()}},
			{"What is odd", []dashboard.Panel{huntDiffers(), huntSurprises()}},
		},
	}.build()
}

func huntNumbers() dashboard.Panel {
	return numbers(size{24, 4}, text{"Altogether", "Rows that passes stored new in the time range and rows that they read, of which some had been stored before; requests, and time spent waiting because the service said so."}, `
SELECT sum(rows_inserted) AS "rows stored", sum(rows_read) AS "rows read", sum(calls) AS requests, sum(throttled_seconds) AS "waited", count(*) AS passes
FROM bi.sync_runs
WHERE $__timeFilter(started_at)
  AND {tenant}
  AND stream = ANY (ARRAY[${stream:sqlstring}]::text[])`,
		unit("short"), durations("waited"))
}

func huntRows() dashboard.Panel {
	return bars(size{12, 9}, text{"Rows stored", "New rows by the day of UTC on which they were read, whatever the time of the events: a first pass, a backfill or a device that had been off is a peak."}, `
SELECT day::timestamp AT TIME ZONE 'UTC' AS time, stream AS metric, sum(rows_inserted) AS rows
FROM bi.stream_daily
WHERE day BETWEEN ($__timeFrom()::timestamptz AT TIME ZONE 'UTC')::date AND ($__timeTo()::timestamptz AT TIME ZONE 'UTC')::date
  AND {tenant}
  AND stream = ANY (ARRAY[${stream:sqlstring}]::text[])
GROUP BY day, stream
ORDER BY day, stream`)
}

func huntRead() dashboard.Panel {
	return bars(size{12, 9}, text{"Rows read", "All rows that the service sent on each day of UTC, those included that were here already: what is read again for late arrivals."}, `
SELECT day::timestamp AT TIME ZONE 'UTC' AS time, stream AS metric, sum(rows_read) AS rows
FROM bi.stream_daily
WHERE day BETWEEN ($__timeFrom()::timestamptz AT TIME ZONE 'UTC')::date AND ($__timeTo()::timestamptz AT TIME ZONE 'UTC')::date
  AND {tenant}
  AND stream = ANY (ARRAY[${stream:sqlstring}]::text[])
GROUP BY day, stream
ORDER BY day, stream`)
}

func huntCalls() dashboard.Panel {
	return bars(size{12, 8}, text{"Requests", "What the streams took of the tenant's quota on each day of UTC, which is at least 45 requests a minute for everybody together."}, `
SELECT day::timestamp AT TIME ZONE 'UTC' AS time, stream AS metric, sum(calls) AS requests
FROM bi.stream_daily
WHERE day BETWEEN ($__timeFrom()::timestamptz AT TIME ZONE 'UTC')::date AND ($__timeTo()::timestamptz AT TIME ZONE 'UTC')::date
  AND {tenant}
  AND stream = ANY (ARRAY[${stream:sqlstring}]::text[])
GROUP BY day, stream
ORDER BY day, stream`)
}

func huntWaits() dashboard.Panel {
	return bars(size{12, 8}, text{"Time spent waiting", "Because the service said that the tenant's share was used up, on each day of UTC."}, `
SELECT day::timestamp AT TIME ZONE 'UTC' AS time, stream AS metric, sum(throttled_seconds) AS waited
FROM bi.stream_daily
WHERE day BETWEEN ($__timeFrom()::timestamptz AT TIME ZONE 'UTC')::date AND ($__timeTo()::timestamptz AT TIME ZONE 'UTC')::date
  AND {tenant}
  AND stream = ANY (ARRAY[${stream:sqlstring}]::text[])
GROUP BY day, stream
ORDER BY day, stream`,
		unit("s"))
}

// huntEvents reads the statistics on a table's time: each piece between two
// bounds holds as many rows, which are spread evenly over the days it covers.
func huntEvents() dashboard.Panel {
	return bars(size{24, 9}, text{"Events by day, about", "When the rows that are stored happened, by day of UTC, of all tenants together: an estimate from PostgreSQL's sample of each table, as of its last ANALYZE, which costs nothing however many rows there are. Nothing is shown to roles that row-level security keeps to a tenant, nor of queries without a column Timestamp."}, `
WITH times AS MATERIALIZED (
  SELECT c.relname::text AS name, c.reltuples * (1 - s.null_frac) AS rows, s.histogram_bounds::text AS bounds
  FROM pg_catalog.pg_class AS c
  JOIN sync.hunting_columns AS h ON h.table_name = c.relname AND h.served_name IN ('Timestamp', 'TimeGenerated') AND h.type = 'timestamp with time zone'
  JOIN pg_catalog.pg_stats AS s ON s.schemaname = 'hunting' AND s.tablename = c.relname AND s.attname = h.column_name
  WHERE c.relnamespace = 'hunting'::regnamespace AND c.reltuples > 0 AND s.histogram_bounds IS NOT NULL
), stats AS (
  SELECT t.name, t.rows, t.bounds::timestamptz[] AS bounds FROM times AS t
), pieces AS (
  SELECT s.name, s.rows / (cardinality(s.bounds) - 1) AS rows, s.bounds[n] AS since, s.bounds[n + 1] AS until
  FROM stats AS s, generate_series(1, cardinality(s.bounds) - 1) AS n
)
SELECT d.day AS time, p.name AS metric,
  sum(p.rows * CASE WHEN p.until = p.since THEN 1
    ELSE extract(epoch FROM least(p.until, d.day + interval '24 hours') - greatest(p.since, d.day)) / extract(epoch FROM p.until - p.since) END) AS rows
FROM generate_series(date_trunc('day', $__timeFrom()::timestamptz, 'UTC'), $__timeTo()::timestamptz, interval '24 hours') AS d (day)
JOIN pieces AS p ON p.since < d.day + interval '24 hours' AND p.until >= d.day
GROUP BY d.day, p.name
ORDER BY d.day, p.name`,
		unit("short"))
}

func huntStreams() dashboard.Panel {
	return list(size{24, 8}, text{"How far each is", "Rows are those that the stream ever stored; what its retention has dropped since is counted, too."}, `
SELECT tenant_id::text AS tenant, stream, rows AS "rows stored ever", start_time AS "since", watermark AS "read until", settled_until AS "settled until", extract(epoch FROM lag) AS lag,
  gap_count AS gaps, extract(epoch FROM gap_time) AS "gaps together", quarantine_count AS quarantine, last_outcome AS "last run"
FROM bi.freshness
WHERE {tenant}
  AND stream = ANY (ARRAY[${stream:sqlstring}]::text[])
ORDER BY rows DESC`,
		column("rows stored ever", ofUnit("short")), durations("lag", "gaps together"), freshnessColumns())
}

func huntSizes() dashboard.Panel {
	return gauges(size{8, 10}, text{"Size on disk", "Hunting tables with their indexes, of all tenants together."}, `
SELECT c.relname::text AS "table", pg_total_relation_size(c.oid) AS bytes
FROM pg_catalog.pg_class AS c
WHERE c.relnamespace = 'hunting'::regnamespace AND c.relkind IN ('r', 'p')
ORDER BY bytes DESC
LIMIT 20`,
		unit("bytes"))
}

func huntTables() dashboard.Panel {
	return list(size{16, 10}, text{"Tables", "Of all tenants together. Rows are what PostgreSQL estimated when it last analysed the table."}, `
SELECT c.relname::text AS "table", nullif(c.reltuples, -1) AS "rows, about", pg_total_relation_size(c.oid) AS size,
  pg_total_relation_size(c.oid) / nullif(greatest(c.reltuples, 0), 0) AS "per row",
  (SELECT count(*) FROM sync.hunting_columns AS h WHERE h.table_name = c.relname) AS columns,
  (SELECT max(m.created_at) FROM sync.hunting_migrations AS m WHERE m.table_name = c.relname) AS "last widened"
FROM pg_catalog.pg_class AS c
WHERE c.relnamespace = 'hunting'::regnamespace AND c.relkind IN ('r', 'p')
ORDER BY size DESC`,
		column("rows, about", ofUnit("short")), column("size", ofUnit("bytes")), column("per row", ofUnit("bytes")))
}

func huntDiffers() dashboard.Panel {
	return list(size{12, 9}, text{"Hours that differ from the source", "Counts that were not equal even after the hour had been read again: exact duplicates of a table with a key do that. Empty is right."}, `
SELECT tenant_id::text AS tenant, stream, hour, source_rows AS "at the source", stored_rows AS "stored", checked_at AS checked
FROM sync.reconciliations
WHERE $__timeFilter(hour)
  AND {tenant}
  AND stream = ANY (ARRAY[${stream:sqlstring}]::text[])
ORDER BY hour DESC
LIMIT 200`)
}

func huntSurprises() dashboard.Panel {
	return list(size{12, 9}, text{"What was not expected", "Properties and types that the service served and the schema did not know, each once. Nothing is lost: it is in raw or extra. Empty is right."}, `
SELECT first_seen_at AS first, tenant_id::text AS tenant, object, property, change, detail
FROM sync.schema_changes
WHERE $__timeFilter(first_seen_at)
  AND object NOT IN ('incident', 'alert', 'evidence')
  AND {tenant}
ORDER BY first_seen_at DESC
LIMIT 200`)
}
