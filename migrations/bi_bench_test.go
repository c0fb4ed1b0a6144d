package migrations_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"defendersync/store/storetest"
)

// biSeed makes a tenant with incidents of 18 months, four alerts each, of which a
// part is merged and a part still open. %[1]d is the number of incidents.
var biSeed = []string{
	`INSERT INTO defender.incidents (tenant_id, incident_id, redirect_incident_id, display_name, status, severity, classification, assigned_to,
			created_date_time, last_update_date_time, raw, content_hash, first_synced_at, synced_at)
		SELECT '` + tenant + `', i, CASE WHEN i %% 25 = 7 THEN i - 3 END, 'Incident on one endpoint',
			CASE WHEN i %% 25 = 7 THEN 'redirected' WHEN i > %[1]d * 0.98 AND i %% 3 = 0 THEN 'active' WHEN i > %[1]d * 0.96 AND i %% 5 = 1 THEN 'inProgress' ELSE 'resolved' END,
			(ARRAY['high', 'medium', 'low', 'informational'])[1 + (i * 7) %% 4], 'truePositive', CASE WHEN i %% 3 = 1 THEN 'analyst' || i %% 20 END,
			at, at + (i %% 200) * interval '1 hour', jsonb_build_object('pad', repeat(md5(i::text), 30)), gen_random_uuid(), at + interval '5 minutes', now()
		FROM generate_series(1, %[1]d) AS i, LATERAL (SELECT now() - (%[1]d - i) * interval '540 days' / %[1]d AS at) AS t`,
	`INSERT INTO defender.incident_history
		SELECT tenant_id, incident_id, created_date_time + n * interval '1 hour', f, o, w
		FROM defender.incidents, (VALUES (1, 'assigned_to', NULL, 'a'), (2, 'status', 'active', 'inProgress'), (3, 'status', 'inProgress', 'resolved'), (4, 'severity', 'low', 'high')) AS v (n, f, o, w)
		WHERE incident_id > %[1]d * 0.08 AND (n < 3 OR status = 'resolved')`,
	// The oldest have no history: they were as they are when they were first stored.
	`UPDATE defender.incidents SET
			acknowledged_before_sync_at = least(last_update_date_time, first_synced_at),
			resolved_before_sync_at = CASE WHEN status IN ('resolved', 'redirected') THEN least(last_update_date_time, first_synced_at) END,
			resolved_before_sync_from = CASE WHEN status IN ('resolved', 'redirected') THEN 'last_update' END
		WHERE incident_id <= %[1]d * 0.08`,
	`INSERT INTO defender.alerts (tenant_id, alert_id, incident_id, title, status, severity, service_source, created_date_time, last_update_date_time,
			first_activity_date_time, resolved_date_time, raw, content_hash, first_synced_at, synced_at)
		SELECT tenant_id, 'da' || md5(incident_id || '_' || n), coalesce(redirect_incident_id, incident_id), 'Suspicious activity', CASE WHEN status = 'resolved' THEN 'resolved' ELSE 'new' END,
			severity, 'microsoftDefenderForEndpoint', created_date_time, last_update_date_time, created_date_time - interval '20 minutes',
			CASE WHEN status = 'resolved' THEN created_date_time + interval '3 hours' END, jsonb_build_object('pad', repeat(md5(n::text), 40)), gen_random_uuid(), first_synced_at, now()
		FROM defender.incidents, generate_series(1, 4) AS n`,
	`INSERT INTO defender.alert_techniques
		SELECT tenant_id, alert_id, (ARRAY['T1059.001', 'T1566.002', 'T1003.001', 'T1486', 'T1078.004', 'T1110.003', 'T1105', 'T9999'])[1 + (hashtext(alert_id || n) & 7)]
		FROM defender.alerts, generate_series(1, 2) AS n ON CONFLICT DO NOTHING`,
	`INSERT INTO defender.alert_evidence (tenant_id, alert_id, evidence_no, evidence_type, created_date_time, host_name, mde_device_id, user_principal_name, sha1, sha256, ip_address, raw)
		SELECT tenant_id, alert_id, n, (ARRAY['device', 'user', 'process', 'ip'])[n], created_date_time,
			CASE n WHEN 1 THEN 'WS-' || h %% 5000 END, CASE n WHEN 1 THEN md5((h %% 5000)::text) END, CASE WHEN n IN (2, 3) THEN 'user' || h %% 7919 || '@x.example' END,
			CASE n WHEN 3 THEN md5((h %% 40009)::text) END, CASE n WHEN 3 THEN md5((h %% 40009)::text) || md5('x') END, CASE n WHEN 4 THEN '203.0.' || h %% 199 || '.' || h %% 251 END,
			jsonb_build_object('pad', repeat(md5(n::text), 12))
		FROM (SELECT *, hashtext(alert_id) & 16777215 AS h FROM defender.alerts) AS a, generate_series(1, 4) AS n`,
	`INSERT INTO defender.entity_sightings SELECT tenant_id, alert_id, entity_type, entity_key, name, first_seen_at, last_seen_at, evidence_count, properties, evidence_types, roles, verdicts FROM defender.alert_entities`,
	`INSERT INTO defender.entities SELECT tenant_id, entity_type, entity_key, min(name), min(first_seen_at), max(last_seen_at), count(*) FROM defender.entity_sightings GROUP BY 1, 2, 3`,
	`INSERT INTO defender.hunting_sightings
		SELECT e.tenant_id, d, t, e.entity_type, e.entity_key, (d + time '01:00') AT TIME ZONE 'UTC', (d + time '20:00') AT TIME ZONE 'UTC', ARRAY['sha256', 'initiating_process_sha256']
		FROM (
			SELECT h %% (SELECT count(*) FROM defender.entities) AS place, ((now() - (n %% 540) * interval '1 day') AT TIME ZONE 'UTC')::date AS d,
				(ARRAY['device_process_events', 'device_network_events', 'device_file_events'])[1 + h %% 3] AS t
			FROM (SELECT n, hashint8(n) & 1073741823 AS h FROM generate_series(1, %[1]d * 40) AS n) AS n
		) AS n
		JOIN (SELECT *, row_number() OVER () - 1 AS place FROM defender.entities) AS e USING (place)
		ORDER BY d, t, e.entity_type, e.entity_key
		ON CONFLICT DO NOTHING`,
	`UPDATE defender.entities AS e SET hunting_first_seen_at = s.f, hunting_last_seen_at = s.l
		FROM (SELECT tenant_id, entity_type, entity_key, min(first_seen_at) AS f, max(last_seen_at) AS l FROM defender.hunting_sightings GROUP BY 1, 2, 3) AS s
		WHERE (e.tenant_id, e.entity_type, e.entity_key) = (s.tenant_id, s.entity_type, s.entity_key)`,
}

// biQuestions are what a dashboard asks.
var biQuestions = []struct{ name, sql string }{
	{"queue", `SELECT * FROM bi.incidents WHERE tenant_id = $1 AND is_open ORDER BY severity_rank DESC, created_date_time LIMIT 20`},
	{"one incident", `SELECT * FROM bi.incidents WHERE tenant_id = $1 AND incident_id = 2004`},
	{"its entities", `SELECT * FROM bi.incident_entities WHERE tenant_id = $1 AND incident_id = 2004`},
	{"times of 30 days", `SELECT severity, avg(time_to_resolve) FROM bi.incidents WHERE tenant_id = $1 AND created_date_time >= now() - interval '30 days' GROUP BY 1`},
	{"times of all", `SELECT severity, avg(time_to_resolve) FROM bi.incidents WHERE tenant_id = $1 GROUP BY 1`},
	{"every day", `SELECT * FROM bi.incident_daily WHERE tenant_id = $1`},
	{"one hash", `SELECT * FROM bi.entity_sightings WHERE tenant_id = $1 AND entity_type = 'hash' AND entity_key = (SELECT min(entity_key) FROM defender.entities WHERE entity_type = 'hash') ORDER BY last_seen_at DESC`},
	{"one address without its tenant", `SELECT * FROM bi.entity_sightings WHERE entity_type = 'ip' AND entity_key = '203.0.1.1' AND (tenant_id = $1 OR $1 IS NULL) ORDER BY last_seen_at DESC`},
	{"alerts that share something", `SELECT s.incident_id, count(*) FROM bi.incident_entities AS h JOIN bi.entity_sightings AS s USING (tenant_id, entity_type, entity_key)
		WHERE h.tenant_id = $1 AND h.incident_id = 2004 AND s.incident_id <> h.incident_id GROUP BY 1`},
	{"kinds of 30 days", `SELECT entity_type, count(DISTINCT entity_key) FROM bi.entity_sightings WHERE tenant_id = $1 AND source = 'alert' AND created_date_time >= now() - interval '30 days' GROUP BY 1`},
	{"one host", `SELECT * FROM bi.devices WHERE tenant_id = $1 AND device = 'ws-42'`},
	{"worst hosts", `SELECT * FROM bi.devices WHERE tenant_id = $1 ORDER BY open_incident_count DESC LIMIT 20`},
	{"commonest addresses", `SELECT * FROM bi.entities WHERE tenant_id = $1 AND entity_type = 'ip' ORDER BY alert_count DESC LIMIT 20`},
	{"open alerts", `SELECT * FROM bi.alerts WHERE tenant_id = $1 AND is_open ORDER BY created_date_time DESC LIMIT 50`},
	{"techniques of 30 days", `SELECT tactic_name, count(*) FROM bi.alert_techniques WHERE tenant_id = $1 AND created_date_time >= now() - interval '30 days' GROUP BY 1`},
	{"techniques of all", `SELECT * FROM bi.techniques WHERE tenant_id = $1`},
	{"workload", `SELECT * FROM bi.workload WHERE tenant_id = $1`},
	{"as of", `SELECT status, count(*) FROM defender.incidents_as_of(now() - interval '90 days') WHERE tenant_id = $1 GROUP BY 1`},
}

// BenchmarkBI asks over a hundred thousand alerts, or BI_ALERTS of them: a million
// take ten minutes to make, and 8 GB. With BI_PLANS set it also shows each plan.
func BenchmarkBI(b *testing.B) {
	alerts := 100_000
	if n, err := strconv.Atoi(os.Getenv("BI_ALERTS")); err == nil {
		alerts = n
	}
	conn, err := pgx.Connect(b.Context(), storetest.URL(b))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(b.Context())
	exec := func(sql string) {
		b.Helper()
		if _, err := conn.Exec(b.Context(), sql); err != nil {
			b.Fatalf("%v: %.80s", err, sql)
		}
	}
	for _, sql := range biSeed {
		if strings.Contains(sql, "%") {
			sql = fmt.Sprintf(sql+" -- %[1]d", alerts/4)
		}
		exec(sql)
	}
	exec(`VACUUM ANALYZE`)
	exec(`SET jit = off`) // as docs/roles.md says for readers
	for _, q := range biQuestions {
		b.Run(q.name, func(b *testing.B) {
			if os.Getenv("BI_PLANS") != "" {
				rows, err := conn.Query(b.Context(), "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) "+q.sql, tenant)
				if err != nil {
					b.Fatal(err)
				}
				plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
				if err != nil {
					b.Fatal(err)
				}
				fmt.Printf("%s\n%s\n\n", q.sql, strings.Join(plan, "\n")) // a log of a benchmark is cut
			}
			for b.Loop() {
				rows, err := conn.Query(b.Context(), q.sql, tenant)
				if err != nil {
					b.Fatal(err)
				}
				n := 0
				for rows.Next() {
					n++
				}
				if rows.Err() != nil || n == 0 {
					b.Fatalf("%d rows, %v", n, rows.Err())
				}
			}
		})
	}
}
