-- A database as a worker might leave it at 2026-11-20 12:00 UTC: one tenant
-- with every kind of trouble, one that is complete.

INSERT INTO sync.leases (tenant_id, owner, until, fence, hunting_blocked_until) VALUES
    ('11111111-1111-4111-8111-111111111111', 'worker', 'infinity', 2, '2026-11-20 12:10Z'),
    ('22222222-2222-4222-8222-222222222222', 'worker', 'infinity', 2, NULL);

INSERT INTO sync.checkpoints
    (tenant_id, stream, start_time, watermark, next_from, resume_point, revision, window_width, passed_at, rows, changed, updated_at) VALUES
    ('11111111-1111-4111-8111-111111111111', 'incidents', '2026-06-01Z', '2026-11-20 11:58Z', '2026-11-20 11:28Z', NULL, 9, '1 day', '2026-11-20 12:00Z', 0, 0, '2026-11-20 12:00Z'),
    ('11111111-1111-4111-8111-111111111111', 'alerts', '2026-06-01Z', '2026-11-20 08:00Z', '2026-11-20 07:30Z', NULL, 9, '1 day', '2026-11-20 08:00Z', 0, 0, '2026-11-20 08:00Z'),
    ('11111111-1111-4111-8111-111111111111', 'hunting/device_process_events', '2026-10-21Z', '2026-11-20 11:45Z', '2026-11-20 11:15Z', NULL, 9, '1 day', '2026-11-20 11:45Z', 0, 0, '2026-11-20 11:45Z'),
    ('11111111-1111-4111-8111-111111111111', 'hunting/device_info', '2026-11-01Z', '2026-11-20 04:00Z', '2026-11-20 04:00Z', NULL, 9, '0', '2026-11-20 11:45Z', 0, 0, '2026-11-20 04:00Z'),
    ('11111111-1111-4111-8111-111111111111', 'hunting/email_events', '2026-10-21Z', '2026-11-04 12:00Z', '2026-11-04Z', '{}', 9, '1 day', NULL, 0, 0, '2026-11-20 11:59Z'),
    ('22222222-2222-4222-8222-222222222222', 'incidents', '2026-06-01Z', '2026-11-20 11:59Z', '2026-11-20 11:29Z', NULL, 9, '1 day', '2026-11-20 11:59:58Z', 0, 0, '2026-11-20 11:59Z');

-- The gaps of incidents: three hours that the source would not give whole, and a
-- day that was never read.
INSERT INTO sync.coverage (tenant_id, stream, from_time, to_time, rows, calls, verdict, reason, run_id, recorded_at) VALUES
    ('11111111-1111-4111-8111-111111111111', 'incidents', '2026-06-01Z', '2026-07-20 03:00Z', 5, 1, 'complete', NULL, NULL, '2026-11-20Z'),
    ('11111111-1111-4111-8111-111111111111', 'incidents', '2026-07-20 03:00Z', '2026-07-20 06:00Z', 5, 1, 'truncated', 'the service would not say <b>more</b>', NULL, '2026-11-20Z'),
    ('11111111-1111-4111-8111-111111111111', 'incidents', '2026-07-20 06:00Z', '2026-10-01Z', 5, 1, 'complete', NULL, NULL, '2026-11-20Z'),
    ('11111111-1111-4111-8111-111111111111', 'incidents', '2026-10-02Z', '2026-11-20 08:58Z', 57945, 1, 'complete', NULL, NULL, '2026-11-20Z'),
    ('11111111-1111-4111-8111-111111111111', 'incidents', '2026-11-20 08:58Z', '2026-11-20 11:58Z', 0, 1, 'complete', NULL, NULL, '2026-11-20Z'),
    ('11111111-1111-4111-8111-111111111111', 'alerts', '2026-06-01Z', '2026-11-20 08:00Z', 5, 1, 'complete', NULL, NULL, '2026-11-20Z'),
    ('11111111-1111-4111-8111-111111111111', 'hunting/device_process_events', '2026-10-21Z', '2026-10-22Z', 5, 1, 'complete', NULL, NULL, '2026-11-20Z'),
    ('11111111-1111-4111-8111-111111111111', 'hunting/device_process_events', '2026-10-22Z', '2026-10-22 06:30Z', 0, 1, 'failed', 'too much for one answer: one microsecond holds more than 100,000 rows', NULL, '2026-11-20Z'),
    ('11111111-1111-4111-8111-111111111111', 'hunting/device_process_events', '2026-10-22 06:30Z', '2026-11-20 11:45Z', 5, 1, 'complete', NULL, NULL, '2026-11-20Z'),
    ('11111111-1111-4111-8111-111111111111', 'hunting/device_info', '2026-11-01Z', '2026-11-20 04:00Z', 5, 1, 'complete', NULL, NULL, '2026-11-20Z'),
    ('11111111-1111-4111-8111-111111111111', 'hunting/email_events', '2026-10-21Z', '2026-11-04 12:00Z', 5, 1, 'complete', NULL, NULL, '2026-11-20Z'),
    ('22222222-2222-4222-8222-222222222222', 'incidents', '2026-06-01Z', '2026-11-20 11:59Z', 5, 1, 'complete', NULL, NULL, '2026-11-20Z');

INSERT INTO sync.runs
    (tenant_id, run_id, stream, command, started_at, finished_at, outcome, rows_read, rows_inserted, rows_updated, rows_unchanged, calls, throttled_seconds, error, warning, fence)
SELECT r.tenant::uuid, gen_random_uuid(), r.stream, r.command, r.at::timestamptz, r.at::timestamptz + r.took::interval, r.outcome, r.read, r.new, r.changed, r.read - r.new - r.changed, r.calls, 0, r.error, r.warning, 2
FROM (VALUES
    ('11111111-1111-4111-8111-111111111111', 'incidents', 'run', '2026-11-20 11:55Z', '1.25 s', 'partial', 1040, 12, 28, 7, NULL, 'no incidents in the last 3h0m0s, where about 42 would have been usual: check that the app still has its role and the tenant its licence'),
    ('11111111-1111-4111-8111-111111111111', 'incidents', 'backfill', '2026-11-19 20:00Z', '1 h 4 min', 'ok', 150000, 149000, 0, 3100, NULL, NULL),
    ('11111111-1111-4111-8111-111111111111', 'alerts', 'run', '2026-11-20 11:55:01Z', '30 s', 'failed', 0, 0, 0, 4, E'list alerts: service answered 503:\n<script>document.title = "taken over"</script> (request-id 42)', NULL),
    ('11111111-1111-4111-8111-111111111111', 'alerts', 'run', '2026-11-20 08:00Z', '0.042 s', 'ok', 31, 1, 2, 1, NULL, NULL),
    ('11111111-1111-4111-8111-111111111111', 'hunting/device_process_events', 'run', '2026-11-20 11:45Z', '4 s', 'partial', 92000, 4000, 0, 2, NULL, NULL),
    ('11111111-1111-4111-8111-111111111111', 'hunting/device_process_events', 'reconcile', '2026-11-20 03:17Z', '40 s', 'ok', 0, 0, 0, 1, NULL, NULL),
    ('11111111-1111-4111-8111-111111111111', 'hunting/device_info', 'run', '2026-11-20 04:00Z', '2 s', 'ok', 512, 3, 4, 1, NULL, NULL),
    ('11111111-1111-4111-8111-111111111111', 'hunting/email_events', 'run', '2026-11-20 11:50Z', NULL, 'running', 0, 0, 0, 0, NULL, NULL),
    ('22222222-2222-4222-8222-222222222222', 'incidents', 'run', '2026-11-20 11:59:58Z', '0.5 s', 'ok', 3, 0, 1, 1, NULL, NULL)
) AS r (tenant, stream, command, at, took, outcome, read, new, changed, calls, error, warning);

INSERT INTO sync.quarantine (tenant_id, id, stream, kind, key, reason, attempts, payload, first_seen_at, last_attempt_at)
SELECT '11111111-1111-4111-8111-111111111111', gen_random_uuid(), 'alerts', 'alert', n::text, 'PAYLOAD-REASON', 1, 'PAYLOAD', '2026-11-20Z', '2026-11-20Z'
FROM generate_series(1, 2) AS n;

INSERT INTO sync.quota (tenant_id, family, second, calls) VALUES
    ('11111111-1111-4111-8111-111111111111', 'incidents', '2026-11-20 11:59:30Z', 12),
    ('11111111-1111-4111-8111-111111111111', 'incidents', '2026-11-20 11:20Z', 300),
    ('11111111-1111-4111-8111-111111111111', 'hunting', '2026-11-20 11:59:45Z', 6);

-- The first tenant's days, of the last 30:
--   20 Nov: 3 opened, 1 resolved   19 Nov: 1 opened, 1 resolved   18 Nov: 1 resolved
--   17 Nov: 1 resolved   16 Nov: 1 opened, 1 resolved   15 Nov: 1 opened   10 Nov: 1 resolved
--   22 Oct, the first one: 1 opened, 1 resolved
-- and open: 2 high, 1 medium, 1 low, 1 of a severity of its own.
INSERT INTO defender.incidents
    (tenant_id, incident_id, redirect_incident_id, display_name, status, severity, created_date_time, last_update_date_time, raw, content_hash, first_synced_at, synced_at,
    acknowledged_before_sync_at, resolved_before_sync_at, resolved_before_sync_from)
SELECT i.tenant::uuid, i.id, i.redirect, 'TITLE-OF-AN-INCIDENT', i.status, i.severity, i.created::timestamptz, i.changed::timestamptz, '{}', gen_random_uuid(), '2026-11-01Z', '2026-11-20Z',
    i.before::timestamptz, i.before::timestamptz, CASE WHEN i.before IS NOT NULL THEN 'last_update' END
FROM (VALUES
    ('11111111-1111-4111-8111-111111111111', 1, NULL, 'active', 'high', '2026-11-20 01:00Z', '2026-11-20 01:00Z', NULL),
    ('11111111-1111-4111-8111-111111111111', 2, NULL, 'inProgress', 'medium', '2026-11-20 02:00Z', '2026-11-20 02:30Z', NULL),
    ('11111111-1111-4111-8111-111111111111', 3, NULL, 'resolved', 'low', '2026-11-20 00:00Z', '2026-11-20 03:00Z', '2026-11-20 03:00Z'), -- before the first sync
    ('11111111-1111-4111-8111-111111111111', 4, NULL, 'resolved', 'high', '2026-11-15 23:59:59.999999Z', '2026-11-20 05:00Z', NULL), -- resolved on 17 and 18 Nov, commented on today
    ('11111111-1111-4111-8111-111111111111', 5, NULL, 'awaitingAction', 'unheardOf', '2026-10-22 00:00Z', '2026-10-22 00:00Z', NULL),
    ('11111111-1111-4111-8111-111111111111', 6, NULL, 'active', 'low', '2026-10-21 23:59:59.999999Z', '2026-11-02Z', NULL), -- too old to be counted as opened
    ('11111111-1111-4111-8111-111111111111', 7, 1, 'redirected', 'high', '2026-11-20 01:30Z', '2026-11-20 01:31Z', NULL), -- merged
    ('11111111-1111-4111-8111-111111111111', 8, NULL, 'active', 'high', '2026-11-19 08:00Z', '2026-11-19 12:00Z', NULL), -- resolved and opened again
    ('11111111-1111-4111-8111-111111111111', 9, NULL, 'resolved', 'low', '2026-10-01Z', '2026-10-22 00:00Z', '2026-10-22 00:00Z'), -- before the first sync
    ('11111111-1111-4111-8111-111111111111', 10, NULL, 'resolved', 'low', '2026-10-01Z', '2026-11-19 12:00Z', NULL), -- resolved too long ago, changed since
    ('11111111-1111-4111-8111-111111111111', 11, NULL, 'resolved', 'low', '2026-10-01Z', '2026-11-20 06:00Z', '2026-11-10 06:00Z'), -- before the first sync, tagged today
    ('11111111-1111-4111-8111-111111111111', 12, 999, 'redirected', 'low', '2026-11-16 06:00Z', '2026-11-16 07:00Z', NULL), -- merged into one that is not here
    ('11111111-1111-4111-8111-111111111111', 13, 1, 'redirected', 'low', '2026-11-14 06:00Z', '2026-11-14 07:00Z', '2026-11-14 07:00Z'), -- merged before the first sync
    ('22222222-2222-4222-8222-222222222222', 1, NULL, 'resolved', 'high', '2026-11-20 01:00Z', '2026-11-20 02:00Z', '2026-11-20 02:00Z')
) AS i (tenant, id, redirect, status, severity, created, changed, before);

INSERT INTO defender.incident_history (tenant_id, incident_id, changed_at, field, old_value, new_value) VALUES
    ('11111111-1111-4111-8111-111111111111', 4, '2026-11-17 09:00Z', 'status', 'active', 'resolved'),
    ('11111111-1111-4111-8111-111111111111', 4, '2026-11-17 10:00Z', 'status', 'resolved', 'active'),
    ('11111111-1111-4111-8111-111111111111', 4, '2026-11-18 10:00Z', 'status', 'active', 'resolved'),
    ('11111111-1111-4111-8111-111111111111', 4, '2026-11-20 05:00Z', 'severity', 'low', 'resolved'),
    ('11111111-1111-4111-8111-111111111111', 7, '2026-11-20 01:31Z', 'status', 'active', 'redirected'),
    ('11111111-1111-4111-8111-111111111111', 12, '2026-11-16 07:00Z', 'status', 'active', 'redirected'),
    ('11111111-1111-4111-8111-111111111111', 8, '2026-11-19 09:00Z', 'status', 'active', 'resolved'),
    ('11111111-1111-4111-8111-111111111111', 8, '2026-11-19 12:00Z', 'status', 'resolved', 'active'),
    ('11111111-1111-4111-8111-111111111111', 10, '2026-10-02 12:00Z', 'status', 'active', 'resolved');
