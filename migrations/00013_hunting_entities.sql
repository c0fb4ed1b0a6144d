-- +goose Up
-- The evidence of alerts is not all that names an entity: so do the rows of advanced
-- hunting, by the hundred thousand an hour. What is kept of them is one row for an
-- entity, a table and a day: it outlives the rows, and grows with what there is to
-- see and not with how often it is seen.
--
-- The key begins with the day: what a commit writes lies together, and was written
-- by the one before.
CREATE TABLE defender.hunting_sightings (
    tenant_id     uuid NOT NULL,
    day           date NOT NULL,
    table_name    text NOT NULL,
    entity_type   text NOT NULL,
    entity_key    text NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at  timestamptz NOT NULL,
    properties    text[] NOT NULL,
    PRIMARY KEY (tenant_id, day, table_name, entity_type, entity_key),
    CONSTRAINT hunting_sightings_entity_type_check CHECK (entity_type IN ('host', 'user', 'ip', 'url', 'hash', 'mailbox')),
    CONSTRAINT hunting_sightings_seen_check CHECK (first_seen_at <= last_seen_at),
    CONSTRAINT hunting_sightings_day_check CHECK (
        day = (first_seen_at AT TIME ZONE 'UTC')::date AND day = (last_seen_at AT TIME ZONE 'UTC')::date)
) WITH (fillfactor = 90); -- today's are written again and again, in place: what changes is in no index

-- Everything that touched one entity. All the days and tables of an entity are equal
-- in here, which PostgreSQL keeps once.
CREATE INDEX hunting_sightings_entity_idx ON defender.hunting_sightings (entity_key, entity_type, tenant_id);
ALTER TABLE defender.hunting_sightings ALTER COLUMN entity_key SET STATISTICS 1000;

COMMENT ON TABLE defender.hunting_sightings IS
    'Where advanced hunting saw entities: one row for each entity, hunting table in mode events and day. Written with the rows, in their transaction, and not removed with them: retention of a table leaves its sightings.';
COMMENT ON COLUMN defender.hunting_sightings.tenant_id IS 'The tenant, as configured: its Microsoft Entra tenant id.';
COMMENT ON COLUMN defender.hunting_sightings.day IS 'The day, in UTC, by the time of the rows.';
COMMENT ON COLUMN defender.hunting_sightings.table_name IS 'The table in the schema hunting, such as device_process_events. Its stream is hunting/ and this.';
COMMENT ON COLUMN defender.hunting_sightings.entity_type IS 'host, user, ip, url, hash (SHA-256, SHA-1 or MD5) or mailbox (any e-mail address).';
COMMENT ON COLUMN defender.hunting_sightings.entity_key IS 'What the entity is known by, as in defender.entities. Of a DeviceName that is the first label.';
COMMENT ON COLUMN defender.hunting_sightings.first_seen_at IS 'Time of the day''s first row that names it.';
COMMENT ON COLUMN defender.hunting_sightings.last_seen_at IS 'Time of the day''s last row that names it.';
COMMENT ON COLUMN defender.hunting_sightings.properties IS 'Columns of the table that name it, such as sha256 or initiating_process_sha256.';

-- An entity may be hunting's alone now. To be found when its last alert is gone it
-- needs no index any more: the commit that takes the alert's sighting away looks.
DROP INDEX defender.entities_unseen_idx;
ALTER TABLE defender.entities
    ADD COLUMN hunting_first_seen_at timestamptz,
    ADD COLUMN hunting_last_seen_at timestamptz,
    ALTER COLUMN first_seen_at DROP NOT NULL,
    ALTER COLUMN last_seen_at DROP NOT NULL,
    ADD CONSTRAINT entities_alert_seen_check CHECK (alert_count = 0 OR first_seen_at IS NOT NULL AND last_seen_at IS NOT NULL),
    ADD CONSTRAINT entities_hunting_seen_check CHECK (
        hunting_first_seen_at <= hunting_last_seen_at AND (hunting_first_seen_at IS NULL) = (hunting_last_seen_at IS NULL));

COMMENT ON TABLE defender.entities IS
    'Every host, user, IP address, URL, hash and mailbox that the evidence of an alert names, or a row of advanced hunting. Where each was seen is in defender.entity_sightings and defender.hunting_sightings.';
COMMENT ON COLUMN defender.entities.first_seen_at IS 'Time of the first evidence that names it; NULL where none does.';
COMMENT ON COLUMN defender.entities.last_seen_at IS 'Time of the last evidence that names it.';
COMMENT ON COLUMN defender.entities.hunting_first_seen_at IS 'Time of the first row of advanced hunting that names it; NULL where none does.';
COMMENT ON COLUMN defender.entities.hunting_last_seen_at IS 'Time of the last row of advanced hunting that names it.';

CREATE OR REPLACE VIEW bi.entities AS
SELECT
    e.tenant_id, e.entity_type, e.entity_key, e.name,
    least(e.first_seen_at, e.hunting_first_seen_at) AS first_seen_at,
    greatest(e.last_seen_at, e.hunting_last_seen_at) AS last_seen_at,
    e.alert_count,
    coalesce(o.open_alert_count, 0) AS open_alert_count,
    coalesce(o.open_incident_count, 0) AS open_incident_count,
    e.first_seen_at AS alert_first_seen_at, e.last_seen_at AS alert_last_seen_at,
    e.hunting_first_seen_at, e.hunting_last_seen_at
FROM defender.entities AS e
LEFT JOIN (
    SELECT
        s.tenant_id, s.entity_type, s.entity_key,
        count(*) FILTER (WHERE a.status IS DISTINCT FROM 'resolved') AS open_alert_count,
        count(DISTINCT i.root_incident_id) AS open_incident_count
    FROM defender.open_incident_members AS i
    JOIN defender.alerts AS a ON a.tenant_id = i.tenant_id AND a.incident_id = i.incident_id
    JOIN defender.entity_sightings AS s ON s.tenant_id = a.tenant_id AND s.alert_id = a.alert_id
    GROUP BY s.tenant_id, s.entity_type, s.entity_key
) AS o ON o.tenant_id = e.tenant_id AND o.entity_type = e.entity_type AND o.entity_key = e.entity_key;

COMMENT ON VIEW bi.entities IS
    'One row per host, user, IP address, URL, hash and mailbox that the evidence of alerts names, or a row of advanced hunting. Where each was seen is in bi.entity_sightings.';
COMMENT ON COLUMN bi.entities.first_seen_at IS 'When it was first seen, by an alert or by hunting.';
COMMENT ON COLUMN bi.entities.last_seen_at IS 'When it was last seen, by an alert or by hunting.';
COMMENT ON COLUMN bi.entities.alert_count IS 'Alerts whose evidence names it; 0 where only hunting has seen it.';
COMMENT ON COLUMN bi.entities.alert_first_seen_at IS 'Time of the first evidence that names it; NULL where none does.';
COMMENT ON COLUMN bi.entities.alert_last_seen_at IS 'Time of the last evidence that names it.';
COMMENT ON COLUMN bi.entities.hunting_first_seen_at IS 'Time of the first row of advanced hunting that names it; NULL where none does.';
COMMENT ON COLUMN bi.entities.hunting_last_seen_at IS 'Time of the last row of advanced hunting that names it.';

-- These stay what they were: what the evidence of alerts names, and when it does.
CREATE OR REPLACE VIEW bi.devices AS
SELECT
    e.tenant_id, e.entity_key AS device, e.name AS host_name,
    d.device_dns_name, d.mde_device_id, d.azure_ad_device_id, d.os_platform, d.version AS os_version, d.rbac_group_name,
    d.health_status, d.risk_score, d.onboarding_status, d.last_ip_address, d.last_external_ip_address,
    e.alert_first_seen_at AS first_seen_at, e.alert_last_seen_at AS last_seen_at, e.alert_count, e.open_alert_count, e.open_incident_count
FROM bi.entities AS e
LEFT JOIN LATERAL (
    SELECT d.*
    FROM defender.entity_sightings AS s
    JOIN defender.alert_evidence AS d ON d.tenant_id = s.tenant_id AND d.alert_id = s.alert_id
    WHERE s.entity_key = e.entity_key AND s.entity_type = 'host' AND s.tenant_id = e.tenant_id
        AND d.evidence_type = 'device' AND lower(coalesce(nullif(d.host_name, ''), d.mde_device_id) COLLATE "C") COLLATE "default" = e.entity_key
    ORDER BY s.last_seen_at DESC, s.alert_id, d.evidence_no
    LIMIT 1
) AS d ON true
WHERE e.entity_type = 'host' AND e.alert_count > 0;

CREATE OR REPLACE VIEW bi.users AS
SELECT
    e.tenant_id, e.entity_key AS user_key, e.name AS user_name,
    u.display_name, u.user_principal_name, u.account_name, u.domain_name, u.user_sid, u.azure_ad_user_id,
    e.alert_first_seen_at AS first_seen_at, e.alert_last_seen_at AS last_seen_at, e.alert_count, e.open_alert_count, e.open_incident_count
FROM bi.entities AS e
LEFT JOIN LATERAL (
    SELECT u.*
    FROM defender.entity_sightings AS s
    JOIN defender.alert_evidence AS u ON u.tenant_id = s.tenant_id AND u.alert_id = s.alert_id
    WHERE s.entity_key = e.entity_key AND s.entity_type = 'user' AND s.tenant_id = e.tenant_id
        AND u.evidence_type IN ('user', 'mailbox', 'process')
        AND lower(coalesce(nullif(u.user_principal_name, ''), concat_ws('\', nullif(u.domain_name, ''), u.account_name)) COLLATE "C") COLLATE "default" = e.entity_key
    ORDER BY s.last_seen_at DESC, u.evidence_type = 'user' DESC, s.alert_id, u.evidence_no
    LIMIT 1
) AS u ON true
WHERE e.entity_type = 'user' AND e.alert_count > 0;

-- Each half of the union is one table without a condition: the planner looks
-- through it, and whoever joins by entity gets look-ups in both and reads neither.
-- The merges are joined by the sighting's tenant, not the alert's: else they may be
-- joined to the alerts first, and are then worked out again for each sighting.
CREATE OR REPLACE VIEW bi.entity_sightings AS
SELECT
    s.tenant_id, s.entity_type, s.entity_key, s.name, s.first_seen_at, s.last_seen_at,
    s.alert_id, coalesce(m.root_incident_id, a.incident_id) AS incident_id,
    a.title, a.severity, a.status, a.classification, a.service_source, a.created_date_time,
    s.evidence_count, s.properties, s.evidence_types, s.roles, s.verdicts,
    s.source, s.table_name
FROM (
    SELECT
        tenant_id, entity_type, entity_key, name, first_seen_at, last_seen_at, alert_id, evidence_count,
        properties, evidence_types, roles, verdicts, 'alert'::text AS source, NULL::text AS table_name
    FROM defender.entity_sightings
    UNION ALL
    SELECT
        tenant_id, entity_type, entity_key, entity_key, first_seen_at, last_seen_at, NULL::text, NULL::bigint,
        properties, '{}'::text[], '{}'::text[], '{}'::text[], 'hunting'::text, table_name
    FROM defender.hunting_sightings
) AS s
LEFT JOIN defender.alerts AS a ON a.tenant_id = s.tenant_id AND a.alert_id = s.alert_id
LEFT JOIN defender.incident_merges AS m ON m.tenant_id = s.tenant_id AND m.incident_id = a.incident_id;

COMMENT ON VIEW bi.entity_sightings IS
    'Who saw an entity, when and where: one row per entity and alert whose evidence names it, and one per entity, hunting table and day with rows that name it. By entity_key and entity_type it is an indexed look-up, however long ago.';
COMMENT ON COLUMN bi.entity_sightings.name IS 'The same as served; of hunting as in entity_key.';
COMMENT ON COLUMN bi.entity_sightings.first_seen_at IS 'Time of the alert''s first evidence that names it, or of the day''s first row.';
COMMENT ON COLUMN bi.entity_sightings.last_seen_at IS 'Time of its last evidence that names it, or of the day''s last row.';
COMMENT ON COLUMN bi.entity_sightings.alert_id IS 'The alert; NULL, as all that is an alert''s, where hunting saw it.';
COMMENT ON COLUMN bi.entity_sightings.properties IS 'Columns that name it, such as sha256 or sender_ip: of defender.alert_evidence, or of the hunting table.';
COMMENT ON COLUMN bi.entity_sightings.source IS 'alert or hunting.';
COMMENT ON COLUMN bi.entity_sightings.table_name IS 'The table in the schema hunting that names it, such as device_process_events; NULL where an alert does.';

-- A reader of one tenant may read the new table as it may its neighbour, or the view
-- above would be closed to it from now on.
-- +goose StatementBegin
DO $$
DECLARE
    p record;
BEGIN
    FOR p IN
        SELECT o.polname, o.polpermissive, pg_get_expr(o.polqual, o.polrelid) AS condition, r.rolname
        FROM pg_catalog.pg_policy AS o
        LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = o.polroles[1]
        WHERE o.polrelid = 'defender.entity_sightings'::regclass
    LOOP
        ALTER TABLE defender.hunting_sightings ENABLE ROW LEVEL SECURITY;
        IF p.polpermissive THEN
            EXECUTE format('CREATE POLICY %I ON defender.hunting_sightings USING (%s) WITH CHECK (%2$s)', p.polname, p.condition);
        ELSE
            EXECUTE format('CREATE POLICY %I ON defender.hunting_sightings AS RESTRICTIVE FOR SELECT TO %I USING (%s)', p.polname, p.rolname, p.condition);
            EXECUTE format('GRANT SELECT ON defender.hunting_sightings TO %I', p.rolname);
        END IF;
    END LOOP;
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP VIEW bi.users;
DROP VIEW bi.devices;
DROP VIEW bi.entity_sightings;
DROP VIEW bi.entities;

DELETE FROM defender.entities WHERE alert_count = 0;
ALTER TABLE defender.entities
    DROP CONSTRAINT entities_hunting_seen_check,
    DROP CONSTRAINT entities_alert_seen_check,
    DROP COLUMN hunting_first_seen_at,
    DROP COLUMN hunting_last_seen_at,
    ALTER COLUMN first_seen_at SET NOT NULL,
    ALTER COLUMN last_seen_at SET NOT NULL;
CREATE INDEX entities_unseen_idx ON defender.entities (entity_type, tenant_id) WHERE alert_count = 0;
COMMENT ON TABLE defender.entities IS
    'Every host, user, IP address, URL, hash and mailbox that the evidence of an alert names. Where each was seen is in defender.entity_sightings.';
COMMENT ON COLUMN defender.entities.first_seen_at IS 'Time of the first evidence that names it.';
DROP TABLE defender.hunting_sightings;

CREATE VIEW bi.entities AS
SELECT
    e.tenant_id, e.entity_type, e.entity_key, e.name, e.first_seen_at, e.last_seen_at, e.alert_count,
    coalesce(o.open_alert_count, 0) AS open_alert_count,
    coalesce(o.open_incident_count, 0) AS open_incident_count
FROM defender.entities AS e
LEFT JOIN (
    SELECT
        s.tenant_id, s.entity_type, s.entity_key,
        count(*) FILTER (WHERE a.status IS DISTINCT FROM 'resolved') AS open_alert_count,
        count(DISTINCT i.root_incident_id) AS open_incident_count
    FROM defender.open_incident_members AS i
    JOIN defender.alerts AS a ON a.tenant_id = i.tenant_id AND a.incident_id = i.incident_id
    JOIN defender.entity_sightings AS s ON s.tenant_id = a.tenant_id AND s.alert_id = a.alert_id
    GROUP BY s.tenant_id, s.entity_type, s.entity_key
) AS o ON o.tenant_id = e.tenant_id AND o.entity_type = e.entity_type AND o.entity_key = e.entity_key;

COMMENT ON VIEW bi.entities IS
    'One row per host, user, IP address, URL, hash and mailbox that the evidence of alerts names. Where each was seen is in bi.entity_sightings.';
COMMENT ON COLUMN bi.entities.tenant_id IS 'The tenant, as configured.';
COMMENT ON COLUMN bi.entities.entity_type IS 'host, user, ip, url, hash (SHA-256, SHA-1 or MD5) or mailbox (any e-mail address).';
COMMENT ON COLUMN bi.entities.entity_key IS 'What the entity is known by, in small letters but for URLs: host name, user principal name (else domain\account), address, URL, hash.';
COMMENT ON COLUMN bi.entities.name IS 'The same in a spelling as served.';
COMMENT ON COLUMN bi.entities.first_seen_at IS 'Time of the first evidence that names it.';
COMMENT ON COLUMN bi.entities.last_seen_at IS 'Time of the last evidence that names it.';
COMMENT ON COLUMN bi.entities.alert_count IS 'Alerts whose evidence names it.';
COMMENT ON COLUMN bi.entities.open_alert_count IS 'Alerts of open incidents that name it and are not resolved.';
COMMENT ON COLUMN bi.entities.open_incident_count IS 'Open incidents whose alerts name it.';

CREATE VIEW bi.entity_sightings AS
SELECT
    s.tenant_id, s.entity_type, s.entity_key, s.name, s.first_seen_at, s.last_seen_at,
    s.alert_id, coalesce(m.root_incident_id, a.incident_id) AS incident_id,
    a.title, a.severity, a.status, a.classification, a.service_source, a.created_date_time,
    s.evidence_count, s.properties, s.evidence_types, s.roles, s.verdicts
FROM defender.entity_sightings AS s
JOIN defender.alerts AS a ON a.tenant_id = s.tenant_id AND a.alert_id = s.alert_id
LEFT JOIN defender.incident_merges AS m ON m.tenant_id = a.tenant_id AND m.incident_id = a.incident_id;

COMMENT ON VIEW bi.entity_sightings IS
    'One row per entity and alert whose evidence names it. By entity_key and entity_type it is an indexed look-up, however long ago.';
COMMENT ON COLUMN bi.entity_sightings.tenant_id IS 'The tenant, as configured.';
COMMENT ON COLUMN bi.entity_sightings.entity_type IS 'host, user, ip, url, hash (SHA-256, SHA-1 or MD5) or mailbox (any e-mail address).';
COMMENT ON COLUMN bi.entity_sightings.entity_key IS 'What the entity is known by, in small letters but for URLs.';
COMMENT ON COLUMN bi.entity_sightings.name IS 'The same as served.';
COMMENT ON COLUMN bi.entity_sightings.first_seen_at IS 'Time of the alert''s first evidence that names it.';
COMMENT ON COLUMN bi.entity_sightings.last_seen_at IS 'Time of its last evidence that names it.';
COMMENT ON COLUMN bi.entity_sightings.alert_id IS 'The alert.';
COMMENT ON COLUMN bi.entity_sightings.incident_id IS 'Its incident in bi.incidents.';
COMMENT ON COLUMN bi.entity_sightings.title IS 'Title of the alert.';
COMMENT ON COLUMN bi.entity_sightings.severity IS 'Severity of the alert.';
COMMENT ON COLUMN bi.entity_sightings.status IS 'Status of the alert.';
COMMENT ON COLUMN bi.entity_sightings.classification IS 'Classification of the alert.';
COMMENT ON COLUMN bi.entity_sightings.service_source IS 'Product that raised the alert.';
COMMENT ON COLUMN bi.entity_sightings.created_date_time IS 'When the alert was created.';
COMMENT ON COLUMN bi.entity_sightings.evidence_count IS 'Pieces of the alert''s evidence that name it.';
COMMENT ON COLUMN bi.entity_sightings.properties IS 'Columns of defender.alert_evidence that name it, such as sha256 or sender_ip.';
COMMENT ON COLUMN bi.entity_sightings.evidence_types IS 'Types of the evidence that names it, such as process.';
COMMENT ON COLUMN bi.entity_sightings.roles IS 'Roles of that evidence, such as attacked or source.';
COMMENT ON COLUMN bi.entity_sightings.verdicts IS 'Verdicts on that evidence, such as malicious.';

CREATE VIEW bi.devices AS
SELECT
    e.tenant_id, e.entity_key AS device, e.name AS host_name,
    d.device_dns_name, d.mde_device_id, d.azure_ad_device_id, d.os_platform, d.version AS os_version, d.rbac_group_name,
    d.health_status, d.risk_score, d.onboarding_status, d.last_ip_address, d.last_external_ip_address,
    e.first_seen_at, e.last_seen_at, e.alert_count, e.open_alert_count, e.open_incident_count
FROM bi.entities AS e
LEFT JOIN LATERAL (
    SELECT d.*
    FROM defender.entity_sightings AS s
    JOIN defender.alert_evidence AS d ON d.tenant_id = s.tenant_id AND d.alert_id = s.alert_id
    WHERE s.entity_key = e.entity_key AND s.entity_type = 'host' AND s.tenant_id = e.tenant_id
        AND d.evidence_type = 'device' AND lower(coalesce(nullif(d.host_name, ''), d.mde_device_id) COLLATE "C") COLLATE "default" = e.entity_key
    ORDER BY s.last_seen_at DESC, s.alert_id, d.evidence_no
    LIMIT 1
) AS d ON true
WHERE e.entity_type = 'host';

COMMENT ON VIEW bi.devices IS
    'One row per host that the evidence of alerts names, with its properties in the latest evidence about it. Hosts of one name are one row.';
COMMENT ON COLUMN bi.devices.tenant_id IS 'The tenant, as configured.';
COMMENT ON COLUMN bi.devices.device IS 'Its entity_key in bi.entity_sightings: the host name in small letters.';
COMMENT ON COLUMN bi.devices.host_name IS 'The host name as served.';
COMMENT ON COLUMN bi.devices.device_dns_name IS 'Fully qualified name.';
COMMENT ON COLUMN bi.devices.mde_device_id IS 'Id in Defender for Endpoint: DeviceId of the hunting tables.';
COMMENT ON COLUMN bi.devices.azure_ad_device_id IS 'Id in Microsoft Entra.';
COMMENT ON COLUMN bi.devices.os_platform IS 'Operating system.';
COMMENT ON COLUMN bi.devices.os_version IS 'Version of that.';
COMMENT ON COLUMN bi.devices.rbac_group_name IS 'Device group.';
COMMENT ON COLUMN bi.devices.health_status IS 'Health of the sensor.';
COMMENT ON COLUMN bi.devices.risk_score IS 'Risk: none, informational, low, medium, high or unknown.';
COMMENT ON COLUMN bi.devices.onboarding_status IS 'Whether it is onboarded to Defender for Endpoint.';
COMMENT ON COLUMN bi.devices.last_ip_address IS 'Its address inside the network.';
COMMENT ON COLUMN bi.devices.last_external_ip_address IS 'Its address outside.';
COMMENT ON COLUMN bi.devices.first_seen_at IS 'Time of the first evidence that names it.';
COMMENT ON COLUMN bi.devices.last_seen_at IS 'Time of the last evidence that names it.';
COMMENT ON COLUMN bi.devices.alert_count IS 'Alerts whose evidence names it.';
COMMENT ON COLUMN bi.devices.open_alert_count IS 'Alerts of open incidents that name it and are not resolved.';
COMMENT ON COLUMN bi.devices.open_incident_count IS 'Open incidents whose alerts name it.';

CREATE VIEW bi.users AS
SELECT
    e.tenant_id, e.entity_key AS user_key, e.name AS user_name,
    u.display_name, u.user_principal_name, u.account_name, u.domain_name, u.user_sid, u.azure_ad_user_id,
    e.first_seen_at, e.last_seen_at, e.alert_count, e.open_alert_count, e.open_incident_count
FROM bi.entities AS e
LEFT JOIN LATERAL (
    SELECT u.*
    FROM defender.entity_sightings AS s
    JOIN defender.alert_evidence AS u ON u.tenant_id = s.tenant_id AND u.alert_id = s.alert_id
    WHERE s.entity_key = e.entity_key AND s.entity_type = 'user' AND s.tenant_id = e.tenant_id
        AND u.evidence_type IN ('user', 'mailbox', 'process')
        AND lower(coalesce(nullif(u.user_principal_name, ''), concat_ws('\', nullif(u.domain_name, ''), u.account_name)) COLLATE "C") COLLATE "default" = e.entity_key
    ORDER BY s.last_seen_at DESC, u.evidence_type = 'user' DESC, s.alert_id, u.evidence_no
    LIMIT 1
) AS u ON true
WHERE e.entity_type = 'user';

COMMENT ON VIEW bi.users IS
    'One row per account that the evidence of alerts names, with its properties in the latest evidence about it.';
COMMENT ON COLUMN bi.users.tenant_id IS 'The tenant, as configured.';
COMMENT ON COLUMN bi.users.user_key IS 'Its entity_key in bi.entity_sightings: the user principal name, else domain\account, in small letters.';
COMMENT ON COLUMN bi.users.user_name IS 'The same as served.';
COMMENT ON COLUMN bi.users.display_name IS 'Name of the person.';
COMMENT ON COLUMN bi.users.user_principal_name IS 'User principal name.';
COMMENT ON COLUMN bi.users.account_name IS 'Account name.';
COMMENT ON COLUMN bi.users.domain_name IS 'Domain of the account.';
COMMENT ON COLUMN bi.users.user_sid IS 'Security identifier.';
COMMENT ON COLUMN bi.users.azure_ad_user_id IS 'Id in Microsoft Entra.';
COMMENT ON COLUMN bi.users.first_seen_at IS 'Time of the first evidence that names it.';
COMMENT ON COLUMN bi.users.last_seen_at IS 'Time of the last evidence that names it.';
COMMENT ON COLUMN bi.users.alert_count IS 'Alerts whose evidence names it.';
COMMENT ON COLUMN bi.users.open_alert_count IS 'Alerts of open incidents that name it and are not resolved.';
COMMENT ON COLUMN bi.users.open_incident_count IS 'Open incidents whose alerts name it.';
