-- +goose Up
-- One row for an entity and an alert, whichever pieces of evidence and columns
-- of them name it: the number of sightings is the number of alerts.
CREATE TABLE defender.entity_sightings (
    tenant_id      uuid NOT NULL,
    alert_id       text NOT NULL,
    entity_type    text NOT NULL,
    entity_key     text NOT NULL,
    name           text NOT NULL,
    first_seen_at  timestamptz NOT NULL,
    last_seen_at   timestamptz NOT NULL,
    evidence_count bigint NOT NULL,
    properties     text[] NOT NULL,
    evidence_types text[] NOT NULL,
    roles          text[] NOT NULL,
    verdicts       text[] NOT NULL,
    PRIMARY KEY (tenant_id, alert_id, entity_type, entity_key),
    CONSTRAINT entity_sightings_entity_type_check CHECK (entity_type IN ('host', 'user', 'ip', 'url', 'hash', 'mailbox')),
    CONSTRAINT entity_sightings_seen_check CHECK (first_seen_at <= last_seen_at)
);

-- Everything that touched one entity, newest first. The primary key is in the
-- order in which sightings are replaced, with their alert.
CREATE INDEX entity_sightings_entity_idx ON defender.entity_sightings (entity_key, entity_type, last_seen_at, tenant_id);

COMMENT ON TABLE defender.entity_sightings IS
    'Where entities were seen: one row for each alert whose evidence names the entity. Kept with the alert, in its transaction: evidence that is replaced takes its sightings with it.';
COMMENT ON COLUMN defender.entity_sightings.tenant_id IS 'The tenant, as configured: its Microsoft Entra tenant id.';
COMMENT ON COLUMN defender.entity_sightings.alert_id IS 'The alert. Its incident is that of defender.alerts.';
COMMENT ON COLUMN defender.entity_sightings.entity_type IS 'host, user, ip, url, hash (SHA-256, SHA-1 or MD5) or mailbox (any e-mail address).';
COMMENT ON COLUMN defender.entity_sightings.entity_key IS 'What the entity is known by, in small letters (of ASCII) but for URLs: host name, user principal name (else domain\account), address, URL, hash. Of one over 1,000 bytes the first 200 characters and a SHA-256.';
COMMENT ON COLUMN defender.entity_sightings.name IS 'The same as served.';
COMMENT ON COLUMN defender.entity_sightings.first_seen_at IS 'Time of the alert''s first evidence that names it: when that was created, or the alert''s first activity or creation where evidence has no time.';
COMMENT ON COLUMN defender.entity_sightings.last_seen_at IS 'Time of its last evidence that names it.';
COMMENT ON COLUMN defender.entity_sightings.evidence_count IS 'Pieces of the alert''s evidence that name it.';
COMMENT ON COLUMN defender.entity_sightings.properties IS 'Columns of defender.alert_evidence that name it, such as sha256 or sender_ip.';
COMMENT ON COLUMN defender.entity_sightings.evidence_types IS 'Types of the evidence that names it, such as process.';
COMMENT ON COLUMN defender.entity_sightings.roles IS 'Roles of that evidence, such as attacked or source. Graph: evidence.roles.';
COMMENT ON COLUMN defender.entity_sightings.verdicts IS 'Verdicts on that evidence, such as malicious. Graph: evidence.verdict.';

CREATE TABLE defender.entities (
    tenant_id     uuid NOT NULL,
    entity_type   text NOT NULL,
    entity_key    text NOT NULL,
    name          text NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at  timestamptz NOT NULL,
    alert_count   bigint NOT NULL,
    PRIMARY KEY (tenant_id, entity_type, entity_key),
    CONSTRAINT entities_entity_type_check CHECK (entity_type IN ('host', 'user', 'ip', 'url', 'hash', 'mailbox')),
    CONSTRAINT entities_seen_check CHECK (first_seen_at <= last_seen_at),
    CONSTRAINT entities_alert_count_check CHECK (alert_count >= 0)
) WITH (fillfactor = 80); -- what changes is in no index: room for it in place

-- What has been seen somewhere and is not any more: removed by the commit that finds it.
CREATE INDEX entities_unseen_idx ON defender.entities (entity_type, tenant_id) WHERE alert_count = 0;
CREATE INDEX entities_entity_key_idx ON defender.entities (entity_key, tenant_id);

COMMENT ON TABLE defender.entities IS
    'Every host, user, IP address, URL, hash and mailbox that the evidence of an alert names. Where each was seen is in defender.entity_sightings.';
COMMENT ON COLUMN defender.entities.tenant_id IS 'The tenant, as configured: its Microsoft Entra tenant id.';
COMMENT ON COLUMN defender.entities.entity_type IS 'host, user, ip, url, hash (SHA-256, SHA-1 or MD5) or mailbox (any e-mail address).';
COMMENT ON COLUMN defender.entities.entity_key IS 'What the entity is known by, in small letters (of ASCII) but for URLs: host name, user principal name (else domain\account), address, URL, hash. Of one over 1,000 bytes the first 200 characters and a SHA-256.';
COMMENT ON COLUMN defender.entities.name IS 'The same in a spelling as served.';
COMMENT ON COLUMN defender.entities.first_seen_at IS 'Time of the first evidence that names it.';
COMMENT ON COLUMN defender.entities.last_seen_at IS 'Time of the last evidence that names it.';
COMMENT ON COLUMN defender.entities.alert_count IS 'Alerts whose evidence names it: its rows in defender.entity_sightings.';

-- What evidence names, as the program works it out for the alerts that it stores:
-- for those that are stored already, and for whoever doubts the tables. Small
-- letters are those of ASCII, or they would depend on the database's locale.
CREATE VIEW defender.alert_entities AS
SELECT
    n.tenant_id, n.alert_id, n.entity_type, n.entity_key,
    min(n.value COLLATE "C") AS name,
    min(n.seen_at) AS first_seen_at,
    max(n.seen_at) AS last_seen_at,
    count(DISTINCT n.evidence_no) AS evidence_count,
    array_agg(DISTINCT n.property COLLATE "C") AS properties,
    array_agg(DISTINCT n.evidence_type COLLATE "C") AS evidence_types,
    coalesce(array_agg(DISTINCT n.role COLLATE "C") FILTER (WHERE n.role IS NOT NULL), '{}') AS roles,
    coalesce(array_agg(DISTINCT n.verdict COLLATE "C") FILTER (WHERE n.verdict IS NOT NULL), '{}') AS verdicts
FROM (
    SELECT
        a.tenant_id, a.alert_id, e.evidence_no, e.evidence_type, e.verdict, r.role,
        v.entity_type, v.property, v.value,
        CASE
            WHEN octet_length(v.key) <= 1000 THEN v.key
            ELSE left(v.key, 200) || '#' || encode(sha256(convert_to(v.key, 'UTF8')), 'hex')
        END AS entity_key,
        coalesce(e.created_date_time, a.first_activity_date_time, a.created_date_time, a.last_update_date_time) AS seen_at
    FROM defender.alerts AS a
    JOIN defender.alert_evidence AS e ON e.tenant_id = a.tenant_id AND e.alert_id = a.alert_id
    CROSS JOIN LATERAL (
        VALUES
            ('host', 'host_name', lower(e.host_name COLLATE "C") COLLATE "default", e.host_name),
            ('host', 'mde_device_id', CASE WHEN e.evidence_type = 'device' AND coalesce(e.host_name, '') = '' THEN lower(e.mde_device_id COLLATE "C") COLLATE "default" END, e.mde_device_id),
            ('user', 'user_principal_name', lower(e.user_principal_name COLLATE "C") COLLATE "default", e.user_principal_name),
            -- The accounts of a code host are not users of this organisation.
            ('user', 'account_name',
                CASE WHEN coalesce(e.user_principal_name, '') = '' AND e.account_name <> '' AND e.evidence_type NOT LIKE 'git\_hub\_%'
                    THEN lower(concat_ws('\', nullif(e.domain_name, ''), e.account_name) COLLATE "C") COLLATE "default" END,
                concat_ws('\', nullif(e.domain_name, ''), e.account_name)),
            ('ip', 'ip_address', lower(e.ip_address COLLATE "C") COLLATE "default", e.ip_address),
            ('ip', 'sender_ip', lower(e.sender_ip COLLATE "C") COLLATE "default", e.sender_ip),
            ('ip', 'last_ip_address', lower(e.last_ip_address COLLATE "C") COLLATE "default", e.last_ip_address),
            ('ip', 'last_external_ip_address', lower(e.last_external_ip_address COLLATE "C") COLLATE "default", e.last_external_ip_address),
            ('url', 'url', e.url, e.url),
            ('hash', 'sha256', lower(e.sha256 COLLATE "C") COLLATE "default", e.sha256),
            ('hash', 'sha1', lower(e.sha1 COLLATE "C") COLLATE "default", e.sha1),
            ('hash', 'md5', lower(e.md5 COLLATE "C") COLLATE "default", e.md5),
            ('mailbox', 'primary_address', lower(e.primary_address COLLATE "C") COLLATE "default", e.primary_address),
            ('mailbox', 'recipient_email_address', lower(e.recipient_email_address COLLATE "C") COLLATE "default", e.recipient_email_address),
            ('mailbox', 'sender_address', lower(e.sender_address COLLATE "C") COLLATE "default", e.sender_address)
    ) AS v (entity_type, property, key, value)
    LEFT JOIN LATERAL unnest(e.roles) AS r (role) ON true
    -- An alert whose id leaves no room for the key in an index has no sightings.
    WHERE v.key <> '' AND octet_length(a.alert_id) <= 1000
) AS n
GROUP BY n.tenant_id, n.alert_id, n.entity_type, n.entity_key;

COMMENT ON VIEW defender.alert_entities IS
    'What the evidence of alerts names, worked out anew: defender.entity_sightings is this, stored.';
COMMENT ON COLUMN defender.alert_entities.tenant_id IS 'The tenant, as configured.';
COMMENT ON COLUMN defender.alert_entities.alert_id IS 'The alert.';
COMMENT ON COLUMN defender.alert_entities.entity_type IS 'host, user, ip, url, hash or mailbox.';
COMMENT ON COLUMN defender.alert_entities.entity_key IS 'What the entity is known by.';
COMMENT ON COLUMN defender.alert_entities.name IS 'The same as served.';
COMMENT ON COLUMN defender.alert_entities.first_seen_at IS 'Time of the first evidence that names it.';
COMMENT ON COLUMN defender.alert_entities.last_seen_at IS 'Time of the last evidence that names it.';
COMMENT ON COLUMN defender.alert_entities.evidence_count IS 'Pieces of evidence that name it.';
COMMENT ON COLUMN defender.alert_entities.properties IS 'Columns of defender.alert_evidence that name it.';
COMMENT ON COLUMN defender.alert_entities.evidence_types IS 'Types of that evidence.';
COMMENT ON COLUMN defender.alert_entities.roles IS 'Roles of that evidence.';
COMMENT ON COLUMN defender.alert_entities.verdicts IS 'Verdicts on that evidence.';

-- No worker of an earlier version, which knows nothing of sightings, may store an
-- alert between this reading and the end of the migration.
LOCK TABLE defender.alerts IN SHARE MODE;

INSERT INTO defender.entity_sightings (
    tenant_id, alert_id, entity_type, entity_key, name, first_seen_at, last_seen_at, evidence_count,
    properties, evidence_types, roles, verdicts
)
SELECT
    tenant_id, alert_id, entity_type, entity_key, name, first_seen_at, last_seen_at, evidence_count,
    properties, evidence_types, roles, verdicts
FROM defender.alert_entities;

INSERT INTO defender.entities (tenant_id, entity_type, entity_key, name, first_seen_at, last_seen_at, alert_count)
SELECT tenant_id, entity_type, entity_key, min(name COLLATE "C"), min(first_seen_at), max(last_seen_at), count(*)
FROM defender.entity_sightings
GROUP BY tenant_id, entity_type, entity_key;

-- +goose Down
DROP VIEW defender.alert_entities;
DROP TABLE defender.entities;
DROP TABLE defender.entity_sightings;
