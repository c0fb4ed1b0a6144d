package main

import "github.com/grafana/grafana-foundation-sdk/go/dashboard"

// health is whether the copy can be trusted.
func health() board {
	return page{
		uid: "defendersync-sync", title: "Defender: sync health",
		about: "Whether the copy is whole and current: per stream how far it is, what each pass did, what is missing.",
		variables: []dashboard.VariableModel{tenants(), choice("stream", "Stream", "incidents, alerts or hunting/NAME.", `
SELECT DISTINCT stream
FROM sync.checkpoints
WHERE {tenant}
ORDER BY 1`)},
		sections: []section{
			{"Now", []dashboard.Panel{healthNumbers(), streams()}},
			{"Passes in the time range, at most the last 90 days", []dashboard.Panel{outcomes(), written(), requests(), durationsOfPasses(), waits()}},
			{"What is wrong: empty is right", []dashboard.Panel{gaps(), quarantine(), troubles(), surprises()}},
		},
	}.build()
}

func healthNumbers() dashboard.Panel {
	return numbers(size{24, 4}, text{"Whole and current", "Streams; the longest that one of them lags behind; ranges that are missing; records that PostgreSQL refused; passes of the last day that failed."}, `
SELECT count(*) AS streams, extract(epoch FROM max(lag)) AS "longest lag", sum(gap_count) AS gaps, sum(quarantine_count) AS quarantine,
  (SELECT count(*) FROM bi.sync_runs AS r WHERE r.outcome = 'failed' AND r.started_at > now() - interval '1 day'
    AND {r.tenant} AND r.stream = ANY (ARRAY[${stream:sqlstring}]::text[])) AS "failed since yesterday"
FROM bi.freshness
WHERE {tenant}
  AND stream = ANY (ARRAY[${stream:sqlstring}]::text[])`,
		durations("longest lag"),
		column("gaps", ofSteps(good, step{1, poor})),
		column("quarantine", ofSteps(good, step{1, poor})),
		column("failed since yesterday", ofSteps(good, step{1, bad})))
}

func streams() dashboard.Panel {
	return list(size{24, 8}, text{"Streams", "Read until: everything before is here, but for the gaps. A report that ends at settled until does not change under its reader."}, `
SELECT tenant_id::text AS tenant, stream, watermark AS "read until", settled_until AS "settled until", extract(epoch FROM lag) AS lag,
  rows, gap_count AS gaps, extract(epoch FROM gap_time) AS "gaps together", quarantine_count AS quarantine, last_run_at AS "last began", last_outcome AS "last run", last_error AS error
FROM bi.freshness
WHERE {tenant}
  AND stream = ANY (ARRAY[${stream:sqlstring}]::text[])
ORDER BY lag DESC`,
		column("rows", ofUnit("short")), durations("lag", "gaps together"), freshnessColumns())
}

// outcomes takes the worst of each piece of time.
func outcomes() dashboard.Panel {
	return states(size{24, 8}, text{"How passes ended", "The worst of each piece of time, by stream."}, newQuery(series, `
SELECT $__timeGroupAlias(started_at, $__interval), stream AS metric,
  max(CASE outcome WHEN 'failed' THEN 4 WHEN 'interrupted' THEN 3 WHEN 'locked' THEN 2 WHEN 'running' THEN 0 WHEN 'ok' THEN 0 ELSE 1 END) AS worst
FROM bi.sync_runs
WHERE $__timeFilter(started_at)
  AND {tenant}
  AND stream = ANY (ARRAY[${stream:sqlstring}]::text[])
GROUP BY 1, 2
ORDER BY 1, 2`),
		everywhere(mapping(map[string]dashboard.ValueMappingResult{
			"0": {Text: new("ok"), Color: new(good), Index: new(int32(0))},
			"1": {Text: new("partial"), Color: new(fair), Index: new(int32(1))},
			"2": {Text: new("locked"), Color: new(calm), Index: new(int32(2))},
			"3": {Text: new("interrupted"), Color: new(poor), Index: new(int32(3))},
			"4": {Text: new("failed"), Color: new(bad), Index: new(int32(4))},
		})))
}

func written() dashboard.Panel {
	return bars(size{12, 8}, text{"Rows written", "Records that passes stored new or changed, by stream. Nothing for a time is right where nothing happened at the source."}, `
SELECT $__timeGroupAlias(started_at, $__interval), stream AS metric, sum(rows_inserted + rows_updated) AS rows
FROM bi.sync_runs
WHERE $__timeFilter(started_at)
  AND {tenant}
  AND stream = ANY (ARRAY[${stream:sqlstring}]::text[])
GROUP BY 1, 2
ORDER BY 1, 2`,
		unit("short"))
}

func requests() dashboard.Panel {
	return bars(size{12, 8}, text{"Requests", "Sent to Microsoft, by stream."}, `
SELECT $__timeGroupAlias(started_at, $__interval), stream AS metric, sum(calls) AS requests
FROM bi.sync_runs
WHERE $__timeFilter(started_at)
  AND {tenant}
  AND stream = ANY (ARRAY[${stream:sqlstring}]::text[])
GROUP BY 1, 2
ORDER BY 1, 2`,
		unit("short"))
}

func durationsOfPasses() dashboard.Panel {
	return lines(size{12, 8}, text{"How long passes take", "The longest of each piece of time, by stream."}, `
SELECT $__timeGroupAlias(started_at, $__interval), stream AS metric, max(extract(epoch FROM coalesce(duration, now() - started_at))) AS longest
FROM bi.sync_runs
WHERE $__timeFilter(started_at)
  AND {tenant}
  AND stream = ANY (ARRAY[${stream:sqlstring}]::text[])
GROUP BY 1, 2
ORDER BY 1, 2`,
		unit("s"))
}

func waits() dashboard.Panel {
	return bars(size{12, 8}, text{"Time spent waiting", "Because the service said so (429, Retry-After), by stream."}, `
SELECT $__timeGroupAlias(started_at, $__interval), stream AS metric, sum(throttled_seconds) AS waited
FROM bi.sync_runs
WHERE $__timeFilter(started_at)
  AND {tenant}
  AND stream = ANY (ARRAY[${stream:sqlstring}]::text[])
GROUP BY 1, 2
ORDER BY 1, 2`,
		unit("s"))
}

func gaps() dashboard.Panel {
	return list(size{12, 8}, text{"Gaps", "Ranges between a stream's start and its watermark that are not complete, whatever the time range. A pass reads them again by itself."}, `
SELECT tenant_id::text AS tenant, stream, from_time AS "from", to_time AS "to", extract(epoch FROM to_time - from_time) AS length, reason
FROM sync.gaps
WHERE {tenant}
  AND stream = ANY (ARRAY[${stream:sqlstring}]::text[])
ORDER BY from_time DESC
LIMIT 200`,
		durations("length"))
}

func quarantine() dashboard.Panel {
	return list(size{12, 8}, text{"Quarantine", "Records that could not be stored, kept with their bytes: defendersync quarantine shows and retries them."}, `
SELECT tenant_id::text AS tenant, stream, kind, key, reason, attempts, first_seen_at AS first, last_attempt_at AS "last attempt", payload_size AS size
FROM sync.quarantine
WHERE {tenant}
  AND stream = ANY (ARRAY[${stream:sqlstring}]::text[])
ORDER BY last_attempt_at DESC
LIMIT 200`,
		column("size", ofUnit("bytes")))
}

func troubles() dashboard.Panel {
	return list(size{24, 8}, text{"Passes with an error or a warning", "In the time range, the latest first."}, `
SELECT started_at AS began, tenant_id::text AS tenant, stream, command, outcome, extract(epoch FROM duration) AS took, error, warning
FROM bi.sync_runs
WHERE $__timeFilter(started_at) AND (error IS NOT NULL OR warning IS NOT NULL)
  AND {tenant}
  AND stream = ANY (ARRAY[${stream:sqlstring}]::text[])
ORDER BY started_at DESC
LIMIT 200`,
		durations("took"))
}

func surprises() dashboard.Panel {
	return list(size{24, 8}, text{"What was not expected", "Properties, types and members of enumerations that the service served and the schema did not know, each once. Nothing is lost: it is in raw or extra."}, `
SELECT first_seen_at AS first, tenant_id::text AS tenant, object, property, change, detail
FROM sync.schema_changes
WHERE $__timeFilter(first_seen_at)
  AND {tenant}
ORDER BY first_seen_at DESC
LIMIT 200`)
}

// freshnessColumns says by colour what is wrong with a stream.
func freshnessColumns() look {
	return func(p *dashboard.Panel) {
		column("gaps", colouredText(), ofSteps(faint, step{1, poor}))(p)
		column("quarantine", colouredText(), ofSteps(faint, step{1, poor}))(p)
		column("last run", colouredText(), mapping(map[string]dashboard.ValueMappingResult{
			"failed": {Color: new(bad)}, "interrupted": {Color: new(poor)}, "partial": {Color: new(fair)}, "locked": {Color: new(calm)}, "ok": {Color: new(good)},
		}))(p)
	}
}
